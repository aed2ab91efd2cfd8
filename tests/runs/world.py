"""A small world for the tests of runs: three games on two clusters, their dumps, and the command that reads them."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import nbformat
import pytest

from bigmama_nb.cli import main
from bigmama_nb.executor.execute import Executed
from bigmama_nb.runs.record import write_atomically
from bigmama_nb.runs.services import Services
from bigmama_nb.runs.task import Task
from bigmama_nb.stages.context import StageContext

REPO = Path(__file__).resolve().parents[2]
DAYS = [date(2024, 4, 28) + timedelta(days=n) for n in range(5)]
CLUSTERS = {"aa": "east", "bb": "east", "cc": "west"}

PROFILE = """
timezone: Asia/Seoul
dates: {from: 2024-04-28, to: 2024-05-02}
warehouse: {uri: warehouse, lock_wait_s: 0}
archive: {uri: archive}
clusters:
  east: {dump: dumps/east}
  west: {dump: dumps/west}
games:
  aa: {name: Game A, cluster: east, database: aa}
  bb: {name: Game B, cluster: east, database: bb}
  cc: {name: Game C, cluster: west, database: cc}
metrics:
  wau:
    collection: daily
    date: {field: dt, as: yyyymmdd}
    value: {field: value}
    period: day
  orders:
    collection: orders
    date: {field: at, as: date}
    value: {count: true}
    period: month
"""


def wau(game: str, day: date) -> int:
    """What `wau` of a game and day is, by the world's making."""
    return 1000 * (1 + list(CLUSTERS).index(game)) + day.day


def orders(game: str, day: date) -> int:
    """How many orders of a day there are."""
    return 1 + (day.day + len(game) + ord(game[0])) % 3


@dataclass
class World:
    """Dumps, a profile and the command, in a folder."""

    folder: Path
    text: str = PROFILE
    said: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[StageContext], None] | None = None
    """What is done to the context of a stage, as soon as its notebook has one."""
    services: Services = field(default_factory=Services)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for game in CLUSTERS:
            self.heal(game)
        self.write_profile()

    @property
    def profile(self) -> Path:
        return self.folder / "profile.yaml"

    def write_profile(self, *changes: tuple[str, str]) -> None:
        """Write the profile, with parts of its text replaced."""
        for before, after in changes:
            assert before in self.text
            self.text = self.text.replace(before, after)
        self.profile.write_text(self.text, encoding="utf-8")

    def dump(self, game: str, collection: str) -> Path:
        return self.folder / "dumps" / CLUSTERS[game] / game / f"{collection}.bson"

    def write(self, game: str, collection: str, documents: Sequence[dict[str, Any]]) -> None:
        """Write a collection's dump."""
        self.dump(game, collection).parent.mkdir(parents=True, exist_ok=True)
        self.dump(game, collection).write_bytes(b"".join(bson.encode(document) for document in documents))

    def daily(self, game: str, days: Sequence[date] = DAYS) -> list[dict[str, Any]]:
        """Return the documents of `daily`."""
        return [{"_id": n, "dt": f"{day:%Y%m%d}", "value": wau(game, day)} for n, day in enumerate(days)]

    def heal(self, game: str) -> None:
        """Write both dumps of a game as they should be."""
        self.write(game, "daily", self.daily(game))
        noon = [datetime(day.year, day.month, day.day, 3, tzinfo=UTC) for day in [date(2024, 4, 1), *DAYS]]
        self.write(game, "orders", [{"at": at} for at in noon for _ in range(orders(game, at.date()))])

    def break_(self, game: str) -> None:
        """Cut both dumps of a game in the middle of their last document."""
        for collection in ("daily", "orders"):
            whole = self.dump(game, collection).read_bytes()
            self.dump(game, collection).write_bytes(whole[:-3])

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run the command in this process, notebooks as `in_process` executes them; return its JSON object."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([*arguments, "--profile", str(self.profile), "--json"], self.services)
        self.said = err.getvalue()
        answer = json.loads(out.getvalue())
        assert answer["exit_status"] == ended.value.code
        return dict(answer)

    def text_of(self, *arguments: str) -> str:
        """Run the command in this process; return what a person reads on stdout."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            main([*arguments, "--profile", str(self.profile)], self.services)
        self.said = err.getvalue()
        return out.getvalue()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command as its users do, in a process of its own."""
        words = [sys.executable, str(REPO / "run_all.py"), *arguments, "--profile", str(self.profile), "--json"]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def real(self, *arguments: str) -> dict[str, Any]:
        """Run the command in a process of its own, notebooks in kernels; return its JSON object."""
        with self.start(*arguments) as process:
            out, self.said = process.communicate()
        answer = json.loads(out)
        assert answer["exit_status"] == process.returncode
        return dict(answer)

    def rows(self) -> dict[tuple[str, str, str], int]:
        """Return what a reader sees: (game_cd, type, dt) to value."""
        found = self.command("sql", "select game_cd, type, dt, value from bigmama.game_metric")["data"]
        return {(game, type_, dt): value for game, type_, dt, value in found["rows"]}

    def files(self) -> dict[str, str]:
        """Return the checksum of each file of a copy, one a partition."""
        export = self.folder / f"export-{len(list(self.folder.glob('export-*')))}"
        assert self.command("export", "game_metric", str(export))["exit_status"] == 0
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in export.glob("*.parquet")}


def expected(*games: str) -> dict[tuple[str, str, str], int]:
    """Return the rows of these games after all days, counted by hand from how the world is made."""
    rows = {}
    for game in games:
        for day in DAYS:
            rows[game, "wau", f"{day:%Y%m%d}"] = wau(game, day)
        april = [date(2024, 4, 1), *(day for day in DAYS if day.month == 4)]
        rows[game, "orders", "20240401"] = sum(orders(game, day) for day in april)
        rows[game, "orders", "20240501"] = sum(orders(game, day) for day in DAYS if day.month == 5)
    return rows


@contextmanager
def in_process(_: pytest.MonkeyPatch, world: World) -> Iterator[World]:
    """Execute the notebooks' own cells in this process, which costs no kernel; `world.outcomes` makes stages die.

    The real thing is tested beside it, in test_command.py, by the same assertions.
    """

    def execute(notebook: Path, output: Path, parameters: dict[str, Any], *, about: Any, **_: Any) -> Executed:
        scraps: dict[str, Any] = {}
        fate = world.outcomes.get(output.stem, "ok")
        error = None
        if fate != "never ran":
            try:
                names = run_cells(notebook, parameters, world.prepare)
                scraps["receipt"] = names["here"].said
            except Exception as raised:
                fate, error = "failed", f"{type(raised).__name__}: {raised}"
        if fate != "ok":
            scraps.clear()
            error = error or "the kernel died by SIGKILL"
        write_atomically(output, "{}")
        outcome: Any = "killed" if fate == "never ran" else fate
        sha256 = hashlib.sha256(b"{}").hexdigest()
        return Executed(about.stage, output, sha256, outcome, 0.0, "work" if error else None, error, None, 0, scraps)

    world.services = replace(world.services, execute=execute)
    yield world


def run_cells(
    notebook: Path, parameters: dict[str, Any], prepare: Callable[[StageContext], None] | None = None
) -> dict[str, Any]:
    """Execute a notebook's code cells with `parameters` in place of those of its parameters cell; return its names."""
    names: dict[str, Any] = {}
    # Outside a kernel a display is printed, and stdout is the command's.
    with redirect_stdout(io.StringIO()):
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{notebook.name}:{cell.id}", "exec"), names)
                if "parameters" in cell.metadata.get("tags", []):
                    names.update(parameters)
                if prepare is not None and "here" in names:
                    prepare(names["here"])
                    prepare = None
    return names


def lose_the_disk(here: StageContext) -> None:
    """Have a stage that publishes die before it hands over what became of it."""
    write = here.write_artifact

    def lost(name: str, tasks: Sequence[Task]) -> None:
        if name.startswith("published."):
            raise RuntimeError("the disk is gone")
        write(name, tasks)

    here.write_artifact = lost  # type: ignore[method-assign]
