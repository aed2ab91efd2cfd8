"""Where a notebook works: which profile and days, in which folder, and whether for a run that is under way.

A stage belongs to a run while that run is under way, which the run says by the variable `BIGMAMA_ATTEMPT`. Anywhere
else (Run All in JupyterLab, papermill by hand, an archived notebook opened again) it works in a scratch folder with a
scratch warehouse, so nobody overwrites production by pressing Run All.
"""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bigmama_nb.errors import UsageError
from bigmama_nb.profile import ROOT, Profile, load
from bigmama_nb.profile import WarehouseSettings as Settings
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.archive import new_run_id
from bigmama_nb.runs.plan import Request, plan
from bigmama_nb.runs.scratch import ATTEMPT, RELEASE, attempt_name, scratch_folder, scratch_warehouse
from bigmama_nb.runs.task import Task
from bigmama_nb.sample import prepare


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
    said: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)

    @property
    def releasing(self) -> bool:
        """Whether what was held is published now."""
        return self.under_way and bool(os.environ.get(RELEASE))

    def planned(self, pipeline: str) -> list[Task]:
        """Return the tasks of a pipeline, planned first where no run did that."""
        if not artifacts.exists(self.run_dir, artifacts.PLANNED):
            grid = plan(self.profile, self.request, warehouse=self.warehouse)
            artifacts.write_tasks(self.run_dir, artifacts.PLANNED, grid.tasks)
        return [task for task in artifacts.read_tasks(self.run_dir, artifacts.PLANNED) if task.pipeline == pipeline]

    def write_artifact(self, name: str, tasks: Sequence[Task]) -> None:
        """Write the tasks of a stage; `outcomes` shows them."""
        artifacts.write_tasks(self.run_dir, name, tasks)
        self.artifacts.append(name)

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
            "publishes to": shown(self.warehouse.uri),
        }


def begin(
    name: str,
    *,
    profile: str = "",
    games: Sequence[str] = (),
    metrics: Sequence[str] = (),
    date_from: str = "",
    date_to: str = "",
    run_dir: str = "",
    run_timestamp: str = "",
    scratch: bool = True,
) -> StageContext:
    """Return the stage that a notebook's parameters describe; its folders are made.

    Args:
        profile: a profile's path; empty: `BIGMAMA_PROFILE`, else the sample.
        games, metrics: names; empty: all.
        date_from, date_to: `YYYY-MM-DD` or `YYYYMMDD`; empty: the profile's `dates`, else yesterday.
        run_dir: the attempt's folder; empty: a scratch folder in which the stage makes what it needs.
        run_timestamp: ISO 8601 instant; empty: now.
        scratch: publish to a scratch warehouse also within a run.

    Raises:
        ProfileError, UsageError: the profile or a parameter is wrong.
    """
    read_profile = load(profile or None)
    prepare(read_profile)
    request = Request(date_from or None, date_to or None, tuple(games), tuple(metrics))
    timestamp = datetime.fromisoformat(run_timestamp).astimezone(UTC) if run_timestamp else datetime.now(UTC)
    given = Path(run_dir) if run_dir else None
    if given is not None and os.environ.get(ATTEMPT) == attempt_name(given):
        run_id, attempt = given.parent.name, int(given.name)
        settings = scratch_warehouse(read_profile, run_id) if scratch else read_profile.warehouse
        return StageContext(name, read_profile, request, given, run_id, attempt, timestamp, settings, True)
    run_id = new_run_id()
    folder = scratch_folder(read_profile, run_id) / "1"
    (folder / "data").mkdir(parents=True)
    if given is not None:
        if not (given / "data").is_dir():
            raise UsageError(f"run_dir is {run_dir!r}, which holds no folder data. Nothing was run.")
        for handed in (given / "data").glob("*.parquet"):
            shutil.copy2(handed, folder / "data" / handed.name)
    return StageContext(
        name, read_profile, request, folder, run_id, 1, timestamp, scratch_warehouse(read_profile, run_id), False
    )


def shown(path: str) -> str:
    """Return a path as outputs and records name it: from the project's folder, where it lies in it."""
    return path.removeprefix(f"{ROOT}{os.sep}")


def frame(*tables: pa.Table) -> pd.DataFrame:
    """Return Arrow tables of one schema as one pandas frame."""
    joined: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return joined
