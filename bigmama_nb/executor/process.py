"""What the process of a kernel does before it is one, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import signal
import sys
import warnings
from pathlib import Path

PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = "500"
_ALLOCATIONS = 1_000_000
_THRESHOLD = gc.get_threshold()
_show_warning = warnings.showwarning

_starter: list[int] = []
"""The run, in a kernel that was forked: a process that it starts in turn does not inherit this."""


def started_by() -> int:
    """Return the process id of what asked for this process: its parent, or the run where it was forked for that."""
    return _starter[0] if _starter else os.getppid()


def forked_for(run: int) -> None:
    """Remember that this process was forked for another than its parent."""
    _starter[:] = [run]


def collect_seldom() -> None:
    """Have Python look for circles of garbage after so many more objects.

    A short-lived command makes few circles and hundreds of thousands of objects that stay, most of them by its
    imports; to look through them over and over takes a tenth of its time.
    """
    gc.set_threshold(_ALLOCATIONS, *_THRESHOLD[1:])


def collect_as_usual() -> None:
    """Have Python look for garbage as it does by itself."""
    gc.set_threshold(*_THRESHOLD)


def mute_warnings() -> None:
    """Show none of the warnings that libraries have for who develops."""
    warnings.showwarning = lambda *_args, **_named: None


def show_warnings() -> None:
    """Show warnings as Python does by itself."""
    warnings.showwarning = _show_warning


def die_with(parent: int) -> None:
    """Have the system kill this process as soon as its parent is gone, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        # The parent may have gone before the line above.
        if os.getppid() != parent:
            os._exit(1)


def die_first_of_all() -> None:
    """Where memory runs out, have the system take the stage and leave the run, which then says what happened."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)


class SwiftEnd:
    """Ends this process without taking apart, object by object, what the system frees at once.

    That takes a quarter of a second where pandas and pyarrow are loaded. Made before they are, it comes after all
    that they do at the end.
    """

    def __init__(self) -> None:
        self._status: int | None = None
        atexit.register(self._end)

    def well(self, status: int = 0) -> None:
        """Say that the process has done its work, and its exit status."""
        self._status = status

    def _end(self) -> None:
        if self._status is not None:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            os._exit(self._status)
