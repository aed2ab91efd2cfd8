"""The move: pointers of versions that were staged and verified, and what became of each partition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bigmama_nb.errors import CommitConflictError, PublishUnknownError, TaskError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Lock, Move, Pointer
from bigmama_nb.warehouse.lineage import DataFile, Key, Writer
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import Version, discard

ATTEMPTS = 10
"""How often a publish begins again because another one was faster."""


@dataclass(frozen=True)
class Published:
    """What became of one partition.

    `moved`: readers see this version now. `kept`: keys brought whose newer row was kept; `carried`: rows of the version
    before that stand in this one too. `held`: why it was staged and not moved.
    """

    table: str
    partition: str
    version: str
    files: tuple[DataFile, ...]
    moved: bool
    kept: frozenset[Key] = field(default_factory=frozenset)
    carried: int = 0
    held: Literal["empty", "asked"] | None = None

    @property
    def rows(self) -> int:
        """How many rows the version holds."""
        return sum(file.rows for file in self.files)

    def record(self) -> dict[str, Any]:
        """Return what run.json says of it: table, partition, version and files."""
        return {
            "table": self.table,
            "partition": self.partition,
            "version": self.version,
            "files": [vars(file).copy() for file in self.files],
        }


def published(warehouse: Warehouse, version: Version, *, moved: bool) -> Published:
    """Return what became of `version`, its files named below the warehouse."""
    folder = warehouse.relative(version.location)
    return Published(
        table=version.record.table,
        partition=version.record.partition,
        version=version.record.version,
        files=tuple(replace(file, path=join(folder, file.path)) for file in version.record.files),
        moved=moved,
    )


def move(
    warehouse: Warehouse,
    versions: Sequence[Version],
    current: Mapping[tuple[str, str], Pointer],
    locks: Mapping[str, Lock],
    *,
    keep: bool = False,
) -> None:
    """Point every partition at its version, table by table.

    Args:
        current: by (table, partition) what the versions were built on.
        locks: by table.
        keep: delete no file whatever happens: the versions are not new.

    Raises:
        CommitConflictError: one of them stands on something else now; no file is deleted, begin again.
        CatalogError, StorageError: refused. The files of what did not move are deleted; `published` holds the rest.
        PublishUnknownError: the answer was lost, no file is deleted; `published` holds what certainly moved.
    """
    done: list[Version] = []
    for name in sorted({version.record.table for version in versions}):
        those = [version for version in versions if version.record.table == name]
        moved_at = warehouse.clock()
        moves = [
            Move(
                pointer=replace(version.pointer(), moved_at=moved_at),
                expected=current.get((name, version.record.partition)),
            )
            for version in those
        ]
        try:
            warehouse.catalog.move(name, moves, locks[name], warehouse.at)
        except TaskError as error:
            done += [version for version in those if version.record.partition in error.moved]
            error.published = tuple(published(warehouse, version, moved=True) for version in done)
            # Where the answer was lost it may have been a yes: those files may be what readers are pointed at.
            if not keep and not isinstance(error, CommitConflictError | PublishUnknownError):
                for version in versions:
                    if version not in done:
                        discard(warehouse.storage, version.location)
            raise
        done += those


def require_current(warehouse: Warehouse, tables: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Pointer]:
    """Return the pointers of the named partitions, by (table, partition)."""
    return {
        (name, partition): pointer
        for name, partitions in tables.items()
        for partition, pointer in warehouse.catalog.current(name, partitions).items()
    }


def holder(author: Writer) -> str:
    """Return who a lock says that it is held by."""
    return f"bigmama-nb {author.run}"
