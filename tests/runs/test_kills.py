"""Verbs that were killed, each at many of their steps: what is done next finishes them, and nothing else.

`test_machine.py` finds such series by itself; here stand those that it found.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.errors import CatalogError
from bigmama_nb.runs import changes, repair, retract, run
from bigmama_nb.runs.plan import Request, plan
from bigmama_nb.runs.run import Options
from bigmama_nb.warehouse import Warehouse
from tests.runs.killing import TABLE, Ended, Place

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = "20240501"
FIGURE = f"aa/wau/{DAY}"

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.figures = {FIGURE: -5, f"bb/wau/{DAY}": 7}
    return made


def collect(place: Place, minute: int, *games: str, again: bool = False) -> Callable[[], Any]:
    """Return a run of a day that begins at a minute."""
    at = AT + timedelta(minutes=minute)
    request = Request(DAY, DAY, games, ("wau",), again=again)

    def verb() -> Any:
        grid = plan(place.profile, request, now=at)
        return run.run(place.profile, grid, request, Options(again=again), place.operator(at))

    return verb


def done(ended: Ended) -> str:
    """Return the run's id of a verb that came to its end."""
    assert not ended.killed
    assert ended.error is None, ended
    return str(ended.answer)


def task(place: Place, run_id: str, name: str = FIGURE) -> dict[str, Any]:
    return next(one for one in place.records()[run_id]["tasks"] if one["id"] == name)


@pytest.mark.parametrize("kill_at", range(2, 50, 6))
@pytest.mark.parametrize("then", ["repair", "release"])
def test_a_release_that_was_killed_is_finished_as_it_was_begun(place: Place, kill_at: int, then: str) -> None:
    """By a repair or by another release: what was held is published, though the source has another figure by now."""
    run_id = done(place.do(collect(place, 0, "aa", "bb")))
    operator = place.operator(AT)
    killed = place.do(lambda: repair.release(place.profile, run_id, FIGURE, operator, "a launch"), kill_at)
    assert killed.killed
    place.figures[FIGURE] = 1000
    begun = len(place.records()[run_id]["attempts"]) > 1
    if then == "repair" and begun:
        done(place.do(lambda: repair.repair(place.profile, run_id, Options(), operator)))
    elif place.rows(DAY) == {"bb": 7}:
        done(place.do(lambda: repair.release(place.profile, run_id, FIGURE, operator, "a launch")))
    else:
        done(place.do(lambda: repair.repair(place.profile, run_id, Options(), operator)))
    assert place.rows(DAY) == {"aa": -5, "bb": 7}
    found = task(place, run_id)
    assert (found["outcome"], found["published"]) == ("suspect", "yes")
    assert f"{FIGURE} is implausible" in found["message"]
    assert place.records()[run_id]["status"] == "ok"
    reasons = {one.get("reason") for one in place.records()[run_id]["attempts"] if one["verb"] == "release"}
    assert reasons == {"a launch"}


def test_a_release_over_one_figure_is_none_over_another(place: Place) -> None:
    """A repair finishes the release that met a lock as it was asked for, without `--over`."""
    place.figures[f"bb/wau/{DAY}"] = -6
    run_id = done(place.do(collect(place, 0, "aa", "bb")))
    place.figures |= {FIGURE: 100, f"bb/wau/{DAY}": 200}
    done(place.do(collect(place, 1, "aa", "bb")))
    operator = place.operator(AT + timedelta(minutes=2))
    done(place.do(lambda: repair.release(place.profile, run_id, FIGURE, operator, over=True)))
    with place.locked():
        done(place.do(lambda: repair.release(place.profile, run_id, f"bb/wau/{DAY}", operator)))
    done(place.do(lambda: repair.repair(place.profile, run_id, Options(), operator)))
    assert place.rows(DAY) == {"aa": -5, "bb": 200}
    assert task(place, run_id, f"bb/wau/{DAY}")["published"] == "no"


@pytest.mark.parametrize("kill_at", range(2, 34, 4))
def test_a_recovery_that_was_killed_leaves_no_catalog_that_holds_little(place: Place, kill_at: int) -> None:
    """Readers are refused, as is a run, until it is recovered to its end; or all is there."""
    done(place.do(collect(place, 0, "aa", "bb")))
    (place.warehouse / "catalog.db").write_bytes(b"")
    assert place.do(lambda: changes.recover(place.profile, None, AT) and None, kill_at).killed
    with Warehouse.open(place.profile.warehouse) as warehouse:
        try:
            assert list(warehouse.catalog.current(TABLE)) == [f"dt={DAY}"]
        except CatalogError:
            place.figures[FIGURE] = 1
            later = done(place.do(collect(place, 1, "aa")))
            assert task(place, later)["reason"] == "catalog"
            assert "it points every partition at its newest whole version again" in task(place, later)["message"]
    recovered = place.do(lambda: changes.recover(place.profile, None, AT) and None)
    assert recovered.error is None, recovered
    assert place.rows(DAY) == {"bb": 7}


@pytest.mark.parametrize("kill_at", range(6, 40, 4))
def test_a_republish_that_was_killed_is_not_done(place: Place, kill_at: int) -> None:
    """Its repair publishes what the named run found, however early it was ended."""
    place.figures[FIGURE] = 5
    run_id = done(place.do(collect(place, 0, "aa", "bb")))
    place.figures |= {FIGURE: 6, f"bb/wau/{DAY}": 8}
    done(place.do(collect(place, 1, "aa", "bb")))
    operator = place.operator(AT + timedelta(minutes=2))
    again = place.do(lambda: repair.republish(place.profile, run_id, Options(over=True), operator), kill_at)
    assert again.killed
    begun = max(place.records())
    done(place.do(lambda: repair.repair(place.profile, begun, Options(), operator)))
    assert place.rows(DAY) == {"aa": 5, "bb": 7}
    assert place.records()[begun]["status"] == "ok"


def test_what_was_retracted_after_it_was_asked_for_again_stays_out(place: Place) -> None:
    """The repair of a run that had said `--again` before does not bring it back."""
    again = done(place.do(collect(place, 0, "aa", again=True)))
    place.figures[FIGURE] = 5
    done(place.do(collect(place, 1, "aa")))
    operator = place.operator(AT + timedelta(minutes=2))
    done(place.do(lambda: retract.retract(place.profile, "aa", "wau", DAY, "wrong", operator)))
    done(place.do(lambda: repair.repair(place.profile, again, Options(), operator)))
    assert place.rows(DAY) == {}
    done(place.do(collect(place, 3, "aa", again=True)))
    assert place.rows(DAY) == {"aa": 5}


def test_a_retraction_has_no_figure_to_republish(place: Place) -> None:
    """It is refused in a line."""
    done(place.do(collect(place, 0, "bb")))
    operator = place.operator(AT)
    out = done(place.do(lambda: retract.retract(place.profile, "bb", "wau", DAY, "wrong", operator)))
    refused = place.do(lambda: repair.republish(place.profile, out, Options(), operator))
    assert (refused.error, refused.message) == ("UsageError", f"{out} published no figure of a game. Nothing was done.")


@pytest.mark.parametrize("verb", ["release", "republish"])
def test_a_clock_that_was_set_back_makes_no_older_figure_the_newer(place: Place, verb: str) -> None:
    """Which run began later is told by the archive's order: what the later one corrected stays."""
    older = done(place.do(collect(place, 60, "aa", "bb")))
    place.figures |= {FIGURE: 1000, f"bb/wau/{DAY}": 8}
    done(place.do(collect(place, 0, "aa", "bb")))
    operator = place.operator(AT + timedelta(minutes=1))
    if verb == "release":
        done(place.do(lambda: repair.release(place.profile, older, FIGURE, operator)))
    else:
        done(place.do(lambda: repair.republish(place.profile, older, Options(), operator)))
    assert place.rows(DAY) == {"aa": 1000, "bb": 8}


def test_the_repair_of_a_retraction_is_under_way_until_it_ended(place: Place) -> None:
    """Its record says `running` and not what the attempt before had come to; another repair takes it over."""
    done(place.do(collect(place, 0, "bb")))
    operator = place.operator(AT)
    with place.locked():
        out = done(place.do(lambda: retract.retract(place.profile, "bb", "wau", DAY, "wrong", operator)))
    assert place.records()[out]["status"] == "failed"

    def again() -> Any:
        return repair.repair(place.profile, out, Options(), operator)

    killed_in = set()
    for kill_at in range(40):
        before = len(place.records()[out]["attempts"])
        if not place.do(again, kill_at).killed:
            break
        record = place.records()[out]
        if len(record["attempts"]) > before and record["attempts"][-1]["ended_at"] is None:
            killed_in.add((record["status"], record["exit_status"]))
    assert killed_in == {("running", None)}
    done(place.do(again))
    assert (place.records()[out]["status"], place.rows(DAY)) == ("ok", {})
