"""Notebooks executed by papermill, each in a kernel of its own, and what became of them.

Several threads may execute at once. Nothing here changes the process's working folder, and nothing that happens in a
kernel is raised: it is returned.
Source: docs/spec/runs_and_archive.md, "Stages and attempts" and "Sealed truth".
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import papermill
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError

from bigmama_nb.errors import StorageError
from bigmama_nb.executor import client, scraps
from bigmama_nb.executor.kernel import Kernel
from bigmama_nb.executor.parameters import check_parameters, with_values
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import (
    NotebookInfo,
    Outcome,
    SealedOutcome,
    one_line,
    seal,
    word,
    write,
)
from bigmama_nb.executor.stage import Stage

__all__ = ["Executed", "NotebookInfo", "check_parameters", "execute"]

STARTS = 3
"""How often a kernel that does not come up is started; no work has been done by then."""
TICK_S = 0.1
"""How often a running stage looks at the clock and at the wish to stop."""
GOING_DOWN_S = 5


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
    client.register()
    stage = Stage(notebook.absolute(), output.absolute(), dict(parameters), dict(env or {}), redactor, about)
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
    return Executed(
        stage=about.stage,
        path=stage.output,
        sha256=sha256,
        outcome=truth.outcome if truth.outcome != "running" else "failed",
        seconds=stage.seconds,
        cell=truth.cell,
        error=word(sealed)["error"],
        signal=truth.signal,
        redactions=redactions,
        scraps=scraps.read(sealed),
    )


def _watch(stage: Stage, deadline: float, stop: StopSignal) -> None:
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


def _work(stage: Stage) -> None:
    stage.loop = ensure_event_loop()
    try:
        stage.kernel = Kernel(stage.env)
        papermill.execute_notebook(
            stage.notebook,
            None,  # sealed and written by us
            stage.parameters,
            engine_name=client.ENGINE,
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


def _judge(stage: Stage, timeout_s: float, stop_signal: str | None) -> SealedOutcome:
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


def _why_not_started(stage: Stage) -> str:
    if stage.kernel is not None and stage.launched:
        words = stage.kernel.last_words.strip().splitlines()
        said = f"; it said: {words[-1]}" if words else ""
        return f"the kernel did not come up in {STARTS} attempts ({stage.raised}){said}"
    return f"{type(stage.raised).__name__}: {stage.raised}" if stage.raised else "no cell ran"
