"""`open` copies an archived notebook with its run's parameters; Run All on the copy works, and touches nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.runs.live_world import LiveWorld
from tests.runs.world import World

STAGES = [
    "10_extract",
    "20_normalize",
    "30_live_play",
    "40_write_parquet.game_metric",
    "40_write_parquet.wv_live_play",
    "50_report",
]


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> LiveWorld:
    """A world with a run whose notebooks kernels executed."""
    world = LiveWorld(tmp_path_factory.mktemp("open") / "world")
    assert world.real("run", "--run-timestamp", "2024-05-03T01:02:03Z")["exit_status"] == 0
    return world


def opened(world: World, stage: str, *words: str) -> Path:
    """Return the copy that `open` makes."""
    answer = world.command("open", "latest", stage, *words)
    assert answer["exit_status"] == 0
    return Path(answer["data"]["path"])


@pytest.mark.parametrize("stage", STAGES)
def test_run_all_works_on_the_copy_and_publishes_nothing(archived: LiveWorld, stage: str) -> None:
    """Every cell runs, from the copy's folder, as JupyterLab runs it; tables and records are as they were."""
    before = archived.published()
    copy = opened(archived, stage)
    notebook = nbformat.read(copy, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(copy.parent)}}).execute()
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in codes)
    assert archived.published() == before
    assert len(archived.command("runs", "list")["data"]) == 1


def test_the_parameters_stand_in_the_parameters_cell(archived: LiveWorld) -> None:
    """None is injected; the values are the run's, but for the scratch warehouse."""
    notebook = nbformat.read(opened(archived, "20_normalize"), as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert not [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    names: dict[str, Any] = {}
    exec(parameters.source, names)
    run = archived.command("runs", "show", "latest")["data"]
    assert (names["date_from"], names["date_to"], names["games"], names["scratch"]) == (
        run["from"],
        run["to"],
        run["games"],
        True,
    )
    assert (names["run_id"], names["attempt"]) == (run["run_id"], 1)
    assert names["run_timestamp"] == "2024-05-03T01:02:03+00:00"


@pytest.mark.parametrize(("display", "words", "opens"), [(":9", [], True), (":9", ["--print"], False), ("", [], False)])
def test_jupyterlab_is_started_where_there_is_a_display(
    archived: LiveWorld,
    monkeypatch: pytest.MonkeyPatch,
    display: str,
    words: list[str],
    opens: bool,
) -> None:
    """Elsewhere the command to give is printed, which is what is opened; where the copy lies and until when is said."""
    shown: list[Path] = []
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(archived, "services", replace(archived.services, show=shown.append))
    text = archived.text_of("open", "latest", "50_report", *words)
    assert text.startswith("jupyter lab ")
    copy = text.strip().removeprefix("jupyter lab ")
    assert f"A copy, which goes after 7 days: {copy}\n" in archived.said
    assert [f"jupyter lab {path}" for path in shown] == ([text.strip()] if opens else [])


def test_a_stage_that_the_run_has_not_is_refused(archived: LiveWorld) -> None:
    """The notebooks that it has are named, and the nearest one."""
    answer = archived.command("open", "latest", "20_normalise")
    assert answer["exit_status"] == 2
    assert "Did you mean '20_normalize'?" in answer["error"]["message"]


def test_a_copy_lies_in_ones_own_cache(archived: LiveWorld, own_scratch: Path) -> None:
    """Who may only read the archive opens it all the same: nothing is written there."""
    before = archived.published()
    copy = opened(archived, "20_normalize")
    assert copy.is_relative_to(own_scratch)
    assert archived.published() == before
    assert not (archived.folder / "archive" / "scratch").exists()


def test_a_copy_that_cannot_be_written_is_said(
    archived: LiveWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scratch folder is a file: the message names it, and what to do."""
    (tmp_path / "scratch").write_text("")
    monkeypatch.setenv("BIGMAMA_SCRATCH", str(tmp_path / "scratch"))
    answer = archived.command("open", "latest", "20_normalize")
    assert (answer["exit_status"], answer["error"]["reason"]) == (1, "storage")
    assert "no scratch folder can be made there (Not a directory)" in answer["error"]["message"]
    assert "BIGMAMA_SCRATCH" in answer["error"]["message"]
