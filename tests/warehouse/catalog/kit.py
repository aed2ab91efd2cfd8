"""What the catalogs' tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse.catalog.protocol import Catalog, Entry, Move, Pointer
from bigmama_nb.warehouse.catalog.thrift import Connection, ttypes
from tests.publishing import METRIC


class Opener:
    """Opens clients of one catalog, and closes them at the end."""

    def __init__(self, make: Callable[[], Catalog], root: str, *, database: str, metastore: str | None = None) -> None:
        self._make = make
        self._metastore = metastore
        self.root = root
        self.table: Table = replace(METRIC, database=database)
        self._opened: list[Catalog] = []

    def __call__(self) -> Catalog:
        """Return one more client."""
        self._opened.append(self._make())
        return self._opened[-1]

    def ensured(self) -> tuple[Catalog, Entry]:
        """Return a client, and the table made."""
        catalog = self()
        return catalog, catalog.ensure(self.table, f"{self.root}/{self.table.database}.db/{self.table.name}")

    def pointer(self, partition: str, version: str, *, rows: int = 3) -> Pointer:
        """Return a pointer to a folder that is made for it: a metastore looks."""
        location = f"{self.root}/{self.table.database}.db/{self.table.name}/.runs/{partition}/{version}"
        Path(location).mkdir(parents=True, exist_ok=True)
        return Pointer(
            partition=partition,
            location=location,
            files=("part-0.parquet",),
            rows=rows,
            bytes=100,
            sha256="5" * 64,
            run=version.rsplit("-", 1)[0],
            attempt=int(version.rsplit("-", 1)[1]),
            moved_at=datetime(2024, 5, 2, 3, 4, 5, tzinfo=UTC),
        )

    def move(self, catalog: Catalog, *moves: Move) -> None:
        """Move pointers under the lock."""
        with catalog.lock(self.table.full_name, "bigmama-nb test", 10) as lock:
            catalog.move({self.table.full_name: moves}, {self.table.full_name: lock})

    def until_queued(self, count: int) -> None:
        """Return when so many locks of the table's publishes are held or waited for; a file's lock shows no queue."""
        if self._metastore is None:
            return
        asked = ttypes.ShowLocksRequest(dbname=self.table.database, tablename=f"{self.table.name}@publish")
        connection = Connection(self._metastore, {})
        while (
            sum(one.dbname == self.table.database for one in connection.ask(lambda it: it.show_locks(asked)).locks)
            < count
        ):
            threading.Event().wait(0.05)
        connection.close()

    def close(self) -> None:
        """Close every client."""
        for catalog in self._opened:
            catalog.close()
