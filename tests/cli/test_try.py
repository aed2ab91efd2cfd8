"""The verb `try`: what a person reads, the JSON, the exit status; nothing is published and no run is recorded."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from tests.runs.world import CLUSTERS, World, orders, wau

DAY = ("--date", "2024-05-01")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


def test_a_metric_is_tried_in_every_game_that_has_it(world: World) -> None:
    """The value, the documents, the fields with their types, the query and the time; exit 0, and nothing is made."""
    before = {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}
    said = world.text_of("try", "wau", *DAY)
    for game in CLUSTERS:
        assert f"{game} wau 20240501: {1000 * (1 + list(CLUSTERS).index(game)) + 1:,}\n" in said
    assert "  documents  1 dated then, 1 of them pass the match\n  values     1 used, 0 refused\n" in said
    assert '  such as    dt string "20240501" · value int 1001 (of the day and the match)\n' in said
    assert '  query      db.getSiblingDB("aa").getCollection("daily").find({"$or": [{"dt": {"$gte": "20240501"' in said
    assert "s; east gave 5 documents, " in said
    assert said.endswith("Nothing was published, and no run is recorded.\n")
    assert {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()} == before


def test_the_json_has_all_of_it(world: World) -> None:
    """One object a game, its keys as the specification lists them, and the value is a number."""
    answer = world.command("try", "orders", "--games", "bb,aa", *DAY)
    assert answer["exit_status"] == 0
    assert [one["task"] for one in answer["data"]] == ["aa/orders/20240501", "bb/orders/20240501"]
    one = answer["data"][1]
    assert one["value"] == orders("bb", date(2024, 5, 1))
    assert (one["from"], one["to"], one["due"], one["outcome"]) == ("2024-05-01", "2024-05-01", True, "ok")
    assert one["documents"] == {"dated": one["value"], "matched": one["value"]}
    assert one["values"] == {"used": one["value"], "refused": {}, "left_out": {}}
    assert [field["type"] for field in one["examples"][0]] == ["date"]
    assert one["examples_are"] == "counted"
    assert one["load"]["cluster"] == "east"
    spec = (Path(__file__).parents[2] / "docs/spec/runs_and_archive.md").read_text(encoding="utf-8")
    row = next(line for line in spec.splitlines() if line.startswith("| `try`"))
    assert list(one) == row.partition("[{")[2].partition("}]")[0].split(", ")


def test_a_failure_is_told_with_what_was_refused(world: World) -> None:
    """Exit 1 where no game has a value, 3 where some have; the reason, and the documents that are the cause."""
    world.write("aa", "daily", [{"_id": 1, "dt": "20240501", "value": "1,001"}])
    world.break_("cc")
    said = world.text_of("try", "wau", "--games", "aa", *DAY)
    assert (
        "aa wau 20240501: wrong_type: daily.value is string in the document with _id = 1; expected an integer" in said
    )
    assert "0 used, 1 refused: 1 wrong_type" in said
    assert 'value string "1,001" (of the day and the match)' in said
    assert world.command("try", "wau", "--games", "aa", *DAY)["exit_status"] == 1
    answer = world.command("try", "wau", *DAY)
    assert answer["exit_status"] == 3
    assert [one["reason"] for one in answer["data"]] == ["wrong_type", None, "source_corrupt"]
    assert answer["data"][1]["value"] == wau("bb", date(2024, 5, 1))
    said = world.text_of("try", "wau", "--games", "cc", *DAY)
    assert "  documents  could not be looked at\n" in said
    assert answer["data"][2]["unseen"].startswith("source_corrupt: ")


def test_a_figure_that_is_not_due_is_tried_all_the_same(world: World) -> None:
    """It says when a run asks for it."""
    world.write_profile(("    period: month\n", "    period: month\n    due: period_end\n"))
    said = world.text_of("try", "orders", "--games", "aa", *DAY)
    assert "  days       2024-05-01, which a run asks for on the period's last day only\n" in said
    assert not world.command("try", "orders", "--games", "aa", *DAY)["data"][0]["due"]


def test_a_game_without_the_metric_is_refused(world: World) -> None:
    """By its name, with those that have it; a metric of no game says so."""
    world.write_profile(("database: cc}", "database: cc, metrics: [orders]}"))
    answer = world.command("try", "wau", "--games", "cc")
    assert answer["exit_status"] == 2
    assert answer["error"]["message"] == (
        "--games names 'cc', which has no metric 'wau'; games that have it are aa, bb. Nothing was run."
    )
    world.write_profile(
        ("database: aa}", "database: aa, metrics: [orders]}"), ("database: bb}", "database: bb, metrics: [orders]}")
    )
    answer = world.command("try", "wau")
    assert answer["error"]["message"] == ("No game has the metric 'wau'. Nothing was run; see 'games' in profile.yaml.")


def test_no_secret_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that cannot be reached is told without user and password."""
    monkeypatch.setenv("TRIED_URI", "mongodb://reader:s3cr3t@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    world.write_profile(("west: {dump: dumps/west}", "west: {uri_env: TRIED_URI, retries: 0}"))
    answer = world.command("try", "wau", "--games", "cc", *DAY)
    assert answer["data"][0]["reason"] == "unreachable"
    assert "s3cr3t" not in json.dumps(answer) + world.said + world.text_of("try", "wau", *DAY)


def test_check_says_what_each_pair_comes_to(world: World) -> None:
    """A line a pair: its newest due figure, or why there is none; only what fails fails the check."""
    world.write("aa", "daily", [{"_id": 1, "dt": "20240502", "value": "1,001"}])
    world.write("bb", "daily", world.daily("bb")[:-1])
    found = {one["name"]: (one["ok"], one["message"]) for one in world.command("check")["data"]}
    assert found["cc wau"] == (True, "3,002 (20240502 through 2024-05-02)")
    ok, message = found["aa wau"]
    assert not ok
    assert message.startswith("wrong_type: daily.value is string")
    ok, message = found["bb wau"]
    assert ok
    assert message.startswith('not_ready: daily has no document with dt = "20240502"; the newest is "20240501"')
    assert found["aa orders"][0]
