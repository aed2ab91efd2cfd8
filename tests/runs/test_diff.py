"""What differs between two runs is named, and nothing where they are one."""

from __future__ import annotations

import json
import sys
from datetime import date

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.runs.world import World, wau


def diff(world: World, *arguments: str) -> dict[str, dict[str, object]]:
    answer = world.command("runs", "diff", *arguments)
    assert answer["exit_status"] == int(bool(answer["data"]))
    return {entry["key"]: entry for entry in answer["data"]}


def test_a_run_does_not_differ_from_itself(world: World) -> None:
    """Where nothing differs nothing is said, and the exit status is 0."""
    world.break_("bb")
    world.command("run", "--date", "2024-05-01")
    assert diff(world, "latest", "latest") == {}


def test_outcomes_values_and_causes_that_differ_are_named(world: World) -> None:
    """A figure that was corrected stands there with both values and the change; so does what failed and why."""
    world.command("run", "--date", "2024-05-01")
    documents = world.daily("aa")
    for document in documents:
        document["value"] *= 2
    world.write("aa", "daily", documents)
    world.break_("bb")
    world.command("run", "--date", "2024-05-01")
    found = diff(world, "previous", "latest")
    before = wau("aa", date(2024, 5, 1))
    assert found["aa/wau/20240501 value"] == {
        "key": "aa/wau/20240501 value", "a": before, "b": 2 * before, "change_percent": 100.0,
    }  # fmt: skip
    assert (found["bb/wau/20240501 outcome"]["a"], found["bb/wau/20240501 outcome"]["b"]) == ("ok", "failed")
    assert found["bb/wau/20240501 reason"]["b"] == "source_corrupt"
    assert found["cause failed source_corrupt of bb"] == {
        "key": "cause failed source_corrupt of bb", "a": None, "b": "there",
    }  # fmt: skip
    assert not any(key.startswith("cc/") for key in found)


def test_tasks_that_appeared_or_went_are_named(world: World) -> None:
    """A game that one run did not ask for stands there as what only the other has."""
    world.command("run", "--date", "2024-05-01", "--games", "aa,bb")
    world.command("run", "--date", "2024-05-01", "--games", "aa,cc")
    found = diff(world, "previous", "latest")
    assert (found["bb/wau/20240501"]["a"], found["bb/wau/20240501"]["b"]) == ("ok", None)
    assert (found["cc/wau/20240501"]["a"], found["cc/wau/20240501"]["b"]) == (None, "ok")


def test_nights_are_compared_by_their_metrics(world: World) -> None:
    """Two nights share no task: what each asked last of a game's metric is compared."""
    world.command("run", "--date", "2024-04-30")
    world.command("run", "--date", "2024-05-01")
    found = diff(world, "previous", "latest")
    assert found["aa/wau value"]["a"] == wau("aa", date(2024, 4, 30))
    assert found["aa/wau value"]["b"] == wau("aa", date(2024, 5, 1))


def test_a_profile_that_changed_is_named(world: World) -> None:
    """Who looks for the cause of another value sees that the profile is another."""
    world.command("run", "--date", "2024-05-01")
    world.write_profile(("name: Game A", "name: Game Alpha"))
    world.command("run", "--date", "2024-05-01")
    assert set(diff(world, "previous", "latest")) == {"profile sha256"}


def test_code_and_packages_that_changed_are_named(world: World) -> None:
    """The record keeps the commit and the versions, and diff compares them."""
    world.command("run", "--date", "2024-05-01")
    path = next((world.folder / "archive" / "runs").glob("*/run.json"))
    data = json.loads(path.read_text(encoding="utf-8"))
    world.command("run", "--date", "2024-05-01")
    data["environment"] |= {"git": "0" * 40, "packages": data["environment"]["packages"] | {"pandas": "1.0"}}
    path.chmod(0o644)
    path.write_text(json.dumps(data), encoding="utf-8")
    found = diff(world, "previous", "latest")
    assert {"code git", "package pandas"} == set(found)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("previous", "previous"), "'previous' is the run before the other; name one of the two. Nothing was done."),
        (("previous", "latest"), "is the first run of its profile and pipelines: none is previous. Nothing was done."),
        (("latest", "no-run"), "'no-run' names no run in "),
    ],
)
def test_a_name_that_names_no_run_is_refused(world: World, names: tuple[str, str], says: str) -> None:
    """In words, with exit status 2."""
    world.command("run", "--date", "2024-05-01")
    answer = world.command("runs", "diff", *names)
    assert answer["exit_status"] == 2
    assert says in answer["error"]["message"]


def test_two_notebooks_are_compared_cell_by_cell(world: World) -> None:
    """Cells that differ are shown by nbdime; a notebook that is the same is said to be."""
    for source in ("rows = 5", "rows = 6"):
        run = world.command("run", "--date", "2024-05-01")["data"]
        cells = [new_code_cell("here", id="begin"), new_code_cell(source, id="rows")]
        keep(world, run["run_id"], nbformat.writes(new_notebook(cells=cells)))
    same = world.command("runs", "diff", "latest", "latest", "--notebook", "20_normalize")
    assert (same["exit_status"], same["data"]) == (0, {"text": ""})
    other = world.command("runs", "diff", "previous", "latest", "--notebook", "20_normalize")
    assert other["exit_status"] == 1
    lines = other["data"]["text"].splitlines()
    assert {"-  rows = 5", "+  rows = 6"} <= set(lines)
    assert not any("here" in line for line in lines)


def test_a_notebook_that_is_none_is_refused(world: World) -> None:
    """A file that was cut is named as what cannot be read."""
    keep(world, world.command("run", "--date", "2024-05-01")["data"]["run_id"], "{")
    answer = world.command("runs", "diff", "latest", "latest", "--notebook", "20_normalize")
    assert answer["exit_status"] == 2
    assert answer["error"]["message"].startswith("A notebook cannot be read (")


def keep(world: World, run_id: str, text: str) -> None:
    """Put a notebook in the place of a run's 20_normalize."""
    path = world.folder / "archive" / "runs" / run_id / "1" / "20_normalize.ipynb"
    path.chmod(0o644)
    path.write_text(text, encoding="utf-8")


def test_a_notebook_that_a_run_does_not_have_is_refused(world: World) -> None:
    """With the names of those that it has."""
    world.command("run", "--date", "2024-05-01")
    answer = world.command("runs", "diff", "latest", "latest", "--notebook", "20_normalise")
    assert answer["exit_status"] == 2
    assert "has no notebook '20_normalise'; it has 10_extract, 20_normalize" in answer["error"]["message"]
    assert "Did you mean '20_normalize'?" in answer["error"]["message"]


def test_without_nbdime_the_answer_names_the_extra(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who did not install it is told how."""
    world.command("run", "--date", "2024-05-01")
    monkeypatch.setitem(sys.modules, "nbdime", None)
    answer = world.command("runs", "diff", "latest", "latest", "--notebook", "20_normalize")
    assert answer["exit_status"] == 2
    assert "pip install 'bigmama-nb[diff]' brings it." in answer["error"]["message"]
