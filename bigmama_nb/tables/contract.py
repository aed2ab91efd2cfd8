"""What a table is: its columns, keys and checks. The Arrow schema, the Hive DDL and the table's page come from here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import NOTHING_PUBLISHED, ContractError, with_state

Type = Literal["string", "int", "bigint", "double", "timestamp"]

ARROW_TYPES: dict[Type, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    # INT64 microseconds, UTC-adjusted: the one form that Spark, DuckDB and Trino all read right.
    "timestamp": pa.timestamp("us", tz="UTC"),
}


_PARTITION_VALUE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Column:
    """One column: its Hive type, and its comment as the DDL and the page show it."""

    name: str
    type: Type
    comment: str
    nullable: bool = True


@dataclass(frozen=True)
class Check:
    """A truth about a built table.

    `violations` maps the Ibis table to an Ibis table of the rows that break the truth (none: the check holds);
    grade `fail` publishes nothing, grade `warn` makes the task `suspect`.
    """

    name: str
    grade: Literal["fail", "warn"]
    says: str
    violations: Callable[[Any], Any]


@dataclass(frozen=True)
class Notice:
    """What a reader of a table should know: its level, what it is for, how it is made, what to mind in its use."""

    level: Literal["figures", "status", "mart", "roll-up", "rejects"]
    purpose: str
    update: str
    steps: tuple[str, ...]
    mind: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of the warehouse: what it holds, by which key, and what it comes from."""

    database: str
    name: str
    columns: tuple[Column, ...]
    partition: str
    key: tuple[str, ...]
    comment: str
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    checks: tuple[Check, ...] = field(default=(), compare=False)
    notice: Notice | None = field(default=None, compare=False)

    @property
    def full_name(self) -> str:
        """`database.name`."""
        return f"{self.database}.{self.name}"

    def in_database(self, database: str) -> Table:
        """Return the table as it stands in a database that the profile names."""
        return replace(self, database=database)

    def partition_name(self, value: str) -> str:
        """Return `dt=20240501`, as records and folders name the partition; raises ContractError for an odd value."""
        if not _PARTITION_VALUE.fullmatch(value):
            raise ContractError(
                with_state(
                    f"{self.full_name}: {self.partition} = {value!r} cannot name a partition: letters, digits, '-', "
                    "'_' and inner dots can",
                    NOTHING_PUBLISHED,
                ),
                place=self.full_name,
            )
        return f"{self.partition}={value}"

    def column(self, name: str) -> Column:
        """Return the column called `name`; raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """The columns that stand in the files: all but the partition, in the contract's order."""
        return tuple(column for column in self.columns if column.name != self.partition)

    def arrow_schema(self, *, with_partition: bool = False) -> pa.Schema:
        """Return the Arrow schema of the files, or with `with_partition` of the whole row, in the contract's order."""
        columns = self.columns if with_partition else self.file_columns
        return pa.schema(
            [pa.field(column.name, ARROW_TYPES[column.type], nullable=column.nullable) for column in columns]
        )

    def require(self, schema: pa.Schema, *, place: str, with_partition: bool = False) -> None:
        """Compare names, order and types of `schema` with the contract.

        Raises:
            ContractError: naming each column that is missing, unknown, misplaced or of another type.
        """
        expected = self.arrow_schema(with_partition=with_partition)
        found = {field.name: field.type for field in schema}
        wrong = [f"column {name!r} is missing" for name in expected.names if name not in found]
        wrong += [f"column {name!r} is not in the contract" for name in schema.names if name not in expected.names]
        wrong += [
            f"column {field.name!r} is {found[field.name]}, expected {field.type}"
            for field in expected
            if field.name in found and found[field.name] != field.type
        ]
        if not wrong and schema.names != expected.names:
            wrong.append(f"columns stand in the order {', '.join(schema.names)}, expected {', '.join(expected.names)}")
        if wrong:
            raise ContractError(
                with_state(f"{self.full_name}: {place}: {'; '.join(wrong)}", NOTHING_PUBLISHED), place=place
            )

    def require_file(self, file: pq.ParquetFile, *, place: str) -> None:
        """Compare a Parquet file's columns with the contract, as `require`; INT96 holds UTC instants."""
        schema, own = file.schema_arrow, self.arrow_schema()
        for n, name in enumerate(schema.names):
            if file.schema.column(n).physical_type == "INT96" and name in own.names:
                schema = schema.set(n, own.field(name).with_nullable(schema.field(n).nullable))
        self.require(schema, place=place)

    def ddl(self, location: str) -> str:
        """Return the `CREATE EXTERNAL TABLE` statement, comments included, partition column last."""
        columns = ",\n".join(f"  `{c.name}` {c.type} COMMENT '{_quoted(c.comment)}'" for c in self.file_columns)
        partition = self.column(self.partition)
        return (
            f"CREATE EXTERNAL TABLE `{self.database}`.`{self.name}` (\n{columns}\n)\n"
            f"COMMENT '{_quoted(self.comment)}'\n"
            f"PARTITIONED BY (`{partition.name}` {partition.type} COMMENT '{_quoted(partition.comment)}')\n"
            f"STORED AS PARQUET\nLOCATION '{_quoted(location)}'\n"
            f"TBLPROPERTIES ('external.table.purge'='false');\n"
        )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
