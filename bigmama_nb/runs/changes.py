"""Changes of the tables that run no stage: a rollback, a recovery, a prune, each as a run with reason and person."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bigmama_nb.errors import TaskError, UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.runs.plan import Grid, Request
from bigmama_nb.runs.record import LOCKED, NOTHING, AttemptEntry, Json, Record, RunRecord, now, status
from bigmama_nb.runs.run import Options, begin, recorded
from bigmama_nb.runs.scratch import person
from bigmama_nb.runs.task import Task
from bigmama_nb.warehouse.lineage import Writer


@dataclass(frozen=True)
class Change:
    """What was changed: what is answered, what became of which partition, where they point now, what is gone."""

    answer: Any
    tasks: tuple[Task, ...] = ()
    published: tuple[Json, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed, so that there is nothing to record."""
        return not (self.tasks or self.published or self.dropped)


def partition_task(table: str, partition: str, **known: Any) -> Task:
    """Return the task of a partition that is pointed elsewhere."""
    name = table.partition(".")[2]
    day = partition.partition("=")[2]
    return Task(id=f"{name}/{day}", pipeline="tables", table=name, part_date=day, **known)


def change(profile: Profile, verb: str, reason: str | None, at: datetime, do: Callable[[Writer], Change]) -> Any:
    """Do a change of the tables as a run of its own; return what it answers.

    A change that is refused, or that changed nothing, leaves no run.

    Args:
        verb: how the run is called.
        reason: why, where a person says it.
        at: the present instant.
        do: makes the change, in the name of the writer that it is given.

    Raises:
        UsageError: it was refused, and nothing was changed.
        TaskError: it could not be done; the run is recorded as failed.
        StorageError: the archive cannot be written.
    """
    day = at.astimezone(profile.zone).date()
    failed: TaskError | None = None
    done = Change(None)
    begun = begin(profile, Grid(day, day, (), ()), Request(), Options(), at, verb=verb, reason=reason)
    with recorded(begun, profile) as record:
        record.change(lambda run: _begun(run, profile))
        try:
            done = do(Writer(record.run_id, 1, ""))
        except UsageError:
            shutil.rmtree(record.run_dir)
            raise
        except TaskError as error:
            failed = error
        if failed is None and done.is_empty:
            shutil.rmtree(record.run_dir)
        else:
            _end(record, done, failed)
    if failed is not None:
        raise failed
    return done.answer


def _begun(run: RunRecord, profile: Profile) -> None:
    run.games, run.metrics = [], []
    run.attempts.append(
        AttemptEntry(
            verb=run.verb, person=person(), profile_sha256=profile.sha256, pid=os.getpid(), started_at=now(),
            heartbeat_at=now(),
        )
    )  # fmt: skip


def _end(record: Record, done: Change, failed: TaskError | None) -> None:
    def note(run: RunRecord) -> None:
        run.tasks, run.published, run.dropped = list(done.tasks), list(done.published), list(done.dropped)
        run.attempts[-1].ended_at = now()
        run.end()
        if failed is not None:
            run.error = failed.message
            run.exit_status = LOCKED if failed.reason == "locked" else NOTHING
            run.status = status(run.exit_status)

    record.change(note)
