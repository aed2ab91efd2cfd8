"""Verbs in a process of their own, which SIGKILL ends before its n-th change of a file, and what stands afterwards.

The process is forked, so that it costs milliseconds. Its audit hook hears of every file that Python opens for writing,
makes, renames or deletes, and of every connection to the catalog: it is ended between two of them, wherever the code
does that, and nothing of it runs any more, no `finally` and no handler. Where a kill cuts a file in two is tested by
`tests/crashing.py`.

Notebooks are not executed: the stages' own functions publish, and the figures come from `Sources`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bigmama_nb.errors import BigmamaError
from bigmama_nb.executor.execute import Executed
from bigmama_nb.profile import Profile, load
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.record import write_atomically
from bigmama_nb.runs.services import Operator, Services
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task
from bigmama_nb.stages import game_metric
from bigmama_nb.stages.context import StageContext, begin
from tests.publishing import current_folder, rows_in

TABLE = "bigmama.game_metric"
CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "shutil.rmtree", "sqlite3.connect"}
)

PROFILE = """
timezone: Asia/Seoul
warehouse: {uri: warehouse, lock_wait_s: 0}
archive: {uri: archive}
checks: {on_suspect: hold}
clusters:
  east: {dump: dumps}
games:
  aa: {cluster: east, database: aa}
  bb: {cluster: east, database: bb}
metrics:
  wau:
    collection: daily
    date: {field: dt, as: yyyymmdd}
    value: {field: value}
    period: day
"""


@dataclass(frozen=True)
class Ended:
    """How a verb ended: what it returned, the error that it raised by its kind, or that it was killed."""

    killed: bool = False
    answer: Any = None
    error: str | None = None
    message: str = ""


class Silent:
    """Says nothing to nobody."""

    def __call__(self, text: str) -> None: ...

    def begins(self, stage: str) -> None: ...

    def ends(self, stage: str, text: str) -> None: ...


class Place:
    """A warehouse and an archive in a folder, and what the sources hold: a figure, a negative one that is implausible.

    `figures`: by task id what its source has; one that is not there is not ready.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "profile.yaml").write_text(PROFILE)
        self.profile: Profile = load(folder / "profile.yaml")
        self.figures: dict[str, int] = {}
        self.warehouse = folder / "warehouse"
        self.runs = folder / "archive" / "runs"

    def operator(self, at: datetime) -> Operator:
        """Return what a verb works with at an instant."""
        return Operator(Silent(), Stop(), Services(execute=self._execute, clock=lambda: at))

    def do(self, verb: Callable[[], Any], kill_at: int | None = None) -> Ended:
        """Do a verb in a process of its own, which is killed before its `kill_at`th change of a file."""
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reads)
            self._child(verb, writes, kill_at)
        os.close(writes)
        with os.fdopen(reads, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return Ended(killed=True)
        return Ended(**json.loads(said))

    def _child(self, verb: Callable[[], Any], writes: int, kill_at: int | None) -> None:
        # What a run says of the machine's git is of no matter here, and takes longer than all else.
        os.environ["PATH"] = ""
        # A collection would copy every page that the two processes share.
        gc.disable()
        if kill_at is not None:
            sys.addaudithook(_Killer(str(self.folder), kill_at))
        try:
            answer = verb()
            said: dict[str, Any] = {"answer": answer if isinstance(answer, str | list | None) else answer.run_id}
        except BigmamaError as error:
            said = {"error": type(error).__name__, "message": str(error)}
        except BaseException as error:
            said = {"error": "unforeseen", "message": f"{type(error).__name__}: {error}"}
        os.write(writes, json.dumps(said).encode())
        os._exit(0)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the table's lock, as another run's publish does."""
        path = self.warehouse / ".locks" / TABLE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def rows(self, day: str) -> dict[str, int] | None:
        """Return by game what a reader sees of a day; None where it sees no such partition."""
        found = rows_in(self.warehouse, f"dt={day}")
        return None if found is None else {key.partition("/")[0]: value for key, value in found.items()}

    def behind_status(self, day: str) -> set[str]:
        """Return the runs that the current rows of the status table came from."""
        said = self._said(f"{TABLE}_status", day)
        return {said["run"], *(group["run"] for group in said["groups"])} if said else set()

    def lineage(self, day: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return by game which run wrote its row, and by game which run took its row out."""
        said = self._said(TABLE, day)
        if said is None:
            return {}, {}
        wrote = {group["key"][0]: group["run"] for group in said["groups"]}
        return wrote, {one["key"][0]: one["run"] for one in said.get("retracted", [])}

    def _said(self, table: str, day: str) -> Any:
        folder = current_folder(self.warehouse, table, f"dt={day}")
        return None if folder is None else json.loads((folder / "_lineage.json").read_text())

    def records(self) -> dict[str, dict[str, Any]]:
        """Return every run's record by its id."""
        return {path.parent.name: json.loads(path.read_bytes()) for path in self.runs.glob("2*/run.json")}

    def _execute(
        self, notebook: Path, output: Path, parameters: Mapping[str, Any], *, about: Any, **_: object
    ) -> Executed:
        """Do what a stage's notebook does, without a kernel."""
        here = begin(about.stage, **{name: value for name, value in parameters.items() if name != "table"})
        if about.stage == "10_extract":
            here.write_artifact(artifacts.EXTRACTED, [self._measured(task) for task in here.planned("game_metric")])
        elif about.stage == "20_normalize":
            extracted = artifacts.read_tasks(here.run_dir, artifacts.EXTRACTED)
            here.write_artifact(artifacts.NORMALIZED, [_judged(here, task) for task in extracted])
        elif about.stage == "40_write_parquet":
            game_metric.publish(here)
        write_atomically(output, "{}")
        return Executed(about.stage, output, "0", "ok", 0.0, None, None, None, 0, {"receipt": here.said})

    def _measured(self, task: Task) -> Task:
        value = self.figures.get(task.id)
        if value is None:
            return Task(**{**vars(task), "outcome": "not_ready", "message": f"{task.id} is not there"})
        return Task(**{**vars(task), "outcome": "ok", "value": value, "rows": 1, "source": "dump"})


def _judged(here: StageContext, task: Task) -> Task:
    assert here.under_way
    if task.value is None or task.value > 0:
        return task
    return Task(**{**vars(task), "outcome": "suspect", "message": f"{task.id} is implausible"})


class _Killer:
    def __init__(self, folder: str, left: int) -> None:
        self._folder = folder
        self._left = left

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            _, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if mode is None else set(mode) & set("wax+")
            if not writes:
                return
        elif event not in CHANGES:
            return
        # What a tree holds is deleted by names that are told from its folder.
        if self._folder in str(arguments[0]) or event in ("os.remove", "os.rmdir"):
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
