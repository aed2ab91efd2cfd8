"""`--wait-until`: what is not ready is published as it comes, attempt by attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.profile import load
from bigmama_nb.runs import wait
from tests.runs.world import CLUSTERS, DAYS, World, expected

GAMES = tuple(CLUSTERS)


NOW = datetime(2024, 5, 3, tzinfo=UTC)
OVER = datetime(2099, 1, 1, tzinfo=UTC)


def coming(world: World, *arrivals: str, clock: Callable[[], datetime] = lambda: NOW) -> list[int]:
    """Have the last day of these games arrive one by one, at each poll; return the list that counts the polls.

    Polls follow one another without a pause.
    """
    for game in GAMES:
        world.write(game, "daily", world.daily(game, DAYS[:-1]))
    polls: list[int] = []
    ask = world.services.extract

    def extract(profile: Any, asks: Any, **names: Any) -> Any:
        if len(polls) < len(arrivals):
            world.heal(arrivals[len(polls)])
        polls.append(len(asks))
        return ask(profile, asks, **names)

    world.services = replace(world.services, extract=extract, clock=clock, rest=lambda *_: None)
    return polls


def test_each_game_is_published_as_it_comes(world: World) -> None:
    """Three games arrive at three polls: three further attempts, each for one game only, and exit 0 at the end."""
    polls = coming(world, *GAMES)
    answer = world.command("run", "--wait-until", "23:59")

    assert polls == [3, 2, 1]
    assert answer["exit_status"] == 0
    attempts = {task["id"]: task["attempt"] for task in answer["data"]["tasks"]}
    assert [attempts[f"{game}/wau/20240502"] for game in GAMES] == [2, 3, 4]
    assert attempts["aa/wau/20240501"] == 1
    assert world.rows() == expected(*GAMES)


def test_what_has_not_come_by_then_stays_not_ready(world: World) -> None:
    """One game never arrives: when the time is over it is still not_ready, the others are published, and exit is 3."""
    polls: list[int] = []
    polls = coming(world, "aa", "bb", clock=lambda: OVER if len(polls) == 3 else NOW)
    answer = world.command("run", "--wait-until", "23:59")

    assert polls == [3, 2, 1]
    assert answer["exit_status"] == 3
    late = {task["id"]: task["outcome"] for task in answer["data"]["tasks"] if task["outcome"] != "ok"}
    assert late == {"cc/wau/20240502": "not_ready"}


def test_a_time_that_is_past_already_means_no_waiting(world: World) -> None:
    """At 00:00 the source is not asked a second time."""
    polls = coming(world, "aa")
    answer = world.command("run", "--wait-until", "00:00")

    assert (polls, answer["exit_status"], len(answer["data"]["attempts"])) == ([], 3, 1)


def test_the_time_is_the_profiles_zone(world: World) -> None:
    """07:30 in Seoul is 22:30 UTC of the day before."""
    end = wait.until("07:30", load(world.profile), datetime(2024, 5, 1, 20, tzinfo=UTC))

    assert end.astimezone(UTC) == datetime(2024, 5, 1, 22, 30, tzinfo=UTC)


def test_another_time_is_refused(world: World) -> None:
    """What is no time of day is a usage error before anything runs."""
    with pytest.raises(UsageError, match=r"^--wait-until is '7pm'; expected HH:MM, as in 07:30\. Nothing was run\.$"):
        wait.until("7pm", load(world.profile), datetime(2024, 5, 1, tzinfo=UTC))


def test_a_poll_that_meets_a_dump_being_replaced_does_not_end_the_waiting(world: World) -> None:
    """The file is away at one poll and whole at the next: the figure is published, having been asked for twice."""
    polls = coming(world)
    ask = world.services.extract

    def extract(profile: Any, asks: Any, **names: Any) -> Any:
        for game in GAMES:
            world.dump(game, "daily").unlink() if not polls else world.heal(game)
        return ask(profile, asks, **names)

    world.services = replace(world.services, extract=extract)
    answer = world.command("run", "--wait-until", "23:59")
    assert (polls, answer["exit_status"]) == ([3, 3], 0)
    assert len(answer["data"]["attempts"]) == 2
    assert world.rows() == expected(*GAMES)


def test_a_source_that_is_still_away_when_the_time_is_over_is_said(world: World) -> None:
    """Not `not_ready`, as it was found first, but how it failed at the last look."""
    polls: list[int] = []
    polls = coming(world, clock=lambda: OVER if polls else NOW)
    ask = world.services.extract

    def extract(profile: Any, asks: Any, **names: Any) -> Any:
        world.dump("cc", "daily").unlink()
        return ask(profile, asks, **names)

    world.services = replace(world.services, extract=extract)
    answer = world.command("run", "--wait-until", "23:59")
    late = {task["id"]: task["outcome"] for task in answer["data"]["tasks"] if task["outcome"] != "ok"}
    assert late == {"aa/wau/20240502": "not_ready", "bb/wau/20240502": "not_ready", "cc/wau/20240502": "failed"}
