"""The report marks an earlier day's figure by what was told of it last, though this run did not ask for it."""

from __future__ import annotations

from bigmama_nb.reports.section_shown import table
from bigmama_nb.stages import StageContext, report
from tests.runs.world import World


def reported(world: World, *arguments: str) -> tuple[str, dict[str, str]]:
    """Do a run; return the HTML of the report's table of `wau`, and its lines as text by game."""
    shown = []

    def prepare(here: StageContext) -> None:
        if here.name == "50_report":
            (wau,) = [one for one in report(here).metric_sections if one.topic.name == "wau"]
            shown.append(table(wau))

    world.prepare = prepare
    assert world.command("run", *arguments)["exit_status"] == 0
    (one,) = shown
    return one.html, {line[:6]: line for line in one.text.splitlines()[1:]}


def test_what_earlier_runs_told_is_marked_where_it_stands(world: World) -> None:
    """Suspect, failed and retracted; what a later run brought well is not."""
    world.write_profile(("period: day", "period: day\n    checks: {max: 2029}"))
    assert world.command("run")["exit_status"] == 0
    assert world.command("retract", "aa", "wau", "20240429", "--reason", "counted twice")["exit_status"] == 0
    world.break_("aa")
    assert world.command("run", "--date", "2024-05-01", "--games", "aa")["exit_status"] == 1
    world.heal("aa")

    html, lines = reported(world, "--date", "2024-05-02")
    assert "× failed: 1 May 2024" in lines["Game A"]
    assert "· retracted: 29 April 2024" in lines["Game A"]
    assert "? suspect: 30 April 2024" in lines["Game B"]
    assert "? suspect: 2 May 2024; ? suspect: 29 April 2024, 30 April 2024, 1 May 2024 and 1 before" in lines["Game C"]
    # In the courses: a dot for each that is suspect, a stroke below the line where the retracted figure is missing.
    assert (html.count('r="2.5"'), html.count("v3")) == (1 + 5, 1)

    _, lines = reported(world, "--from", "2024-05-01", "--to", "2024-05-01", "--games", "aa")
    assert "failed" not in lines["Game A"]
    assert "retracted" in lines["Game A"]
