"""Troubles grouped by their cause, each with the notebook's cell that tells of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bigmama_nb.reports.causes import LIVE, ORDER, cause_of

_CHECKS = ("contract", "rejected_share", "duplicate_key")
_PUBLISHING = ("locked", "storage", "catalog", "publish_unknown")
_CELLS = {
    "10_extract": "failures",
    "20_normalize": "suspects",
    "30_live_play": "failures",
    "40_write_parquet": "failures",
}


@dataclass
class Cause:
    """Tasks that are no success for one reason: their names, and the newest word on them."""

    anchor: str
    outcome: str
    reason: str
    names: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    tasks: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def newest(self) -> Mapping[str, Any]:
        """The task of the newest day."""
        return max(self.tasks, key=lambda task: (task["day"], task["run_id"]))

    @property
    def days(self) -> tuple[int, int]:
        """The first and the last day."""
        days = [task["day"] for task in self.tasks]
        return min(days), max(days)

    @property
    def last_good(self) -> int | None:
        """The newest day that all of its games and metrics have published."""
        good = [task["last_good"] for task in self.tasks]
        return None if None in good else min(good)

    @property
    def times(self) -> int:
        """How often its worst task ended so."""
        return max(int(task["times"]) for task in self.tasks)


def grouped(tasks: Iterable[Mapping[str, Any]]) -> list[Cause]:
    """Group tasks (name, type, day, outcome, reason, message, run_id) by cause, failed first, then most names first."""
    found: dict[str, Cause] = {}
    for task in tasks:
        message, reason = task["message"] or "", task["reason"] or ""
        said = cause_of(message, [task["name"], task["type"] or LIVE, str(task["day"])])
        key = hashlib.sha256("\0".join((task["outcome"], reason, said)).encode("utf-8", "replace")).hexdigest()[:10]
        cause = found.setdefault(key, Cause(f"cause-{key}", task["outcome"], reason))
        cause.tasks.append(task)
    for cause in found.values():
        cause.names = sorted({task["name"] for task in cause.tasks})
        cause.types = sorted({task["type"] for task in cause.tasks if task["type"]})
    place = {outcome: number for number, outcome in enumerate(ORDER)}
    return sorted(found.values(), key=lambda one: (place.get(one.outcome, 9), -len(one.names), one.names, one.anchor))


def cell(task: Mapping[str, Any], notebooks: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the notebook (its file's stem) and the id of the cell that tells what became of a task.

    Args:
        task: pipeline, outcome, reason.
        notebooks: of the task's attempt, what became of each, by stem.
    """
    live = task["pipeline"] != "game_metric"
    broken = [
        stem
        for stem, outcome in notebooks.items()
        if outcome != "ok" and stem.startswith(("3", "4.") if live else ("1", "2"))
    ]
    if task["reason"] in ("stage_died", "timeout") or task["outcome"] == "skipped":
        broken = broken or [stem for stem, outcome in notebooks.items() if outcome != "ok"]
        return (broken[0], "bigmama-banner") if broken else None
    if task["reason"] in _PUBLISHING:
        stem = f"40_write_parquet.{'wv_live_play' if live else 'game_metric'}"
    elif live:
        stem = "30_live_play"
    else:
        stem = "20_normalize" if task["outcome"] == "suspect" or task["reason"] in _CHECKS else "10_extract"
    return (stem, _CELLS[stem.partition(".")[0]]) if stem in notebooks else None
