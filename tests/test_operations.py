"""The operations' pages: no reason, outcome or key of the record is missing in them, and none is invented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from bigmama_nb import reasons
from bigmama_nb.cli import verbs
from bigmama_nb.errors import REASONS
from bigmama_nb.sources.outcome import State
from tests.runs.world import World, in_process

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "operations.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([a-z_]+)` \|", text, flags=re.MULTILINE)


def test_every_reason_is_explained_once() -> None:
    """The closed list of reasons and the page's are the same, each with its meaning and what to do."""
    errors = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert errors == reasons.page(), "run 'python run_all.py docs'"
    assert first_cells(errors) == list(REASONS)
    for line in errors.splitlines():
        if line.startswith("| `"):
            _, means, next_step = line.strip("| ").split(" | ")
            assert len(means) > 10, line
            assert len(next_step) > 10, line


def test_every_outcome_is_explained() -> None:
    """A task ends in one of these, and in no other."""
    assert sorted(first_cells(section("Outcomes"))) == sorted(get_args(State))


def test_every_page_is_linked() -> None:
    """Who opens the index finds each page of the folder."""
    for page in (DOCS / "operations").glob("*.md"):
        assert f"](operations/{page.name})" in PAGE


def test_the_verbs_that_it_names_are_there() -> None:
    """Every `run_all.py …` of the pages is a verb with options that it has."""
    from bigmama_nb.cli import archive, check, init, report, runs, trial, warehouse  # noqa: F401 - they add their verbs

    for path in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]:
        for words in re.findall(r"run_all\.py ((?:[a-z][a-z-]*)(?: [^`\n|]*)?)", path.read_text(encoding="utf-8")):
            command: Any = verbs.commands.get(words.split()[0])
            assert command is not None, f"{path.name}: {words}"
            if words.startswith("runs "):
                command = command.commands.get(words.split()[1])
                assert command is not None, f"{path.name}: {words}"
            options = {name for each in command.params for name in each.opts}
            for option in re.findall(r"(?<= )--[a-z-]+", words.partition("&&")[0].partition(">")[0]):
                assert option in options, f"{path.name}: {words}"


def shape(value: Any, at: str = "") -> Iterator[str]:
    """Return the paths of all keys; what stands behind `packages` and `counts` are names of their own."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}.{key}"
            if key not in ("packages", "counts"):
                yield from shape(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from shape(inner, f"{at}[]")


def test_the_record_has_the_keys_of_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's run.json has exactly these keys at every level: scripts outside the project rely on them."""
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    with in_process(monkeypatch, World(tmp_path / "world")) as world:
        data = world.command("run")["data"]
    assert set(shape(json.loads(example))) == set(shape(data))


def test_exit_statuses_are_those_of_the_command() -> None:
    """0, 1, 2, 3, 75 and 128+n, each explained."""
    statuses = re.findall(r"^\| (\d+(?:\+n)?) \|", section("Exit statuses"), flags=re.MULTILINE)
    assert sorted(statuses) == sorted(["0", "3", "1", "2", "75", "128+n"])
