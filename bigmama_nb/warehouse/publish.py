"""Publish rows so that readers see the old partition or the new one, and nothing else: carry, stage, verify, move.

A version is a new folder; one pointer in the catalog makes it the partition. Source: docs/spec/publishing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bigmama_nb.errors import TaskError
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer
from bigmama_nb.warehouse.commit import Change, Published, commit, published
from bigmama_nb.warehouse.lineage import (
    Group,
    Key,
    Provenance,
    Record,
    Retraction,
    Writer,
    records,
)
from bigmama_nb.warehouse.merge import Incoming, Merged, merge, require_incoming, retain
from bigmama_nb.warehouse.replace import Replacement, publish_derived, publish_whole
from bigmama_nb.warehouse.version import (
    Version,
    discard,
    parquet_bytes,
    seal,
    stage,
    verify,
)

__all__ = [
    "STEPS",
    "Beside",
    "Group",
    "Incoming",
    "Key",
    "Provenance",
    "Published",
    "Replacement",
    "Writer",
    "publish_beside",
    "publish_derived",
    "publish_keyed",
    "publish_whole",
    "retract",
]

STEPS = ("locked", "carried", "staged", "verified", "moving", "moved", "done")
"""The steps of `publish_keyed` that `Warehouse.at` is told of; some catalogs have further ones between."""

Build = Callable[[str, Pointer | None, Record | None], Merged]


@dataclass(frozen=True)
class Beside:
    """A keyed table that is moved together with another one.

    `rows` says what it is brought, by partition: told, under the locks, from what is about to become of the other
    table's partitions, and from why some cannot be built.
    """

    table: Table
    rows: Callable[[Mapping[str, Published], Mapping[str, TaskError]], Mapping[str, Incoming]]


def publish_keyed(
    warehouse: Warehouse, table: Table, brought: Mapping[str, Incoming], writer: Writer
) -> dict[str, Published]:
    """Publish rows by key: each partition's new version holds them and all other rows that stood there.

    A key whose row is counted through a later day already keeps that row. All partitions are committed together.

    Args:
        brought: by partition name (`dt=20240501`).

    Returns:
        By partition what became of it; `moved` is false where no key brought changed its row.

    Raises:
        ContractError: the rows are not what the contract says. Nothing was published.
        LockedError: another run held the table's lock for longer than `lock_wait_s`.
        DamagedError: what stands in some partitions cannot be read; `failures` says of which, all others are committed.
        StorageError, CatalogError: as they say; `published` holds the partitions that were committed before.
        PublishUnknownError: the answer was lost; `published` holds those that certainly were committed.

    Source: docs/spec/publishing.md, "Rows that were there before".
    """
    return {one.partition: one for one in publish_beside(warehouse, table, brought, None, writer)}


def publish_beside(
    warehouse: Warehouse, table: Table, brought: Mapping[str, Incoming], beside: Beside | None, writer: Writer
) -> list[Published]:
    """Publish rows by key, as `publish_keyed`, and in the same move what another table says of it.

    What cannot be built of the other table keeps no row of this one back.

    Returns:
        What became of this table's partitions, then of the other's.

    Raises:
        As `publish_keyed`. Where only the other table failed, `published` holds all of this one and `failures` nothing.
    """
    for partition, new in brought.items():
        require_incoming(table, partition, new)
    return _rebuild(warehouse, table, list(brought), writer, _merging(warehouse, table, brought, writer), beside)


def _merging(warehouse: Warehouse, table: Table, brought: Mapping[str, Incoming], writer: Writer) -> Build:
    def build(partition: str, pointer: Pointer | None, record: Record | None) -> Merged:
        return merge(warehouse, table, partition, brought[partition], writer, pointer, record)

    return build


def retract(
    warehouse: Warehouse, table: Table, partition: str, keys: Collection[Key], writer: Writer, reason: str = ""
) -> Published:
    """Take the rows of `keys` out of a partition of a keyed table, and keep all others.

    They stay out until `Incoming.again` names them.

    Raises:
        UsageError: the partition or one of the keys is not there; nothing was changed.
        LockedError, StorageError, CatalogError, PublishUnknownError: as `publish_keyed`.
    """

    def build(partition: str, pointer: Pointer | None, record: Record | None) -> Merged:
        out = dict.fromkeys(keys, Retraction(writer.run, reason))
        return retain(warehouse, table, partition, out, pointer, record)

    return _rebuild(warehouse, table, [partition], writer, build)[0]


def _rebuild(
    warehouse: Warehouse,
    table: Table,
    partitions: Sequence[str],
    writer: Writer,
    build: Build,
    beside: Beside | None = None,
) -> list[Published]:
    """Make the next version of each partition from what stands there, in one transaction with the table beside it."""
    tables = [table] if partitions else []
    tables += [beside.table] if beside is not None else []
    for one in tables:
        warehouse.ensure(one)
    failures: dict[str, TaskError] = {}
    besides: dict[str, TaskError] = {}

    def changes() -> list[Change]:
        failures.clear()
        made = _changes(warehouse, table, partitions, writer, build, failures)
        return made if beside is None else made + _told(warehouse, beside, made, failures, writer, besides)

    if not tables:
        return []
    done = commit(warehouse, [one.full_name for one in tables], writer, changes)
    if failures or besides:
        error = failures[min(failures)] if failures else besides[min(besides)]
        error.published, error.failures = tuple(done), failures
        raise error
    return done


def _told(
    warehouse: Warehouse,
    beside: Beside,
    made: Sequence[Change],
    failures: Mapping[str, TaskError],
    writer: Writer,
    besides: dict[str, TaskError],
) -> list[Change]:
    """Return the changes of the table beside; what of it cannot be made is entered in `besides`."""
    besides.clear()
    brought = beside.rows({change.published.partition: change.published for change in made}, failures)
    try:
        build = _merging(warehouse, beside.table, brought, writer)
        return _changes(warehouse, beside.table, list(brought), writer, build, besides)
    except TaskError as error:
        besides.update(dict.fromkeys(brought, error))
        return []


def _changes(
    warehouse: Warehouse,
    table: Table,
    partitions: Sequence[str],
    writer: Writer,
    build: Build,
    failures: dict[str, TaskError],
) -> list[Change]:
    """Stage the next version of each partition; one that cannot be built is entered in `failures`."""
    if not partitions:
        return []
    entry = warehouse.ensure(table)
    pointers = warehouse.catalog.current(table.full_name, partitions)
    before: dict[str, Record] = {}

    def built(name: str) -> Merged | None:
        try:
            if name in pointers:
                before.update(records(warehouse, table.full_name, [pointers[name]]))
            return build(name, pointers.get(name), before.get(name))
        except TaskError as error:
            failures[name] = error
            return None

    found = zip(partitions, warehouse.each(built, partitions), strict=True)
    merged = {name: one for name, one in found if one is not None}
    warehouse.at("carried")
    versions = _stage(warehouse, entry, table, merged, pointers, writer)
    warehouse.at("verified")
    return [
        _change(warehouse, one, versions.get(name), pointers.get(name), before.get(name))
        for name, one in merged.items()
    ]


def _stage(
    warehouse: Warehouse,
    entry: Entry,
    table: Table,
    merged: Mapping[str, Merged],
    current: Mapping[str, Pointer],
    writer: Writer,
) -> dict[str, Version]:
    versions: dict[str, Version] = {}

    def written(partition: str) -> None:
        one = merged[partition]
        assert one.rows is not None
        content = parquet_bytes(one.rows, table, warehouse.settings)
        versions[partition] = stage(warehouse, entry, table, partition, content, one.groups, writer)
        said = replace(versions[partition].record, retracted=one.retractions)
        versions[partition] = seal(warehouse, replace(versions[partition], record=said), current.get(partition))

    def verified(partition: str) -> None:
        rows = merged[partition].rows
        verify(warehouse, table, versions[partition], rows=None if rows is None else rows.num_rows)

    changing = [partition for partition, one in merged.items() if one.rows is not None]
    try:
        warehouse.each(written, changing)
        warehouse.storage.sync(version.location for version in versions.values())
        warehouse.at("staged")
        warehouse.each(verified, changing)
    except TaskError:
        for version in versions.values():
            discard(warehouse.storage, version.location)
        raise
    return {partition: versions[partition] for partition in changing}


def _change(
    warehouse: Warehouse, merged: Merged, version: Version | None, pointer: Pointer | None, record: Record | None
) -> Change:
    out = {key: merged.retractions[key] for key in merged.stays_out}
    if version is not None:
        told = replace(published(warehouse, version, moved=True), carried=merged.carried)
    else:
        assert pointer is not None
        assert record is not None
        told = published(warehouse, Version(pointer.location, record), moved=False)
    told = replace(told, kept=merged.kept, retracted=out, outdone=merged.outdone)
    return Change(told, version, pointer)
