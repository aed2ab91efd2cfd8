"""`we_mart.stats_we_t_kpi`: a day of each artist's lives, as host or guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.concurrency import summed
from bigmama_nb.tables.live.events import flag
from bigmama_nb.tables.wv_live_play import viewer

if TYPE_CHECKING:
    import ibis.expr.types as ir

VIEWER_COUNTS = ("viewers", "members", "fc_viewers", "comm_viewers", "first_wv_joins", "first_comm_joins")


def _broken(table: ir.Table) -> ir.Table:
    too_many = ibis.or_(*[table[name] > table.viewers for name in VIEWER_COUNTS[1:]])
    return table.filter((_.lives < 1) | (_.joint_lives > _.lives) | (_.peak_viewers > _.viewers) | too_many)


CONTRACT = Table(
    database="we_mart",
    name="stats_we_t_kpi",
    columns=(
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("lives", "bigint", "lives in which the artist is host or guest", nullable=False),
        Column("joint_lives", "bigint", "those of them with a guest", nullable=False),
        Column("viewers", "bigint", "distinct viewers over the lives", nullable=False),
        Column("members", "bigint", "viewers with an account", nullable=False),
        Column("fc_viewers", "bigint", "viewers in the artist's fan club", nullable=False),
        Column("comm_viewers", "bigint", "viewers in the artist's community", nullable=False),
        Column("first_wv_joins", "bigint", "viewers who joined Weverse during a live", nullable=False),
        Column("first_comm_joins", "bigint", "viewers who first joined the community during a live", nullable=False),
        Column("joins", "bigint", "재생수", nullable=False),
        Column("play_seconds", "bigint", "seconds watched", nullable=False),
        Column("peak_viewers", "bigint", "most viewers at once of any one live", nullable=False),
    ),
    partition="part_date",
    key=("we_art_id",),
    comment="Viewing of live broadcasts by day and artist",
    notice=Notice(
        level="roll-up",
        purpose="compares artists by the lives of a day",
        update="replaced: a run replaces it whenever a partition changes that it is made from",
        steps=(
            "Made from the published wv_live_play and stats_wv_d_live_play of the date",
            "Lives in which the artist is host or guest count once",
        ),
        mind=(
            "Viewers do not add up over artists, nor over days",
            "A joint live counts for each of its artists",
        ),
    ),
    upstream=("we_mart.wv_live_play", "we_mart.stats_wv_d_live_play"),
    checks=(Check("counts", "fail", "no count exceeds the viewers, no joint lives the lives", _broken),),
)


def live_counts(daily: ir.Table) -> ir.Table:
    """Return what the artists' lives add up to, from rows of `stats_wv_d_live_play` of one part_date."""
    known = daily.mutate(
        joint=_.guest_joint_seq.max().over(group_by="post_id") > 0,
        own_seq=_.guest_joint_seq.min().over(group_by=["post_id", "we_art_id"]),
    )
    # An artist that stands twice in a live counts once.
    own = known.filter(_.guest_joint_seq == _.own_seq)
    return own.group_by("we_art_id").agg(
        lives=_.count(),
        joint_lives=flag(_.joint).cast("int64").sum(),
        joins=_.joins.sum().cast("int64"),
        play_seconds=_.play_seconds.sum().cast("int64"),
        peak_viewers=_.peak_viewers.max(),
    )


def viewer_counts(play: ir.Table) -> ir.Table:
    """Return the distinct viewers of each artist in rows of `wv_live_play`; a flag of any live counts."""
    keyed = play.mutate(**viewer(play))
    own = keyed.group_by("we_art_id", "viewer_id", "guest_device_id").agg(
        member=_.we_member_id.notnull().cast("int64").max(),
        is_fc=_.is_fc.max(),
        is_comm_user=_.is_comm_user.max(),
        is_first_wv_join=_.is_first_wv_join.max(),
        is_first_comm_join=_.is_first_comm_join.max(),
    )
    return own.group_by("we_art_id").agg(
        viewers=_.count(),
        members=_.member.sum(),
        fc_viewers=_.is_fc.cast("int64").sum(),
        comm_viewers=_.is_comm_user.cast("int64").sum(),
        first_wv_joins=_.is_first_wv_join.cast("int64").sum(),
        first_comm_joins=_.is_first_comm_join.cast("int64").sum(),
    )


def kpi(lives: ir.Table, viewers: ir.Table) -> ir.Table:
    """Return the table: `live_counts`, and `viewer_counts` of every slice added up."""
    counts = summed(viewers, "we_art_id").rename(v_art_id="we_art_id")
    full = lives.left_join(counts, [("we_art_id", "v_art_id")])
    return full.mutate(**{name: ibis.coalesce(full[name], 0) for name in VIEWER_COUNTS}).drop("v_art_id")
