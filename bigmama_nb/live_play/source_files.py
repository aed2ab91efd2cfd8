"""The data files of a source's folder: which they are, whether writing them is over, and whether they can be read.

Every file is data, however it is named, unless a name in its path below the folder begins with `.` or `_`, which are
writers' own as for Spark and Hive. Parquet files begin and end with the same four bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import SourceError, StorageError, explain, printable
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.live.sources import require_source
from bigmama_nb.warehouse.storage.protocol import Storage, Stored, name_of

AT_ONCE = 16
MAGIC = b"PAR1"
UNDER_WAY = re.compile(r"(_temporary|__magic.*|\.hive-staging.*|\.spark-staging.*|_tmp\..*)")
"""Where Hadoop, S3A, Hive and Spark write what is not committed yet."""
_DATE = re.compile(
    r"date_id\s*=\s*['\"]?(\d{4})[-/_.]?(\d\d)[-/_.]?(\d\d)([t ]0?0(:?00){0,2}(\.0+)?(z|[+-]\d\d:?\d\d)?)?['\"]?",
    re.ASCII | re.IGNORECASE,
)
"""A folder's name that says a date, at midnight where it says a time; a copy, as date_id=2024-05-01.bak, is none."""
COPYING = "._COPYING_"
"""What `hdfs dfs -put` calls a file until it is whole."""


@dataclass(frozen=True)
class Folder:
    """What stands below a folder: data files and the rest, sorted by location."""

    location: str
    data: tuple[Stored, ...]
    hidden: tuple[str, ...]
    """Paths below the folder, of empty folders too where the storage has them."""

    @property
    def under_way(self) -> str | None:
        """A path below the folder that says that a writer is not done, or None."""
        copied = [_below(self.location, one.location) for one in self.data if one.location.endswith(COPYING)]
        started = [path for path in self.hidden if any(UNDER_WAY.fullmatch(part) for part in path.split("/"))]
        return next(iter(copied + started), None)

    def inputs(self) -> str:
        """Say how many files hold how much, and how old the newest is: what a later look is compared with."""
        if not self.data:
            return NOTHING
        newest = max(one.modified for one in self.data).astimezone(UTC)
        bytes_ = sum(one.bytes for one in self.data)
        return f"{len(self.data)} files, {bytes_} bytes, newest {newest:%Y-%m-%dT%H:%M:%S.%fZ}"


NOTHING = "0 files"
HASHED_BYTES = 16 << 20
"""A file that is no larger, on this machine, is known by its checksum; others by their size and when they changed."""


def as_input(storage: Storage, file: Stored) -> dict[str, Any]:
    """Return a file as run.json names what was read: path, size, and sha256 or modified."""
    known: dict[str, Any] = {"path": file.location, "size": file.bytes}
    if storage.scheme == "file" and file.bytes <= HASHED_BYTES:
        with open(file.location, "rb") as content:
            return {**known, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
    return {**known, "modified": file.modified.astimezone(UTC).isoformat()}


def look(storage: Storage, folder: str, *, apart: str | None = None) -> Folder:
    """Return what stands below a folder; nothing where it is missing.

    Args:
        apart: a file in the folder that is no data, whatever its name.

    Raises:
        SourceError: unreachable: the storage does not answer, or a folder or file in it cannot be looked at;
            source_corrupt: what stands there is no file, as a pipe, or has a name that is not UTF-8.
    """
    try:
        found = _walk(folder) if storage.scheme == "file" else storage.list(folder)
    except OSError as error:
        where = error.filename or folder
        raise SourceError(
            "unreachable",
            explain(str(where), f"cannot be looked at ({error.strerror or error})", step="look at live_play.sources"),
            place=str(where),
        ) from None
    except StorageError as error:
        message = explain(folder, error.message, step="look at live_play.sources")
        raise SourceError("unreachable", message, place=folder) from None
    data, hidden = [], []
    for one in found:
        path = _below(folder, one.location)
        if path == apart or _is_hidden(path):
            hidden.append(path)
        else:
            data.append(one)
    return Folder(folder, tuple(data), tuple(hidden))


def otherwise_named(log: str, day: date) -> list[str]:
    """Return what in the log's folder on this machine is a date's by another spelling, or holds a folder of it."""
    own = f"date_id={day}"
    try:
        names = sorted(name for name in os.listdir(log) if name != own and not _is_hidden(name))
    except OSError:
        return []  # who looks for the date's own folder says why
    return [
        name if spelled else f"{name}/{own}"
        for name in names
        if (spelled := _is_day(name, day)) or (not _DATE.match(name) and os.path.isdir(os.path.join(log, name, own)))
    ]


def _is_day(name: str, day: date) -> bool:
    found = _DATE.fullmatch(unquote(name).strip())
    return found is not None and "".join(found.groups()[:3]) == f"{day:%Y%m%d}"


def _below(folder: str, location: str) -> str:
    return location.removeprefix(folder.rstrip("/") + "/")


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


def _walk(folder: str) -> list[Stored]:
    """Return every file, and every hidden folder: an empty one says that a writer has begun."""

    def refuse(error: OSError) -> None:
        if error.filename != folder or os.path.lexists(folder):
            raise error

    found = []
    # A folder that is a link is one, as for Spark and Hive.
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        for name in (*names, *(name for name in folders if name.startswith((".", "_")))):
            path = os.path.join(parent, name)
            status = os.stat(path)
            if not _is_hidden(_below(folder, path)):
                _require_file(path, status.st_mode)
            found.append(Stored(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return sorted(found, key=lambda stored: stored.location)


def _require_file(path: str, mode: int) -> None:
    """Refuse what no engine can read: a pipe is waited for, and no engine opens a name that is no text."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _corrupt(path, "is no file: a pipe, a socket or a device", step="take it away")
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise _corrupt(path, "has a name that is not UTF-8", step="rename it")


def _corrupt(path: str, found: str, *, step: str) -> SourceError:
    place = printable(path)
    return SourceError("source_corrupt", explain(place, found, step=step), place=place)


def unfinished(storage: Storage, files: Sequence[Stored]) -> str | None:
    """Return the name of a file that begins as Parquet and does not end so, or holds nothing yet, or None.

    What is no Parquet at all is not waited for: `require_readable` refuses it by name.
    """

    def begun(one: Stored) -> bool:
        if not one.bytes:
            return True
        with _opened(storage, one.location) as file:
            if bytes(file.read(len(MAGIC))) != MAGIC:
                return False
            file.seek(max(one.bytes - len(MAGIC), 0))
            return bytes(file.read(len(MAGIC))) != MAGIC or one.bytes <= 2 * len(MAGIC)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        pairs = zip(files, pool.map(begun, files), strict=True)
        return next((name_of(one.location) for one, is_begun in pairs if is_begun), None)


def require_readable(storage: Storage, source: Table, files: Iterable[Stored]) -> None:
    """Read every file's footer, some kilobytes, so that one that is not what it should be is named.

    Raises:
        SourceError: a file is no Parquet (source_corrupt), or went away (source_missing).
        ContractError: a column is missing or mistyped.
    """

    def check(one: Stored) -> None:
        with _opened(storage, one.location) as file:
            _require_footer(source, one.location, file)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(check, files))


def _opened(storage: Storage, location: str) -> Any:
    try:
        return _Closing(storage.open(location))
    except StorageError as error:
        message = explain(location, error.message, step="run again")
        raise SourceError("source_missing", message, place=location) from None


class _Closing:
    """A file of any storage as a context: some have no `close` of their own."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *_: object) -> None:
        if hasattr(self._file, "close"):
            self._file.close()


def _require_footer(source: Table, name: str, file: object) -> None:
    try:
        with pq.ParquetFile(file) as footer:
            schema = _schema(footer)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            "source_corrupt",
            explain(
                source.name,
                f"{name} cannot be read as Parquet ({str(error).splitlines()[0]})",
                step="write the file again, or take it away: "
                "every file whose name begins with neither '.' nor '_' is data",
            ),
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


def told(inputs: Mapping[str, str]) -> str:
    """Return the inputs of some dates of the log as the record keeps them."""
    return "; ".join(f"{day}: {inputs[day]}" for day in sorted(inputs))


def changed(then: str | None, now: Mapping[str, str]) -> str | None:
    """Say which dates of the log are not what they were, or return None.

    A date whose files are gone is no change: what was built of it is more than what could be built now. Where it is not
    known what was read, nothing is said to have changed.

    Args:
        then: as `told`.
        now: by date, `Folder.inputs`.
    """
    before = dict(_pairs(then or ""))
    if any(was != NOTHING and now.get(day, NOTHING) == NOTHING for day, was in before.items()):
        return None
    others = [f"{day} was {was} and is {now[day]}" for day, was in before.items() if now.get(day, was) != was]
    return "; ".join(others) or None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for one in text.split("; ") if text else ():
        day, _, was = one.partition(": ")
        yield day, was
