"""Which part_dates a run builds, with how much of the log (docs/spec/wv_live_play.md, "Which rows count", rule 2)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.live_play import Due, Options, Published, due_dates
from bigmama_nb.live_play.dates import log_dates
from tests.live_play.oracle import LEAVE
from tests.live_play.small import DAY, NEXT, at, build_day, day, live, request
from tests.live_play.warehouse import read_rows


def may(number: int) -> dt.date:
    return dt.date(2024, 5, 1) + dt.timedelta(days=number - 1)


def nothing(_: dt.date) -> None:
    return None


def test_a_run_builds_its_days_with_the_log_up_to_the_last() -> None:
    """Where nothing is published, just the days are built, none with more of the log than the last day's."""
    assert due_dates([may(3), may(1), may(2)], nothing, 1) == [
        Due(may(1), may(2), asked=True),
        Due(may(2), may(3), asked=True),
        Due(may(3), may(3), asked=True),
    ]


def test_what_is_not_final_of_the_week_before_is_built_again() -> None:
    """Published dates of the seven days before any day are built again unless they are final; older ones are not."""
    known = {may(10): False, may(9): True, may(4): False, may(3): False, may(2): False}
    found = due_dates([may(11)], lambda d: Published(known[d]) if d in known else None, 1)
    assert found == [
        Due(may(4), may(5), asked=False),
        Due(may(10), may(11), asked=False),
        Due(may(11), may(11), asked=True),
    ]


def test_the_week_before_is_that_of_every_day() -> None:
    """A run of several days looks a week back from its first, since that is before any of them."""
    found = due_dates([may(11), may(20)], lambda d: Published(False) if d in (may(4), may(13)) else None, 0)
    assert [due.part_date for due in found] == [may(4), may(11), may(13), may(20)]


def test_what_is_final_stays_final() -> None:
    """A final date that is asked for is built with its whole log, beyond the last of the days."""
    assert due_dates([may(1)], lambda _: Published(True), 1) == [Due(may(1), may(2), asked=True)]
    assert due_dates([may(1)], lambda _: Published(False), 1)[-1] == Due(may(1), may(1), asked=True)


def test_no_day_asks_for_nothing() -> None:
    """A run without days builds nothing again either."""
    assert due_dates([], lambda _: Published(False), 1) == []


@pytest.mark.parametrize(
    ("log_end", "before", "after", "earlier", "wanted"),
    [
        (1, 1, 1, [0], [1]),
        (2, 1, 1, [0], [1, 2]),
        (9, 1, 1, [0], [1, 2]),
        (9, 0, 0, [], [1]),
        (3, 2, 3, [-1, 0], [1, 2, 3]),
    ],
)
def test_wanted_dates_end_where_the_log_does(
    log_end: int, before: int, after: int, earlier: list[int], wanted: list[int]
) -> None:
    """Wanted are the dates through the earlier of part_date + log_days_after and the log's end."""
    assert log_dates(may(1), may(log_end), before, after) == ([may(d) for d in earlier], [may(d) for d in wanted])


def test_an_earlier_date_without_a_partition_is_empty(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Only dates from part_date on are waited for."""
    assert build_day(duck, tmp_path, day()).outcome == "ok"


def test_those_who_waited_and_the_tail_are_kept(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A live across midnight keeps what the dates before and after hold of it, and is final then."""
    sources = day() | {"wv_live": [live(start_dt=at("2024-05-01 00:00:00"), end_dt=at("2024-05-02 01:00:00"))]}
    sources["wv_server_log_base"] = [
        request("2024-04-30 23:59:00", date_id="2024-04-30"),
        request("2024-05-02 00:59:00", LEAVE, date_id="2024-05-02"),
    ]
    built = build_day(duck, tmp_path, sources, log_end=NEXT)
    rows = read_rows(built, "wv_live_play", "2024-05-01")
    assert [(row[2], row[5], row[30]) for row in rows] == [
        ("2024-04-30", "2024-04-30 23:59:00", 24 * 3600 + 59 * 60),
        ("2024-05-02", "2024-05-02 00:59:00", 24 * 3600 + 59 * 60),
    ]
    assert (built.final, built.through) == (True, NEXT)


def test_a_date_that_the_log_ends_before_is_not_read(duck: DuckDBEngine, tmp_path: Path) -> None:
    """With the log up to part_date the next date is not in it, even where it is there, and the partition not final."""
    sources = day()
    sources["wv_server_log_base"].append(request("2024-05-01 20:55:00", LEAVE, date_id="2024-05-02"))
    built = build_day(duck, tmp_path, sources)
    assert (built.final, built.through, built.counts.leaves) == (False, DAY, 1)
    later = build_day(duck, tmp_path / "later", sources, log_end=NEXT)
    assert (later.final, later.through, later.counts.leaves) == (True, NEXT, 2)


def test_date_id_only_chooses_which_rows_are_read(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Times in the tables come from `datetime`, whatever partition a row lies in."""
    sources = day()
    sources["wv_server_log_base"] = [request("2024-05-01 20:10:00", date_id="2024-04-30")]
    rows = read_rows(build_day(duck, tmp_path, sources), "wv_live_play", "2024-05-01")
    assert [(row[2], row[5]) for row in rows] == [("2024-05-01", "2024-05-01 20:10:00")]


def test_without_days_around_it_the_log_is_the_day(duck: DuckDBEngine, tmp_path: Path) -> None:
    """log_days_before and log_days_after of 0 read the part_date alone, which is final at once."""
    sources = day()
    sources["wv_server_log_base"] += [
        request("2024-05-01 20:20:00", date_id="2024-04-30"),
        request("2024-05-01 20:21:00", date_id="2024-05-02"),
    ]
    built = build_day(duck, tmp_path, sources, log_end=NEXT, options=Options(log_days_before=0, log_days_after=0))
    assert (built.counts.joins, built.final, built.through) == (3, True, DAY)
