"""Every command that a message prints can be copied as it stands: the verb, what it needs, and its profile."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bigmama_nb import cli
from bigmama_nb.cli import verbs
from bigmama_nb.errors import StorageError
from bigmama_nb.project import as_called, repair_command
from bigmama_nb.runs import archive, artifacts
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.show import summary
from bigmama_nb.runs.task import Task
from tests.runs.world import REPO, World
from tests.services import free_port

PACKAGE = REPO / "bigmama_nb"
for module in pkgutil.iter_modules(cli.__path__):
    importlib.import_module(f"bigmama_nb.cli.{module.name}")  # they add their verbs
VERBS = "|".join(verbs.commands)


def docstrings(tree: ast.Module) -> set[int]:
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text of the package that is no docstring, an f-string's values as `1`, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        documented = docstrings(tree)
        for node in ast.walk(tree):
            if id(node) in documented or id(node) in within:
                continue
            where = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values]
                yield where, "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield where, node.value


HINTS = [(where, hint) for where, text in texts() for hint in re.findall(r"'run_all\.py [a-z][^'\n]*'", text)]


def test_there_are_hints() -> None:
    """What the next tests look at is there."""
    assert len(HINTS) > 30


@pytest.mark.parametrize(("where", "hint"), HINTS)
def test_a_hint_is_a_command_that_can_be_given(where: str, hint: str) -> None:
    """Its verb is one, nothing that it needs is missing, and it names the profile and the command as it was called."""
    named = as_called(f"x {hint} y", "/a b/p.yaml", "bigmama-nb")
    assert re.fullmatch(r"x 'bigmama-nb [^']* --profile \"/a b/p.yaml\"' y", named), where
    words = shlex.split(as_called(hint, "/p.yaml")[1:-1])[1:]
    command: click.Command = verbs
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        assert context.params["profile"] == "/p.yaml"


def test_no_message_prints_a_command_in_another_way() -> None:
    """Neither a verb alone in quotes nor a command without them, which would get no profile."""
    for where, text in texts():
        assert not re.search(rf"'(?:{VERBS})(?: [^']*)?'(?!\])", text) or where.startswith("cli/"), (where, text)
        bare = re.sub(r"'run_all\.py [^'\n]*'", "", text)
        assert "run_all.py" not in bare or where.startswith(("cli/", "project.py", "tables/docs.py", "reasons.py")), (
            where,
            text,
        )


@pytest.mark.parametrize("path", ["/p.yaml", "/a b/p.yaml", "/it's/p.yaml", '/a "b"/$HOME/p.yaml'])
def test_a_profile_of_any_name_can_be_copied_from_a_command(path: str) -> None:
    """A shell reads the path as it is, and a hint that is put right twice stays as it is."""
    once = as_called("see 'run_all.py runs list'.", path)
    for command in (repair_command("20240502T020304Z-1a2b3c", path), once.removeprefix("see '").removesuffix("'.")):
        read = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], stdout=subprocess.PIPE, text=True, check=True)
        assert read.stdout.splitlines()[-2:] == ["--profile", path]
    assert as_called(once, path) == once
    assert as_called("see 'run_all.py run --help'.", Path(path)) == "see 'run_all.py run --help'."


AWAY = "'run_all.py repair latest"


@pytest.mark.parametrize(
    "words", [("try", "wau", "--games", "bb"), ("try", "orders", "--date", "2024-05-02"), ("check",)], ids=" ".join
)
def test_who_only_looks_is_not_sent_to_repair_a_run(world: World, words: tuple[str, ...]) -> None:
    """Neither try nor check makes a run: what to do once a document is there is to ask again."""
    world.write("bb", "daily", [{"dt": "20240501", "value": "x"}])
    world.write("bb", "orders", [])
    found = world.command(*words)
    said = [one["message"] or "" for one in found["data"]]
    assert words[0] == "check" or any("the same command" in message for message in said), said
    assert AWAY not in " ".join([*said, world.text_of(*words), world.said])


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        (("sql", "select 1"), None),
        (("export", "game_metric", "copy"), None),
        (("who-wrote", "game_metric", "dt=20240501"), None),
        (("check",), None),
        (("recover", "--plan"), None),
        (("runs", "prune", "--plan"), None),
        (("rollback", "game_metric", "dt=20240501"), "the same command"),
        (("recover",), "the same command"),
        (("republish", "--form"), "the same command"),
        (("retract", "aa", "wau", "20240501", "--reason", "x"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_metastore_that_is_away_is_no_reason_to_repair_another_run(
    world: World, words: tuple[str, ...], recorded: str | None
) -> None:
    """Each verb says to give it again, and what it recorded of itself says so too."""
    world.write_profile(("{uri: warehouse,", f"{{uri: warehouse, metastore: 'thrift://127.0.0.1:{free_port()}',"))
    before = set(archive.run_ids(world.folder / "archive"))
    found = world.command(*words)
    told = json.dumps([found["error"], found["data"]])
    assert found["exit_status"] != 0
    assert AWAY not in told + world.said
    assert "cannot be reached" in told
    made = set(archive.run_ids(world.folder / "archive")) - before
    assert bool(made) == (recorded is not None)
    for run_id in made:
        run = archive.read(world.folder / "archive", run_id)
        text = json.dumps(run.as_json()) + world.text_of("runs", "show", run_id)
        assert AWAY not in text
        assert str(recorded) in text


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("run", "'run_all.py repair latest --profile /p.yaml'"),
        ("republish", "'run_all.py repair latest --profile /p.yaml'"),
        ("retract", "'run_all.py repair 20240502T020304Z-1a2b3c --profile /p.yaml'"),
        ("rollback", "the same command"),
        ("prune", "the same command"),
    ],
)
def test_a_record_says_what_finishes_its_own_verb(verb: str, step: str) -> None:
    """`repair latest` passes over single changes of the tables: a retraction is named, the others are given again."""
    named: Any = {"run_id": "20240502T020304Z-1a2b3c", "status": "failed", "first": "", "last": "", "attempts": []}
    run = RunRecord(**named, verb=verb, error=f"lost. Run {AWAY}'.")
    run.profile.path = "/p.yaml"
    run.tasks = [
        Task(
            "lw/wau/20240501",
            "game_metric",
            game_cd="lw",
            type="wau",
            dt="20240501",
            message=f"lost; {AWAY}' is safe to repeat.",
            outcome="failed",
        )
    ]
    held = run.as_json()
    assert held["error"] == f"lost. Run {step}."
    assert held["tasks"][0]["message"] == f"lost; {step} is safe to repeat."
    assert step.partition(" --profile")[0] in summary(run, "archive")


def test_what_a_stage_left_unfinished_is_repaired_by_its_runs_name(tmp_path: Path) -> None:
    """A file between two stages that is not whole names the run that does both again, and elsewhere none."""
    run_dir = tmp_path / "20240502T020304Z-1a2b3c" / "1"
    with pytest.raises(StorageError, match=r"left no whole file .*Nothing was published; run both again\.$"):
        artifacts.read(run_dir, artifacts.EXTRACTED)
    run_dir.mkdir(parents=True)
    (run_dir.parent / "run.json").write_text("{}")
    with pytest.raises(StorageError, match=r"'run_all\.py repair 20240502T020304Z-1a2b3c' runs both again\.$"):
        artifacts.read(run_dir, artifacts.EXTRACTED)
