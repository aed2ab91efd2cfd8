"""`we_mart.wv_live_play`: who played a live, on which device, when they came and went, how long they watched."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.contract import Check, Column, Notice, Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.events import flag
from bigmama_nb.tables.live.time import SECOND, instant_us

if TYPE_CHECKING:
    import ibis.expr.types as ir

FLAGS = (
    "is_joint_live",
    "is_join",
    "is_leave",
    "u_join_first",
    "u_leave_last",
    "d_join_first",
    "d_leave_last",
    "is_late",
    "is_first_wv_join",
    "is_first_comm_join",
    "is_comm_join",
    "is_comm_user",
    "is_fc",
)

GRAIN = (
    "post_id",
    "we_art_id",
    "comm_id",
    "wv_user_id",
    "device_id",
    "platform",
    "os",
    "ctry_code",
    "datetime",
    "is_late",
)


def _broken_flags(table: ir.Table) -> ir.Table:
    # A bit beyond the first in any of them stands in all of them together, and so does a null.
    bits: Any = reduce(or_, [table[name] for name in FLAGS])
    return table.filter(~bits.between(0, 1).fill_null(False))


def _broken_counts(table: ir.Table) -> ir.Table:
    return table.filter(
        (_.join_cnt < 0)
        | (_.leave_cnt < 0)
        | (_.join_cnt + _.leave_cnt == 0)
        | (_.is_join != flag(_.join_cnt > 0))
        | (_.is_leave != flag(_.leave_cnt > 0))
        | (_.d_join_first > _.is_join)
        | (_.u_join_first > _.d_join_first)
        | (_.d_leave_last > _.is_leave)
        | (_.u_leave_last > _.d_leave_last)
    )


def _broken_seconds(table: ir.Table) -> ir.Table:
    window_us: Any = instant_us(table.tmp_end_dt) - instant_us(table.start_dt)
    return table.filter(
        (_.d_sum_play_time < 0) | (_.d_sum_play_time > _.u_sum_play_time) | (_.u_sum_play_time * SECOND > window_us)
    )


def _repeated(table: ir.Table) -> ir.Table:
    return table.group_by(*GRAIN).agg(rows_alike=_.count()).filter(_.rows_alike > 1)


def viewer(table: ir.Table) -> dict[str, Any]:
    """Return the key of a viewer: the user, or the device where there is none; the two never collide."""
    return {"viewer_id": table.wv_user_id, "guest_device_id": ibis.cases((table.wv_user_id.isnull(), table.device_id))}


def _wrong_firsts(table: ir.Table) -> ir.Table:
    keyed = table.mutate(**viewer(table))
    marks = keyed.group_by("post_id", "guest_joint_seq", "viewer_id", "guest_device_id").agg(
        firsts=_.u_join_first.sum(), lasts=_.u_leave_last.sum(), joins=_.is_join.max(), leaves=_.is_leave.max()
    )
    return marks.filter((_.firsts != _.joins) | (_.lasts != _.leaves))


def _unequal_sums(table: ir.Table) -> ir.Table:
    keyed = table.mutate(**viewer(table))
    sums = keyed.group_by("post_id", "guest_joint_seq", "viewer_id", "guest_device_id").agg(
        least=_.u_sum_play_time.min(),
        most=_.u_sum_play_time.max(),
        devices=_.device_id.nunique(),
        devices_most=_.d_sum_play_time.max(),
    )
    return sums.filter((_.least != _.most) | (_.most > (_.devices_most + 1) * _.devices))


CONTRACT = Table(
    database="we_mart",
    name="wv_live_play",
    columns=(
        Column("run_timestamp", "timestamp", "when the batch ran, the same on every row of a run", nullable=False),
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("date_id", "string", "s_log.date_id(KST)", nullable=False),
        Column("hour", "string", "hour(KST)", nullable=False),
        Column("minute", "int", "minute(KST)", nullable=False),
        Column("datetime", "string", "the minute, KST, YYYY-MM-DD HH:MM:00", nullable=False),
        Column("we_member_id", "bigint", "the user's account, or null"),
        Column("wv_user_id", "string", "the user, or null for a guest"),
        Column("device_id", "string", "the device", nullable=False),
        Column("platform", "string", "접속 플랫폼"),
        Column("os", "string", "접속 OS"),
        Column("ctry_code", "string", "s_log.gcc"),
        Column("post_id", "string", "the live", nullable=False),
        Column("video_id", "string", "the live's video, one for each live"),
        Column("start_dt", "timestamp", "LIVE시작일시", nullable=False),
        Column("end_dt", "timestamp", "LIVE종료일시"),
        Column("tmp_end_dt", "timestamp", "LIVE종료일시(임시)", nullable=False),
        Column("we_art_id", "int", "아티스트id", nullable=False),
        Column("comm_id", "int", "커뮤니티id", nullable=False),
        Column("is_fc_only", "int", "커뮤니티only LIVE여부", nullable=False),
        Column("is_joint_live", "int", "합동라이브 여부", nullable=False),
        Column("is_join", "int", "재생 여부", nullable=False),
        Column("is_leave", "int", "이탈 여부", nullable=False),
        Column("u_join_first", "int", "유저,LIVE별 첫 재생", nullable=False),
        Column("u_leave_last", "int", "유저,LIVE별 마지막 이탈", nullable=False),
        Column("d_join_first", "int", "기기,LIVE별 첫 재생", nullable=False),
        Column("d_leave_last", "int", "기기,LIVE별 마지막 이탈", nullable=False),
        Column("is_late", "int", "LIVE종료 후 여부", nullable=False),
        Column("join_cnt", "bigint", "재생수", nullable=False),
        Column("leave_cnt", "bigint", "이탈수", nullable=False),
        Column("u_sum_play_time", "bigint", "유저별 LIVE 시청시간 합(join/leave별)", nullable=False),
        Column("d_sum_play_time", "bigint", "기기별 LIVE 시청시간 합(join/leave별)", nullable=False),
        Column("is_first_wv_join", "int", "LIVE진행 중 위버스 최초가입 여부", nullable=False),
        Column("is_first_comm_join", "int", "LIVE진행 중 커뮤니티 최초가입 여부", nullable=False),
        Column("is_comm_join", "int", "LIVE진행 중 커뮤니티 가입 여부", nullable=False),
        Column("is_comm_user", "int", "커뮤니티 가입자 여부", nullable=False),
        Column("is_fc", "int", "FC유저 여부", nullable=False),
        Column("guest_joint_seq", "int", "합동라이브 게스트 조인 순서", nullable=False),
    ),
    partition="part_date",
    key=GRAIN,
    comment="Viewing of live broadcasts by live, participant, viewer, device and minute",
    notice=Notice(
        level="mart",
        purpose="answers who watched a live, on which device, when, and what they were to the community by then",
        update="replaced: a run replaces a part_date as a whole, its five tables together",
        steps=(
            "30_live_play reads the log of the days around the date and the five other sources",
            "Events of each device are cut into spans of play, cut to the live",
            "Members, fan club and community are looked up as of the live",
            "Checks, then 40_write_parquet moves all tables of the date",
        ),
        mind=(
            "guest_joint_seq = 0 counts each viewing once: every participant of a joint live has the rows again",
            "Add d_sum_play_time over d_join_first = 1 and u_sum_play_time over u_join_first = 1",
            "A date grows until its log's later days are in: the lineage's `final` says when it is whole",
        ),
    ),
    upstream=(
        "we_mart.wv_server_log_base",
        "we_mart.wv_live",
        "we_mart.wv_live_joint_history",
        "weverse2.user_user",
        "we_mart.wv_comm_user_update",
        "we_mart.ws_fc_user_history",
    ),
    downstream=(
        "we_mart.stats_we_t_kpi",
        "we_mart.stats_wv_d_live_play",
        "we_mart.stats_wv_h_live_play",
        "we_mart.stats_wv_d_live_play_min",
        "we_mart.stats_wv_m_video_copyright",
    ),
    checks=(
        Check("grain_unique", "fail", "one row for each key", _repeated),
        Check("flags", "fail", "a flag is 0 or 1", _broken_flags),
        Check("counts", "fail", "a row holds a join or a leave, and its flags say so", _broken_counts),
        Check(
            "seconds",
            "fail",
            "a device plays no longer than its viewer, who plays no longer than the live",
            _broken_seconds,
        ),
        Check(
            "firsts",
            "fail",
            "of a viewer's rows exactly one is the first join where there is one, and so the last leave",
            _wrong_firsts,
        ),
        Check(
            "viewer_sums",
            "fail",
            "a viewer's time is the same on every row, and no more than that of the devices",
            _unequal_sums,
        ),
    ),
)


NAMES = {"viewer_id": "wv_user_id", "device_id": "device_id"}
"""What `viewers.named` adds to a device, and the columns that it is here."""


def live_play(rows: ir.Table, described: ir.Table, participants: ir.Table, known_facts: ir.Table) -> ir.Table:
    """Return the table's rows, with numbers in place of what a live, a minute or traits say in words.

    Args:
        rows: `minute_rows`, in order of device_no and row_key.
        described: `described_devices`, or `named`: else the device's and the viewer's id are not among the columns.
        participants: live_no and `people`, the live's participants in order, structs of participant_no and we_art_id.
        known_facts: `facts`.

    Returns:
        device_no, row_key, participant_no, by which the rows are ordered if joins keep the order of their left side;
        live_no; and the columns of the contract that are the viewer's, the device's or the row's.
    """
    told = rows.join(described.rename(d_device_no="device_no"), [("device_no", "d_device_no")])
    d_join_first = flag(_.first_join == _.d_first)
    d_leave_last = flag(_.last_leave == _.d_last)
    # Before the participants, who have each row again.
    told = told.select(
        "device_no",
        "row_key",
        "live_no",
        "viewer_no",
        "we_member_id",
        "join_cnt",
        "leave_cnt",
        "u_sum_play_time",
        "d_sum_play_time",
        "is_first_wv_join",
        **{column: told[name] for name, column in NAMES.items() if name in told.columns},
        is_join=flag(_.join_cnt > 0),
        is_leave=flag(_.leave_cnt > 0),
        u_join_first=ibis.ifelse(_.holds_first, d_join_first, 0),
        u_leave_last=ibis.ifelse(_.holds_last, d_leave_last, 0),
        d_join_first=d_join_first,
        d_leave_last=d_leave_last,
    )
    full = told.join(participants.rename(p_live_no="live_no"), [("live_no", "p_live_no")])
    full = full.mutate(person=_.people.unnest())
    full = full.mutate(participant_no=_.person.participant_no, art_id=_.person.we_art_id)
    own = known_facts.rename(fact_viewer_no="viewer_no", fact_art_id="we_art_id")
    full = full.left_join(own, [("viewer_no", "fact_viewer_no"), ("art_id", "fact_art_id")])
    return full.select(
        "participant_no",
        *told.columns,
        is_first_comm_join=ibis.coalesce(_.is_first_comm_join, 0),
        is_comm_join=ibis.coalesce(_.is_comm_join, 0),
        is_comm_user=ibis.coalesce(_.is_comm_user, 0),
        is_fc=ibis.coalesce(_.is_fc, 0),
    )
