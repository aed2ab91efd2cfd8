"""The archive as its readers see it: the runs there are, and one by its name."""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bigmama_nb.errors import UsageError, did_you_mean
from bigmama_nb.runs.record import Json, shown

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


def new_run_id(at: datetime | None = None) -> str:
    """Return a new run's id: its start in UTC and six random hex digits, `20240502T020304Z-1a2b3c`."""
    return f"{(at or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def run_ids(archive: Path) -> list[str]:
    """Return the ids of all recorded runs, oldest first."""
    runs = archive / "runs"
    if not runs.is_dir():
        return []
    ids = [
        folder.name for folder in runs.iterdir() if RUN_ID.fullmatch(folder.name) and (folder / "run.json").is_file()
    ]
    # An id knows the second; of runs that began in the same one, the records know which came first.
    seconds = Counter(run_id.partition("-")[0] for run_id in ids)
    return sorted(ids, key=lambda run_id: (run_id[:16], _began(archive, run_id) if seconds[run_id[:16]] > 1 else ""))


def _began(archive: Path, run_id: str) -> str:
    attempts = read(archive, run_id)["attempts"]
    return str(attempts[0]["started_at"]) if attempts else ""


def read(archive: Path, run_id: str) -> Json:
    """Return a run's record as readers see it.

    Raises:
        UsageError: the record cannot be read.
    """
    path = archive / "runs" / run_id / "run.json"
    try:
        return shown(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}). Nothing was done.") from None


def find(archive: Path, name: str) -> str:
    """Return the id of the run that `name` names: `latest`, `latest-ok`, an id or an id's unique beginning.

    Raises:
        UsageError: no run or several runs are named so.
    """
    ids = run_ids(archive)
    if not ids:
        raise UsageError(f"{archive}: no run is recorded here. Nothing was done; 'run_all.py run' makes one.")
    if name == "latest":
        return ids[-1]
    if name == "latest-ok":
        for run_id in reversed(ids):
            if read(archive, run_id)["status"] == "ok":
                return run_id
        raise UsageError(f"{archive}: none of {len(ids)} runs is ok. Nothing was done.")
    begin = [run_id for run_id in ids if run_id.startswith(name)] if name else []
    if len(begin) == 1:
        return begin[0]
    if len(begin) > 1:
        raise UsageError(
            f"{name!r} begins {len(begin)} runs: {', '.join(sorted(begin)[:5])}. Nothing was done; name one."
        )
    raise UsageError(f"{name!r} names no run in {archive}.{did_you_mean(name, ids)} Nothing was done; see 'runs list'.")
