"""Whatever fails, and in whichever way: the rest is as in a run in which nothing does, and so is everything after."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runs.world import CLUSTERS, DAYS, World, expected, in_process, wau

GAMES = tuple(CLUSTERS)
Key = tuple[str, str, str]

# What goes wrong with a game, and the outcome and reason of the tasks that it costs.
KINDS = {
    "well": (None, None),
    "truncated": ("failed", "source_corrupt"),
    "wrong type": ("failed", "wrong_type"),
    "missing folder": ("failed", "source_missing"),
    "not ready": ("not_ready", None),
}


def spoil(world: World, game: str, kind: str, day: date) -> set[Key]:
    """Do it to a game, on a day where it is a day's fault; return the figures that it costs."""
    at = (game, "wau", f"{day:%Y%m%d}")
    if kind == "truncated":
        world.break_(game)
    elif kind == "missing folder":
        shutil.rmtree(world.dump(game, "daily").parent)
    elif kind == "wrong type":
        documents = world.daily(game)
        documents[DAYS.index(day)]["value"] = str(wau(game, day))
        world.write(game, "daily", documents)
        return {at}
    elif kind == "not ready":
        world.write(game, "daily", [one for one in world.daily(game) if one["dt"] != at[2]])
        return {at}
    return set(expected(game)) if kind != "well" else set()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a run that never failed, by partition."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch, in_process(patch, World(folder)) as world:
        assert world.command("run")["exit_status"] == 0
        return world.files()


spoilt = st.lists(st.tuples(st.sampled_from(list(KINDS)), st.sampled_from(DAYS)), min_size=3, max_size=3)
HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def recovers(kinds: list[tuple[str, date]], folder: Path, unbroken: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch, in_process(patch, World(folder)) as world:
        cost = {game: spoil(world, game, *how) for game, how in zip(GAMES, kinds, strict=True)}
        answer = world.command("run")

        lost = set().union(*cost.values())
        whole = expected(*GAMES)
        tasks = {tuple(task["id"].split("/")): task for task in answer["data"]["tasks"]}
        assert set(tasks) == set(whole)
        for game, (kind, _) in zip(GAMES, kinds, strict=True):
            assert {(tasks[key]["outcome"], tasks[key]["reason"]) for key in cost[game]} <= {KINDS[kind]}
        assert {key for key, task in tasks.items() if task["outcome"] != "ok"} == lost
        rows = {key: value for key, value in whole.items() if key not in lost}
        assert answer["exit_status"] == (0 if not lost else 3 if rows else 1)
        assert (world.rows() if rows else {}) == rows

        for game in GAMES:
            world.heal(game)
        assert world.command("repair", "latest")["exit_status"] == 0
        assert world.rows() == whole
        assert world.files() == unbroken


@settings(max_examples=8, deadline=None, suppress_health_check=HEALTH)
@given(kinds=spoilt)
def test_any_failures_cost_their_own_figures_and_leave_no_trace(  # type: ignore[no-untyped-def]
    kinds, tmp_path_factory, unbroken
) -> None:
    """Rows of what did not fail equal those of a run without failures; repaired, the files equal it byte for byte."""
    recovers(kinds, tmp_path_factory.mktemp("world"), unbroken)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "well"])
def test_each_kind_of_failure_in_every_game_at_once(  # type: ignore[no-untyped-def]
    kind, tmp_path, unbroken
) -> None:
    """Also where nothing is published at all."""
    recovers([(kind, DAYS[-1])] * 3, tmp_path / "world", unbroken)


@pytest.mark.long
@settings(max_examples=200, deadline=None, suppress_health_check=HEALTH)
@given(kinds=spoilt)
def test_any_failures_cost_their_own_figures_and_leave_no_trace_tried_longer(  # type: ignore[no-untyped-def]
    kinds, tmp_path_factory, unbroken
) -> None:
    """The same, with more seeds."""
    recovers(kinds, tmp_path_factory.mktemp("world"), unbroken)
