"""What the process of a kernel does before it is one, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = "500"
_GRAMMARS = "rfc3987_syntax"

_starter: list[int] = []
"""The run, in a kernel that was forked: a process that it starts in turn does not inherit this."""


def started_by() -> int:
    """Return the process id of what asked for this process: its parent, or the run where it was forked for that."""
    return _starter[0] if _starter else os.getppid()


def forked_for(run: int) -> None:
    """Remember that this process was forked for another than its parent."""
    _starter[:] = [run]


def without_grammars() -> None:
    """Let jsonschema, which nbformat imports, go without the grammars of URIs, which take a second to build.

    No notebook's schema speaks of URIs.
    """
    sys.modules.setdefault(_GRAMMARS, None)  # type: ignore[arg-type]


def with_grammars() -> None:
    """Let who asks for those grammars have them."""
    if sys.modules.get(_GRAMMARS, _GRAMMARS) is None:
        del sys.modules[_GRAMMARS]


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
