"""Views that show a table's instants as text in Seoul's time, so that every reader shows the same.

A reader shows an instant in a zone of its own, and which one depends on the reader and on the files' form:
docs/operations/hive.md, "Time zones".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bigmama_nb.tables.contract import Table

SEOUL_S = 9 * 3600
"""Seconds that Seoul's clocks are before UTC."""


def views(table: Table, timestamp: Literal["int64", "int96"]) -> str:
    """Return statements that make the views of `table`, `<table>_kst` for Hive and Spark and `<table>_kst_trino`.

    Each has all columns of the table and for every instant one more, `<column>_kst`, `YYYY-MM-DD HH:MM:SS`, cut to the
    second. Files with INT96 need one of their own for Spark, `<table>_kst_spark`. Of a table without instants a comment
    says that it needs none.
    """
    names = [column.name for column in table.columns if column.type == "timestamp"]
    if not names:
        return f"-- {table.full_name} has no instants: every reader shows it alike.\n"
    if timestamp == "int64":
        return _hive(table, "kst", "Hive 4 and Spark", _by_seconds, names) + _trino(table, names)
    return (
        _hive(table, "kst", "Hive", _by_shift, names)
        + _hive(table, "kst_spark", "Spark", _by_seconds, names)
        + _trino(table, names)
    )


def _hive(table: Table, suffix: str, reader: str, text: Callable[[str], str], names: list[str]) -> str:
    columns = [f"`{column.name}`" for column in table.columns]
    columns += [f"{text(f'`{name}`')} AS `{name}_kst`" for name in names]
    listed = ",\n  ".join(columns)
    return (
        f"-- {reader}\n"
        f"CREATE OR REPLACE VIEW `{table.database}`.`{table.name}_{suffix}` AS SELECT\n  {listed}\n"
        f"FROM `{table.database}`.`{table.name}`;\n"
    )


def _trino(table: Table, names: list[str]) -> str:
    columns = [f'"{column.name}"' for column in table.columns]
    # format_datetime rounds to milliseconds what is finer.
    columns += [
        f"format_datetime(with_timezone(date_trunc('second', \"{name}\"), 'UTC') AT TIME ZONE 'Asia/Seoul', "
        f"'yyyy-MM-dd HH:mm:ss') AS \"{name}_kst\""
        for name in names
    ]
    listed = ",\n  ".join(columns)
    return (
        "-- Trino\n"
        f'CREATE OR REPLACE VIEW "{table.database}"."{table.name}_kst_trino" AS SELECT\n  {listed}\n'
        f'FROM "{table.database}"."{table.name}";\n'
    )


def _by_seconds(column: str) -> str:
    """Return the text by the seconds since 1970: a reader makes them in the zone in which it shows the instant."""
    # By way of text: Spark cuts the seconds of an instant before 1970 towards zero.
    second = f"(unix_timestamp(date_format({column}, 'yyyy-MM-dd HH:mm:ss')) + {SEOUL_S})"
    parts = [f"lpad(cast(cast(floor(pmod({second}, {of}) / {by}) AS int) AS string), 2, '0')" for of, by in _PARTS]
    day = f"cast(date_add('1970-01-01', cast(floor({second} / 86400) AS int)) AS string)"
    return f"concat({day}, ' ', {parts[0]}, ':', {parts[1]}, ':', {parts[2]})"


_PARTS = ((86400, 3600), (3600, 60), (60, 1))


def _by_shift(column: str) -> str:
    """Return the text by shifting what Hive shows, which of INT96 is UTC in every zone."""
    return f"substr(cast(from_utc_timestamp({column}, 'Asia/Seoul') AS string), 1, 19)"
