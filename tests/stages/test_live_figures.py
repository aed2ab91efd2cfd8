"""What the notebooks show of live viewing: aggregates of what was built, true to the last viewer, and nobody's row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bigmama_nb import stages
from bigmama_nb.stages import live_figures, live_play
from bigmama_nb.stages.context import StageContext
from tests.runs.live_world import DAYS, VIEWERS, LiveWorld, counted


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> LiveWorld:
    return LiveWorld(tmp_path_factory.mktemp("figures") / "world")


@pytest.fixture(scope="module")
def built(world: LiveWorld) -> StageContext:
    """1 May as built in scratch with the log up to its midnight, half an hour before its live ends."""
    here = stages.begin("30_live_play", profile=str(world.profile))
    live_play.build_dates(here)
    return here


def test_minutes_hold_each_live_once_and_say_what_the_log_covers(built: StageContext) -> None:
    """61 minutes of one live, though two artists took part; those after midnight are not known yet."""
    rows = live_figures.minutes(built)
    assert list(rows.columns) == ["part_date", "post_id", "datetime", "peak_viewers", "end_viewers", "known"]
    assert len(rows) == 61
    assert rows.loc[rows["known"], "datetime"].agg(["min", "max"]).tolist() == [
        "2024-05-01 23:30:00",
        "2024-05-01 23:59:00",
    ]
    # Viewer k joins at 23:40:00 + k s.
    by_minute = dict(zip(rows["datetime"].str[11:16], rows["end_viewers"], strict=True))
    assert [by_minute[minute] for minute in ("23:39", "23:40", "23:41", "00:29", "00:30")] == [0, 60, 100, 100, 0]


def test_watch_time_counts_each_viewer_in_its_bin(built: StageContext) -> None:
    """Everybody stays to the end as far as is known, 2901 to 3000 seconds; every bin is there."""
    bins = live_figures.watch_time(built)
    assert bins.loc[bins["viewers"] > 0, ["from_seconds", "to_seconds", "viewers"]].to_numpy().tolist() == [
        [1800, 3600, VIEWERS]
    ]
    assert bins["from_seconds"].tolist() == list(live_figures.EDGES_S)
    assert bins["to_seconds"].isna().tolist() == [False] * (len(bins) - 1) + [True]


def test_audiences_are_those_of_the_daily_roll_up(built: StageContext) -> None:
    """One row a live, whoever its guests are."""
    (row,) = live_figures.audiences(built).to_dict("records")
    meant = counted(DAYS[1], whole_log=False)
    assert {name: row[name] for name in ("viewers", "members", "guest_viewers", "peak_viewers")} == {
        name: meant[name] for name in ("viewers", "members", "guest_viewers", "peak_viewers")
    }
    assert (row["post_id"], row["fc_viewers"], row["comm_viewers"]) == ("live-0501", 5, 10)


def test_where_nothing_was_built_there_are_no_rows(world: LiveWorld) -> None:
    """A stage that built no date shows empty frames of the same columns, not an error."""
    here = stages.begin("30_live_play", profile=str(world.profile))
    assert live_figures.minutes(here).columns.tolist()[-1] == "known"
    assert len(live_figures.minutes(here)) == len(live_figures.audiences(here)) == 0
    assert live_figures.watch_time(here)["viewers"].sum() == 0


def test_kpis_are_those_that_readers_see(built: StageContext) -> None:
    """Nothing before anything is published; after it, the newest date by artist, most viewers first."""
    assert repr(live_figures.kpis(built)) == ""

    stages.publish(built, "wv_live_play")
    head, *lines = (re.split(r"  +", line) for line in repr(live_figures.kpis(built)).splitlines())
    shown = [dict(zip(head, line, strict=True)) for line in lines]
    assert [line["2024-05-01"] for line in shown] == ["artist 1", "artist 2"]
    assert [line["viewers"] for line in shown] == [str(VIEWERS)] * 2
    assert [line["fan club viewers"] for line in shown] == ["5", "0"]
    assert [line["hours watched"] for line in shown] == [f"{295_050 // 3600}"] * 2


def test_a_report_without_live_viewing_says_so_once(world: LiveWorld, tmp_path: Path) -> None:
    """The report works for it all the same."""
    profile = tmp_path / "games.yaml"
    profile.write_text(world.text[: world.text.index("live_play:")], encoding="utf-8")
    here = stages.begin("50_report", profile=str(profile))
    assert repr(live_figures.kpis(here)) == ""
    (said,) = stages.report(here).live_viewing().outputs()
    assert repr(said) == "There is no live viewing: none is configured, or no date is published yet."


def test_the_report_counts_every_table(world: LiveWorld) -> None:
    """Outside a run it makes the games' figures and the lives' tables; its receipt counts both."""
    here = stages.begin("50_report", profile=str(world.profile))
    shown = stages.outcomes(here)["pipeline"].value_counts().to_dict()

    assert shown == {"game_metric": 21, "live_play": 7}
    assert stages.receipt(here)["tasks"] == {"ok": 28}
