"""The six sources: as folders of Parquet files here, or as tables of a catalog; whether they are there and readable.

Footers are read by the driver, a few kilobytes a file, so that a file that is not what it should be is named.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.engines import DistributedEngine, Engine
from bigmama_nb.errors import SourceError, StorageError
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.live.sources import SERVER_LOG, SOURCES, require_source
from bigmama_nb.warehouse.storage.protocol import Storage, join

KEPT = "Nothing was published and the published partition stays"
LOOKED_BACK = 31
"""Days before the first one wanted in which the newest of the log is looked for, where looking costs a request."""
AT_ONCE = 16


class LogSources(Protocol):
    """What a build asks of its sources."""

    def place(self, source: Table) -> str:
        """Return where a source is, as messages name it."""

    def require(self, source: Table) -> None:
        """Raise SourceError (source_missing) where a source is not there."""

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date of the log has a partition, of no rows too."""

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the log that has a partition, or None; `day` is the last one asked for."""

    def tables(self, engine: Engine, days: Sequence[dt.date]) -> dict[str, ir.Table]:
        """Return the sources by name, the log of `days`; every schema is checked before any is read.

        Raises:
            SourceError: a source is not there (source_missing), or a file is damaged (source_corrupt).
            ContractError: a column is missing or mistyped.
        """


class Sources:
    """Folders `<root>/<table without database>/[date_id=YYYY-MM-DD/]*.parquet` of this machine."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def place(self, source: Table) -> str:
        """Return a source's folder."""
        return str(self.folder(source))

    def require(self, source: Table) -> None:
        """Raise SourceError (source_missing) where a source's folder is not there."""
        self.require_folder(source)

    def tables(self, engine: Engine, days: Sequence[dt.date]) -> dict[str, ir.Table]:
        """Return the sources by name, the log of `days`; every schema is checked before any is read."""
        files = {source: self.log_files(days) if source is SERVER_LOG else self.files(source) for source in SOURCES}
        return {source.name: _read(engine, source, [str(path) for path in paths]) for source, paths in files.items()}

    def folder(self, source: Table) -> Path:
        """Return a source's folder."""
        return self.root / source.name

    def log_folder(self, day: dt.date) -> Path:
        """Return the folder of one date of the log."""
        return self.folder(SERVER_LOG) / f"date_id={day.isoformat()}"

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date of the log has a partition: its folder holds a Parquet file, of no rows too."""
        return bool(_files(self.log_folder(day)))

    def newest_log(self, day: dt.date | None = None) -> str | None:
        """Return the newest date of the log that has a partition, or None."""
        folders = sorted(self.folder(SERVER_LOG).glob("date_id=*"), reverse=True)
        return next((folder.name.removeprefix("date_id=") for folder in folders if _files(folder)), None)

    def require_folder(self, source: Table) -> None:
        """Raise SourceError (source_missing) where a source's folder is not there."""
        folder = self.folder(source)
        if not folder.is_dir():
            raise SourceError(
                "source_missing",
                f"{source.name}: there is no folder {folder}. {KEPT}; look at live_play.sources in the profile.",
                place=str(folder),
            )

    def log_files(self, days: Iterable[dt.date]) -> list[Path]:
        """Return the log's files of some dates, their schemas checked; dates without a partition hold none."""
        return _checked(SERVER_LOG, [file for day in days for file in _files(self.log_folder(day))])

    def files(self, source: Table) -> list[Path]:
        """Return a source's files, their schemas checked.

        Raises:
            SourceError: there is no folder or no file (source_missing), or a file is damaged (source_corrupt).
            ContractError: a column is missing or mistyped.
        """
        self.require_folder(source)
        files = _files(self.folder(source))
        if not files:
            folder = self.folder(source)
            raise SourceError(
                "source_missing",
                f"{source.name}: {folder} holds no Parquet file. {KEPT}; an empty source is a file without rows.",
                place=str(folder),
            )
        return _checked(source, files)


def _files(folder: Path) -> list[Path]:
    # Names with a dot or an underscore in front are writers' own, as for Spark and Hive.
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith((".", "_")))


def _checked(source: Table, files: list[Path]) -> list[Path]:
    for file in files:
        _require_footer(source, str(file), file)
    return files


def _require_footer(source: Table, name: str, file: object) -> None:
    try:
        with pq.ParquetFile(file) as footer:
            schema = _schema(footer)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            "source_corrupt",
            f"{source.name}: {name} cannot be read as Parquet ({str(error).splitlines()[0]}). {KEPT}; "
            f"write the file again.",
            place=name,
        ) from None
    require_source(source, schema, place=name)


def _schema(footer: pq.ParquetFile) -> pa.Schema:
    """Return a file's columns; INT96, as older Spark and Hive write it, holds UTC instants but reads without a zone."""
    schema = footer.schema_arrow
    for leaf in range(len(footer.schema)):
        column = footer.schema.column(leaf)
        at = schema.get_field_index(column.path)
        if column.physical_type == "INT96" and at >= 0:
            schema = schema.set(at, schema.field(at).with_type(pa.timestamp("us", tz="UTC")))
    return schema


def _read(engine: Engine, source: Table, paths: Sequence[str]) -> ir.Table:
    return engine.read(paths, f"source_{source.name}", source.arrow_schema(), partition=source.partition)


class StoredSources:
    """The same folders on HDFS or S3, which an engine of a cluster reads."""

    def __init__(self, root: str, storage: Storage) -> None:
        self._root, self._storage = root.rstrip("/"), storage

    def place(self, source: Table) -> str:
        """Return a source's folder."""
        return join(self._root, source.name)

    def require(self, source: Table) -> None:
        """Accept any: no file stands for no folder, and then the first missing date says so."""

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date's folder holds a Parquet file."""
        return bool(self._files(self._log(day)))

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the month before `day` that has a partition, or None."""
        before = (day - dt.timedelta(days=back) for back in range(LOOKED_BACK))
        return next((one.isoformat() for one in before if self.has_log(one)), None)

    def tables(self, engine: Engine, days: Sequence[dt.date]) -> dict[str, ir.Table]:
        """Return the sources by name, the log of `days`; every schema is checked before any is read."""
        found: dict[str, list[str]] = {}
        for source in SOURCES:
            folders = [self._log(day) for day in days] if source is SERVER_LOG else [self.place(source)]
            found[source.name] = [file for folder in folders for file in self._files(folder)]
            if not found[source.name] and source is not SERVER_LOG:
                raise SourceError(
                    "source_missing",
                    f"{source.name}: {folders[0]} holds no Parquet file. {KEPT}; an empty source is a file without "
                    f"rows.",
                    place=folders[0],
                )
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for source in SOURCES:
                list(pool.map(lambda file, source=source: self._check(source, file), found[source.name]))
        return {source.name: _read(engine, source, found[source.name]) for source in SOURCES}

    def _check(self, source: Table, file: str) -> None:
        try:
            opened = self._storage.open(file)
        except StorageError as error:
            raise SourceError("source_missing", f"{source.name}: {error.message}. {KEPT}.", place=file) from error
        _require_footer(source, file, opened)

    def _log(self, day: dt.date) -> str:
        return join(self.place(SERVER_LOG), f"date_id={day.isoformat()}")

    def _files(self, folder: str) -> list[str]:
        try:
            stored = [one.location for one in self._storage.list(folder)]
        except StorageError as error:
            raise SourceError(
                "unreachable", f"{error.message}. {KEPT}; look at live_play.sources.", place=folder
            ) from None
        names = {place: place.removeprefix(folder.rstrip("/") + "/") for place in stored}
        return sorted(
            place
            for place, name in names.items()
            if name.endswith(".parquet") and "/" not in name and not name.startswith((".", "_"))
        )


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

    def newest_log(self, day: dt.date) -> str | None:
        """Return the newest date of the month before `day` that has a partition, or None."""
        before = [(day - dt.timedelta(days=back)).isoformat() for back in range(LOOKED_BACK)]
        return max(self._engine.catalog_values(self.place(SERVER_LOG), "date_id", before), default=None)

    def tables(self, engine: Engine, days: Sequence[dt.date]) -> dict[str, ir.Table]:
        """Return the sources by name, the log of `days`; every schema is checked before any is read."""
        for source in SOURCES:
            require_source(source, self._engine.catalog_schema(self.place(source)), place=self.place(source))
        found = {}
        for source in SOURCES:
            schema = source.arrow_schema(with_partition=True)
            rows = self._engine.catalog_table(self.place(source), schema, f"source_{source.name}")
            if source is SERVER_LOG:
                rows = rows.filter(rows.date_id.isin([day.isoformat() for day in days] or [""]))
            found[source.name] = rows
        return found
