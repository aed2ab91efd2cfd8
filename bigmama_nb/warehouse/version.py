"""A version of a partition: a new folder with data files and a lineage record, staged and read back before it counts.

The same rows give the same bytes: sorted by key, fixed row groups, one form, nothing of pandas and no time of writing.
Source of the rules: docs/spec/publishing.md, "Files" and "The protocol".
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bigmama_nb import parquet
from bigmama_nb.errors import NOTHING_PUBLISHED, ContractError, StorageError, with_state
from bigmama_nb.parquet import Form
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer, data_files
from bigmama_nb.warehouse.lineage import (
    DataFile,
    Key,
    Provenance,
    Record,
    Writer,
    in_context,
    reading,
)
from bigmama_nb.warehouse.storage.protocol import SEAL, Storage, Stored, join, name_of

RUNS = ".runs"
HELD = "_held"
"""The mark of a version that was staged and is not to be committed until its release."""


@dataclass(frozen=True)
class Version:
    """A version that was staged: where it is, and its record."""

    location: str
    record: Record

    def pointer(self) -> Pointer:
        """Return what the catalog is to point at."""
        files = self.record.files
        return Pointer(
            partition=self.record.partition,
            location=self.location,
            files=tuple(file.path for file in files),
            rows=self.record.rows,
            bytes=sum(file.bytes for file in files),
            sha256=combined_sha256(files),
            run=self.record.run,
            attempt=self.record.attempt,
        )


@dataclass(frozen=True)
class Staged:
    """A new version's folder whose data files others wrote: an engine's executors."""

    location: str


def combined_sha256(files: Sequence[DataFile]) -> str:
    """Return the file's sha256, or of several the sha256 over theirs, in order."""
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256("".join(f"{file.sha256}\n" for file in files).encode()).hexdigest()


def parquet_bytes(rows: pa.Table, table: Table, settings: Settings) -> bytes:
    """Return `rows`, sorted by the table's key, as a Parquet file whose bytes depend on the rows alone."""
    ordered = rows.cast(table.arrow_schema()).sort_by([(name, "ascending") for name in table.key])
    return parquet.file_bytes(ordered, Form.of(settings))


def require_rows(rows: pa.Table, table: Table, *, place: str) -> None:
    """Compare `rows` with the contract: columns, nulls where none may be, and for a keyed table the key.

    Raises:
        ContractError: naming the column, or the first key that stands twice.
    """
    table.require(rows.schema, place=place)
    for column in table.file_columns:
        nulls = rows[column.name].null_count
        if nulls and not column.nullable:
            raise ContractError(
                with_state(
                    f"{table.full_name}: {place}: column {column.name!r} has {nulls} nulls, expected none",
                    NOTHING_PUBLISHED,
                ),
                place=place,
            )
    if not table.key:
        return
    counted = rows.select(table.key).group_by(list(table.key)).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1))
    if twice.num_rows:
        key = {name: twice[name][0].as_py() for name in table.key}
        raise ContractError(
            with_state(
                f"{table.full_name}: {place}: {twice.num_rows} keys stand more than once, the first is {key}",
                NOTHING_PUBLISHED,
            ),
            reason="duplicate_key",
            place=place,
        )


def stage(
    warehouse: Warehouse,
    entry: Entry,
    table: Table,
    partition: str,
    content: bytes | Sequence[Path] | Staged,
    groups: Mapping[Key, Provenance],
    writer: Writer,
) -> Version:
    """Write the data files of a new version, or look at those that were written; `seal` closes it.

    Raises:
        StorageError: it could not be written; what was written of it is deleted again. Or nothing was handed over.
    """
    storage = warehouse.storage
    with in_context(table.full_name, partition):
        if isinstance(content, Staged):
            return _looked_at(warehouse, table, partition, content.location, groups, writer)
        sources: list[bytes | Path] = [content] if isinstance(content, bytes) else list(content)
        location = new_location(storage, entry.location, partition, writer.version)
        try:
            files = []
            for n, one in enumerate(sources):
                written = _described(one, parquet.part_name(n))
                storage.put(join(location, written.path), one)
                files.append(written)
        except StorageError:
            discard(storage, location)
            raise
    return _unsealed(table, partition, location, files, groups, writer)


def new_location(storage: Storage, table: str, partition: str, version: str) -> str:
    """Return the folder of a new version below a table's folder; nothing is made.

    A name that was used before, by an attempt that was killed, is left alone: it gets `.2`, `.3` …
    """
    folder = join(table, RUNS, partition)
    location = join(folder, version)
    for n in range(2, 1000):
        if not storage.list(location):
            break
        location = join(folder, f"{version}.{n}")
    return location


def _looked_at(
    warehouse: Warehouse, table: Table, partition: str, location: str, groups: Mapping[Key, Provenance], writer: Writer
) -> Version:
    """Return the version whose files others wrote, as they read back now."""
    storage = warehouse.storage
    numbered = {parquet.part_number(name_of(one.location)): one for one in storage.list(location)}
    stored = [numbered[n] for n in sorted(n for n in numbered if n is not None)]
    if not stored:
        raise StorageError(f"{location} holds no data file, though it was handed over", place=location)

    def described(one: Stored) -> DataFile:
        with storage.open(one.location) as source, readable(one.location):
            rows = pq.ParquetFile(source).metadata.num_rows
        return DataFile(name_of(one.location), rows, one.bytes, checksum(storage, one.location))

    return _unsealed(table, partition, location, warehouse.each(described, stored), groups, writer)


def _unsealed(
    table: Table,
    partition: str,
    location: str,
    files: Sequence[DataFile],
    groups: Mapping[Key, Provenance],
    writer: Writer,
) -> Version:
    record = Record(
        table=table.full_name,
        partition=partition,
        version=name_of(location),
        run=writer.run,
        attempt=writer.attempt,
        previous=None,
        files=tuple(files),
        groups=groups,
    )
    return Version(location, record)


def seal(warehouse: Warehouse, version: Version, previous: Pointer | None) -> Version:
    """Write the record that closes a version, with the version that it is to replace, and return the closed version.

    Raises:
        StorageError: it could not be written.
    """
    before = None if previous is None or previous.run is None else previous.version
    record = replace(version.record, previous=before, sealed_at=warehouse.clock())
    with in_context(record.table, record.partition):
        warehouse.storage.put(join(version.location, SEAL), record.to_json())
    return Version(version.location, record)


def hold_back(warehouse: Warehouse, version: Version) -> None:
    """Mark a version as held, before it is sealed: nothing but its release commits it, and no prune takes it.

    Raises:
        StorageError: it could not be written.
    """
    place = join(version.location, HELD)
    with in_context(version.record.table, version.record.partition):
        if place not in [stored.location for stored in warehouse.storage.list(version.location)]:
            warehouse.storage.put(place, f"{version.record.run}\n".encode())


def verify(warehouse: Warehouse, table: Table, version: Version, *, rows: int | None = None) -> None:
    """Read a staged version back: checksums, footers, schema and row counts are what was meant.

    Args:
        rows: how many rows were meant, where the caller knows.

    Raises:
        StorageError: a file is not what was written.
        ContractError: the schema is not the contract's.
    """
    storage = warehouse.storage
    with in_context(table.full_name, version.record.partition):
        for file in version.record.files:
            location = join(version.location, file.path)
            found = checksum(storage, location)
            if found != file.sha256:
                raise StorageError(f"{location} reads back with sha256 {found}, expected {file.sha256}", place=location)
            with storage.open(location) as source, readable(location):
                footer = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
                if footer.metadata.num_rows != file.rows:
                    raise StorageError(
                        f"{location} has {footer.metadata.num_rows} rows, expected {file.rows}", place=location
                    )
                _require_footer(footer, table, location, warehouse.settings)
        if rows is not None and version.record.rows != rows:
            raise StorageError(
                f"{version.location} has {version.record.rows} rows, expected {rows}", place=version.location
            )


def require_whole(warehouse: Warehouse, version: Version) -> None:
    """Raise StorageError where a version's files are not all there in their recorded size, as after a prune."""
    with in_context(version.record.table, version.record.partition):
        there = {name_of(stored.location): stored.bytes for stored in warehouse.storage.list(version.location)}
        for file in version.record.files:
            if there.get(file.path) != file.bytes:
                found = f"{there[file.path]} bytes" if file.path in there else "nothing"
                raise StorageError(
                    f"{join(version.location, file.path)}: found {found}, expected {file.bytes} bytes",
                    place=version.location,
                )


def rows_of(warehouse: Warehouse, table: Table, pointer: Pointer, record: Record | None) -> pa.Table:
    """Return the rows that a partition holds, checked against its record where it has one.

    Raises:
        StorageError: a file is missing or is not what was published.
        ContractError: a partition that others made has other columns.
    """
    storage = warehouse.storage
    parts = [table.arrow_schema().empty_table()]
    expected = {} if record is None else {join(pointer.location, file.path): file.sha256 for file in record.files}
    with reading(warehouse, table.full_name, pointer):
        for location in list(expected) or data_files(pointer, storage):
            content = storage.read(location)
            if location in expected and (found := hashlib.sha256(content).hexdigest()) != expected[location]:
                raise StorageError(
                    f"{location} has sha256 {found}, was published with {expected[location]}", place=location
                )
            with readable(location):
                file = pq.ParquetFile(pa.BufferReader(content), coerce_int96_timestamp_unit="us")
                table.require_file(file, place=location)
                parts.append(file.read().cast(table.arrow_schema()))
    return pa.concat_tables(parts)


def checksum(storage: Storage, location: str) -> str:
    """Return the sha256 of a stored file, read in pieces."""
    digest = hashlib.sha256()
    with storage.open(location) as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def discard(storage: Storage, location: str) -> None:
    """Delete a staged version that certainly is not pointed at; one that will not go is left to `runs prune`."""
    try:
        storage.delete(location)
    except StorageError:
        return


def _described(content: bytes | Path, name: str) -> DataFile:
    if isinstance(content, bytes):
        rows = pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows
        return DataFile(name, rows, len(content), hashlib.sha256(content).hexdigest())
    with readable(str(content)), content.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        return DataFile(name, pq.read_metadata(content).num_rows, content.stat().st_size, digest)


def _require_footer(footer: pq.ParquetFile, table: Table, location: str, settings: Settings) -> None:
    table.require_file(footer, place=location)
    types = {name: footer.schema.column(n).physical_type for n, name in enumerate(footer.schema_arrow.names)}
    for n, column in enumerate(table.file_columns):
        groups = (footer.metadata.row_group(group).column(n) for group in range(footer.metadata.num_row_groups))
        nulls = sum(group.statistics.null_count or 0 for group in groups if group.statistics is not None)
        if nulls and not column.nullable:
            raise ContractError(
                with_state(
                    f"{table.full_name}: {location}: column {column.name!r} has {nulls} nulls, expected none",
                    NOTHING_PUBLISHED,
                ),
                place=location,
            )
    for group in range(footer.metadata.num_row_groups):
        compression = footer.metadata.row_group(group).column(0).compression.lower()
        if compression != settings.compression:
            raise ContractError(
                with_state(
                    f"{table.full_name}: {location} is compressed with {compression}, expected {settings.compression} "
                    "(warehouse.compression)",
                    NOTHING_PUBLISHED,
                ),
                place=location,
            )
    meant = settings.timestamp.upper()
    for column in table.file_columns:
        if column.type == "timestamp" and types[column.name] != meant:
            raise ContractError(
                with_state(
                    f"{table.full_name}: {location}: column {column.name!r} is written as {types[column.name]}, "
                    f"expected {meant} (warehouse.timestamp)",
                    NOTHING_PUBLISHED,
                ),
                place=location,
            )


@contextlib.contextmanager
def readable(location: str) -> Iterator[None]:
    """Raise StorageError, which names `location`, where a Parquet file there is not whole."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{location} is no whole Parquet file: {error}", place=location) from error
