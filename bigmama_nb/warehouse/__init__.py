"""A warehouse: the storage that holds its files and the catalog that points at them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from bigmama_nb.errors import NOTHING_DONE, NOTHING_PUBLISHED, CatalogError, UsageError, did_you_mean, with_state
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse.catalog import open_catalog
from bigmama_nb.warehouse.catalog.protocol import Catalog, Entry, Observer, unobserved
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.protocol import SEAL, Storage, join

if TYPE_CHECKING:
    import duckdb

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 16
"""How many requests to a cluster's storage run at once."""


class Settings(Protocol):
    """What `profile.warehouse` says (docs/spec/profile.md, "Keys")."""

    @property
    def uri(self) -> str: ...
    @property
    def metastore(self) -> str | None: ...
    @property
    def database(self) -> str: ...
    @property
    def grace_hours(self) -> float: ...
    @property
    def lock_wait_s(self) -> float: ...
    @property
    def metastore_options(self) -> Mapping[str, Any]: ...
    @property
    def storage_options(self) -> Mapping[str, Any]: ...
    @property
    def timestamp(self) -> Literal["int64", "int96"]: ...
    @property
    def compression(self) -> Literal["zstd", "snappy", "gzip"]: ...


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse; close it, or use it in a `with`.

    `at` is told of every step of a publish as it is reached, `clock` says when a pointer was moved.
    """

    settings: Settings
    storage: Storage
    catalog: Catalog
    at: Observer = unobserved
    clock: Callable[[], datetime] = _now
    small: int = 1 << 20
    """A partition of at most so many bytes is read to be compared, whenever it is asked for in SQL."""

    @classmethod
    def open(cls, settings: Settings, *, at: Observer = unobserved) -> Warehouse:
        """Return the warehouse of `profile.warehouse`; nothing is made before the first publish.

        Raises:
            UsageError: an unknown scheme, or HDFS or S3 without a metastore.
            StorageError, CatalogError: it cannot be reached.
        """
        storage = open_storage(settings.uri, settings.storage_options)
        catalog = open_catalog(settings.uri, settings.metastore, settings.metastore_options, storage)
        return cls(settings=settings, storage=storage, catalog=catalog, at=at)

    def ensure(self, table: Table, *, recovering: bool = False) -> Entry:
        """Return the table as the catalog has it, made at `place_of` it where it is missing.

        Raises:
            CatalogError: the catalog lost the table, whose versions stand there; only recovery makes it again.
        """
        place = self.place_of(table)
        lost = None if recovering else self.lost_version(table)
        if lost is not None:
            raise CatalogError(
                with_state(
                    f"{table.full_name}: the catalog has no such table, but versions of it stand in the warehouse "
                    f"({self.relative(lost)})",
                    NOTHING_PUBLISHED,
                    "'run_all.py recover' points every partition at its newest whole version again",
                ),
                place=place,
            )
        return self.catalog.ensure(table, place)

    def lost_version(self, table: Table) -> str | None:
        """Return a version of a table that the catalog has not; None where it has the table or there is none."""
        if self.catalog.entry(table.full_name) is not None:
            return None
        files = self.storage.list(self.place_of(table))
        return next((one.location for one in files if one.location.endswith(f"/{SEAL}")), None)

    def place_of(self, table: Table) -> str:
        """Return where the first publish makes the table: `<uri>/<database>.db/<table>`."""
        return join(self.settings.uri, f"{table.database}.db", table.name)

    def tables(self) -> list[Entry]:
        """Return the tables of this warehouse, sorted by name: those below its folder, and those of its database.

        A metastore holds the tables of other warehouses too, whose files may be out of reach from here.
        """
        folder = self.settings.uri.removeprefix("file://").rstrip("/") + "/"
        return [
            entry
            for entry in self.catalog.tables()
            if entry.location.startswith(folder) or entry.database == self.settings.database
        ]

    def entry(self, name: str) -> Entry:
        """Return the table called `name`, with or without its database.

        Raises:
            UsageError: there is none, or there are several; the message names those there are.
        """
        if "." in name and (one := self.catalog.entry(name)) is not None:
            return one
        tables = self.tables()
        found = [entry for entry in tables if name in (entry.full_name, entry.name)]
        found = [entry for entry in found if entry.database == self.settings.database] or found
        if len(found) == 1:
            return found[0]
        names = [entry.full_name for entry in tables]
        there = f"tables are {', '.join(names)}" if names else "the warehouse holds no table yet"
        problem = f"{name!r} names several tables" if found else f"the warehouse has no table {name!r}"
        raise UsageError(f"{self.settings.uri}: {problem}; {there}.{did_you_mean(name, names)}", state=NOTHING_DONE)

    def relative(self, location: str) -> str:
        """Return `location` as records name it: below the warehouse without the warehouse's own path."""
        root = self.settings.uri.rstrip("/") + "/"
        for prefix in (root, root.removeprefix("file://"), "file://" + root):
            if location.startswith(prefix):
                return location.removeprefix(prefix)
        return location

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return `work` of each item, in order; on a cluster several at once, for there waiting is what takes time.

        Raises:
            What `work` raises first, when all that had begun has ended.
        """
        todo = list(items)
        if self.storage.scheme == "file" or len(todo) < 2:
            return [work(item) for item in todo]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(work, todo))

    def close(self) -> None:
        """Let go of the catalog's connections."""
        self.catalog.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Callable(ModuleType):
    """This module, which `bigmama_nb.warehouse()` calls: the room and the question have one name."""

    def __call__(self, profile: str | Path | None = None) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection to a profile's warehouse: one view a table, as it is at this moment.

        Args:
            profile: the profile's path; None: `BIGMAMA_PROFILE`, else the sample.

        Raises:
            ProfileError: the profile is wrong.
            CatalogError, StorageError: the warehouse cannot be read.
        """
        # Imported here: who publishes needs no DuckDB.
        from bigmama_nb.profile import load
        from bigmama_nb.tables.registry import contracts
        from bigmama_nb.warehouse.query import connect

        read = load(profile)
        return connect(read.warehouse, expected=contracts(read))


sys.modules[__name__].__class__ = _Callable
