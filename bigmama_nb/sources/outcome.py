"""What became of a task: exactly one outcome each, as a value and never as an exception.

Source of the rules here: runs.md, "The grid".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigmama_nb.errors import Reason, TaskError
from bigmama_nb.periods import FigureRequest

State = Literal["ok", "suspect", "not_ready", "failed", "skipped"]
STATES: tuple[State, ...] = ("ok", "suspect", "not_ready", "failed", "skipped")


@dataclass(frozen=True)
class Outcome:
    """What became of one figure.

    `value` is exact; `undated` counts the documents that belong to no period; `message` says what a person needs,
    `place` where it is (database, collection, document).
    """

    ask: FigureRequest
    outcome: State
    value: int | None = None
    reason: Reason | None = None
    message: str | None = None
    place: str | None = None
    undated: int = 0
    source: str = ""

    @property
    def task(self) -> str:
        """The task's name everywhere: `lw/wau/20240501`."""
        return "/".join(self.ask.key)


def ok(ask: FigureRequest, value: int, *, source: str, undated: int = 0) -> Outcome:
    """Return the outcome of a figure that was read exactly."""
    return Outcome(ask, "ok", value=value, source=source, undated=undated)


def not_ready(
    ask: FigureRequest, message: str, *, place: str | None = None, source: str = "", undated: int = 0
) -> Outcome:
    """Return the outcome of a figure that its source does not have yet."""
    return Outcome(ask, "not_ready", message=message, place=place, source=source, undated=undated)


def failed(ask: FigureRequest, error: TaskError, *, source: str = "", undated: int = 0) -> Outcome:
    """Return the outcome of a figure that could not be had, with the error's reason class, message and place."""
    return Outcome(
        ask, "failed", reason=error.reason, message=error.message, place=error.place, source=source, undated=undated
    )
