"""The request to end a run early, as a signal brings it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU),
)
"""The signals that would end the process where it stands, as far as a process may hear them."""


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
    """Give a `Stop` that every signal of `ENDING` (or `signums`) sets; call it in the main thread.

    What the process was started to ignore, as `nohup` does, is ignored still. The handlers that were there are
    restored at the end.
    """
    stop = Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.set(signum)

    heard = [signum for signum in signums or ENDING if signal.getsignal(signum) is not signal.SIG_IGN]
    before = {signum: signal.signal(signum, handle) for signum in heard}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
