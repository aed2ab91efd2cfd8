"""How papermill and nbclient execute a stage: their client and engine, told what to collect and how long to wait."""

from __future__ import annotations

import logging
import threading
from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from bigmama_nb.executor import scraps
from bigmama_nb.executor.seal import INJECTED, STREAM_LIMIT
from bigmama_nb.executor.stage import Stage

ENGINE = "bigmama"
START_TIMEOUT_S = 60
OUTPUTS_TIMEOUT_S = 60
"""How long a finished cell's outputs may take to arrive; nbclient's 4 s are too short for 20 MB."""
DISPLAY_LIMIT = 8_000_000
"""Characters of displays (tables, pictures in base64) that are kept of one cell."""
MARGIN = 65_536
"""Characters of printed text that are collected of one cell beyond what is kept, so that no secret is cut in two."""
_ERROR_LIMIT = 100_000

_registering = threading.Lock()


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """Collects no more of a cell's outputs than is kept."""

    def __init__(self, nb_man: Any, stage: Stage, **kwargs: Any) -> None:
        super().__init__(nb_man, **kwargs)
        self.stage = stage
        self.collected: dict[tuple[int, str], int] = {}

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        if not outs:  # cleared by the cell
            self.collected = {}
        out = super().output(outs, msg, display_id, cell_index)
        if out is None or not outs or outs[-1] is not out:
            return out
        kind = "text" if out.output_type == "stream" else "display"
        size = len(out.text) if kind == "text" else sum(len(str(data)) for data in out.get("data", {}).values())
        before = self.collected.get((cell_index, kind), 0)
        if kind == "text":
            left = max(0, STREAM_LIMIT + MARGIN - before)
            if size > left:
                cell = self.nb.cells[cell_index].id
                self.stage.dropped[cell] = self.stage.dropped.get(cell, 0) + size - left
                out["text"] = out.text[:left]
                if not left:
                    outs.pop()
        elif out.output_type == "error":
            out["evalue"] = out.evalue[:_ERROR_LIMIT]
            out["traceback"] = [frame[:_ERROR_LIMIT] for frame in out.traceback]
        elif before + size > DISPLAY_LIMIT and not any(mime.startswith(scraps.MIME) for mime in out.data):
            out["data"] = {"text/plain": f"… {size:,} characters are not kept (limit: {DISPLAY_LIMIT:,} a cell)."}
            size = 0
        self.collected[cell_index, kind] = before + size
        return out


class _Engine(NBClientEngine):  # type: ignore[misc]
    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, stage: Stage, **kwargs: Any) -> None:
        assert stage.kernel is not None
        notebook = stage.notebook = nb_man.nb
        notebook.metadata.papermill |= {"input_path": str(stage.source), "output_path": str(stage.output)}
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", ()):
                cell["id"] = INJECTED
        stage.snapshot()
        stage.client = Client(
            nb_man,
            stage,
            km=stage.kernel.manager(),
            kernel_name=kernel_name,
            startup_timeout=START_TIMEOUT_S,
            iopub_timeout=OUTPUTS_TIMEOUT_S,
            timeout=None,
            resources={"metadata": {"path": str(stage.source.parent)}},
            on_cell_execute=stage.cell_begins,
            on_cell_executed=stage.cell_ended,
            log=_log(),
        )
        stage.client.execute(cleanup_kc=True)


def _log() -> logging.Logger:
    # What goes wrong is returned; nbclient would also print it.
    log = logging.getLogger("bigmama_nb.nbclient")
    log.setLevel(logging.CRITICAL + 1)
    return log


def register() -> None:
    """Let papermill know the engine `ENGINE`."""
    with _registering:
        if ENGINE not in papermill_engines._engines:
            # It warns of parameters "unknown" because its own inspection misses `str | None`.
            logging.getLogger("papermill").setLevel(logging.ERROR)
            papermill_engines.register(ENGINE, _Engine)
