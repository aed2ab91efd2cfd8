"""The six sources: as folders of Parquet files, here or in a storage, or as tables of a catalog."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis
import ibis.expr.types as ir

from bigmama_nb.engines import DistributedEngine, Engine
from bigmama_nb.errors import SourceError, explain, printable
from bigmama_nb.live_play.source_files import (
    Folder,
    as_input,
    look,
    otherwise_named,
    require_readable,
    told,
    unfinished,
)
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.live.sources import SERVER_LOG, SOURCES, require_source
from bigmama_nb.warehouse.storage.local import LocalStorage
from bigmama_nb.warehouse.storage.protocol import Storage, join, name_of

LOOKED_BACK = 31
"""Days before the first one wanted in which the newest of the log is looked for, where looking costs a request."""


@dataclass(frozen=True)
class Delivered:
    """The sources by name, and what the log's dates were when they were looked at, as `source_files.told`.

    `files`: every file that was found then, as `source_files.as_input`.
    """

    tables: Mapping[str, ir.Table]
    inputs: str | None = None
    files: tuple[dict[str, Any], ...] = ()


class LogSources(Protocol):
    """What a build asks of its sources."""

    def place(self, source: Table) -> str:
        """Return where a source is, as messages name it."""

    def require(self, source: Table) -> None:
        """Raise SourceError (source_missing) where a source is not there."""

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date of the log has a partition, of no rows too."""

    def under_way(self, days: Sequence[dt.date]) -> str | None:
        """Say what of the sources, of the log these dates, is still being written, or return None."""

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the log that has a partition, or None; `day` is the last one asked for."""

    def delivered(self, engine: Engine, days: Sequence[dt.date]) -> Delivered:
        """Return the sources, the log of `days`; every schema is checked before any is read.

        Raises:
            SourceError: a source is not there (source_missing), or a file is damaged (source_corrupt).
            ContractError: a column is missing or mistyped.
        """


class Sources:
    """Folders `<root>/<table without database>/[date_id=YYYY-MM-DD/]`, with all data files below them.

    Args:
        root: a folder of this machine, or a location of `storage`.
        storage: where the folders are; by default on this machine.
        ready: a file that stands in a date's folder of the log once the date is whole, as `_SUCCESS`.
    """

    def __init__(self, root: str | Path, storage: Storage | None = None, ready: str | None = None) -> None:
        self._root = str(root if storage else Path(root).absolute()).rstrip("/")
        self._storage: Storage = storage or LocalStorage()
        self._ready = ready

    def place(self, source: Table) -> str:
        """Return a source's folder."""
        return join(self._root, source.name)

    def folder(self, source: Table) -> Path:
        """Return a source's folder on this machine."""
        return Path(self.place(source))

    def require(self, source: Table) -> None:
        """Raise SourceError (source_missing) where a source's folder is not there.

        A storage elsewhere may have no folders: no file stands for none, and then the first missing date says so.
        """
        if self._storage.scheme == "file" and not self.folder(source).is_dir():
            raise SourceError(
                "source_missing",
                explain(
                    source.name,
                    f"there is no folder {self.place(source)}",
                    step="look at live_play.sources in the profile",
                ),
                place=self.place(source),
            )

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date of the log has a partition: a data file, of no rows too, or one that is on its way."""
        found = self._log(day)
        if found.data or found.under_way is not None:
            return True
        self._require_one_folder(day)
        return False

    def under_way(self, days: Sequence[dt.date]) -> str | None:
        """Say what of the sources, of the log these dates, is still being written, or return None."""
        for day in days:
            found = self._log(day)
            if found.data and self._ready and self._ready not in found.hidden:
                return f"{SERVER_LOG.name} {name_of(found.location)} has no {self._ready} yet"
            path = found.under_way or unfinished(self._storage, found.data)
            if path is not None:
                return f"{SERVER_LOG.name} {name_of(found.location)} is still being written ({path})"
        for source in SOURCES:
            if source is not SERVER_LOG and (path := look(self._storage, self.place(source)).under_way) is not None:
                return f"{source.name} is still being written ({path})"
        return None

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the log that has a partition, or None; elsewhere of the month before `day`."""
        if self._storage.scheme == "file":
            names = (path.name.removeprefix("date_id=") for path in self.folder(SERVER_LOG).glob("date_id=*"))
            folders = sorted(names, reverse=True)
            return next((name for name in folders if look(self._storage, self._log_place(name)).data), None)
        before = (day - dt.timedelta(days=back) for back in range(LOOKED_BACK))
        return next((one.isoformat() for one in before if self._log(one).data), None)

    def inputs(self, days: Sequence[dt.date]) -> dict[str, str]:
        """Return what these dates of the log are now, by date, as `Folder.inputs`."""
        return {day.isoformat(): self._log(day).inputs() for day in days}

    def delivered(self, engine: Engine, days: Sequence[dt.date]) -> Delivered:
        """Return the sources, the log of `days`; every schema is checked before any is read."""
        for day in days:
            self._require_one_folder(day)
        logs = {day.isoformat(): self._log(day) for day in days}
        others = {source: self._files(source) for source in SOURCES if source is not SERVER_LOG}
        for folder in logs.values():
            require_readable(self._storage, SERVER_LOG, folder.data)
        for source, folder in others.items():
            require_readable(self._storage, source, folder.data)
        tables = {source.name: _read(engine, source, folder) for source, folder in others.items()}
        tables[SERVER_LOG.name] = _log_of(engine, logs)
        files = [one for folder in (*logs.values(), *others.values()) for one in folder.data]
        return Delivered(
            tables,
            told({day: folder.inputs() for day, folder in logs.items()}),
            tuple(as_input(self._storage, one) for one in files),
        )

    def _log_place(self, day: str) -> str:
        return join(self.place(SERVER_LOG), f"date_id={day}")

    def _log(self, day: dt.date) -> Folder:
        return look(self._storage, self._log_place(day.isoformat()), apart=self._ready)

    def _require_one_folder(self, day: dt.date) -> None:
        """Raise SourceError (source_corrupt) where files of a date lie in another folder of the log than its own.

        Elsewhere than on this machine the usual spellings are looked at: nothing lists a log of years for it.
        """
        place = self.place(SERVER_LOG)
        if self._storage.scheme == "file":
            named = otherwise_named(place, day)
        else:
            named = [f"date_id={day:%Y%m%d}", f"DATE_ID={day}", f"date_id={day} 00%3A00%3A00"]
        for name in named:
            if look(self._storage, join(place, name)).data:
                raise SourceError(
                    "source_corrupt",
                    explain(
                        SERVER_LOG.name,
                        f"{printable(name)} holds files of {day}, and only those below date_id={day} are its log",
                        step=f"move them into date_id={day}, or take them away",
                    ),
                    place=printable(join(place, name)),
                )

    def _files(self, source: Table) -> Folder:
        self.require(source)
        found = look(self._storage, self.place(source))
        if not found.data:
            raise SourceError(
                "source_missing",
                explain(
                    source.name,
                    f"{found.location} holds no Parquet file",
                    step="an empty source is a file without rows",
                ),
                place=found.location,
            )
        return found


def _read(engine: Engine, source: Table, folder: Folder, name: str = "") -> ir.Table:
    files = [one.location for one in folder.data]
    return engine.read(files, f"source_{source.name}{name}", source.arrow_schema())


def _log_of(engine: Engine, folders: Mapping[str, Folder]) -> ir.Table:
    """Return the log of some dates: the date is the folder's, whatever else a path or a file says of it."""
    names = [column.name for column in SERVER_LOG.columns]
    dates = [
        _read(engine, SERVER_LOG, folder, f"_{nth}").mutate(date_id=ibis.literal(day)).select(*names)
        for nth, (day, folder) in enumerate(folders.items())
        if folder.data
    ]
    if not dates:
        return engine.table(SERVER_LOG.arrow_schema(with_partition=True).empty_table(), f"source_{SERVER_LOG.name}")
    return dates[0] if len(dates) == 1 else ibis.union(*dates, distinct=False)


class CatalogSources:
    """The tables `<catalog>.<database>.<table>` as an engine of a cluster finds them."""

    def __init__(self, catalog: str, engine: DistributedEngine) -> None:
        self._catalog, self._engine = catalog, engine

    def place(self, source: Table) -> str:
        """Return a source's name in the catalog."""
        return f"{self._catalog}.{source.full_name}"

    def require(self, source: Table) -> None:
        """Raise SourceError (source_missing) where the catalog has no such table."""
        self._engine.catalog_schema(self.place(source))

    def has_log(self, day: dt.date) -> bool:
        """Return whether the log has a partition of a date, as the catalog or else its rows say."""
        return bool(self._engine.catalog_values(self.place(SERVER_LOG), "date_id", [day.isoformat()]))

    def under_way(self, days: Sequence[dt.date]) -> None:
        """Return None: a catalog shows what is committed."""

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the month before `day` that has a partition, or None."""
        before = [(day - dt.timedelta(days=back)).isoformat() for back in range(LOOKED_BACK)]
        return max(self._engine.catalog_values(self.place(SERVER_LOG), "date_id", before), default=None)

    def delivered(self, engine: Engine, days: Sequence[dt.date]) -> Delivered:
        """Return the sources, the log of `days`; every schema is checked before any is read."""
        for source in SOURCES:
            require_source(source, self._engine.catalog_schema(self.place(source)), place=self.place(source))
        found: dict[str, ir.Table] = {}
        for source in SOURCES:
            schema = source.arrow_schema(with_partition=True)
            rows = self._engine.catalog_table(self.place(source), schema, f"source_{source.name}")
            if source is SERVER_LOG:
                rows = rows.filter(rows.date_id.isin([day.isoformat() for day in days] or [""]))
            found[source.name] = rows
        return Delivered(found)
