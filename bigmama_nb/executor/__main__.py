"""Starts the kernel of one stage: `python -m bigmama_nb.executor -f connection.json`.

ipykernel's own watch over its parent is a Python thread: it never gets its turn while a cell is inside a C call that
holds the interpreter's lock, and it does not watch at all where the run is process 1, as in a container.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # As ipykernel_launcher does: a file json.py beside the notebook must not be taken for the library's while the
    # kernel comes up. IPython puts the folder back.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    from bigmama_nb.executor.process import SwiftEnd, die_first_of_all, die_with

    swift = SwiftEnd()
    die_with(int(os.environ.get("JPY_PARENT_PID", os.getppid())))
    die_first_of_all()
    from bigmama_nb.executor import kernel_app

    kernel_app.serve()
    swift.well()
