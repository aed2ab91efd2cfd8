"""The lock of a run: one process at a time works on it, and one that was silent too long can lose it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bigmama_nb.errors import NOTHING_DONE, UsageError


class RunLock:
    """The run's lock: an flock on `<run>/.lock` that a killed holder frees and a silent one can lose.

    Who takes over a silent holder's run replaces the file, so that the old holder, woken, finds that the path is no
    longer the file it has locked.
    """

    def __init__(self, run_dir: Path, *, take_over: bool = False) -> None:
        self._path = run_dir / ".lock"
        if take_over:
            self._path.unlink(missing_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise UsageError(
                f"{run_dir.name}: another process is at work on this run",
                state=NOTHING_DONE,
                step=f"wait for its end, see 'run_all.py runs show {run_dir.name}'",
            ) from None

    @staticmethod
    def is_held(run_dir: Path) -> bool:
        """Whether somebody holds the lock of the run in `run_dir`."""
        try:
            fd = os.open(run_dir / ".lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def held(self) -> bool:
        """Whether this process still holds the run's lock."""
        try:
            return os.fstat(self._fd).st_ino == self._path.stat().st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Free the lock."""
        os.close(self._fd)
