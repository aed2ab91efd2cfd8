"""Starts the kernel of one stage: `python -m bigmama_nb.executor.__main__ -f connection.json`.

ipykernel's own watch over its parent is a Python thread: it never gets its turn while a cell is inside a C call that
holds the interpreter's lock, and it does not watch at all where the run is process 1, as in a container.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
OOM_SCORE_ADJ = "500"


def die_with_parent() -> None:
    """Have the system kill this process as soon as the run is gone, however the run ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        # The run may have gone before the line above.
        if os.getppid() != int(os.environ.get("JPY_PARENT_PID", os.getppid())):
            os._exit(1)


def die_first_of_all() -> None:
    """Where memory runs out, have the system take the stage and leave the run, which then says what happened."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)


if __name__ == "__main__":
    # As ipykernel_launcher does: a file json.py beside the notebook must not be taken for the library's while the
    # kernel comes up. IPython puts the folder back.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    die_with_parent()
    die_first_of_all()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
