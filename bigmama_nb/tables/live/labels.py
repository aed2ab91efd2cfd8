"""Numbers back to words where the rows stay with the engine: what a live, a minute or the traits of an event say.

What `live_play.labels` does to rows that come back, as an expression.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.events import Packing
from bigmama_nb.tables.live.time import KST, MINUTE

if TYPE_CHECKING:
    import ibis.expr.types as ir

ORDER = ("device_no", "row_key", "participant_no")
MINUTES_PER_HOUR = 60


def labelled(
    table: Table,
    coded: ir.Table,
    everybody: ir.Table,
    known_traits: ir.Table,
    packing: Packing,
    run_timestamp: dt.datetime,
) -> ir.Table:
    """Return `wv_live_play.live_play` in words.

    Args:
        table: the contract.
        coded: `live_play`.
        everybody: the participants with their live's columns, by participant_no.
        known_traits: `live_events.traits`.

    Returns:
        ORDER, and the contract's columns without the partition, in order.
    """
    person = everybody.rename(w_participant_no="participant_no").drop("live_no")
    trait = known_traits.select("platform", "os", "ctry_code", w_traits="traits")
    full = coded.mutate(minute_no=packing.minute_no(_.row_key), traits=packing.row_traits(_.row_key))
    full = full.join(person, [("participant_no", "w_participant_no")]).join(trait, [("traits", "w_traits")])
    wall = (full.minute_no * MINUTE + (packing.base_us + KST)).as_timestamp("us")
    words = {
        "run_timestamp": ibis.literal(run_timestamp.astimezone(dt.UTC), "timestamp('UTC')"),
        "date_id": wall.strftime("%Y-%m-%d"),
        "hour": wall.strftime("%H"),
        # `base_us` is a midnight, in KST or UTC: a whole hour in both.
        "minute": full.minute_no % MINUTES_PER_HOUR,
        "datetime": wall.strftime("%Y-%m-%d %H:%M:00"),
        "is_late": packing.is_late(full.row_key),
    }
    columns = {}
    for column in table.file_columns:
        value = words.get(column.name, full[column.name] if column.name in full.columns else None)
        assert value is not None, column.name
        columns[column.name] = value.cast(_IBIS_TYPES[column.type])
    return full.select(*ORDER, **columns)


_IBIS_TYPES = {"string": "string", "int": "int32", "bigint": "int64", "timestamp": "timestamp('UTC')"}
