"""Recovery: point partitions at their newest whole versions again, where the catalog is gone, old or points at damage.

All that is needed stands beside the data: each version's lineage record says whose it is, and its checksums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.commit import Change, commit, published
from bigmama_nb.warehouse.history import newest_whole, note_commit, stored_versions
from bigmama_nb.warehouse.lineage import Writer
from bigmama_nb.warehouse.version import Version


@dataclass(frozen=True)
class Recovered:
    """What recovery finds of a partition: the version it is to point at, and what the catalog pointed at before.

    `kept`: it points there already; `moved`: it does now; `damaged`: no whole version is left, and nothing was done.
    """

    table: str
    partition: str
    version: str | None
    before: str | None
    became: Literal["kept", "moved", "damaged"]


def recover(
    warehouse: Warehouse, tables: Sequence[Table], writer: Writer, *, only_plan: bool = False
) -> list[Recovered]:
    """Point every partition of `tables` at the version that was committed last and is whole; return what was found.

    A catalog that is gone is made anew, one that cannot be read is put aside. What is held stays held, and a partition
    whose files others wrote stays as it is.

    Args:
        only_plan: look, and change nothing.

    Raises:
        LockedError: a publish is under way; run it again later.
        CatalogError, StorageError, PublishUnknownError: as a publish; running it again is safe.
    """
    lost = warehouse.catalog.is_lost()
    if only_plan:
        return [one for table in tables for one in _planned(warehouse, table, lost=lost)[0]]
    lost = lost or any(warehouse.lost_version(table) is not None for table in tables)
    if lost:
        warehouse.catalog.renew()
    found = [one for table in tables for one in _recovered(warehouse, table, writer)]
    if lost:
        warehouse.catalog.renewed()
    return found


def _recovered(warehouse: Warehouse, table: Table, writer: Writer) -> list[Recovered]:
    if not _planned(warehouse, table)[0]:
        return []
    warehouse.ensure(table, recovering=True)
    found: list[Recovered] = []
    moved: list[Version] = []

    def changes() -> list[Change]:
        # Looked at again under the lock.
        found[:], moves = _planned(warehouse, table)
        moved[:] = [version for version, _ in moves]
        return [Change(published(warehouse, version, moved=True), version, before) for version, before in moves]

    commit(warehouse, [table.full_name], writer, changes, files="standing")
    for version in moved:
        note_commit(warehouse, version)
    return found


def _planned(
    warehouse: Warehouse, table: Table, *, lost: bool = False
) -> tuple[list[Recovered], list[tuple[Version, Pointer | None]]]:
    """Return what each partition with versions is to point at, and the pointers that are to move."""
    entry = None if lost else warehouse.catalog.entry(table.full_name)
    pointers = {} if entry is None else warehouse.catalog.current(table.full_name)
    location = warehouse.place_of(table) if entry is None else entry.location
    found: list[Recovered] = []
    moves: list[tuple[Version, Pointer | None]] = []
    stored = stored_versions(warehouse, table.full_name, location)
    candidates = [one for one in stored if one.sealed and not one.held]
    for partition, versions in groupby(candidates, key=lambda one: one.partition):
        pointer = pointers.get(partition)
        if pointer is not None and pointer.run is None:
            continue
        whole = next(newest_whole(warehouse, list(versions)), None)
        before = None if pointer is None else pointer.version
        if whole is None:
            found.append(Recovered(table.full_name, partition, None, before, "damaged"))
        elif pointer is not None and pointer.location == whole.location:
            found.append(Recovered(table.full_name, partition, whole.record.version, before, "kept"))
        else:
            found.append(Recovered(table.full_name, partition, whole.record.version, before, "moved"))
            moves.append((whole, pointer))
    return found, moves
