"""Tiny notebooks for the tests, and ways to wait for what happens in them without a clock."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bigmama_nb.executor.execute import Executed, NotebookInfo, execute
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import word
from bigmama_nb.runs.signals import Stop

ABOUT = NotebookInfo("20240502T020304Z-1a2b3c", 1, "10_extract")
PARAMETERS = "games: list[str] | None = None  # codes; all = None\ndate_from = ''"
FOREVER = "import threading; threading.Event().wait()"


def notebook(path: Path, **cells: str) -> Path:
    """Write a notebook with a `parameters` cell and these code cells, whose ids are the names."""
    first = [
        new_markdown_cell("# What comes out of it?", id="question"),
        new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
    ]
    rest = [new_code_cell(source, id=name) for name, source in cells.items()]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=first + rest, metadata={"kernelspec": kernelspec}), path)
    return path


def run(folder: Path, parameters: Mapping[str, Any] | None = None, **options: Any) -> Executed:
    """Execute the notebook `in.ipynb` of a folder into `out.ipynb`, with options of `execute` or their like."""
    settings: dict[str, Any] = {"timeout_s": 120, "stop": Stop(), "redactor": Redactor(), "about": ABOUT} | options
    return execute(folder / "in.ipynb", folder / "out.ipynb", parameters or {}, **settings)


def read(path: Path) -> Any:
    """Read and validate an executed notebook."""
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    return found


def cell(found: Any, name: str) -> Any:
    """Return the cell with this id."""
    return next(cell for cell in found.cells if cell.id == name)


def outcomes(found: Any) -> dict[str, str]:
    """Return what each code cell says became of it."""
    return dict(word(found)["cells"])


def printed(found: Any, name: str) -> str:
    """Return what a cell printed."""
    return "".join(output.text for output in cell(found, name).outputs if output.output_type == "stream")


class Bell:
    """A named pipe on which a cell says that it has got somewhere."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    @property
    def ring(self) -> str:
        """Source that says the kernel's process id."""
        return f"import os; open({str(self.path)!r}, 'w').write(f'{{os.getpid()}} ')"

    def heard(self, runner: subprocess.Popen[Any] | None = None) -> int:
        """Wait for the cell, and return its kernel's process id; a runner that ends before is an error."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        if runner is not None:
            assert runner.stdout is not None
            poll.register(runner.stdout, select.POLLIN | select.POLLHUP)
        ready = [fd for fd, _ in poll.poll()]
        assert self._end in ready, runner and runner.communicate()
        return int(os.read(self._end, 100).split()[0])

    def close(self) -> None:
        os.close(self._end)


def wait_until_gone(pid: int) -> None:
    """Return once the process has ended, whoever its parent is."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([process], [], [])
    finally:
        os.close(process)
