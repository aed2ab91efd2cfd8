"""stdout and stderr that nobody's going away can break: the work goes on, whoever reads of it.

A log's disk that is full and a reader that has gone (`| head`) make a write fail; what is lost then is a line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast


class Enduring:
    """A text stream whose writes never raise; `error` is the first that failed, and after it nothing is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, or lose it."""
        self._tried(self._stream.flush)

    def _tried(self, do: Callable[[], object]) -> None:
        try:
            do()
        except OSError as error:
            self.error = self.error or error
            # What waits in the buffer would fail once more at the interpreter's end, and change the exit status.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def enduring() -> Iterator[None]:
    """Make this process's stdout and stderr such streams, for as long as a command lasts."""
    before = sys.stdout, sys.stderr
    wrapped = [None if stream is None else Enduring(stream) for stream in before]
    sys.stdout, sys.stderr = cast("list[TextIO]", wrapped)
    try:
        yield
    finally:
        for stream in wrapped:
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def lost_answer() -> str | None:
    """Return why what a verb answered could not be written; None where it was, or where its reader had enough."""
    with contextlib.suppress(AttributeError):
        sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    return None if error is None or error.errno == errno.EPIPE else str(error.strerror)
