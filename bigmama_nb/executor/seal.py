"""Sealing: what an executed notebook says of itself is what really became of it.

papermill's own metadata lies: after a dead kernel or a timeout it marks every cell `completed`.
Source: docs/spec/runs_and_archive.md, "Sealed truth".
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import nbformat

from bigmama_nb.errors import StorageError
from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seen_text import ANSI

Outcome = Literal["ok", "failed", "timeout", "killed", "not started"]
CellOutcome = Literal["ok", "failed", "timeout", "killed", "running", "never ran"]

BANNER = "bigmama-banner"
WORD = "bigmama"
"""Where the banner's output keeps what the seal says, for programs: another execution drops it with the banner."""
BANNER_SOURCE = "# What became of this notebook; executed again, it is another's to say."
INJECTED = "injected-parameters"
PAPERMILL_MARKER = "papermill-error-cell-tag"

STREAM_LIMIT = 1_000_000
"""Characters of printed text that are kept of one cell."""
NEVER_RAN = "This cell never ran."

_PAPERMILL_STATUS = {"ok": "completed", "running": "running", "never ran": "pending"}


@dataclass(frozen=True)
class NotebookInfo:
    """Whose notebook it is: what its banner and metadata name."""

    run: str
    attempt: int
    stage: str
    table: str | None = None


@dataclass(frozen=True)
class SealedOutcome:
    """What became of a notebook and of its cells."""

    outcome: Outcome | Literal["running"]
    started_at: datetime
    seconds: float
    cell: str | None = None
    error: str | None = None
    signal: str | None = None
    cells: Mapping[str, CellOutcome] = field(default_factory=dict)
    """By cell id; a cell with code that is not named never ran."""
    last_words: str = ""
    """What a dead kernel wrote to its own stderr."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Characters that a cell printed and that were not even collected, by cell id."""


def seal(notebook: Any, about: NotebookInfo, truth: SealedOutcome, redactor: Redactor) -> tuple[Any, int]:
    """Return a copy of an executed notebook that tells the truth, without secrets, and how many hits were hidden.

    It begins with a banner cell, in whose output `word` finds the same for programs (format 1: run, attempt, stage,
    table, outcome, cell, error, signal, started_at, ended_at, seconds, redactions, the outcome of each cell by its id,
    and how many characters of which were dropped); papermill's metadata agree with it. A cell that never ran says so,
    the cell in which a kernel died shows why, and what was printed beyond `STREAM_LIMIT` is cut, with a note.
    """
    sealed = copy.deepcopy(notebook)
    sealed.cells = [cell for cell in sealed.cells if not _is_ours(cell)]
    outcomes = {cell.id: _settle(cell, truth) for cell in sealed.cells}
    cells = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    ended_at = truth.started_at + timedelta(seconds=truth.seconds)
    said: dict[str, Any] = {
        "format": 1,
        "run": about.run,
        "attempt": about.attempt,
        "stage": about.stage,
        "table": about.table,
        "outcome": truth.outcome,
        "cell": truth.cell,
        "error": truth.error,
        "signal": truth.signal,
        "started_at": truth.started_at.isoformat(timespec="milliseconds"),
        "ended_at": None if truth.outcome == "running" else ended_at.isoformat(timespec="milliseconds"),
        "seconds": round(truth.seconds, 3),
        "cells": cells,
    }
    papermill = sealed.metadata.get("papermill")
    if papermill is not None:
        papermill["exception"] = None if truth.outcome in ("ok", "running") else True
    never_ran = sum(outcome == "never ran" for outcome in cells.values())
    sealed.cells.insert(0, _banner_cell(_banner(about, truth, never_ran), said))
    sealed, redactions = redactor.notebook(sealed)
    cut = {cell.id: _cut(cell, truth.dropped.get(cell.id, 0)) for cell in sealed.cells[1:] if _has_code(cell)}
    told = word(sealed)
    told["redactions"] = redactions
    told["dropped"] = {name: characters for name, characters in cut.items() if characters}
    return sealed, redactions


def word(notebook: Any) -> Any:
    """Return what the seal of an executed notebook says, as `seal` tells; nothing of one that has none."""
    banner = next((cell for cell in notebook.cells if BANNER in cell.metadata.get("tags", ())), None)
    outputs = [] if banner is None else banner.get("outputs", [])
    return next((one.metadata[WORD] for one in outputs if WORD in one.get("metadata", {})), {})


def write(notebook: Any, path: Path) -> str:
    """Write a notebook so that a reader sees the old file or the whole new one, also after a power cut.

    Returns:
        The sha256 of the bytes written.

    Raises:
        StorageError: the folder is missing, read-only or full; what stood at `path` is as before.
    """
    # A lone surrogate, which a cell may print, has no UTF-8; as a JSON escape it is kept.
    content = (nbformat.v4.writes(notebook) + "\n").encode("utf-8", "backslashreplace")
    try:
        replace_file(path, content)
    except OSError as error:
        raise StorageError(
            f"{path}: the executed notebook could not be written ({error.strerror}). What stood there is as before. "
            "Make room or give access, then run 'run_all.py repair latest'.",
            place=str(path),
        ) from error
    return hashlib.sha256(content).hexdigest()


def one_line(text: str, limit: int = 500) -> str:
    """Return an error as one line without colour codes, cut at `limit` characters."""
    line = re.sub(r"\s+", " ", ANSI.sub("", text)).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _is_ours(cell: Any) -> bool:
    return not {BANNER, PAPERMILL_MARKER}.isdisjoint(cell.metadata.get("tags", ()))


def _has_code(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _settle(cell: Any, truth: SealedOutcome) -> CellOutcome | None:
    """Make a cell say what became of it, and return that; None where it has no code."""
    status = cell.metadata.get("papermill")
    if not _has_code(cell):
        if status:
            status["status"] = "completed" if truth.outcome == "ok" else "pending"
            status["exception"] = None
        return None
    outcome = truth.cells.get(cell.id, "never ran")
    if status is not None:
        status["status"] = _PAPERMILL_STATUS.get(outcome, "failed")
        status["exception"] = None if outcome in ("never ran", "running") else outcome != "ok"
        if outcome == "never ran":
            status["start_time"] = status["end_time"] = status["duration"] = None
    cell.outputs = _joined(cell.outputs)
    if outcome == "never ran":
        cell.execution_count = None
        cell.outputs = (
            []
            if truth.outcome == "running"
            else [nbformat.v4.new_output("display_data", data={"text/plain": NEVER_RAN})]
        )
    elif outcome in ("failed", "timeout", "killed") and not any(o.output_type == "error" for o in cell.outputs):
        if truth.last_words:
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=truth.last_words))
        said = truth.error or str(outcome)
        name, _, value = said.partition(": ")
        if not re.fullmatch(r"\w+", name):
            name, value = outcome.capitalize(), said
        cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=value, traceback=[said]))
    return outcome


def _joined(outputs: list[Any]) -> list[Any]:
    """Join consecutive pieces of one stream, between which a secret may be split."""
    joined: list[Any] = []
    pieces: list[str] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if output.output_type == "stream" and before is not None and before.get("name") == output.name:
            pieces.append(output.text)
            continue
        if pieces and before is not None:
            before["text"] += "".join(pieces)
            pieces = []
        joined.append(output)
    if pieces:
        joined[-1]["text"] += "".join(pieces)
    return joined


def _cut(cell: Any, dropped: int) -> int:
    """Cut what a cell printed at its limit; return how many characters are not kept."""
    # After the secrets are hidden, so that none is cut in two.
    left = STREAM_LIMIT
    for output in cell.outputs:
        if output.output_type == "stream":
            dropped += max(0, len(output.text) - left)
            output["text"] = output.text[:left]
            left -= len(output.text)
    cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.text]
    if dropped:
        note = f"… {dropped:,} more characters were printed and are not kept (limit: {STREAM_LIMIT:,} a cell)."
        cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=note))
    return dropped


def _banner_cell(text: str, said: dict[str, Any]) -> Any:
    """Return the banner as a cell's output: whoever executes the notebook again gets rid of it, papermill too."""
    # Not by nbformat's makers, which check each part against the schema, whenever a cell begins.
    shown = {
        "output_type": "display_data",
        "data": {"text/markdown": text, "text/plain": text},
        "metadata": {WORD: said},
    }
    return nbformat.from_dict(
        {
            "cell_type": "code",
            "id": BANNER,
            "metadata": {"tags": [BANNER], "jupyter": {"source_hidden": True}},
            "execution_count": None,
            "source": BANNER_SOURCE,
            "outputs": [shown],
        }
    )


def _banner(about: NotebookInfo, truth: SealedOutcome, never_ran: int) -> str:
    stage = about.stage if about.table is None else f"{about.stage}, {about.table}"
    lines = [
        f"> **{truth.outcome}** · {stage} · run {about.run}, attempt {about.attempt}"
        + (f" · {truth.seconds:.1f} s" if truth.outcome != "running" else "")
    ]
    if truth.outcome == "running":
        lines += [">", "> Written while the stage was running: where this still stands, the run itself was ended."]
    elif truth.outcome == "not started":
        lines += [">", "> No cell ran."]
    elif truth.cell is not None:
        rest = {0: "", 1: " One cell never ran."}.get(never_ran, f" {never_ran} cells never ran.")
        lines += [">", f"> It ended in the cell [{truth.cell}](#cell-id={truth.cell}).{rest}"]
    if truth.error is not None:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", truth.error)), default=0))
        lines += ["", f"{fence}text", truth.error, fence]
    return "\n".join(lines)
