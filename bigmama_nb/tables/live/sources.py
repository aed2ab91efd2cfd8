"""The six sources of `we_mart.wv_live_play`: the columns that are used, and which of their rows cannot be.

Source: docs/spec/wv_live_play.md, "Sources" and "Which rows count". Databases are those of the original's catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from bigmama_nb.errors import NOTHING_READ, ContractError, did_you_mean, explain
from bigmama_nb.tables.contract import Column, Table
from bigmama_nb.tables.deferred import ibis
from bigmama_nb.tables.live.time import DATETIME_PATTERN, EXISTING_PATTERN

if TYPE_CHECKING:
    import ibis.expr.types as ir

JOIN_URL = "/video/v1.0/join"
LEAVE_URL = "/video/v1.0/leave"


def _source(
    database: str, name: str, key: tuple[str, ...], comment: str, *columns: Column, partition: str = ""
) -> Table:
    return Table(
        database=database,
        name=name,
        columns=columns,
        partition=partition,
        key=key,
        comment=comment,
        downstream=("we_mart.wv_live_play",),
    )


def _required(name: str, type_: str, comment: str) -> Column:
    return Column(name, type_, comment, nullable=False)  # type: ignore[arg-type]  # the literal types stand below


SERVER_LOG = _source(
    "we_mart",
    "wv_server_log_base",
    (),
    "Requests of the players, delivered at least once",
    _required("date_id", "string", "KST date YYYY-MM-DD, the partition: only chooses which rows are read"),
    _required("datetime", "string", "KST, YYYY-MM-DD HH:MM:SS and up to six digits of a fraction"),
    _required("url", "string", "/video/v1.0/join or /video/v1.0/leave; other requests are not viewing"),
    Column("post_id", "string", "the live"),
    Column("video_id", "string", "the live's video, where the player sent it"),
    Column("user_id_fill", "string", "the user, null or empty for a guest"),
    _required("device_id", "string", "the device"),
    Column("platform", "string", "접속 플랫폼"),
    Column("os", "string", "접속 OS"),
    Column("gcc", "string", "country code"),
    partition="date_id",
)

LIVE = _source(
    "we_mart",
    "wv_live",
    ("post_id",),
    "Live broadcasts, one row each",
    _required("post_id", "string", "the live"),
    Column("video_id", "string", "its video"),
    _required("we_art_id", "int", "the host's artist"),
    _required("comm_id", "int", "the host's community"),
    _required("status", "string", "CANCELED lives are not counted"),
    _required("is_from_vlive", "int", "1 for lives taken over from VLIVE, which are not counted"),
    Column("is_fc_only", "int", "1 where only fan club members may watch"),
    _required("start_dt", "timestamp", "LIVE시작일시"),
    Column("end_dt", "timestamp", "LIVE종료일시, null while it runs"),
)

JOINT_HISTORY = _source(
    "we_mart",
    "wv_live_joint_history",
    (),
    "Guests of joint lives, one row each time one joined",
    _required("post_id", "string", "the live"),
    _required("we_art_id", "int", "the guest's artist"),
    _required("comm_id", "int", "the guest's community"),
    _required("joined_dt", "timestamp", "when the guest joined"),
)

USER = _source(
    "weverse2",
    "user_user",
    ("wv_user_id",),
    "Users, one row each",
    _required("wv_user_id", "string", "the user"),
    Column("we_member_id", "bigint", "the user's account"),
    _required("joined_dt", "timestamp", "when the user joined Weverse"),
)

COMM_USER_UPDATE = _source(
    "we_mart",
    "wv_comm_user_update",
    (),
    "Users joining and leaving communities",
    _required("wv_user_id", "string", "the user"),
    _required("we_art_id", "int", "the community's artist"),
    _required("action", "string", "JOIN or LEAVE"),
    _required("updated_dt", "timestamp", "when"),
)

FC_USER_HISTORY = _source(
    "we_mart",
    "ws_fc_user_history",
    (),
    "Fan club memberships by order",
    _required("we_member_id", "bigint", "the account"),
    _required("we_art_id", "int", "the fan club's artist"),
    _required("start_dt", "timestamp", "start of the membership"),
    Column("end_dt", "timestamp", "end of the membership, null where it has not ended"),
    _required("ord_status", "string", "PAYMENT_FAILED orders do not count"),
    _required("is_cx_by_restore", "int", "1 where the order was cancelled by a restore, which does not count"),
)

SOURCES = (SERVER_LOG, LIVE, JOINT_HISTORY, USER, COMM_USER_UPDATE, FC_USER_HISTORY)

_WIDENS: dict[str, tuple[pa.DataType, ...]] = {
    "string": (pa.string(), pa.large_string(), pa.string_view()),
    "int": (pa.int32(), pa.int16(), pa.int8()),
    "bigint": (pa.int64(), pa.int32(), pa.int16(), pa.int8()),
}


def _fits(found: pa.DataType, wanted: str) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    if wanted == "timestamp":
        return pa.types.is_timestamp(found) and found.tz is not None and found.unit in ("s", "ms", "us")
    return found in _WIDENS[wanted]


_READS_AS = {
    "string": "string",
    "int": "int32",
    "bigint": "int64",
    "timestamp": "timestamp[us, UTC]",
}


def require_source(source: Table, schema: pa.Schema, *, place: str) -> None:
    """Compare a source file's schema with the columns that are used; other columns may stand beside them.

    The partition column comes from the folder's name, so the file need not hold it.

    Raises:
        ContractError: naming each column that is missing or has a type that could lose something.
    """
    wrong = []
    for column in source.file_columns:
        if column.name not in schema.names:
            wrong.append(f"column {column.name!r} is missing.{did_you_mean(column.name, schema.names)}")
            continue
        found = schema.field(column.name).type
        if not _fits(found, column.type):
            wrong.append(f"column {column.name!r} is {found}, expected {_READS_AS[column.type]}.")
    if wrong:
        raise ContractError(
            explain(
                source.full_name,
                " ".join(wrong),
                state=NOTHING_READ,
                step="put the column right, or change the contract in tables/live_sources.py",
            ),
            place=place,
        )


def parses(datetime: ir.StringValue) -> ir.BooleanValue:
    """Return whether a log `datetime` is what the contract says; null is not."""
    well_formed = datetime.re_search(DATETIME_PATTERN) & datetime.try_cast("timestamp").notnull()
    return ibis.cases((datetime.re_search(EXISTING_PATTERN), True), else_=well_formed).fill_null(False)


def _rules(source: Table, rows: ir.Table) -> list[tuple[ir.BooleanValue, ir.StringValue]]:
    """The reasons for which a row of `source` is rejected, in the order of its columns."""
    rules: list[tuple[ir.BooleanValue, ir.StringValue]] = []
    for column in source.columns:
        value = rows[column.name]
        if source is SERVER_LOG:
            if column.name == "datetime":
                rules.append((~parses(value), ibis.literal("datetime does not parse")))
            elif column.name == "device_id":
                rules.append((value.isnull(), ibis.literal("device_id is null")))
            continue
        if not column.nullable:
            rules.append((value.isnull(), ibis.literal(f"{column.name} is null")))
        if column.name == "action":
            rules.append((value.notin(["JOIN", "LEAVE"]), ibis.literal("action is ").concat(value)))
    return rules


def usable(source: Table, rows: ir.Table) -> ir.BooleanValue:
    """Return whether a row can be used (rule 7), never null."""
    verdict: ir.BooleanValue = ibis.literal(True)
    for broken, _reason in _rules(source, rows):
        verdict = verdict & ~broken.fill_null(False)
    return verdict


def rejected(source: Table, rows: ir.Table) -> ir.Table:
    """Return the rows that cannot be used: `reason` string and the source's columns in their order."""
    reason = ibis.cases(*[(broken.fill_null(False), why) for broken, why in _rules(source, rows)])
    names: Sequence[str] = [column.name for column in source.columns]
    return rows.select(reason=reason, **{name: rows[name] for name in names}).filter(~usable(source, rows))
