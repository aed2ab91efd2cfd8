"""The page of a date's lives: viewers, peak and play hours of each, what was rejected, and whether it is final."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from bigmama_nb.errors import BigmamaError
from bigmama_nb.profile import Profile
from bigmama_nb.site import index, records
from bigmama_nb.site.pages import Writer, day
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.query import views

_LIVES = """select post_id, we_art_id artist, viewers, peak_viewers, peak_datetime, play_seconds, members, guest_viewers
    from stats_wv_d_live_play where part_date = ? order by viewers desc, post_id"""
_REJECTS = """select source, reason, count(*) rejected from wv_live_play_rejects where part_date = ?
    group by all order by all"""


def write(writer: Writer, found: index.Index, profile: Profile, runs: Sequence[int] | None) -> None:
    """Write `lives/<part_date>.html` of the dates that these runs (None: all) have a word on.

    The figures of the lives are the warehouse's; where it cannot be asked the page says so.
    """
    of = found.rows(
        """select distinct t.day, t.run from task t join series s on s.no = t.series
           where s.pipeline = 'live_play' and t.day > 9999999"""
    )
    kept = {writer.root / "lives" / f"{day(row['day'])}.html" for row in of}
    for page in (writer.root / "lives").glob("*.html"):
        if page not in kept:
            page.unlink(missing_ok=True)
    wanted = sorted({row["day"] for row in of if runs is None or row["run"] in runs})
    figures = _figures(profile, [day(number) for number in wanted]) if wanted else {}
    for number in wanted:
        writer.page(
            f"lives/{day(number)}.html",
            "lives.html",
            date=day(number),
            tables=_tables(writer, found, number),
            figures=figures.get(day(number)),
        )


def _figures(profile: Profile, dates: list[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    import duckdb

    try:
        with Warehouse.open(profile.warehouse) as warehouse, contextlib.closing(views(warehouse)) as connection:
            found = {}
            for date in dates:
                answers = {}
                for name, query in (("lives", _LIVES), ("rejects", _REJECTS)):
                    answer = connection.execute(query, [date])
                    heads = [column[0] for column in answer.description or []]
                    answers[name] = [dict(zip(heads, row, strict=True)) for row in answer.fetchall()]
                found[date] = answers
            return found
    except (BigmamaError, duckdb.Error, OSError):
        return {}


def _tables(writer: Writer, found: index.Index, number: int) -> list[dict[str, Any]]:
    """Return the newest word on each table of a date: its outcome, rows, counts, and the run."""
    newest: dict[str, dict[str, Any]] = {}
    for row in found.rows(
        """select s.name, t.outcome, t.published, t.rows, t.final, t.attempt, r.run_id from task t
           join series s on s.no = t.series join run r on r.no = t.run
           where s.pipeline = 'live_play' and t.day = ? order by t.at, t.run""",
        (number,),
    ):
        newest[row["name"]] = row
    counts: dict[tuple[str, str], Any] = {}
    for run_id in {row["run_id"] for row in newest.values()}:
        with contextlib.suppress(records.UnreadableError):
            data = records.load(writer.root / "runs" / run_id / "run.json")
            counts |= {(run_id, task.name): task.counts for task in records.tasks(data) if task.day == number}
    return [row | {"counts": counts.get((row["run_id"], name), {})} for name, row in sorted(newest.items())]
