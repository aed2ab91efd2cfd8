"""What becomes of a KPI date or a month when none of its dates was published anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bigmama_nb.runs.task import Task
from bigmama_nb.stages import live_play
from bigmama_nb.tables import DAILY, KPI, MONTH


def task(table: str, part_date: str, outcome: str | None = None) -> Task:
    return Task(
        f"{table}/{part_date}", "live_play", table=table, part_date=part_date, through="2024-05-03", outcome=outcome
    )


HERE: Any = SimpleNamespace(profile=SimpleNamespace(live_play=SimpleNamespace(database="we_mart")))


@pytest.mark.parametrize(
    ("period", "outcomes", "expected"),
    [
        ((MONTH, "2024-05"), ("ok", "ok"), "ok"),
        ((MONTH, "2024-05"), ("ok", "failed"), "skipped"),
        ((MONTH, "2024-05"), ("not_ready", "ok"), "skipped"),
        ((MONTH, "2024-05"), ("failed", "failed"), "skipped"),
        ((KPI, "2024-05-01"), ("ok", "failed"), "ok"),
        ((KPI, "2024-05-02"), ("ok", "failed"), "skipped"),
    ],
)
def test_a_period_is_ok_where_all_its_dates_are(
    period: tuple[str, str], outcomes: tuple[str, str], expected: str
) -> None:
    """Unchanged since newer rows stand, it is ok; with one date that did not get there it was skipped."""
    days = ("2024-05-01", "2024-05-02")
    ended = {
        one.id: one
        for day, outcome in zip(days, outcomes, strict=True)
        for one in (task(table, day, outcome) for table in DAILY)
    }
    nobody: Any = None
    done, found = live_play._publish_period(HERE, nobody, nobody, nobody, task(*period), set(), ended)
    assert (done, found.outcome) == ([], expected)
    assert (found.message is None) == (expected == "ok")
    if expected == "skipped":
        assert f"no partition of {period[1]} changed in this attempt" in str(found.message)


def test_one_table_of_a_date_that_did_not_get_there_is_enough() -> None:
    """A date is five tables: a KPI whose roll-up failed is not ok by the other four."""
    ended = {
        one.id: one
        for one in (task(table, "2024-05-01", "failed" if nth == 2 else "ok") for nth, table in enumerate(DAILY))
    }
    nobody: Any = None
    _, found = live_play._publish_period(HERE, nobody, nobody, nobody, task(KPI, "2024-05-01"), set(), ended)
    assert found.outcome == "skipped"
