"""Notebooks executed by papermill, each in a kernel of its own, and what became of them.

Several threads may execute at once. Nothing here changes the process's working folder, and nothing that happens in a
kernel is raised: it is returned.
Source: docs/spec/runs_and_archive.md, "Stages and attempts" and "Sealed truth".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import nbformat
import papermill
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from bigmama_nb.errors import StorageError
from bigmama_nb.executor import scraps
from bigmama_nb.executor.kernel import Kernel
from bigmama_nb.executor.parameters import check_parameters, with_values
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import (
    INJECTED,
    STREAM_LIMIT,
    CellOutcome,
    NotebookInfo,
    Outcome,
    SealedOutcome,
    one_line,
    seal,
    write,
)

__all__ = ["Executed", "NotebookInfo", "check_parameters", "execute"]

STARTS = 3
"""How often a kernel that does not come up is started; no work has been done by then."""
START_TIMEOUT_S = 60
TICK_S = 0.1
"""How often a running stage looks at the clock and at the wish to stop."""
GOING_DOWN_S = 5
OUTPUTS_TIMEOUT_S = 60
"""How long a finished cell's outputs may take to arrive; nbclient's 4 s are too short for 20 MB."""
DISPLAY_LIMIT = 8_000_000
"""Characters of displays (tables, pictures in base64) that are kept of one cell."""
_ERROR_LIMIT = 100_000
_MARGIN = 65_536

_ENGINE = "bigmama"
_registering = threading.Lock()


class StopSignal(Protocol):
    """What says that the run shall end: `stopping.Stop`, or a `threading.Event`."""

    def is_set(self) -> bool:
        """Return whether the run shall end."""


@dataclass(frozen=True)
class Executed:
    """What became of one notebook."""

    stage: str
    path: Path
    sha256: str
    outcome: Outcome
    seconds: float
    cell: str | None
    """The id of the cell in which it ended, where it did not end well."""
    error: str | None
    """One line."""
    signal: str | None
    """Name of the signal that the kernel died by, such as SIGKILL, or that asked the run to stop."""
    redactions: int
    """Secrets hidden in the notebook."""
    scraps: dict[str, Any]


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    timeout_s: float,
    stop: StopSignal,
    redactor: Redactor,
    about: NotebookInfo,
    env: Mapping[str, str] | None = None,
) -> Executed:
    """Execute a notebook and write it, sealed, to `output`.

    The kernel runs this process's Python and package, in the notebook's folder, with this process's environment; it
    dies with this process, however that ends. While it runs, `output` is rewritten at each cell (outcome `running`).

    Args:
        notebook: with a cell tagged `parameters`.
        output: in a folder that is there.
        parameters: checked by `check_parameters` first.
        timeout_s: of the whole stage; then its kernel is killed.
        stop: looked at all the time; once it is set the kernel is killed.
        redactor: hides secrets in the notebook, the error and the scraps.
        about: what the notebook's banner names.
        env: further variables of the kernel.

    Returns:
        Outcome `ok`: every cell ran. `failed`: a cell raised, or called `sys.exit`, or the kernel ended by itself.
        `timeout`. `killed`: the kernel died by a signal, or the run was stopped. `not started`: no cell ran.

    Raises:
        UsageError: a parameter is unknown or of another type, or the notebook cannot be read; nothing was run.
        StorageError: the executed notebook could not be written; the message says what became of the stage.
    """
    check_parameters(notebook, parameters)
    _register()
    stage = _Stage(notebook.absolute(), output.absolute(), dict(parameters), dict(env or {}), redactor, about)
    began = time.monotonic()
    for _ in range(STARTS):
        stage.forget()
        if stop.is_set():
            stage.ended_by = "stop"
        else:
            _watch(stage, began + timeout_s, stop)
        if stage.cells_began or stage.ended_by or not stage.launched:
            break
    stage.seconds = time.monotonic() - began
    truth = _judge(stage, timeout_s, getattr(stop, "signal", None))
    for cell in stage.notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            # Who executes the archived notebook again, with some parameters of their own, gets the others of this run.
            cell["source"] = with_values(cell.source, parameters)
    sealed, redactions = seal(stage.notebook, about, truth, redactor)
    try:
        sha256 = write(sealed, stage.output)
    except StorageError as error:
        raise StorageError(f"{error.message} The stage itself: {truth.outcome}.", place=error.place) from error
    said = sealed.metadata["bigmama"]
    return Executed(
        stage=about.stage,
        path=stage.output,
        sha256=sha256,
        outcome=truth.outcome if truth.outcome != "running" else "failed",
        seconds=stage.seconds,
        cell=truth.cell,
        error=said["error"],
        signal=truth.signal,
        redactions=redactions,
        scraps=scraps.read(sealed),
    )


@dataclass
class _Stage:
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


def _watch(stage: _Stage, deadline: float, stop: StopSignal) -> None:
    # An own thread, because nbclient leaves its event loop to the thread it ran in, and cannot run inside another's.
    worker = threading.Thread(target=_work, args=(stage,), name=f"stage {stage.about.stage}", daemon=True)
    worker.start()
    try:
        while True:
            worker.join(TICK_S)
            if not worker.is_alive():
                return
            if stage.ended_by is None and stop.is_set():
                stage.ended_by = "stop"
            elif stage.ended_by is None and time.monotonic() > deadline:
                stage.ended_by = "timeout"
            if stage.ended_by is not None:
                stage.kill()
    except BaseException:
        stage.ended_by = "stop"
        stage.kill()
        raise


def _work(stage: _Stage) -> None:
    stage.loop = ensure_event_loop()
    try:
        stage.kernel = Kernel(stage.env)
        papermill.execute_notebook(
            stage.notebook,
            None,  # sealed and written by us
            stage.parameters,
            engine_name=_ENGINE,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=False,
            autosave_cell_every=0,
            stage=stage,
        )
    except BaseException as error:
        stage.raised = error
    finally:
        if stage.kernel is not None:
            # A kernel that is going down is given the time to show by what.
            stage.kernel.end(GOING_DOWN_S if isinstance(stage.raised, Exception) else 0)
        _close(stage.loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _judge(stage: _Stage, timeout_s: float, stop_signal: str | None) -> SealedOutcome:
    """Say what became of a stage, from what its cells answered and how its process ended."""
    outcome: Outcome
    error, signal_name = stage.error, None
    at = next((cell for cell, became in stage.cells.items() if became in ("running", "failed")), None)
    if not stage.unfinished and stage.cells_began:
        outcome = "ok"
    elif at is not None and stage.cells[at] == "failed":
        outcome = "failed"
    elif stage.ended_by == "timeout":
        outcome, error = "timeout", f"the stage ran longer than {timeout_s:g} s and was killed"
    elif stage.ended_by == "stop":
        outcome, signal_name = ("killed" if stage.cells_began else "not started"), stop_signal
        error = f"the run was stopped{f' by {stop_signal}' if stop_signal else ''}"
    elif not stage.cells_began and (stage.unfinished or stage.raised):
        outcome, error = "not started", _why_not_started(stage)
    elif stage.raised is None:
        outcome = "ok"
    elif isinstance(stage.raised, DeadKernelError):
        signal_name = stage.kernel.signal if stage.kernel else None
        outcome, error = ("killed" if signal_name else "failed"), stage.kernel.death if stage.kernel else None
    else:
        outcome, error = "failed", f"{type(stage.raised).__name__}: {stage.raised}"
    cells = dict(stage.cells)
    if at is not None:
        cells[at] = "timeout" if outcome == "timeout" else "killed" if outcome == "killed" else "failed"
    return SealedOutcome(
        outcome,
        stage.began_at,
        stage.seconds,
        cell=at,
        error=one_line(error) if error is not None else None,
        signal=signal_name,
        cells=cells,
        last_words=stage.kernel.last_words if stage.kernel else "",
        dropped=stage.dropped,
    )


def _why_not_started(stage: _Stage) -> str:
    if stage.kernel is not None and stage.launched:
        words = stage.kernel.last_words.strip().splitlines()
        said = f"; it said: {words[-1]}" if words else ""
        return f"the kernel did not come up in {STARTS} attempts ({stage.raised}){said}"
    return f"{type(stage.raised).__name__}: {stage.raised}" if stage.raised else "no cell ran"


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Collects no more of a cell's outputs than is kept."""

    def __init__(self, nb_man: Any, stage: _Stage, **kwargs: Any) -> None:
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
            left = max(0, STREAM_LIMIT + _MARGIN - before)
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
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, stage: _Stage, **kwargs: Any) -> None:
        assert stage.kernel is not None
        notebook = stage.notebook = nb_man.nb
        notebook.metadata.papermill |= {"input_path": str(stage.source), "output_path": str(stage.output)}
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", ()):
                cell["id"] = INJECTED
        stage.snapshot()
        stage.client = _Client(
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


def _register() -> None:
    with _registering:
        if _ENGINE not in papermill_engines._engines:
            # It warns of parameters "unknown" because its own inspection misses `str | None`.
            logging.getLogger("papermill").setLevel(logging.ERROR)
            papermill_engines.register(_ENGINE, _Engine)
