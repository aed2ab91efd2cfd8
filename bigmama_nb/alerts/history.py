"""What alerts remember between runs: what is broken since when, and the last day that was well.

A small file beside the records. It is derived: without it an alert says less, and nothing is told to be well again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.profile import Profile
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.task import Task

NAME = "alerts.json"
FORMAT = 1


def series(task: Task) -> str:
    """Return what a task is one day of: `lw/wau`, or a table of live viewing."""
    return f"{task.game_cd}/{task.type}" if task.game_cd else str(task.table)


def day(task: Task) -> str:
    """Return the day of a task as `YYYYMMDD` (a month: `YYYYMM`)."""
    return str(task.dt or task.part_date).replace("-", "")


@dataclass
class History:
    """`broken`: tasks that people were told of, by series; `good`: the newest day of each series that was well."""

    broken: dict[str, list[str]] = field(default_factory=dict)
    good: dict[str, str] = field(default_factory=dict)

    def since(self, name: str) -> str | None:
        """Return the first day of a series that is broken now; None where none is."""
        days = self.broken.get(name)
        return min(days) if days else None

    def learn(self, tasks: Iterable[Task]) -> list[str]:
        """Take in what became of a run's tasks, and return those that were broken and are well again."""
        mended = []
        for task in tasks:
            name, at = series(task), day(task)
            days = self.broken.setdefault(name, [])
            if not task.succeeded:
                if at not in days:
                    days.append(at)
            else:
                self.good[name] = max(at, self.good.get(name, at))
                if at in days:
                    days.remove(at)
                    mended.append(f"{name}/{at}")
        self.broken = {name: days for name, days in self.broken.items() if days}
        return mended


def learned(profile: Profile, run: RunRecord) -> tuple[History, list[str]]:
    """Return the history with a run taken in, and the tasks that it mended; two runs at once both end up in it.

    Raises:
        OSError: the archive cannot be written.
    """
    path = Path(profile.archive.uri) / NAME
    with FileLock(f"{path}.lock", timeout=60):
        history = _read(path)
        mended = history.learn(run.tasks)
        content = {"format": FORMAT, "broken": history.broken, "good": history.good}
        replace_file(path, json.dumps(content, ensure_ascii=False, sort_keys=True).encode())
    return history, mended


def _read(path: Path) -> History:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return History(dict(found["broken"]), dict(found["good"])) if found["format"] == FORMAT else History()
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return History()
