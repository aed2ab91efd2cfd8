"""Whether a notebook works for a run that is under way, and where it works otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigmama_nb.profile import Profile
from bigmama_nb.profile import WarehouseSettings as Settings
from bigmama_nb.runs.archive import RUN_ID

ATTEMPT = "BIGMAMA_ATTEMPT"
"""The variable by which a run says to a notebook that its attempt is under way."""
ALLOW_EMPTY = "BIGMAMA_ALLOW_EMPTY"
"""The variable by which a run says that an empty result may replace rows."""
RELEASE = "BIGMAMA_RELEASE"
"""The variable by which a run says that what was held is to be published."""


def attempt_name(run_dir: Path) -> str | None:
    """Return what `BIGMAMA_ATTEMPT` says while the attempt in `run_dir` is under way; None for another folder."""
    if RUN_ID.fullmatch(run_dir.parent.name) and run_dir.name.isdigit():
        return f"{run_dir.parent.name}-{run_dir.name}"
    return None


def scratch_folder(profile: Profile, run_id: str) -> Path:
    """Return the folder of a run's scratch work."""
    return Path(profile.archive.uri) / "scratch" / run_id


def scratch_warehouse(profile: Profile, run_id: str) -> Settings:
    """Return the settings of a run's scratch warehouse: a folder with the SQLite catalog, whatever the profile's is."""
    folder = scratch_folder(profile, run_id) / "warehouse"
    elsewhere: dict[str, Any] = {"uri": str(folder), "metastore": None, "metastore_options": {}, "storage_options": {}}
    return profile.warehouse.model_copy(update=elsewhere)
