"""What is found out before any work: duplicate keys, rejects and their share, what the log holds of each live."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from bigmama_nb.engines import Engine
from bigmama_nb.errors import TaskError, explain
from bigmama_nb.live_play.result import Options, SourceCount
from bigmama_nb.tables.contract import ARROW_TYPES, Table
from bigmama_nb.tables.live import events
from bigmama_nb.tables.live.sources import (
    JOIN_URL,
    LIVE,
    SERVER_LOG,
    SOURCES,
    USER,
    rejected,
    usable,
)
from bigmama_nb.tables.live.time import DAY, kst
from bigmama_nb.tables.wv_live_play_rejects import as_json


@dataclass(frozen=True)
class LogSurvey:
    """What the log holds: rows by live, rejected ones among them, and joins and leaves of no live.

    `counted` is the part of `events.survey` that is of the counted lives; it stands on what is kept as log_survey.
    """

    counted: ir.Table
    delivered: Mapping[str, int]
    rejected: int
    first_us: int
    last_us: int
    unmatched_joins: int
    unmatched_leaves: int

    @property
    def rows(self) -> int:
        """Joins and leaves of counted lives as delivered."""
        return sum(self.delivered.values())


def require_unique(engine: Engine, part_date: str, tables: Mapping[str, ir.Table]) -> None:
    """Refuse a `post_id` or `wv_user_id` that stands twice, whatever else its rows hold.

    Raises:
        TaskError: duplicate_key; a post is named, a user only counted.
    """
    for source in (LIVE, USER):
        key = source.key[0]
        # An engine has a hash for null as well.
        rows = tables[source.name].filter(_[key].notnull())
        # Keys with different hashes differ, and to tell numbers apart takes half as long.
        hashed = engine.arrow(rows.agg(keys=_.count(), hashes=rows[key].hash().nunique()))
        if hashed["keys"][0] == hashed["hashes"][0]:
            continue
        twice = rows.group_by(key).agg(times=_.count()).filter(_.times > 1)
        found = engine.arrow(twice.agg(keys=_.count(), first=twice[key].min(), rows=_.times.sum()))
        keys, first = found["keys"][0].as_py(), found["first"][0].as_py()
        if not keys:
            continue
        # A user's id stands in no message: it goes to records and pages that many read.
        named = f" ({first!r} first)" if source is LIVE else ""
        raise TaskError(
            "duplicate_key",
            explain(
                f"wv_live_play {part_date}",
                f"{source.name} holds {keys} {key}{'s' if keys > 1 else ''} more than once{named}, on "
                f"{found['rows'][0].as_py()} rows",
                expected="one row each",
                step="remove the copies and run again",
            ),
            place=f"{source.full_name}.{key}",
        )


def small_source_counts(engine: Engine, tables: Mapping[str, ir.Table]) -> dict[str, SourceCount]:
    """Return delivered and rejected rows of every source but the log."""
    counts = []
    for source in SOURCES:
        if source is not SERVER_LOG:
            rows = tables[source.name]
            rejected_rows = (~usable(source, rows)).cast("int64").sum().coalesce(0)
            counts.append(
                rows.agg(delivered=rows.count(), rejected=rejected_rows).mutate(source=ibis.literal(source.name))
            )
    found = engine.arrow(ibis.union(*counts, distinct=False))
    return {row["source"]: SourceCount(row["delivered"], row["rejected"]) for row in found.to_pylist()}


def survey_log(engine: Engine, log: ir.Table, wv_live: ir.Table, posts: list[str], day_start_us: int) -> LogSurvey:
    """Return what the joins and leaves of the log belong to, in one pass over it."""
    first_us, last_us = events.near_us(day_start_us)
    near = (kst(first_us).isoformat(sep=" "), kst(last_us).isoformat(sep=" "))
    found = engine.keep(events.survey(log, near), "log_survey")
    known = wv_live.filter(usable(LIVE, wv_live)).select("post_id")
    nobody = engine.arrow(
        found.anti_join(known, "post_id").group_by("url").agg(delivered=_.delivered.sum().cast("int64"))
    )
    unmatched = dict(zip(nobody["url"].to_pylist(), nobody["delivered"].to_pylist(), strict=True))
    delivered: dict[str, int] = {}
    refused = far = 0
    counted = found.filter(_.post_id.isin(posts) if posts else ibis.literal(False))
    sums = {name: counted[name].sum().cast("int64") for name in ("delivered", "rejected", "far")}
    for row in engine.arrow(counted.group_by("post_id").agg(**sums)).to_pylist():
        delivered[row["post_id"]] = row["delivered"]
        refused += row["rejected"]
        far += row["far"]
    joins = unmatched.pop(JOIN_URL, 0)
    if far:
        rows = events.of_lives(log, posts, rejects=refused > 0)
        times = engine.arrow(events.far_times(rows, near)).to_pylist()[0]
        # A midnight, so that minutes stay whole.
        first_us -= max(-(-(first_us - times["first_us"]) // DAY), 0) * DAY
        last_us = max(last_us, times["last_us"])
    return LogSurvey(counted, delivered, refused, first_us, last_us, joins, sum(unmatched.values()))


def only_usable(tables: Mapping[str, ir.Table], counts: Mapping[str, SourceCount]) -> dict[str, ir.Table]:
    """Return what can be used of every source but the log.

    A source without rejects is left as it is: to look at each row again would read all of its columns.
    """
    return {
        source.name: tables[source.name].filter(usable(source, tables[source.name]))
        if counts[source.name].rejected
        else tables[source.name]
        for source in SOURCES
        if source is not SERVER_LOG
    }


def require_shares(part_date: str, counts: Mapping[str, SourceCount], options: Options) -> None:
    """Refuse more than `max_rejected_share` of a source; exactly the share passes.

    Raises:
        TaskError: rejected_share, naming each source with its figures.
    """
    limit = Fraction(str(options.max_rejected_share))
    over = [
        f"{name}: {count.rejected} of {count.delivered} rows cannot be used ({count.rejected / count.delivered:.4%})"
        for name, count in counts.items()
        if count.rejected > limit * count.delivered
    ]
    if over:
        raise TaskError(
            "rejected_share",
            explain(
                f"wv_live_play {part_date}",
                f"{'; '.join(over)}; live_play.max_rejected_share is {options.max_rejected_share:.4%}",
                step="put the source right and run again, or raise the share",
            ),
            place=over[0].partition(":")[0],
        )


def require_short(part_date: str, lives: pa.Table, options: Options) -> None:
    """Refuse a live whose `tmp_end_dt` is more than `max_live_days` after its start.

    Raises:
        TaskError: live_too_long, naming each.
    """
    limit = options.max_live_days * 86_400_000_000
    over = [
        f"{row['post_id']!r} lasts {dt.timedelta(microseconds=row['tmp_end_us'] - row['start_us'])}"
        + ("" if row["end_us"] is not None else " by its last event, since it has no end_dt")
        for row in lives.select(["post_id", "start_us", "end_us", "tmp_end_us"]).to_pylist()
        if row["tmp_end_us"] - row["start_us"] > limit
    ]
    if over:
        raise TaskError(
            "live_too_long",
            explain(
                f"wv_live_play {part_date}",
                f"wv_live.post_id {', '.join(over)}; live_play.max_live_days is {options.max_live_days}",
                step="correct end_dt, or raise the limit",
            ),
            place=f"{LIVE.full_name}.end_dt",
        )


def broken_rows(
    tables: Mapping[str, ir.Table], log: ir.Table, posts: list[str], counts: Mapping[str, SourceCount]
) -> Iterator[tuple[Table, ir.Table]]:
    """Return the sources that have rejected rows, and these rows: reason and the source's columns, lazy."""
    for source in SOURCES:
        if not counts[source.name].rejected:
            continue
        rows = tables[source.name]
        if source is SERVER_LOG:
            rows = events.joins_and_leaves(log).filter(_.post_id.isin(posts))
        yield source, rejected(source, rows)


def rejects(
    engine: Engine, tables: Mapping[str, ir.Table], log: ir.Table, posts: list[str], counts: Mapping[str, SourceCount]
) -> Iterator[pa.Table]:
    """Return the rejected rows, source by source: source, reason and row, sorted within each."""
    for source, rows in broken_rows(tables, log, posts, counts):
        yield _spelled(source, engine.arrow(rows))


def _spelled(source: Table, found: pa.Table) -> pa.Table:
    names = [column.name for column in source.columns]
    columns = [found.column(c.name).cast(ARROW_TYPES[c.type]) for c in source.columns]
    rows = [
        as_json(dict(zip(names, values, strict=True))) for values in zip(*(_values(c) for c in columns), strict=True)
    ]
    spelled = pa.table(
        {
            "source": pa.array([source.name] * len(rows), pa.string()),
            "reason": found.column("reason").cast(pa.string()),
            "row": pa.array(rows, pa.string()),
        }
    )
    return spelled.sort_by([("reason", "ascending"), ("row", "ascending")])


def _values(column: pa.ChunkedArray) -> list[object]:
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    # Through integers: zones of the tz database are none of this.
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [None if us is None else epoch + dt.timedelta(microseconds=us) for us in column.cast(pa.int64()).to_pylist()]
