"""Notebook-driven reporting: game metrics and live viewing, from their sources to one table each.

`bigmama_nb.warehouse()` opens a profile's warehouse for questions.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when asked for: a program that only wants the version loads neither DuckDB nor Arrow.
    if name == "warehouse":
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
