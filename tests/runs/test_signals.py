"""A signal asks the run to end; it does not interrupt what must not be interrupted."""

from __future__ import annotations

import os
import signal

import pytest

from bigmama_nb.runs.signals import ENDING, Stop, stopped_by_signals


def test_the_first_signal_is_remembered_and_the_handlers_are_restored() -> None:
    """SIGTERM, then Ctrl-C: the run was stopped by SIGTERM, and afterwards signals mean what they meant before."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopped_by_signals() as stop:
        assert (stop.is_set(), stop.signal) == (False, None)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.is_set(), stop.signum, stop.signal) == (True, 15, "SIGTERM")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_every_signal_that_would_end_the_process_ends_the_run_in_order(number: signal.Signals) -> None:
    """A terminal that closes, a limit of CPU time, a SIGQUIT: all ask, none kills."""
    with stopped_by_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.signal == number.name


def test_what_nohup_ignores_is_ignored_still() -> None:
    """Started by nohup, a run goes on when its terminal closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_without_a_signal() -> None:
    """A deadline may ask too; then no signal is named."""
    stop = Stop()
    stop.set()
    assert (stop.is_set(), stop.signal) == (True, None)
