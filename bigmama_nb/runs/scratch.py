"""Whether a notebook works for a run that is under way, and where it works otherwise."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

from bigmama_nb.errors import UsageError
from bigmama_nb.executor.process import started_by
from bigmama_nb.profile import Profile
from bigmama_nb.profile import WarehouseSettings as Settings
from bigmama_nb.runs import archive
from bigmama_nb.runs.record import RunLock, RunRecord

PROFILE = "profile.yaml"
"""The profile as an attempt read it, in the attempt's folder."""


def person() -> str:
    """Return who runs this, as the system names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no name for its user
        return f"uid {os.getuid()}"


def record_of(run_dir: Path) -> RunRecord | None:
    """Return the record of the run that an attempt's folder belongs to; None where there is none to read."""
    run = run_dir.parent
    try:
        return archive.read(run.parent.parent, run.name) if archive.RUN_ID.fullmatch(run.name) else None
    except UsageError:
        return None


def is_under_way(run_dir: Path, run_id: str, attempt: int) -> bool:
    """Whether this process works for the attempt in `run_dir`.

    It does where the record says that this attempt runs, in this process or in the one that asked for it, and somebody
    holds the run's lock.
    """
    if (run_id, str(attempt)) != (run_dir.parent.name, run_dir.name):
        return False
    record = record_of(run_dir)
    if record is None or record.status != "running" or not record.attempts:
        return False
    last = record.attempts[-1]
    ours = last.pid in (os.getpid(), started_by())
    return (last.n, last.ended_at) == (attempt, None) and ours and RunLock.is_held(run_dir.parent)


def scratch_folder(profile: Profile, run_id: str) -> Path:
    """Return the folder of a run's scratch work."""
    return Path(profile.archive.uri) / "scratch" / run_id


def warehouse_of(profile: Profile, run_id: str, *, scratch: bool) -> Settings:
    """Return the settings of the warehouse that a run publishes to: the profile's, or its own scratch warehouse.

    That is a folder with the SQLite catalog, whatever the profile's is.
    """
    if not scratch:
        return profile.warehouse
    folder = scratch_folder(profile, run_id) / "warehouse"
    elsewhere: dict[str, Any] = {"uri": str(folder), "metastore": None, "metastore_options": {}, "storage_options": {}}
    return profile.warehouse.model_copy(update=elsewhere)
