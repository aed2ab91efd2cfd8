"""Waiting for what is not ready: asked again and again until a time of day, and published as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from bigmama_nb.errors import UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.runs.plan import made_of
from bigmama_nb.runs.record import Json, Record, added
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task, recorded
from bigmama_nb.sources.extract import extract

POLL_S = 60.0
"""How long a source is left alone between two questions whether it is ready."""
TICK_S = 0.2


def until(text: str, profile: Profile, now: datetime) -> datetime:
    """Return the instant that `HH:MM` names today in the profile's zone.

    Raises:
        UsageError: it is no time of day.
    """
    try:
        at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - the zone is the profile's, set below
    except ValueError:
        raise UsageError(f"--wait-until is {text!r}; expected HH:MM, as in 07:30. Nothing was run.") from None
    return datetime.combine(now.astimezone(profile.zone).date(), at, profile.zone)


def publish_as_it_comes(
    record: Record,
    profile: Profile,
    end: datetime,
    stop: Stop,
    attempt: Callable[[Sequence[Task]], None],
    say: Callable[[str], None],
) -> None:
    """Ask for what is `not_ready` until it has come or `end` is reached, an attempt for each time that some has.

    What is missing then stays `not_ready`. A question about a figure costs the source what extraction costs it, for
    these tasks only, and is counted in the record's load; one about a part_date is a look at its log's folders.
    """
    polls = 0
    while waiting := _not_ready(record.data):
        left = (end - datetime.now(UTC)).total_seconds()
        if left <= 0 or stop.is_set():
            return
        if polls == 0:
            say(f"waiting for {len(waiting):,} tasks until {end:%H:%M %Z}, asking every {POLL_S:.0f} s")
        _rest(min(POLL_S, left), stop)
        if stop.is_set():
            return
        polls += 1
        come = _come(record, profile, waiting)
        if come:
            names = {task.id for task in waiting}
            say(f"{sum(task.id in names for task in come):,} of {len(waiting):,} tasks can be done now")
            attempt(come)


def _not_ready(data: Json) -> list[Task]:
    return [task for task in recorded(data) if task.outcome == "not_ready"]


def _come(record: Record, profile: Profile, waiting: Sequence[Task]) -> list[Task]:
    """Return the tasks of which there is something to say by now, be it that they fail."""
    figures = [task for task in waiting if task.pipeline == "game_metric"]
    dates = [task for task in waiting if task.pipeline == "live_play"]
    return [*_figures_come(record, profile, figures), *_dates_come(record.data, profile, dates)]


def _figures_come(record: Record, profile: Profile, waiting: Sequence[Task]) -> list[Task]:
    if not waiting:
        return []
    attempts = len(record.data["attempts"])
    found = extract(profile, [task.ask for task in waiting], run_id=record.run_id, attempt=attempts + 1)
    load = [vars(one) for one in found.load]

    def note(data: Json) -> None:
        data["load"] = added(data["load"], load)

    record.change(note)
    settled = {outcome.task for outcome in found.outcomes if outcome.outcome != "not_ready"}
    return [Task.of_request(task.ask) for task in waiting if task.id in settled]


def _dates_come(data: Json, profile: Profile, waiting: Sequence[Task]) -> list[Task]:
    """Return the tasks of the part_dates whose log is there by now, with the KPIs and months made of them.

    Only folders are looked at; nothing is read.
    """
    settings = profile.live_play
    if settings is None or settings.sources.uri is None:
        return []
    # Imported where it is used: waiting for figures needs no engine.
    from bigmama_nb.live_play.dates import log_dates
    from bigmama_nb.live_play.engine import folders_of

    sources = folders_of(profile)

    def there(task: Task) -> bool:
        day, end = date.fromisoformat(str(task.part_date)), date.fromisoformat(str(task.through))
        _, wanted = log_dates(day, end, settings.log_days_before, settings.log_days_after)
        return all(sources.has_log(one) for one in wanted)

    come = [task for task in waiting if there(task)]
    return [task.fresh() for task in (*come, *made_of(recorded(data), come))]


def _rest(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))
