"""Locations, and what a storage does with the files at them; which storage it is stands in `storage`.

Locations are absolute: `/folder/…` (also written `file:/…` or `file:///…`), `hdfs://…` or `s3://…`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from bigmama_nb.errors import StorageError

SEAL = "_lineage.json"
"""The record that closes a version, beside its data; what it says is in `lineage`."""


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

    def rename(self, location: str, target: str) -> None:
        """Give a file that nobody points at yet another name; one that is there already is refused."""

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


def local_path(location: str) -> str:
    """Return the path of `/x`, `file:/x` or `file:///x`."""
    if location.startswith("/"):
        return location
    if location.startswith("file:"):
        return unquote(urlsplit(location).path)
    raise StorageError(f"{location} is no place in a folder of this machine", place=location)
