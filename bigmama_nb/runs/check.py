"""What can be known before a run: whether all that it needs is there, and answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bigmama_nb.errors import TaskError
from bigmama_nb.executor.execute import check_parameters
from bigmama_nb.profile import Profile
from bigmama_nb.runs.attempt import NOTEBOOKS, parameters_of_run
from bigmama_nb.sample import prepare
from bigmama_nb.sources.connections import check_sources
from bigmama_nb.warehouse import Warehouse


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, whether it is as a run needs it, and what was found."""

    name: str
    ok: bool
    message: str


def findings(profile: Profile) -> list[Finding]:
    """Return what was found, in the order in which a run needs it.

    Raises:
        UsageError: a notebook does not take the parameters that a run gives it.
    """
    prepare(profile)
    read = f"{profile.path}: {len(profile.games)} games, {len(profile.pairs)} pairs of game and metric"
    found = [Finding("profile", True, read)]
    for stage, parameters in parameters_of_run(profile).items():
        check_parameters(NOTEBOOKS / f"{stage}.ipynb", parameters)
        found.append(Finding(f"notebook {stage}", True, "takes a run's parameters"))
    found.append(_archive(Path(profile.archive.uri)))
    found.append(_tried("warehouse", lambda: _warehouse(profile)))
    found += [Finding(one.name, one.ok, one.message) for one in check_sources(profile)]
    return found


def _archive(folder: Path) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        return Finding("archive", False, f"{folder} cannot be made: {there} is a file; expected a folder")
    writable = os.access(there, os.W_OK)
    return Finding("archive", writable, f"{folder} can{'' if writable else 'not'} be written")


def _warehouse(profile: Profile) -> str:
    with Warehouse.open(profile.warehouse) as warehouse:
        tables = warehouse.tables()
    return f"{profile.warehouse.uri}: {', '.join(table.full_name for table in tables) or 'no table yet'}"


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except TaskError as error:
        return Finding(name, False, str(error))
