"""What an attempt published whose notebook died before it could say so: the catalog is asked."""

from __future__ import annotations

from typing import Any

from bigmama_nb.lineage import lineage
from bigmama_nb.tables import game_metric
from bigmama_nb.warehouses import Warehouse


def landed(warehouse: Warehouse, table: str, run_id: str, attempt: int) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the tasks whose rows stand there from this attempt, and the entries of `published[]` for them.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read, so it is not known.
    """
    contract = game_metric.contract(warehouse.settings.database)
    tasks = {
        f"{game_cd}/{type_}/{partition.partition('=')[2]}"
        for partition, groups in lineage(warehouse, contract.full_name).items()
        for (game_cd, type_), origin in groups.items()
        if (origin.run, origin.attempt) == (run_id, attempt)
    }
    published = [
        {"table": contract.full_name, "partition": name, "version": pointer.version, "files": []}
        for name, pointer in warehouse.catalog.current(contract.full_name).items()
        if (pointer.run, pointer.attempt) == (run_id, attempt)
    ]
    return tasks, published
