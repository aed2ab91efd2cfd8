"""`republish`: a run's figures go to another warehouse, and no source is asked again."""

from __future__ import annotations

import json
import shutil

from tests.runs.world import CLUSTERS, World, expected

GAMES = tuple(CLUSTERS)


def test_a_runs_figures_go_to_another_warehouse_without_their_sources(world: World) -> None:
    """With the dumps deleted, the new warehouse gets the same rows and files; the record names the run they are of."""
    run_id = world.command("run")["data"]["run_id"]
    before = world.files()
    shutil.rmtree(world.folder / "dumps")
    world.write_profile(("{uri: warehouse,", "{uri: elsewhere,"))

    answer = world.command("republish", run_id)
    assert (answer["exit_status"], answer["data"]["verb"], answer["data"]["of"]) == (0, "republish", run_id)
    assert world.rows() == expected(*GAMES)
    assert world.files() == before
    wrote = world.command("who-wrote", "game_metric", "dt=20240429")["data"]
    assert {(row["run"], row["source"]) for row in wrote if row["key"] == "cc/wau"} == {
        (answer["data"]["run_id"], "west/cc.daily")
    }


def test_only_what_the_run_published_is_republished(world: World) -> None:
    """A game that failed in the run is not in the new warehouse either."""
    world.break_("bb")
    run_id = world.command("run")["data"]["run_id"]
    world.write_profile(("{uri: warehouse,", "{uri: elsewhere,"))

    assert world.command("republish", run_id)["exit_status"] == 0
    assert world.rows() == expected("aa", "cc")


def test_a_run_of_another_archive_is_named_by_its_folder(world: World) -> None:
    """The new profile may have an archive of its own: the run's folder names it then."""
    run_id = world.command("run")["data"]["run_id"]
    folder = world.folder / "archive" / "runs" / run_id
    world.write_profile(("{uri: warehouse,", "{uri: elsewhere,"), ("{uri: archive}", "{uri: archive2}"))

    assert world.command("republish", str(folder))["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_a_run_without_figures_is_refused(world: World) -> None:
    """Where nothing was published there is nothing to republish, which is said in words."""
    for game in GAMES:
        world.break_(game)
    run_id = world.command("run")["data"]["run_id"]
    answer = world.command("republish", run_id)

    assert answer["exit_status"] == 2
    assert answer["error"]["message"] == f"{run_id} published no figure of a game. Nothing was done."


def test_a_changed_form_publishes_nothing_until_the_tables_are_rewritten(world: World) -> None:
    """A run says what to do and readers keep what stood; `republish --form` mends it, with the rows as they were."""
    world.command("run")
    before = world.files()
    world.write_profile(("{uri: warehouse,", "{uri: warehouse, readers: [hive3],"))
    checked = {one["name"]: one for one in world.command("check")["data"]}
    assert "stands in zstd, and the profile asks for snappy and int96" in checked["warehouse"]["message"]
    assert not checked["warehouse"]["ok"]
    one_day = world.command("run", "--date", "2024-04-29")
    assert one_day["exit_status"] == 1
    assert "republish --form" in json.dumps(one_day["data"]["tasks"])
    assert world.files() == before

    rewritten = world.command("republish", "--form")
    assert rewritten["exit_status"] == 0
    assert {one["table"] for one in rewritten["data"]} == {"bigmama.game_metric", "bigmama.game_metric_status"}
    assert world.rows() == expected(*GAMES)
    assert world.command("run", "--date", "2024-04-29")["exit_status"] == 0


def test_republish_wants_a_run_or_a_form(world: World) -> None:
    """Neither of the two, or both, is refused in a line."""
    for arguments in ((), ("latest", "--form")):
        answer = world.command("republish", *arguments)
        assert answer["exit_status"] == 2
        assert answer["error"]["message"] == "republish takes a RUN or --form, one of the two. Nothing was done."
