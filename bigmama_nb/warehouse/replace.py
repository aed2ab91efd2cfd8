"""Publish marts: partitions replaced as a whole, all of a day after all are verified.

Source of the rules: publishing.md, "Rows that were there before".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from bigmama_nb.errors import CatalogError, CommitConflictError, ContractError, TaskError
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Lock, Pointer
from bigmama_nb.warehouse.commit import (
    ATTEMPTS,
    Published,
    holder,
    move,
    published,
    require_current,
)
from bigmama_nb.warehouse.lineage import Group, Key, Provenance, Writer, records
from bigmama_nb.warehouse.version import (
    Staged,
    Version,
    discard,
    parquet_bytes,
    require_rows,
    require_whole,
    seal,
    stage,
    verify,
)


@dataclass(frozen=True)
class Replacement:
    """What a run makes of one partition of a mart: an Arrow table, files written for it, or a version's whole folder.

    `partition` is its name (`part_date=2024-05-01`); `rows` how many rows the files are meant to hold, where the
    caller knows; `source` says where they were read. `allow_empty`: no rows are a fine result for this table.
    """

    table: Table
    partition: str
    content: pa.Table | Sequence[Path] | Staged
    through: date
    final: bool
    source: str
    rows: int | None = None
    allow_empty: bool = False

    @property
    def key(self) -> Key:
        """The partition's value: a mart is one key group a partition."""
        return (self.partition.partition("=")[2],)


@dataclass(frozen=True)
class _Staged:
    part: Replacement
    version: Version

    @property
    def place(self) -> tuple[str, str]:
        return self.version.record.table, self.version.record.partition

    @property
    def rows(self) -> int:
        return self.version.record.rows


def publish_whole(
    warehouse: Warehouse,
    parts: Sequence[Replacement],
    author: Writer,
    *,
    allow_empty: bool = False,
    hold: bool = False,
) -> list[Published]:
    """Replace partitions of marts as a whole: all are staged and verified, then all are moved.

    No rows do not replace rows, unless `allow_empty` (here or in the part): then nothing is moved, and `held` is
    `empty` for the parts concerned, `asked` for the rest. A part counted through an earlier day than what stands is
    kept out (`moved` false, its key in `kept`).

    Args:
        hold: stage and verify, and move nothing: `maintenance.release` publishes it later.

    Returns:
        What became of each part, in their order.

    Raises:
        ContractError: a part is not what its contract says. Nothing was published.
        LockedError: another run held a table's lock for longer than `lock_wait_s`.
        StorageError, CatalogError: as they say; `published` holds the partitions that were moved before.
        PublishUnknownError: the answer was lost; `published` holds those that certainly were moved.
    """
    staged = _stage(warehouse, parts, author)
    sealed: dict[tuple[str, str], Version] = {}
    for attempt in range(1, ATTEMPTS + 1):
        with _locks(warehouse, [part.table for part in parts], author) as locks:
            try:
                done = _move(warehouse, staged, sealed, locks, allow_empty=allow_empty, hold=hold)
                break
            except CommitConflictError as error:
                if attempt == ATTEMPTS:
                    raise _beaten(error) from error
    warehouse.at("done")
    return done


def publish_derived(
    warehouse: Warehouse,
    tables: Sequence[Table],
    build: Callable[[], Sequence[Replacement]],
    author: Writer,
    *,
    allow_empty: bool = False,
) -> list[Published]:
    """Build and replace partitions that are made from other published ones, under the locks of `tables`.

    `build` reads and makes the parts after the locks are taken. So of two runs that publish two days of a month, the
    one that comes later builds the month from both.

    Returns, raises: as `publish_whole`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        with _locks(warehouse, tables, author) as locks:
            staged = _stage(warehouse, build(), author)
            try:
                done = _move(warehouse, staged, {}, locks, allow_empty=allow_empty, hold=False)
                break
            except CommitConflictError as error:
                done_before = {(one.table, one.partition) for one in error.published}
                for one in staged:
                    if one.place not in done_before:
                        discard(warehouse.storage, one.version.location)
                if attempt == ATTEMPTS:
                    raise _beaten(error) from error
    warehouse.at("done")
    return done


@contextmanager
def _locks(warehouse: Warehouse, tables: Iterable[Table], author: Writer) -> Iterator[Mapping[str, Lock]]:
    with ExitStack() as stack:
        # One order for all, so that two runs never wait for each other.
        locks = {
            name: stack.enter_context(warehouse.catalog.lock(name, holder(author), warehouse.settings.lock_wait_s))
            for name in sorted({table.full_name for table in tables})
        }
        warehouse.at("locked")
        yield locks


def _stage(warehouse: Warehouse, parts: Sequence[Replacement], author: Writer) -> list[_Staged]:
    staged: list[_Staged] = []
    try:
        for part in parts:
            entry = warehouse.ensure(part.table)
            if part.table.partition_name(part.key[0]) != part.partition:
                raise ContractError(
                    f"{part.table.full_name}: {part.partition!r} is no partition of it; expected "
                    f"'{part.table.partition}=…'. Nothing was published.",
                    place=part.table.full_name,
                )
            if isinstance(part.content, pa.Table):
                require_rows(part.content, part.table, place=part.partition)
                content: bytes | Sequence[Path] | Staged = parquet_bytes(
                    part.content, part.table, timestamp=warehouse.settings.timestamp
                )
            else:
                content = part.content
            origin = Provenance.of(Group(part.through, part.final, part.source), author)
            version = stage(warehouse, entry, part.table, part.partition, content, {part.key: origin}, author)
            staged.append(_Staged(part, version))
        warehouse.storage.sync(one.version.location for one in staged)
        warehouse.at("staged")
        for one in staged:
            meant = one.part.content.num_rows if isinstance(one.part.content, pa.Table) else one.part.rows
            verify(warehouse, one.part.table, one.version, rows=meant)
    except TaskError:
        for one in staged:
            discard(warehouse.storage, one.version.location)
        raise
    warehouse.at("verified")
    return staged


def _move(
    warehouse: Warehouse,
    staged: Sequence[_Staged],
    sealed: dict[tuple[str, str], Version],
    locks: Mapping[str, Lock],
    *,
    allow_empty: bool,
    hold: bool,
) -> list[Published]:
    tables: dict[str, list[str]] = {}
    for one in staged:
        tables.setdefault(one.part.table.full_name, []).append(one.part.partition)
    current = require_current(warehouse, tables)
    empty = [
        one
        for one in staged
        if not (allow_empty or one.part.allow_empty or one.rows)
        and one.place in current
        and current[one.place].rows != 0
    ]
    newer = _counted_further(warehouse, staged, current)
    moving = [one for one in staged if one.place not in newer]
    try:
        # A holder may have slept through the grace period: its files may be gone.
        for one in moving:
            require_whole(warehouse, one.version)
        for one in moving:
            if one.place not in sealed:
                sealed[one.place] = seal(warehouse, one.version, current.get(one.place))
        warehouse.storage.sync(version.location for version in sealed.values())
    except TaskError:
        for one in staged:
            discard(warehouse.storage, one.version.location)
        raise
    if empty or hold:
        return [
            replace(published(warehouse, one.version, moved=False), held="empty" if one in empty else "asked")
            for one in staged
        ]
    move(warehouse, [sealed[one.place] for one in moving], current, locks)
    return [
        replace(
            published(warehouse, one.version, moved=one in moving),
            kept=frozenset() if one in moving else frozenset({one.part.key}),
        )
        for one in staged
    ]


def _counted_further(
    warehouse: Warehouse, staged: Sequence[_Staged], current: Mapping[tuple[str, str], Pointer]
) -> set[tuple[str, str]]:
    """Return the partitions that stand counted through a later day than what is brought."""
    newer = set()
    for one in staged:
        if one.place in current:
            record = records(warehouse, one.part.table.full_name, [current[one.place]]).get(one.part.partition)
            if record and any(origin.through > one.part.through for origin in record.groups.values()):
                newer.add(one.place)
    return newer


def _beaten(error: CommitConflictError) -> CatalogError:
    return CatalogError(
        f"{error.message}. Others were faster {ATTEMPTS} times. Run 'run_all.py repair latest'.", place=error.place
    )
