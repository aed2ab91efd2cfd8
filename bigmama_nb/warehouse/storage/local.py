"""A warehouse in a local folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from bigmama_nb.errors import StorageError
from bigmama_nb.warehouse.storage.protocol import Stored, local_path


class LocalStorage:
    """Files of one machine. A file that was put, and a folder that was synced, survive a power cut."""

    scheme = "file"

    def put(self, location: str, content: bytes | Path) -> None:
        """Write and sync a new file; raises StorageError where it exists, or where the disk is full or read-only."""
        path = local_path(location)
        with _named(location, "write"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as target:
                if isinstance(content, Path):
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                else:
                    target.write(content)
                target.flush()
                os.fsync(target.fileno())

    def sync(self, folders: Iterable[str]) -> None:
        """Sync each folder with the files in it, and its parents up to the warehouse's table, once each."""
        names: set[str] = set()
        for folder in folders:
            path = local_path(folder)
            # Files of `put` are synced; those that an engine's executors wrote are not.
            for name in os.listdir(path) if os.path.isdir(path) else ():
                if os.path.isfile(os.path.join(path, name)):
                    _sync(os.path.join(path, name), os.O_RDONLY)
            # A folder's name is kept by its parent: version, partition, .runs, table, database, warehouse.
            for _ in range(6):
                names.add(path)
                path = os.path.dirname(path)
        for name in sorted(names, reverse=True):
            if not os.path.isdir(name):
                continue
            _sync(name, os.O_RDONLY | os.O_DIRECTORY)

    def read(self, location: str) -> bytes:
        """Return the whole file."""
        with _named(location, "read"), open(local_path(location), "rb") as file:
            return file.read()

    def open(self, location: str) -> BinaryIO | pa.NativeFile:
        """Return the file for pyarrow to read."""
        with _named(location, "read"):
            return pa.OSFile(local_path(location), "rb")

    def list(self, folder: str) -> list[Stored]:
        """Return every file below `folder`; a file that vanishes meanwhile is left out."""
        found = []
        for parent, _, names in os.walk(local_path(folder)):
            for name in names:
                path = os.path.join(parent, name)
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(path)
                    found.append(Stored(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
        return sorted(found, key=lambda stored: stored.location)

    def rename(self, location: str, target: str) -> None:
        """Rename a file; raises StorageError where `target` is there."""
        with _named(target, "write"):
            # A link is refused where the name is taken; a rename would replace it.
            os.link(local_path(location), local_path(target))
            os.unlink(local_path(location))

    def delete(self, folder: str) -> None:
        """Delete `folder` and all below it."""
        with _named(folder, "delete"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(local_path(folder))

    def connect(self, connection: Any) -> None:
        """DuckDB reads local files by itself."""


def _sync(path: str, flags: int) -> None:
    with _named(path, "sync"):
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _named(location: str, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise StorageError(f"cannot {verb} {local_path(location)}: {what}", place=local_path(location)) from error
