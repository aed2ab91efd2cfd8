"""One attempt of a run: its stages in order, two branches side by side, and the record true at every step.

Source of the rules: docs/spec/runs_and_archive.md, "Stages and attempts".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmama_nb.errors import Reason, StorageError, TaskError, UsageError
from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.executor.execute import Executed, NotebookInfo, check_parameters
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.profile import Profile
from bigmama_nb.project import notebooks_of
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.evidence import keep
from bigmama_nb.runs.landed import landed
from bigmama_nb.runs.record import REPORT, AttemptEntry, NotebookEntry, Record, RunRecord, added, now
from bigmama_nb.runs.scratch import PROFILE, person
from bigmama_nb.runs.services import Say, Services
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task

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
    """How an attempt is done: by which verb and why, how many notebooks at once, and what it may publish."""

    verb: str = "run"
    jobs: int = 2
    allow_empty: bool = False
    release: bool = False
    over: bool = False
    reason: str | None = None


class Attempt:
    """The n-th pass over the stages of a run, for the tasks that it is to do."""

    def __init__(
        self,
        record: Record,
        profile: Profile,
        settings: AttemptSettings,
        redactor: Redactor,
        say: Say,
        services: Services,
    ) -> None:
        self._record = record
        self._profile = profile
        self._settings = settings
        self._redactor = redactor
        self._say = say
        self._services = services
        run = record.run
        self._scratch = run.scratch
        self._n = len(run.attempts) + 1
        self.run_dir = record.run_dir / str(self._n)
        self._common = {
            "profile": str(profile.path),
            "games": run.games,
            "metrics": run.metrics,
            "date_from": run.first,
            "date_to": run.last,
            "run_dir": str(self.run_dir),
            "run_id": run.run_id,
            "attempt": self._n,
            "run_timestamp": run.run_timestamp,
            "scratch": run.scratch,
            "allow_empty": settings.allow_empty,
            "release": settings.release,
        }

    @property
    def n(self) -> int:
        """The attempt's number, from 1."""
        return self._n

    def run(
        self,
        tasks: Sequence[Task],
        stop: Stop,
        *,
        extracted: Sequence[Task] | None = None,
        normalized: Sequence[Task] | None = None,
    ) -> None:
        """Do the tasks; every one has an outcome in the record afterwards.

        Args:
            tasks: without any, only the report is made again.
            extracted: where the sources were asked already, what they answered: 10_extract shows it.
            normalized: where the attempt begins at 40_write_parquet, what 20_normalize would hand over.

        Raises:
            StorageError: the record or the hand-over cannot be written.
        """
        (self.run_dir / "data").mkdir(parents=True, exist_ok=True)
        replace_file(self.run_dir / PROFILE, self._profile.content)
        artifacts.write_tasks(self.run_dir, artifacts.PLANNED, tasks)
        if extracted is not None:
            artifacts.write_tasks(self.run_dir, artifacts.EXTRACTED, extracted)
        if normalized is not None:
            live = normalized[0].pipeline == "live_play"
            artifacts.write_tasks(self.run_dir, artifacts.BUILT if live else artifacts.NORMALIZED, normalized)
        started = AttemptEntry(
            n=self._n,
            verb=self._settings.verb,
            person=person(),
            profile_sha256=self._profile.sha256,
            pid=os.getpid(),
            started_at=now(),
            heartbeat_at=now(),
            over=self._settings.over,
            reason=self._settings.reason,
        )
        # What is held stays held until it is released: whoever takes this attempt over finishes the release.
        releasing = self._settings.release
        begun = [task if releasing and task.held else _unsettled(task) for task in tasks]

        def begin(run: RunRecord) -> None:
            run.attempts.append(started)
            run.replace_tasks(map(self._mine, begun))

        self._record.change(begin)
        branches = {task.pipeline for task in tasks}
        with ThreadPoolExecutor(max(1, min(self._settings.jobs, 2)), "branch") as pool:
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
        self._report(stop)
        files = keep(self.run_dir)

        def end(run: RunRecord) -> None:
            run.attempts[-1].files = files
            run.attempts[-1].ended_at = now()
            run.attempts[-1].signal = stop.signal

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

    def _report(self, stop: Stop) -> None:
        step = Step(REPORT, "")
        # What became of every task so far, for the report to show.
        artifacts.write_tasks(self.run_dir, artifacts.OUTCOMES, self._record.run.tasks)
        executed = self._execute(step, stop)
        self._note(step, executed)
        if executed.outcome != "ok":
            self._say(f"{REPORT} ended {executed.outcome}: {executed.error}. What is published is not touched by this.")

    def _execute(self, step: Step, stop: Stop) -> Executed:
        self._say.begins(step.name)
        executed = self._archived(
            notebooks_of(self._profile.path) / f"{step.stage}.ipynb",
            self.run_dir / f"{step.name}.ipynb",
            _parameters(self._common, step),
            timeout_s=self._profile.stage_timeout_s,
            stop=stop,
            redactor=self._redactor,
            about=NotebookInfo(self._record.run_id, self._n, step.stage, step.table),
        )
        self._log({"event": "stage", "stage": step.name, "outcome": executed.outcome, "seconds": executed.seconds})
        why = f": {executed.error}" if executed.error else ""
        self._say.ends(step.name, f"{executed.outcome}, {executed.seconds:.1f} s{why}")
        return executed

    def _archived(
        self, notebook: Path, output: Path, parameters: Mapping[str, Any], *, about: NotebookInfo, **how: Any
    ) -> Executed:
        """Execute a notebook; where it is not one, or cannot be archived, that is how it ended, with no checksum."""
        try:
            return self._services.execute(notebook, output, parameters, about=about, **how)
        except StorageError as error:
            return Executed(about.stage, output, "", "failed", 0.0, None, error.message, None, 0, {})
        except UsageError as error:
            why = "\n".join(error.found).rstrip(".")
            return Executed(about.stage, output, "", "not started", 0.0, None, why, None, 0, {})

    def _note(self, step: Step, executed: Executed | None) -> None:
        """Enter a notebook in the record, with what its scraps say."""
        entry = NotebookEntry(
            stage=step.stage,
            table=step.table,
            path=f"{self._n}/{step.name}.ipynb" if executed and executed.sha256 else None,
            sha256=(executed.sha256 or None) if executed else None,
            outcome=executed.outcome if executed else "not started",
            seconds=round(executed.seconds, 3) if executed else None,
            error=executed.error if executed else None,
        )
        said = executed.scraps.get("receipt", {}) if executed else {}

        def alter(run: RunRecord) -> None:
            run.attempts[-1].notebooks.append(entry)
            run.redactions += (executed.redactions if executed else 0) + said.get("redactions", 0)
            run.load = added(run.load, said.get("load", []))
            paths = {read["path"] for read in said.get("inputs", [])}
            run.published += said.get("published", [])
            run.inputs = [read for read in run.inputs if read["path"] not in paths] + said.get("inputs", [])

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
            if not executed.sha256 and executed.outcome == "failed":
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
                return task.changed(outcome="failed", reason="publish_unknown", message=message, published="unknown")
            if task.id in landed:
                return task.changed(outcome=task.outcome or "ok", published="yes")
            return task.changed(**verdict)

        return [judged(task) for task in known]

    def _landed(self) -> set[str] | None:
        """Return the tasks whose rows readers see though the notebook never said so; None where it is not known."""
        try:
            tasks, published = landed(self._profile, self._record.run, self._n)
        except TaskError:
            return None
        self._record.change(lambda run: run.published.extend(published))
        return tasks

    def _merge(self, tasks: Sequence[Task]) -> None:
        mine = [self._mine(task) for task in tasks]
        self._record.change(lambda run: run.replace_tasks(mine))

    def _mine(self, task: Task) -> Task:
        return task if task.attempt == self._n else task.changed(attempt=self._n)

    def _log(self, event: dict[str, Any]) -> None:
        event, _ = self._redactor.document(event)
        line = json.dumps({"at": now(), **event}, ensure_ascii=False)
        path = self.run_dir / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror}).", place=str(path)) from None


def _unsettled(task: Task) -> Task:
    """Return the task as the record has it before 40_write_parquet: what is not published yet has no outcome."""
    return task.changed(outcome=None, message=None) if task.outcome in ("ok", "suspect") else task


def parameters_of_run(profile: Profile) -> dict[str, dict[str, Any]]:
    """Return by notebook the parameters that a run of this profile would give it, with nothing particular in them."""
    texts = dict.fromkeys(("profile", "date_from", "date_to", "run_dir", "run_id", "run_timestamp"), "")
    flags = dict.fromkeys(("scratch", "allow_empty", "release"), False)
    common: dict[str, Any] = {**texts, "games": [], "metrics": [], "attempt": 1, **flags}
    steps = [step for name in profile.pipelines for step in BRANCHES[name]]
    return {step.stage: _parameters(common, step) for step in (*steps, Step(REPORT, ""))}


def require_notebooks(profile: Profile) -> None:
    """Refuse a run before it begins where a notebook does not take what the run would give it; raises UsageError."""
    for stage, parameters in parameters_of_run(profile).items():
        check_parameters(notebooks_of(profile.path) / f"{stage}.ipynb", parameters)


def _parameters(common: Mapping[str, Any], step: Step) -> dict[str, Any]:
    return {**common, "table": step.table} if step.table else dict(common)
