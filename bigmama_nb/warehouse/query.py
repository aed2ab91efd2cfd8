"""Read a warehouse: through its catalog, never by folder. Views for DuckDB, plain copies, and who wrote what.

Source of the rules: docs/spec/publishing.md, "Catalogs".
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigmama_nb.errors import StorageError, UsageError, did_you_mean
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer, data_files
from bigmama_nb.warehouse.lineage import Key, Provenance, in_context, lineage

if TYPE_CHECKING:
    import duckdb

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
READER = "_bigmama"
"""The schema of a connection that holds which file belongs to which partition."""


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with one view a table, `database.table`, its partition column last.

    It shows the warehouse as it is at this moment, and stays whole for `grace_hours`, whatever is published meanwhile.
    A table's name works without its database too. Times are shown in UTC.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    with Warehouse.open(settings) as warehouse:
        return views(warehouse)


def views(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """Return what `connect` returns, of a warehouse that is open."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    warehouse.storage.connect(connection)
    connection.execute(f"CREATE SCHEMA {READER}")
    connection.execute(f"CREATE TABLE {READER}.files (file VARCHAR, of_table VARCHAR, of_partition VARCHAR)")
    entries = warehouse.tables()
    for entry in entries:
        with _reading(warehouse):
            _create_view(connection, warehouse, entry)
    databases = sorted({entry.database for entry in entries})
    if databases:
        path = ",".join(_identifier(name) for name in databases)
        connection.execute(f"SET search_path = '{path}'")
    return connection


def sql(warehouse: Warehouse, query: str) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of `query` over the warehouse's views.

    Raises:
        UsageError: the query is wrong, with DuckDB's words and the tables there are.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    import duckdb

    with contextlib.closing(views(warehouse)) as connection:
        try:
            with _reading(warehouse):
                answer = connection.execute(query)
                return [column[0] for column in answer.description or []], [list(row) for row in answer.fetchall()]
        except duckdb.Error as error:
            names = ", ".join(entry.full_name for entry in warehouse.tables())
            names = names or "none yet; 'run_all.py run' publishes the first"
            raise UsageError(f"the query failed: {error}\nTables of {warehouse.settings.uri}: {names}.") from error


def who_wrote(warehouse: Warehouse, table: str, partition: str) -> dict[Key, Provenance]:
    """Return for each key group of a partition which run wrote it, sorted by key.

    Raises:
        UsageError: no such table or partition; the message names the nearest there is.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    entry = warehouse.entry(table)
    found = lineage(warehouse, entry.full_name, [partition])
    if partition not in found:
        there = list(warehouse.catalog.current(entry.full_name))
        span = f"they run from {there[0]} to {there[-1]}" if there else "it has none yet"
        raise UsageError(f"{entry.full_name} has no partition {partition}; {span}.{did_you_mean(partition, there)}")
    return dict(sorted(found[partition].items()))


def export(warehouse: Warehouse, table: str, folder: Path) -> list[Path]:
    """Write a plain copy of a table, `dt=…/part-0.parquet`, into a new or empty folder, and return its files.

    The copy appears whole or not at all.

    Raises:
        UsageError: no such table, or `folder` holds something.
        StorageError: a file cannot be read or written; no copy is left.
    """
    entry = warehouse.entry(table)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; expected a new folder. Nothing was written.")
    pointers = warehouse.catalog.current(entry.full_name)
    written = []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
            for partition, pointer in pointers.items():
                target = Path(unfinished) / "copy" / partition
                target.mkdir(parents=True)
                with in_context(entry.full_name, partition):
                    for n, location in enumerate(data_files(pointer, warehouse.storage)):
                        with (
                            warehouse.storage.open(location) as source,
                            (target / f"part-{n}.parquet").open("wb") as to,
                        ):
                            shutil.copyfileobj(source, to, 1 << 20)
                        written.append(folder / partition / f"part-{n}.parquet")
            if folder.exists():
                folder.rmdir()
            if pointers:
                (Path(unfinished) / "copy").rename(folder)
            else:
                folder.mkdir()
    except OSError as error:
        raise StorageError(
            f"{entry.full_name} could not be copied to {folder}: {error.strerror or error}. No copy is left; the "
            "warehouse is as before.",
            place=str(folder),
        ) from error
    return written


@contextlib.contextmanager
def _reading(warehouse: Warehouse) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        what = str(error).split("\n\n")[0]
        raise StorageError(
            f"{warehouse.settings.uri}: a current file cannot be read: {what}. Nothing was changed. "
            "'run_all.py rollback' moves the partition to a whole version.",
            place=warehouse.settings.uri,
        ) from error


def _create_view(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, entry: Entry) -> None:
    pointers = warehouse.catalog.current(entry.full_name)
    files = list(_files(warehouse, pointers))
    columns = ", ".join(
        f"{_identifier(name)}::{DUCKDB_TYPES[kind]} AS {_identifier(name)}" for name, kind, _ in entry.columns
    )
    partition = _identifier(entry.partition[0])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(entry.database)}")
    view = f"CREATE VIEW {_identifier(entry.database)}.{_identifier(entry.name)} AS"
    if not files:
        names = ", ".join(
            f"NULL::{DUCKDB_TYPES[kind]} AS {_identifier(name)}" for name, kind, _ in (*entry.columns, entry.partition)
        )
        connection.execute(f"{view} SELECT {names} WHERE false")
        return
    connection.executemany(
        f"INSERT INTO {READER}.files VALUES (?, ?, ?)",
        [[file, entry.full_name, partition_name.partition("=")[2]] for file, partition_name in files],
    )
    listed = ", ".join(_literal(file) for file, _ in files)
    connection.execute(
        f"{view} SELECT {columns}, of_partition AS {partition} "
        f"FROM read_parquet([{listed}], filename = true, hive_partitioning = false) AS data "
        f"JOIN {READER}.files AS files ON data.filename = files.file AND files.of_table = {_literal(entry.full_name)}"
    )


def _files(warehouse: Warehouse, pointers: dict[str, Pointer]) -> Iterator[tuple[str, str]]:
    for partition, pointer in pointers.items():
        for location in data_files(pointer, warehouse.storage):
            yield location, partition


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
