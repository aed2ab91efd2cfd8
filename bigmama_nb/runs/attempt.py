"""One attempt of a run: its stages in order, two branches side by side, and the record true at every step.

Source of the rules: docs/spec/runs_and_archive.md, "Stages and attempts".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bigmama_nb.errors import Reason, StorageError, TaskError
from bigmama_nb.executor.execute import Executed, NotebookInfo, execute
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.profile import ROOT, Profile
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.reconcile import landed
from bigmama_nb.runs.record import Json, Record, added, now
from bigmama_nb.runs.scratch import ATTEMPT, attempt_name, scratch_warehouse
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task, recorded
from bigmama_nb.warehouse import Warehouse

NOTEBOOKS = ROOT / "notebooks"
REPORT = "50_report"
LOOK_S = 0.2
"""How often the main thread, the only one that signals' handlers run in, looks up while stages are under way."""


@dataclass(frozen=True)
class Step:
    """A stage of a branch: its notebook, the table that 40_write_parquet writes, and what it hands over."""

    stage: str
    hands_over: str
    table: str | None = None

    @property
    def name(self) -> str:
        """How the archive names it: `40_write_parquet.game_metric`."""
        return f"{self.stage}.{self.table}" if self.table else self.stage


BRANCHES: Mapping[str, tuple[Step, ...]] = {
    "game_metric": (
        Step("10_extract", artifacts.EXTRACTED),
        Step("20_normalize", artifacts.NORMALIZED),
        Step("40_write_parquet", artifacts.published("game_metric"), "game_metric"),
    ),
    "live_play": (
        Step("30_live_play", artifacts.BUILT),
        Step("40_write_parquet", artifacts.published("wv_live_play"), "wv_live_play"),
    ),
}


@dataclass(frozen=True)
class AttemptSettings:
    """What an attempt is told to do: parameters of its notebooks, and how many run at once."""

    parameters: Mapping[str, Any]
    scratch: bool = False
    jobs: int = 2
    env: Mapping[str, str] = field(default_factory=dict)


class Say(Protocol):
    """How a run speaks to its operator: a line, and that a stage begins and ends."""

    def __call__(self, text: str) -> None:
        """Say a line."""

    def begins(self, stage: str) -> None:
        """Say that a stage begins."""

    def ends(self, stage: str, text: str) -> None:
        """Say what became of a stage that began."""


class Attempt:
    """The n-th pass over the stages of a run, for the tasks that it is to do."""

    def __init__(self, record: Record, profile: Profile, order: AttemptSettings, redactor: Redactor, say: Say) -> None:
        self._record = record
        self._profile = profile
        self._order = order
        self._redactor = redactor
        self._say = say
        self._n = len(record.data["attempts"]) + 1
        self.run_dir = record.run_dir / str(self._n)

    @property
    def n(self) -> int:
        """The attempt's number, from 1."""
        return self._n

    def run(self, tasks: Sequence[Task], stop: Stop, *, normalized: Sequence[Task] | None = None) -> None:
        """Do the tasks; every one has an outcome in the record afterwards.

        Args:
            normalized: where the attempt begins at 40_write_parquet, what 20_normalize would hand over.

        Raises:
            StorageError: the record or the hand-over cannot be written.
        """
        (self.run_dir / "data").mkdir(parents=True, exist_ok=True)
        artifacts.write_tasks(self.run_dir, artifacts.PLANNED, tasks)
        if normalized is not None:
            live = normalized[0].pipeline == "live_play"
            artifacts.write_tasks(self.run_dir, artifacts.BUILT if live else artifacts.NORMALIZED, normalized)
        started = {
            "n": self._n,
            "pid": os.getpid(),
            "started_at": now(),
            "heartbeat_at": now(),
            "ended_at": None,
            "signal": None,
            "notebooks": [],
        }
        self._record.change(lambda data: data["attempts"].append(started))
        self._merge([_unsettled(task) for task in tasks])
        branches = {task.pipeline for task in tasks}
        with ThreadPoolExecutor(max(1, min(self._order.jobs, 2)), "branch") as pool:
            running = [
                pool.submit(
                    self._branch,
                    steps if normalized is None else steps[-1:],
                    [task for task in tasks if task.pipeline == name],
                    stop,
                )
                for name, steps in BRANCHES.items()
                if name in branches
            ]
            # In short looks: a signal may meet another thread, and its handler runs once this one, the main, wakes up.
            while wait(running, timeout=LOOK_S).not_done:
                pass
            for branch in running:
                branch.result()
        self._report(tasks, stop)

        def end(data: Json) -> None:
            data["attempts"][-1]["ended_at"] = now()
            data["attempts"][-1]["signal"] = stop.signal

        self._record.change(end)

    def _branch(self, steps: Sequence[Step], tasks: list[Task], stop: Stop) -> None:
        known = tasks
        for position, step in enumerate(steps):
            executed = self._execute(step, stop)
            if artifacts.exists(self.run_dir, step.hands_over) and (step.table or executed.outcome == "ok"):
                known = artifacts.read_tasks(self.run_dir, step.hands_over)
                self._merge(known if step.table else [_unsettled(task) for task in known])
            else:
                known = self._unfinished(step, executed, known, stop)
                self._merge(known)
            self._note(step, executed)
            if executed.outcome != "ok":
                for missed in steps[position + 1 :]:
                    self._note(missed, None)
                return

    def _report(self, tasks: Sequence[Task], stop: Stop) -> None:
        step = Step(REPORT, "")
        # What became of every task so far, for the report to show.
        artifacts.write_tasks(self.run_dir, artifacts.OUTCOMES, recorded(self._record.data))
        executed = self._execute(step, stop)
        self._note(step, executed)
        if executed.outcome != "ok":
            self._say(f"{REPORT} ended {executed.outcome}: {executed.error}. What is published is not touched by this.")

    def _execute(self, step: Step, stop: Stop) -> Executed:
        self._say.begins(step.name)
        parameters = _parameters(self._order.parameters, step, str(self.run_dir), self._order.scratch)
        executed = _archived(
            NOTEBOOKS / f"{step.stage}.ipynb",
            self.run_dir / f"{step.name}.ipynb",
            parameters,
            timeout_s=self._profile.stage_timeout_s,
            stop=stop,
            redactor=self._redactor,
            about=NotebookInfo(self._record.run_id, self._n, step.stage, step.table),
            # Only a notebook that is told so may publish for this attempt.
            env={ATTEMPT: attempt_name(self.run_dir) or "", **self._order.env},
        )
        self._log({"event": "stage", "stage": step.name, "outcome": executed.outcome, "seconds": executed.seconds})
        why = f": {executed.error}" if executed.error else ""
        self._say.ends(step.name, f"{executed.outcome}, {executed.seconds:.1f} s{why}")
        return executed

    def _note(self, step: Step, executed: Executed | None) -> None:
        """Enter a notebook in the record, with what its scraps say."""
        entry = {
            "stage": step.stage,
            "table": step.table,
            "path": f"{self._n}/{step.name}.ipynb" if executed and executed.sha256 else None,
            "sha256": (executed.sha256 or None) if executed else None,
            "outcome": executed.outcome if executed else "not started",
            "seconds": round(executed.seconds, 3) if executed else None,
        }
        said = executed.scraps.get("receipt", {}) if executed else {}

        def alter(data: Json) -> None:
            data["attempts"][-1]["notebooks"].append(entry)
            data["redactions"] += executed.redactions if executed else 0
            data["load"] = added(data["load"], said.get("load", []))
            paths = {read["path"] for read in said.get("inputs", [])}
            data["published"] += said.get("published", [])
            data["inputs"] = [read for read in data["inputs"] if read["path"] not in paths] + said.get("inputs", [])

        self._record.change(alter)

    def _unfinished(self, step: Step, executed: Executed, known: Sequence[Task], stop: Stop) -> list[Task]:
        """Say of every task that was to pass through a stage that did not get there what became of it."""
        if stop.is_set():
            name = stop.signal or "a stop"
            verdict: dict[str, Any] = {
                "outcome": "skipped",
                "message": f"the run was ended by {name} during {step.name}. What was published before stays as it "
                f"was; 'run_all.py repair {self._record.run_id}' does the rest.",
            }
        else:
            reason: Reason = "timeout" if executed.outcome == "timeout" else "stage_died"
            if not executed.sha256:
                reason = "storage"
            cell = f", cell {executed.cell}" if executed.cell else ""
            verdict = {
                "outcome": "failed",
                "reason": reason,
                "message": f"{step.name} ended {executed.outcome}{cell}: {executed.error}. What was published before "
                f"stays as it was; 'run_all.py repair {self._record.run_id}' tries again.",
                "place": f"{self._n}/{step.name}.ipynb{f'#{executed.cell}' if executed.cell else ''}",
            }
        landed = self._landed() if step.table else set()

        def judged(task: Task) -> Task:
            if task.outcome not in (None, "ok", "suspect"):
                return task
            if landed is None:
                message = f"{verdict['message']} The catalog could not be asked whether this was published."
                return replace(task, outcome="failed", reason="publish_unknown", message=message, published="unknown")
            if task.id in landed:
                return replace(task, outcome=task.outcome or "ok", published="yes")
            return replace(task, **verdict)

        return [judged(task) for task in known]

    def _landed(self) -> set[str] | None:
        """Return the tasks whose rows readers see though the notebook never said so; None where it is not known."""
        settings = (
            scratch_warehouse(self._profile, self._record.run_id) if self._order.scratch else self._profile.warehouse
        )
        try:
            with Warehouse.open(settings) as warehouse:
                tasks, published = landed(warehouse, self._profile, self._record.run_id, self._n)
        except TaskError:
            return None
        self._record.change(lambda data: data["published"].extend(published))
        return tasks

    def _merge(self, tasks: Sequence[Task]) -> None:
        entries = {task.id: task.as_recorded(self._n) for task in tasks}

        def alter(data: Json) -> None:
            known = {entry["id"] for entry in data["tasks"]}
            data["tasks"] = [entries.get(entry["id"], entry) for entry in data["tasks"]]
            data["tasks"] += [entry for name, entry in entries.items() if name not in known]

        self._record.change(alter)

    def _log(self, event: dict[str, Any]) -> None:
        line = json.dumps({"at": now(), **event}, ensure_ascii=False)
        path = self.run_dir / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror}).", place=str(path)) from None


def _archived(
    notebook: Path, output: Path, parameters: Mapping[str, Any], *, about: NotebookInfo, **how: Any
) -> Executed:
    """Execute a notebook; where it cannot be written into the archive, that is how it ended, with no checksum."""
    try:
        return execute(notebook, output, parameters, about=about, **how)
    except StorageError as error:
        return Executed(about.stage, output, "", "failed", 0.0, None, error.message, None, 0, {})


def _unsettled(task: Task) -> Task:
    """Return the task as the record has it before 40_write_parquet: what is not published yet has no outcome."""
    return replace(task, outcome=None, message=None) if task.outcome in ("ok", "suspect") else task


def parameters_of_run(profile: Profile) -> dict[str, dict[str, Any]]:
    """Return by notebook the parameters that a run of this profile would give it, with nothing particular in them."""
    common = {"profile": "", "games": [], "metrics": [], "date_from": "", "date_to": "", "run_timestamp": ""}
    steps = [step for name in profile.pipelines for step in BRANCHES[name]]
    return {step.stage: _parameters(common, step, "", False) for step in (*steps, Step(REPORT, ""))}


def _parameters(common: Mapping[str, Any], step: Step, run_dir: str, scratch: bool) -> dict[str, Any]:
    table = {"table": step.table} if step.table else {}
    return {**common, "run_dir": run_dir, "scratch": scratch, **table}
