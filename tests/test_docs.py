"""What the pages of docs tell to type is typed here: each command's exit status is the one that the page says.

The rule for a fenced block: `sh` is executed, `text` below it is compared with what was said, `yaml` is read as part of
a profile. A block without a language shows a file or an address and holds no command.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from bigmama_nb import profile
from bigmama_nb.cli import verbs
from bigmama_nb.runs.services import Services
from bigmama_nb.sample import prepare
from tests.runs.world import World, in_process
from tests.test_readme import PAGES, REPO, blocks, typed

DOCS = REPO / "docs"
COMMAND = re.compile(r"(?:[\w./]*python |\$ )?(?:run_all\.py|bigmama-nb|papermill|pytest|make) [a-z-]")
WITH_COMMANDS = [page for page in PAGES if page.parent != REPO and "```sh\n" in page.read_text("utf-8")]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPO))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_executed_holds_no_command(page: Path) -> None:
    """Who writes a command writes it in a block that a test types."""
    for language, content in blocks(page.read_text(encoding="utf-8")):
        if language != "sh":
            assert [line for line in content.splitlines() if COMMAND.match(line)] == [], language


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's profiles and notebooks, without live viewing; production.yaml is a profile of one's own, filled."""
    for name in ("parameters", "notebooks"):
        shutil.copytree(REPO / name, tmp_path / name)
    sample = tmp_path / "parameters" / "sample.yaml"
    text = re.sub(r"^live_play:.*\n(?:[ #].*\n|\n)*", "", sample.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sample.write_text(text, encoding="utf-8")
    one_day = re.sub(r"^dates:.*$", "dates: {from: 2024-05-01, to: 2024-05-01}", text, flags=re.MULTILINE)
    (tmp_path / "parameters" / "production.yaml").write_text(one_day, encoding="utf-8")
    prepare(profile.read(sample))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BIGMAMA_PROFILE", str(sample))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if page.name != "spark.md"], ids=name_of)
def test_commands_end_as_the_page_says(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0 where it says nothing, and each line that it shows of an answer is in the answer."""
    for variable in re.findall(r"uri_env: (\w+)", (folder / "parameters/live-trouble.yaml").read_text("utf-8")):
        monkeypatch.delenv(variable, raising=False)
    world: Any = SimpleNamespace(outcomes={}, services=Services(), prepare=None)
    said = ""
    with in_process(monkeypatch, world):
        for language, content in blocks(page.read_text(encoding="utf-8")):
            if language == "sh":
                said = ""
                for line in content.splitlines():
                    says = re.search(r"# exit (\d+)", line)
                    status, answer = typed(shlex.split(line, comments=True), world.services)
                    assert status == (int(says.group(1)) if says else 0), f"{line}\n{answer}"
                    said += answer
            elif language == "text":
                for line in content.splitlines():
                    pattern = ".*".join(re.escape(part) for part in line.split("…"))
                    assert re.search(rf"^{pattern}$", said, flags=re.MULTILINE), f"{line}\n{said}"


def test_the_year_of_spark_is_twelve_commands(tmp_path: Path) -> None:
    """The loop is run by a shell in which `python` writes its words down: each month once, and whole."""
    ((_, loop),) = [block for block in blocks((DOCS / "operations/spark.md").read_text("utf-8")) if block[0] == "sh"]
    shim = tmp_path / "python"
    shim.write_text('#!/bin/sh\necho "$@" >> words\n', encoding="utf-8")
    shim.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-eu", "-c", loop], cwd=tmp_path, env=environment, check=True)
    lines = [line.split() for line in (tmp_path / "words").read_text("utf-8").splitlines()]
    given = []
    for program, verb, *words in lines:
        assert (program, verb) == ("run_all.py", "run")
        context = verbs.commands["run"].make_context("run", words)
        assert (context.params["profile"], context.params["missing"]) == ("spark.yaml", True)
        given.append((context.params["date_from"], context.params["date_to"]))
    assert given[0] == ("2023-01-01", "2023-01-31")
    assert given[1] == ("2023-02-01", "2023-02-28")
    assert len(set(given)) == 12
    assert given[-1] == ("2023-12-01", "2023-12-31")


YAML_BLOCKS = [
    pytest.param(content, id=f"{name_of(page)} {number}")
    for page in PAGES
    if page.parent != REPO
    for number, (language, content) in enumerate(blocks(page.read_text(encoding="utf-8")))
    if language == "yaml"
]


@pytest.mark.parametrize("snippet", YAML_BLOCKS)
def test_what_a_page_shows_of_a_profile_is_accepted(snippet: str, tmp_path: Path) -> None:
    """Put into the example of all keys in place of its own, whole sections as they are shown, it is a valid profile."""
    yaml = YAML(typ="safe")
    document = yaml.load(REPO / "parameters" / "production.example.yaml")
    shown = yaml.load(snippet)
    for section, content in shown.items():
        if section == "groups":
            codes = [code for members in content.values() for code in members]
            document["games"] |= {code: {"cluster": "ncmc2", "database": code} for code in [*codes, "h3"]}
        if section == "metrics":
            document["metrics"] = {}
            document["games"] = {
                code: {key: value for key, value in game.items() if key not in ("metrics", "override")}
                for code, game in document["games"].items()
            }
        if section in ("games", "metrics"):
            document[section] |= content
        else:
            document[section] = content
    written = tmp_path / "profile.yaml"
    yaml.dump(document, written)
    assert profile.read(written).path == written


TOLD = {
    "RUN": "latest",
    "METRIC": "wau",
    "TABLE": "game_metric",
    "PARTITION": "dt=20240501",
    "FOLDER": "mine",
    "NEW": "new.yaml",
}
ENDS = {
    "run_all.py run --profile spark.yaml --pipelines live_play": 2,
    "run_all.py report latest --to report.html": 1,
}
"""What of the commands below does not end with 0 in the little world, without live viewing and cells in notebooks."""


def inline_commands() -> list[str]:
    """Return every command that stands in a sentence of a page, each once."""
    found = set()
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for words in re.findall(r"`(?:[\w./]*python )?((?:run_all\.py|bigmama-nb) [a-z][^`]*)`", text):
            found.add(words.replace("bigmama-nb ", "run_all.py "))
    return sorted(found)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small world whose days were published twice, so that there is a version to go back to."""
    with pytest.MonkeyPatch.context() as patch, in_process(patch, World(tmp_path_factory.mktemp("docs"))) as world:
        assert world.command("run")["exit_status"] == 0
        corrected = [one | {"value": one["value"] + 1} for one in world.daily("aa")]
        world.write("aa", "daily", corrected)
        assert world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-01")["exit_status"] == 0
    (world.folder / "new.yaml").write_text(
        world.profile.read_text("utf-8").replace("uri: warehouse", "uri: warehouse-new"), encoding="utf-8"
    )
    return world


@pytest.mark.parametrize("command", inline_commands())
def test_a_command_in_a_sentence_works(command: str, published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page names in passing is a command that ends with 0, its placeholders filled in."""
    monkeypatch.chdir(published.folder)
    monkeypatch.setenv("BIGMAMA_PROFILE", str(published.profile))
    if "spark.yaml" in command:
        shutil.copy(published.profile, published.folder / "spark.yaml")
    days = iter(["2024-04-30", "2024-05-01"])
    words = [TOLD.get(word, word) for word in shlex.split(command)]
    words = [next(days) if word == "…" and "--from" in words else word for word in words]
    words = [str(published.profile) if word == "…" else word for word in words]
    if words[1:] == ["who-wrote"]:
        words += ["game_metric", "dt=20240501"]
    if words[1] == "docs":
        words.append(str(published.folder / "pages"))
    with in_process(monkeypatch, published):
        status, said = typed(["python", *words], published.services)
    assert status == ENDS.get(command, 0), f"{' '.join(words)}\n{said}"
