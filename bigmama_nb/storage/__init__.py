"""Where a warehouse's files stand: put, open, list, delete. A local folder, HDFS or S3 answer alike.

Locations are absolute: `/folder/…` (also written `file:/…` or `file:///…`), `hdfs://…` or `s3://…`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bigmama_nb.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Stored:
    """A file as the storage lists it; `location` is absolute, `modified` in UTC."""

    location: str
    bytes: int
    modified: datetime


class Storage(Protocol):
    """Files by absolute location. Every method raises StorageError, which names the location and what was found."""

    scheme: str

    def put(self, location: str, content: bytes | Path) -> None:
        """Write a new file from bytes or from a local file; a file that is there already is refused, never replaced."""

    def sync(self, folders: Iterable[str]) -> None:
        """Make `folders` and the names in them survive a power cut, where the storage knows such a thing."""

    def read(self, location: str) -> bytes:
        """Return the whole file."""

    def open(self, location: str) -> Any:
        """Return a seekable binary file, as pyarrow reads it."""

    def list(self, folder: str) -> list[Stored]:
        """Return every file below `folder`, sorted by location; none where the folder is missing."""

    def delete(self, folder: str) -> None:
        """Delete `folder` and all below it; one that is missing is no error."""

    def connect(self, connection: Any) -> None:
        """Teach a DuckDB connection to read this storage's locations."""


def join(folder: str, *names: str) -> str:
    """Return the location of `names` below `folder`."""
    return "/".join((folder.rstrip("/"), *names))


def name_of(location: str) -> str:
    """Return the last part of a location."""
    return location.rstrip("/").rsplit("/", 1)[-1]


def open_storage(uri: str, options: Mapping[str, Any]) -> Storage:
    """Return the storage that `warehouse.uri` names.

    Raises:
        UsageError: the URI's scheme is not one of `file`, `hdfs`, `s3`.
        StorageError: the storage cannot be reached with `options`.
    """
    scheme = urlsplit(uri).scheme or "file"
    if scheme == "file":
        from bigmama_nb.storage.local import LocalStorage

        return LocalStorage()
    if scheme == "hdfs":
        from bigmama_nb.storage.hdfs import HdfsStorage

        return HdfsStorage(uri, options)
    if scheme == "s3":
        from bigmama_nb.storage.s3 import S3Storage

        return S3Storage(uri, options)
    raise UsageError(
        f"warehouse.uri is {uri!r}: its scheme is {scheme!r}; schemes are file, hdfs, s3."
        f"{did_you_mean(scheme, ['file', 'hdfs', 's3'])} Nothing was run."
    )
