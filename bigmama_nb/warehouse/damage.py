"""Damage: partitions whose files are no longer what was published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import DamagedError, StorageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer, data_files
from bigmama_nb.warehouse.history import opened
from bigmama_nb.warehouse.lineage import read_record, reading
from bigmama_nb.warehouse.version import Version, require_whole


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


def unreadable(warehouse: Warehouse) -> list[Damage]:
    """Return what no reader can read: sizes and footers first, and only where these are whole the checksums."""
    return list(_damages(warehouse, checksums=False)) or damages(warehouse)


def _damages(warehouse: Warehouse, *, checksums: bool) -> Iterator[Damage]:
    for entry in warehouse.tables():
        pointers = warehouse.catalog.current(entry.full_name)

        def found(pointer: Pointer, table: str = entry.full_name) -> Damage | None:
            try:
                with reading(warehouse, table, pointer):
                    _require(warehouse, pointer, checksums=checksums)
            except DamagedError as error:
                return Damage(table, pointer.partition, error.message)
            return None

        yield from (one for one in warehouse.each(found, pointers.values()) if one is not None)


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
