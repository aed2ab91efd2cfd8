"""Where a notebook works: which profile and days, in which folder, and whether for a run that is under way.

A stage belongs to a run while the run's record says that it is under way in the process that started this kernel, and
that process holds the run's lock. Anywhere else (Run All in JupyterLab, papermill by hand, an archived notebook opened
again) it works in a scratch folder with a scratch warehouse, so nobody overwrites production by pressing Run All.
"""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from bigmama_nb.errors import UsageError
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.profile import Profile, find, load, read
from bigmama_nb.profile import WarehouseSettings as Settings
from bigmama_nb.project import as_called
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.archive import new_run_id
from bigmama_nb.runs.artifacts import shown_path
from bigmama_nb.runs.plan import Request, plan
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.scratch import (
    KEPT_DAYS,
    PROFILE,
    is_under_way,
    own_scratch_folder,
    record_of,
    scratch_warehouse,
    warehouse_of,
)
from bigmama_nb.runs.task import Task
from bigmama_nb.sample import prepare
from bigmama_nb.stages.parameters import checked

if TYPE_CHECKING:
    from bigmama_nb.engines import Engine


@dataclass(repr=False)
class StageContext:
    """Where a notebook works: its profile, its folder, the warehouse it publishes to; `said` is for its receipt."""

    name: str
    profile: Profile
    request: Request
    run_dir: Path
    run_id: str
    attempt: int
    run_timestamp: datetime
    warehouse: Settings
    under_way: bool
    allow_empty: bool = False
    releasing: bool = False
    said: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    engine: Callable[[Profile], AbstractContextManager[Engine]] | None = None
    """Who gives the engine that live viewing is built on; None: what the profile names."""

    @property
    def record(self) -> RunRecord | None:
        """The record of the run that is under way; None elsewhere."""
        return record_of(self.run_dir) if self.under_way else None

    @property
    def over(self) -> bool:
        """Whether what is published may replace what a later run wrote."""
        record = self.record
        return record is not None and (record.over or record.attempts[-1].over)

    def planned(self, pipeline: str) -> list[Task]:
        """Return the tasks of a pipeline, planned now where no run did that."""
        if not artifacts.exists(self.run_dir, artifacts.PLANNED):
            # A stage of a pipeline asks for that one, whatever names of games narrow.
            asked = replace(self.request, pipelines=(pipeline,))
            return list(plan(self.profile, asked, warehouse=self.warehouse).tasks)
        return [task for task in artifacts.read_tasks(self.run_dir, artifacts.PLANNED) if task.pipeline == pipeline]

    def write_artifact(self, name: str, tasks: Sequence[Task]) -> None:
        """Write the tasks of a stage, without secrets: what it writes is archived. `outcomes` shows them."""
        redactor, path = Redactor.of(self.profile), self.profile.path
        redacted = [_redacted(task, redactor, path) for task in tasks]
        artifacts.write_tasks(self.run_dir, name, [task for task, _ in redacted])
        hits = sum(hits for _, hits in redacted)
        self.said["redactions"] = self.said.get("redactions", 0) + hits
        self.artifacts.append(name)

    def without_secrets(self, tasks: Sequence[Task]) -> list[Task]:
        """Return tasks as readers may see them."""
        redactor, path = Redactor.of(self.profile), self.profile.path
        return [_redacted(task, redactor, path)[0] for task in tasks]

    def last_artifact(self) -> pd.DataFrame:
        """Return the tasks that this stage handed over last: one row a task, the columns of `task.TASKS`."""
        return frame(artifacts.read(self.run_dir, self.artifacts[-1]))

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._facts().items())

    def _repr_html_(self) -> str:
        rows = self._facts()
        cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"

    def _facts(self) -> dict[str, str]:
        return {
            "profile": self.profile.path.name,
            "run": f"{self.run_id}, attempt {self.attempt}" if self.under_way else "none: this is a scratch copy",
            "days": " … ".join(filter(None, (self.request.date_from, self.request.date_to))) or "as the profile says",
            "games": ", ".join(self.request.games) or "all",
            "metrics": ", ".join(self.request.metrics) or "all",
            "publishes to": shown_path(self.warehouse.uri)
            if self.under_way
            else f"a scratch warehouse of yours, {self.run_id}, kept {KEPT_DAYS} days",
        }


def begin(
    name: str,
    *,
    profile: str = "",
    games: Sequence[str] | str = (),
    metrics: Sequence[str] | str = (),
    date_from: str = "",
    date_to: str = "",
    run_dir: str = "",
    run_id: str = "",
    attempt: int = 0,
    run_timestamp: str = "",
    scratch: bool = True,
    allow_empty: bool = False,
    release: bool = False,
) -> StageContext:
    """Return the stage that a notebook's parameters describe; its folders are made.

    Args:
        name: the notebook's.
        profile: a profile's path; empty: `BIGMAMA_PROFILE`, else the sample.
        games, metrics: names, in a list or in a text with commas; empty: all.
        date_from, date_to: `YYYY-MM-DD` or `YYYYMMDD`; empty: the profile's `dates`, else yesterday.
        run_dir: the attempt's folder; empty: a scratch folder in which the stage makes what it needs.
        run_id, attempt: whose folder that is; counts only while that attempt is under way.
        run_timestamp: ISO 8601 instant; empty: now.
        scratch: publish to a scratch warehouse also within a run.
        allow_empty: within a run, an empty result may replace rows.
        release: within a run, what was held is published.

    Raises:
        ProfileError, UsageError: the profile or a parameter is wrong, or papermill was given one that the notebook
            does not have.
        StorageError: no scratch folder can be made.
    """
    parameters = checked(
        name,
        {
            "profile": profile, "games": games, "metrics": metrics, "date_from": date_from, "date_to": date_to,
            "run_dir": run_dir, "run_id": run_id, "attempt": attempt, "run_timestamp": run_timestamp,
            "scratch": scratch, "allow_empty": allow_empty, "release": release,
        },
    )  # fmt: skip
    request = Request(parameters.date_from or None, parameters.date_to or None, parameters.games, parameters.metrics)
    timestamp = parameters.timestamp
    given = Path(run_dir) if run_dir else None
    read_profile = _profile(profile, given)
    prepare(read_profile)
    if given is not None and is_under_way(given, run_id, attempt):
        settings = warehouse_of(read_profile, run_id, scratch=scratch)
        return StageContext(
            name, read_profile, request, given, run_id, attempt, timestamp, settings, True, allow_empty, release
        )
    run_id = new_run_id()
    own = own_scratch_folder(run_id)
    folder = own / "1"
    (folder / "data").mkdir(parents=True)
    if given is not None:
        if not (given / "data").is_dir():
            raise UsageError(f"run_dir is {run_dir!r}, which holds no folder data")
        if _asks_the_same(request, given):
            for handed in (given / "data").glob("*.parquet"):
                shutil.copyfile(handed, folder / "data" / handed.name)
    settings = scratch_warehouse(read_profile, own)
    return StageContext(name, read_profile, request, folder, run_id, 1, timestamp, settings, False)


def _profile(path: str, run_dir: Path | None) -> Profile:
    """Return the profile at `path`; of a run that read it, as the run read it, whatever stands in the file by now."""
    if run_dir is not None and (run_dir / PROFILE).is_file():
        record = record_of(run_dir)
        if record is not None and find(path or record.profile.path) == Path(record.profile.path):
            return read(record.profile.path, (run_dir / PROFILE).read_bytes())
    return load(path or None)


def _asks_the_same(request: Request, run_dir: Path) -> bool:
    """Whether the parameters are still those by which the hand-overs in `run_dir` were made."""
    record = record_of(run_dir)
    return record is None or (
        (request.date_from, request.date_to) == (record.first, record.last)
        and list(request.games) == record.games
        and list(request.metrics) == record.metrics
    )


def _redacted(task: Task, redactor: Redactor, profile: Path) -> tuple[Task, int]:
    """Return a task without secrets in what a database or a server may have said, and how many there were.

    Hints name the profile from here on: notebooks show them to who does not know which one it was.
    """
    if task.message is None and task.place is None:
        return task, 0
    message, in_message = redactor.text(as_called(task.message or "", profile))
    place, in_place = redactor.text(task.place or "")
    return task.changed(message=message or None, place=place or None), in_message + in_place


def frame(*tables: pa.Table) -> pd.DataFrame:
    """Return Arrow tables of one schema as one pandas frame."""
    # A count that a failed task lacks makes no float of the others.
    integers = {pa.int64(): pd.Int64Dtype()}
    joined = pa.concat_tables(tables)
    lacks = any(column.null_count for column in joined.columns if pa.types.is_integer(column.type))
    shown: pd.DataFrame = joined.to_pandas(types_mapper=integers.get if lacks else None)
    return shown
