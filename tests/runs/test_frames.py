"""The archive as frames: the runs as they were recorded, the tasks as they ended, and columns of one type each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bigmama_nb as package
from bigmama_nb.errors import UsageError
from tests.runs.world import DAYS, World, wau

# A module that can be called is more than a type checker knows of.
bigmama_nb: Any = package


def test_runs_are_those_that_were_recorded(world: World) -> None:
    """Oldest first, with what they published."""
    first = world.command("run", "--date", "2024-05-01")["data"]
    world.break_("bb")
    second = world.command("run", "--date", "2024-05-02", "--games", "bb")["data"]
    found = bigmama_nb.runs(str(world.profile))
    assert found["run_id"].tolist() == [first["run_id"], second["run_id"]]
    assert found["status"].tolist() == ["ok", "failed"]
    assert found["exit_status"].tolist() == [0, 1]
    assert found["published"].tolist() == [6, 0]
    assert found["tasks"].tolist() == [6, 2]
    assert found["date_from"].tolist() == ["2024-05-01", "2024-05-02"]
    assert (found["ended_at"] >= found["started_at"]).all()


def test_outcomes_are_a_row_a_task(world: World) -> None:
    """Values as they were read, and the words of what failed."""
    world.break_("bb")
    run_id = world.command("run", "--date", "2024-05-01")["data"]["run_id"]
    found = bigmama_nb.outcomes(str(world.profile)).set_index("id")
    assert set(found["run_id"]) == {run_id}
    assert found.loc["aa/wau/20240501", "value"] == wau("aa", DAYS[3])
    assert found.loc["bb/wau/20240501", ["outcome", "reason", "published"]].tolist() == [
        "failed",
        "source_corrupt",
        "no",
    ]
    assert pd.isna(found.loc["bb/wau/20240501", "value"])
    one = bigmama_nb.outcomes(str(world.profile), run="latest")
    assert one["id"].tolist() == found.index.tolist()


def test_an_archive_without_runs_has_the_same_columns(world: World) -> None:
    """Who asks too early gets empty frames, not an error; their types are those of full ones."""
    empty = bigmama_nb.runs(str(world.profile)), bigmama_nb.outcomes(str(world.profile))
    world.command("run", "--date", "2024-05-01")
    full = bigmama_nb.runs(str(world.profile)), bigmama_nb.outcomes(str(world.profile))
    for before, after in zip(empty, full, strict=True):
        assert len(before) == 0 < len(after)
        assert before.dtypes.to_dict() == after.dtypes.to_dict()


def test_a_run_that_is_not_there_is_refused_by_name(world: World) -> None:
    """As every verb refuses it."""
    world.command("run", "--date", "2024-05-01")
    with pytest.raises(UsageError, match="'2019' names no run in "):
        bigmama_nb.outcomes(str(world.profile), run="2019")


def test_a_record_that_cannot_be_read_costs_its_own_run_only(world: World) -> None:
    """The others are there."""
    broken = world.command("run", "--date", "2024-05-01")["data"]["run_id"]
    good = world.command("run", "--date", "2024-05-02")["data"]["run_id"]
    Path(world.folder / "archive" / "runs" / broken / "run.json").write_text("{", encoding="utf-8")
    assert bigmama_nb.runs(str(world.profile))["run_id"].tolist() == [good]
