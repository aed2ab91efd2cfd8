"""A repair finishes what was begun: the same verb with the same inputs; `latest` is a run with something open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from bigmama_nb.profile import load
from bigmama_nb.warehouse import Warehouse
from tests.runs.test_run import history
from tests.runs.world import CLUSTERS, DAYS, World, expected

GAMES = tuple(CLUSTERS)


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Hold the table's lock, as another run does."""
    with (
        Warehouse.open(load(world.profile).warehouse) as warehouse,
        warehouse.catalog.lock("bigmama.game_metric", "bigmama-nb another", 0),
    ):
        yield


def only(answer: dict[str, Any]) -> dict[str, Any]:
    (task,) = answer["data"]["tasks"]
    return dict(task)


def test_the_repair_of_a_retraction_that_met_the_lock_retracts(world: World) -> None:
    """It takes the row out, with the reason that was given; it does not extract the row again."""
    world.command("run")
    with locked(world):
        answer = world.command("retract", "aa", "wau", "20240429", "--reason", "counted twice")
    assert answer["exit_status"] == 75

    repaired = world.command("repair", answer["data"]["run_id"])
    assert (repaired["exit_status"], repaired["data"]["verb"]) == (0, "retract")
    assert only(repaired)["message"] == "retracted: counted twice"
    gone = expected(*GAMES)
    del gone["aa", "wau", "20240429"]
    assert world.rows() == gone


def test_the_repair_of_a_republish_asks_no_source(world: World) -> None:
    """What the named run had is published, though the sources say something else by now."""
    run_id = world.command("run", "--games", "aa")["data"]["run_id"]
    before = world.rows()
    with locked(world):
        answer = world.command("republish", run_id)
    assert answer["exit_status"] == 75
    world.write("aa", "daily", [{"_id": n, "dt": f"{day:%Y%m%d}", "value": 1} for n, day in enumerate(DAYS)])

    repaired = world.command("repair", answer["data"]["run_id"])
    assert (repaired["exit_status"], repaired["data"]["of"]) == (0, run_id)
    assert world.rows() == before


def hold(world: World) -> str:
    """Have a figure held as suspect; return its run."""
    history(world)
    world.write_profile(("timezone: Asia/Seoul", "timezone: Asia/Seoul\nchecks: {on_suspect: hold}"))
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-02")
    assert (only(answer)["outcome"], only(answer)["published"]) == ("suspect", "no")
    return str(answer["data"]["run_id"])


def test_a_release_that_met_the_lock_can_be_given_again(world: World) -> None:
    """The figure stays held and says what the release met; exit 75; the next release publishes it."""
    run_id = hold(world)
    with locked(world):
        for _ in range(2):
            answer = world.command("release", run_id, "aa/wau/20240502")
            assert (answer["exit_status"], answer["error"]["reason"]) == (75, "locked")
            assert (only(answer)["outcome"], only(answer)["published"]) == ("suspect", "no")
    assert str(only(answer)["message"]).count("The release by attempt") == 1

    answer = world.command("release", run_id, "aa/wau/20240502", "--reason", "a launch day")
    assert (answer["exit_status"], only(answer)["published"]) == (0, "yes")
    assert str(only(answer)["message"]).endswith("Released by attempt 4 (a launch day).")
    assert world.rows()["aa", "wau", "20240502"] == 900_000


def test_the_repair_of_a_release_that_met_the_lock_releases(world: World) -> None:
    """It publishes what was released, and does not collect and hold it once more."""
    run_id = hold(world)
    with locked(world):
        world.command("release", run_id, "aa/wau/20240502")
    world.dump("aa", "daily").unlink()

    repaired = world.command("repair", run_id)
    assert (repaired["exit_status"], only(repaired)["published"]) == (0, "yes")
    assert world.rows()["aa", "wau", "20240502"] == 900_000


def test_repair_latest_takes_the_newest_run_with_something_open(world: World) -> None:
    """An analyst's run, a scratch run and a retraction came after the night that failed: the night is repaired."""
    world.break_("bb")
    night = world.command("run")["data"]["run_id"]
    world.command("run", "--games", "aa")
    world.command("run", "--games", "bb", "--scratch")
    with locked(world):
        world.command("retract", "cc", "wau", "20240429", "--reason", "counted twice")
    world.heal("bb")

    assert {one["action"] for one in world.command("repair", "latest", "--plan")["data"]} == {"redo", "keep"}
    answer = world.command("repair", "latest")
    assert (answer["data"]["run_id"], answer["exit_status"]) == (night, 0)
    assert world.rows() == expected(*GAMES)


def test_repairing_an_older_night_leaves_an_unfinished_month_unfinished(world: World) -> None:
    """Counted through a later day by then, the month is not over: it is no final figure."""
    world.break_("aa")
    night = world.command("run", "--date", "2024-05-01", "--games", "aa")["data"]["run_id"]
    world.heal("aa")
    world.command("run", "--date", "2024-05-02", "--games", "aa")
    assert world.command("repair", night)["exit_status"] == 0

    wrote = {row["key"]: row for row in world.command("who-wrote", "game_metric", "dt=20240501")["data"]}
    assert (wrote["aa/orders"]["through"], wrote["aa/orders"]["final"]) == ("2024-05-02", False)
    assert wrote["aa/orders"]["run"] == night


def test_a_month_that_is_over_stays_final_in_a_repair(world: World) -> None:
    """April is counted through its last day, whichever night is repaired."""
    world.write("aa", "orders", [])
    world.break_("aa")
    night = world.command("run", "--date", "2024-04-29", "--games", "aa")["data"]["run_id"]
    world.heal("aa")
    world.command("run", "--date", "2024-04-30", "--games", "aa")
    assert world.command("repair", night)["exit_status"] == 0

    wrote = {row["key"]: row for row in world.command("who-wrote", "game_metric", "dt=20240401")["data"]}
    assert (wrote["aa/orders"]["through"], wrote["aa/orders"]["final"]) == (date(2024, 4, 30).isoformat(), True)


def test_everything_that_is_open_is_repaired_at_once(world: World) -> None:
    """Two nights failed by different games; `repair --open` does both, oldest first, and nothing else."""
    nights = []
    for game in ("aa", "bb"):
        world.break_(game)
        nights.append(world.command("run", "--games", game)["data"]["run_id"])
        world.heal(game)
    world.command("run", "--games", "cc")

    answer = world.command("repair", "--open")
    assert answer["exit_status"] == 0
    assert [run["run_id"] for run in answer["data"]] == nights
    assert world.rows() == expected(*GAMES)
    assert world.command("repair", "--open")["data"] == []
    both = world.command("repair", "latest", "--open")
    assert both["error"]["message"] == (
        "repair takes a RUN or --open, not both. Nothing was done; see 'run_all.py runs list'."
    )
