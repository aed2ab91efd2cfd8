"""How each reader is asked for a table's rows: instants come as text in UTC."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.query import export, sql
from tests.publishing import Settings
from tests.readers.tables import Filled, sorted_rows
from tests.services import hive2
from tests.services.hive import ThriftServer
from tests.services.hive4 import hiveserver2, jars, metastore4
from tests.services.trino import Trino

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Asked:
    """A table that stands in a warehouse."""

    settings: Settings
    filled: Filled

    @property
    def name(self) -> str:
        """`database.table`."""
        return self.filled.table.full_name

    @property
    def expected(self) -> Rows:
        """The rows that were published."""
        return shown(self.filled.rows)

    def select(self, quote: str) -> str:
        """Return a query for all columns in the contract's order, not sorted: Hive has no job to start then."""
        columns = ", ".join(f"{quote}{column.name}{quote}" for column in self.filled.table.columns)
        return f"SELECT {columns} FROM {self.name}"


def shown(rows: list[Any]) -> Rows:
    """Return rows in one order, instants as text in UTC, to the microsecond."""
    return sorted_rows([tuple(map(_plain, row)) for row in rows])


def _plain(cell: Any) -> Any:
    if isinstance(cell, datetime):
        utc = cell.astimezone(UTC) if cell.tzinfo else cell
        return f"{utc:%Y-%m-%d %H:%M:%S.%f}"
    return cell


@functools.cache
def spark4() -> ThriftServer:
    """Return Spark over `metastore4()`, which it asks by the client of Hive 4; it ends with the tests."""
    client = {
        "spark.sql.hive.metastore.version": "4.0.1",
        "spark.sql.hive.metastore.jars": "path",
        "spark.sql.hive.metastore.jars.path": f"file://{jars()}/*.jar",
    }
    server = ThriftServer(metastore4().uri, client)
    atexit.register(server.stop)
    return server


@functools.cache
def trino() -> Trino:
    """Return Trino over `metastore4()`, its timestamps to the microsecond; it ends with the tests."""
    server = Trino(metastore4().uri, {"hive.timestamp-precision": "MICROSECONDS"})
    atexit.register(server.stop)
    return server


def by_hive4(asked: Asked) -> Rows:
    """HiveServer2 4.0.1 in UTC."""
    return shown(hiveserver2().query(asked.select("`")))


def by_spark(asked: Asked) -> Rows:
    """Spark 4.3 with a session in UTC."""
    return shown(spark4().query("SET spark.sql.session.timeZone=UTC", asked.select("`")))


def by_trino(asked: Asked) -> Rows:
    """Trino 476 with `hive.timestamp-precision` MICROSECONDS."""
    return shown(trino().query(asked.select('"')))


def by_hive2(asked: Asked) -> Rows:
    """Hive 2.3.9's input format and SerDe, at the places that the metastore names."""
    table = asked.filled.table
    with Warehouse.open(asked.settings) as warehouse:
        pointers = list(warehouse.catalog.current(asked.name).values())
    types = {column.name: column.type for column in table.file_columns}
    rows = []
    for pointer in pointers:
        for cells in hive2.read([pointer.location], types):
            found = dict(zip(types, cells, strict=True)) | {table.partition: pointer.partition.partition("=")[2]}
            rows.append(
                [
                    datetime.fromisoformat(found[column.name])
                    if column.type == "timestamp" and found[column.name]
                    else found[column.name]
                    for column in table.columns
                ]
            )
    return shown(rows)


def by_sql(asked: Asked) -> Rows:
    """DuckDB, by `run_all.py sql`."""
    with Warehouse.open(asked.settings) as warehouse:
        return shown(sql(warehouse, asked.select('"'))[1])


def exported(asked: Asked, folder: Path) -> Path:
    """Export the table into a new folder below `folder`, and return it."""
    target = folder / asked.name
    with Warehouse.open(asked.settings) as warehouse:
        export(warehouse, asked.name, target)
    return target


def pandas_reads(asked: Asked, copy: Path) -> Rows:
    """pandas, the folder."""
    import pandas as pd

    frame = pd.read_parquet(copy, dtype_backend="pyarrow")[_names(asked)]
    return shown([[None if cell is pd.NA else cell for cell in row] for row in frame.astype(object).values.tolist()])


def pyarrow_reads(asked: Asked, copy: Path) -> Rows:
    """pyarrow, the folder."""
    import pyarrow.parquet as pq

    rows = pq.read_table(copy).select(_names(asked)).to_pylist()
    return shown([list(row.values()) for row in rows])


def polars_reads(asked: Asked, copy: Path) -> Rows:
    """Polars, the folder."""
    import polars

    return shown(polars.read_parquet(copy).select(_names(asked)).rows())


def duckdb_reads(asked: Asked, copy: Path) -> Rows:
    """DuckDB, the files."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(f'"{name}"' for name in _names(asked))
        return shown(connection.execute(f"SELECT {columns} FROM '{copy}/*.parquet'").fetchall())


def spark_reads(asked: Asked, copy: Path) -> Rows:
    """Spark, the folder."""
    columns = ", ".join(f"`{name}`" for name in _names(asked))
    return shown(spark4().query("SET spark.sql.session.timeZone=UTC", f"SELECT {columns} FROM parquet.`file://{copy}`"))


def _names(asked: Asked) -> list[str]:
    return [column.name for column in asked.filled.table.columns]


SERVERS: dict[str, Callable[[Asked], Rows]] = {
    "Hive 4.0.1": by_hive4,
    "Spark 4.3": by_spark,
    "`sql` (DuckDB)": by_sql,
}
COPIES: dict[str, Callable[[Asked, Path], Rows]] = {
    "pandas": pandas_reads,
    "pyarrow": pyarrow_reads,
    "Polars": polars_reads,
    "DuckDB": duckdb_reads,
    "Spark": spark_reads,
}
