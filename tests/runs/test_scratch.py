"""Who may not write to the archive works in a folder of their own, which does not grow for ever."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import pytest

from bigmama_nb import stages
from bigmama_nb.errors import StorageError
from bigmama_nb.runs.archive import new_run_id
from bigmama_nb.runs.scratch import KEPT_DAYS, own_scratch_folder
from tests.runs.world import DAYS, REPO, World, run_cells, wau


def test_a_notebook_works_where_the_archive_and_the_warehouse_cannot_be_written(world: World) -> None:
    """No folder can be made below /proc, not even by root: extracted, checked, published and asked all the same."""
    world.write_profile(
        ("archive: {uri: archive}", "archive: {uri: /proc/none}"), ("{uri: warehouse,", "{uri: /proc/no,")
    )
    here = stages.begin("50_report", profile=str(world.profile), games=["aa"])
    stages.extract(here)
    stages.normalize(here)
    stages.publish(here)
    rows = stages.reader(here).execute("select value from game_metric where type = 'wau' order by dt").fetchall()
    assert rows == [(wau("aa", day),) for day in DAYS]
    assert "Game metrics of 2 May 2024 – complete" in repr(stages.report(here).header())


def test_what_is_old_goes_when_the_next_notebook_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight days are too many, six are not."""
    monkeypatch.setenv("BIGMAMA_SCRATCH", str(tmp_path))
    for name, days in (("old", KEPT_DAYS + 1), ("young", KEPT_DAYS - 1)):
        (tmp_path / name / "warehouse").mkdir(parents=True)
        then = time.time() - days * 86_400
        os.utime(tmp_path / name, (then, then))
    made = own_scratch_folder(new_run_id())
    assert {path.name for path in tmp_path.iterdir()} == {"young", made.name}


def test_without_a_name_it_is_the_persons_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system keeps what may be deleted at any time."""
    monkeypatch.delenv("BIGMAMA_SCRATCH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert own_scratch_folder("x") == tmp_path / "bigmama-nb" / "scratch" / "x"


def test_where_none_can_be_made_the_message_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder, why, that nothing was run, and the variable."""
    monkeypatch.setenv("BIGMAMA_SCRATCH", "/proc/none")
    with pytest.raises(StorageError) as refused:
        own_scratch_folder("x")
    assert str(refused.value).startswith("/proc/none")
    assert "no scratch folder can be made there (No such file or directory). Nothing was run;" in str(refused.value)
    assert "BIGMAMA_SCRATCH" in str(refused.value)


def test_an_empty_warehouse_can_be_asked(world: World) -> None:
    """Before the first run every table is there, without rows."""
    here = stages.begin("60_explore", profile=str(world.profile))
    ask = stages.reader(here, scratch=False)
    assert ask.execute("select game_cd, dt, type, value from game_metric").fetchall() == []
    assert ask.execute("select count(*) from we_mart.stats_we_t_kpi").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("dates", "days", "rows"),
    [("dates: null", [], len(DAYS)), (f"dates: {{from: {DAYS[0]}, to: {DAYS[-1]}}}", DAYS[:1], 1)],
)
@pytest.mark.parametrize("scratch", [True, False])
def test_60_explore_asks_a_production_profile(
    world: World, dates: str, days: list[date], rows: int, scratch: bool
) -> None:
    """Without dates a scratch copy is of yesterday, and one day of history has nothing to be compared with."""
    asked = [word for day in days for word in ("--date", str(day))]
    assert world.command("run", *asked)["exit_status"] == 0
    world.write_profile(("dates: {from: 2024-04-28, to: 2024-05-02}", dates))
    shown = run_cells(REPO / "notebooks" / "60_explore.ipynb", {"profile": str(world.profile), "scratch": scratch})
    assert shown["growth"].empty
    assert (
        repr(shown["reports"].change_bars(shown["named"], title="Change")) == "<Chart: Change: no two days to compare>"
    )
    if not scratch:
        assert (len(shown["wau"]), int(shown["wau"]["aa"].iloc[0])) == (rows, wau("aa", DAYS[0]))
