"""The lock of a table in a folder, by flock: the kernel lets go of it when its process dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bigmama_nb.errors import NOTHING_PUBLISHED, PARTITION_STAYS, CatalogError, LockedError, with_state
from bigmama_nb.warehouse.catalog.protocol import Lock


@contextlib.contextmanager
def file_lock(path: Path, full_name: str, holder: str, wait_s: float) -> Iterator[Lock]:
    """Hold the lock of a table by its file.

    Raises:
        CatalogError: there can be no lock.
        LockedError: another process held it for longer than `wait_s`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise CatalogError(
            with_state(
                f"{full_name}: cannot lock {path}: {error.strerror}",
                PARTITION_STAYS,
                "make the warehouse folder writable and run again",
            ),
            place=str(path),
        ) from error
    try:
        _wait_for(handle, path, full_name, wait_s)
        os.truncate(handle, 0)
        # Who holds it is a courtesy to the one who waits; a full disk must not stop a run here.
        with contextlib.suppress(OSError):
            os.pwrite(handle, f"{holder} (process {os.getpid()})".encode(), 0)
        yield _FileLock(handle, path)
    finally:
        os.close(handle)


class _FileLock:
    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self._path = path

    def held(self) -> bool:
        """Return False where somebody removed the lock file: another process may hold a new one then."""
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(self._path))
        except OSError:
            return False


def _wait_for(handle: int, path: Path, full_name: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise CatalogError(
                    with_state(
                        f"{full_name}: {path}: {error.strerror}; its file system has no locks that work",
                        NOTHING_PUBLISHED,
                        "keep the warehouse on a local disk, or use a metastore",
                    ),
                    place=str(path),
                ) from error
        if time.monotonic() >= deadline:
            holder = os.pread(handle, 1000, 0).decode(errors="replace").strip() or "another process"
            raise LockedError(
                with_state(
                    f"{full_name}: {holder} held its lock for longer than lock_wait_s ({wait_s:g} s)",
                    NOTHING_PUBLISHED,
                    "run again when it is done",
                ),
                place=str(path),
            )
        time.sleep(0.02)
