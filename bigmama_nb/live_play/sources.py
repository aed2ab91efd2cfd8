"""The six sources as folders of Parquet files: what is there, and whether it can be read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.contract import Table
from bigmama_nb.errors import SourceError
from bigmama_nb.tables.live_sources import SERVER_LOG, require_source

KEPT = "Nothing was published and the published partition stays"


class Sources:
    """Folders `<root>/<table without database>/[date_id=YYYY-MM-DD/]*.parquet`."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def folder(self, source: Table) -> Path:
        """Return a source's folder."""
        return self.root / source.name

    def log_folder(self, day: dt.date) -> Path:
        """Return the folder of one date of the log."""
        return self.folder(SERVER_LOG) / f"date_id={day.isoformat()}"

    def has_log(self, day: dt.date) -> bool:
        """Return whether a date of the log has a partition: its folder holds a Parquet file, of no rows too."""
        return bool(_files(self.log_folder(day)))

    def newest_log(self) -> str | None:
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
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                "source_corrupt",
                f"{source.name}: {file} cannot be read as Parquet ({str(error).splitlines()[0]}). {KEPT}; "
                f"write the file again.",
                place=str(file),
            ) from None
        require_source(source, schema, place=str(file))
    return files
