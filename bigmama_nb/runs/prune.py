"""Dropping what nobody needs any more: old runs, their scratch work, and versions that readers have left behind.

Source of the rules: docs/spec/runs_and_archive.md, "The command"; docs/spec/publishing.md, "The protocol".
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.runs import archive
from bigmama_nb.runs.changes import Changes, change
from bigmama_nb.runs.services import utc_now
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Writer, runs_behind
from bigmama_nb.warehouse.maintenance import Expired, superseded
from bigmama_nb.warehouse.maintenance import prune as prune_versions

GONE = ".pruned"
"""The end of a folder's name while it is deleted."""


@dataclass(frozen=True)
class Dropped:
    """One thing that is dropped: a `run`, a `scratch` folder or a `version`, and how it is named."""

    kind: str
    name: str


def prune(profile: Profile, now: datetime, *, only_plan: bool, reason: str | None = None) -> list[Dropped]:
    """Drop runs and scratch work older than `keep_days`, and superseded versions past `grace_hours`; return them.

    What is dropped is recorded as a run of its own. Never dropped: a run that rows of a current partition came from,
    and one that has not ended; and of the versions those that a run that stays has held, and those that a lost pointer
    would need.

    Raises:
        CatalogError, StorageError: the warehouse cannot say what is needed; nothing was dropped.
        LockedError: a publish is under way; what was dropped before stays dropped.
    """
    if only_plan:
        with Warehouse.open(profile.warehouse) as warehouse:
            runs, scratch = _old(profile, warehouse, now)
            versions = superseded(warehouse, now, dropped=runs)
        return [
            *map(_version, versions),
            *(Dropped("run", run_id) for run_id in runs),
            *(Dropped("scratch", name) for name in scratch),
        ]

    def do(writer: Writer, changes: Changes) -> list[Dropped]:
        root = Path(profile.archive.uri)
        dropped: list[Dropped] = []

        def note(one: Dropped) -> None:
            dropped.append(one)
            changes.dropped.append(f"{one.kind} {one.name}")

        with Warehouse.open(profile.warehouse) as warehouse:
            runs, scratch = _old(profile, warehouse, now)
            prune_versions(warehouse, now, writer, dropped=runs, tell=lambda one: note(_version(one)))
            for run_id in runs:
                _delete(root / "runs" / run_id)
                note(Dropped("run", run_id))
            for name in scratch:
                _delete(root / "scratch" / name)
                note(Dropped("scratch", name))
        return dropped

    return change(profile, "prune", reason, utc_now(), do)


def _old(profile: Profile, warehouse: Warehouse, now: datetime) -> tuple[list[str], list[str]]:
    """Return the runs and the scratch folders that are too old to be kept and that nobody needs."""
    root = Path(profile.archive.uri)
    behind = runs_behind(warehouse)
    needed = set(archive.run_ids(root)) if behind is None else {run_id for run_id, _ in behind}
    old = [run_id for run_id in archive.run_ids(root) if _is_old(run_id, profile, now) and run_id not in needed]
    scratch = sorted(
        folder.name
        for folder in (root / "scratch").glob("*")
        if archive.RUN_ID.fullmatch(folder.name) and _is_old(folder.name, profile, now)
    )
    runs = [run_id for run_id in old if _has_ended(root, run_id)]
    return _half_gone(root / "runs") + runs, _half_gone(root / "scratch") + scratch


def _half_gone(folder: Path) -> list[str]:
    """Return what a prune that was killed was about to delete."""
    return sorted(gone.name.removeprefix(".").removesuffix(GONE) for gone in folder.glob(f".*{GONE}"))


def _version(one: Expired) -> Dropped:
    return Dropped("version", f"{one.table}/{one.partition}/{one.version}")


def _is_old(run_id: str, profile: Profile, now: datetime) -> bool:
    began = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return now - began > timedelta(days=profile.archive.keep_days)


def _has_ended(root: Path, run_id: str) -> bool:
    """Whether nobody is at work on a run; one whose record cannot be read is kept, for a person to look at."""
    try:
        return archive.read(root, run_id).status != "running"
    except UsageError:
        return False


def _delete(folder: Path) -> None:
    # Renamed first: a reader of the archive sees the run or none.
    gone = folder.with_name(f".{folder.name}{GONE}")
    try:
        if folder.exists():
            folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be deleted ({error.strerror}). What was dropped before stays dropped; mend the folder's "
            "rights and run 'run_all.py runs prune' again.",
            place=str(folder),
        ) from None
