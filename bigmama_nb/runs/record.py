"""run.json: what happened, written whole and atomically by the one process that holds the run's lock.

Source of names and rules: docs/spec/runs_and_archive.md, "The archive".
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.executor.atomic_write import replace_file

Json = dict[str, Any]

HEARTBEAT_S = 15.0
SILENCE_S = 120.0


def now() -> str:
    """Return the present instant, ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def spelled(data: Json) -> str:
    """Return the record as JSON, a line for each of its keys and for each member of its lists.

    As quick as JSON without any line, which `indent` is not by far: the record is written over and over.
    """
    lines = []
    for key, value in data.items():
        if isinstance(value, list) and any(isinstance(member, dict) for member in value):
            members = ",\n ".join(json.dumps(member, ensure_ascii=False) for member in value)
            lines.append(f"{json.dumps(key)}: [\n {members}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{" + ",\n".join(lines) + "}\n"


def make_folder(folder: Path) -> None:
    """Make a new folder of the archive, with those above it.

    Raises:
        StorageError: it cannot be made; nothing was run.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: the archive's folder cannot be made ({error.strerror}). No stage was started and nothing was "
            "published; make room or mend archive.uri or the folder's rights, see 'run_all.py check', then run again.",
            place=str(folder),
        ) from None


class RunLock:
    """The run's lock: an flock on `<run>/.lock` that a killed holder frees and a silent one can lose.

    Who takes over a silent holder's run replaces the file, so that the old holder, woken, finds that the path is no
    longer the file it has locked.
    """

    def __init__(self, run_dir: Path, *, take_over: bool = False) -> None:
        self._path = run_dir / ".lock"
        if take_over:
            self._path.unlink(missing_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise UsageError(
                f"{run_dir.name}: another process is at work on this run. Nothing was done; wait for its end, see "
                f"'run_all.py runs show {run_dir.name}'."
            ) from None

    def held(self) -> bool:
        """Whether this process still holds the run's lock."""
        try:
            return os.fstat(self._fd).st_ino == self._path.stat().st_ino
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Free the lock."""
        os.close(self._fd)


class Record:
    """A run's record, open for writing; use as a context manager, which holds the lock and keeps the heartbeat."""

    def __init__(self, run_dir: Path, data: Json, lock: RunLock, scrub: Callable[[Any], tuple[Any, int]]) -> None:
        self.run_dir = run_dir
        self._data = data
        self._lock = lock
        self._scrub = scrub
        self._mutex = threading.RLock()
        self._ended = threading.Event()
        self._heartbeat_thread: threading.Thread | None = None

    @property
    def data(self) -> Json:
        """A copy of run.json as it stands."""
        with self._mutex:
            copied: Json = json.loads(json.dumps(self._data))
            return copied

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self._data["run_id"])

    def change(self, alter: Callable[[Json], None]) -> None:
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
            alter(self._data)
            if self._data["attempts"]:
                self._data["attempts"][-1]["heartbeat_at"] = now()
            clean, hits = self._scrub(self._data)
            clean["redactions"] = self._data["redactions"] = self._data["redactions"] + hits
            self._data = clean
            write_atomically(self.run_dir / "run.json", spelled(clean))

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
        while not self._ended.wait(HEARTBEAT_S):
            try:
                self.change(lambda data: None)
            except StorageError:
                # The next write of the run itself meets the same fault and says so.
                continue


def shown(data: Mapping[str, Any], *, at: datetime | None = None) -> Json:
    """Return the record as a reader sees it: a run that has been silent for two minutes is `abandoned`."""
    seen = dict(data)
    if seen.get("status") == "running":
        # Without an attempt its beginning, which its id names, is the last that was heard of it.
        last = seen["attempts"][-1]["heartbeat_at"] if seen["attempts"] else f"{seen['run_id'].partition('-')[0]}"
        beat = datetime.fromisoformat(last)
        if ((at or datetime.now(UTC)) - beat).total_seconds() > SILENCE_S:
            seen["status"] = "abandoned"
    return seen


def added(load: Iterable[Json], more: Iterable[Json]) -> list[Json]:
    """Return the load by cluster, counts added up."""
    total: dict[str, Json] = {}
    for entry in (*load, *more):
        before = total.setdefault(entry["cluster"], {"cluster": entry["cluster"]})
        for name in ("queries", "documents", "bytes"):
            before[name] = before.get(name, 0) + entry[name]
    return list(total.values())
