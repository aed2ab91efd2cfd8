"""What is done to a run afterwards: its repair, the release of what it held, and its figures published elsewhere.

Source of the rules: docs/spec/runs_and_archive.md, "Stages and attempts".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from bigmama_nb.errors import NOTHING_DONE, TaskError, UsageError, how_many
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.periods import day_of, last_day
from bigmama_nb.profile import Profile
from bigmama_nb.runs import archive, artifacts
from bigmama_nb.runs.environment import describe
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.plan import Grid, Request, made_of, named, published_throughs
from bigmama_nb.runs.record import AGAIN, Record, RunRecord
from bigmama_nb.runs.retract import finish_retraction
from bigmama_nb.runs.run import (
    Options,
    ended,
    pass_over,
    publish_figures,
    recorded,
    report_again,
    settle_open,
)
from bigmama_nb.runs.services import Operator
from bigmama_nb.runs.task import Task


@dataclass(frozen=True)
class Repair:
    """What a repair of a run would do: the tasks to redo and those to keep, and what changed since."""

    redo: tuple[Task, ...]
    keep: tuple[Task, ...]
    warnings: tuple[str, ...]


def plan_repair(profile: Profile, run: RunRecord) -> Repair:
    """Return what is no success in a run and so is to be redone, with warnings where profile or code changed since."""
    require_repairable(run)
    ill = {task.id for task in run.tasks if not task.succeeded}
    # A month that was built without a failed date is built again with it.
    ill |= {task.id for task in made_of(run.tasks, [task for task in run.tasks if task.id in ill])}
    redo = [task for task in run.tasks if task.id in ill]
    keep = [task for task in run.tasks if task.id not in ill]
    warnings = []
    if run.profile.sha256 != profile.sha256:
        warnings.append(f"{profile.path.name} changed since {run.run_id}; the repair goes by what it says now.")
    environment = describe(profile)
    for name in ("package", "git", "dirty"):
        before, after = run.environment.get(name), environment[name]
        if before != after:
            warnings.append(f"the code changed since {run.run_id} ({name}: {before}, now {after}).")
    gone = [task.id for task in redo if not _configured(profile, task)]
    if gone:
        warnings.append(f"{profile.path.name} no longer configures {', '.join(gone)}; kept as they are.")
        keep += [task for task in redo if task.id in gone]
        redo = [task for task in redo if task.id not in gone]
    return Repair(tuple(redo), tuple(keep), tuple(warnings))


def require_repairable(run: RunRecord) -> None:
    """Refuse a run whose verb is not finished by a repair; raises UsageError."""
    if run.verb in AGAIN:
        begun = next((f" {task.place} {task.message}" for task in run.tasks if task.outcome is None), "")
        raise UsageError(
            f"{run.run_id} is a {run.verb}, which a repair does not finish",
            state=NOTHING_DONE,
            step=f"give 'run_all.py {AGAIN[run.verb]}{begun}' again",
        )


def latest_open(root: Path) -> str:
    """Return the newest run that a repair has something to do in; where none is open, the newest of all.

    Scratch runs and single changes of the tables (retract, rollback, …) are not looked at: they are named by their id.

    Raises:
        UsageError: no run is recorded.
    """
    runs = [one for one in archive.read_all(root) if isinstance(one, RunRecord)]
    for run in reversed(runs):
        if not run.scratch and run.verb in ("run", "republish") and run.status != "running" and run.is_open:
            return run.run_id
    ordinary = [run.run_id for run in runs if not run.scratch and run.verb == "run"]
    return ordinary[-1] if ordinary else archive.find(root, "latest")


def open_runs(root: Path, today: date, days: int) -> list[RunRecord]:
    """Return the runs of the last days in which something is open, oldest first; no scratch, none that is under way."""
    since = today - timedelta(days=days)
    return [
        run
        for run in archive.read_all(root)
        if isinstance(run, RunRecord)
        and not run.scratch
        and run.status != "running"
        and run.is_open
        and day_of(run.run_id[:8]) >= since
    ]


def repair(profile: Profile, run_id: str, options: Options, operator: Operator) -> RunRecord:
    """Finish what a run began: the same verb with the same inputs, as a further attempt; return its record.

    Raises:
        UsageError: the run is under way, or of a verb that has nothing to finish.
        StorageError: the archive cannot be written.
    """
    require_repairable(archive.read(Path(profile.archive.uri), run_id))
    with recorded(reopened(profile, run_id, "repair"), profile, operator) as record:
        planned = plan_repair(profile, record.run)
        for warning in planned.warnings:
            operator.say(warning)
        run = record.run
        how = replace(options, scratch=run.scratch, allow_empty=run.allow_empty, again=run.again, over=run.over)
        if record.run.verb == "retract":
            finish_retraction(record, profile, planned.redo, operator)
        elif record.run.verb == "republish":
            figures = _to_republish(record, planned.redo)
            tasks = [task.fresh() for task in figures]
            pass_over(record, profile, how, operator, tasks, verb="repair", normalized=figures)
        else:
            _repair_run(record, profile, planned.redo, how, operator)
        return ended(record, profile, operator)


def _repair_run(record: Record, profile: Profile, redo: Sequence[Task], how: Options, operator: Operator) -> None:
    """Finish a release that was begun; then collect again what else is no success."""
    begun = [task for task in redo if _release_begun(record.run, task)]
    for task in begun:
        if next(one for one in record.run.tasks if one.id == task.id).held:
            (begun_by,) = [one for one in record.run.attempts if one.n == task.attempt]
            _let_go(record, profile, task, operator, begun_by.reason, over=begun_by.over)
    rest = [task for task in redo if task not in begun and not _settled_since(record.run, task)]
    # A month that was well is built again with a date that it lacked, and not by itself.
    if not all(task.succeeded for task in rest):
        pass_over(record, profile, how, operator, _through_published(profile, rest), verb="repair")
    elif record.run.report_error is not None:
        report_again(record, profile, how, operator)


def _release_begun(run: RunRecord, task: Task) -> bool:
    return task.held and any(one.n == task.attempt and one.verb == "release" for one in run.attempts)


def _settled_since(run: RunRecord, task: Task) -> bool:
    """Whether a release settled a task that was no success when the repair was planned."""
    return not task.succeeded and next(one for one in run.tasks if one.id == task.id).succeeded


def release(
    profile: Profile, run_id: str, task_id: str, operator: Operator, reason: str | None = None, *, over: bool = False
) -> RunRecord:
    """Publish a task that was held as suspect, as a further attempt, and return the run's record.

    Where it cannot be published it stays held, and may be released again; so it is, unless `over`, where somebody else
    published it since.

    Raises:
        UsageError: there is no such task, it is not held, or the run is under way.
        StorageError: the archive cannot be written, or the figures are no longer there.
    """
    with recorded(reopened(profile, run_id, "release"), profile, operator) as record:
        task = named(record.run.tasks, task_id)
        if not task.held:
            raise UsageError(
                f"{task_id} is {task.outcome}, published {task.published}; only a suspect that is held can be released",
                state=NOTHING_DONE,
            )
        _let_go(record, profile, task, operator, reason, over=over)
        return ended(record, profile, operator)


def _let_go(
    record: Record, profile: Profile, task: Task, operator: Operator, reason: str | None = None, *, over: bool = False
) -> None:
    run = record.run
    together = _released_with(run, task)
    held = {one.id: one for one in together if one.held}
    n = len(run.attempts) + 1
    why = f" Released by attempt {n}{f' ({reason})' if reason else ''}."
    figures = _as_found(record.run_dir, list(held.values()), why)
    normalized = [figures[one.id] if one.id in held else one.fresh() for one in together]
    options = Options(scratch=run.scratch, over=over)
    pass_over(record, profile, options, operator, together, verb="release", reason=reason, normalized=normalized)

    def note(run: RunRecord) -> None:
        for one in list(run.tasks):
            before = held.get(one.id)
            if before is None:
                continue
            if one.published == "yes":
                run.replace_tasks([one.changed(outcome="suspect", message=f"{before.message}{why}")])
            elif one.published == "no":
                # What was held is held still, and says why it was not published.
                said = _once_more(before, one, n)
                run.replace_tasks([before.changed(reason=one.reason, place=one.place, attempt=n, message=said)])

    record.change(note)


def _as_found(run_dir: Path, held: Sequence[Task], why: str) -> dict[str, Task]:
    """Return by id what is held, as it is to be published; a figure with where it was read, which no record tells."""
    metrics = {one.id: one for one in held if one.pipeline == "game_metric"}
    figures = [
        one.changed(outcome="suspect", message=f"{metrics[one.id].message}{why}")
        for one in _figures(run_dir, list(metrics.values()))
    ]
    dates = [one.changed(outcome="ok", reason=None, message=None) for one in held if one.pipeline == "live_play"]
    return {one.id: one for one in (*figures, *dates)}


def _once_more(before: Task, now: Task, attempt: int) -> str:
    first = str(before.message).partition(" The release by attempt ")[0]
    return f"{first} The release by attempt {attempt} did not get there: {now.message}"


def _released_with(run: RunRecord, task: Task) -> list[Task]:
    """Return the tasks that are published together with one: of live viewing all of its date, and what follows."""
    if task.pipeline == "game_metric":
        return [task]
    date_ = str(task.part_date)
    return [one for one in run.tasks if one.part_date in (date_, date_[:7])]


def republish(
    profile: Profile, name: str, options: Options, operator: Operator, reason: str | None = None
) -> RunRecord:
    """Publish a run's figures to the warehouse of `profile`, as a run of its own in that profile's archive.

    Args:
        profile: says where to publish and where to record it.
        name: a run in the profile's archive, or the folder of a run in another archive.
        reason: why, where a person says it.

    Returns:
        The new run's record, which names the run that the figures come from.

    Raises:
        UsageError: there is no such run, or it has no figures of games.
        StorageError: its figures are no longer there, or the archive cannot be written.
    """
    run_dir = _run_dir(profile, name)
    run = archive.read(run_dir.parent.parent, run_dir.name)
    there = [task for task in run.tasks if task.pipeline == "game_metric" and task.succeeded]
    if run.verb == "retract":
        there = []  # what it took out is no figure
    figures = _figures(run_dir, there)
    left = sum(task.pipeline != "game_metric" for task in run.tasks)
    if left:
        operator.say(
            f"{how_many(left, 'partition')} of live viewing {'is' if left == 1 else 'are'} left alone; "
            "'run_all.py run --pipelines live_play' builds them there."
        )
    if not figures:
        raise UsageError(f"{run_dir.name} published no figure of a game", state=NOTHING_DONE)
    request = Request(run.first, run.last, tuple(run.games), tuple(run.metrics))
    grid = Grid(date.fromisoformat(run.first), date.fromisoformat(run.last), ("game_metric",), tuple(figures))
    return publish_figures(profile, grid, request, options, operator, verb="republish", of=run_dir.name, reason=reason)


def _run_dir(profile: Profile, name: str) -> Path:
    folder = Path(name)
    if (folder / "run.json").is_file():
        return folder.absolute()
    root = Path(profile.archive.uri)
    return root / "runs" / archive.find(root, name)


def _figures(run_dir: Path, tasks: Sequence[Task], attempts: Sequence[int] = ()) -> list[Task]:
    """Return tasks with their figures and where those were read, as their attempts (or `attempts`) handed them over.

    What was implausible is that still, with its message.
    """
    handed: dict[int, dict[str, Task]] = {}
    for attempt in attempts or sorted({task.attempt for task in tasks}):
        handed[attempt] = {one.id: one for one in artifacts.read_tasks(run_dir / str(attempt), artifacts.NORMALIZED)}
    found = [handed[attempts[0] if attempts else task.attempt][task.id] for task in tasks]
    return [one.changed(published="no") for one in found]


def _to_republish(record: Record, tasks: Sequence[Task]) -> list[Task]:
    """Return the figures that a republish was to bring; where it was ended before its first attempt, its record's."""
    if artifacts.exists(record.run_dir / "1", artifacts.NORMALIZED):
        return _figures(record.run_dir, tasks, [1])
    return [one.changed(outcome="ok", reason=None, message=None, source=f"run {record.run.of}") for one in tasks]


def reopened(profile: Profile, run_id: str, verb: str) -> Record:
    """Return a run's record, locked for another attempt; one that has been silent for two minutes is taken over.

    Raises:
        UsageError: another process is at work on it, or its record cannot be read.
    """
    root = Path(profile.archive.uri)
    run_dir = root / "runs" / run_id
    abandoned = archive.read(root, run_id).status == "abandoned"
    lock = RunLock(run_dir, take_over=abandoned)
    # Read again under the lock: what stood before it may have changed since.
    run = archive.read(root, run_id).model_copy(update={"status": "running"} if abandoned else {})
    record = Record(run_dir, run, lock, Redactor.of(profile).document)
    if run.attempts and run.attempts[-1].ended_at is None:
        last = run.attempts[-1]
        why = f"attempt {last.n} ended without a word after {last.heartbeat_at}; taken over by {verb}"

        def take_over(run: RunRecord) -> None:
            run.attempts[-1].ended_at, run.attempts[-1].abandoned = last.heartbeat_at, True

        settle_open(record, profile, why)
        record.change(take_over)
    return record


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
        through = published.get(ask.key, ask.through)
        if through > ask.through:
            last = last_day(day_of(ask.dt), profile.pairs[ask.game_cd, ask.type].period)
            ask = replace(ask, through=through, final=through >= last)
        fresh.append(Task.of_request(ask))
    return fresh


def _configured(profile: Profile, task: Task) -> bool:
    return task.pipeline != "game_metric" or (task.game_cd, task.type) in profile.pairs
