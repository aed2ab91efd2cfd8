"""Whether a notebook works for a run that is under way, and where it works otherwise."""

from __future__ import annotations

import getpass
import os
import shutil
import time
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from bigmama_nb.errors import NOTHING_RUN, StorageError, UsageError, with_state
from bigmama_nb.executor.process import started_by
from bigmama_nb.profile import Profile
from bigmama_nb.profile import WarehouseSettings as Settings
from bigmama_nb.runs import archive
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.record import RunRecord

VARIABLE = "BIGMAMA_SCRATCH"
KEPT_DAYS = 7
"""How long the scratch of a notebook that was run by hand is kept."""
PROFILE = "profile.yaml"
"""The profile as an attempt read it, in the attempt's folder."""


def person() -> str:
    """Return who runs this, as the system names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no name for its user
        return f"uid {os.getuid()}"


def record_of(run_dir: Path) -> RunRecord | None:
    """Return the record, without its tasks, of the run that an attempt's folder is of; None where there is none."""
    run = run_dir.parent
    try:
        return archive.read(run.parent.parent, run.name, tasks=False) if archive.RUN_ID.fullmatch(run.name) else None
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


def replay_folder(profile: Profile, run_id: str) -> Path:
    """Make and return the folder of a replay: in the archive, or in one's own cache who may not write there.

    Raises:
        StorageError: it can be made in neither.
    """
    folder = scratch_folder(profile, run_id)
    try:
        folder.mkdir(parents=True)
    except OSError:
        return own_scratch_folder(run_id)
    return folder


def own_scratch_folder(run_id: str) -> Path:
    """Make and return the folder of a notebook that somebody runs by hand.

    It is in their own cache, for an archive is read by many and written by few, or where `BIGMAMA_SCRATCH` says. What
    is older than `KEPT_DAYS` there goes.

    Raises:
        StorageError: it cannot be made.
    """
    root = Path(os.environ.get(VARIABLE) or user_cache_path("bigmama-nb", appauthor=False) / "scratch")
    folder = root / run_id
    try:
        folder.mkdir(parents=True)
        oldest = time.time() - KEPT_DAYS * 86_400
        for old in root.iterdir():
            if old.stat().st_mtime < oldest:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            with_state(
                f"{error.filename or folder}: no scratch folder can be made there ({error.strerror})",
                NOTHING_RUN,
                f"make room, or name a folder that you may write in the variable {VARIABLE}",
            ),
            place=str(folder),
        ) from None
    return folder


def warehouse_of(profile: Profile, run_id: str, *, scratch: bool) -> Settings:
    """Return the settings of the warehouse that a run publishes to: the profile's, or its own scratch warehouse."""
    return scratch_warehouse(profile, scratch_folder(profile, run_id)) if scratch else profile.warehouse


def scratch_warehouse(profile: Profile, folder: Path) -> Settings:
    """Return the settings of a scratch warehouse: a folder with the SQLite catalog, whatever the profile's is."""
    uri = str(folder / "warehouse")
    elsewhere: dict[str, Any] = {"uri": uri, "metastore": None, "metastore_options": {}, "storage_options": {}}
    return profile.warehouse.model_copy(update=elsewhere)
