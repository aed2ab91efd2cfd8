"""Runs: planned as a grid, executed stage by stage, recorded as they go on, sealed, repaired."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class _Callable(ModuleType):
    """This module, which `bigmama_nb.runs()` calls: the room and the question have one name."""

    def __call__(self, profile: str | Path | None = None) -> pd.DataFrame:
        """Return the runs of a profile's archive, as `frames.runs` does."""
        # Imported here: who runs needs no frames.
        from bigmama_nb.runs.frames import runs

        return runs(profile)


sys.modules[__name__].__class__ = _Callable
