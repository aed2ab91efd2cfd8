"""What an attempt published whose notebook died before it could say so: the catalog is asked."""

from __future__ import annotations

from typing import Any

from bigmama_nb.profile import Profile
from bigmama_nb.tables import DAILY, KPI, MONTH, game_metric
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.lineage import lineage


def landed(warehouse: Warehouse, profile: Profile, run_id: str, attempt: int) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the tasks whose rows stand there from this attempt, and the entries of `published[]` for them.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read, so it is not known.
    """
    metrics = game_metric.contract(warehouse.settings.database).full_name
    tasks = {
        f"{game_cd}/{type_}/{partition.partition('=')[2]}"
        for partition, groups in lineage(warehouse, metrics).items()
        for (game_cd, type_), origin in groups.items()
        if (origin.run, origin.attempt) == (run_id, attempt)
    }
    published = _published(metrics, warehouse.catalog.current(metrics), run_id, attempt)
    if profile.live_play is None:
        return tasks, published
    for name in (*DAILY, KPI, MONTH):
        table = f"{profile.live_play.database}.{name}"
        ours = _published(table, warehouse.catalog.current(table), run_id, attempt)
        tasks |= {f"{name}/{one['partition'].partition('=')[2]}" for one in ours}
        published += ours
    return tasks, published


def _published(table: str, pointers: dict[str, Pointer], run_id: str, attempt: int) -> list[dict[str, Any]]:
    return [
        {"table": table, "partition": partition, "version": pointer.version, "files": []}
        for partition, pointer in pointers.items()
        if (pointer.run, pointer.attempt) == (run_id, attempt)
    ]
