"""Runs from their beginning to their end, and the record that is closed however they end.

Source of the rules: docs/spec/runs_and_archive.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bigmama_nb.errors import RecordError, StorageError, TaskError, UsageError
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import one_line
from bigmama_nb.profile import Profile
from bigmama_nb.runs import archive, status
from bigmama_nb.runs.attempt import Attempt, AttemptSettings, require_notebooks
from bigmama_nb.runs.environment import describe
from bigmama_nb.runs.landed import landed
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.plan import Grid, Request
from bigmama_nb.runs.record import NOTHING, OK, PARTLY, Json, ProfileRead, Record, RunRecord, make_folder, now
from bigmama_nb.runs.scratch import person
from bigmama_nb.runs.services import Operator
from bigmama_nb.runs.task import Task
from bigmama_nb.runs.wait import publish_as_it_comes


@dataclass(frozen=True)
class Options:
    """How a run is done, beyond what it asks for."""

    jobs: int = 2
    scratch: bool = False
    allow_empty: bool = False
    run_timestamp: datetime | None = None
    wait_until: datetime | None = None
    again: bool = False
    over: bool = False


def begin(
    profile: Profile,
    grid: Grid,
    request: Request,
    options: Options,
    at: datetime,
    *,
    verb: str = "run",
    reason: str | None = None,
    of: str | None = None,
) -> Record:
    """Return a new run's record, written and locked.

    Args:
        at: the present instant.
        verb: what the run does.
        reason: why, where a person gives one.
        of: the run that it takes its figures from.

    Raises:
        StorageError: the archive cannot be written.
    """
    root = Path(profile.archive.uri)
    run_id = archive.new_run_id(at)
    run_dir = root / "runs" / run_id
    make_folder(run_dir)
    archive.note_begin(root, run_id)
    run = RunRecord(
        run_id=run_id,
        verb=verb,
        status="running",
        reason=reason,
        person=person(),
        of=of,
        profile=ProfileRead(path=str(profile.path), sha256=profile.sha256),
        pipelines=list(grid.pipelines),
        first=grid.first.isoformat(),
        last=grid.last.isoformat(),
        games=list(request.games) or list(profile.games),
        metrics=list(request.metrics) or list(profile.metrics),
        run_timestamp=(options.run_timestamp or at).isoformat(),
        scratch=options.scratch,
        allow_empty=options.allow_empty,
        again=options.again,
        over=options.over,
        environment=describe(profile),
        attempts=[],
        tasks=[task if task.attempt == 1 else task.changed(attempt=1) for task in grid.tasks],
    )
    record = Record(run_dir, run, RunLock(run_dir), Redactor.of(profile).document)
    record.change(lambda run: None)
    return record


def run(profile: Profile, grid: Grid, request: Request, options: Options, operator: Operator) -> RunRecord:
    """Do a new run and return its record.

    Raises:
        UsageError: a notebook does not take a run's parameters; nothing was run.
        StorageError: the archive cannot be written.
    """
    require_notebooks(profile)
    with recorded(begin(profile, grid, request, options, operator.services.clock()), profile, operator) as record:

        def attempt(tasks: Sequence[Task], extracted: Sequence[Task] | None = None) -> None:
            pass_over(record, profile, options, operator, tasks, extracted=extracted)

        attempt(grid.tasks)
        if options.wait_until is not None:
            publish_as_it_comes(record, profile, options.wait_until, operator, attempt)
        return ended(record, profile, operator)


def publish_figures(
    profile: Profile,
    grid: Grid,
    request: Request,
    options: Options,
    operator: Operator,
    *,
    verb: str,
    of: str,
    reason: str | None,
) -> RunRecord:
    """Publish figures that are known already, as a run of its own, and return its record.

    Args:
        grid: its tasks hold the figures.
        verb: what the run is called.
        of: the run that the figures come from.
        reason: why, where a person says it.

    Raises:
        StorageError: the archive cannot be written.
    """
    require_notebooks(profile)
    # Known, and not published yet.
    begun = replace(grid, tasks=tuple(task.changed(outcome=None) for task in grid.tasks))
    now = operator.services.clock()
    begun_record = begin(profile, begun, request, options, now, verb=verb, of=of, reason=reason)
    with recorded(begun_record, profile, operator) as record:
        tasks = [task.fresh() for task in grid.tasks]
        pass_over(record, profile, options, operator, tasks, verb=verb, normalized=grid.tasks)
        return ended(record, profile, operator)


def pass_over(
    record: Record,
    profile: Profile,
    options: Options,
    operator: Operator,
    tasks: Sequence[Task],
    *,
    verb: str = "run",
    reason: str | None = None,
    extracted: Sequence[Task] | None = None,
    normalized: Sequence[Task] | None = None,
) -> None:
    """Do tasks as a further attempt of a run; without tasks there is none.

    Args:
        verb: what the attempt is for.
        reason: why, where a person says it.
        extracted: where the sources were asked already, what they answered.
        normalized: where figures are published that are known already, these.
    """
    if not tasks:
        return
    known = normalized is not None
    settings = AttemptSettings(
        verb,
        options.jobs,
        allow_empty=options.allow_empty or known,
        release=known,
        over=options.over,
        reason=reason,
    )
    record.change(_under_way)
    attempt = Attempt(record, profile, settings, Redactor.of(profile), operator.say, operator.services)
    attempt.run(tasks, operator.stop, extracted=extracted, normalized=normalized)


def report_again(record: Record, profile: Profile, options: Options, operator: Operator) -> None:
    """Make a run's report again, as a further attempt without tasks."""
    record.change(_under_way)
    settings = AttemptSettings("repair", options.jobs)
    Attempt(record, profile, settings, Redactor.of(profile), operator.say, operator.services).run([], operator.stop)


def _under_way(run: RunRecord) -> None:
    run.status, run.exit_status = "running", None


@contextmanager
def recorded(record: Record, profile: Profile, operator: Operator | None = None) -> Iterator[Record]:
    """Hold a record open, and close it whatever ends the run.

    Args:
        operator: is told of a run that was under way and broke off.

    Raises:
        RecordError: in place of a StorageError or OSError, which says what is published all the same.
    """
    closed = False
    broke_off: BaseException | None = None
    try:
        with record:
            try:
                yield record
            except BaseException as error:
                broke_off = error if record.run.status == "running" else None
                with contextlib.suppress(StorageError, OSError):
                    _close(record, profile, error)
                    closed = True
                raise
    except (StorageError, OSError) as error:
        what = error.message if isinstance(error, StorageError) else f"{error.filename}: {error.strerror}."
        run = record.run
        # What the last stage published is not in a record that could not be written: the catalog knows.
        stands = landed_of(profile, run)[0]
        done = sum(task.published == "yes" or task.id in stands for task in run.tasks)
        tells = "" if closed else "the record does not tell the end of it. "
        broke_off = RecordError(
            f"{what} {record.run_id} stopped there: a run is not continued without its record. "
            f"{done:,} of {len(run.tasks):,} figures are published and stay; {tells}"
            f"'run_all.py repair {record.run_id}' finds out and does the rest once this is mended.",
            exit_status=PARTLY if done else NOTHING,
            place=error.place if isinstance(error, StorageError) else error.filename,
        )
        raise broke_off from error
    finally:
        if broke_off is not None and operator is not None:
            operator.broke_off(record.run, broke_off)


def _close(record: Record, profile: Profile, error: BaseException) -> None:
    """Say in the record what ended a run that is not over, and what became of every task."""
    if record.run.status != "running":
        return
    why = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    settle_open(record, profile, f"the run broke off by {why}")
    _tell(record, profile)

    def note(run: RunRecord) -> None:
        run.error = why
        if run.attempts and run.attempts[-1].ended_at is None:
            run.attempts[-1].ended_at = now()
        run.end()
        if run.exit_status == OK:
            run.exit_status, run.status = PARTLY, "partial"

    record.change(note)


def settle_open(record: Record, profile: Profile, why: str) -> None:
    """Give every task without an outcome one: published where the catalog says so, else skipped.

    A figure that was judged `suspect` stays that, with its message.
    """
    run = record.run
    stands, published = landed_of(profile, run)
    judged = _handed_over(record) if run.attempts else {}

    def settled(task: Task) -> Task:
        if task.held and task.id in stands:
            said = f"{task.message} Released by attempt {run.attempts[-1].n}."
            return task.changed(published="yes", message=said)
        if task.outcome is not None:
            return task
        known = judged.get(task.id)
        if task.id in stands and known is not None and known.outcome in ("ok", "suspect"):
            return known.changed(attempt=task.attempt, published="yes")
        if task.id in stands:
            return task.changed(outcome="ok", published="yes")
        return task.changed(outcome="skipped", message=f"{why}. 'run_all.py repair {run.run_id}' does the rest.")

    def note(run: RunRecord) -> None:
        known = {(one["table"], one["partition"], one["version"]) for one in run.published}
        run.published += [one for one in published if (one["table"], one["partition"], one["version"]) not in known]
        run.tasks = [settled(task) for task in run.tasks]

    record.change(note)


def _handed_over(record: Record) -> dict[str, Task]:
    """Return what the last attempt's stages said of its tasks before they were published."""
    from bigmama_nb.runs import artifacts

    folder = record.run_dir / str(record.run.attempts[-1].n)
    found: dict[str, Task] = {}
    for name in (artifacts.NORMALIZED, artifacts.BUILT):
        if artifacts.exists(folder, name):
            with contextlib.suppress(StorageError):
                found |= {task.id: task for task in artifacts.read_tasks(folder, name)}
    return found


def landed_of(profile: Profile, run: RunRecord) -> tuple[set[str], list[dict[str, object]]]:
    """Return what the last attempt published; nothing where the warehouse cannot say: doing it again is safe."""
    if not run.attempts:
        return set(), []
    try:
        return landed(profile, run, run.attempts[-1].n)
    except TaskError:
        return set(), []


def ended(record: Record, profile: Profile, operator: Operator) -> RunRecord:
    """Tell readers what became of every figure, close the run's record, and return it."""
    _tell(record, profile)
    record.change(lambda run: run.end(operator.stop.signum))
    if (why := record.run.status_error) is not None:
        operator.say(f"game_metric_status does not tell what became of this run: {why}")
    return record.run


def _tell(record: Record, profile: Profile) -> None:
    """Publish what `game_metric_status` does not say of the run yet; what keeps it from that stands in the record."""
    done: list[Json] = []
    why = None
    try:
        done = status.tell(profile, record.run)
    except (TaskError, UsageError) as error:
        done = [one.record() for one in getattr(error, "published", ())]
        why = str(error)

    def note(run: RunRecord) -> None:
        run.published += done
        run.status_error = why

    record.change(note)
