"""How many watched at once: hours, minutes and peaks from the pieces in which viewers played.

What buckets of viewers add up to is summed by `summed`; only the peak needs every change, in time's order. Steps of
the day, hour and minute roll-ups; see `live_events` for the numbers and instants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.time import HOUR, MINUTE, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir

STRETCH = ("live_no", "minute_no", "hour_no")


def _last(until_us: Any, unit: int, start_us: Any = 0) -> ir.IntegerValue:
    """Return the bucket that holds the last instant before `until_us`."""
    return whole(until_us - 1 - start_us, unit)


def started(all_pieces: ir.Table, lives: ir.Table) -> ir.Table:
    """Return the pieces with their live's `start_us`, from which hours are counted."""
    start = lives.select("start_us", start_live_no="live_no")
    return all_pieces.join(start, [("live_no", "start_live_no")]).drop("start_live_no")


def touched(all_pieces: ir.Table, unit: int, *, from_start: bool) -> ir.Table:
    """Return how the pieces meet the buckets of time in which they begin and end.

    A viewer is counted where a piece begins, unless one of the viewer's before reached that bucket; how long pieces
    run through whole buckets follows from where they go on and come in.

    Returns:
        live_no, bucket_no; new viewers, inside_us int64 of play in first and last buckets, goes_on (pieces that run
        on into the next bucket), came_in (pieces that ran in from the one before and end here).
    """
    start: Any = _.start_us if from_start else 0
    met = all_pieces.mutate(
        first_no=whole(_.from_us - start, unit),
        last_no=_last(_.to_us, unit, start),
        # A viewer's first piece was seen in no bucket.
        seen_no=ibis.ifelse(_.seen_us.isnull(), -1, _last(ibis.coalesce(_.seen_us, _.to_us), unit, start)),
    )
    begins = met.group_by("live_no", bucket_no="first_no").agg(
        new=(_.seen_no < _.first_no).cast("int64").sum(),
        inside_us=(ibis.least(_.to_us, (_.first_no + 1) * unit + start) - _.from_us).sum().cast("int64"),
        goes_on=(_.last_no > _.first_no).cast("int64").sum(),
        came_in=ibis.literal(0, "int64"),
    )
    ends = (
        met.filter(_.last_no > _.first_no)
        .group_by("live_no", bucket_no="last_no")
        .agg(
            new=ibis.literal(0, "int64"),
            inside_us=(_.to_us - (_.last_no * unit + start)).sum().cast("int64"),
            goes_on=ibis.literal(0, "int64"),
            came_in=_.count(),
        )
    )
    return begins.union(ends, distinct=False)


def clicks(all_spans: ir.Table, lives: ir.Table) -> ir.Table:
    """Return the joins and leaves within the live window: live_no, minute_no, hour_no, join_cnt, leave_cnt int64."""
    window = lives.select("start_us", "tmp_end_us", window_live_no="live_no")
    known = all_spans.join(window, [("live_no", "window_live_no")])
    inside = known.filter(_.us.between(_.start_us, _.tmp_end_us))
    times = {"minute_no": whole(inside.us, MINUTE), "hour_no": whole(inside.us - inside.start_us, HOUR)}
    return inside.group_by("live_no", **times).agg(
        join_cnt=ibis.ifelse(_.joins, _.counts, 0).sum().cast("int64"),
        leave_cnt=ibis.ifelse(_.joins, 0, _.counts).sum().cast("int64"),
    )


def summed(parts: ir.Table, *keys: str) -> ir.Table:
    """Return one row for each key: every other column, a bigint, added up."""
    others = [column for column in parts.columns if column not in keys]
    return parts.group_by(*keys).agg(**{column: parts[column].sum().cast("int64") for column in others})


def changes(all_pieces: ir.Table) -> ir.Table:
    """Return when the number of viewers changes: live_no, at_us, change (1 or -1), unordered."""
    comes = all_pieces.select("live_no", at_us="from_us", change=ibis.literal(1, "int32"))
    goes = all_pieces.select("live_no", at_us="to_us", change=ibis.literal(-1, "int32"))
    return comes.union(goes, distinct=False)


def minutes(lives: ir.Table) -> ir.Table:
    """Return every KST minute that holds an instant of the live window: live_no, minute_no."""
    first, last = whole(lives.start_us, MINUTE), whole(lives.tmp_end_us, MINUTE)
    return lives.select("live_no", minute_no=ibis.range(first, last + 1, 1).unnest())


def hours(lives: ir.Table) -> ir.Table:
    """Return every hour since the start that holds an instant of the live window: live_no, hour_no."""
    last = whole(lives.tmp_end_us - lives.start_us, HOUR)
    return lives.select("live_no", hour_no=ibis.range(ibis.literal(0, "int64"), last + 1, 1).unnest())


def marks(lives: ir.Table) -> ir.Table:
    """Return a change of 0 where each minute and hour of a window begins, so that none is without a count."""
    window = lives.select("start_us", window_live_no="live_no")
    of_minutes = minutes(lives).join(window, [("live_no", "window_live_no")])
    of_hours = hours(lives).join(window, [("live_no", "window_live_no")])
    zero = ibis.literal(0, "int32")
    return of_minutes.select("live_no", at_us=ibis.greatest(_.minute_no * MINUTE, _.start_us), change=zero).union(
        of_hours.select("live_no", at_us=_.hour_no * HOUR + _.start_us, change=zero), distinct=False
    )


def placed(all_changes: ir.Table, lives: ir.Table) -> ir.Table:
    """Return the changes with their STRETCH: live_no, minute_no, hour_no, at_us, change."""
    return started(all_changes, lives).select(
        "live_no", "at_us", "change", minute_no=whole(_.at_us, MINUTE), hour_no=whole(_.at_us - _.start_us, HOUR)
    )


def segments(running: ir.Table) -> ir.Table:
    """Return what happens within each stretch of one minute and one hour.

    Args:
        running: `placed` with the changes of a STRETCH added up by `at_us` (`Engine.running`); all of a stretch must be
            there, its mark too.

    Returns:
        live_no, minute_no, hour_no; change int64 over the stretch; top int64: the highest that the count rises to,
        from 0 before the stretch, counted at its first instant and after each change.
    """
    return running.group_by(*STRETCH).agg(
        change=_.change.sum().cast("int64"), top=(_.until.max() - _.before.max()).cast("int64")
    )


def levels(all_segments: ir.Table) -> ir.Table:
    """Return the stretches with how many were watching: live_no, minute_no, hour_no, peak, end int64."""
    until = _.change.sum().over(
        group_by="live_no", order_by=[ibis.asc("minute_no"), ibis.asc("hour_no")], rows=(None, 0)
    )
    return all_segments.mutate(end=until.cast("int64")).select(
        "live_no", "minute_no", "hour_no", "end", peak=_.end - _.change + _.top
    )


def by_bucket(series: ir.Table, met: ir.Table, unit: int) -> ir.Table:
    """Return viewers and play time of every bucket of a series.

    Args:
        series: live_no, bucket_no: every bucket of the live window.
        met: `touched`, summed by live_no and bucket_no.

    Returns:
        live_no, bucket_no, viewers int64 (who played at any instant of it), play_us int64.
    """
    own = met.rename(met_live_no="live_no", met_bucket_no="bucket_no")
    known = series.left_join(own, [("live_no", "met_live_no"), ("bucket_no", "met_bucket_no")])
    filled = known.select(
        "live_no",
        "bucket_no",
        **{name: ibis.coalesce(known[name], 0) for name in ("new", "inside_us", "goes_on", "came_in")},
    )
    before: dict[str, Any] = {"group_by": "live_no", "order_by": ibis.asc("bucket_no"), "rows": (None, -1)}
    running = filled.mutate(inside=ibis.coalesce((_.goes_on - _.came_in).sum().over(**before), 0).cast("int64"))
    return running.select(
        "live_no",
        "bucket_no",
        viewers=_.new + _.inside,
        # Who came in from the bucket before and goes on is there for all of it.
        play_us=_.inside_us + (_.inside - _.came_in) * unit,
    )
