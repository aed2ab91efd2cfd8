"""Changes of the tables that run no stage: a rollback, a recovery, a rewrite, a prune, each a run with its reason.

Source of the rules: docs/spec/runs_and_archive.md, "Stages and attempts".
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from bigmama_nb.errors import TaskError, UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.runs.plan import Grid, Request
from bigmama_nb.runs.record import LOCKED, NOTHING, PARTLY, AttemptEntry, Json, Record, RunRecord, now, status
from bigmama_nb.runs.run import Options, begin, recorded
from bigmama_nb.runs.scratch import person
from bigmama_nb.runs.task import Task
from bigmama_nb.tables.registry import contracts
from bigmama_nb.warehouse import Warehouse, maintenance, recovery
from bigmama_nb.warehouse.commit import Published
from bigmama_nb.warehouse.lineage import Writer
from bigmama_nb.warehouse.recovery import Recovered
from bigmama_nb.warehouse.rewrite import rewrite as rewrite_table

Answer = TypeVar("Answer")


@dataclass
class Changes:
    """What was changed so far: what became of which partition, where they point now, and what is gone."""

    tasks: list[Task] = field(default_factory=list)
    published: list[Json] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    begun: Task | None = None
    """What is about to be pointed elsewhere; the record says so before it is."""
    write_begun: Callable[[Task], None] | None = None

    def begin(self, target: Published) -> None:
        """Note in the record that a partition is about to point at another version, should this be the last word."""
        self.begun = _partition_task(target.table, target.partition, message=target.version)
        if self.write_begun is not None:
            self.write_begun(self.begun)

    def point(self, stands: Published) -> None:
        """Note that a partition points at another version now."""
        task = _partition_task(stands.table, stands.partition, outcome="ok", published="yes", message=stands.version)
        self.tasks.append(task)
        self.published.append(stands.record())

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed, so that there is nothing to record."""
        return not (self.tasks or self.published or self.dropped)


def rollback(
    profile: Profile, table: str, partition: str, version: str | None, reason: str | None, at: datetime
) -> Published:
    """Point a partition at an earlier version of it (None: the one before) as a run of its own; return what stands.

    Raises:
        UsageError: there is no such table, partition or version; nothing was changed and no run is recorded.
        TaskError: it could not be done; the run is recorded as failed.
        StorageError: the archive cannot be written.
    """

    def do(writer: Writer, changes: Changes) -> Published:
        with Warehouse.open(profile.warehouse) as warehouse:
            stands = maintenance.rollback(warehouse, table, partition, writer, version, tell=changes.begin)
        changes.point(stands)
        return stands

    return change(profile, "rollback", reason, at, do)


def recover(profile: Profile, reason: str | None, at: datetime, *, only_plan: bool = False) -> list[Recovered]:
    """Point every partition at its newest whole version as a run of its own; return what was found of each.

    Where nothing had to be moved no run is recorded.

    Raises:
        TaskError: it could not be done; the run is recorded as failed.
        StorageError: the archive cannot be written.
    """

    def do(writer: Writer, changes: Changes) -> list[Recovered]:
        with Warehouse.open(profile.warehouse) as warehouse:
            found = recovery.recover(warehouse, contracts(profile), writer, only_plan=only_plan)
        changes.tasks += [_recovered(one) for one in found if one.became != "kept"]
        return found

    if only_plan:
        return do(Writer("", 1, ""), Changes())
    return change(profile, "recover", reason, at, do)


def rewrite(profile: Profile, reason: str | None, at: datetime) -> list[Published]:
    """Write all tables anew in the form that the profile asks for, as a run of its own; return what was rewritten.

    Rows, who wrote them and what was retracted are as before.

    Raises:
        TaskError: it could not be done; the run is recorded as failed, with the tables that were rewritten before.
        StorageError: the archive cannot be written.
    """

    def do(writer: Writer, changes: Changes) -> list[Published]:
        done: list[Published] = []
        with Warehouse.open(profile.warehouse) as warehouse:
            for table in contracts(profile):
                for one in rewrite_table(warehouse, table, writer):
                    changes.point(one)
                    done.append(one)
        return done

    return change(profile, "rewrite", reason, at, do)


def change(
    profile: Profile, verb: str, reason: str | None, at: datetime, do: Callable[[Writer, Changes], Answer]
) -> Answer:
    """Do a change of the tables as a run of its own; return what it answers.

    A change that is refused, or that changed nothing, leaves no run.

    Args:
        verb: how the run is called.
        reason: why, where a person says it.
        at: the present instant.
        do: makes the change in the name of the writer that it is given, and notes what it changed as it goes.

    Raises:
        UsageError: it was refused, and nothing was changed.
        TaskError: it could not be done; the run is recorded as failed.
        StorageError: the archive cannot be written.
    """
    day = at.astimezone(profile.zone).date()
    changes = Changes()
    begun = begin(profile, Grid(day, day, (), ()), Request(), Options(), at, verb=verb, reason=reason)
    with recorded(begun, profile) as record:
        record.change(lambda run: _begun(run, profile))
        changes.write_begun = lambda task: record.change(lambda run: run.replace_tasks([task]))
        try:
            answer = do(Writer(record.run_id, 1, ""), changes)
        except UsageError:
            shutil.rmtree(record.run_dir)
            raise
        except TaskError as error:
            failed = error
            for stands in error.published:
                changes.point(stands)
        else:
            if changes.is_empty:
                shutil.rmtree(record.run_dir)
            else:
                _end(record, changes, None)
            return answer
        _end(record, changes, failed)
    raise failed


def _begun(run: RunRecord, profile: Profile) -> None:
    run.games, run.metrics = [], []
    run.attempts.append(
        AttemptEntry(
            verb=run.verb, person=person(), profile_sha256=profile.sha256, pid=os.getpid(), started_at=now(),
            heartbeat_at=now(),
        )
    )  # fmt: skip


def _end(record: Record, changes: Changes, failed: TaskError | None) -> None:
    tasks = changes.tasks
    if failed is not None and changes.begun is not None and not tasks:
        tasks = [changes.begun.failed(failed)]

    def note(run: RunRecord) -> None:
        run.tasks, run.published, run.dropped = tasks, changes.published, changes.dropped
        run.attempts[-1].ended_at = now()
        run.end()
        if failed is not None:
            run.error = failed.message
            run.exit_status = PARTLY if not changes.is_empty else LOCKED if failed.reason == "locked" else NOTHING
            run.status = status(run.exit_status)

    record.change(note)


def _partition_task(table: str, partition: str, **known: Any) -> Task:
    """Return the task of a partition that is pointed elsewhere."""
    name = table.partition(".")[2]
    day = partition.partition("=")[2]
    place = f"{table} {partition}"
    return Task(id=f"{name}/{day}", pipeline="tables", table=name, part_date=day, place=place, **known)


def _recovered(one: Recovered) -> Task:
    if one.became == "damaged":
        message = f"{one.table} {one.partition}: no whole version is left; nothing was done."
        return _partition_task(one.table, one.partition, outcome="failed", reason="storage", message=message)
    return _partition_task(one.table, one.partition, outcome="ok", published="yes", message=one.version)
