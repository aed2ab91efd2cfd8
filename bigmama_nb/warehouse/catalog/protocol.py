"""Which version of each partition is current, and who may move it. SQLite in the folder, or a Hive Metastore."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bigmama_nb.errors import NOTHING_PUBLISHED, CatalogError
from bigmama_nb.tables.contract import Column, Table
from bigmama_nb.warehouse.storage.protocol import Storage, join, name_of


@dataclass(frozen=True)
class Pointer:
    """What a partition points at.

    `files` are the names of the current data files, None where nobody counted them (a partition that others made);
    `sha256` is the file's, or of several the hash over their hashes.
    """

    partition: str
    location: str
    files: tuple[str, ...] | None = None
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    run: str | None = None
    attempt: int | None = None
    moved_at: datetime | None = None

    @property
    def version(self) -> str:
        """The name of the version: the last part of its location."""
        return name_of(self.location)


@dataclass(frozen=True)
class Move:
    """Point a partition at `pointer`, provided that it points at `expected` still (None: that it is not there)."""

    pointer: Pointer
    expected: Pointer | None


@dataclass(frozen=True)
class Entry:
    """A table as the catalog holds it; `columns` without the partition's."""

    database: str
    name: str
    columns: tuple[tuple[str, str, str], ...]
    partition: tuple[str, str, str]
    location: str
    comment: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`database.name`."""
        return f"{self.database}.{self.name}"


class Lock(Protocol):
    """A table's lock while it is held."""

    def held(self) -> bool:
        """Return whether the lock is ours still; a holder that slept may have lost it."""


Observer = Callable[[str], None]
"""Called with the name of each step of a publish as it is reached; the crash verifier stops the writer there."""


def unobserved(step: str) -> None:
    """Observe nothing."""


class Catalog(Protocol):
    """Tables, their partitions' pointers, and one lock a table. Methods raise CatalogError where it says no."""

    def ensure(self, table: Table, location: str) -> Entry:
        """Create database and table where they are missing, at `location`, and return the table as it stands.

        Raises:
            CatalogError: the table is there with other columns; the message prints the ALTER that mends it.
        """

    def tables(self) -> list[Entry]:
        """Return every table, sorted by name."""

    def entry(self, full_name: str) -> Entry | None:
        """Return one table, or None."""

    def current(self, full_name: str, partitions: Collection[str] | None = None) -> dict[str, Pointer]:
        """Return the pointers of `partitions` (None: all), sorted by partition name; missing ones are left out."""

    def lock(self, full_name: str, holder: str, wait_s: float) -> AbstractContextManager[Lock]:
        """Hold the table's lock; raises LockedError, naming the holder, where it does not come within `wait_s`."""

    def move(self, tables: Mapping[str, Sequence[Move]], locks: Mapping[str, Lock], at: Observer = unobserved) -> None:
        """Move the pointers of several tables, by full name: at once where the catalog has transactions.

        Else table by table, sorted: partitions that exist in one call, then new ones in one call.

        Raises:
            CommitConflictError: something else moved one of them, or the lock was lost; of that table nothing was
                moved, `moved` names what was moved before.
            CatalogError: refused; `moved` names the partitions that were moved before.
            PublishUnknownError: the answer was lost; `moved` names the partitions that certainly were moved.
        """

    def drop(self, full_name: str) -> None:
        """Forget a table and its partitions; files stay. One that is not there is no error."""

    def is_lost(self) -> bool:
        """Return whether the catalog is gone or cannot be read, though versions stand in the warehouse."""

    def renew(self) -> None:
        """Make a lost catalog anew, with nothing in it, or get ready to make lost tables; what cannot be read is put
        aside.

        Until `renewed` the catalog, or each table that is made, stays lost to everybody else.
        """

    def renewed(self) -> None:
        """Take what was made anew, and has its pointers by now, into use."""

    def close(self) -> None:
        """Let go of connections."""


def data_files(pointer: Pointer, storage: Storage) -> list[str]:
    """Return the locations of the data files that `pointer` names, asking the storage only where nobody counted."""
    if pointer.files is not None:
        return [join(pointer.location, name) for name in pointer.files]
    return [
        stored.location
        for stored in storage.list(pointer.location)
        if not name_of(stored.location).startswith(("_", ".")) and "/." not in stored.location[len(pointer.location) :]
    ]


def columns_of(columns: Sequence[Column]) -> tuple[tuple[str, str, str], ...]:
    """Return name, type and comment of each column, as an entry holds them."""
    return tuple((column.name, column.type, column.comment) for column in columns)


def refuse_other_columns(entry: Entry, table: Table) -> None:
    """Raise CatalogError, with the statements that mend it, where `entry` has other columns than the contract."""
    found = {name: kind for name, kind, _ in entry.columns}
    expected = {column.name: column.type for column in table.file_columns}
    wrong, mend = [], []
    for column in table.file_columns:
        comment = column.comment.replace("\\", "\\\\").replace("'", "\\'")
        if column.name not in found:
            wrong.append(f"column {column.name!r} is missing")
            mend.append(
                f"ALTER TABLE `{entry.database}`.`{entry.name}` ADD COLUMNS "
                f"(`{column.name}` {column.type} COMMENT '{comment}');"
            )
        elif found[column.name] != column.type:
            wrong.append(f"column {column.name!r} is {found[column.name]}, expected {column.type}")
            mend.append(
                f"ALTER TABLE `{entry.database}`.`{entry.name}` CHANGE `{column.name}` `{column.name}` {column.type} "
                f"COMMENT '{comment}';"
            )
    unknown = [name for name in found if name not in expected]
    wrong += [f"column {name!r} is not in the contract" for name in unknown]
    if unknown:
        kept = ", ".join(f"`{column.name}` {column.type}" for column in table.file_columns)
        mend = [f"ALTER TABLE `{entry.database}`.`{entry.name}` REPLACE COLUMNS ({kept});"]
    if not wrong and list(found) != list(expected):
        wrong.append(f"columns stand in the order {', '.join(found)}, expected {', '.join(expected)}")
        ordered = ", ".join(f"`{name}` {kind}" for name, kind in expected.items())
        mend = [f"ALTER TABLE `{entry.database}`.`{entry.name}` REPLACE COLUMNS ({ordered});"]
    partition = table.column(table.partition)
    if entry.partition[:2] != (partition.name, partition.type):
        wrong.append(
            f"it is partitioned by {' '.join(entry.partition[:2])}, expected {partition.name} {partition.type}"
        )
        mend = [f"-- a partition column cannot be altered: move `{entry.database}`.`{entry.name}` away and run again"]
    if wrong:
        raise CatalogError(
            f"{table.full_name} in the catalog is not what its contract says: {'; '.join(wrong)}. "
            f"{NOTHING_PUBLISHED}. This mends it, if it is meant:\n" + "\n".join(mend),
            place=table.full_name,
        )


def named(partitions: Sequence[str]) -> str:
    """Return a few partitions by name, and how many more there are."""
    return ", ".join(partitions[:3]) + (f" and {len(partitions) - 3} more" if len(partitions) > 3 else "")
