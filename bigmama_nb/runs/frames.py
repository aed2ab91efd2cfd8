"""The archive as frames, for questions of one's own: its runs, and what became of their tasks.

`bigmama_nb.runs()` and `bigmama_nb.outcomes()` are these functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bigmama_nb.profile import load
from bigmama_nb.runs import archive
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.task import COUNTS, TASKS

_RUNS = {
    "run_id": "str", "verb": "str", "status": "str", "exit_status": "Int64", "started_at": "datetime64[ms, UTC]",
    "ended_at": "datetime64[ms, UTC]", "date_from": "str", "date_to": "str", "pipelines": "str", "attempts": "int64",
    "tasks": "int64", "published": "int64", "scratch": "bool", "profile": "str",
}  # fmt: skip
_OF_TASKS = [name for name in TASKS.names if name not in COUNTS]
_OUTCOMES = {
    "run_id": "str", "attempt": "int64", **dict.fromkeys(_OF_TASKS, "str"), "final": "boolean", "value": "Int64",
    "rows": "Int64",
}  # fmt: skip


def runs(profile: str | Path | None = None) -> pd.DataFrame:
    """Return the runs of a profile's archive, oldest first; one whose record cannot be read is left out.

    Args:
        profile: the profile's path; None: `BIGMAMA_PROFILE`, else the sample.

    Returns:
        run_id string; verb string; status string; exit_status Int64, null while it runs; started_at, ended_at instants
        in UTC, null where there is none; date_from, date_to string (`YYYY-MM-DD`); pipelines string, comma-separated;
        attempts, tasks, published int64, the number of them; scratch bool; profile string, its path.

    Raises:
        ProfileError: the profile is wrong.
    """
    rows = [
        {
            "run_id": run.run_id, "verb": run.verb, "status": run.status, "exit_status": run.exit_status,
            "started_at": run.started_at, "ended_at": run.attempts[-1].ended_at if run.attempts else None,
            "date_from": run.first, "date_to": run.last, "pipelines": ", ".join(run.pipelines),
            "attempts": len(run.attempts), "tasks": len(run.tasks),
            "published": sum(task.published == "yes" for task in run.tasks), "scratch": run.scratch,
            "profile": run.profile.path,
        }
        for run in _records(profile)
    ]  # fmt: skip
    return _framed(rows, _RUNS)


def outcomes(profile: str | Path | None = None, *, run: str | None = None) -> pd.DataFrame:
    """Return what became of every task of every run, a row a task and run, in the order of the runs.

    Args:
        profile: the profile's path; None: `BIGMAMA_PROFILE`, else the sample.
        run: only this one: its id, an id's unique beginning, `latest` or `latest-ok`.

    Returns:
        run_id string, attempt int64: which run's, and the attempt that its newest outcome is of; id, pipeline, game_cd,
        type, dt, table, part_date string: the task; through string (`YYYY-MM-DD`), final boolean; value, rows Int64;
        outcome, reason, message, place, published, source, inputs string; null where a record has nothing.

    Raises:
        ProfileError: the profile is wrong.
        UsageError: `run` names no run or several.
    """
    rows = [
        {"run_id": record.run_id, "attempt": task.attempt, **{name: getattr(task, name) for name in _OF_TASKS}}
        for record in _records(profile, run)
        for task in record.tasks
    ]
    return _framed(rows, _OUTCOMES)


def _records(profile: str | Path | None, name: str | None = None) -> Iterator[RunRecord]:
    root = Path(load(profile).archive.uri)
    if name is not None:
        yield archive.read(root, archive.find(root, name))
        return
    yield from (one for one in archive.read_all(root) if isinstance(one, RunRecord))


def _framed(rows: list[dict[str, Any]], types: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(types))
    for name in ("started_at", "ended_at"):
        if name in types:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame.astype(dict(types))
