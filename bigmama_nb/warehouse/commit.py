"""The one transaction of a warehouse: lock, read what stands, build, commit; and again where another was faster.

Whatever moves a pointer does it here: merge, replacement, retraction, rollback, release, recovery.
Source of the rules: docs/spec/publishing.md, the protocol's step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bigmama_nb.errors import CatalogError, CommitConflictError, PublishUnknownError, TaskError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Lock, Move, Pointer
from bigmama_nb.warehouse.form import require_one_form
from bigmama_nb.warehouse.lineage import DataFile, Key, Retraction, Writer
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import Version, discard

ATTEMPTS = 10
"""How often a transaction begins again because another one was faster."""


@dataclass(frozen=True)
class Published:
    """What became of one partition.

    `moved`: readers see this version now. `kept`: keys brought whose newer row was kept; `carried`: rows of the version
    before that stand in this one too. `held`: why it was staged and not committed. `retracted`: keys brought that stay
    out; `outdone`: keys brought that a later run wrote, and which.
    """

    table: str
    partition: str
    version: str
    files: tuple[DataFile, ...]
    moved: bool
    kept: frozenset[Key] = field(default_factory=frozenset)
    carried: int = 0
    held: Literal["empty", "asked"] | None = None
    retracted: Mapping[Key, Retraction] = field(default_factory=dict)
    outdone: Mapping[Key, str] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Change:
    """What is to become of a partition: the version to point at (None: it stays as it is), provided that `expected`
    stands there still."""

    published: Published
    version: Version | None = None
    expected: Pointer | None = None


def commit(
    warehouse: Warehouse,
    tables: Iterable[str],
    writer: Writer,
    build: Callable[[], Sequence[Change]],
    *,
    files: Literal["new", "staged", "standing"] = "new",
) -> list[Published]:
    """Commit what `build` returns, under the locks of `tables` and table by table; return what became of each change.

    Args:
        tables: `database.name` of every table that `build` reads or changes.
        build: called when the locks are held, and again when another one was faster all the same.
        files: which are deleted where they certainly did not land: `new` ones after every try, `staged` ones, which
            the next try needs, after a refusal, `standing` ones never.

    Raises:
        LockedError: another run held a table's lock for longer than `lock_wait_s`.
        CatalogError, StorageError: as they say; `published` holds what was committed before.
        PublishUnknownError: the answer was lost, no file is deleted; `published` holds what certainly was committed.
    """
    names = sorted(set(tables))
    for attempt in range(1, ATTEMPTS + 1):
        with _locked(warehouse, names, writer) as locks:
            changes = build()
            try:
                _commit(warehouse, changes, locks)
                break
            except PublishUnknownError:
                # It may have been a yes: those files may be what readers are pointed at.
                raise
            except CommitConflictError as error:
                if files == "new":
                    _discard(warehouse, changes, error)
                if attempt == ATTEMPTS:
                    raise CatalogError(
                        f"{error.message}. Others were faster {ATTEMPTS} times. Run 'run_all.py repair latest'.",
                        place=error.place,
                    ) from error
            except TaskError as error:
                if files != "standing":
                    _discard(warehouse, changes, error)
                raise
    warehouse.at("done")
    return [change.published for change in changes]


def current(warehouse: Warehouse, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Pointer]:
    """Return the pointers of (table, partition); those that are not there are left out."""
    tables: dict[str, list[str]] = {}
    for table, partition in places:
        tables.setdefault(table, []).append(partition)
    return {
        (table, partition): pointer
        for table, partitions in tables.items()
        for partition, pointer in warehouse.catalog.current(table, partitions).items()
    }


@contextmanager
def _locked(warehouse: Warehouse, tables: Collection[str], writer: Writer) -> Iterator[Mapping[str, Lock]]:
    with ExitStack() as stack:
        holder, wait_s = f"bigmama-nb {writer.run}", warehouse.settings.lock_wait_s
        # One order for all, so that two runs never wait for each other.
        locks = {name: stack.enter_context(warehouse.catalog.lock(name, holder, wait_s)) for name in tables}
        warehouse.at("locked")
        yield locks


def _commit(warehouse: Warehouse, changes: Sequence[Change], locks: Mapping[str, Lock]) -> None:
    at = warehouse.clock()
    versions: dict[str, list[Version]] = {}
    moves: dict[str, list[Move]] = {}
    for change in changes:
        if change.version is not None:
            name = change.published.table
            versions.setdefault(name, []).append(change.version)
            moves.setdefault(name, []).append(Move(replace(change.version.pointer(), moved_at=at), change.expected))
    for name, those in versions.items():
        require_one_form(warehouse, name, those)
    try:
        warehouse.catalog.move(moves, locks, warehouse.at)
    except TaskError as error:
        error.published = tuple(
            change.published
            for change in changes
            if (change.published.table, change.published.partition) in error.moved
        )
        raise


def _discard(warehouse: Warehouse, changes: Sequence[Change], error: TaskError) -> None:
    landed = {(one.table, one.partition) for one in error.published}
    for change in changes:
        if change.version is not None and (change.published.table, change.published.partition) not in landed:
            discard(warehouse.storage, change.version.location)
