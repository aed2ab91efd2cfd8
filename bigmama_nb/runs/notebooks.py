"""One archived notebook of a run: where it lies, and a copy of it to work with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from bigmama_nb.errors import NOTHING_DONE, StorageError, UsageError, did_you_mean
from bigmama_nb.executor.parameters import with_values
from bigmama_nb.executor.seal import BANNER, INJECTED
from bigmama_nb.profile import Profile
from bigmama_nb.runs.archive import new_run_id
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.scratch import VARIABLE, own_scratch_folder


def notebook_of(folder: Path, run: RunRecord, stage: str) -> Path:
    """Return the newest archived notebook of a stage: `20_normalize`, `40_write_parquet.game_metric`.

    Raises:
        UsageError: the run has no such notebook; those that it has are named.
    """
    books = [book for attempt in run.attempts for book in attempt.notebooks if book.path]
    for book in reversed(books):
        if stage in (book.name, book.stage):
            return folder / "runs" / run.run_id / str(book.path)
    names = list(dict.fromkeys(book.name for book in books))
    raise UsageError(
        f"{run.run_id} has no notebook {stage!r}; it has {', '.join(names) or 'none'}.{did_you_mean(stage, names)}",
        state=NOTHING_DONE,
    )


def copy_to_open(profile: Profile, run: RunRecord, stage: str) -> Path:
    """Return a copy of a stage's newest archived notebook, in a scratch folder of one's own.

    Its `parameters` cell holds the run's values, but for `scratch`: Run All works on a scratch warehouse.

    Raises:
        UsageError: the run has no such notebook, or the file is none.
        StorageError: the copy cannot be written.
    """
    source = notebook_of(Path(profile.archive.uri), run, stage)
    try:
        notebook = nbformat.read(source, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise UsageError(f"{source}: cannot be read ({str(error).splitlines()[0]})", state=NOTHING_DONE) from None
    ours = {BANNER, INJECTED}
    notebook.cells = [cell for cell in notebook.cells if not ours & {cell.id, *cell.metadata.get("tags", ())}]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = with_values(cell.source, {"scratch": True})
    target = own_scratch_folder(new_run_id()) / source.name
    try:
        nbformat.write(notebook, target)
    except OSError as error:
        raise StorageError(
            f"{target}: cannot be written ({error.strerror}). The archive is as it was; make room, or name another "
            f"folder in the variable {VARIABLE}.",
            place=str(target),
        ) from None
    return target


def has_display() -> bool:
    """Whether a browser can be opened here."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(notebook: Path) -> None:
    """Open a notebook in JupyterLab, and return when that is ended."""
    subprocess.run([sys.executable, "-m", "jupyterlab", str(notebook)], check=False)
