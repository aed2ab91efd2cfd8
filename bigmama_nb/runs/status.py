"""`game_metric_status`: what readers are told of every figure that a run asked for.

40_write_parquet publishes it in the move of the figures; what it could not know, the run's end publishes.
Source of the rules: docs/spec/publishing.md, "What became of it".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from bigmama_nb.errors import DamagedError
from bigmama_nb.profile import Profile
from bigmama_nb.project import as_called
from bigmama_nb.runs.record import Json, RunRecord
from bigmama_nb.runs.scratch import warehouse_of
from bigmama_nb.runs.task import Task, by_partition
from bigmama_nb.tables import game_metric_status
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Group, Writer, records
from bigmama_nb.warehouse.publish import Incoming, publish_keyed
from bigmama_nb.warehouse.version import rows_of

LOCK_WAIT_S = 10.0
"""How long a run that is over waits for the table's lock: its own figures are settled, and a repair tells the rest."""

Row = Mapping[str, Any]

_IDS = re.compile(r"_id = .*(?=; (?:tell them apart|expected ))", re.DOTALL)
"""A document's id in a message: the archive's readers may see it, the table's may be anybody."""


def incoming(table: Table, tasks: Iterable[Task], run_id: str, at: datetime) -> dict[str, Incoming]:
    """Return by partition the rows that say what became of `tasks`, each of which replaces what was said before."""
    schema = table.arrow_schema()
    return {
        partition: Incoming(
            pa.Table.from_pylist([{**_said(task), "run_id": run_id, "updated_dt": at} for task in those], schema),
            {
                (str(task.game_cd), str(task.type)): Group((ask := task.ask).through, ask.final, "run.json")
                for task in those
            },
            over=True,
        )
        for partition, those in by_partition(tasks).items()
    }


def _said(task: Task) -> dict[str, str | None]:
    return {
        "game_cd": task.game_cd,
        "type": task.type,
        "outcome": task.outcome,
        "reason": task.reason,
        "message": None if task.message is None else _IDS.sub("_id as the run's record says", task.message),
    }


def tell(profile: Profile, run: RunRecord) -> list[Json]:
    """Publish what became of a run's figures where the table does not say so yet; return the entries of `published[]`.

    What another run said since the task's attempt began stays.

    Raises:
        TaskError: it could not be published; what the table says of these figures is older than the run.
        UsageError: the profile names no warehouse that can be opened.
    """
    # A hint names the profile, here as in the record.
    tasks = [
        task.changed(message=as_called(task.message, run.profile.path)) if task.message else task
        for task in run.tasks
        if task.pipeline == "game_metric" and task.outcome is not None
    ]
    if not tasks or not run.attempts:
        return []
    settings = warehouse_of(profile, run.run_id, scratch=run.scratch)
    settings = settings.model_copy(update={"lock_wait_s": min(settings.lock_wait_s, LOCK_WAIT_S)})
    table = game_metric_status.CONTRACT.in_database(settings.database)
    with Warehouse.open(settings) as warehouse:
        stands = _stands(warehouse, table, sorted({f"dt={task.dt}" for task in tasks}))
        untold = [task for task in tasks if not _is_told(run, task, stands.get(task.id))]
        rows = incoming(table, untold, run.run_id, warehouse.clock())
        done = publish_keyed(warehouse, table, rows, Writer(run.run_id, run.attempts[-1].n, "")) if rows else {}
    return [one.record() for one in done.values()]


def _stands(warehouse: Warehouse, table: Table, partitions: Sequence[str]) -> dict[str, Row]:
    """Return by task what the table says now; of a damaged partition nothing is known."""
    pointers = warehouse.catalog.current(table.full_name, partitions)
    known = records(warehouse, table.full_name, pointers.values(), skip_damaged=True)

    def read(partition: str) -> list[tuple[str, Row]]:
        try:
            rows = rows_of(warehouse, table, pointers[partition], known.get(partition)).to_pylist()
        except DamagedError:
            return []
        return [(f"{row['game_cd']}/{row['type']}/{partition.partition('=')[2]}", row) for row in rows]

    return dict(one for rows in warehouse.each(read, pointers) for one in rows)


def _is_told(run: RunRecord, task: Task, row: Row | None) -> bool:
    if row is None:
        return False
    if row["run_id"] == run.run_id:
        said = _said(task)
        return said == {name: row[name] for name in said}
    began = next((one.started_at for one in run.attempts if one.n == task.attempt), run.attempts[-1].started_at)
    return bool(row["updated_dt"] >= datetime.fromisoformat(began))
