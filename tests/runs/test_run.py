"""What a run publishes, keeps and says: the grid, outcomes, exit status, repair."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runs.world import CLUSTERS, DAYS, World, expected, in_process, lose_the_disk

GAMES = tuple(CLUSTERS)
SUBSETS = [subset for size in range(len(GAMES) + 1) for subset in itertools.combinations(GAMES, size)]


def outcomes(answer: dict[str, Any]) -> dict[str, str]:
    return {task["id"]: task["outcome"] for task in answer["data"]["tasks"]}


@pytest.mark.parametrize("failing", SUBSETS, ids="+".join)
def test_failing_games_cost_only_their_own_rows(
    failing: tuple[str, ...], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever games fail, the others' rows are those of a run in which none does; repaired, so are the bytes."""
    for game in failing:
        world.break_(game)
    answer = world.command("run")

    assert answer["exit_status"] == (0 if not failing else 1 if len(failing) == len(GAMES) else 3)
    survivors = [game for game in GAMES if game not in failing]
    assert world.rows() == expected(*survivors) if survivors else True
    assert {task.split("/")[0] for task, outcome in outcomes(answer).items() if outcome == "failed"} == set(failing)

    for game in failing:
        world.heal(game)
    repaired = world.command("repair", "latest")
    assert repaired["exit_status"] == 0
    with in_process(monkeypatch, World(tmp_path / "unbroken")) as unbroken:
        assert unbroken.command("run")["exit_status"] == 0
        assert world.files() == unbroken.files()


def test_every_task_ends_in_one_outcome_and_the_record_says_where(world: World) -> None:
    """The grid is games x metrics x dts; each task has its outcome, value, through and attempt, and its file."""
    data = world.command("run")["data"]

    assert {task["id"] for task in data["tasks"]} == {"/".join(key) for key in expected(*GAMES)}
    assert {(task["outcome"], task["published"], task["attempt"]) for task in data["tasks"]} == {("ok", "yes", 1)}
    assert {tuple(task["id"].split("/")): task["value"] for task in data["tasks"]} == expected(*GAMES)
    assert {one["partition"] for one in data["published"]} == {f"dt={dt}" for *_, dt in expected(*GAMES)}
    assert [book["stage"] for book in data["attempts"][0]["notebooks"]] == [
        "10_extract",
        "20_normalize",
        "40_write_parquet",
        "50_report",
    ]
    assert data["status"] == "ok"
    for one in data["published"]:
        assert (world.folder / "warehouse" / one["files"][0]["path"]).stat().st_size == one["files"][0]["bytes"]


def test_a_rerun_of_an_older_day_never_shrinks_a_month(world: World) -> None:
    """May's orders through the 2nd stay counted through the 2nd when the 1st is run again."""
    assert world.command("run")["exit_status"] == 0
    assert world.command("run", "--date", "2024-05-01")["exit_status"] == 0

    assert world.rows() == expected(*GAMES)
    wrote = {row["key"]: row for row in world.command("who-wrote", "game_metric", "dt=20240501")["data"]}
    assert wrote["aa/orders"]["through"] == "2024-05-02"


def test_repair_redoes_just_what_failed(world: World) -> None:
    """Rows that were right keep the attempt that wrote them; the plan says beforehand what would be done."""
    world.break_("bb")
    assert world.command("run")["exit_status"] == 3
    world.heal("bb")

    plan = world.command("repair", "latest", "--plan")["data"]
    assert {one["task"].split("/")[0] for one in plan if one["action"] == "redo"} == {"bb"}
    assert {one["task"].split("/")[0] for one in plan if one["action"] == "keep"} == {"aa", "cc"}

    data = world.command("repair", "latest")["data"]
    assert {task["id"].split("/")[0]: task["attempt"] for task in data["tasks"]} == {"aa": 1, "bb": 2, "cc": 1}
    wrote = world.command("who-wrote", "game_metric", "dt=20240429")["data"]
    assert {row["key"].split("/")[0]: row["attempt"] for row in wrote} == {"aa": 1, "bb": 2, "cc": 1}
    assert [attempt["n"] for attempt in data["attempts"]] == [1, 2]


def test_repairing_a_run_in_which_all_is_well_does_nothing(world: World) -> None:
    """There is no further attempt and no further version."""
    world.command("run")
    before = world.files()
    answer = world.command("repair", "latest")

    assert (answer["exit_status"], len(answer["data"]["attempts"])) == (0, 1)
    assert world.files() == before


def test_what_is_not_there_yet_is_not_ready_and_comes_with_the_repair(world: World) -> None:
    """A day without its document is not_ready, the run counts as failed, and its repair publishes it."""
    world.write("cc", "daily", world.daily("cc", DAYS[:-1]))
    answer = world.command("run")
    assert answer["exit_status"] == 3
    assert outcomes(answer)["cc/wau/20240502"] == "not_ready"

    world.heal("cc")
    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_missing_asks_only_for_what_has_no_row(world: World) -> None:
    """After two games only the third is asked; after that nothing, which is no failure and says so."""
    assert world.command("run", "--games", "aa,bb")["exit_status"] == 0
    data = world.command("run", "--missing")["data"]
    assert {task["game_cd"] for task in data["tasks"]} == {"cc"}

    answer = world.command("run", "--missing")
    assert (answer["exit_status"], answer["data"]["tasks"]) == (0, [])
    assert world.rows() == expected(*GAMES)


def test_the_plan_prints_the_grid_and_asks_nothing(world: World) -> None:
    """With `--plan` there is no run and no warehouse afterwards."""
    answer = world.command("run", "--plan", "--games", "aa", "--metrics", "orders")

    assert answer["data"] == [
        {"task": "aa/orders/20240401", "action": "run"},
        {"task": "aa/orders/20240501", "action": "run"},
    ]
    assert not (world.folder / "archive").exists()
    assert not (world.folder / "warehouse").exists()


def test_scratch_leaves_the_warehouse_alone(world: World) -> None:
    """`--scratch` publishes beside the archive; the profile's own warehouse is not even made."""
    data = world.command("run", "--scratch")["data"]

    assert data["status"] == "ok"
    assert not (world.folder / "warehouse").exists()
    assert list((world.folder / "archive" / "scratch" / data["run_id"]).rglob("part-0.parquet"))


def history(world: World) -> None:
    """Publish eight weeks of a game, then make its newest figure implausible."""
    weeks = [DAYS[-1].fromordinal(DAYS[-1].toordinal() - 7 * n) for n in range(9)]
    world.write("aa", "daily", world.daily("aa", weeks))
    first = min(weeks).isoformat()
    assert world.command("run", "--games", "aa", "--metrics", "wau", "--from", first, "--to", "2024-04-25")
    documents = [*world.daily("aa", weeks[1:]), {"_id": 99, "dt": "20240502", "value": 900_000}]
    world.write("aa", "daily", documents)


def test_an_implausible_figure_is_published_with_a_warning(world: World) -> None:
    """By default `suspect` is published and counts as a success, and the message says what was expected."""
    history(world)
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-02")

    (task,) = answer["data"]["tasks"]
    assert (task["outcome"], task["published"], answer["exit_status"]) == ("suspect", "yes", 0)
    assert task["message"].startswith("aa wau 20240502: 900,000 is implausible: the 8 Thursdays before had 1,004 to")
    assert world.rows()["aa", "wau", "20240502"] == 900_000
    last = world.text_of("runs", "show", "latest").partition("\n\n")[0].splitlines()[-1]
    assert last == "SUSPECT wau, 1 (published): aa 20240502 900,000"


def test_a_held_figure_is_published_by_its_release(world: World) -> None:
    """With `on_suspect: hold` the table has no row until the release, which is a further attempt of the run."""
    history(world)
    world.write_profile(("timezone: Asia/Seoul", "timezone: Asia/Seoul\nchecks: {on_suspect: hold}"))
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-02")
    (task,) = answer["data"]["tasks"]
    assert (task["outcome"], task["published"], answer["exit_status"]) == ("suspect", "no", 1)
    assert ("aa", "wau", "20240502") not in world.rows()

    released = world.command("release", "latest", "aa/wau/20240502")
    (task,) = released["data"]["tasks"]
    assert (task["outcome"], task["published"], released["exit_status"]) == ("suspect", "yes", 0)
    assert task["message"].endswith("Released by attempt 2.")
    assert world.rows()["aa", "wau", "20240502"] == 900_000

    again = world.command("release", "latest", "aa/wau/20240502")
    assert again["error"]["message"] == (
        "aa/wau/20240502 is suspect, published yes; only a suspect that is held can be released. Nothing was done."
    )


def test_a_retracted_row_is_gone_and_the_record_says_why(world: World) -> None:
    """Only that row leaves the table, by a run of its own."""
    world.command("run")
    answer = world.command("retract", "aa", "wau", "2024-04-29", "--reason", "counted twice")

    assert (answer["exit_status"], answer["data"]["reason"]) == (0, "counted twice")
    gone = expected(*GAMES)
    del gone["aa", "wau", "20240429"]
    assert world.rows() == gone

    again = world.command("retract", "aa", "wau", "2024-04-29", "--reason", "counted twice")
    assert again["error"]["message"] == (
        "bigmama.game_metric holds no row aa/wau/20240429. Nothing was done; "
        f"'run_all.py who-wrote game_metric dt=20240429 --profile {world.profile}' shows what it holds."
    )


def test_a_stage_that_dies_fails_its_tasks_and_publishes_nothing(world: World) -> None:
    """A dead 20_normalize: tasks are `failed: stage_died` with the notebook's place; later stages are `not started`."""
    world.outcomes["20_normalize"] = "never ran"
    answer = world.command("run")

    assert answer["exit_status"] == 1
    tasks = answer["data"]["tasks"]
    assert {(task["outcome"], task["reason"], task["published"]) for task in tasks} == {("failed", "stage_died", "no")}
    assert tasks[0]["message"] == (
        "20_normalize ended killed, cell work: the kernel died by SIGKILL. What was published before stays as it was; "
        f"'run_all.py repair {answer['data']['run_id']} --profile {world.profile}' tries again."
    )
    assert tasks[0]["place"] == "1/20_normalize.ipynb#work"
    books = {book["stage"]: book["outcome"] for book in answer["data"]["attempts"][0]["notebooks"]}
    assert books == {"10_extract": "ok", "20_normalize": "killed", "40_write_parquet": "not started", "50_report": "ok"}

    del world.outcomes["20_normalize"]
    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_a_publishing_stage_that_dies_after_the_move_is_found_in_the_catalog(world: World) -> None:
    """Rows that readers already see are `ok`, `published: yes`, though the notebook never handed anything over."""
    world.prepare = lose_the_disk
    answer = world.command("run")

    assert answer["exit_status"] == 0
    assert {(task["outcome"], task["published"]) for task in answer["data"]["tasks"]} == {("ok", "yes")}
    books = {book["stage"]: book["outcome"] for book in answer["data"]["attempts"][0]["notebooks"]}
    assert books["40_write_parquet"] == "failed"
    assert {one["partition"] for one in answer["data"]["published"]} == {f"dt={dt}" for *_, dt in expected(*GAMES)}
    assert world.rows() == expected(*GAMES)


def test_a_warehouse_that_cannot_be_written_fails_every_task_with_storage(world: World) -> None:
    """A file stands where the warehouse's folder belongs: the error says so, and the repair publishes all."""
    (world.folder / "warehouse").write_text("in the way", encoding="utf-8")
    answer = world.command("run")

    assert answer["exit_status"] == 1
    assert {(task["outcome"], task["published"]) for task in answer["data"]["tasks"]} == {("failed", "no")}
    assert {task["reason"] for task in answer["data"]["tasks"]} <= {"storage", "catalog", "stage_died"}

    os.remove(world.folder / "warehouse")
    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_a_run_that_finds_the_table_locked_says_so_and_exits_75(world: World) -> None:
    """While another holds the lock nothing is published; afterwards the repair does it."""
    from bigmama_nb.profile import load
    from bigmama_nb.warehouse import Warehouse

    assert world.command("run", "--games", "aa")["exit_status"] == 0
    with (
        Warehouse.open(load(world.profile).warehouse) as warehouse,
        warehouse.catalog.lock("bigmama.game_metric", "bigmama-nb another", 0),
    ):
        answer = world.command("run")
    assert answer["exit_status"] == 75
    assert {task["reason"] for task in answer["data"]["tasks"]} == {"locked"}
    assert answer["error"]["reason"] == "locked"

    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_games_that_share_a_display_name_are_told_apart(world: World) -> None:
    """The report has a line for each, by its code; it does not fail."""
    world.write_profile(("aa: {name: Game A,", "aa: {name: Game B,"))
    answer = world.command("run")
    assert (answer["exit_status"], answer["data"]["attempts"][0]["notebooks"][-1]["outcome"]) == (0, "ok")


def test_a_report_that_fails_is_no_success_and_its_repair_makes_it_again(world: World) -> None:
    """All is published: exit 3, `partial`; the repair is an attempt of the report alone, and exits 0."""
    world.outcomes["50_report"] = "never ran"
    answer = world.command("run")
    assert (answer["exit_status"], answer["data"]["status"]) == (3, "partial")
    assert world.rows() == expected(*GAMES)
    assert (
        "50_report ended killed: the kernel died by SIGKILL. What is published is not touched by this."
        in world.text_of("runs", "show", "latest")
    )

    world.outcomes.clear()
    repaired = world.command("repair", "latest")
    assert (repaired["exit_status"], repaired["data"]["status"]) == (0, "ok")
    assert [book["stage"] for book in repaired["data"]["attempts"][1]["notebooks"]] == ["50_report"]


def test_the_figures_of_the_run_itself_are_history_too(world: World) -> None:
    """A backfill into an empty table: the newest figure is judged by those before it in the same run."""
    weeks = [DAYS[-1].fromordinal(DAYS[-1].toordinal() - 7 * n) for n in range(1, 9)]
    newest = {"_id": 99, "dt": f"{DAYS[-1]:%Y%m%d}", "value": 900_000}
    world.write("aa", "daily", [*world.daily("aa", weeks), newest])
    answer = world.command(
        "run", "--games", "aa", "--metrics", "wau", "--from", min(weeks).isoformat(), "--to", "2024-05-02"
    )
    assert outcomes(answer)["aa/wau/20240502"] == "suspect"


def test_a_metric_holds_what_is_beyond_its_own_bounds(world: World) -> None:
    """`checks` of the metric: its message names the key, and no history is needed."""
    world.write_profile(("    value: {field: value}\n", "    value: {field: value}\n    checks: {max: 1030}\n"))
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-30")
    assert outcomes(answer) == {"aa/wau/20240430": "ok"}
    world.write_profile(("{max: 1030}", "{max: 1029}"))
    answer = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-30")
    (task,) = answer["data"]["tasks"]
    assert task["message"].startswith("aa wau 20240430: 1,030 is implausible: checks.max is 1,029.")
