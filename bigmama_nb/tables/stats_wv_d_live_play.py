"""`we_mart.stats_wv_d_live_play`: each live and participant in one row, lives that nobody watched included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.events import Packing

if TYPE_CHECKING:
    import ibis.expr.types as ir

COUNTS = (
    "viewers",
    "guest_viewers",
    "members",
    "fc_viewers",
    "comm_viewers",
    "first_wv_joins",
    "first_comm_joins",
    "late_viewers",
    "joins",
    "leaves",
    "play_seconds",
    "peak_viewers",
)


def _broken(table: ir.Table) -> ir.Table:
    negative = ibis.or_(*[table[name] < 0 for name in COUNTS])
    subsets = (
        "guest_viewers",
        "members",
        "fc_viewers",
        "comm_viewers",
        "first_wv_joins",
        "first_comm_joins",
        "late_viewers",
        "peak_viewers",
    )
    too_many = ibis.or_(*[table[name] > table.viewers for name in subsets])
    return table.filter(negative | too_many)


CONTRACT = Table(
    database="we_mart",
    name="stats_wv_d_live_play",
    columns=(
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("post_id", "string", "the live", nullable=False),
        Column("video_id", "string", "the live's video"),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("comm_id", "int", "커뮤니티id", nullable=False),
        Column("guest_joint_seq", "int", "합동라이브 게스트 조인 순서", nullable=False),
        Column("start_dt", "timestamp", "LIVE시작일시", nullable=False),
        Column("end_dt", "timestamp", "LIVE종료일시"),
        Column("tmp_end_dt", "timestamp", "LIVE종료일시(임시)", nullable=False),
        Column("viewers", "bigint", "viewers with any event, in the live window or not", nullable=False),
        Column("guest_viewers", "bigint", "viewers without a user", nullable=False),
        Column("members", "bigint", "viewers with an account", nullable=False),
        Column("fc_viewers", "bigint", "viewers in the artist's fan club", nullable=False),
        Column("comm_viewers", "bigint", "viewers in the artist's community", nullable=False),
        Column("first_wv_joins", "bigint", "viewers who joined Weverse during the live", nullable=False),
        Column("first_comm_joins", "bigint", "viewers who first joined the community during the live", nullable=False),
        Column("late_viewers", "bigint", "viewers with a join at or after the end", nullable=False),
        Column("joins", "bigint", "재생수", nullable=False),
        Column("leaves", "bigint", "이탈수", nullable=False),
        Column("play_seconds", "bigint", "seconds watched, each viewer's floored", nullable=False),
        Column("peak_viewers", "bigint", "most viewers at once, exact to the microsecond", nullable=False),
        Column("avg_play_seconds", "double", "play_seconds by viewer, null without viewers"),
        Column("peak_datetime", "string", "KST minute in which the peak was first reached, null where nobody played"),
    ),
    partition="part_date",
    key=("post_id", "guest_joint_seq"),
    comment="Viewing of live broadcasts by live and participant",
    notice=Notice(
        level="roll-up",
        purpose="answers how a live did: viewers, peak, play time, members and guests",
        update="replaced: a run replaces a part_date as a whole, its five tables together",
        steps=(
            "Made from the spans of wv_live_play in the same build",
            "Lives that nobody watched are added with zeros",
        ),
        mind=(
            "guest_joint_seq = 0 counts each live once",
            "Viewers do not add up over lives: one may watch several",
        ),
    ),
    upstream=("we_mart.wv_live_play",),
    downstream=("we_mart.stats_we_t_kpi",),
    checks=(Check("counts", "fail", "counts are not negative, and none exceeds the viewers", _broken),),
)


def viewer_counts(described: ir.Table, names: ir.Table) -> ir.Table:
    """Return what the viewers of a bucket add up to: live_no and bigints, one row a live."""
    viewers = (
        described.filter(_.leads)
        .group_by("live_no")
        .agg(
            viewers=_.count(),
            members=_.we_member_id.notnull().cast("int64").sum(),
            first_wv_joins=_.is_first_wv_join.cast("int64").sum(),
            play_seconds=_.u_sum_play_time.sum().cast("int64"),
        )
    )
    # Every device of no user is a viewer.
    guests = names.filter(_.viewer_id.isnull()).group_by(guest_live_no="live_no").agg(guest_viewers=_.count())
    both = viewers.left_join(guests, [("live_no", "guest_live_no")]).drop("guest_live_no")
    return both.mutate(guest_viewers=ibis.coalesce(_.guest_viewers, 0))


def row_counts(rows: ir.Table) -> ir.Table:
    """Return joins and leaves of a bucket: live_no, joins, leaves int64, one row a live."""
    of_live = rows.mutate(live_no=(_.device_no >> 32).cast("int32"))
    return of_live.group_by("live_no").agg(joins=_.join_cnt.sum().cast("int64"), leaves=_.leave_cnt.sum().cast("int64"))


def mark_counts(described: ir.Table) -> ir.Table:
    """Return how many first joins and last leaves the rows of each participant must bear, counted without them.

    Returns:
        live_no; u_join_first, u_leave_last (viewers with a join, a leave), d_join_first, d_leave_last (devices) and
        unequal (viewers whose time differs between devices, always 0), int64.
    """
    marks = described.select(
        "live_no",
        "viewer_no",
        "several",
        "u_sum_play_time",
        joined=_.d_first.notnull().cast("int64"),
        left=_.d_last.notnull().cast("int64"),
    )
    # Most viewers have one device.
    alone = marks.filter(~_.several).select("live_no", "joined", "left", unequal=ibis.literal(0, "int64"))
    together = (
        marks.filter(_.several)
        .group_by("live_no", "viewer_no")
        .agg(
            joined=_.joined.sum().cast("int64"),
            left=_.left.sum().cast("int64"),
            unequal=(_.u_sum_play_time.min() != _.u_sum_play_time.max()).cast("int64"),
        )
    )
    viewers = alone.union(together.drop("viewer_no"), distinct=False)
    return viewers.group_by("live_no").agg(
        u_join_first=(_.joined > 0).cast("int64").sum(),
        u_leave_last=(_.left > 0).cast("int64").sum(),
        d_join_first=_.joined.sum().cast("int64"),
        d_leave_last=_.left.sum().cast("int64"),
        unequal=_.unequal.sum().cast("int64"),
    )


def late_counts(rows: ir.Table, described: ir.Table, packing: Packing) -> ir.Table:
    """Return the viewers of a bucket with a join at or after the end: live_no, late_viewers int64."""
    late = rows.filter(packing.is_late(_.row_key) == 1, _.join_cnt > 0).select("device_no").distinct()
    own = described.select("live_no", "viewer_no", d_device_no="device_no")
    viewers = late.join(own, [("device_no", "d_device_no")]).select("live_no", "viewer_no").distinct()
    return viewers.group_by("live_no").agg(late_viewers=_.count())


def fact_counts(known_facts: ir.Table) -> ir.Table:
    """Return what a bucket's viewers were to an artist: live_no, we_art_id and bigints."""
    flags = known_facts.mutate(live_no=(_.viewer_no >> 32).cast("int32"))
    return flags.group_by("live_no", "we_art_id").agg(
        fc_viewers=_.is_fc.cast("int64").sum(),
        comm_viewers=_.is_comm_user.cast("int64").sum(),
        first_comm_joins=_.is_first_comm_join.cast("int64").sum(),
    )


def peaks(known_levels: ir.Table) -> ir.Table:
    """Return each live's peak: live_no, peak_viewers int64, peak_minute_no (null where nobody played)."""
    highest = known_levels.group_by(high_live_no="live_no").agg(peak_viewers=_.peak.max())
    reached = known_levels.join(highest, [("live_no", "high_live_no")])
    return reached.group_by("live_no", "peak_viewers").agg(
        peak_minute_no=ibis.cases(((_.peak == _.peak_viewers) & (_.peak_viewers > 0), _.minute_no)).min()
    )


def daily(
    everybody: ir.Table,
    viewers: ir.Table,
    rows: ir.Table,
    late: ir.Table,
    known_facts: ir.Table,
    known_peaks: ir.Table,
) -> ir.Table:
    """Return the roll-up's numbers, one row a participant of each live.

    Args:
        everybody: `participants` with `participant_no`; the others: this module's counts, summed over all buckets.

    Returns:
        live_no, participant_no, the contract's counts, avg_play_seconds, peak_minute_no.
    """
    full = everybody.select("live_no", "participant_no", "we_art_id")
    for name, part in (("v", viewers), ("r", rows), ("l", late), ("p", known_peaks)):
        full = full.left_join(part.rename({f"{name}_live_no": "live_no"}), [("live_no", f"{name}_live_no")])
    of_artist = known_facts.rename(f_live_no="live_no", f_art_id="we_art_id")
    full = full.left_join(of_artist, [("live_no", "f_live_no"), ("we_art_id", "f_art_id")])
    counts = {name: ibis.coalesce(full[name], 0) for name in COUNTS}
    return full.select(
        "live_no",
        "participant_no",
        "peak_minute_no",
        **counts,
        avg_play_seconds=full.play_seconds.cast("float64") / full.viewers.cast("float64"),
    )
