"""Runs from their beginning to their end: a new one, its repair, the release of what was held, and a retraction.

Source of the rules: docs/spec/runs_and_archive.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bigmama_nb.errors import RecordError, StorageError, TaskError, UsageError
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.periods import day_of
from bigmama_nb.profile import Profile
from bigmama_nb.runs import archive, outcome
from bigmama_nb.runs.attempt import Attempt, AttemptSettings, Say
from bigmama_nb.runs.environment import describe
from bigmama_nb.runs.plan import Grid, Request, made_of, named, published_throughs
from bigmama_nb.runs.reconcile import landed
from bigmama_nb.runs.record import Json, Record, RunLock, make_folder, now
from bigmama_nb.runs.scratch import ALLOW_EMPTY, RELEASE, scratch_warehouse
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task, recorded
from bigmama_nb.runs.wait import publish_as_it_comes
from bigmama_nb.tables import game_metric
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Writer
from bigmama_nb.warehouse.publish import retract as retract_rows

FORMAT = 1


@dataclass(frozen=True)
class Options:
    """How a run is done, beyond what it asks for."""

    jobs: int = 2
    scratch: bool = False
    allow_empty: bool = False
    run_timestamp: datetime | None = None
    wait_until: datetime | None = None


def begin(
    profile: Profile, grid: Grid, request: Request, options: Options, redactor: Redactor, verb: str = "run"
) -> Record:
    """Return a new run's record, written and locked.

    Raises:
        StorageError: the archive cannot be written.
    """
    at = datetime.now(UTC)
    run_id = archive.new_run_id(at)
    run_dir = Path(profile.archive.uri) / "runs" / run_id
    make_folder(run_dir)
    data: Json = {
        "format": FORMAT,
        "run_id": run_id,
        "verb": verb,
        "status": "running",
        "exit_status": None,
        "profile": {"path": str(profile.path), "sha256": profile.sha256},
        "pipelines": list(grid.pipelines),
        "from": grid.first.isoformat(),
        "to": grid.last.isoformat(),
        "games": list(request.games) or list(profile.games),
        "metrics": list(request.metrics) or list(profile.metrics),
        "run_timestamp": (options.run_timestamp or at).isoformat(),
        "scratch": options.scratch,
        "environment": describe(profile),
        "attempts": [],
        "tasks": [task.as_recorded(1) for task in grid.tasks],
        "published": [],
        "inputs": [],
        "load": [],
        "redactions": 0,
    }
    record = Record(run_dir, data, RunLock(run_dir), redactor.document)
    record.change(lambda data: None)
    return record


def run(profile: Profile, grid: Grid, request: Request, options: Options, say: Say, stop: Stop) -> Json:
    """Do a new run and return its record.

    Raises:
        StorageError: the archive cannot be written.
    """
    redactor = Redactor.of(profile)
    with _recorded(begin(profile, grid, request, options, redactor), profile) as record:

        def attempt(tasks: Sequence[Task]) -> None:
            _attempt(record, profile, options, redactor, say, stop, tasks)

        attempt(grid.tasks)
        if options.wait_until is not None:
            publish_as_it_comes(record, profile, options.wait_until, stop, attempt, say)
        return _ended(record, stop)


def publish_figures(
    profile: Profile, grid: Grid, request: Request, options: Options, say: Say, stop: Stop, *, verb: str, note: Json
) -> Json:
    """Publish figures that are known already, as a run of its own, and return its record.

    Args:
        grid: its tasks hold the figures.
        note: what the record says beside what every record says.

    Raises:
        StorageError: the archive cannot be written.
    """
    redactor = Redactor.of(profile)
    with _recorded(begin(profile, grid, request, options, redactor, verb), profile) as record:
        record.change(lambda data: data.update(note))
        tasks = [task.fresh() for task in grid.tasks]
        _attempt(record, profile, options, redactor, say, stop, tasks, normalized=grid.tasks)
        return _ended(record, stop)


@dataclass(frozen=True)
class Repair:
    """What a repair of a run would do: the tasks to redo and those to keep, and what changed since."""

    redo: tuple[Task, ...]
    keep: tuple[Task, ...]
    warnings: tuple[str, ...]


def plan_repair(profile: Profile, data: Json) -> Repair:
    """Return what is no success in a run and so is to be redone, with warnings where profile or code changed since."""
    tasks = recorded(data)
    ill = {entry["id"] for entry in data["tasks"] if not outcome.succeeded(entry)}
    # A month that was built without a failed date is built again with it.
    ill |= {task.id for task in made_of(tasks, [task for task in tasks if task.id in ill])}
    redo = [task for task in tasks if task.id in ill]
    keep = [task for task in tasks if task.id not in ill]
    warnings = []
    if data["profile"]["sha256"] != profile.sha256:
        warnings.append(f"{profile.path.name} changed since {data['run_id']}; the repair goes by what it says now.")
    environment = describe(profile)
    for name in ("package", "git", "dirty"):
        if data["environment"][name] != environment[name]:
            before, after = data["environment"][name], environment[name]
            warnings.append(f"the code changed since {data['run_id']} ({name}: {before}, now {after}).")
    gone = [task.id for task in redo if not _configured(profile, task)]
    if gone:
        warnings.append(f"{profile.path.name} no longer configures {', '.join(gone)}; kept as they are.")
        keep += [task for task in redo if task.id in gone]
        redo = [task for task in redo if task.id not in gone]
    return Repair(tuple(redo), tuple(keep), tuple(warnings))


def repair(profile: Profile, run_id: str, options: Options, say: Say, stop: Stop) -> Json:
    """Redo just the tasks of a run that are no success, as a further attempt, and return its record.

    Raises:
        UsageError: the run is under way.
        StorageError: the archive cannot be written.
    """
    with _recorded(_reopened(profile, run_id, "repair"), profile) as record:
        planned = plan_repair(profile, record.data)
        for warning in planned.warnings:
            say(warning)
        if planned.redo:
            scratch = replace(options, scratch=bool(record.data.get("scratch")))
            _attempt(
                record, profile, scratch, Redactor.of(profile), say, stop, _through_published(profile, planned.redo)
            )
        return _ended(record, stop)


def release(profile: Profile, run_id: str, task_id: str, say: Say, stop: Stop) -> Json:
    """Publish a task that was held as suspect, as a further attempt, and return the run's record.

    Raises:
        UsageError: there is no such task, it is not held, or the run is under way.
        StorageError: the archive cannot be written, or the figures are no longer there.
    """
    with _recorded(_reopened(profile, run_id, "release"), profile) as record:
        data = record.data
        task = named(recorded(data), task_id)
        if task.outcome != "suspect" or task.published != "no":
            raise UsageError(
                f"{task_id} is {task.outcome}, published {task.published}; only a suspect that is held can be "
                "released. Nothing was done."
            )
        together = _released_with(data, task)
        held = {one.id: one for one in together if one.outcome == "suspect" and one.published == "no"}
        options = Options(scratch=bool(data.get("scratch")))
        normalized = [replace(one, outcome="ok", message=None) if one.id in held else one.fresh() for one in together]
        _attempt(record, profile, options, Redactor.of(profile), say, stop, together, normalized=normalized)

        def note(data: Json) -> None:
            for entry in data["tasks"]:
                if entry["id"] in held and entry["published"] == "yes":
                    entry["outcome"] = "suspect"
                    entry["message"] = f"{held[entry['id']].message} Released by attempt {entry['attempt']}."

        record.change(note)
        return _ended(record, stop)


def _released_with(data: Json, task: Task) -> list[Task]:
    """Return the tasks that are published together with one: of live viewing all of its date, and what follows."""
    if task.pipeline == "game_metric":
        return [task]
    date_ = str(task.part_date)
    return [one for one in recorded(data) if one.part_date in (date_, date_[:7])]


def retract(profile: Profile, game_cd: str, type_: str, dt: str, reason: str, say: Say) -> Json:
    """Take one row out of the table, as a run of its own whose record keeps the reason; return the record.

    Raises:
        UsageError: there is no such row; no run is recorded.
        TaskError: as publishing says; the run is recorded as failed.
    """
    table = game_metric.contract(profile.warehouse.database)
    day = day_of(dt)
    name = f"{game_cd}/{type_}/{day:%Y%m%d}"
    if (game_cd, type_, f"{day:%Y%m%d}") not in published_throughs(profile.warehouse):
        raise UsageError(
            f"{table.full_name} holds no row {name}. Nothing was done; 'run_all.py sql' shows what it holds."
        )
    request = Request(day.isoformat(), day.isoformat(), (game_cd,), (type_,))
    task = Task(
        id=name, pipeline="game_metric", game_cd=game_cd, type=type_, dt=f"{day:%Y%m%d}", through=day.isoformat(),
        message=f"retracted: {reason}",
    )  # fmt: skip
    grid = Grid(day, day, ("game_metric",), (task,))
    with _recorded(begin(profile, grid, request, Options(), Redactor.of(profile), "retract"), profile) as record:
        started = now()
        author = Writer(record.run_id, 1, "")
        try:
            with Warehouse.open(profile.warehouse) as warehouse:
                done = retract_rows(warehouse, table, f"dt={day:%Y%m%d}", [(game_cd, type_)], author)
            ended = replace(task, outcome="ok", published="yes")
            published = [done.record()]
        except TaskError as error:
            ended = replace(task, outcome="failed", reason=error.reason, message=error.message, place=error.place)
            published = []

        def note(data: Json) -> None:
            data["reason"] = reason
            data["attempts"] = [
                {"n": 1, "pid": os.getpid(), "started_at": started, "heartbeat_at": now(), "ended_at": now(),
                 "signal": None, "notebooks": []}
            ]  # fmt: skip
            data["tasks"], data["published"] = [ended.as_recorded(1)], published

        record.change(note)
        say(f"{name} {'retracted' if ended.outcome == 'ok' else 'failed'}")
        return _ended(record, Stop())


def _attempt(
    record: Record,
    profile: Profile,
    options: Options,
    redactor: Redactor,
    say: Say,
    stop: Stop,
    tasks: Sequence[Task],
    *,
    normalized: Sequence[Task] | None = None,
) -> None:
    data = record.data
    if not tasks:
        return
    record.change(lambda data: data.update(status="running", exit_status=None))
    parameters = {
        "profile": str(profile.path),
        "games": data["games"],
        "metrics": data["metrics"],
        "date_from": data["from"],
        "date_to": data["to"],
        "run_timestamp": data["run_timestamp"],
    }
    env = {ALLOW_EMPTY: "1"} if options.allow_empty else {}
    order = AttemptSettings(
        parameters, options.scratch, options.jobs, env if normalized is None else {ALLOW_EMPTY: "1", RELEASE: "1"}
    )
    Attempt(record, profile, order, redactor, say).run(tasks, stop, normalized=normalized)


@contextmanager
def _recorded(record: Record, profile: Profile) -> Iterator[Record]:
    """Hold a record open; where the archive cannot be written in between, say what is published all the same.

    Raises:
        RecordError: in place of a StorageError or OSError.
    """
    try:
        with record:
            yield record
    except (StorageError, OSError) as error:
        what = error.message if isinstance(error, StorageError) else f"{error.filename}: {error.strerror}."
        data = record.data
        tasks = data["tasks"]
        # What the last stage published is not in a record that could not be written: the catalog knows.
        landed = _landed(profile, data)[0] if data["attempts"] else set()
        done = sum(task["published"] == "yes" or task["id"] in landed for task in tasks)
        raise RecordError(
            f"{what}\n{record.run_id} stopped there: a run is not continued without its record. "
            f"{done:,} of {len(tasks):,} figures are published and stay; the record does not tell the end of it. "
            f"'run_all.py repair {record.run_id}' finds out and does the rest once this is mended.",
            exit_status=outcome.PARTLY if done else outcome.NOTHING,
            place=error.place if isinstance(error, StorageError) else error.filename,
        ) from error


def _ended(record: Record, stop: Stop) -> Json:
    def end(data: Json) -> None:
        data["exit_status"] = outcome.exit_status(data["tasks"], stop.signum)
        data["status"] = outcome.status(data["exit_status"])

    record.change(end)
    return record.data


def _reopened(profile: Profile, run_id: str, verb: str) -> Record:
    """Return a run's record, locked for another attempt; one that has been silent for two minutes is taken over."""
    run_dir = Path(profile.archive.uri) / "runs" / run_id
    data = archive.read(run_dir.parent.parent, run_id)
    abandoned = data["status"] == "abandoned"
    lock = RunLock(run_dir, take_over=abandoned)
    # Read again under the lock: what stood before it may have changed since.
    data = archive.read(run_dir.parent.parent, run_id)
    record = Record(run_dir, data, lock, Redactor.of(profile).document)
    if data["attempts"] and data["attempts"][-1]["ended_at"] is None:
        tasks, published = _landed(profile, data)

        def take_over(data: Json) -> None:
            last = data["attempts"][-1]
            last["ended_at"], last["abandoned"] = last["heartbeat_at"], True
            data["published"] += published
            for task in data["tasks"]:
                if task["outcome"] is None and task["id"] in tasks:
                    task["outcome"], task["published"] = "ok", "yes"
                elif task["outcome"] is None:
                    task["outcome"] = "skipped"
                    task["message"] = (
                        f"attempt {last['n']} ended without a word after {last['heartbeat_at']}; taken over by {verb}."
                    )

        record.change(take_over)
    return record


def _landed(profile: Profile, data: Json) -> tuple[set[str], list[Json]]:
    """Return what the last attempt published; nothing where the warehouse cannot say: doing it again is safe."""
    settings = scratch_warehouse(profile, data["run_id"]) if data.get("scratch") else profile.warehouse
    try:
        with Warehouse.open(settings) as warehouse:
            return landed(warehouse, profile, data["run_id"], data["attempts"][-1]["n"])
    except TaskError:
        return set(), []


def _through_published(profile: Profile, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks as they are asked now: through the published day where that is later, and nothing known yet."""
    try:
        published = published_throughs(profile.warehouse)
    except TaskError:
        published = {}
    fresh = []
    for task in tasks:
        if task.pipeline != "game_metric":
            fresh.append(task.fresh())
            continue
        ask = task.ask
        through = max(ask.through, published.get(ask.key, ask.through))
        fresh.append(Task.of_request(replace(ask, through=through, final=ask.final or through > ask.through)))
    return fresh


def _configured(profile: Profile, task: Task) -> bool:
    return task.pipeline != "game_metric" or (task.game_cd, task.type) in profile.pairs
