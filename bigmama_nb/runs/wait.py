"""Waiting for what is not ready: asked again and again until a time of day, and published as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from bigmama_nb.errors import UsageError, how_many
from bigmama_nb.profile import Profile
from bigmama_nb.runs.artifacts import shown_path
from bigmama_nb.runs.plan import made_of
from bigmama_nb.runs.record import Record, RunRecord, added
from bigmama_nb.runs.services import Operator
from bigmama_nb.runs.task import Task

POLL_S = 60.0
"""How long a source is left alone between two questions whether it is ready."""
PASSING = frozenset(
    {"source_missing", "source_corrupt", "unreachable", "query_timeout", "query_refused", "deadline", "storage"}
)
"""Reasons that a figure may fail by while its source is being replaced or is away: it is asked for again."""


def until(text: str, profile: Profile, now: datetime) -> datetime:
    """Return the instant that `HH:MM` names today in the profile's zone.

    Raises:
        UsageError: it is no time of day.
    """
    try:
        at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - the zone is the profile's, set below
    except ValueError:
        raise UsageError(f"--wait-until is {text!r}; expected HH:MM, as in 07:30") from None
    return datetime.combine(now.astimezone(profile.zone).date(), at, profile.zone)


@dataclass(frozen=True)
class _Poll:
    """What a look at the sources says: the figures that have come, what else is to be done, and what passes over."""

    figures: tuple[Task, ...] = ()
    dates: tuple[Task, ...] = ()
    waiting: tuple[Task, ...] = ()


def publish_as_it_comes(
    record: Record,
    profile: Profile,
    end: datetime,
    operator: Operator,
    attempt: Callable[[Sequence[Task], Sequence[Task] | None], None],
) -> None:
    """Ask for what is `not_ready` until it has come or `end` is reached, an attempt for each time that some has.

    What is missing then stays `not_ready`, or is what the last look found. A question about a figure costs the source
    what extraction costs it, for these tasks only, and its answer is what is published; one about a part_date is a
    look at its log's folders. A source that cannot be read while somebody replaces it is asked again.
    """
    said = False
    while waiting := [task for task in record.run.tasks if task.outcome == "not_ready"]:
        left = (end - operator.services.clock()).total_seconds()
        if left <= 0 or operator.stop.is_set():
            return
        if not said:
            operator.say(
                f"waiting for {how_many(len(waiting), 'task')} until {end:%H:%M %Z}, asking every {POLL_S:.0f} s"
            )
            said = True
        operator.services.rest(min(POLL_S, left), operator.stop)
        if operator.stop.is_set():
            return
        look = _look(record, profile, waiting, operator)
        come = (*(task.fresh() for task in look.figures), *look.dates)
        if come:
            names = {task.id for task in waiting}
            operator.say(
                f"{sum(task.id in names for task in come):,} of {how_many(len(waiting), 'task')} can be done now"
            )
            attempt(come, look.figures or None)
        if look.waiting and (end - operator.services.clock()).total_seconds() <= 0:
            # The last word on what cannot be read is how it failed, not that it was late.
            n = len(record.run.attempts)
            failed = [task.changed(attempt=n) for task in look.waiting]
            record.change(lambda run, failed=failed: run.replace_tasks(failed))  # type: ignore[misc]


def _look(record: Record, profile: Profile, waiting: Sequence[Task], operator: Operator) -> _Poll:
    figures = [task for task in waiting if task.pipeline == "game_metric"]
    dates = [task for task in waiting if task.pipeline == "live_play"]
    found = _ask(record, profile, figures, operator) if figures else []
    passing = tuple(task for task in found if task.outcome == "failed" and task.reason in PASSING)
    come = tuple(task for task in found if task.outcome != "not_ready" and task not in passing)
    return _Poll(come, tuple(_dates_come(record.run.tasks, profile, dates)), passing)


def _ask(record: Record, profile: Profile, waiting: Sequence[Task], operator: Operator) -> list[Task]:
    n = len(record.run.attempts) + 1
    found = operator.services.extract(profile, [task.ask for task in waiting], run_id=record.run_id, attempt=n)
    load = [vars(one) for one in found.load]
    inputs = {shown_path(one.path): {**vars(one), "path": shown_path(one.path)} for one in found.inputs}

    def note(run: RunRecord) -> None:
        run.load = added(run.load, load)
        run.inputs = [one for one in run.inputs if one["path"] not in inputs] + list(inputs.values())

    record.change(note)
    return [Task.of_outcome(outcome) for outcome in found.outcomes]


def _dates_come(tasks: Sequence[Task], profile: Profile, waiting: Sequence[Task]) -> list[Task]:
    """Return the tasks of the part_dates whose log is there by now, with the KPIs and months made of them.

    Folders are looked at, and how their files begin and end; nothing is read.
    """
    settings = profile.live_play
    if not waiting or settings is None or settings.sources.uri is None:
        return []
    # Imported where it is used: waiting for figures needs no engine.
    from bigmama_nb.live_play.dates import log_dates
    from bigmama_nb.live_play.engine import folders_of

    sources = folders_of(profile)

    def there(task: Task) -> bool:
        day, end = date.fromisoformat(str(task.part_date)), date.fromisoformat(str(task.through))
        earlier, wanted = log_dates(day, end, settings.log_days_before, settings.log_days_after)
        return all(sources.has_log(one) for one in wanted) and sources.under_way([*earlier, *wanted]) is None

    come = [task for task in waiting if there(task)]
    return [task.fresh() for task in (*come, *made_of(tasks, come))]
