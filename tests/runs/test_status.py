"""`game_metric_status` says of every figure what became of it when it was asked for last, and why it is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.profile import load
from bigmama_nb.warehouse import Warehouse
from tests.runs.test_repair import hold, locked
from tests.runs.world import CLUSTERS, DAYS, World, expected, wau

TOLD = "select game_cd, type, dt, outcome, reason, message, run_id from bigmama.game_metric_status"


def told(world: World) -> dict[str, tuple[str, str | None, str | None, str]]:
    """Return by task what a reader is told: outcome, reason, message, run."""
    rows = world.command("sql", TOLD)["data"]["rows"]
    return {f"{game}/{type_}/{dt}": tuple(rest) for game, type_, dt, *rest in rows}


def recorded(answer: dict[str, Any]) -> dict[str, tuple[str, str | None, str | None, str]]:
    """Return the same as a run's record has it."""
    run = answer["data"]
    return {
        task["id"]: (task["outcome"], task["reason"], task["message"], run["run_id"])
        for task in run["tasks"]
        if task["pipeline"] == "game_metric"
    }


def test_every_task_has_a_row_that_says_what_the_record_says(world: World) -> None:
    """Also those that published nothing, and they alone say why; a row's instant lies within the run."""
    world.break_("cc")
    before = datetime.now(UTC)
    answer = world.command("run")
    assert told(world) == recorded(answer)
    outcomes = {task.partition("/")[0]: one[:2] for task, one in told(world).items()}
    assert outcomes == {"aa": ("ok", None), "bb": ("ok", None), "cc": ("failed", "source_corrupt")}
    (first, last), *_ = world.command(
        "sql", "select epoch(min(updated_dt)), epoch(max(updated_dt)) from bigmama.game_metric_status"
    )["data"]["rows"]
    assert before.timestamp() <= first <= last <= datetime.now(UTC).timestamp()


def test_figures_and_what_is_told_of_them_move_in_one_transaction(world: World) -> None:
    """Both tables' pointers of a dt bear one instant: SQLite moved them at once."""
    world.command("run")
    with Warehouse.open(load(world.profile).warehouse) as warehouse:
        figures, status = (
            {name: one.moved_at for name, one in warehouse.catalog.current(f"bigmama.{table}").items()}
            for table in ("game_metric", "game_metric_status")
        )
    assert figures == status
    assert len(set(figures.values())) == 1


def test_a_repair_makes_it_well(world: World) -> None:
    """What was told of the others stays as it was, with the instant at which it became known."""
    world.break_("cc")
    run_id = world.command("run")["data"]["run_id"]
    kept = "select * from bigmama.game_metric_status where game_cd <> 'cc' order by all"
    before = world.command("sql", kept)["data"]["rows"]
    world.heal("cc")
    answer = world.command("repair", run_id)
    assert told(world) == recorded(answer)
    assert {one[0] for one in told(world).values()} == {"ok"}
    assert world.command("sql", kept)["data"]["rows"] == before


def test_a_later_run_has_the_last_word(world: World) -> None:
    """A figure that stood and could not be read again is told as failed, and its row stays."""
    first = world.command("run")["data"]["run_id"]
    world.break_("cc")
    answer = world.command("run", "--games", "cc")
    assert {one[0] for task, one in told(world).items() if task.startswith("cc")} == {"failed"}
    assert {one[3] for task, one in told(world).items() if not task.startswith("cc")} == {first}
    assert told(world).items() >= recorded(answer).items()
    assert world.rows() == expected(*CLUSTERS)


@pytest.mark.parametrize("stage", ["10_extract", "20_normalize", "40_write_parquet.game_metric"])
def test_a_stage_that_died_is_told(world: World, stage: str) -> None:
    """Where no stage got as far as to say it, the run's end does."""
    world.outcomes[stage] = "never ran"
    answer = world.command("run")
    assert told(world) == recorded(answer)
    assert {one[1] for one in told(world).values()} == {"stage_died"}


def test_figures_that_landed_before_their_stage_died_are_told_as_published(world: World) -> None:
    """The move was made, and the answer of the notebook is lost."""
    world.outcomes["40_write_parquet.game_metric"] = "killed"
    answer = world.command("run")
    assert told(world) == recorded(answer)
    assert {one[0] for one in told(world).values()} == {"ok"}


def test_a_retraction_is_told_with_its_reason(world: World) -> None:
    """And a run that leaves the row out since it was retracted leaves that told."""
    world.command("run")
    answer = world.command("retract", "aa", "wau", "20240429", "--reason", "counted twice")
    why = ("ok", None, "retracted: counted twice", answer["data"]["run_id"])
    assert told(world)["aa/wau/20240429"] == why
    world.command("run")
    assert told(world)["aa/wau/20240429"] == why


def test_what_is_held_is_told_and_its_release_too(world: World) -> None:
    """Held: suspect, with the command that releases it; then suspect and released."""
    run_id = hold(world)
    assert told(world)["aa/wau/20240502"][0] == "suspect"
    assert f"release {run_id} aa/wau/20240502" in str(told(world)["aa/wau/20240502"][2])
    answer = world.command("release", run_id, "aa/wau/20240502")
    assert told(world).items() >= recorded(answer).items()
    assert "Released by attempt 2" in str(told(world)["aa/wau/20240502"][2])


def test_a_locked_table_is_told(world: World) -> None:
    """The figures met the lock of their table; what is told of them is another table's."""
    with locked(world):
        answer = world.command("run")
    assert answer["exit_status"] == 75
    assert told(world) == recorded(answer)
    assert {one[1] for one in told(world).values()} == {"locked"}


@contextmanager
def damaged(world: World) -> Iterator[None]:
    """Cut the file that tells of 2024-05-02, and mend it afterwards."""
    with Warehouse.open(load(world.profile).warehouse) as warehouse:
        pointer = warehouse.catalog.current("bigmama.game_metric_status")["dt=20240502"]
    file = Path(pointer.location) / "part-0.parquet"
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[:-20])
    yield
    file.write_bytes(content)


def test_what_cannot_be_told_keeps_no_figure_back_and_is_said(world: World) -> None:
    """The new figure is published; the run ends with 3, says which file is damaged, and stays open for its repair."""
    world.command("run")
    world.write("aa", "daily", [{**one, "value": one["value"] + 1} for one in world.daily("aa")])
    with damaged(world):
        answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-02")
        assert "damaged" in world.said
        assert world.rows()["aa", "wau", "20240502"] == wau("aa", DAYS[-1]) + 1
        assert answer["exit_status"] == 3
        assert "game_metric_status dt=20240502" in answer["data"]["status_error"]
        text = world.text_of("runs", "show", "latest")
        assert "game_metric_status does not tell what became of this run" in text
        assert "repair" in text
    repaired = world.command("repair", answer["data"]["run_id"])
    assert repaired["exit_status"] == 0
    assert not repaired["data"].get("status_error")
    assert told(world)["aa/wau/20240502"][3] == answer["data"]["run_id"]


def test_a_figure_that_cannot_be_published_is_told(world: World) -> None:
    """Its partition is damaged: the other partition's figures go, and the status says what became of each."""
    world.command("run")
    with Warehouse.open(load(world.profile).warehouse) as warehouse:
        pointer = warehouse.catalog.current("bigmama.game_metric")["dt=20240502"]
    shutil.rmtree(pointer.location)
    answer = world.command("run", "--games", "aa", "--metrics", "wau")
    found = told(world)
    assert found.items() >= recorded(answer).items()
    assert found["aa/wau/20240502"][:2] == ("failed", "storage")
    assert found["aa/wau/20240501"][:2] == ("ok", None)


def test_no_secret_and_no_documents_id_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the table may be nobody who may read the archive."""
    monkeypatch.setenv("NOTIFY", "json://hooks.example/token-5f2c19ab77")
    world.write_profile(("archive: {uri: archive}", "archive: {uri: archive}\nnotify: [NOTIFY]"))
    ids = ["kim@example.com; expected 1", "token-5f2c19ab77"]
    world.write("aa", "daily", [{"_id": one, "dt": "20240502", "value": 5} for one in ids])
    world.write("bb", "daily", [{"_id": "lee@example.com", "dt": "20240502", "value": "token-5f2c19ab77"}])
    world.command("run", "--metrics", "wau", "--date", "2024-05-02")
    found = told(world)
    assert [found[f"{game}/wau/20240502"][1] for game in ("aa", "bb")] == ["duplicate_documents", "wrong_type"]
    text = str(found)
    assert "_id as the run's record says" in text
    assert not any(hidden in text for hidden in ("example.com", "token-5f2c19ab77"))


def test_an_older_run_that_ends_later_does_not_speak_over_a_newer_one(world: World) -> None:
    """Its stages died; by the time that it tells so, another run has published the same figures."""
    newer: list[str] = []
    execute = world.services.execute

    def meanwhile(notebook: Path, *arguments: Any, **how: Any) -> Any:
        if notebook.stem == "50_report" and not newer:
            newer.append("")
            world.outcomes.clear()
            newer[0] = world.command("run", "--games", "aa")["data"]["run_id"]
        return execute(notebook, *arguments, **how)

    world.services = replace(world.services, execute=meanwhile)
    world.outcomes["10_extract"] = "never ran"
    older = world.command("run", "--games", "aa,bb")["data"]["run_id"]
    assert {(task[:2], one[0], one[3]) for task, one in told(world).items()} == {
        ("aa", "ok", newer[0]),
        ("bb", "failed", older),
    }
