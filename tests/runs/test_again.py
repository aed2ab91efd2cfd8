"""Nothing comes back unasked: what was retracted, and what a later run corrected."""

from __future__ import annotations

from datetime import date, timedelta

from tests.runs.world import DAYS, World, expected, wau

DAY = DAYS[1]
DT = f"{DAY:%Y%m%d}"
TASK = f"aa/wau/{DT}"
BY_NAME = ("--games", "aa", "--metrics", "wau")


def retracted(world: World) -> None:
    """Run everything and take one row out."""
    assert world.command("run")["exit_status"] == 0
    assert world.command("retract", "aa", "wau", DT, "--reason", "counted twice")["exit_status"] == 0


def test_a_retracted_figure_stays_out_of_every_run(world: World) -> None:
    """Of the day, of the range, of what is missing; each shows it as retracted, and what else it brings comes."""
    retracted(world)
    left = expected("aa", "bb", "cc")
    del left["aa", "wau", DT]
    for asked in ([], ["--date", str(DAY)], ["--missing"], [*BY_NAME, "--date", str(DAY)]):
        plan = world.command("run", *asked, "--plan")["data"]
        assert {"task": TASK, "action": "retracted"} in plan
        answer = world.command("run", *asked)
        assert answer["exit_status"] == 0
        assert TASK not in [task["id"] for task in answer["data"]["tasks"]]
        assert f"{TASK} was retracted by" in world.said
        assert "(counted twice) and stays out; --again asks for it" in world.said
        assert world.rows() == left
    # The last of them asked for nothing else; its summary says why there is no task.
    assert "nothing is missing, or it was retracted and stays out" in world.text_of("runs", "show", "latest")


def test_a_repair_of_an_older_run_does_not_bring_it_back(world: World) -> None:
    """The older run has it open still; its repair publishes what else it brings, and says that this one is out."""
    world.break_("aa")
    older = world.command("run")["data"]["run_id"]
    world.heal("aa")
    retracted(world)
    answer = world.command("repair", older)
    assert answer["exit_status"] == 0
    (task,) = [task for task in answer["data"]["tasks"] if task["id"] == TASK]
    assert (task["outcome"], task["published"]) == ("ok", "no")
    assert "was retracted by" in task["message"]
    assert ("aa", "wau", DT) not in world.rows()


def test_it_comes_back_when_it_is_asked_for_by_name_and_again(world: World) -> None:
    """From then on it is a figure like any other; the record says that it was asked for."""
    retracted(world)
    refused = world.command("run", "--again", "--date", str(DAY))
    assert refused["exit_status"] == 2
    assert refused["error"]["message"] == (
        "--again brings back what was retracted, by name only: it needs --games and --metrics. Nothing was run."
    )
    answer = world.command("run", "--again", *BY_NAME, "--date", str(DAY))
    assert (answer["exit_status"], answer["data"]["again"]) == (0, True)
    assert world.rows() == expected("aa", "bb", "cc")
    assert world.command("run", "--date", str(DAY))["exit_status"] == 0
    assert world.rows() == expected("aa", "bb", "cc")


def test_a_republish_leaves_what_a_later_run_corrected(world: World) -> None:
    """The figure that stands stays, the message names its run, and `--over` puts the older one in its place."""
    older = world.command("run", "--date", str(DAY), *BY_NAME)["data"]["run_id"]
    documents = world.daily("aa")
    documents[1]["value"] = 77
    world.write("aa", "daily", documents)
    later = world.command("run", "--date", str(DAY), *BY_NAME)["data"]["run_id"]
    answer = world.command("republish", older)
    assert answer["exit_status"] == 1
    (task,) = answer["data"]["tasks"]
    assert task["message"] == f"aa wau {DT}: {later} published it since, and that stays; '--over' replaces it."
    assert world.rows() == {("aa", "wau", DT): 77}
    assert world.command("republish", older, "--over")["exit_status"] == 0
    assert world.rows() == {("aa", "wau", DT): wau("aa", DAY)}
    assert world.command("republish", older)["exit_status"] == 0, "an equal figure is no correction"


def test_a_release_leaves_what_a_later_run_corrected(world: World) -> None:
    """What was held stays held and says whose figure stands; released over it, it stands."""
    world.write_profile(("timezone: Asia/Seoul", "timezone: Asia/Seoul\nchecks: {on_suspect: hold}"))
    days = [date(2024, 3, 3) + timedelta(weeks=n) for n in range(9)]
    figures = [1000] * 8 + [5]
    documents = [{"_id": n, "dt": f"{day:%Y%m%d}", "value": figures[n]} for n, day in enumerate(days)]
    world.write("aa", "daily", documents)
    for day in days[:-1]:
        assert world.command("run", "--date", str(day), *BY_NAME)["exit_status"] == 0
    held = world.command("run", "--date", str(days[-1]), *BY_NAME)
    (task,) = held["data"]["tasks"]
    assert (task["outcome"], task["published"]) == ("suspect", "no")
    documents[-1]["value"] = 1001
    world.write("aa", "daily", documents)
    later = world.command("run", "--date", str(days[-1]), *BY_NAME)["data"]["run_id"]
    older = held["data"]["run_id"]
    refused = world.command("release", older, task["id"])
    assert refused["exit_status"] == 1
    assert (
        f"{later} published it since, and that stays; '--over' replaces it." in refused["data"]["tasks"][0]["message"]
    )
    assert world.rows()["aa", "wau", "20240428"] == 1001
    assert world.command("release", older, task["id"], "--over")["exit_status"] == 0
    assert world.rows()["aa", "wau", "20240428"] == 5
