"""Every table of the warehouse with a few rows: the ends of each type, nulls, Korean, microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from bigmama_nb.parquet import Form, writer
from bigmama_nb.tables import game_metric
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import live_contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import Group, Incoming, Replacement, publish_keyed, publish_whole
from tests.publishing import author

PARTITION = {"dt": "20240501", "part_date": "2024-05-01", "part_month": "2024-05"}
EDGES: dict[str, tuple[Any, ...]] = {
    "string": ("라이브 #1?", "a'b\"c\\d", "line\tand\u00a0space"),
    "int": (2**31 - 1, -(2**31), 0),
    "bigint": (2**63 - 1, -(2**63), 2**53 + 1),
    "double": (0.1, -1e300, 5e-324),
    # Noon, what is another day in Seoul, and before 1970 with a fraction.
    "timestamp": (
        datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
        datetime(2024, 4, 30, 15, 59, 59, 999999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    ),
}
ROWS = 3


@dataclass(frozen=True)
class Filled:
    """A table and its rows, in the contract's order of columns, instants as datetimes in UTC."""

    table: Table
    rows: list[tuple[Any, ...]]


def filled(database: str) -> list[Filled]:
    """Return all eight tables in `database`, three rows each."""
    tables = [game_metric.CONTRACT.in_database(database), *live_contracts(database).values()]
    return [Filled(table, [_row(table, n) for n in range(ROWS)]) for table in tables]


def _row(table: Table, n: int) -> tuple[Any, ...]:
    cells: list[Any] = []
    for place, column in enumerate(table.columns):
        if column.name == table.partition:
            cells.append(PARTITION[column.name])
        elif column.nullable and n == 1:
            cells.append(None)
        elif column.name in table.key and column.type == "string":
            cells.append(f"{n}-{EDGES['string'][(place + n) % ROWS]}")
        else:
            cells.append(EDGES[column.type][(place + n) % ROWS])
    return tuple(cells)


def publish(warehouse: Warehouse, tables: list[Filled], folder: Path) -> None:
    """Publish every table as a run does: the metrics by key, the others whole, from files written into `folder`."""
    for one in tables:
        table, schema = one.table, one.table.arrow_schema()
        name = table.partition_name(PARTITION[table.partition])
        cells: Mapping[str, list[Any]] = {
            column.name: [row[place] for row in one.rows] for place, column in enumerate(table.columns)
        }
        rows = pa.table({field.name: pa.array(cells[field.name], field.type) for field in schema})
        if table.name == "game_metric":
            keys = zip(cells["game_cd"], cells["type"], strict=True)
            groups: dict[tuple[str, ...], Group] = {key: Group(date(2024, 5, 1), False, "dump") for key in keys}
            publish_keyed(warehouse, table, {name: Incoming(rows, groups)}, author(1))
        else:
            file = folder / f"{table.full_name}.parquet"
            with writer(file, schema, Form.of(warehouse.settings)) as out:
                out.write_table(rows.cast(schema))
            part = Replacement(table, name, [file], date(2024, 5, 1), True, "x", rows=ROWS)
            publish_whole(warehouse, [part], author(1))


def sorted_rows(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows in one order, whichever reader gave them."""
    return sorted(rows, key=repr)
