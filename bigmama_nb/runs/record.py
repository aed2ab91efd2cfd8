"""run.json: what happened, as typed models, written whole and atomically by the one who holds the run's lock.

Source of names and rules: docs/spec/runs_and_archive.md, "The archive".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from bigmama_nb.errors import StorageError, with_state
from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.project import as_called, without_run
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.task import COUNTS, Task

Json = dict[str, Any]

FORMAT = 1
HEARTBEAT_S = 15.0
SILENCE_S = 120.0
REPORT = "50_report"
AGAIN = {"rollback": "rollback", "recover": "recover", "prune": "runs prune", "rewrite": "republish --form"}
"""The verbs whose runs have nothing to finish: they moved what they name or nothing, and are given again."""
OK, NOTHING, PARTLY, LOCKED = 0, 1, 3, 75


def now() -> str:
    """Return the present instant, ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Entry(BaseModel):
    """A part of run.json; keys that a newer version added are kept as they are."""

    model_config = ConfigDict(extra="allow")


def _nothing(value: object) -> bool:
    return not value


Seldom = Annotated[str | None, Field(exclude_if=_nothing)]
"""A text that is written only where there is one."""


class ProfileRead(Entry):
    """The profile as it was read: its path, and the checksum of its bytes."""

    path: str = ""
    sha256: str = ""


class NotebookEntry(Entry):
    """What became of one notebook of an attempt; `path` and `sha256` are None where no file was left."""

    stage: str
    table: str | None = None
    path: str | None = None
    sha256: str | None = None
    outcome: str
    seconds: float | None = None
    error: Seldom = None

    @property
    def name(self) -> str:
        """How the archive names it: `40_write_parquet.game_metric`."""
        return f"{self.stage}.{self.table}" if self.table else self.stage


class ArchivedFile(Entry):
    """A file of an attempt as it was archived; `path` is told from the run's folder."""

    path: str
    sha256: str


class AttemptEntry(Entry):
    """One pass over the stages: by which verb and whom, from when to when, and its notebooks."""

    n: int = 1
    verb: str = "run"
    person: str | None = None
    reason: Seldom = None
    profile_sha256: str | None = None
    pid: int | None = None
    started_at: str = ""
    heartbeat_at: str = ""
    ended_at: str | None = None
    signal: str | None = None
    abandoned: Annotated[bool, Field(exclude_if=_nothing)] = False
    over: Annotated[bool, Field(exclude_if=_nothing)] = False
    notebooks: list[NotebookEntry] = Field(default_factory=list)
    files: list[ArchivedFile] = Field(default_factory=list)


def _task(entry: Any) -> Task:
    return entry if isinstance(entry, Task) else Task.of_record(entry)


RecordedTask = Annotated[Task, PlainValidator(_task), PlainSerializer(Task.as_recorded)]


class RunRecord(Entry):
    """All of run.json, format 1."""

    format: int = FORMAT
    run_id: str
    verb: str = "run"
    status: str
    exit_status: int | None = None
    reason: Seldom = None
    person: str | None = None
    of: Seldom = None
    error: Seldom = None
    status_error: Seldom = None
    profile: ProfileRead = ProfileRead()
    pipelines: list[str] = Field(default_factory=list)
    first: str = Field("", validation_alias=AliasChoices("from", "first"), serialization_alias="from")
    last: str = Field("", validation_alias=AliasChoices("to", "last"), serialization_alias="to")
    games: list[str] = Field(default_factory=list)
    metrics: list[str] = Field(default_factory=list)
    run_timestamp: str = ""
    scratch: bool = False
    allow_empty: bool = False
    again: Annotated[bool, Field(exclude_if=_nothing)] = False
    over: Annotated[bool, Field(exclude_if=_nothing)] = False
    environment: Json = Field(default_factory=dict)
    attempts: list[AttemptEntry]
    tasks: list[RecordedTask] = Field(default_factory=list)
    published: list[Json] = Field(default_factory=list)
    dropped: Annotated[list[str], Field(exclude_if=_nothing)] = Field(default_factory=list)
    inputs: list[Json] = Field(default_factory=list)
    load: list[Json] = Field(default_factory=list)
    redactions: int = 0

    @property
    def started_at(self) -> str | None:
        """When its first attempt began."""
        return self.attempts[0].started_at if self.attempts else None

    @property
    def report_error(self) -> str | None:
        """What the last attempt's report ended by; None where it is well, or there was none to make."""
        books = [book for book in self.attempts[-1].notebooks if book.stage == REPORT] if self.attempts else []
        if not books or books[-1].outcome == "ok":
            return None
        return f"{REPORT} ended {books[-1].outcome}{f': {books[-1].error}' if books[-1].error else ''}"

    @property
    def is_open(self) -> bool:
        """Whether a repair has something to do."""
        if self.verb in AGAIN:
            return False
        return not all(task.succeeded for task in self.tasks) or bool(self.report_error or self.status_error)

    def replace_tasks(self, tasks: Iterable[Task]) -> None:
        """Enter tasks in place of those of their ids; others come behind."""
        new = {task.id: task for task in tasks}
        known = {task.id for task in self.tasks}
        # One that is equal stays itself, so that it is not written anew.
        self.tasks = [task if (other := new.get(task.id, task)) == task else other for task in self.tasks]
        self.tasks += [task for name, task in new.items() if name not in known]

    def end(self, signum: int | None = None) -> None:
        """Settle the status and the exit status by what became of the tasks, of the report and of the status table."""
        self.exit_status = exit_status(self.tasks, signum)
        if self.exit_status == OK and (self.report_error or self.status_error):
            self.exit_status = PARTLY
        self.status = status(self.exit_status)

    def as_json(self) -> Json:
        """Return what run.json holds; a hint in it names the profile, since it is read anywhere."""
        held = self._with_hints(self.without_tasks().model_dump(by_alias=True))
        return held | {"tasks": [self.entry(task) for task in self.tasks]}

    def without_tasks(self) -> Self:
        """Return the record with no task in it."""
        return self.model_copy(update={"tasks": []})

    def entry(self, task: Task) -> Json:
        """Return what run.json holds of one of the tasks."""
        return self._with_hints(task.as_recorded())

    def _with_hints(self, entry: Json) -> Json:
        for name in ("message", "error"):
            if entry.get(name) is not None:
                entry[name] = as_called(self.hinted(entry[name]), self.profile.path)
        return entry

    def hinted(self, text: str) -> str:
        """Return a text whose `repair latest` finishes this run, also where its verb is one that this passes over."""
        if self.verb in AGAIN:
            return without_run(text)
        return without_run(text, f"'run_all.py repair {self.run_id}'") if self.verb == "retract" else text


def exit_status(tasks: Sequence[Task], signum: int | None = None) -> int:
    """Return the exit status of a run whose tasks are these, and which ended by a signal where one is given."""
    if signum is not None:
        return 128 + signum
    successes = [task for task in tasks if task.succeeded]
    if len(successes) == len(tasks):
        return OK
    if successes:
        return PARTLY
    return LOCKED if any(task.reason == "locked" for task in tasks) else NOTHING


def status(exit_status: int) -> str:
    """Return the record's word for an exit status: ok, partial or failed."""
    return {OK: "ok", PARTLY: "partial"}.get(exit_status, "failed")


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: a reader sees the old file or the new one.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file is as it was.
    """
    try:
        # A lone surrogate, as in a file's name that is no UTF-8, has no bytes; as a JSON escape it is kept.
        replace_file(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). The file is as it was; make room or mend the folder's "
            "rights.",
            place=str(path),
        ) from None


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def spelled(data: Json, tasks: Sequence[str] = ()) -> str:
    """Return the record as JSON, a line for each of its keys and for each member of its lists.

    As quick as JSON without any line, which `indent` is not by far: the record is written over and over.

    Args:
        tasks: the lines of tasks that `data` is without.
    """
    lines = []
    for key, value in data.items():
        if key == "tasks" and tasks:
            lines.append('"tasks": [\n ' + ",\n ".join(tasks) + "\n]")
        elif isinstance(value, list) and any(isinstance(member, dict) for member in value):
            members = ",\n ".join(json.dumps(member, ensure_ascii=False) for member in value)
            lines.append(f"{json.dumps(key)}: [\n {members}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{" + ",\n".join(lines) + "}\n"


def without_tasks(content: bytes) -> bytes:
    """Return the bytes of a run.json without its tasks, if they stand there as `spelled` writes them: they are many.

    In JSON a line never ends within a text.
    """
    begin = content.find(b'\n"tasks": [\n')
    end = content.find(b"\n]", begin)
    return content if begin < 0 or end < 0 else content[:begin] + b'\n"tasks": [' + content[end:]


def make_folder(folder: Path) -> None:
    """Make a new folder of the archive, with those above it.

    Raises:
        StorageError: it cannot be made; nothing was run.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(
            with_state(
                f"{folder}: the archive's folder cannot be made ({error.strerror})",
                "No stage was started and nothing was published",
                "make room or mend archive.uri or the folder's rights, see 'run_all.py check', then run again",
            ),
            place=str(folder),
        ) from None


class Record:
    """A run's record, open for writing; use as a context manager, which holds the lock and keeps the heartbeat."""

    def __init__(
        self,
        run_dir: Path,
        run: RunRecord,
        lock: RunLock,
        scrub: Callable[[Any], tuple[Any, int]],
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.run_dir = run_dir
        self._run = run
        self._lock = lock
        self._scrub = scrub
        self._heartbeat_s = heartbeat_s
        self._lines: dict[int, tuple[Task, str]] = {}
        self._mutex = threading.RLock()
        self._ended = threading.Event()
        self._heartbeat_thread: threading.Thread | None = None

    @property
    def run(self) -> RunRecord:
        """A copy of the record as it stands."""
        with self._mutex:
            return self._run.model_copy(deep=True)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    def change(self, alter: Callable[[RunRecord], object]) -> None:
        """Alter the record and write it whole.

        Raises:
            StorageError: it cannot be written, or another process took the run over.
        """
        with self._mutex:
            if not self._lock.held():
                raise StorageError(
                    f"{self.run_id}: another process took this run over after {SILENCE_S:.0f} s of silence. This one "
                    "stops and writes nothing more."
                )
            alter(self._run)
            if self._run.attempts:
                self._run.attempts[-1].heartbeat_at = now()
            clean, hits = self._scrub(self._run.without_tasks().as_json())
            in_tasks = self._spell()
            if hits or in_tasks:
                clean, hits = self._scrub(self._run.as_json())
                # What was hidden once is not counted again when the record is written next.
                clean["redactions"] = self._run.redactions + hits
                self._run = RunRecord.model_validate(clean)
                self._lines.clear()
            lines = [line for _, line in self._lines.values()]
            write_atomically(self.run_dir / "run.json", spelled(clean, lines))

    def _spell(self) -> int:
        """Make the lines of tasks that had none yet: they are many, and few differ from one write to the next.

        Returns the secrets that were found in them; then there is no new line.
        """
        known = self._lines
        new = [task for task in self._run.tasks if id(task) not in known]
        entries = [self._run.entry(task) for task in new]
        # Most of them say the same: each text is looked at once, and each key.
        said = {value for entry in entries for value in entry.values() if isinstance(value, str)}
        keys = {entry["pipeline"]: [*entry] for entry in entries}
        _, hits = self._scrub([*said, *keys.values(), *COUNTS])
        if not hits:
            lines = {id(task): (task, _ENCODER.encode(entry)) for task, entry in zip(new, entries, strict=True)}
            self._lines = {id(task): lines.get(id(task)) or known[id(task)] for task in self._run.tasks}
        return hits

    def __enter__(self) -> Self:
        self._heartbeat_thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heartbeat_thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._heartbeat_thread is not None:
            self._heartbeat_thread.join()
        self._lock.release()

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            try:
                self.change(lambda run: None)
            except StorageError:
                # The next write of the run itself meets the same fault and says so.
                continue


def shown(run: RunRecord, *, at: datetime | None = None) -> RunRecord:
    """Return the record as a reader sees it: a run that has been silent for two minutes is `abandoned`."""
    heartbeat_at = run.attempts[-1].heartbeat_at if run.attempts else None
    status = shown_status(run.status, run.run_id, heartbeat_at, at or datetime.now(UTC))
    return run if status == run.status else run.model_copy(update={"status": status})


def shown_status(recorded: str, run_id: str, heartbeat_at: str | None, at: datetime) -> str:
    """Return a run's status as a reader sees it at that instant; `heartbeat_at` is None before its first attempt."""
    if recorded != "running":
        return recorded
    # Without an attempt its beginning, which its id names, is the last that was heard of it.
    last = datetime.fromisoformat(heartbeat_at or run_id.partition("-")[0])
    last = last.replace(tzinfo=last.tzinfo or UTC)
    return "abandoned" if (at - last).total_seconds() > SILENCE_S else recorded


def added(load: Iterable[Json], more: Iterable[Json]) -> list[Json]:
    """Return the load by cluster, counts added up."""
    total: dict[str, Json] = {}
    for entry in (*load, *more):
        before = total.setdefault(entry["cluster"], {"cluster": entry["cluster"]})
        for name in ("queries", "documents", "bytes"):
            before[name] = before.get(name, 0) + entry[name]
    return list(total.values())
