"""What an operator sees of long work: on a terminal how long each stage has been running, in a log plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, cast

from bigmama_nb.cli.streams import GuardedStream
from bigmama_nb.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class ProgressLog:
    """Says lines with the time before them on stderr; stages that run are shown below while they run."""

    def __init__(self, write: Callable[[str], None], progress: Progress | None) -> None:
        self._write = write
        self._progress = progress
        self._running: dict[str, TaskID] = {}

    def __call__(self, text: str) -> None:
        """Say a line."""
        self._write(f"{datetime.now(UTC):%H:%M:%S}Z {printable(text)}")

    def begins(self, stage: str) -> None:
        """Say that a stage begins."""
        if self._progress is None:
            self(f"{stage} …")
        else:
            self._running[stage] = self._progress.add_task(stage, total=None)

    def ends(self, stage: str, text: str) -> None:
        """Say what became of a stage that began."""
        if self._progress is not None and stage in self._running:
            self._progress.remove_task(self._running.pop(stage))
        self(f"{stage} {text}")


@contextmanager
def speaking(console: Console | None = None) -> Iterator[ProgressLog]:
    """Give a voice for as long as the work lasts; `console` is stderr where none is given."""
    if console is None:
        display = cast("TextIO | None", sys.stderr.display() if isinstance(sys.stderr, GuardedStream) else sys.stderr)
        if display is None:
            yield ProgressLog(lambda line: None, None)
            return
        if not display.isatty():
            yield ProgressLog(lambda line: print(line, file=display, flush=True), None)
            return
    from rich.console import Console  # a log needs neither
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = console or Console(file=display, stderr=True)

    def write(line: str) -> None:
        # Plain, and as long as it is: a message holds brackets that are no markup, and paths that are copied whole.
        console.print(line, markup=False, highlight=False, soft_wrap=True, emoji=False)

    if not console.is_terminal:
        yield ProgressLog(write, None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
        yield ProgressLog(write, progress)
