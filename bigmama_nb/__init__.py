"""Notebook-driven reporting: game metrics and live viewing, from their sources to one table each.

`bigmama_nb.warehouse()` opens a profile's warehouse for questions; `bigmama_nb.runs()` and `bigmama_nb.outcomes()` are
its archive as frames.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when asked for: a program that only wants the version loads neither DuckDB nor Arrow.
    if name in ("runs", "warehouse"):
        return importlib.import_module(f"{__name__}.{name}")
    if name == "outcomes":
        return importlib.import_module(f"{__name__}.runs.frames").outcomes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
