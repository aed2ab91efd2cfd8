"""The documentation is tested: what the pages tell to type is typed here, and where they point there is something."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bson
import pytest
from ruamel.yaml import YAML

from bigmama_nb.cli import main, verbs
from bigmama_nb.runs.services import Services
from tests.runs.world import in_process

REPO = Path(__file__).parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]
RECIPES = re.split(r"^### ", README.partition("\n## Recipes\n")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks: language and content."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a reader stands in. Recipes build on what those before them published, not on their YAML."""
    made = tmp_path_factory.mktemp("readme")
    for name in ("parameters", "notebooks"):
        shutil.copytree(REPO / name, made / name)
    (made / "out").mkdir()
    # Live viewing has its own tests, and costs every run here seconds.
    sample = made / "parameters" / "sample.yaml"
    text = re.sub(r"^live_play:.*\n(?:[ #].*\n|\n)*", "", sample.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "live_play" not in text
    (made / "sample.original.yaml").write_text(text, encoding="utf-8")
    return made


def write_into_profile(profile: Path, snippet: str) -> None:
    """Put a snippet's lines where its first line says: below that section, or at the end as a new one."""
    section, _, lines = snippet.partition("\n")
    text = profile.read_text(encoding="utf-8")
    if f"\n{section}\n" in text:
        text = text.replace(f"\n{section}\n", f"\n{section}\n{lines}")
    else:
        assert section.rstrip(":") not in YAML(typ="safe").load(text)
        text += f"\n{snippet}"
    profile.write_text(text, encoding="utf-8")


def spoil_wau(folder: Path) -> None:
    """Make lw's figure of the day a hundred times what it is."""
    (dump,) = (folder / "out/sample/mongodump/ncmc2/lw").glob("mobile_index_daily.bson*")
    opened: Callable[..., Any] = open
    if dump.suffix == ".gz":
        import gzip

        opened = gzip.open
    with opened(dump, "rb") as file:
        documents = bson.decode_all(file.read())
    found = [each for each in documents if each["dt"] == "20240501" and each["type"] == "wau"]
    assert len(found) == 1
    found[0]["value"] *= 100
    with opened(dump, "wb") as file:
        file.write(b"".join(bson.encode(each) for each in documents))


def typed(words: list[str], services: Services) -> tuple[int, str]:
    """Do what typing the words does; return exit status and what was said."""
    if words[:2] == ["python", "run_all.py"]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
            main(words[2:], services)
        return int(ended.value.code or 0), said.getvalue()
    assert words[0] == "papermill", f"{words[0]} is typed by nobody here"
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_recipes_are_these() -> None:
    """A recipe that is taken out or renamed is noticed here, since those below it may build on it."""
    assert [recipe.partition("\n")[0] for recipe in RECIPES] == [
        "Add a game",
        "Add a metric",
        "Rerun a day",
        "Read a failure",
        "Hold what is implausible, and release it",
        "Take back",
        "Ask the tables",
        "Run one notebook by hand",
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.partition("\n")[0] for recipe in RECIPES])
def test_a_recipe_works_as_it_is_written(recipe: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its YAML goes into the profile, its commands end as they say (0 where they say nothing), its Python runs."""
    sample, original = folder / "parameters" / "sample.yaml", folder / "sample.original.yaml"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BIGMAMA_PROFILE", str(sample))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    sample.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
    if recipe.startswith("Hold"):
        spoil_wau(folder)
    world: Any = SimpleNamespace(outcomes={}, services=Services(), prepare=None)
    with in_process(monkeypatch, world):
        for language, content in blocks(recipe):
            if language == "yaml":
                write_into_profile(sample, content)
            elif language == "python":
                subprocess.run([sys.executable, "-c", content], check=True)
            else:
                assert language == "sh"
                for line in content.splitlines():
                    says = re.search(r"# exit (\d+)", line)
                    status, said = typed(shlex.split(line, comments=True), world.services)
                    assert status == (int(says.group(1)) if says else 0), f"{line}\n{said}"


def test_the_two_commands_are_there() -> None:
    """Every `make` of the pages is a target of the Makefile."""
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z][a-z-]*)\b", page.read_text("utf-8"))}
    assert {"run", "test", "lab"} <= named
    commands = {target for target in named if f"`make {target}`" in README or f"\nmake {target}\n" in README}
    assert {target for target in commands if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)} == set()


def test_the_verbs_are_those_that_there_are() -> None:
    """The table names every verb of the command, and no other."""
    from bigmama_nb.cli import check, init, report, runs, trial, warehouse  # noqa: F401 - they add their verbs

    table = README.partition("\n## The verbs\n")[2].partition("\n| exit |")[0]
    cells = " ".join(re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE))
    written = {re.sub(r" (?:[A-Z\[]|--).*", "", words) for words in re.findall(r"`([^`]+)`", cells)}
    there = set()
    for name, command in verbs.commands.items():
        there |= {f"{name} {each}" for each in getattr(command, "commands", {})} or {name}
    assert written == there


def test_the_tree_is_the_one_that_there_is() -> None:
    """Every line of the tree names a file or folder; what a run makes is the one exception."""
    tree = blocks(README.partition("\n## Where things are\n")[2])[0][1]
    parent = ""
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            parent = name
        path = REPO / (f"{parent}{name}" if line.startswith(" ") else name)
        assert path.exists() or name == "out/", line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file, and its anchor a heading there."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_the_picture_is_small() -> None:
    """Who opens the repository loads it."""
    assert os.stat(REPO / "docs/images/report.png").st_size < 300_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_paths_that_a_page_names_are_there(page: Path) -> None:
    """A module, a test or a profile named in `code` is one that there is."""
    named = re.findall(
        r"`((?:bigmama_nb|tests|notebooks|parameters|docs|benchmarks)/[^`\s*<]+)`", page.read_text("utf-8")
    )
    assert [path for path in named if not (REPO / path).exists()] == []


def test_the_glossary_is_in_order_and_knows_every_outcome() -> None:
    """A term stands once, in alphabetical order, so that it is found; each outcome and pipeline word has its line."""
    from typing import get_args

    from bigmama_nb.sources.outcome import State

    terms = re.findall(r"^\| ([a-z][a-z ]*) \|", (REPO / "docs/glossary.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert terms == sorted(set(terms))
    assert {state.replace("_", " ") for state in get_args(State)} - {"ok", "failed", "skipped"} <= set(terms)


def test_every_room_of_the_package_stands_in_the_tree() -> None:
    """A newcomer finds each folder of the package in the README, with its job."""
    tree = blocks(README.partition("\n## Where things are\n")[2])[0][1]
    rooms = {path.name for path in (REPO / "bigmama_nb").iterdir() if (path / "__init__.py").is_file()}
    assert {room for room in rooms if f"\n  {room}/" not in tree} == set()
