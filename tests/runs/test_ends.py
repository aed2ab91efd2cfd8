"""However a run ends, its record is closed and says what became of every task."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.project import NOTEBOOKS
from tests.runs.test_run import history
from tests.runs.world import CLUSTERS, World, expected

GAMES = tuple(CLUSTERS)


def archived(world: World) -> list[dict[str, Any]]:
    """Return the records as they stand."""
    return [json.loads(path.read_text()) for path in (world.folder / "archive").glob("runs/*/run.json")]


def test_a_notebook_that_takes_other_parameters_begins_no_run(world: World) -> None:
    """A renamed parameter: exit 2, "Nothing was run", and no run is recorded."""
    shutil.copytree(NOTEBOOKS, world.folder.parent / "notebooks")
    notebook = world.folder.parent / "notebooks" / "20_normalize.ipynb"
    notebook.write_text(notebook.read_text().replace('"games: list', '"titles: list'))
    answer = world.command("run")

    assert answer["exit_status"] == 2
    assert "20_normalize.ipynb: parameter 'games' is unknown" in answer["error"]["message"]
    assert answer["error"]["message"].endswith("Nothing was run.")
    assert archived(world) == []


def test_a_notebook_that_changes_in_the_midst_of_a_run_fails_its_stage(world: World) -> None:
    """Its tasks are `failed: stage_died` and the record is closed."""
    from bigmama_nb.executor.execute import check_parameters

    real = world.services.execute
    shutil.copytree(NOTEBOOKS, world.folder.parent / "notebooks")

    def execute(notebook: Path, output: Path, parameters: dict[str, Any], **how: Any) -> Any:
        if notebook.stem == "10_extract":
            later = notebook.with_name("20_normalize.ipynb")
            later.write_text(later.read_text().replace('"games: list', '"titles: list'))
        check_parameters(notebook, parameters)
        return real(notebook, output, parameters, **how)

    world.services = replace(world.services, execute=execute)
    answer = world.command("run")

    assert answer["exit_status"] == 1
    assert {(task["outcome"], task["reason"]) for task in answer["data"]["tasks"]} == {("failed", "stage_died")}
    assert "parameter 'games' is unknown" in answer["data"]["tasks"][0]["message"]
    assert answer["data"]["attempts"][0]["ended_at"] is not None


@pytest.mark.parametrize("stage", ["10_extract", "40_write_parquet", "50_report"])
def test_an_error_that_nobody_foresaw_closes_the_record(world: World, stage: str) -> None:
    """Before the move: every task `skipped`; after it: published, and the run is no success."""
    real = world.services.execute

    def breaks(notebook: Path, output: Path, parameters: dict[str, Any], **how: Any) -> Any:
        if notebook.stem == stage != "40_write_parquet":
            raise RuntimeError("who would have thought")
        done = real(notebook, output, parameters, **how)
        if notebook.stem == stage:
            raise RuntimeError("who would have thought")
        return done

    world.services = replace(world.services, execute=breaks)
    answer = world.command("run")
    assert (answer["exit_status"], answer["error"]["reason"]) == (1, "unforeseen")

    (run,) = archived(world)
    assert run["error"] == "RuntimeError: who would have thought"
    assert run["attempts"][0]["ended_at"] is not None
    found = {(task["outcome"], task["published"]) for task in run["tasks"]}
    if stage == "10_extract":
        assert (run["status"], run["exit_status"], found) == ("failed", 1, {("skipped", "no")})
        assert run["tasks"][0]["message"].startswith("the run broke off by RuntimeError: who would have thought.")
    else:
        assert (run["status"], run["exit_status"], found) == ("partial", 3, {("ok", "yes")})
        assert all(one["files"] for one in run["published"])

    world.services = replace(world.services, execute=real)
    world.command("repair", run["run_id"])
    assert world.rows() == expected(*GAMES)


def test_a_run_taken_over_keeps_suspect_its_message_and_the_files(world: World) -> None:
    """Killed between the move and its record, the run's figure is the suspect that 20_normalize called it."""
    history(world)
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-02")
    (before,) = answer["data"]["tasks"]
    assert before["outcome"] == "suspect"
    path = world.folder / "archive" / "runs" / answer["data"]["run_id"] / "run.json"
    data = json.loads(path.read_text())
    data |= {"status": "running", "exit_status": None, "published": []}
    data["attempts"][0] |= {"ended_at": None, "heartbeat_at": "2024-05-02T02:03:04.000Z"}
    data["tasks"][0] |= {"outcome": None, "message": None, "value": None, "published": "no"}
    path.write_text(json.dumps(data))

    repaired = world.command("repair", answer["data"]["run_id"])["data"]
    assert repaired["tasks"] == [before]
    assert repaired["published"] == answer["data"]["published"]
    assert repaired["attempts"][0]["abandoned"] is True


def test_all_that_decides_what_is_published_is_a_parameter_of_the_notebook(world: World) -> None:
    """Run, attempt, allow_empty and release reach every notebook; nothing of it by the environment."""
    given: dict[str, dict[str, Any]] = {}
    real = world.services.execute

    def execute(notebook: Path, output: Path, parameters: dict[str, Any], **how: Any) -> Any:
        given[output.stem] = parameters
        assert "env" not in how
        return real(notebook, output, parameters, **how)

    world.services = replace(world.services, execute=execute)
    run_id = world.command("run", "--allow-empty")["data"]["run_id"]
    assert {(one["run_id"], one["attempt"], one["allow_empty"], one["release"]) for one in given.values()} == {
        (run_id, 1, True, False)
    }
    given.clear()
    world.command("republish", run_id)
    assert {(one["attempt"], one["allow_empty"], one["release"]) for one in given.values()} == {(1, True, True)}


def test_the_profile_is_read_once(world: World) -> None:
    """Changed midway, it changes nothing of the run, which keeps the bytes that it read beside its notebooks."""
    real = world.services.execute
    text = world.profile.read_bytes()

    def execute(notebook: Path, output: Path, parameters: dict[str, Any], **how: Any) -> Any:
        if notebook.stem == "20_normalize":
            world.write_profile(("{uri: warehouse,", "{uri: elsewhere,"))
        return real(notebook, output, parameters, **how)

    world.services = replace(world.services, execute=execute)
    data = world.command("run")["data"]

    assert data["status"] == "ok"
    assert (world.folder / "warehouse").exists()
    assert not (world.folder / "elsewhere").exists()
    assert (world.folder / "archive" / "runs" / data["run_id"] / "1" / "profile.yaml").read_bytes() == text
    assert data["attempts"][0]["profile_sha256"] == data["profile"]["sha256"]
