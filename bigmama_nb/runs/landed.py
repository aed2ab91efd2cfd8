"""What an attempt published that died before it could say so: the catalog is asked."""

from __future__ import annotations

from bigmama_nb.profile import Profile
from bigmama_nb.runs.record import Json, RunRecord
from bigmama_nb.runs.scratch import warehouse_of
from bigmama_nb.tables import DAILY, KPI, MONTH, game_metric, game_metric_status
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.commit import published
from bigmama_nb.warehouse.lineage import records
from bigmama_nb.warehouse.version import Version


def landed(profile: Profile, run: RunRecord, attempt: int) -> tuple[set[str], list[Json]]:
    """Return the tasks whose rows stand there from this attempt, and the entries of `published[]` for them.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read, so it is not known.
    """
    tasks: set[str] = set()
    done: list[Json] = []
    with Warehouse.open(warehouse_of(profile, run.run_id, scratch=run.scratch)) as warehouse:
        metrics = game_metric.CONTRACT.in_database(warehouse.settings.database).full_name
        told = game_metric_status.CONTRACT.in_database(warehouse.settings.database).full_name
        live = () if profile.live_play is None else (*DAILY, KPI, MONTH)
        names = [
            metrics,
            told,
            *(f"{profile.live_play.database}.{name}" for name in live if profile.live_play is not None),
        ]
        for table in names:
            pointers = warehouse.catalog.current(table)
            for partition, record in records(warehouse, table, pointers.values()).items():
                day = partition.partition("=")[2]
                if table == metrics:
                    tasks |= {
                        f"{'/'.join(key)}/{day}"
                        for key, origin in record.groups.items()
                        if (origin.run, origin.attempt) == (run.run_id, attempt)
                    }
                pointer = pointers[partition]
                if (pointer.run, pointer.attempt) == (run.run_id, attempt):
                    done.append(published(warehouse, Version(pointer.location, record), moved=True).record())
                    if table not in (metrics, told):
                        tasks.add(f"{table.partition('.')[2]}/{day}")
    return tasks, done
