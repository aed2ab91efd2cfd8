"""Upkeep of a warehouse: point a partition back, publish what was held, collect what nobody reads any more.

Source of the rules: docs/spec/publishing.md, "The protocol".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bigmama_nb.errors import NOTHING_CHANGED, UsageError, did_you_mean
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer
from bigmama_nb.warehouse.commit import Change, Published, commit, current, published
from bigmama_nb.warehouse.history import StoredVersion, newest_whole, note_commit, opened, stored_versions
from bigmama_nb.warehouse.lineage import Record, Writer, in_context, records
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import RUNS, Version


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
        stored = stored_versions(warehouse, entry.full_name, entry.location, partition)
    return sorted((one.record for one in stored if one.record is not None), key=lambda record: record.version)


def rollback(
    warehouse: Warehouse,
    table: str,
    partition: str,
    writer: Writer,
    version: str | None = None,
    *,
    tell: Callable[[Published], None] | None = None,
) -> Published:
    """Point a partition at an earlier version of it (None: the one before), after reading that one back.

    The version keeps its lineage: who wrote what is told as it was then. `writer` is who holds the lock; `tell` gets
    what is to stand, before the pointer is moved.

    Raises:
        UsageError: no such table, partition or version; the message names those there are. Nothing was changed.
        StorageError: the version is not whole any more. Nothing was changed.
        LockedError, CatalogError, PublishUnknownError: as a publish.
    """
    entry = warehouse.entry(table)
    name = entry.full_name
    targets: list[Version] = []

    def back() -> list[Change]:
        pointer = current(warehouse, [(name, partition)]).get((name, partition))
        if pointer is None:
            there = list(warehouse.catalog.current(name))
            raise UsageError(
                f"{name} has no partition {partition}.{did_you_mean(partition, there)}", state=NOTHING_CHANGED
            )
        targets[:] = [_earlier(warehouse, entry, pointer, version)]
        stands = published(warehouse, targets[0], moved=True)
        if tell is not None:
            tell(stands)
        return [Change(stands, targets[0], pointer)]

    (done,) = commit(warehouse, [name], writer, back, files="standing")
    note_commit(warehouse, targets[0])
    return done


def _earlier(warehouse: Warehouse, entry: Entry, pointer: Pointer, version: str | None) -> Version:
    """Return the version of that name, or the one before what stands, read back whole."""
    name, partition = entry.full_name, pointer.partition
    there = [record.version for record in versions_of(warehouse, name, partition)]
    named = f"versions there are {', '.join(there)}" if there else "no version is there"
    if version is None:
        stored = stored_versions(warehouse, entry.full_name, entry.location, partition)
        stands = next((one for one in stored if one.location == pointer.location), None)
        if pointer.run is not None and (stands is None or stands.record is None):
            # What stands cannot say what stood before it.
            others = [one for one in stored if one.location != pointer.location]
            if whole := next(newest_whole(warehouse, others), None):
                return whole
        version = stands.record.previous if stands is not None and stands.record is not None else None
        if version is None:
            raise UsageError(
                f"{name} {partition}: nothing stood before {pointer.version}; {named}", state=NOTHING_CHANGED
            )
    if version not in there:
        raise UsageError(
            f"{name} {partition} has no version {version} (any more); {named}.{did_you_mean(version, there)}",
            state=NOTHING_CHANGED,
        )
    return opened(warehouse, join(entry.location, RUNS, partition, version))


def release(
    warehouse: Warehouse, run: str, places: Sequence[tuple[str, str]], writer: Writer, *, over: bool = False
) -> list[Published]:
    """Publish what `run` staged and held of each (table, partition), all together, in their order.

    The pointers are moved to the versions as they were held; of several attempts the last one's.

    Args:
        over: also where somebody else published since it was held, or what stands is counted through a later day.

    Raises:
        UsageError: nothing is held there, or it was published over since. Nothing was changed.
        StorageError: a version is not whole. Nothing was changed.
        LockedError, CatalogError, PublishUnknownError: as a publish.
    """
    targets: list[Version] = []

    def held() -> list[Change]:
        stands = current(warehouse, places)
        targets[:] = [_held(warehouse, run, *place, stands.get(place)) for place in places]
        if not over:
            for target in targets:
                _refuse_step_back(warehouse, target, stands.get((target.record.table, target.record.partition)))
        return [
            Change(published(warehouse, one, moved=True), one, stands.get((one.record.table, one.record.partition)))
            for one in targets
        ]

    done = commit(warehouse, [table for table, _ in places], writer, held, files="standing")
    for target in targets:
        note_commit(warehouse, target)
    return done


def _held(warehouse: Warehouse, run: str, table: str, partition: str, pointer: Pointer | None) -> Version:
    found = [
        one
        for one in stored_versions(warehouse, table, warehouse.entry(table).location, partition)
        if one.held and one.sealed and one.name.startswith(f"{run}-")
    ]
    if not found and pointer is not None and pointer.run == run:
        # A release that was ended midway had come as far as here.
        return opened(warehouse, pointer.location)
    if not found:
        raise UsageError(
            f"{table} {partition}: {run} holds nothing (any more)",
            state=NOTHING_CHANGED,
            step="run it again to have it anew",
        )
    return opened(warehouse, max(found, key=lambda one: one.order).location)


def superseded(warehouse: Warehouse, now: datetime, *, dropped: Collection[str] = ()) -> list[Expired]:
    """Return the versions that `prune` would delete, sorted by location.

    A version counts when nothing points at it, its youngest file is older than `grace_hours`, and the partition's
    pointer has not moved for as long: a query that began before the last move may read any version before. It is kept
    all the same while it is held, and where a lost pointer would need it: where nothing points at its partition, and
    where it was committed after what the catalog points at.

    Args:
        dropped: ids of runs whose held versions nobody can release any more.
    """
    found = [one for entry in warehouse.tables() for one in _expired(warehouse, entry, now, dropped)]
    return sorted(found, key=lambda one: one.location)


def prune(
    warehouse: Warehouse,
    now: datetime,
    writer: Writer,
    *,
    dropped: Collection[str] = (),
    tell: Callable[[Expired], None] | None = None,
) -> list[Expired]:
    """Delete what `superseded` lists, under each table's lock, and return it; `tell` gets each as it is gone.

    Raises:
        LockedError: a publish is under way; run it again later.
        StorageError: a folder could not be deleted.
    """
    deleted: list[Expired] = []
    for name in sorted({one.table for one in superseded(warehouse, now, dropped=dropped)}):

        def collected(name: str = name) -> list[Change]:
            # Asked again under the lock: a rollback may have brought one of them back.
            for one in _expired(warehouse, warehouse.entry(name), now, dropped):
                warehouse.storage.delete(one.location)
                deleted.append(one)
                if tell is not None:
                    tell(one)
            return []

        commit(warehouse, [name], writer, collected, files="standing")
    return deleted


def _expired(warehouse: Warehouse, entry: Entry, now: datetime, dropped: Collection[str]) -> list[Expired]:
    grace = timedelta(hours=warehouse.settings.grace_hours)
    # Files before pointers: a version that is staged and committed in between is then seen as current.
    versions = stored_versions(warehouse, entry.full_name, entry.location)
    pointers = warehouse.catalog.current(entry.full_name)
    standing = {one.location: one for one in versions}

    def expired(one: StoredVersion) -> bool:
        pointer = pointers.get(one.partition)
        if now - one.modified <= grace or (pointer is not None and pointer.location == one.location):
            return False
        if pointer is not None and pointer.moved_at is not None and now - pointer.moved_at <= grace:
            return False
        if not one.sealed:
            return True
        if one.held:
            return any(one.name.startswith(f"{run}-") for run in dropped)
        current = None if pointer is None else standing.get(pointer.location)
        return current is not None and one.order < current.order

    return [Expired(one.table, one.partition, one.name, one.location, one.bytes) for one in versions if expired(one)]


def _refuse_step_back(warehouse: Warehouse, target: Version, pointer: Pointer | None) -> None:
    """Refuse to publish what was held over what somebody published since, or what is counted through a later day."""
    record = target.record
    if pointer is not None and pointer.location == target.location:
        return
    stands = {} if pointer is None else records(warehouse, record.table, [pointer])
    if (other := stands.get(record.partition)) is not None:
        _refuse_less_through(record, other)
    if pointer is not None and pointer.run is not None and pointer.version != record.previous:
        raise UsageError(
            f"{record.table} {record.partition}: {pointer.run} published it after {record.run} was held",
            state=NOTHING_CHANGED,
            step="'--over' puts what was held in its place",
        )


def _refuse_less_through(record: Record, stands: Record) -> None:
    for key, provenance in record.groups.items():
        other = stands.groups.get(key)
        if other is not None and other.through > provenance.through:
            raise UsageError(
                f"{record.table} {record.partition}: what stands is counted through {other.through}, what was held "
                f"through {provenance.through}",
                state=NOTHING_CHANGED,
                step="'--over' puts what was held in its place",
            )
