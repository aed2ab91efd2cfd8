"""Waiting for what is not ready: asked again and again until a time of day, and published as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bigmama_nb.errors import UsageError
from bigmama_nb.extract import extract
from bigmama_nb.handover import Task
from bigmama_nb.profile import Profile
from bigmama_nb.runs.record import Json, Record, added
from bigmama_nb.runs.stopping import Stop

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

    What is missing then stays `not_ready`. A question costs the source what extraction costs it, for these tasks only;
    it is counted in the record's load.
    """
    polls = 0
    while waiting := _not_ready(record.data):
        left = (end - datetime.now(UTC)).total_seconds()
        if left <= 0 or stop.is_set():
            return
        if polls == 0:
            say(f"waiting for {len(waiting):,} figures until {end:%H:%M %Z}, asking every {POLL_S:.0f} s")
        _rest(min(POLL_S, left), stop)
        if stop.is_set():
            return
        polls += 1
        come = _come(record, profile, waiting)
        if come:
            say(f"{len(come):,} of {len(waiting):,} figures have come")
            attempt(come)


def _not_ready(data: Json) -> list[Task]:
    return [
        Task.of_record(entry)
        for entry in data["tasks"]
        if entry["outcome"] == "not_ready" and entry["pipeline"] == "game_metric"
    ]


def _come(record: Record, profile: Profile, waiting: Sequence[Task]) -> list[Task]:
    """Return the tasks of which there is something to say by now, be it that they fail."""
    attempts = len(record.data["attempts"])
    found = extract(profile, [task.ask for task in waiting], run_id=record.run_id, attempt=attempts + 1)
    load = [vars(one) for one in found.load]

    def note(data: Json) -> None:
        data["load"] = added(data["load"], load)

    record.change(note)
    settled = {outcome.task for outcome in found.outcomes if outcome.outcome != "not_ready"}
    return [Task.of_ask(task.ask) for task in waiting if task.id in settled]


def _rest(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))
