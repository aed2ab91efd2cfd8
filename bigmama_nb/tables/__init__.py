"""One module a table: its CONTRACT and the expression that makes it. Nothing here executes."""

from __future__ import annotations

from bigmama_nb.contract import Table
from bigmama_nb.profile import Profile
from bigmama_nb.tables import game_metric


def contracts(profile: Profile) -> list[Table]:
    """Return the contracts of the tables that a profile's warehouse holds, in its databases."""
    return [game_metric.contract(profile.warehouse.database)]
