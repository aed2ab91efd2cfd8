"""`we_mart.stats_wv_h_live_play`: each live and participant by hour since the start, as the original aggregates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.concurrency import by_bucket, hours, summed
from bigmama_nb.tables.live.time import HOUR, SECOND, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir


def _broken(table: ir.Table) -> ir.Table:
    return table.filter(
        (_.viewers < 0)
        | (_.joins < 0)
        | (_.leaves < 0)
        | (_.play_seconds < 0)
        | (_.play_seconds > _.viewers * 3600)
        | (_.peak_viewers > _.viewers)
    )


CONTRACT = Table(
    database="we_mart",
    name="stats_wv_h_live_play",
    columns=(
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("post_id", "string", "the live", nullable=False),
        Column("video_id", "string", "the live's video"),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("comm_id", "int", "커뮤니티id", nullable=False),
        Column("guest_joint_seq", "int", "합동라이브 게스트 조인 순서", nullable=False),
        Column("live_hour", "int", "hours since the start, 0 for the first", nullable=False),
        Column("viewers", "bigint", "viewers playing at any instant of the hour", nullable=False),
        Column("joins", "bigint", "재생수, within the live window", nullable=False),
        Column("leaves", "bigint", "이탈수, within the live window", nullable=False),
        Column("play_seconds", "bigint", "seconds watched in the hour, over viewers", nullable=False),
        Column("peak_viewers", "bigint", "most viewers at once, exact to the microsecond", nullable=False),
    ),
    partition="part_date",
    key=("post_id", "guest_joint_seq", "live_hour"),
    comment="Viewing of live broadcasts by live, participant and hour since the start",
    notice=Notice(
        level="roll-up",
        purpose="shows how a live went, hour by hour since its start",
        update="replaced: a run replaces a part_date as a whole, its five tables together",
        steps=(
            "Made from the spans of wv_live_play in the same build",
            "An hour has a row whether anybody played or not",
        ),
        mind=(
            "Viewers and play time of the hours need not add up to the day",
            "An hour counts from the live's start and is no hour of the clock",
        ),
    ),
    upstream=("we_mart.wv_live_play",),
    checks=(Check("counts", "fail", "counts are not negative and fit the hour and its viewers", _broken),),
)


def hourly(everybody: ir.Table, lives: ir.Table, met: ir.Table, clicked: ir.Table, known_levels: ir.Table) -> ir.Table:
    """Return the roll-up's numbers, one row an hour of each participant.

    Args:
        everybody: `participants` with `participant_no`; met: `touched` by hours from the start; clicked: `clicks`;
        known_levels: `levels`; all over all buckets.

    Returns:
        live_no, participant_no, live_hour int32, viewers, joins, leaves, play_seconds, peak_viewers int64.
    """
    full = by_bucket(hours(lives).rename(bucket_no="hour_no"), met, HOUR)
    sums = summed(clicked.drop("minute_no"), "live_no", "hour_no").rename(c_live_no="live_no")
    full = full.left_join(sums, [("live_no", "c_live_no"), ("bucket_no", "hour_no")])
    highest = known_levels.group_by(p_live_no="live_no", p_hour_no="hour_no").agg(peak_viewers=_.peak.max())
    full = full.left_join(highest, [("live_no", "p_live_no"), ("bucket_no", "p_hour_no")])
    of_live = everybody.select("participant_no", e_live_no="live_no")
    return full.join(of_live, [("live_no", "e_live_no")]).select(
        "live_no",
        "participant_no",
        "viewers",
        live_hour=_.bucket_no.cast("int32"),
        joins=ibis.coalesce(_.join_cnt, 0),
        leaves=ibis.coalesce(_.leave_cnt, 0),
        play_seconds=whole(_.play_us, SECOND),
        peak_viewers=_.peak_viewers,
    )
