"""`we_mart.stats_wv_m_video_copyright`: a month of a video by participant and country, for royalties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.concurrency import summed
from bigmama_nb.tables.live.events import SLICES, viewer_hash, viewer_slice
from bigmama_nb.tables.wv_live_play import viewer

if TYPE_CHECKING:
    import ibis.expr.types as ir

KEY = ("video_id", "we_art_id", "comm_id", "guest_joint_seq", "ctry_code")


def _broken(table: ir.Table) -> ir.Table:
    return table.filter((_.lives < 1) | (_.viewers < 1) | (_.views < 0) | (_.joins < _.views) | (_.play_seconds < 0))


CONTRACT = Table(
    database="we_mart",
    name="stats_wv_m_video_copyright",
    columns=(
        Column("part_month", "string", "month of part_date, YYYY-MM", nullable=False),
        Column("video_id", "string", "the video, null where it is not known"),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("comm_id", "int", "커뮤니티id", nullable=False),
        Column("guest_joint_seq", "int", "합동라이브 게스트 조인 순서", nullable=False),
        Column("ctry_code", "string", "s_log.gcc, null where it is not known"),
        Column("lives", "bigint", "distinct lives", nullable=False),
        Column("viewers", "bigint", "distinct viewers over the month", nullable=False),
        Column("views", "bigint", "first joins of a viewer in a live", nullable=False),
        Column("joins", "bigint", "재생수", nullable=False),
        Column("play_seconds", "bigint", "seconds watched, of the country of the first join", nullable=False),
    ),
    partition="part_month",
    key=KEY,
    comment="Viewing of live videos by month, participant and country, for royalties",
    notice=Notice(
        level="roll-up",
        purpose="says how often and how long a video was watched in a month, by country, for royalties",
        update="replaced: a run replaces it whenever a partition changes that it is made from",
        steps=("Made from the published wv_live_play of the month, anew whenever one of its dates changes",),
        mind=(
            "views, joins and play_seconds add up over countries, lives and viewers do not",
            "A viewer's time is of the country of the first join",
            "A month is whole once its last date is final",
        ),
    ),
    upstream=("we_mart.wv_live_play",),
    checks=(Check("counts", "fail", "lives and viewers are at least 1, views no more than joins", _broken),),
)


def of_slice(play: ir.Table, nth: int, of: int) -> ir.Table:
    """Return the rows of every `of`-th viewer, so that distinct viewers are counted in bounded memory."""
    slices = SLICES // of
    number = viewer_slice(viewer_hash(play.wv_user_id, play.device_id))
    return play.filter(number >= nth * slices, number < (nth + 1) * slices if nth + 1 < of else number < SLICES)


def viewer_sums(play: ir.Table) -> ir.Table:
    """Return what the viewers in `play`, rows of `wv_live_play`, add up to: KEY and bigints, one row for each key."""
    keyed = play.mutate(**viewer(play))
    own = keyed.group_by(*KEY, "viewer_id", "guest_device_id").agg(
        views=_.u_join_first.cast("int64").sum(),
        joins=_.join_cnt.sum(),
        play_seconds=ibis.ifelse(_.u_join_first == 1, _.u_sum_play_time, 0).sum(),
    )
    return own.group_by(*KEY).agg(
        viewers=_.count(),
        views=_.views.sum().cast("int64"),
        joins=_.joins.sum().cast("int64"),
        play_seconds=_.play_seconds.sum().cast("int64"),
    )


def live_counts(play: ir.Table) -> ir.Table:
    """Return the lives of each key: KEY and lives int64."""
    return play.select(*KEY, "post_id").distinct().group_by(*KEY).agg(lives=_.count())


def monthly(viewers: ir.Table, lives: ir.Table) -> ir.Table:
    """Return the table: `viewer_sums` of every slice and `live_counts`, added up."""
    zero = ibis.literal(0, "int64")
    # A union and not a join: of video and country null is a value.
    own = lives.mutate(viewers=zero, views=zero, joins=zero, play_seconds=zero)
    return summed(viewers.mutate(lives=zero).union(own, distinct=False), *KEY)
