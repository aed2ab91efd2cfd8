"""Publish marts: partitions replaced as a whole, all of a day after all are verified.

Source of the rules: docs/spec/publishing.md, "Rows that were there before".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from bigmama_nb.errors import NOTHING_PUBLISHED, ContractError, TaskError, with_state
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.commit import Change, Published, commit, current, published
from bigmama_nb.warehouse.lineage import Group, Key, Provenance, Writer, records
from bigmama_nb.warehouse.version import (
    Staged,
    Version,
    discard,
    hold_back,
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
    inputs: str | None = None

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
    writer: Writer,
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
    staged = _stage(warehouse, parts, writer)
    sealed: dict[tuple[str, str], Version] = {}
    return commit(
        warehouse,
        [part.table.full_name for part in parts],
        writer,
        lambda: _changes(warehouse, staged, sealed, allow_empty=allow_empty, hold=hold),
        files="staged",
    )


def publish_derived(
    warehouse: Warehouse,
    tables: Sequence[Table],
    build: Callable[[], Sequence[Replacement]],
    writer: Writer,
    *,
    allow_empty: bool = False,
) -> list[Published]:
    """Build and replace partitions that are made from other published ones, under the locks of `tables`.

    `build` reads and makes the parts after the locks are taken. So of two runs that publish two days of a month, the
    one that comes later builds the month from both.

    Returns, raises: as `publish_whole`.
    """
    return commit(
        warehouse,
        [table.full_name for table in tables],
        writer,
        lambda: _changes(warehouse, _stage(warehouse, build(), writer), {}, allow_empty=allow_empty, hold=False),
    )


def _stage(warehouse: Warehouse, parts: Sequence[Replacement], writer: Writer) -> list[_Staged]:
    staged: list[_Staged] = []
    try:
        for part in parts:
            entry = warehouse.ensure(part.table)
            if part.table.partition_name(part.key[0]) != part.partition:
                raise ContractError(
                    with_state(
                        f"{part.table.full_name}: {part.partition!r} is no partition of it; expected "
                        f"'{part.table.partition}=…'",
                        NOTHING_PUBLISHED,
                    ),
                    place=part.table.full_name,
                )
            if isinstance(part.content, pa.Table):
                require_rows(part.content, part.table, place=part.partition)
                content: bytes | Sequence[Path] | Staged = parquet_bytes(part.content, part.table, warehouse.settings)
            else:
                content = part.content
            provenance = Provenance.of(Group(part.through, part.final, part.source, part.inputs), writer)
            version = stage(warehouse, entry, part.table, part.partition, content, {part.key: provenance}, writer)
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


def _changes(
    warehouse: Warehouse,
    staged: Sequence[_Staged],
    sealed: dict[tuple[str, str], Version],
    *,
    allow_empty: bool,
    hold: bool,
) -> list[Change]:
    """Return what becomes of staged parts now that the locks are held: committed, kept out, or all of them held."""
    stands = current(warehouse, [one.place for one in staged])
    further = _counted_further(warehouse, staged, stands)
    empty = {
        one.place
        for one in staged
        if not (allow_empty or one.part.allow_empty or one.rows) and one.place in stands and stands[one.place].rows != 0
    }
    held = bool(empty or hold)
    goes = [one for one in staged if one.place not in further]
    try:
        # A holder may have slept through the grace period: its files may be gone.
        for one in goes:
            require_whole(warehouse, one.version)
        for one in goes:
            if one.place not in sealed:
                if held:
                    hold_back(warehouse, one.version)
                sealed[one.place] = seal(warehouse, one.version, stands.get(one.place))
        warehouse.storage.sync(version.location for version in sealed.values())
    except TaskError:
        for one in staged:
            # After a try that committed some of them, these are what readers see.
            if one.place not in stands or stands[one.place].location != one.version.location:
                discard(warehouse.storage, one.version.location)
        raise
    changes = []
    for one in staged:
        told = published(warehouse, one.version, moved=False)
        if one.place in further:
            changes.append(Change(replace(told, kept=frozenset({one.part.key}))))
        elif held:
            changes.append(Change(replace(told, held="empty" if one.place in empty else "asked")))
        else:
            changes.append(Change(replace(told, moved=True), sealed[one.place], stands.get(one.place)))
    return changes


def _counted_further(
    warehouse: Warehouse, staged: Sequence[_Staged], stands: Mapping[tuple[str, str], Pointer]
) -> set[tuple[str, str]]:
    """Return the partitions that stand counted through a later day than what is brought."""
    newer = set()
    for one in staged:
        if one.place in stands:
            stood = records(warehouse, one.part.table.full_name, [stands[one.place]], skip_damaged=True)
            record = stood.get(one.part.partition)
            if record and any(provenance.through > one.part.through for provenance in record.groups.values()):
                newer.add(one.place)
    return newer
