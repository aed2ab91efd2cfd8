"""Run, repair, release, retract, republish, rollback, recover and prune in any order, killed between any two steps.

A page of Python says what ought to be (`model.py`); the package does it to a real folder and a real catalog, each verb
in a process of its own that SIGKILL may end before any of its changes of a file (`killing.py`). After each verb it is
compared what readers see, who wrote what, what was taken out, what is held and what is open. Of a verb that was killed
readers see all or nothing, and its run is taken over.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bigmama_nb.errors import CatalogError
from bigmama_nb.runs import changes, prune, repair, retract, run
from bigmama_nb.runs.plan import Request, plan
from bigmama_nb.runs.run import Options
from bigmama_nb.warehouse import Warehouse
from tests.runs.killing import TABLE, Ended, Place
from tests.runs.model import Model, Run, Task, Version

GAMES = ("aa", "bb")
DAYS = ("20240501", "20240502")
TASKS = [(game, day) for game in GAMES for day in DAYS]

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where syncing a file costs nothing: no power is cut here."""
KILL = st.none() | st.integers(0, 130)
KINDS = st.sampled_from(["plausible", "plausible", "implausible", "missing"])
A_TASK = st.sampled_from(TASKS)
WHICH = st.integers(0, 100)
LOCKED = st.sampled_from([False, False, False, False, False, True])


class Tables(RuleBasedStateMachine):
    """What is done to the tables, and what must be true of them afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="machine-", dir=MEMORY)
        self.place = Place(Path(self._folder.name))
        self.model = Model()
        self.ids: dict[str, str] = {}  # by what the model calls a run, its id
        self.maybe: dict[str, list[Version]] = {}  # by day what a killed verb staged, or left by a pointer
        self.seen = 0
        self.clock = datetime.now(UTC).replace(microsecond=0)

    def teardown(self) -> None:
        self._folder.cleanup()

    # What is done

    @rule(task=A_TASK, kind=KINDS)
    def the_source_changes(self, task: Task, kind: str) -> None:
        """Another figure is there, or none."""
        self.seen += 1
        self.model.sources.pop(task, None)
        if kind != "missing":
            self.model.sources[task] = self.seen if kind == "plausible" else -self.seen
        self.place.figures = {f"{game}/wau/{day}": value for (game, day), value in self.model.sources.items()}

    @initialize(kinds=st.lists(KINDS, min_size=4, max_size=4))
    def a_first_run(self, kinds: list[str]) -> None:
        """It finds what the sources have."""
        for task, kind in zip(TASKS, kinds, strict=True):
            self.the_source_changes(task, kind)
        self.a_run(GAMES, DAYS, again=False, locked=False, kill_at=None)

    @rule(
        games=st.sampled_from([GAMES, GAMES, ("aa",), ("bb",)]),
        days=st.sampled_from([DAYS, DAYS[:1], DAYS[1:]]),
        again=st.booleans(), locked=LOCKED, kill_at=KILL,
    )  # fmt: skip
    def a_run(
        self, games: tuple[str, ...], days: tuple[str, ...], again: bool, locked: bool, kill_at: int | None
    ) -> None:
        """Collect and publish."""
        at = self._now()
        request = Request(days[0], days[-1], games, ("wau",), again=again)

        def verb() -> Any:
            grid = plan(self.place.profile, request, now=at)
            return run.run(self.place.profile, grid, request, Options(again=again), self.place.operator(at))

        def effect(model: Model, name: str) -> None:
            asked = [(game, day) for game in games for day in days if again or not model.out((game, day))]
            model.runs[name] = Run("run", dict.fromkeys(asked, "open"), again=again)
            model.collect(name, asked, locked=locked)

        self._do(verb, effect, kill_at, locked=locked)

    @precondition(lambda self: self._open())
    @rule(which=WHICH, locked=LOCKED, kill_at=KILL)
    def a_repair(self, which: int, locked: bool, kill_at: int | None) -> None:
        """Finish what a run began."""
        names = self._open()
        name = names[which % len(names)]
        at = self._now()
        self._do(
            lambda: repair.repair(self.place.profile, self.ids[name], Options(), self.place.operator(at)),
            lambda model, _: model.repair(name, locked=locked),
            kill_at, of=name, locked=locked,
        )  # fmt: skip

    @precondition(lambda self: self._held())
    @rule(which=WHICH, over=st.booleans(), locked=LOCKED, kill_at=KILL)
    def a_release(self, which: int, over: bool, locked: bool, kill_at: int | None) -> None:
        """Publish what is held."""
        held = self._held()
        name, (game, day) = held[which % len(held)]
        at = self._now()
        self._do(
            lambda: repair.release(
                self.place.profile, self.ids[name], f"{game}/wau/{day}", self.place.operator(at), over=over
            ),
            lambda model, _: model.release(name, (game, day), over=over, locked=locked),
            kill_at, of=name, locked=locked,
        )  # fmt: skip

    @rule(task=A_TASK, locked=LOCKED, kill_at=KILL)
    def a_retraction(self, task: Task, locked: bool, kill_at: int | None) -> None:
        """Take a row out; where there is none that is refused."""
        game, day = task
        at = self._now()

        def effect(model: Model, name: str) -> None:
            model.runs[name] = Run("retract", {task: "open"})
            model.retract(name, task, locked=locked)

        self._do(
            lambda: retract.retract(self.place.profile, game, "wau", day, "wrong", self.place.operator(at)),
            effect, kill_at, locked=locked, refused=game not in (self.model.rows(day) or {}),
        )  # fmt: skip

    @precondition(lambda self: any(one.tasks and not one.dead for one in self.model.runs.values()))
    @rule(which=WHICH, over=st.booleans(), locked=LOCKED, kill_at=KILL)
    def a_republish(self, which: int, over: bool, locked: bool, kill_at: int | None) -> None:
        """Publish the figures of a run again."""
        names = [name for name, one in self.model.runs.items() if one.tasks and not one.dead]
        of = names[which % len(names)]
        at = self._now()
        brings = [task for task, state in self.model.runs[of].tasks.items() if state == "ok"]
        refused = not brings or self.model.runs[of].verb == "retract"

        def effect(model: Model, name: str) -> None:
            found = {task: model.runs[of].found[task] for task in brings}
            model.runs[name] = Run("republish", dict.fromkeys(brings, "open"), found, of=of, over=over)
            model.bring(name, brings, locked=locked)

        self._do(
            lambda: repair.republish(self.place.profile, self.ids[of], Options(over=over), self.place.operator(at)),
            effect, kill_at, locked=locked, refused=refused,
        )  # fmt: skip

    @precondition(lambda self: self.model.pointer)
    @rule(day=st.sampled_from(DAYS), locked=LOCKED, kill_at=KILL)
    def a_rollback(self, day: str, locked: bool, kill_at: int | None) -> None:
        """Point a day at the version before; where there is none that is refused."""
        at = self._now()

        def effect(model: Model, name: str) -> None:
            model.runs[name] = Run("rollback")
            before = model.before(day)
            if not locked:
                assert before is not None
                model.pointer[day] = before

        self._do(
            lambda: changes.rollback(self.place.profile, TABLE, f"dt={day}", None, "wrong", at) and None,
            effect, kill_at, locked=locked, refused=not locked and self.model.before(day) is None,
        )  # fmt: skip

    @precondition(lambda self: self.model.pointer)
    @rule(how=st.sampled_from(["whole", "gone", "empty"]), kill_at=KILL)
    def a_recovery(self, how: str, kill_at: int | None) -> None:
        """Point every day at its newest version: where the catalog is lost, at those that stood."""
        catalog = self.place.warehouse / "catalog.db"
        if how == "gone":
            catalog.unlink()
        elif how == "empty":
            catalog.write_bytes(b"")
        known = set(self.place.records())

        def verb() -> None:
            changes.recover(self.place.profile, "lost", self.clock)

        self._now()
        ended = self.place.do(verb, kill_at)
        if ended.killed:
            self._readers_are_refused_or_see_all(how)
            ended = self.place.do(verb)
        assert ended.error is None, ended
        for run_id in set(self.place.records()) - known:
            self._add("recover", run_id)
        for day in DAYS:
            found = self._one_of(day, [self.model.pointer.get(day), *self.maybe.pop(day, [])])
            if found is not None:
                self.model.pointer[day] = found

    @rule(later=st.sampled_from([timedelta(days=2), timedelta(days=500)]), kill_at=KILL)
    def a_prune(self, later: timedelta, kill_at: int | None) -> None:
        """Drop what nobody needs; one that was killed is done again."""
        known = set(self.place.records())
        now = datetime.now(UTC) + later
        ended = self.place.do(lambda: prune.prune(self.place.profile, now, only_plan=False) and None, kill_at)
        if ended.killed:
            ended = self.place.do(lambda: prune.prune(self.place.profile, now, only_plan=False) and None)
        assert ended.error is None, ended
        for run_id in set(self.place.records()) - known:
            self._add("prune", run_id)
        for stands in self.model.pointer.values():
            older = stands.before
            while older is not None:
                self.model.gone.add(id(older))
                older = older.before
        if later > timedelta(days=400):
            self._forget_dropped_runs(set(self.place.records()) - known)
        assert not [path for path in self.place.runs.iterdir() if path.name.endswith(".pruned")]

    def _landed(self, name: str, task: Task) -> bool:
        """Whether a figure stands from a run that was killed before it could say so."""
        row = (self.model.rows(task[1]) or {}).get(task[0])
        return row is not None and row.run == name

    # What must be true

    @invariant()
    def readers_see_what_was_published(self) -> None:
        """Every day's rows, whose they are, and what was taken out."""
        for day in DAYS:
            assert self._table(day) == self._expected(self.model.pointer.get(day)), day

    @invariant()
    def records_say_what_became_of_every_task(self) -> None:
        """What is published, held and open; no record of a run that has ended says that it runs."""
        records = self.place.records()
        assert set(records) == {self.ids[name] for name in self.model.runs}
        for name, one in self.model.runs.items():
            record = records[self.ids[name]]
            assert record["verb"] == one.verb
            if one.dead:
                assert record["status"] == "running"
                continue
            if one.verb in ("run", "retract", "republish"):
                assert {_key(task): _state(task) for task in record["tasks"]} == one.tasks
                assert record["status"] == one.status, record
            assert record["status"] != "running"
            assert all(task["outcome"] is not None for task in record["tasks"])

    @invariant()
    def what_is_open_is_found(self) -> None:
        """`repair --open` would redo every run in which something is open."""
        found = repair.open_runs(self.place.folder / "archive", self.clock.date(), 9999)
        mine = {
            self.ids[name]
            for name, one in self.model.runs.items()
            if not one.dead and one.verb in ("run", "retract", "republish") and one.status != "ok"
        }
        dead = {self.ids[name] for name, one in self.model.runs.items() if one.dead}
        assert {one.run_id for one in found} - dead == mine

    # How it is done

    def _now(self) -> datetime:
        self.clock += timedelta(minutes=1)
        return self.clock

    def _open(self) -> list[str]:
        """Return the runs that were killed or have something open; where there are none, all that may be repaired."""
        runs = {name: one for name, one in self.model.runs.items() if one.verb in ("run", "retract", "republish")}
        return [name for name, one in runs.items() if one.dead or one.status != "ok"] or list(runs)

    def _held(self) -> list[tuple[str, Task]]:
        """Return what is held; of a run that was killed what its release was begun of."""
        return [
            (name, task)
            for name, one in self.model.runs.items()
            for task, state in one.tasks.items()
            if state == "held" and (not one.dead or (task in one.begun and not self._landed(name, task)))
        ]

    def _do(
        self,
        verb: Callable[[], Any],
        effect: Callable[[Model, str], Iterator[None] | None],
        kill_at: int | None,
        *,
        of: str | None = None,
        locked: bool = False,
        refused: bool = False,
    ) -> None:
        """Do a verb, and to the model what it ought to do: a new run, or further attempts of the run `of`.

        An effect of several steps stops after each, where a kill may leave it.
        """
        records = self.place.records()
        name = of or f"run {len(self.ids) + 1}"
        if locked:
            with self.place.locked():
                ended = self.place.do(verb, kill_at)
        else:
            ended = self.place.do(verb, kill_at)
        new = sorted(set(self.place.records()) - set(records))
        after = self.model.copy()
        if of is None:
            after.order.append(name)
        self._taken_over(after, of)
        between = [after.copy() for _ in (effect(after, name) or ())] if not refused else []
        if new:
            self.ids[name] = new[0]
        if ended.killed:
            self._was_killed(between[:-1], after, name, of, records.get(self.ids.get(name, "")))
        elif refused:
            assert (ended.error, new) == ("UsageError", []), ended
        else:
            self._ended(ended, after, locked=locked)

    def _ended(self, ended: Ended, after: Model, *, locked: bool) -> None:
        assert ended.error is None or (locked and ended.error == "LockedError"), ended
        for day in DAYS:
            if after.pointer.get(day) is not self.model.pointer.get(day):
                self.maybe.pop(day, None)
        self.model = after

    def _taken_over(self, model: Model, name: str | None) -> None:
        """Settle what a dead attempt left: what stands from it is published, else it is held or open."""
        if name is None or not model.runs[name].dead:
            return
        one = model.runs[name]
        one.dead = False
        for (game, day), state in one.tasks.items():
            row = (model.rows(day) or {}).get(game)
            if state != "ok" and one.verb != "retract" and row is not None and row.run == name:
                one.tasks[game, day] = "ok"
                one.begun.pop((game, day), None)

    def _was_killed(
        self, between: list[Model], after: Model, name: str, of: str | None, before_record: dict[str, Any] | None
    ) -> None:
        """Find out which steps moved the pointers and how far the record came; all else is as before, or as after."""
        before, record = self.model, self.place.records().get(self.ids.get(name, ""))
        seen = [self._table(day) for day in DAYS]
        if record is None:
            assert seen == self._expected_tables(before)
            return
        steps = [*between, after]
        moved = seen != self._expected_tables(before)
        reached = before
        if moved:
            found = [at for at, one in enumerate(steps) if seen == self._expected_tables(one)]
            assert found, "neither as before nor as after"
            reached, steps = steps[found[-1]], steps[found[-1] + 1 :]
        for day in DAYS:
            # What was staged may be found by a recovery; so may what a rollback left without a word.
            stood, stands = before.pointer.get(day), reached.pointer.get(day)
            if stands is not stood:
                self.maybe[day] = [stood] if stood and after.runs[name].verb == "rollback" else []
            staged = [one.pointer[day] for one in steps if one.pointer.get(day) is not stands]
            if staged:
                self.maybe[day] = [*self.maybe.get(day, []), *staged]
        if before_record is not None and _said(record) == _said(before_record):
            assert not moved
            return
        if record["status"] != "running":
            assert seen == self._expected_tables(after)
            self.model = after
            return
        # Of a change that would have been refused its record alone is there.
        dead = copy.deepcopy(after.runs.get(name) or Run(record["verb"]))
        dead.dead = True
        if of is not None:
            dead.found = dict(reached.runs[of].found)
        earlier = len(before_record["attempts"]) if before_record else 0
        verbs = {one["n"]: one for one in record["attempts"]}
        for task in record["tasks"]:
            key = _key(task)
            well = _state(task) == "ok"
            # A release is begun where the record says so: before, it left nothing to finish.
            by = verbs.get(task["attempt"], {})
            dead.begun.pop(key, None)
            if _state(task) == "held" and by.get("verb") == "release":
                dead.begun[key] = by.get("over", False)
            assert not well or dead.tasks.get(key) == "ok", f"{task['id']} is ok before it is published"
            dead.tasks[key] = _state(task)
            if _state(task) == "held" and task["attempt"] > earlier:
                dead.found[key] = after.runs[name].found[key]
        before.runs[name] = dead
        if of is None:
            before.order.append(name)
        before.pointer = reached.pointer

    def _readers_are_refused_or_see_all(self, how: str) -> None:
        """Nobody takes a catalog that is being recovered for one that holds little."""
        with Warehouse.open(self.place.profile.warehouse) as warehouse:
            try:
                found = set(warehouse.catalog.current(TABLE))
            except CatalogError:
                assert how != "whole"
                return
        days = {f"dt={day}" for day in self.model.pointer}
        assert days <= found <= days | {f"dt={day}" for day in self.maybe}

    def _forget_dropped_runs(self, kept: set[str]) -> None:
        """Forget the runs that a prune ought to have dropped: all that ended and that no row came from."""
        stands = self.model.pointer.values()
        needed = {one.by for one in stands} | {row.run for one in stands for row in one.rows.values()}
        kept = (
            kept | {self.ids[name] for name in needed} | {one for day in DAYS for one in self.place.behind_status(day)}
        )
        self.model.runs = {name: one for name, one in self.model.runs.items() if one.dead or self.ids[name] in kept}

    def _add(self, verb: str, run_id: str) -> None:
        """Add a run that has no tasks of figures."""
        name = f"run {len(self.ids) + 1}"
        self.ids[name] = run_id
        self.model.runs[name] = Run(verb, dead=self.place.records()[run_id]["status"] == "running")

    def _one_of(self, day: str, versions: list[Version | None]) -> Version | None:
        found = [one for one in versions if self._expected(one) == self._table(day)]
        assert found, f"{day}: {self._table(day)}, expected one of {[self._expected(one) for one in versions]}"
        return found[0]

    def _table(self, day: str) -> Any:
        wrote, out = self.place.lineage(day)
        return self.place.rows(day), wrote, out

    def _expected_tables(self, model: Model) -> list[Any]:
        return [self._expected(model.pointer.get(day)) for day in DAYS]

    def _expected(self, version: Version | None) -> Any:
        if version is None:
            return None, {}, {}
        rows = {game: row.value for game, row in version.rows.items()}
        wrote = {game: self.ids[row.run] for game, row in version.rows.items()}
        return rows, wrote, {game: self.ids[name] for game, name in version.out.items()}


def _key(task: dict[str, Any]) -> Task:
    game, _, day = task["id"].split("/")
    return game, day


def _state(task: dict[str, Any]) -> str:
    if task["outcome"] == "suspect":
        return "ok" if task["published"] == "yes" else "held"
    return "ok" if task["outcome"] == "ok" else "open"


def _said(record: dict[str, Any]) -> Any:
    """Return what a record says, without when it was written."""
    attempts = [{**one, "heartbeat_at": ""} for one in record["attempts"]]
    return {**record, "attempts": attempts}


def run_machine(examples: int, *, alike: bool) -> None:
    """Try so many series of verbs, the same ones every time or others."""
    run_state_machine_as_test(
        Tables,
        settings=settings(
            max_examples=examples, stateful_step_count=8, deadline=None, database=None, derandomize=alike,
            print_blob=not alike, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


# A kill leaves a process that was forked; that the tests' own has threads is no matter to one that ends so.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_the_tables_are_as_the_model_says() -> None:
    """200 series of up to eight verbs, the same ones every time; some two and a half minutes of CPU."""
    run_machine(200, alike=True)


@pytest.mark.long
def test_the_tables_are_as_the_model_says_for_long() -> None:
    """5,000 others, new ones every time."""
    run_machine(5_000, alike=False)
