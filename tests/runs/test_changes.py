"""Every change of the tables is a run, with its record, its reason and its person."""

from __future__ import annotations

import getpass
import os
import signal
from datetime import UTC, date, datetime
from typing import Any

from bigmama_nb import profile
from bigmama_nb.runs.changes import rollback
from bigmama_nb.warehouse.catalog.sqlite import SqliteCatalog
from tests.runs.test_repair import hold, locked
from tests.runs.world import DAYS, World, wau


def runs(world: World) -> list[dict[str, Any]]:
    """Return the records, latest first."""
    return [world.command("runs", "show", run["run_id"])["data"] for run in world.command("runs", "list")["data"]]


def test_a_rollback_is_a_run(world: World) -> None:
    """It says which partition points at which version, why, and who did it; one that was refused leaves no run."""
    world.command("run", "--games", "aa", "--metrics", "wau")
    first = runs(world)[0]["run_id"]
    world.write("aa", "daily", [{"_id": 1, "dt": "20240429", "value": 5}])
    world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-29")
    answer = world.command("rollback", "game_metric", "dt=20240429", "--reason", "five is wrong")
    assert answer["exit_status"] == 0

    done = runs(world)[0]
    assert (done["verb"], done["reason"], done["person"], done["status"]) == (
        *("rollback", "five is wrong", getpass.getuser(), "ok"),
    )
    assert [(one["partition"], one["version"]) for one in done["published"]] == [("dt=20240429", f"{first}-1")]
    assert [(one["id"], one["outcome"], one["published"]) for one in done["tasks"]] == [
        ("game_metric/20240429", "ok", "yes")
    ]
    assert done["attempts"][0]["ended_at"] is not None

    before = len(runs(world))
    assert world.command("rollback", "game_metric", "dt=19990101")["exit_status"] == 2
    assert len(runs(world)) == before
    assert (
        "is a rollback, which a repair does not finish" in world.command("repair", done["run_id"])["error"]["message"]
    )


def test_a_rollback_that_met_the_lock_is_recorded_as_failed(world: World) -> None:
    """Exit 75, and the record says so."""
    world.command("run", "--games", "aa", "--metrics", "wau")
    with locked(world):
        answer = world.command("rollback", "game_metric", "dt=20240429")
    assert answer["exit_status"] == 75
    done = runs(world)[0]
    assert (done["verb"], done["status"], done["exit_status"]) == ("rollback", "failed", 75)
    assert done["error"] == answer["error"]["message"]


def test_a_rollback_that_is_killed_says_what_it_was_about_to_do(world: World) -> None:
    """The record holds its target before the pointer moves; show and a refused repair name the command that does it."""
    world.command("run", "--games", "aa", "--metrics", "wau")
    first = runs(world)[0]["run_id"]
    world.write("aa", "daily", [{"_id": 1, "dt": "20240429", "value": 5}])
    world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-29")
    child = os.fork()
    if not child:
        SqliteCatalog.move = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        rollback(profile.read(world.profile), "game_metric", "dt=20240429", None, "five", datetime.now(UTC))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    killed = runs(world)[0]
    place, version = "bigmama.game_metric dt=20240429", f"{first}-1"
    assert [(one["id"], one["outcome"], one["place"], one["message"]) for one in killed["tasks"]] == [
        ("game_metric/20240429", None, place, version)
    ]
    shown = world.text_of("runs", "show", killed["run_id"])
    assert f"It was about to point {place} at {version}: 'run_all.py who-wrote {place} --profile " in shown
    assert f"and 'run_all.py rollback {place} {version} --profile " in shown
    assert "Repair just that" not in shown
    assert world.rows()["aa", "wau", "20240429"] == 5
    refused = world.command("repair", killed["run_id"])["error"]["message"]
    again = f"'run_all.py rollback {place} {version} --profile "
    assert again in refused
    assert world.command(*again.split()[1:-1])["exit_status"] == 0
    assert world.rows()["aa", "wau", "20240429"] == wau("aa", date(2024, 4, 29))


def test_a_recovery_is_a_run(world: World) -> None:
    """With the catalog gone, the record tells which partitions were pointed anew; what changed nothing is no run."""
    world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-29")
    assert world.command("recover")["exit_status"] == 0
    assert runs(world)[0]["verb"] == "run"
    (world.folder / "warehouse" / "catalog.db").unlink()
    assert world.command("recover", "--reason", "the disk was lost")["exit_status"] == 0

    done = runs(world)[0]
    assert (done["verb"], done["reason"], done["status"]) == ("recover", "the disk was lost", "ok")
    assert [one["id"] for one in done["tasks"]] == ["game_metric/20240429", "game_metric_status/20240429"]
    assert world.rows()["aa", "wau", "20240429"] == wau("aa", date(2024, 4, 29))


def test_a_release_says_why_and_by_whom(world: World) -> None:
    """It is an attempt of the run that held the figure."""
    run_id = hold(world)
    done = world.command("release", run_id, "aa/wau/20240502", "--reason", "a launch day")["data"]
    assert [(one["verb"], one.get("reason")) for one in done["attempts"]] == [
        ("run", None),
        ("release", "a launch day"),
    ]
    assert done["attempts"][1]["person"] == getpass.getuser()


def test_a_rewrite_of_the_tables_is_a_run(world: World) -> None:
    """It names every partition with its new version, why and who; a second one that finds nothing to do is none."""
    world.command("run", "--games", "aa", "--metrics", "wau")
    world.write_profile(("{uri: warehouse,", "{uri: warehouse, readers: [hive3],"))
    answer = world.command("republish", "--form", "--reason", "Hive 3 reads it")
    assert answer["exit_status"] == 0
    done = runs(world)[0]
    assert (done["verb"], done["reason"], done["person"], done["status"]) == (
        *("rewrite", "Hive 3 reads it", getpass.getuser(), "ok"),
    )
    assert {(one["partition"], one["version"]) for one in done["published"]} == {
        (f"dt={day:%Y%m%d}", f"{done['run_id']}-1") for day in DAYS
    }
    assert done["published"] == answer["data"]
    assert "again" in world.command("repair", done["run_id"])["error"]["message"]
    before = len(runs(world))
    assert world.command("republish", "--form")["data"] == []
    assert len(runs(world)) == before


def test_a_rewrite_that_met_the_lock_is_recorded_as_failed(world: World) -> None:
    """Exit 75, readers see the old form, and the record says so."""
    world.command("run", "--games", "aa", "--metrics", "wau")
    world.write_profile(("{uri: warehouse,", "{uri: warehouse, readers: [hive3],"))
    before = world.files()
    with locked(world):
        assert world.command("republish", "--form")["exit_status"] == 75
    assert (runs(world)[0]["verb"], runs(world)[0]["status"]) == ("rewrite", "failed")
    assert world.files() == before


def test_what_was_retracted_stays_out_of_rewritten_tables(world: World) -> None:
    """A run after the rewrite does not bring it back."""
    asked = ("--games", "aa", "--metrics", "wau", "--date", "2024-04-29")
    world.command("run", *asked)
    world.command("retract", "aa", "wau", "20240429", "--reason", "counted twice")
    world.command("run", "--games", "bb", "--metrics", "wau", "--date", "2024-04-29")
    world.write_profile(("{uri: warehouse,", "{uri: warehouse, readers: [hive3],"))
    assert world.command("republish", "--form")["exit_status"] == 0
    world.command("run", *asked)
    assert world.rows() == {("bb", "wau", "20240429"): wau("bb", date(2024, 4, 29))}


def test_a_republish_says_why(world: World) -> None:
    """The reason that a person gives stands in its record."""
    run_id = world.command("run", "--games", "aa", "--metrics", "wau")["data"]["run_id"]
    done = world.command("republish", run_id, "--reason", "a new cluster")["data"]
    assert (done["verb"], done["reason"], done["of"]) == ("republish", "a new cluster", run_id)
