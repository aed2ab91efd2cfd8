"""Upkeep of a warehouse: move a pointer back, publish what was held, collect what nobody reads any more.

Source of the rules: publishing.md, the protocol's step 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from bigmama_nb.errors import StorageError, UsageError, did_you_mean
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.commit import Published, holder, move, published, require_current
from bigmama_nb.warehouse.lineage import (
    NAME,
    Record,
    Writer,
    in_context,
    read_record,
    records,
)
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import RUNS, Version, checksum, require_whole


@dataclass(frozen=True)
class Expired:
    """A version that no reader needs: nothing points at it, and its grace period is over."""

    table: str
    partition: str
    version: str
    location: str
    bytes: int


def versions_of(warehouse: Warehouse, table: str, partition: str) -> list[Record]:
    """Return the closed versions of a partition that still stand, sorted by name.

    Raises:
        UsageError: there is no such table.
        StorageError: the storage cannot be read.
    """
    entry = warehouse.entry(table)
    with in_context(entry.full_name, partition):
        found = warehouse.storage.list(join(entry.location, RUNS, partition))
        closed = [
            read_record(warehouse.storage, stored.location.rsplit("/", 1)[0])
            for stored in found
            if stored.location.endswith(f"/{NAME}")
        ]
    return sorted(closed, key=lambda record: record.version)


def rollback(warehouse: Warehouse, table: str, partition: str, author: Writer, version: str | None = None) -> Published:
    """Point a partition at an earlier version of it (None: the one before), after reading that one back.

    The version keeps its lineage: who wrote what is told as it was then. `author` is who holds the lock.

    Raises:
        UsageError: no such table, partition or version; the message names those there are. Nothing was changed.
        StorageError: the version is not whole any more. Nothing was changed.
        LockedError, CatalogError, PublishUnknownError: as a publish.
    """
    entry = warehouse.entry(table)
    name = entry.full_name
    with warehouse.catalog.lock(name, holder(author), warehouse.settings.lock_wait_s) as lock:
        current = require_current(warehouse, {name: [partition]})
        pointer = current.get((name, partition))
        if pointer is None:
            there = list(warehouse.catalog.current(name))
            raise UsageError(
                f"{name} has no partition {partition}.{did_you_mean(partition, there)} Nothing was changed."
            )
        there = [record.version for record in versions_of(warehouse, name, partition)]
        if version is None:
            with in_context(name, partition):
                before = None if pointer.run is None else read_record(warehouse.storage, pointer.location).previous
            if before is None:
                raise UsageError(
                    f"{name} {partition}: nothing stood before {pointer.version}; versions there are "
                    f"{', '.join(there)}. Nothing was changed."
                )
            version = before
        if version not in there:
            raise UsageError(
                f"{name} {partition} has no version {version} (any more); versions there are {', '.join(there)}."
                f"{did_you_mean(version, there)} Nothing was changed."
            )
        target = _opened(warehouse, join(entry.location, RUNS, partition, version))
        move(warehouse, [target], current, {name: lock}, keep=True)
    return published(warehouse, target, moved=True)


def release(warehouse: Warehouse, held: Sequence[Published], author: Writer) -> list[Published]:
    """Publish versions that were staged and held, all together, in their order.

    Raises:
        UsageError: what stands by now is counted through a later day. Nothing was changed.
        StorageError: a version is not whole any more, as after a prune. Nothing was changed.
        LockedError, CatalogError, PublishUnknownError: as a publish.
    """
    tables: dict[str, list[str]] = {}
    for one in held:
        tables.setdefault(one.table, []).append(one.partition)
    with ExitStack() as stack:
        locks = {
            name: stack.enter_context(warehouse.catalog.lock(name, holder(author), warehouse.settings.lock_wait_s))
            for name in sorted(tables)
        }
        targets = [
            _opened(warehouse, join(warehouse.entry(one.table).location, RUNS, one.partition, one.version))
            for one in held
        ]
        current = require_current(warehouse, tables)
        for target in targets:
            pointer = current.get((target.record.table, target.record.partition))
            stands = {} if pointer is None else records(warehouse, target.record.table, [pointer])
            _refuse_step_back(target, stands.get(target.record.partition))
        move(warehouse, targets, current, locks, keep=True)
    return [published(warehouse, target, moved=True) for target in targets]


def superseded(warehouse: Warehouse, now: datetime, *, held: Sequence[tuple[str, str, str]] = ()) -> list[Expired]:
    """Return the versions that `prune` would delete, sorted by location.

    A version counts when nothing points at it, its youngest file is older than `grace_hours`, and the partition's
    pointer has not moved for as long: a query that began before the last move may read any version before.

    Args:
        held: (table, partition, version) that are kept for `release`.
    """
    grace = timedelta(hours=warehouse.settings.grace_hours)
    keep = set(held)
    found = []
    for entry in warehouse.tables():
        # Files before pointers: a version that is staged and moved in between is then seen as current.
        folder = join(entry.location, RUNS)
        versions: dict[tuple[str, str], list[tuple[int, datetime]]] = {}
        for stored in warehouse.storage.list(folder):
            # Deeper than a version's files lies what a killed engine was about to write.
            partition, version = _below(stored.location)
            versions.setdefault((partition, version), []).append((stored.bytes, stored.modified))
        current = warehouse.catalog.current(entry.full_name)
        for (partition, version), files in versions.items():
            location = join(folder, partition, version)
            pointer = current.get(partition)
            quiet = pointer is None or pointer.moved_at is None or now - pointer.moved_at > grace
            is_current = pointer is not None and pointer.location == location
            past = now - max(modified for _, modified in files) > grace
            if quiet and past and not is_current and (entry.full_name, partition, version) not in keep:
                size = sum(size for size, _ in files)
                found.append(Expired(entry.full_name, partition, version, location, size))
    return sorted(found, key=lambda one: one.location)


def prune(
    warehouse: Warehouse, now: datetime, author: Writer, *, held: Sequence[tuple[str, str, str]] = ()
) -> list[Expired]:
    """Delete what `superseded` lists, under each table's lock, and return it.

    Raises:
        LockedError: a publish is under way; run it again later.
        StorageError: a folder could not be deleted.
    """
    deleted = []
    for name in sorted({one.table for one in superseded(warehouse, now, held=held)}):
        with warehouse.catalog.lock(name, holder(author), warehouse.settings.lock_wait_s):
            # Asked again under the lock: a rollback may have brought one of them back.
            for one in superseded(warehouse, now, held=held):
                if one.table == name:
                    warehouse.storage.delete(one.location)
                    deleted.append(one)
    return deleted


def _below(location: str) -> tuple[str, str]:
    """Return partition and version of a file below a table's versions."""
    partition, version = location.rpartition(f"/{RUNS}/")[2].split("/")[:2]
    return partition, version


def _opened(warehouse: Warehouse, location: str) -> Version:
    """Return a version that stands, read back whole."""
    version = Version(location, read_record(warehouse.storage, location))
    require_whole(warehouse, version)
    record = version.record
    with in_context(record.table, record.partition):
        for file in record.files:
            found = checksum(warehouse.storage, join(location, file.path))
            if found != file.sha256:
                raise StorageError(
                    f"{join(location, file.path)} has sha256 {found}, was published with {file.sha256}", place=location
                )
    return version


def _refuse_step_back(target: Version, stands: Record | None) -> None:
    if stands is None:
        return
    record = target.record
    for key, origin in record.groups.items():
        other = stands.groups.get(key)
        if other is not None and other.through > origin.through:
            raise UsageError(
                f"{record.table} {record.partition}: what stands is counted through {other.through}, what was held "
                f"through {origin.through}. Nothing was changed; 'rollback' goes back on purpose."
            )
