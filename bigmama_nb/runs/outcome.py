"""What a run comes to: its status and exit status, from what became of its tasks.

Source of the rules: docs/spec/runs_and_archive.md, "The grid" and "Exit status".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OK, NOTHING, USAGE, PARTLY, LOCKED = 0, 1, 2, 3, 75


def succeeded(task: dict[str, Any]) -> bool:
    """Whether the task counts as a success: published, or a newer row kept in a race; a held suspect does not."""
    return bool(task["outcome"] == "ok" or (task["outcome"] == "suspect" and task["published"] == "yes"))


def exit_status(tasks: Sequence[dict[str, Any]], signal: int | None = None) -> int:
    """Return the exit status of a run whose tasks are these, and which ended by `signal` where one is given."""
    if signal is not None:
        return 128 + signal
    successes = [task for task in tasks if succeeded(task)]
    if len(successes) == len(tasks):
        return OK
    if successes:
        return PARTLY
    return LOCKED if any(task["reason"] == "locked" for task in tasks) else NOTHING


def status(exit_status: int) -> str:
    """Return the record's word for an exit status: ok, partial or failed."""
    return {OK: "ok", PARTLY: "partial"}.get(exit_status, "failed")
