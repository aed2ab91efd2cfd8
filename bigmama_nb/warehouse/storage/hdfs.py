"""A warehouse on HDFS, also with Kerberos and the names of an HA nameservice (hdfs-native, no Java here)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hdfs_native import Client, WriteOptions

from bigmama_nb.errors import StorageError, UsageError, did_you_mean
from bigmama_nb.warehouse.storage.protocol import Stored
from bigmama_nb.warehouse.storage.ranges import RangeReader

PIECE = 4 << 20
# Half a minute bridges the failover of a NameNode; Hadoop's own default is silent for three.
PATIENCE = {"dfs.client.failover.max.attempts": "8", "dfs.client.failover.sleep.max.millis": "5000"}
OPTIONS = ("config_dir", "kerberos_principal", "kerberos_keytab", "kerberos_cache")


class HdfsStorage:
    """Files of one NameNode or nameservice.

    Options: `config_dir` (the folder of core-site.xml and hdfs-site.xml; else HADOOP_CONF_DIR), `kerberos_principal`,
    `kerberos_keytab`, `kerberos_cache`, and any of Hadoop's own, which have a dot in their name.
    """

    scheme = "hdfs"

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        unknown = [name for name in options if "." not in name and name not in OPTIONS]
        if unknown:
            raise UsageError(
                f"warehouse.storage_options.{unknown[0]}: not an option of HDFS; options are {', '.join(OPTIONS)} and "
                f"Hadoop's own.{did_you_mean(unknown[0], OPTIONS)}"
            )
        self._authority = f"hdfs://{urlsplit(uri).netloc}"
        hadoop = PATIENCE | {name: str(value) for name, value in options.items() if "." in name}
        ours = {name: str(value) for name, value in options.items() if "." not in name}
        with _named(uri, "reach"):
            self._client = Client(self._authority, hadoop, ours.pop("config_dir", None), **ours)

    def put(self, location: str, content: bytes | Path) -> None:
        """Write a new file; it is on the DataNodes' disks when this returns."""
        path = self._path(location)
        with _named(location, "write"):
            target = self._client.create(path, WriteOptions(overwrite=False, create_parent=True))
            try:
                for piece in _pieces(content):
                    target.write(piece)
                target.hsync()
            finally:
                target.close()

    def sync(self, folders: Iterable[str]) -> None:
        """The NameNode's journal keeps names; nothing is left to do."""

    def read(self, location: str) -> bytes:
        """Return the whole file."""
        with _named(location, "read"), self._client.read(self._path(location)) as file:
            return bytes(file.read())

    def open(self, location: str) -> Any:
        """Return the file for pyarrow to read."""
        with _named(location, "read"):
            return self._client.read(self._path(location))

    def list(self, folder: str) -> list[Stored]:
        """Return every file below `folder`; none where it is missing."""
        with _named(folder, "list"):
            try:
                found = [status for status in self._client.list_status(self._path(folder), True) if not status.isdir]
            except FileNotFoundError:
                return []
        return sorted(
            (
                Stored(
                    self._authority + status.path,
                    status.length,
                    datetime.fromtimestamp(status.modification_time / 1000, UTC),
                )
                for status in found
            ),
            key=lambda stored: stored.location,
        )

    def rename(self, location: str, target: str) -> None:
        """Rename a file; raises StorageError where `target` is there."""
        with _named(target, "write"):
            self._client.rename(self._path(location), self._path(target), overwrite=False)

    def delete(self, folder: str) -> None:
        """Delete `folder` and all below it, past the trash: a superseded version is no mistake."""
        with _named(folder, "delete"), contextlib.suppress(FileNotFoundError):
            self._client.delete(self._path(folder), True)

    def connect(self, connection: Any) -> None:
        """Let DuckDB read `hdfs://` by this client."""
        from hdfs_native.fsspec import HdfsFileSystem

        client = self._client
        base: Any = HdfsFileSystem

        class Reading(base):  # type: ignore[misc]
            def _open(self, path: str, mode: str = "rb", **_: Any) -> RangeReader:
                file = client.read(self._strip_protocol(path))
                return RangeReader(len(file), file.read_range)

        parts = urlsplit(self._authority)
        filesystem = Reading(parts.hostname, parts.port, skip_instance_cache=True)
        filesystem.client = client
        connection.register_filesystem(filesystem)

    def _path(self, location: str) -> str:
        path = location.removeprefix(self._authority)
        if path == location or (path and not path.startswith("/")):
            raise StorageError(f"{location} lies outside {self._authority}, the HDFS of warehouse.uri", place=location)
        # Not by `urlsplit`: a name may hold '#' and '?'.
        return path


def _pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


@contextlib.contextmanager
def _named(location: str, verb: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if verb == "list":
            raise
        raise StorageError(f"cannot {verb} {location}: it is not there", place=location) from error
    except StorageError:
        raise
    except Exception as error:
        # hdfs-native raises OSError's kinds and bare ones, with a Java stack below the first line.
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StorageError(f"cannot {verb} {location}: {what}", place=location) from error
