"""Read a warehouse: through its catalog, never by folder. Views for DuckDB, plain copies, and who wrote what.

Source of the rules: docs/spec/publishing.md, "Catalogs".
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bigmama_nb.errors import NOTHING_CHANGED, NOTHING_DONE, DamagedError, StorageError, UsageError, did_you_mean
from bigmama_nb.parquet import Form, writer
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer, data_files
from bigmama_nb.warehouse.damage import Damage, changed, unreadable
from bigmama_nb.warehouse.lineage import Key, Provenance, reading, records
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import readable

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
"""The schema of a connection that holds which file belongs to which partition, and the names that need no database."""
READS = ("SELECT", "EXPLAIN", "MULTI")
"""The kinds of statements that only read; DuckDB makes several of a PIVOT."""


def connect(settings: Settings, *, expected: Collection[Table] = ()) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with one view a table, `database.table`, its partition column last.

    It shows the warehouse as it is at this moment, and stays whole for `grace_hours`, whatever is published meanwhile.
    A table's name works without its database too. Times are shown in UTC.

    Args:
        expected: tables that are there without rows where the warehouse does not have them yet.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    with Warehouse.open(settings) as warehouse:
        if warehouse.storage.scheme == "file":
            _refuse(changed(warehouse, filter(_is_shown, warehouse.tables())))
        return views(warehouse, expected=expected)


def views(
    warehouse: Warehouse,
    *,
    query: str | None = None,
    expected: Collection[Table] = (),
    without: Collection[tuple[str, str]] = (),
    confined: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Return what `connect` returns, of a warehouse that is open.

    Args:
        query: what will be asked; a table whose name does not stand in it cannot be damaged for it, and refuses to be
            read in another way, as by a name put together.
        expected: as of `connect`.
        without: (table, partition) that are left out.
        confined: the connection reaches no other file than the warehouse's, and no setting can change that.
    """
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    warehouse.storage.connect(connection)
    connection.execute(f"CREATE SCHEMA {READER}")
    connection.execute(f"CREATE TABLE {READER}.files (file VARCHAR, of_table VARCHAR, of_partition VARCHAR)")
    settings = warehouse.settings
    own = _identifier(settings.database)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {own}")
    entries = [entry for entry in warehouse.tables() if _is_shown(entry)]
    for entry in entries:
        if not _is_named(entry, query):
            why = f"{entry.name} is read, but does not stand in the query by its name"
            _create_view(connection, warehouse, entry, {}, f"error({_literal(why)}) IS NULL")
            continue
        pointers = warehouse.catalog.current(entry.full_name)
        shown = {name: one for name, one in pointers.items() if (entry.full_name, name) not in without}
        _create_view(connection, warehouse, entry, shown)
    # A table's name alone means the profile's own table; else it is that of just one database.
    for name in {entry.name for entry in entries}:
        having = [one.database for one in entries if one.name == name]
        if (database := settings.database) in having or len(having) == 1:
            source = f"{_identifier(database if database in having else having[0])}.{_identifier(name)}"
            connection.execute(f"CREATE VIEW {READER}.{_identifier(name)} AS FROM {source}")
    for table in expected:
        _create_empty_view(connection, table, [one for one in entries if one.name == table.name])
    connection.execute(f"SET search_path = {_literal(f'{READER},{own}')}")
    if confined:
        root = settings.uri.removeprefix("file://").rstrip("/") + "/"
        scheme, _, rest = root.partition("://")
        if rest:
            path = rest.partition("/")[2]
            # A client of HDFS or S3 names its files in a way of its own.
            places = [root, f"{scheme}:///{path}", f"{scheme}://{path}"]
            places += [one.location.rstrip("/") + "/" for one in entries]
            connection.execute(f"SET allowed_directories = [{', '.join(map(_literal, places))}]")
        else:
            # Neither what was superseded or is held, nor the catalog.
            current = connection.execute(f"SELECT file FROM {READER}.files").fetchall()
            connection.execute(f"SET allowed_paths = [{', '.join(_literal(file) for (file,) in current)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    return connection


def sql(warehouse: Warehouse, query: str, *, expected: Collection[Table] = ()) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of one statement that reads, over the warehouse's views.

    Args:
        expected: tables that are there without rows where the warehouse does not have them yet.

    Raises:
        UsageError: the query is wrong, with DuckDB's words and the tables there are; or it is not one that reads.
        DamagedError: a partition that it reads is damaged; the message names it.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    import duckdb

    uri = warehouse.settings.uri
    try:
        with contextlib.closing(views(warehouse, query=query, expected=expected, confined=True)) as connection:
            _require_one_that_reads(connection, query)
            _refuse(changed(warehouse, _named(warehouse, query)))
            answer = connection.execute(query)
            return [column[0] for column in answer.description or []], [list(row) for row in answer.fetchall()]
    except duckdb.Error as error:
        if not isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
            _refuse_damaged(warehouse)
        entries = warehouse.tables()
        names = ", ".join(entry.full_name for entry in entries)
        said = _several(entries, warehouse.settings.database, str(error))
        names = names or "none yet; 'run_all.py run' publishes the first"
        raise UsageError(f"the query failed: {error}{said}\nTables of {uri}: {names}", state=NOTHING_CHANGED) from error


def rows_that_can_be_read(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of `query` over the warehouse's views, without what damaged partitions would have.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    import duckdb

    without = [(one.table, one.partition) for one in changed(warehouse, _named(warehouse, query))]
    try:
        with contextlib.closing(views(warehouse, query=query, without=without)) as connection:
            return connection.execute(query).fetchall()
    except duckdb.Error:
        without = [(one.table, one.partition) for one in unreadable(warehouse)]
        if not without:
            raise
    with contextlib.closing(views(warehouse, query=query, without=without)) as connection:
        return connection.execute(query).fetchall()


def _require_one_that_reads(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if not statements:
        raise UsageError(
            'the query is empty; expected one statement, as in "select * from game_metric"', state=NOTHING_DONE
        )
    if len(statements) > 1:
        raise UsageError(f"the query holds {len(statements)} statements, expected one", state=NOTHING_DONE)
    kind = statements[0].type.name
    # EXPLAIN ANALYZE does what it explains.
    explained = re.match(r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*explain(?:\s+analyze|\s*\([^)]*\))?\s(.*)", query)
    if kind == "EXPLAIN" and explained is not None:
        _require_one_that_reads(connection, explained.group(1))
    if kind not in READS:
        raise UsageError(
            f"the query is a statement of the kind {kind.replace('_', ' ')}; the verb sql only reads: SELECT, WITH, "
            "FROM, VALUES, PIVOT, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN",
            state=NOTHING_CHANGED,
        )


def _several(entries: Sequence[Entry], own: str, said: str) -> str:
    """Return that a name which DuckDB does not find stands in several databases, as `Warehouse.entry` says it."""
    found = re.search(r"Table with name (\S+) does not exist", said)
    places = [one.full_name for one in entries if found and one.name == found.group(1) and one.database != own]
    return f"\n{places[0].partition('.')[2]!r} names several tables: {', '.join(places)}." if len(places) > 1 else ""


def _refuse_damaged(warehouse: Warehouse) -> None:
    _refuse(unreadable(warehouse))


def _named(warehouse: Warehouse, query: str) -> list[Entry]:
    """Return the tables that a query can read: those whose name stands in it."""
    return [one for one in warehouse.tables() if _is_shown(one) and _is_named(one, query)]


def _is_named(entry: Entry, query: str | None) -> bool:
    return query is None or re.search(rf"(?<!\w){re.escape(entry.name)}(?!\w)", query, re.IGNORECASE) is not None


def _refuse(found: Sequence[Damage]) -> None:
    if found:
        more = f" And {len(found) - 1:,} more, as 'run_all.py check' lists them." if len(found) > 1 else ""
        raise DamagedError(found[0].message + more, place=found[0].table)


def who_wrote(warehouse: Warehouse, table: str, partition: str) -> dict[Key, Provenance]:
    """Return for each key group of a partition which run wrote it, sorted by key.

    Raises:
        UsageError: no such table or partition; the message names the nearest there is.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    entry = warehouse.entry(table)
    pointers = warehouse.catalog.current(entry.full_name, [partition])
    if partition not in pointers:
        there = list(warehouse.catalog.current(entry.full_name))
        span = f"they run from {there[0]} to {there[-1]}" if there else "it has none yet"
        raise UsageError(
            f"{entry.full_name} has no partition {partition}; {span}.{did_you_mean(partition, there)}",
            state=NOTHING_DONE,
        )
    found = records(warehouse, entry.full_name, pointers.values())
    return dict(sorted(found[partition].groups.items())) if found else {}


def export(warehouse: Warehouse, table: str, folder: Path) -> list[Path]:
    """Write a plain copy of a table, `20240501-0.parquet`, into a new or empty folder, and return its files.

    Every column stands in the files, the partition's as the last, and nothing in their names: so all readers agree.
    They are zstd with INT64 timestamps, whatever form the table has. The copy appears whole or not at all.

    Raises:
        UsageError: no such table, or `folder` holds something.
        DamagedError: a file is not what was published; no copy is left.
        StorageError: a file cannot be read or written; no copy is left.
    """
    entry = warehouse.entry(table)
    folder = folder.absolute()
    written = []
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty; expected a new folder", state="Nothing was written")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as unfinished:
            copy = Path(unfinished) / "copy"
            copy.mkdir()
            for pointer in warehouse.catalog.current(entry.full_name).values():
                written += [folder / name for name in _copied(warehouse, entry, pointer, copy)]
            if folder.exists():
                folder.rmdir()
            copy.rename(folder)
    except OSError as error:
        raise StorageError(
            f"{entry.full_name} could not be copied to {folder}: {error.strerror or error}. No copy is left; the "
            "warehouse is as before.",
            place=str(folder),
        ) from error
    return written


def _copied(warehouse: Warehouse, entry: Entry, pointer: Pointer, copy: Path) -> list[str]:
    """Copy a partition's files into `copy`, their checksums compared; return their names there."""
    expected = {}
    if pointer.run is not None:
        record = records(warehouse, entry.full_name, [pointer])[pointer.partition]
        expected = {join(pointer.location, file.path): file.sha256 for file in record.files}
    value = pointer.partition.partition("=")[2]
    names = []
    for n, location in enumerate(list(expected) or data_files(pointer, warehouse.storage)):
        digest = hashlib.sha256()
        with reading(warehouse, entry.full_name, pointer), tempfile.TemporaryFile(dir=copy.parent) as whole:
            with warehouse.storage.open(location) as source:
                while piece := source.read(1 << 20):
                    digest.update(piece)
                    whole.write(piece)
            found = digest.hexdigest()
            if expected.get(location, found) != found:
                raise StorageError(
                    f"{location} has sha256 {found}, was published with {expected[location]}", place=location
                )
            names.append(f"{value}-{n}.parquet")
            whole.seek(0)
            _write_with_partition(whole, entry.partition[0], value, copy / names[-1], location)
    return names


def _write_with_partition(whole: BinaryIO, column: str, value: str, target: Path, location: str) -> None:
    """Write the rows of a file, row group by row group, with one column more that holds `value`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(location):
        source = pq.ParquetFile(whole, coerce_int96_timestamp_unit="us")
    schema = source.schema_arrow.append(pa.field(column, pa.string(), nullable=False))
    with target.open("wb") as to, writer(to, schema, Form("zstd", "int64")) as out:
        for group in range(source.num_row_groups):
            with readable(location):
                rows = source.read_row_group(group)
            values = pa.repeat(pa.scalar(value), rows.num_rows)
            out.write_table(rows.append_column(schema.field(column), values))


def _is_shown(entry: Entry) -> bool:
    """Whether a table has one partition column and types that ours have: one of somebody else's may have others."""
    kinds = {kind for _, kind, _ in (*entry.columns, entry.partition)}
    return kinds <= DUCKDB_TYPES.keys()


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    entry: Entry,
    pointers: dict[str, Pointer],
    where: str = "false",
) -> None:
    """Show the files of a table's partitions; where there are none no row, but what reading it comes to by `where`."""
    files = list(_files(warehouse, pointers))
    columns = ", ".join(
        f"{_identifier(name)}::{DUCKDB_TYPES[kind]} AS {_identifier(name)}" for name, kind, _ in entry.columns
    )
    partition = _identifier(entry.partition[0])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(entry.database)}")
    view = f"CREATE VIEW {_identifier(entry.database)}.{_identifier(entry.name)} AS"
    if not files:
        names = _nulls((name, kind) for name, kind, _ in (*entry.columns, entry.partition))
        connection.execute(f"{view} SELECT {names} WHERE {where}")
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


def _nulls(columns: Iterable[tuple[str, str]]) -> str:
    """Return the columns of a view without rows, by name and type."""
    return ", ".join(f"NULL::{DUCKDB_TYPES[kind]} AS {_identifier(name)}" for name, kind in columns)


def _create_empty_view(connection: duckdb.DuckDBPyConnection, table: Table, others: Sequence[Entry]) -> None:
    """Show a table that nothing was published to yet; its name alone means another database's table of that name."""
    if table.database in {one.database for one in others} or len(others) > 1:
        return
    names = _nulls([*((one.name, one.type) for one in table.file_columns), (table.partition, "string")])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_identifier(table.database)}")
    full_name = f"{_identifier(table.database)}.{_identifier(table.name)}"
    connection.execute(f"CREATE VIEW {full_name} AS SELECT {names} WHERE false")
    connection.execute(f"CREATE VIEW IF NOT EXISTS {READER}.{_identifier(table.name)} AS FROM {full_name}")


def _files(warehouse: Warehouse, pointers: dict[str, Pointer]) -> Iterator[tuple[str, str]]:
    for partition, pointer in pointers.items():
        for location in data_files(pointer, warehouse.storage):
            yield location, partition


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
