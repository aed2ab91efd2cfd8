"""The archive as its readers see it: the runs there are, and one by its name."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bigmama_nb.errors import NOTHING_DONE, UsageError, did_you_mean, how_many
from bigmama_nb.runs.record import FORMAT, RunRecord, shown, without_tasks

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
ORDER = "order.txt"
"""The ids of the runs, one a line, as they began: a clock that is set back does not change what came last."""


@dataclass(frozen=True)
class Unreadable:
    """A run whose record cannot be read, and why."""

    run_id: str
    why: str


def new_run_id(at: datetime | None = None) -> str:
    """Return a new run's id: its start in UTC and six random hex digits, `20240502T020304Z-1a2b3c`."""
    return f"{(at or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def note_begin(archive: Path, run_id: str) -> None:
    """Note that a run begins after all that stand there."""
    # Without the note the run is ordered by its id.
    with contextlib.suppress(OSError), (archive / "runs" / ORDER).open("a", encoding="ascii") as order:
        order.write(f"{run_id}\n")


def run_ids(archive: Path) -> list[str]:
    """Return the ids of all recorded runs, oldest first."""
    runs = archive / "runs"
    if not runs.is_dir():
        return []
    ids = [folder.name for folder in runs.iterdir() if RUN_ID.fullmatch(folder.name) and was_recorded(folder)]
    return in_order(archive, ids)


def was_recorded(folder: Path) -> bool:
    """Whether a run's folder has a record, or had one: attempts begin after the first record."""
    return os.path.lexists(folder / "run.json") or (folder / "1").is_dir()


def in_order(archive: Path, ids: list[str]) -> list[str]:
    """Return ids of recorded runs, oldest first."""
    runs = archive / "runs"
    # An id knows the second; of runs that began in the same one, the records know which came first.
    seconds = Counter(run_id.partition("-")[0] for run_id in ids)
    by_clock = sorted(
        ids, key=lambda run_id: (run_id[:16], _began(archive, run_id) if seconds[run_id[:16]] > 1 else "")
    )
    there = set(ids)
    noted = {run_id: at for at, run_id in enumerate(_noted(runs)) if run_id in there}
    if not noted:
        return by_clock
    # Those that were never noted stand where their ids put them: before the first noted one that is later.
    order = sorted(noted, key=noted.__getitem__)
    for run_id in by_clock:
        if run_id not in noted:
            at = next((at for at, other in enumerate(order) if other[:16] > run_id[:16]), len(order))
            order.insert(at, run_id)
    return order


def _noted(runs: Path) -> list[str]:
    try:
        return (runs / ORDER).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _began(archive: Path, run_id: str) -> str:
    try:
        return read(archive, run_id).started_at or ""
    except UsageError:
        return ""


def read(archive: Path, run_id: str, *, tasks: bool = True) -> RunRecord:
    """Return a run's record as readers see it; without `tasks`, which can be many, where nobody looks at them.

    Raises:
        UsageError: the record cannot be read, or a newer version wrote it in another format.
    """
    path = archive / "runs" / run_id / "run.json"
    try:
        content = path.read_bytes()
        if tasks:
            run = RunRecord.model_validate_json(content)
        else:
            run = RunRecord.model_validate(json.loads(without_tasks(content)) | {"tasks": []})
        if run.format != FORMAT:
            raise ValueError(f"its format is {run.format}, and this version reads {FORMAT}")
        if run.run_id != run_id:
            raise ValueError(f"it is the record of {run.run_id}: the folder was copied or renamed")
        return shown(run)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else str(first["msg"])
    except (OSError, ValueError, TypeError, AttributeError) as error:
        why = str(error)
    raise UsageError(f"{path}: cannot be read ({why})", state=NOTHING_DONE) from None


def read_all(archive: Path) -> list[RunRecord | Unreadable]:
    """Return every run, oldest first; one whose record cannot be read stands there as what it is."""
    found: list[RunRecord | Unreadable] = []
    for run_id in run_ids(archive):
        try:
            found.append(read(archive, run_id))
        except UsageError as error:
            found.append(Unreadable(run_id, str(error)))
    return found


def find(archive: Path, name: str) -> str:
    """Return the id of the run that `name` names: `latest`, `latest-ok`, an id or an id's unique beginning.

    A run whose record cannot be read is neither the latest nor the latest that is ok.

    Raises:
        UsageError: no run or several runs are named so.
    """
    ids = run_ids(archive)
    if not ids:
        raise UsageError(f"{archive}: no run is recorded here", state=NOTHING_DONE, step="'run_all.py run' makes one")
    if name in ("latest", "latest-ok"):
        return _latest(archive, ids, ok=name == "latest-ok")
    begin = [run_id for run_id in ids if run_id.startswith(name)] if name else []
    if len(begin) == 1:
        return begin[0]
    if len(begin) > 1:
        raise UsageError(
            f"{name!r} begins {len(begin)} runs: {', '.join(sorted(begin)[:5])}", state=NOTHING_DONE, step="name one"
        )
    raise UsageError(
        f"{name!r} names no run in {archive}.{did_you_mean(name, ids)}",
        state=NOTHING_DONE,
        step="see 'run_all.py runs list'",
    )


def _latest(archive: Path, ids: list[str], *, ok: bool) -> str:
    for run_id in reversed(ids):
        try:
            run = read(archive, run_id)
        except UsageError:
            continue
        if not ok or run.status == "ok":
            return run_id
    why, step = ("is ok", None) if ok else ("can be read", "'run_all.py runs list' says why")
    raise UsageError(f"{archive}: none of {how_many(len(ids), 'run')} {why}", state=NOTHING_DONE, step=step)
