"""A run done again from what it recorded, in a scratch warehouse, and whether the same comes out.

Metrics begin with the figures that 10_extract handed over, live viewing with its sources as they are now. The archived
notebooks are executed, with their parameters and the profile as the run read it.
Source of the rules: docs/spec/runs_and_archive.md, "Doing a run again".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import NOTHING_DONE, StorageError, UsageError
from bigmama_nb.executor.execute import Executed
from bigmama_nb.profile import Profile, read
from bigmama_nb.profile.document import parsed, spelled
from bigmama_nb.runs import archive, artifacts
from bigmama_nb.runs.inputs import changed_inputs
from bigmama_nb.runs.plan import Grid, Request
from bigmama_nb.runs.record import AttemptEntry, Json, Record, RunRecord
from bigmama_nb.runs.run import Options, begin, ended, pass_over, recorded
from bigmama_nb.runs.scratch import PROFILE, replay_folder, warehouse_of
from bigmama_nb.runs.seeds import seed
from bigmama_nb.runs.services import Operator
from bigmama_nb.runs.task import Task
from bigmama_nb.tables import game_metric_status
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.storage.protocol import join, name_of
from bigmama_nb.warehouse.version import readable

COLLECTS = ("run", "repair")
PUBLISHES = ("release", "republish")
SAME_MACHINERY = ("package", "git", "python", "packages", "engine")
"""What of a run's environment must be the same for its bytes to be the same."""


@dataclass(frozen=True)
class Replayed:
    """What a replay says: whether the same came out, told by `bytes` or by `rows`, and what differs first.

    `notebooks`: the folder of the replay's own archive.
    """

    same: bool
    by: str
    first_difference: str | None
    changed_inputs: tuple[str, ...]
    notebooks: Path

    def as_json(self) -> Json:
        """Return same, by, first_difference, changed_inputs, notebooks."""
        return {**vars(self), "changed_inputs": list(self.changed_inputs), "notebooks": str(self.notebooks)}


def replay(profile: Profile, run_id: str, operator: Operator) -> Replayed:
    """Do a run again in a scratch folder, and compare what it publishes with what was published then.

    Raises:
        UsageError: the run is under way, executed no notebook, or its hand-overs are no longer there.
        StorageError: no scratch folder can be made.
    """
    root = Path(profile.archive.uri)
    run = archive.read(root, run_id)
    run_dir = root / "runs" / run_id
    attempts = _attempts(run, run_dir)
    folder = replay_folder(profile, archive.new_run_id(operator.services.clock()))
    own = _apart(run, run_dir / str(attempts[-1].n), folder)
    now = operator.services.clock()
    with recorded(_begun(own, run, now), own) as record:
        _seed(profile, own, run, record)
        for attempt in attempts:
            _pass(record, own, run_dir, attempt, operator)
        again = ended(record, own, operator)
    changed = tuple(changed_inputs(own, run))
    with (
        Warehouse.open(warehouse_of(profile, run_id, scratch=run.scratch)) as there,
        Warehouse.open(warehouse_of(own, again.run_id, scratch=True)) as here,
    ):
        by, differs = _compared(run, again, there, here)
    if differs is None:
        shutil.rmtree(here.settings.uri, ignore_errors=True)
    return Replayed(differs is None, by, differs, changed, folder / "runs" / again.run_id)


def _attempts(run: RunRecord, run_dir: Path) -> list[AttemptEntry]:
    if run.status == "running":
        raise UsageError(f"{run.run_id} is under way", state=NOTHING_DONE, step="replay it when it has ended")
    done = [
        one
        for one in run.attempts
        if one.verb in (*COLLECTS, *PUBLISHES) and artifacts.exists(run_dir / str(one.n), artifacts.PLANNED)
    ]
    if not done:
        raise UsageError(
            f"{run.run_id} is a {run.verb} that executed no notebook, or what its stages handed over is gone",
            state=NOTHING_DONE,
            step="'run_all.py runs list' names other runs",
        )
    return done


def _apart(run: RunRecord, attempt: Path, folder: Path) -> Profile:
    """Return the profile as the attempt read it, with an archive of its own, and telling nobody."""
    try:
        document = parsed(Path(run.profile.path), (attempt / PROFILE).read_bytes())
    except OSError as error:
        raise UsageError(f"{attempt / PROFILE}: cannot be read ({error.strerror})", state=NOTHING_DONE) from None
    document["archive"] = {"uri": str(folder)}
    for name in ("notify", "notify_on", "metrics_textfile"):
        document.pop(name, None)
    return read(run.profile.path, spelled(document))


def _begun(own: Profile, run: RunRecord, now: datetime) -> Record:
    request = Request(run.first, run.last, tuple(run.games), tuple(run.metrics))
    tasks = tuple(task.fresh() for task in run.tasks)
    grid = Grid(date.fromisoformat(run.first), date.fromisoformat(run.last), tuple(run.pipelines), tasks)
    return begin(own, grid, request, _options(run), now, verb="replay", of=run.run_id)


def _options(run: RunRecord) -> Options:
    instant = datetime.fromisoformat(run.run_timestamp)
    return Options(scratch=True, allow_empty=run.allow_empty, run_timestamp=instant, again=run.again, over=run.over)


def _seed(profile: Profile, own: Profile, run: RunRecord, record: Record) -> None:
    with (
        Warehouse.open(warehouse_of(profile, run.run_id, scratch=run.scratch)) as there,
        Warehouse.open(warehouse_of(own, record.run_id, scratch=True)) as here,
    ):
        seed(there, here, run, own)


def _pass(record: Record, own: Profile, run_dir: Path, attempt: AttemptEntry, operator: Operator) -> None:
    """Do an attempt again with the notebooks that it left, from the hand-over that it began with."""
    folder = run_dir / str(attempt.n)
    tasks = artifacts.read_tasks(folder, artifacts.PLANNED)
    handed: dict[str, Sequence[Task]] = {}
    if attempt.verb in PUBLISHES:
        live = bool(tasks) and tasks[0].pipeline == "live_play"
        handed["normalized"] = artifacts.read_tasks(folder, artifacts.BUILT if live else artifacts.NORMALIZED)
    elif artifacts.exists(folder, artifacts.EXTRACTED):
        handed["extracted"] = artifacts.read_tasks(folder, artifacts.EXTRACTED)
    execute = partial(_as_archived, operator.services.execute, folder)
    services = replace(operator.services, execute=execute)
    options = replace(_options(record.run), over=attempt.over or record.run.over)
    operator = replace(operator, services=services)
    pass_over(record, own, options, operator, tasks, verb=attempt.verb, reason=attempt.reason, **handed)


def _as_archived(
    execute: Callable[..., Executed], attempt: Path, notebook: Path, output: Path, *given: Any, **how: Any
) -> Executed:
    kept = attempt / output.name
    return execute(kept if kept.is_file() else notebook, output, *given, **how)


def _compared(run: RunRecord, again: RunRecord, there: Warehouse, here: Warehouse) -> tuple[str, str | None]:
    """Return whether bytes or rows were compared, and what differs first; None where nothing does."""
    before, after = _published(run), _published(again)
    unlike = [place for place in before if _hashes(before[place]) != _hashes(after.get(place))]
    alike = all(run.environment.get(name) == again.environment.get(name) for name in SAME_MACHINERY)
    by = "bytes" if alike or not unlike else "rows"
    differs = next(_of_tasks(run, again), None)
    if differs is None and (more := next((place for place in after if place not in before), None)) is not None:
        differs = f"{' '.join(more)}: not published then, published now"
    for place in unlike:
        differs = differs or _of_partition(place, before[place], after.get(place), there, here, by)
    return by, differs


def _published(run: RunRecord) -> dict[tuple[str, str], Json]:
    """Return the last version of each partition; what is told of figures bears the instant of the telling."""
    told = game_metric_status.CONTRACT.name
    places = {(one["table"], one["partition"]): one for one in run.published}
    return {place: one for place, one in places.items() if not place[0].endswith(f".{told}")}


def _hashes(version: Json | None) -> list[str]:
    return [file["sha256"] for file in version["files"]] if version else []


def _of_tasks(run: RunRecord, again: RunRecord) -> Iterator[str]:
    now = {task.id: task for task in again.tasks}
    for task in run.tasks:
        other = now.get(task.id)
        if other is None:
            yield f"{task.id}: {task.outcome}, not done now"
        elif task.succeeded != other.succeeded or task.held != other.held:
            why = f": {other.message}" if other.message else ""
            yield f"{task.id}: {task.outcome}, now {other.outcome}{why}"
        elif task.value != other.value:
            yield f"{task.id}: {task.value}, now {other.value}"
        elif task.rows != other.rows:
            yield f"{task.id}: {task.rows} rows, now {other.rows}"


def _of_partition(
    place: tuple[str, str], before: Json, after: Json | None, there: Warehouse, here: Warehouse, by: str
) -> str | None:
    """Return what differs in a partition whose bytes do; None where rows are compared and are the same."""
    name = " ".join(place)
    if after is None:
        return f"{name}: published then, not published now"
    try:
        old, new = _rows(there, before), _rows(here, after)
    except StorageError:
        return f"{name}: other bytes, and {name_of(before['version'])} does not stand any more to compare its rows"
    if old.schema.names != new.schema.names:
        return f"{name}: columns {', '.join(old.schema.names)}, now {', '.join(new.schema.names)}"
    if old.num_rows != new.num_rows:
        return f"{name}: {old.num_rows} rows, now {new.num_rows}"
    by_all = [(column, "ascending") for column in old.schema.names]
    old, new = old.sort_by(by_all), new.sort_by(by_all)
    for column in old.schema.names:
        if old[column] != new[column]:
            return f"{name}: column {column} differs"
    return None if by == "rows" else f"{name}: the same rows in other bytes"


def _rows(warehouse: Warehouse, version: Json) -> pa.Table:
    parts = []
    for file in version["files"]:
        location = join(warehouse.settings.uri, file["path"])
        with readable(location):
            parts.append(pq.ParquetFile(pa.BufferReader(warehouse.storage.read(location))).read())
    return pa.concat_tables(parts)
