"""What the tables and the archive ought to be after any verbs, in a page: no file, no lock, no process.

It shares nothing with the package. A day's versions are a chain; the pointer names one of them, and readers see its
rows. A run knows of each of its figures whether it is `ok`, `held` or `open`, and what it found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

Task = tuple[str, str]
"""A game and a day."""


@dataclass(frozen=True)
class Row:
    """A figure that readers see, and the run that wrote it."""

    value: int
    run: str


@dataclass(frozen=True, eq=False)
class Version:
    """What a day was published as and by which run: its rows by game, who took which out, and what stood before."""

    by: str
    rows: Mapping[str, Row]
    out: Mapping[str, str]
    before: Version | None


@dataclass
class Run:
    """A run: its verb, what became of its tasks, and what it found of those that it holds.

    `begun`: whose release was begun and did not get there, and whether it was told `--over`. `of`: whose figures a
    republish brings. `dead`: it was killed, and nobody has taken it over.
    """

    verb: str
    tasks: dict[Task, str] = field(default_factory=dict)
    found: dict[Task, int] = field(default_factory=dict)
    begun: dict[Task, bool] = field(default_factory=dict)
    again: bool = False
    over: bool = False
    of: str | None = None
    dead: bool = False

    @property
    def status(self) -> str:
        """What the record says of the whole run."""
        well = sum(state == "ok" for state in self.tasks.values())
        return "ok" if well == len(self.tasks) else "partial" if well else "failed"


@dataclass
class Model:
    """What readers see, what is open, what is held, and who wrote what."""

    sources: dict[Task, int] = field(default_factory=dict)
    pointer: dict[str, Version] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    order: list[str] = field(default_factory=list)

    def rows(self, day: str) -> dict[str, Row] | None:
        """Return what readers see of a day; None where nothing was published."""
        return dict(self.pointer[day].rows) if day in self.pointer else None

    def out(self, task: Task) -> bool:
        """Whether a figure was retracted and has not been asked for again since."""
        game, day = task
        return day in self.pointer and game in self.pointer[day].out

    def publish(
        self,
        run_id: str,
        figures: Mapping[Task, int],
        *,
        again: bool = False,
        found_by: str | None = None,
        over: bool = False,
    ) -> dict[Task, str]:
        """Publish figures; return which are `ok` (published, or retracted and out), and which are `outdone`."""
        became: dict[Task, str] = {}
        for day in sorted({day for _, day in figures}):
            stands = self.pointer.get(day)
            brings = {}
            for (game, on), value in figures.items():
                if on != day:
                    continue
                became[game, day] = "ok"
                if (
                    stands is not None
                    and game in stands.out
                    and not (again and self._earlier(stands.out[game], run_id))
                ):
                    became[game, day] = "out"
                elif found_by and not over and self._corrected(stands, game, value, found_by, run_id):
                    became[game, day] = "outdone"
                else:
                    brings[game] = Row(value, run_id)
            if brings:
                rows = {**(stands.rows if stands else {}), **brings}
                out = {game: by for game, by in (stands.out if stands else {}).items() if game not in brings}
                self.pointer[day] = Version(run_id, rows, out, stands)
        return became

    def _corrected(self, stands: Version | None, game: str, value: int, found_by: str, run_id: str) -> bool:
        """Whether a run that began after the one that found a figure wrote another one."""
        row = stands.rows.get(game) if stands else None
        if row is None or row.value == value or row.run in (found_by, run_id):
            return False
        return self._earlier(found_by, row.run)

    def _earlier(self, first: str, second: str) -> bool:
        return self.order.index(first) < self.order.index(second)

    def collect(self, run_id: str, tasks: Collection[Task], *, locked: bool = False) -> None:
        """Ask the sources for tasks of a run and publish what is plausible."""
        run = self.runs[run_id]
        for task in tasks:
            run.tasks[task] = "open"
            run.begun.pop(task, None)
            value = self.sources.get(task)
            if value is not None:
                run.found[task] = value
            if value is not None and value < 0:
                run.tasks[task] = "held"
        brings = {task: run.found[task] for task in tasks if self.sources.get(task, -1) > 0}
        self._bring(run_id, brings, locked=locked, again=run.again)

    def bring(self, run_id: str, tasks: Collection[Task], *, locked: bool = False) -> None:
        """Publish what another run found, as a republish does."""
        run = self.runs[run_id]
        figures = {task: run.found[task] for task in tasks}
        self._bring(run_id, figures, locked=locked, again=run.again, found_by=run.of, over=run.over)

    def release(self, run_id: str, task: Task, *, over: bool, locked: bool = False) -> None:
        """Publish what a run holds; where it cannot be it is held still, and the release is begun."""
        run = self.runs[run_id]
        run.tasks[task] = "held"
        run.begun[task] = over
        if locked:
            return
        became = self.publish(run_id, {task: run.found[task]}, again=run.again, found_by=run_id, over=over)
        if became[task] == "ok":
            run.tasks[task] = "ok"
            run.begun.pop(task)

    def retract(self, run_id: str, task: Task, *, locked: bool = False) -> None:
        """Take a row out; one that is not there is out."""
        game, day = task
        run = self.runs[run_id]
        run.tasks[task] = "open" if locked else "ok"
        stands = self.pointer.get(day)
        if not locked and stands is not None and game in stands.rows:
            rows = {other: row for other, row in stands.rows.items() if other != game}
            self.pointer[day] = Version(run_id, rows, {**stands.out, game: run_id}, stands)

    def repair(self, run_id: str, *, locked: bool = False) -> Iterator[None]:
        """Finish what a run began, step by step: each release that was begun, then the same verb with the same inputs.

        Each step is an attempt that readers see whole or not at all.
        """
        run = self.runs[run_id]
        redo = [task for task, state in run.tasks.items() if state != "ok"]
        if run.verb == "retract":
            for task in redo:
                self.retract(run_id, task, locked=locked)
        elif run.verb == "republish":
            self.bring(run_id, redo, locked=locked)
        else:
            begun = [task for task in redo if task in run.begun]
            for task in begun:
                self.release(run_id, task, over=run.begun[task], locked=locked)
                yield
            self.collect(run_id, [task for task in redo if task not in begun], locked=locked)
        yield

    def before(self, day: str) -> Version | None:
        """Return what stood before the version that stands, where it is kept still."""
        stands = self.pointer.get(day)
        before = stands.before if stands else None
        return None if before is None or id(before) in self.gone else before

    def copy(self) -> Model:
        """Return a copy on which a verb may be tried."""
        runs = {
            name: replace(run, tasks=dict(run.tasks), found=dict(run.found), begun=dict(run.begun))
            for name, run in self.runs.items()
        }
        return Model(dict(self.sources), dict(self.pointer), runs, set(self.gone), list(self.order))

    def _bring(
        self,
        run_id: str,
        figures: Mapping[Task, int],
        *,
        locked: bool,
        again: bool,
        found_by: str | None = None,
        over: bool = False,
    ) -> None:
        run = self.runs[run_id]
        if locked:
            run.tasks |= dict.fromkeys(figures, "open")
            return
        for task, became in self.publish(run_id, figures, again=again, found_by=found_by, over=over).items():
            run.tasks[task] = "open" if became == "outdone" else "ok"
