"""Publish rows so that readers see the old partition or the new one, and nothing else: carry, stage, verify, move.

A version is a new folder; one pointer in the catalog makes it the partition. Source: publishing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from bigmama_nb.errors import CatalogError, CommitConflictError, TaskError
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer
from bigmama_nb.warehouse.commit import ATTEMPTS, Published, holder, move, published
from bigmama_nb.warehouse.lineage import (
    Group,
    Key,
    Provenance,
    Record,
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
    "Group",
    "Incoming",
    "Key",
    "Provenance",
    "Published",
    "Replacement",
    "Writer",
    "publish_derived",
    "publish_keyed",
    "publish_whole",
    "retract",
]

STEPS = ("locked", "carried", "staged", "verified", "moving", "moved", "done")
"""The steps of `publish_keyed` that `Warehouse.at` is told of; some catalogs have further ones between."""

Build = Callable[[str, Pointer | None, Record | None], Merged]


def publish_keyed(
    warehouse: Warehouse, table: Table, brought: Mapping[str, Incoming], author: Writer
) -> dict[str, Published]:
    """Publish rows by key: each partition's new version holds them and all other rows that stood there.

    A key whose row is counted through a later day already keeps that row. All partitions are moved together.

    Args:
        brought: by partition name (`dt=20240501`).

    Returns:
        By partition what became of it; `moved` is false where every key kept its row.

    Raises:
        ContractError: the rows are not what the contract says. Nothing was published.
        LockedError: another run held the table's lock for longer than `lock_wait_s`.
        StorageError, CatalogError: as they say; `published` holds the partitions that were moved before.
        PublishUnknownError: the answer was lost; `published` holds those that certainly were moved.

    Source: publishing.md, "Rows that were there before".
    """
    for partition, new in brought.items():
        require_incoming(table, partition, new)

    def build(partition: str, pointer: Pointer | None, record: Record | None) -> Merged:
        return merge(warehouse, table, partition, brought[partition], author, pointer, record)

    return _publish_locked(warehouse, table, brought.keys(), author, build)


def retract(warehouse: Warehouse, table: Table, partition: str, keys: Collection[Key], author: Writer) -> Published:
    """Take the rows of `keys` out of a partition of a keyed table, and keep all others.

    Raises:
        UsageError: the partition or one of the keys is not there; nothing was changed.
        LockedError, StorageError, CatalogError, PublishUnknownError: as `publish_keyed`.
    """

    def build(partition: str, pointer: Pointer | None, record: Record | None) -> Merged:
        return retain(warehouse, table, partition, keys, pointer, record)

    return _publish_locked(warehouse, table, [partition], author, build)[partition]


def _publish_locked(
    warehouse: Warehouse, table: Table, partitions: Collection[str], author: Writer, build: Build
) -> dict[str, Published]:
    """Carry, stage, verify and move under the table's lock; from the start where somebody else was faster."""
    if not partitions:
        return {}
    entry = warehouse.ensure(table)
    for attempt in range(1, ATTEMPTS + 1):
        with warehouse.catalog.lock(table.full_name, holder(author), warehouse.settings.lock_wait_s) as lock:
            warehouse.at("locked")
            current = warehouse.catalog.current(table.full_name, partitions)
            before = records(warehouse, table.full_name, current.values())
            merged = _carry(warehouse, partitions, current, before, build)
            warehouse.at("carried")
            versions = _stage(warehouse, entry, table, merged, current, author)
            warehouse.at("verified")
            expected = {(table.full_name, partition): pointer for partition, pointer in current.items()}
            try:
                move(warehouse, list(versions.values()), expected, {table.full_name: lock})
            except CommitConflictError as error:
                for partition, version in versions.items():
                    if partition not in error.moved:
                        discard(warehouse.storage, version.location)
                if attempt == ATTEMPTS:
                    raise CatalogError(
                        f"{error.message}. Others were faster {ATTEMPTS} times. Run 'run_all.py repair latest'.",
                        place=error.place,
                    ) from error
                continue
        warehouse.at("done")
        break
    return {
        partition: _outcome(warehouse, one, versions.get(partition), current.get(partition), before.get(partition))
        for partition, one in merged.items()
    }


def _carry(
    warehouse: Warehouse,
    partitions: Collection[str],
    current: Mapping[str, Pointer],
    before: Mapping[str, Record],
    build: Build,
) -> dict[str, Merged]:
    built = warehouse.each(lambda name: build(name, current.get(name), before.get(name)), partitions)
    return dict(zip(partitions, built, strict=True))


def _stage(
    warehouse: Warehouse,
    entry: Entry,
    table: Table,
    merged: Mapping[str, Merged],
    current: Mapping[str, Pointer],
    author: Writer,
) -> dict[str, Version]:
    versions: dict[str, Version] = {}

    def written(partition: str) -> None:
        one = merged[partition]
        assert one.rows is not None
        content = parquet_bytes(one.rows, table, timestamp=warehouse.settings.timestamp)
        versions[partition] = stage(warehouse, entry, table, partition, content, one.groups, author)
        versions[partition] = seal(warehouse, versions[partition], current.get(partition))

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


def _outcome(
    warehouse: Warehouse, merged: Merged, version: Version | None, pointer: Pointer | None, record: Record | None
) -> Published:
    if version is not None:
        return replace(published(warehouse, version, moved=True), kept=merged.kept, carried=merged.carried)
    assert pointer is not None
    assert record is not None
    return replace(published(warehouse, Version(pointer.location, record), moved=False), kept=merged.kept)
