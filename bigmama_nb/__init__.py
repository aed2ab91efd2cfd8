"""Notebook-driven reporting: game metrics and live viewing, from their sources to one table each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

__version__ = "0.1.0"


def warehouse(profile: str | Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection to a profile's warehouse: one view a table, as it is at this moment.

    Args:
        profile: the profile's path; None: `BIGMAMA_PROFILE`, else the sample.

    Raises:
        ProfileError: the profile is wrong.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    # Imported here: a program that only wants the version loads neither DuckDB nor Arrow.
    from bigmama_nb.profile import load
    from bigmama_nb.warehouse.query import connect

    return connect(load(profile).warehouse)
