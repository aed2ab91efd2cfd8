"""The grid: games asked for x metrics asked for, less what the profile does not configure or what is not due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.profile import load
from bigmama_nb.runs.plan import Grid, Request, named, plan
from tests.runs.world import World

NOW = datetime(2024, 5, 10, 3, 0, tzinfo=UTC)

# bb has no orders; mau is a number in one document, due when its month is over.
CHANGES = (
    ("{name: Game B, cluster: east, database: bb}", "{name: Game B, cluster: east, database: bb, metrics: [wau, mau]}"),
    (
        "  orders:\n",
        (
            "  mau:\n    collection: monthly\n    date: {field: dt, as: yyyymm}\n    value: {field: value}\n"
            "    period: month\n  orders:\n"
        ),
    ),
)


@pytest.fixture
def planned(world: World):  # type: ignore[no-untyped-def]
    world.write_profile(*CHANGES)
    profile = load(str(world.profile))

    def planned(**request: object) -> Grid:
        return plan(profile, Request(**request), now=NOW)  # type: ignore[arg-type]

    return planned


def ids(grid: Grid) -> list[str]:
    return sorted(task.id for task in grid.tasks)


def test_a_day_asks_each_pair_that_is_configured_and_due(planned) -> None:  # type: ignore[no-untyped-def]
    """bb has no orders, and on the 30th of April, the month's last day, the monthly figure is due."""
    daily = ["aa/wau/20240429", "bb/wau/20240429", "cc/wau/20240429"]
    orders = ["aa/orders/20240401", "cc/orders/20240401"]
    assert ids(planned(date_from="2024-04-29", date_to="2024-04-29")) == sorted(daily + orders)
    monthly = ["aa/mau/20240401", "bb/mau/20240401", "cc/mau/20240401"]
    last = [task.replace("0429", "0430") for task in daily]
    assert ids(planned(date_from="20240430", date_to="20240430")) == sorted(last + orders + monthly)


def test_a_range_asks_once_for_each_dt(planned) -> None:  # type: ignore[no-untyped-def]
    """A month's row is asked through the last day of the range in it, not once a day."""
    grid = planned(date_from="2024-04-28", date_to="2024-05-02", games=("aa",), metrics=("orders",))
    assert {(task.id, task.through, task.final) for task in grid.tasks} == {
        ("aa/orders/20240401", "2024-04-30", True),
        ("aa/orders/20240501", "2024-05-02", False),
    }
    assert len({task.id for task in planned(date_from="2024-03-01", date_to="2024-05-02").tasks}) == len(
        planned(date_from="2024-03-01", date_to="2024-05-02").tasks
    )


def test_names_narrow_the_grid(planned) -> None:  # type: ignore[no-untyped-def]
    """Games x metrics asked for; a pair that is not configured is left out, and a grid without tasks is no error."""
    grid = planned(date_from="2024-04-29", date_to="2024-04-29", games=("bb", "cc"), metrics=("orders",))
    assert ids(grid) == ["cc/orders/20240401"]
    assert ids(planned(date_from="2024-04-29", date_to="2024-04-29", games=("bb",), metrics=("orders",))) == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"games": ("aa", "dd")}, "'dd'"),
        ({"metrics": ("wua",)}, "Did you mean 'wau'?"),
        (
            {"pipelines": ("game_metrics",)},
            (
                "--pipelines names 'game_metrics'; pipelines are game_metric, live_play. Did you mean 'game_metric'? "
                "Nothing was run."
            ),
        ),
        ({"pipelines": ("live_play",)}, "which profile.yaml does not configure (it has no section live_play)"),
        ({"date_from": "2024-05-10", "date_to": "2024-05-10"}, "2024-05-10"),
        ({"date_from": "20240231", "date_to": "20240231"}, "20240231"),
        ({"date_from": "2024-05-02", "date_to": "2024-05-01"}, "2024-05-01"),
    ],
)
def test_what_matches_nothing_is_a_usage_error(planned, asked: dict[str, object], says: str) -> None:  # type: ignore[no-untyped-def]
    """An unknown name, a day that is not over in the profile's zone, one there is not: said, and nothing is run."""
    with pytest.raises(UsageError) as caught:
        planned(**asked)
    assert says in str(caught.value)
    assert "Nothing was run." in str(caught.value)


def test_the_profiles_own_dates_are_asked_where_none_is_given(planned) -> None:  # type: ignore[no-untyped-def]
    """The world's profile names the 28th of April to the 2nd of May."""
    grid = planned()
    assert (grid.first.isoformat(), grid.last.isoformat()) == ("2024-04-28", "2024-05-02")
    assert grid.pipelines == ("game_metric",)


def test_a_task_that_is_not_there_is_refused_with_the_nearest(planned) -> None:  # type: ignore[no-untyped-def]
    """A slip in a task's name."""
    grid = planned()
    assert named(grid.tasks, "aa/wau/20240429").id == "aa/wau/20240429"
    with pytest.raises(UsageError, match=r"is no task of the run\. Did you mean 'aa/wau/20240429'\? Nothing was done"):
        named(grid.tasks, "aa/wua/20240429")


@pytest.mark.parametrize(
    ("asked", "pipelines"),
    [
        ({}, ("game_metric", "live_play")),
        ({"games": ("aa",)}, ("game_metric",)),
        ({"metrics": ("wau",)}, ("game_metric",)),
        ({"games": ("cc", "bb", "aa")}, ("game_metric", "live_play")),
        ({"games": ("aa",), "pipelines": ("game_metric", "live_play")}, ("game_metric", "live_play")),
        ({"pipelines": ("live_play",)}, ("live_play",)),
    ],
)
def test_live_viewing_is_built_when_asked_for_or_when_nothing_is_narrowed(
    world: World, asked: dict[str, Any], pipelines: tuple[str, ...]
) -> None:
    """Names of games and metrics narrow a run to these; all of them are no narrowing."""
    (world.folder / "weverse").mkdir()
    world.write_profile(("metrics:\n", "live_play: {sources: {uri: weverse}}\nmetrics:\n"))
    assert plan(load(world.profile), Request("2024-05-02", "2024-05-02", **asked), now=NOW).pipelines == pipelines
