"""`we_mart.wv_live_play_rejects`: the source rows that could not be used, and why.

Source: docs/spec/wv_live_play.md, "Which rows count", rule 7.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.contract import Column, Notice, Table
from bigmama_nb.tables.deferred import ibis

if TYPE_CHECKING:
    import ibis.expr.types as ir

CONTRACT = Table(
    database="we_mart",
    name="wv_live_play_rejects",
    columns=(
        Column("part_date", "string", "LIVE시작일", nullable=False),
        Column("source", "string", "the source's name without its database", nullable=False),
        Column("reason", "string", "the first that applies, in the order of the source's columns", nullable=False),
        Column("row", "string", "the source's used columns as a JSON object, in their order", nullable=False),
    ),
    partition="part_date",
    key=(),
    comment="Source rows that wv_live_play could not use, one row each",
    notice=Notice(
        level="rejects",
        purpose="says which source rows could not be used, and why",
        update="replaced: a run replaces a part_date as a whole, its five tables together",
        steps=(
            "30_live_play sets aside what breaks a rule, with the first rule that it breaks",
            "The share of rejects is checked against the profile",
        ),
        mind=(
            "A row here is in no other table",
            "It is for finding faults of a source: it has no key",
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
)


def as_json(row: Mapping[str, Any]) -> str:
    """Return a source row as one JSON object, nulls included, timestamps as `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    return json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False)


def as_rows(source: Table, broken: ir.Table) -> ir.Table:
    """Return rejected rows as the table has them, the text that of `as_json`.

    Args:
        broken: `live_sources.rejected`.

    Returns:
        source, reason, row, all string, lazy.
    """
    text: ir.StringValue = ibis.literal("{")
    for nth, column in enumerate(source.columns):
        name = json.dumps(column.name) + ": "
        text = text.concat((", " if nth else "") + name).concat(_json(broken[column.name], column.type))
    return broken.select(source=ibis.literal(source.name), reason=broken.reason, row=text.concat("}"))


def _json(value: Any, type_: str) -> ir.StringValue:
    if type_ == "timestamp":
        at = value.cast("timestamp('UTC')")
        # Spark takes letters for fields of a time.
        text: Any = at.strftime("%Y-%m-%d").concat("T").concat(at.strftime("%H:%M:%S.%f")).concat("Z")
    elif type_ == "string":
        text = value.replace("\\", "\\\\").replace('"', '\\"')
        for code in range(32):
            text = text.replace(chr(code), json.dumps(chr(code))[1:-1])
    else:
        return value.cast("string").fill_null("null")
    quote = ibis.literal('"')
    return ibis.coalesce(quote.concat(text).concat(quote), "null")


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return value
