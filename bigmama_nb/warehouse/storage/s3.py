"""A warehouse in a bucket, of Amazon or of any server that speaks S3 (obstore)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from bigmama_nb.errors import StorageError, UsageError, did_you_mean
from bigmama_nb.warehouse.storage.protocol import Stored
from bigmama_nb.warehouse.storage.ranges import RangeReader

ONE_REQUEST = 64 << 20
"""A larger file goes in parts, which S3 cannot refuse where the name is taken: that is asked before."""
CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")
OPTIONS = (
    "endpoint",
    "region",
    "virtual_hosted_style_request",
    "retries",
    "retry_s",
    *(f"{name}_env" for name in CREDENTIALS),
)


class S3Storage:
    """Objects of one bucket.

    Options: `endpoint` (of another server than Amazon's; `http://` is fine), `region`, `virtual_hosted_style_request`,
    `access_key_id_env`, `secret_access_key_env`, `session_token_env` (the names of the variables that hold them; else
    AWS_… and the machine's role), `retries` (10) and `retry_s` (60): how often and how long an answer of 5xx is
    tried again.
    """

    scheme = "s3"

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in OPTIONS:
                raise UsageError(
                    f"warehouse.storage_options.{name}: not an option of S3; options are "
                    f"{', '.join(OPTIONS)}.{did_you_mean(name, OPTIONS)}"
                )
        self._bucket = urlsplit(uri).netloc
        config: dict[str, Any] = {
            name: options[name] for name in ("endpoint", "region", "virtual_hosted_style_request") if name in options
        }
        for name in CREDENTIALS:
            if variable := options.get(f"{name}_env"):
                if variable not in os.environ:
                    raise UsageError(f"warehouse.storage_options.{name}_env names {variable}, which is not set")
                config[name] = os.environ[variable]
        self._settings: dict[str, Any] = {
            "config": config,
            "client_options": {"allow_http": str(options.get("endpoint", "")).startswith("http://")},
            "retry_config": {
                "max_retries": int(options.get("retries", 10)),
                "retry_timeout": timedelta(seconds=float(options.get("retry_s", 60))),
            },
        }
        with _named(uri, "reach"):
            self._store = S3Store(self._bucket, **self._settings)

    def put(self, location: str, content: bytes | Path) -> None:
        """Write a new object; it appears whole, and survives, when this returns."""
        key = self._key(location)
        with _named(location, "write"):
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            if size <= ONE_REQUEST:
                obstore.put(self._store, key, content, mode="create")
            elif self._is_there(key):
                raise StorageError(f"cannot write {location}: it is there already", place=location)
            else:
                obstore.put(self._store, key, content)

    def sync(self, folders: Iterable[str]) -> None:
        """S3 keeps what it has acknowledged; nothing is left to do."""

    def read(self, location: str) -> bytes:
        """Return the whole object."""
        with _named(location, "read"):
            return bytes(obstore.get(self._store, self._key(location)).bytes())

    def open(self, location: str) -> Any:
        """Return the object for pyarrow to read, in ranges."""
        import pyarrow as pa

        with _named(location, "read"):
            return pa.PythonFile(_Opened(obstore.open_reader(self._store, self._key(location))), mode="r")

    def list(self, folder: str) -> list[Stored]:
        """Return every object below `folder`."""
        with _named(folder, "list"):
            return sorted(
                (
                    Stored(f"s3://{self._bucket}/{found['path']}", found["size"], found["last_modified"])
                    for page in obstore.list(self._store, self._key(folder).rstrip("/") + "/")
                    for found in page
                    # Hadoop marks a folder by an empty object `folder/`, which is listed without its slash.
                    if found["size"] or self._is_there(found["path"])
                ),
                key=lambda stored: stored.location,
            )

    def rename(self, location: str, target: str) -> None:
        """Copy an object within S3 and delete the first; raises StorageError where `target` is there."""
        with _named(target, "write"):
            if self._is_there(self._key(target)):
                raise StorageError(f"cannot write {target}: it is there already", place=target)
            obstore.rename(self._store, self._key(location), self._key(target))

    def delete(self, folder: str) -> None:
        """Delete every object below `folder`."""
        keys = [self._key(stored.location) for stored in self.list(folder)]
        with _named(folder, "delete"):
            if keys:
                obstore.delete(self._store, keys)

    def connect(self, connection: Any) -> None:
        """Let DuckDB read `s3://` with the same settings."""
        from obstore.fsspec import FsspecStore

        store = self._store

        base: Any = FsspecStore

        class Reading(base):  # type: ignore[misc]
            def _open(self, path: str, mode: str = "rb", **_: Any) -> RangeReader:
                _, key = self._split_path(path)

                def read_range(at: int, length: int) -> bytes:
                    return bytes(obstore.get_range(store, key, start=at, length=length))

                return RangeReader(obstore.head(store, key)["size"], read_range)

        connection.register_filesystem(Reading("s3", skip_instance_cache=True, **self._settings))

    def _is_there(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def _key(self, location: str) -> str:
        parts = urlsplit(location)
        if (parts.scheme, parts.netloc) != ("s3", self._bucket):
            raise StorageError(
                f"{location} lies outside s3://{self._bucket}, the bucket of warehouse.uri", place=location
            )
        return location.removeprefix(f"s3://{self._bucket}/")


class _Opened:
    """obstore's reader as Python's files are: pyarrow asks for bytes and for a position."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return bytes(self._reader.read() if size is None or size < 0 else self._reader.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
        self._reader.close()


@contextlib.contextmanager
def _named(location: str, verb: str) -> Iterator[None]:
    try:
        yield
    except AlreadyExistsError as error:
        raise StorageError(f"cannot {verb} {location}: it is there already", place=location) from error
    except FileNotFoundError as error:
        raise StorageError(f"cannot {verb} {location}: it is not there", place=location) from error
    except (BaseError, OSError, ValueError) as error:
        what = " ".join(str(error).split("Debug source:")[0].split())
        raise StorageError(f"cannot {verb} {location}: {what}", place=location) from error
