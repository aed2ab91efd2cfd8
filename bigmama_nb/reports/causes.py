"""What failed and why, grouped by cause: seven games that failed for one reason are one line to read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bigmama_nb.errors import how_many

LIVE = "live_play"
ORDER = ("failed", "suspect", "not_ready", "skipped")


@dataclass(frozen=True, slots=True)
class GridTask:
    """A task, with a line and a column of the grid whatever it makes."""

    line: str
    """The game's code; of live viewing the table."""
    type: str
    """The metric; `live_play` of live viewing."""
    dt: str
    """Its column: `20240501`."""
    outcome: str
    """Empty where there is none yet: it is neither well nor ill."""
    reason: str
    message: str
    published: str


@dataclass
class Cause:
    """What made some tasks be no success: outcome, reason and message are the same but for names and numbers."""

    outcome: str
    reason: str
    tasks: list[GridTask] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The games and tables, sorted."""
        return sorted({task.line for task in self.tasks})

    @property
    def types(self) -> list[str]:
        """The metrics, sorted."""
        return sorted({task.type for task in self.tasks})

    @property
    def days(self) -> str:
        """The day, or the first and the last: `20240501 … 20240503`."""
        days = [task.dt for task in self.tasks]
        first, last = min(days), max(days)
        return first if first == last else f"{first} … {last}"

    @property
    def message(self) -> str:
        """That of the latest task."""
        return max(self.tasks, key=lambda task: (task.dt, task.line, task.type)).message


def ended(tasks: Iterable[Any]) -> list[GridTask]:
    """Return those of a record's tasks that have an outcome.

    Args:
        tasks: with game_cd, type and dt, or table and part_date; outcome, reason, message, published.
    """
    return [
        GridTask(*_place(task), task.outcome, task.reason or "", task.message or "", task.published)
        for task in tasks
        if task.outcome
    ]


def _place(task: Any) -> tuple[str, str, str]:
    if task.game_cd is None:
        return str(task.table), LIVE, str(task.part_date).replace("-", "")
    return task.game_cd, str(task.type), str(task.dt)


def causes(tasks: Iterable[GridTask]) -> list[Cause]:
    """Group the tasks that are not `ok`: failed first, then most games first."""
    found: dict[tuple[str, str, str], Cause] = {}
    for task in tasks:
        if task.outcome not in ("", "ok"):
            key = task.outcome, task.reason, cause_of(task.message, [task.line, task.type, task.dt])
            found.setdefault(key, Cause(task.outcome, task.reason)).tasks.append(task)
    order = {outcome: place for place, outcome in enumerate(ORDER)}
    return sorted(
        found.values(),
        key=lambda one: (
            order.get(one.outcome, len(order)), -len(one.lines), one.lines, one.reason, one.message
        ),
    )  # fmt: skip


def sentence(tasks: list[GridTask]) -> str:
    """Return a run in a sentence: `4,080 of 4,230 figures published; 5 games failed, 3 causes; 1 game not ready`."""
    if not tasks:
        return "Nothing was asked for"
    published = sum(task.published == "yes" for task in tasks)
    parts = [f"{published:,} of {how_many(len(tasks), _noun(tasks, 'figure', 'partition'))} published"]
    for outcome in ("failed", "not_ready", "suspect", "skipped"):
        those = [task for task in tasks if task.outcome == outcome]
        if not those:
            continue
        part = (
            f"{how_many(len({task.line for task in those}), _noun(those, 'game', 'table'))} {outcome.replace('_', ' ')}"
        )
        if outcome == "failed":
            part += f", {how_many(len(causes(those)), 'cause')}"
        parts.append(part)
    return "; ".join(parts)


def _noun(tasks: list[GridTask], of_games: str, of_tables: str) -> str:
    live = sum(task.type == LIVE for task in tasks)
    return of_tables if live == len(tasks) else f"{of_games}s and {of_tables}" if live else of_games


def cause_of(message: str, own: list[str]) -> str:
    """Return a message without the names and numbers of the task that it tells of."""
    for name in own:
        message = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", "…", message)
    message = re.sub(r"\b[0-9a-f]{24}\b", "…", message)
    # Digits within a name stay: the clusters ncmc2 and ncmc3 are two causes.
    return re.sub(r"(?<![A-Za-z0-9_])\d[\d,.:-]*", "#", message)
