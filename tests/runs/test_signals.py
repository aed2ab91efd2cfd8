"""A signal asks the run to end; it does not interrupt what must not be interrupted."""

from __future__ import annotations

import os
import signal

from bigmama_nb.runs.signals import Stop, stopped_by_signals


def test_the_first_signal_is_remembered_and_the_handlers_are_restored() -> None:
    """SIGTERM, then Ctrl-C: the run was stopped by SIGTERM, and afterwards signals mean what they meant before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopped_by_signals() as stop:
        assert (stop.is_set(), stop.signal) == (False, None)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.is_set(), stop.signum, stop.signal) == (True, 15, "SIGTERM")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_stop_without_a_signal() -> None:
    """A deadline may ask too; then no signal is named."""
    stop = Stop()
    stop.set()
    assert (stop.is_set(), stop.signal) == (True, None)
