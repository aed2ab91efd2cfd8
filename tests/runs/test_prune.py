"""`runs prune` drops what is old, and nothing that a current row came from."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

from bigmama_nb.profile import load
from bigmama_nb.runs.prune import Dropped, prune
from tests.runs.world import CLUSTERS, World, expected

GAMES = tuple(CLUSTERS)
YEARS_LATER = datetime.now(UTC) + timedelta(days=800)


def test_only_runs_that_no_current_row_came_from_are_dropped(world: World) -> None:
    """Of three runs the first is superseded and goes, with its versions; the table and the others stay."""
    first = world.command("run")["data"]["run_id"]
    second = world.command("run", "--games", "aa,bb")["data"]["run_id"]
    third = world.command("run", "--games", "cc")["data"]["run_id"]
    files = world.files()

    planned = prune(load(world.profile), YEARS_LATER, only_plan=True)
    assert {one.kind for one in planned} == {"run", "version"}
    assert [one for one in planned if one.kind == "run"] == [Dropped("run", first)]
    assert prune(load(world.profile), YEARS_LATER, only_plan=False) == planned

    pruned, *rest = world.command("runs", "list")["data"]
    assert [run["run_id"] for run in rest] == [third, second]
    shown = world.command("runs", "show", pruned["run_id"])["data"]
    assert (shown["verb"], shown["status"]) == ("prune", "ok")
    assert shown["dropped"] == [f"{one.kind} {one.name}" for one in planned]
    assert world.rows() == expected(*GAMES)
    assert world.files() == files


def test_a_run_that_has_not_ended_is_not_dropped(world: World) -> None:
    """However old it is, somebody may be at work on it; nor is one whose record cannot be read."""
    ids = [world.command("run")["data"]["run_id"] for _ in range(3)]
    runs = world.folder / "archive" / "runs"
    record = json.loads((runs / ids[0] / "run.json").read_text())
    record["attempts"][0] |= {"ended_at": None, "heartbeat_at": datetime.now(UTC).isoformat()}
    (runs / ids[0] / "run.json").write_text(json.dumps(record | {"status": "running"}))
    (runs / ids[1] / "run.json").write_text("")
    assert [one for one in prune(load(world.profile), YEARS_LATER, only_plan=True) if one.kind == "run"] == []


def test_nothing_young_is_dropped(world: World) -> None:
    """On the day itself neither run, scratch nor version goes."""
    world.command("run")
    world.command("run")
    world.command("run", "--scratch")

    assert world.command("runs", "prune", "--plan")["data"] == []


def test_the_plan_names_what_the_command_drops(world: World) -> None:
    """With no days and hours to keep, the plan lists run, scratch and versions; the command drops just these."""
    world.write_profile(
        ("lock_wait_s: 0", "lock_wait_s: 0, grace_hours: 0"), ("{uri: archive}", "{uri: archive, keep_days: 0}")
    )
    world.command("run")
    world.command("run")
    world.command("run", "--scratch")
    plan = world.command("runs", "prune", "--plan")["data"]
    done = world.command("runs", "prune")

    assert {one["action"] for one in plan} == {"drop"}
    assert {one["task"].split(" ")[0] for one in plan} == {"run", "scratch", "version"}
    assert done["data"]["text"].splitlines()[:-1] == [one["task"] for one in plan]
    assert world.rows() == expected(*GAMES)


def test_a_run_that_is_under_way_is_not_dropped(world: World) -> None:
    """However old it is by its name and though no row came from it: somebody is at work on it."""
    first = world.command("run")["data"]["run_id"]
    world.command("run")
    path = world.folder / "archive/runs" / first / "run.json"
    record = json.loads(path.read_text())
    record["status"] = "running"
    record["attempts"][-1] |= {"ended_at": None, "heartbeat_at": datetime.now(UTC).isoformat()}
    path.chmod(0o644)
    path.write_text(json.dumps(record))
    dropped = prune(load(world.profile), YEARS_LATER, only_plan=True)
    assert first not in [one.name for one in dropped if one.kind == "run"]


def test_what_a_killed_prune_left_is_deleted_by_the_next(world: World) -> None:
    """Also where nothing else is to be dropped; its plan names it."""
    run_id = world.command("run")["data"]["run_id"]
    runs = world.folder / "archive" / "runs"
    gone = runs / f".{run_id[:-6]}000000.pruned"
    shutil.copytree(runs / run_id / "1", gone / "1")
    planned = [{"task": f"run {run_id[:-6]}000000", "action": "drop"}]
    assert world.command("runs", "prune", "--plan")["data"] == planned
    assert world.command("runs", "prune")["exit_status"] == 0
    assert not gone.exists()
    assert [one.name for one in runs.iterdir() if one.name.endswith(".pruned")] == []
