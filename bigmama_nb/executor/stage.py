"""A notebook under way: what its cells have answered so far, and the picture of it on disk."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from bigmama_nb.errors import StorageError
from bigmama_nb.executor.kernel import Kernel
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import CellOutcome, NotebookInfo, SealedOutcome, seal, write


@dataclass
class Stage:
    """One notebook under way; written by its own thread, but for `ended_by`."""

    source: Path
    output: Path
    parameters: dict[str, Any]
    env: dict[str, str]
    redactor: Redactor
    about: NotebookInfo
    seconds: float = 0.0
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    ended_by: str | None = None
    """`timeout` or `stop`, once the kernel is to be killed."""

    def forget(self) -> None:
        """Begin anew: no cell has run."""
        self.notebook: Any = nbformat.read(self.source, as_version=4)
        self.cells: dict[str, CellOutcome] = {}
        self.dropped: dict[str, int] = {}
        self.error: str | None = None
        self.raised: BaseException | None = None
        self.kernel: Kernel | None = None
        self.client: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def launched(self) -> bool:
        """Whether a kernel's process was started."""
        return self.kernel is not None and self.kernel.launched

    @property
    def cells_began(self) -> bool:
        """Whether any work was done."""
        return bool(self.cells)

    @property
    def unfinished(self) -> list[str]:
        """The ids of the cells with code that have not ended well."""
        return [
            cell.id
            for cell in self.notebook.cells
            if cell.cell_type == "code" and cell.source.strip() and self.cells.get(cell.id) != "ok"
        ]

    def kill(self) -> None:
        """Kill the kernel and what it started, and let its client know at once."""
        if self.kernel is not None and self.kernel.process is not None:
            self.kernel.kill()
            pending = getattr(self.client, "task_poll_for_reply", None)
            if self.loop is not None and pending is not None and not self.loop.is_closed():
                with contextlib.suppress(RuntimeError):  # closed since
                    self.loop.call_soon_threadsafe(pending.cancel)

    # What nbclient calls, by the names of its hooks.

    def cell_begins(self, cell: Any, cell_index: int) -> None:
        self.cells[cell.id] = "running"
        self.snapshot()

    def cell_ended(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        content = execute_reply["content"]
        if content["status"] == "ok" or "raises-exception" in cell.metadata.get("tags", ()):
            self.cells[cell.id] = "ok"
        else:
            self.cells[cell.id] = "failed"
            name, value = content.get("ename", "Error"), content.get("evalue", "")
            self.error = f"{name}: {value}" if value else str(name)

    def snapshot(self) -> None:
        """Write what there is: who finds it after a power cut sees how far it came."""
        truth = SealedOutcome("running", self.began_at, 0.0, cells=dict(self.cells), dropped=dict(self.dropped))
        # A full disk is reported when the stage ends; until then the work matters more than its picture.
        with contextlib.suppress(StorageError):
            write(seal(self.notebook, self.about, truth, self.redactor)[0], self.output)
