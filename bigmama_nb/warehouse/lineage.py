"""Who wrote what: the record `_lineage.json` that stands in every version beside its data.

It is written last, so a version that has one was staged to its end. Data files stay free of it: equal rows,
equal bytes.
Source of the rules: docs/spec/publishing.md, "Who wrote what".
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from bigmama_nb.errors import READERS_SEE_BEFORE, DamagedError, StorageError, with_state
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.storage.protocol import SEAL, Storage, join

FORMAT = 1

Key = tuple[str, ...]
"""A key group: (game_cd, type) in metrics, (the partition's value,) in a mart."""


@dataclass(frozen=True)
class Writer:
    """Who publishes: a run, its attempt, and the notebook by which."""

    run: str
    attempt: int
    notebook: str

    @property
    def version(self) -> str:
        """The version's name: `<run id>-<attempt>`."""
        return f"{self.run}-{self.attempt}"


@dataclass(frozen=True)
class Group:
    """What a run says of a key group that it brings: the day it is counted through, whether that is the last one,
    where it was read, and what its inputs were then, where that is known."""

    through: date
    final: bool
    source: str
    inputs: str | None = None


@dataclass(frozen=True)
class Provenance:
    """Where the rows of a key group come from."""

    run: str
    attempt: int
    through: date
    final: bool
    source: str
    notebook: str
    inputs: str | None = None

    @classmethod
    def of(cls, group: Group, writer: Writer) -> Provenance:
        """Return the provenance of a group that `writer` brings."""
        return cls(writer.run, writer.attempt, group.through, group.final, group.source, writer.notebook, group.inputs)


@dataclass(frozen=True)
class Retraction:
    """Which run took the row of a key out, and why; the key stays out until it is asked for again."""

    run: str
    reason: str


@dataclass(frozen=True)
class DataFile:
    """A data file of a version; `path` is its name in the version, in records its path below the warehouse."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """`_lineage.json`: the version's files, whose rows they are, and the version that stood there before."""

    table: str
    partition: str
    version: str
    run: str
    attempt: int
    previous: str | None
    files: tuple[DataFile, ...]
    groups: Mapping[Key, Provenance]
    sealed_at: datetime | None = None
    retracted: Mapping[Key, Retraction] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows the version holds."""
        return sum(file.rows for file in self.files)

    def to_json(self) -> bytes:
        """Return the file's bytes."""
        head = {
            "format": FORMAT,
            "table": self.table,
            "partition": self.partition,
            "version": self.version,
            "run": self.run,
            "attempt": self.attempt,
            "previous": self.previous,
            "sealed_at": None if self.sealed_at is None else self.sealed_at.isoformat(),
            "files": [vars(file) for file in self.files],
        }
        if self.retracted:
            head["retracted"] = [{"key": key, **vars(one)} for key, one in sorted(self.retracted.items())]
        groups = (
            {**_as_json(provenance), "key": key, "through": provenance.through.isoformat()}
            for key, provenance in sorted(self.groups.items())
        )
        # A group a line: it can be read and compared, and json's fast encoder knows no indentation.
        lines = ",\n  ".join(_encoded(group) for group in groups)
        return f'{_encoded(head)[:-1]},\n "groups": [\n  {lines}\n]}}\n'.encode()

    @classmethod
    def from_json(cls, content: bytes, *, place: str) -> Record:
        """Return the record that `content` holds.

        Raises:
            StorageError: it is not whole, or of another format; `place` is named.
        """
        try:
            document = json.loads(content)
            if document["format"] != FORMAT:
                raise ValueError(f"its format is {document['format']!r}, expected {FORMAT}")
            return cls(
                table=document["table"],
                partition=document["partition"],
                version=document["version"],
                run=document["run"],
                attempt=document["attempt"],
                previous=document["previous"],
                files=tuple(DataFile(**file) for file in document["files"]),
                groups={tuple(group["key"]): _provenance(group) for group in document["groups"]},
                retracted={
                    tuple(one["key"]): Retraction(one["run"], one["reason"]) for one in document.get("retracted", [])
                },
                sealed_at=datetime.fromisoformat(sealed) if (sealed := document.get("sealed_at")) else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{place} is no lineage record: {error!r}",
                place=place,
            ) from error


_encoded = json.JSONEncoder(ensure_ascii=False).encode


def _as_json(provenance: Provenance) -> dict[str, Any]:
    said = {name: value for name, value in vars(provenance).items() if name != "inputs" or value is not None}
    return {"key": None, **said}


def _provenance(group: dict[str, Any]) -> Provenance:
    return Provenance(
        run=group["run"],
        attempt=group["attempt"],
        through=date.fromisoformat(group["through"]),
        final=group["final"],
        source=group["source"],
        notebook=group["notebook"],
        inputs=group.get("inputs"),
    )


def read_record(storage: Storage, location: str) -> Record:
    """Return the record of the version at `location`; raises StorageError where it is missing or not whole."""
    place = join(location, SEAL)
    return Record.from_json(storage.read(place), place=place)


def records(
    warehouse: Warehouse, table: str, pointers: Collection[Pointer], *, skip_damaged: bool = False
) -> dict[str, Record]:
    """Return by partition the records behind `pointers`; a partition that others made (no run in it) has none.

    Args:
        skip_damaged: leave out what is damaged, as `reading` tells it from a storage that does not answer.
    """

    def read(pointer: Pointer) -> Record | None:
        try:
            with reading(warehouse, table, pointer):
                return read_record(warehouse.storage, pointer.location)
        except DamagedError:
            if skip_damaged:
                return None
            raise

    ours = [pointer for pointer in pointers if pointer.run is not None]
    found = zip(ours, warehouse.each(read, ours), strict=True)
    return {pointer.partition: record for pointer, record in found if record is not None}


@contextlib.contextmanager
def reading(warehouse: Warehouse, table: str, pointer: Pointer) -> Iterator[None]:
    """Say of a StorageError in the block that the partition is damaged, and what mends it.

    Raises:
        DamagedError: its files are not what was published.
        StorageError: the storage does not answer at all.
    """
    try:
        yield
    except StorageError as error:
        with in_context(table, pointer.partition):
            warehouse.storage.list(pointer.location)
        told = error.__cause__ if error.message.startswith(table) else error
        what = told.message if isinstance(told, StorageError) else str(error)
        raise DamagedError(
            f"{table} {pointer.partition}: {what.rstrip('.')}. The partition is damaged; no other one is affected. A "
            "run that brings all its rows makes it whole, 'run_all.py recover' points it at its newest whole version, "
            f"'run_all.py rollback {table} {pointer.partition}' at the one before.",
            place=error.place,
        ) from error


@contextlib.contextmanager
def in_context(table: str, partition: str) -> Iterator[None]:
    """Say of a StorageError in the block which partition it concerns, and what state is left."""
    try:
        yield
    except StorageError as error:
        if error.message.startswith(table):
            raise
        raise StorageError(
            with_state(
                f"{table} {partition}: {error.message}",
                READERS_SEE_BEFORE,
                "mend that, then 'run_all.py repair latest'",
            ),
            place=error.place,
        ) from error


def lineage(
    warehouse: Warehouse, table: str, partitions: Collection[str] | None = None
) -> dict[str, dict[Key, Provenance]]:
    """Return for each current partition (None: all) who wrote each key group; a table not there yet has none.

    Args:
        table: `database.name`.
        partitions: names such as `dt=20240501`; missing ones are left out, and of damaged ones nothing is known.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    pointers = warehouse.catalog.current(table, partitions)
    found = records(warehouse, table, pointers.values(), skip_damaged=True)
    return {name: dict(found[name].groups) if name in found else {} for name in pointers}


def retractions(
    warehouse: Warehouse, table: str, partitions: Collection[str] | None = None
) -> dict[str, dict[Key, Retraction]]:
    """Return by partition the keys that were retracted and have not been asked for again since.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    pointers = warehouse.catalog.current(table, partitions)
    found = records(warehouse, table, pointers.values(), skip_damaged=True)
    return {name: dict(record.retracted) for name, record in found.items() if record.retracted}


def runs_behind(warehouse: Warehouse) -> set[tuple[str, int]] | None:
    """Return (run, attempt) of all that current partitions came from, over all tables: these runs are never pruned.

    None: a damaged partition does not say, so none may be.
    """
    behind: set[tuple[str, int]] = set()
    for entry in warehouse.tables():
        pointers = [one for one in warehouse.catalog.current(entry.full_name).values() if one.run is not None]
        found = records(warehouse, entry.full_name, pointers, skip_damaged=True)
        if len(found) < len(pointers):
            return None
        behind |= {(pointer.run or "", pointer.attempt or 0) for pointer in pointers}
        behind |= {(one.run, one.attempt) for record in found.values() for one in record.groups.values()}
    return behind
