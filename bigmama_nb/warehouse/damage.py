"""Damage: partitions whose files are no longer what was published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import DamagedError, StorageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer, data_files
from bigmama_nb.warehouse.history import opened
from bigmama_nb.warehouse.lineage import read_record, reading
from bigmama_nb.warehouse.version import Version, checksum, require_whole


@dataclass(frozen=True)
class Damage:
    """A current partition that is damaged, and what was found and expected."""

    table: str
    partition: str
    message: str


def damages(warehouse: Warehouse) -> list[Damage]:
    """Return the current partitions that are damaged, sorted by table; every file is read and its checksum compared.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    return list(_damages(warehouse, checksums=True))


def changed(warehouse: Warehouse, entries: Iterable[Entry]) -> list[Damage]:
    """Return the current partitions of these tables that are not what was published, by what costs little to know.

    The size of every file is compared; the checksums where a file was written after its partition was published, and
    in a folder of this machine also where a partition has at most `warehouse.small` bytes.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    found = []
    for entry in entries:
        pointers = [one for one in warehouse.catalog.current(entry.full_name).values() if one.run is not None]

        def looked_at(pointer: Pointer, table: str = entry.full_name) -> Damage | None:
            return _damage(warehouse, table, pointer, checksums=None)

        found += [one for one in warehouse.each(looked_at, pointers) if one is not None]
    return found


def unreadable(warehouse: Warehouse) -> list[Damage]:
    """Return what no reader can read: sizes and footers first, and only where these are whole the checksums."""
    return list(_damages(warehouse, checksums=False)) or damages(warehouse)


def _damages(warehouse: Warehouse, *, checksums: bool) -> Iterator[Damage]:
    for entry in warehouse.tables():
        pointers = warehouse.catalog.current(entry.full_name)

        def found(pointer: Pointer, table: str = entry.full_name) -> Damage | None:
            return _damage(warehouse, table, pointer, checksums=checksums)

        yield from (one for one in warehouse.each(found, pointers.values()) if one is not None)


def _damage(warehouse: Warehouse, table: str, pointer: Pointer, *, checksums: bool | None) -> Damage | None:
    try:
        with reading(warehouse, table, pointer):
            if checksums is None:
                _require_unchanged(warehouse, pointer)
            else:
                _require(warehouse, pointer, checksums=checksums)
    except DamagedError as error:
        return Damage(table, pointer.partition, error.message)
    return None


def _require_unchanged(warehouse: Warehouse, pointer: Pointer) -> None:
    there = {one.location: one for one in warehouse.storage.list(pointer.location)}
    locations = data_files(pointer, warehouse.storage)
    present = [there[location] for location in locations if location in there]
    size = sum(one.bytes for one in present)
    written_since = any(pointer.moved_at is None or one.modified > pointer.moved_at for one in present)
    unsure = written_since or len(present) < len(locations) or size != pointer.bytes
    if not unsure and size <= warehouse.small and warehouse.storage.scheme == "file":
        # The catalog has the checksum of a single file: its record need not be read.
        unsure = len(locations) != 1 or checksum(warehouse.storage, locations[0]) != pointer.sha256
    if unsure:
        opened(warehouse, pointer.location)


def _require(warehouse: Warehouse, pointer: Pointer, *, checksums: bool) -> None:
    if pointer.run is not None and checksums:
        opened(warehouse, pointer.location)
        return
    if pointer.run is not None:
        require_whole(warehouse, Version(pointer.location, read_record(warehouse.storage, pointer.location)))
    for location in data_files(pointer, warehouse.storage):
        with warehouse.storage.open(location) as source:
            try:
                pq.ParquetFile(source)
            except (pa.ArrowException, OSError) as error:
                raise StorageError(f"{location} is no whole Parquet file: {error}", place=location) from error
