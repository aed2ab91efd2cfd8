"""The request to end a run early, as a signal brings it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Says whether the run shall end, and which signal asked for it.

    Not a `threading.Event`: a handler runs inside whatever the main thread is doing, and `Event.set` takes a lock that
    the main thread may be holding in `Event.wait`.
    """

    def __init__(self) -> None:
        self._asked = False
        self.signum: int | None = None
        """The first signal that asked; None where no signal did."""

    def set(self, signum: int | None = None) -> None:
        """Ask the run to end; the first signal is remembered."""
        if self.signum is None:
            self.signum = signum
        self._asked = True

    def is_set(self) -> bool:
        """Return whether the run shall end."""
        return self._asked

    @property
    def signal(self) -> str | None:
        """The name of that signal, such as `SIGTERM`."""
        return signal.Signals(self.signum).name if self.signum is not None else None


@contextmanager
def stopped_by_signals(*signums: int) -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM (or `signums`) set; call it in the main thread.

    The handlers that were there are restored at the end.
    """
    stop = Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.set(signum)

    before = {signum: signal.signal(signum, handle) for signum in signums or (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
