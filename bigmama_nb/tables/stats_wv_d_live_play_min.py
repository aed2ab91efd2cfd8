"""`we_mart.stats_wv_d_live_play_min`: each live and participant by KST minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.concurrency import by_bucket, minutes, summed
from bigmama_nb.tables.live.time import MINUTE, SECOND, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir


def _broken(table: ir.Table) -> ir.Table:
    return table.filter(
        (_.viewers < 0)
        | (_.joins < 0)
        | (_.leaves < 0)
        | (_.play_seconds < 0)
        | (_.play_seconds > _.viewers * 60)
        | (_.peak_viewers > _.viewers)
        | (_.end_viewers > _.peak_viewers)
        | (_.end_viewers < 0)
    )


CONTRACT = Table(
    database="we_mart",
    name="stats_wv_d_live_play_min",
    columns=(
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("post_id", "string", "the live", nullable=False),
        Column("video_id", "string", "the live's video"),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("comm_id", "int", "커뮤니티id", nullable=False),
        Column("guest_joint_seq", "int", "합동라이브 게스트 조인 순서", nullable=False),
        Column("datetime", "string", "the minute, KST, YYYY-MM-DD HH:MM:00", nullable=False),
        Column("joins", "bigint", "재생수, within the live window", nullable=False),
        Column("leaves", "bigint", "이탈수, within the live window", nullable=False),
        Column("play_seconds", "bigint", "seconds watched in the minute, over viewers", nullable=False),
        Column("viewers", "bigint", "viewers playing at any instant of the minute", nullable=False),
        Column("end_viewers", "bigint", "viewers playing at the minute's last microsecond", nullable=False),
        Column("peak_viewers", "bigint", "most viewers at once, exact to the microsecond", nullable=False),
    ),
    partition="part_date",
    key=("post_id", "guest_joint_seq", "datetime"),
    comment="Viewing of live broadcasts by live, participant and KST minute",
    notice=Notice(
        level="roll-up",
        purpose="draws the curve of viewers of a live, minute by minute",
        update="replaced: a run replaces a part_date as a whole, its five tables together",
        steps=(
            "Made from the spans of wv_live_play in the same build",
            "A minute has a row whether anybody played or not",
        ),
        mind=(
            "peak_viewers of a minute is exact; the largest of them is the live's peak",
            "Viewers of minutes do not add up",
        ),
    ),
    upstream=("we_mart.wv_live_play",),
    checks=(Check("counts", "fail", "counts are not negative and fit the minute and its viewers", _broken),),
)


def by_minute(
    everybody: ir.Table, lives: ir.Table, met: ir.Table, clicked: ir.Table, known_levels: ir.Table
) -> ir.Table:
    """Return the roll-up's numbers, one row a minute of each participant.

    Args:
        everybody: `participants` with `participant_no`; met: `touched` by minutes; clicked: `clicks`;
        known_levels: `levels`; all over all buckets.

    Returns:
        live_no, participant_no, minute_no, joins, leaves, play_seconds, viewers, end_viewers, peak_viewers int64.
    """
    full = by_bucket(minutes(lives).rename(bucket_no="minute_no"), met, MINUTE)
    sums = summed(clicked.drop("hour_no"), "live_no", "minute_no").rename(c_live_no="live_no")
    full = full.left_join(sums, [("live_no", "c_live_no"), ("bucket_no", "minute_no")])
    # A minute in which an hour begins has two stretches: the later one ends it.
    ends = known_levels.group_by("live_no", "minute_no").agg(last_hour_no=_.hour_no.max(), peak_viewers=_.peak.max())
    last = known_levels.select("end", l_live_no="live_no", l_minute_no="minute_no", l_hour_no="hour_no")
    on = [("live_no", "l_live_no"), ("minute_no", "l_minute_no"), ("last_hour_no", "l_hour_no")]
    watching = ends.join(last, on).select("peak_viewers", "end", w_live_no="live_no", w_minute_no="minute_no")
    full = full.left_join(watching, [("live_no", "w_live_no"), ("bucket_no", "w_minute_no")])
    of_live = everybody.select("participant_no", e_live_no="live_no")
    return full.join(of_live, [("live_no", "e_live_no")]).select(
        "live_no",
        "participant_no",
        "viewers",
        "peak_viewers",
        minute_no=_.bucket_no,
        joins=ibis.coalesce(_.join_cnt, 0),
        leaves=ibis.coalesce(_.leave_cnt, 0),
        play_seconds=whole(_.play_us, SECOND),
        end_viewers=_.end,
    )
