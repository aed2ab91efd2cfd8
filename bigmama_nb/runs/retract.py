"""One row taken out of the table, as a run of its own with its reason."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bigmama_nb.errors import NOTHING_DONE, TaskError, UsageError
from bigmama_nb.periods import day_of
from bigmama_nb.profile import Profile
from bigmama_nb.runs.plan import Grid, Request, published_throughs
from bigmama_nb.runs.record import AttemptEntry, Json, Record, RunRecord, now
from bigmama_nb.runs.run import Options, begin, ended, recorded
from bigmama_nb.runs.scratch import person
from bigmama_nb.runs.services import Operator
from bigmama_nb.runs.task import Task
from bigmama_nb.tables import game_metric
from bigmama_nb.tables.game_metric_status import RETRACTED
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Writer
from bigmama_nb.warehouse.publish import retract as retract_rows


def retract(profile: Profile, game_cd: str, type_: str, dt: str, reason: str, operator: Operator) -> RunRecord:
    """Take one row out of the table, as a run of its own whose record keeps the reason; return the record.

    Raises:
        UsageError: there is no such row; no run is recorded.
        TaskError: the warehouse cannot be read; no run is recorded.
    """
    table = game_metric.CONTRACT.in_database(profile.warehouse.database)
    day = day_of(dt)
    name = f"{game_cd}/{type_}/{day:%Y%m%d}"
    if (game_cd, type_, f"{day:%Y%m%d}") not in published_throughs(profile.warehouse):
        raise UsageError(
            f"{table.full_name} holds no row {name}",
            state=NOTHING_DONE,
            step=f"'run_all.py who-wrote {table.name} dt={day:%Y%m%d}' shows what it holds",
        )
    request = Request(day.isoformat(), day.isoformat(), (game_cd,), (type_,))
    task = Task(
        id=name, pipeline="game_metric", game_cd=game_cd, type=type_, dt=f"{day:%Y%m%d}", through=day.isoformat(),
    )  # fmt: skip
    grid = Grid(day, day, ("game_metric",), (task,))
    begun = begin(profile, grid, request, Options(), operator.services.clock(), verb="retract", reason=reason)
    with recorded(begun, profile, operator) as record:
        finish_retraction(record, profile, [task], operator)
        return ended(record, profile, operator)


def finish_retraction(record: Record, profile: Profile, tasks: Sequence[Task], operator: Operator) -> None:
    """Take the rows of the tasks out of the table, as a further attempt of its run.

    A row that is not there any more is out.
    """
    if not tasks:
        return
    n = len(record.run.attempts) + 1
    reason = record.run.reason
    started = AttemptEntry(
        n=n, verb="retract", person=person(), profile_sha256=profile.sha256, pid=os.getpid(), started_at=now(),
        heartbeat_at=now(),
    )  # fmt: skip

    def begin_attempt(run: RunRecord) -> None:
        run.status, run.exit_status = "running", None
        run.attempts.append(started)

    record.change(begin_attempt)
    done: list[Json] = []
    settled = []
    for task in tasks:
        try:
            done += _taken_out(profile, task, Writer(record.run_id, n, ""), reason or "")
            settled.append(task.changed(outcome="ok", published="yes", reason=None, message=f"{RETRACTED}{reason}"))
        except TaskError as error:
            settled.append(task.failed(error))
        operator.say(f"{task.id} {'retracted' if settled[-1].outcome == 'ok' else 'failed'}")

    def note(run: RunRecord) -> None:
        run.attempts[-1].ended_at = now()
        run.published += done
        run.replace_tasks(task.changed(attempt=n) for task in settled)

    record.change(note)


def _taken_out(profile: Profile, task: Task, writer: Writer, reason: str) -> list[Json]:
    table = game_metric.CONTRACT.in_database(profile.warehouse.database)
    assert task.game_cd is not None
    assert task.type is not None
    try:
        with Warehouse.open(profile.warehouse) as warehouse:
            done = retract_rows(warehouse, table, f"dt={task.dt}", [(task.game_cd, task.type)], writer, reason)
    except UsageError:
        return []
    return [done.record()]
