"""What a run works with, given from outside: who executes notebooks, who asks the sources, the clock and the pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bigmama_nb.executor.execute import Executed, execute
from bigmama_nb.runs.notebooks import show
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.signals import Stop
from bigmama_nb.sources.extract import extract

TICK_S = 0.2


class Say(Protocol):
    """How a run speaks to its operator: a line, and that a stage begins and ends."""

    def __call__(self, text: str) -> None:
        """Say a line."""

    def begins(self, stage: str) -> None:
        """Say that a stage begins."""

    def ends(self, stage: str, text: str) -> None:
        """Say what became of a stage that began."""


def utc_now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def rest(seconds: float, stop: Stop) -> None:
    """Return after so many seconds, or as soon as the run is asked to end."""
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))


@dataclass(frozen=True)
class Services:
    """The outside of a run; the defaults are the real things."""

    execute: Callable[..., Executed] = execute
    extract: Callable[..., Any] = extract
    clock: Callable[[], datetime] = utc_now
    rest: Callable[[float, Stop], None] = rest
    pause: Callable[[float], None] = time.sleep
    """Between two tries to send an alert."""
    show: Callable[[Path], None] = show


@dataclass(frozen=True)
class Operator:
    """Who is spoken to while a run is under way, who may end it, and what it works with."""

    say: Say
    stop: Stop
    services: Services = field(default_factory=Services)
    broke_off: Callable[[RunRecord, BaseException], None] = lambda run, why: None
    """Is told of a run that an error ended before it came to anything; its record may still say that it is running."""
