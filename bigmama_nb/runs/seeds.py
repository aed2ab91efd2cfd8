"""What stood in a warehouse beside what a run published, put into a scratch warehouse before the run is done again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from bigmama_nb.errors import StorageError
from bigmama_nb.periods import day_of
from bigmama_nb.profile import Profile
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.tables import MONTH, WV_LIVE_PLAY, game_metric
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import live_contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.history import stored_versions
from bigmama_nb.warehouse.lineage import Group, Key, Record, Writer, read_record
from bigmama_nb.warehouse.publish import Incoming, Replacement, publish_keyed, publish_whole
from bigmama_nb.warehouse.storage.protocol import join, local_path, name_of
from bigmama_nb.warehouse.version import RUNS, Version, rows_of

SEEDS = Writer("00000000T000000Z-000000", 1, "")
"""Who wrote the rows that stood before: a run before all others."""


def seed(there: Warehouse, here: Warehouse, run: RunRecord, profile: Profile) -> None:
    """Put into the scratch warehouse `here` what stood beside a run's figures and lives in `there`.

    Of games' figures: in the run's own partitions the rows that it carried over, in others those of runs before it,
    against which a figure is judged. Of lives: the other dates of the months that the run built.

    Raises:
        TaskError: one of the warehouses cannot be read or written.
    """
    figures = game_metric.CONTRACT.in_database(there.settings.database)
    if "game_metric" in run.pipelines:
        publish_keyed(here, figures, dict(_figures(there, figures, run)), SEEDS)
    if profile.live_play is not None and "live_play" in run.pipelines:
        for part in _lives(there, live_contracts(profile.live_play.database)[WV_LIVE_PLAY], run):
            publish_whole(here, [part], SEEDS, allow_empty=True)


def _figures(there: Warehouse, table: Table, run: RunRecord) -> Iterator[tuple[str, Incoming]]:
    entry = there.catalog.entry(table.full_name)
    if entry is None:
        return
    own = {one["partition"]: one["version"] for one in run.published if one["table"] == table.full_name}
    for partition, pointer in there.catalog.current(table.full_name).items():
        stands = pointer
        if partition in own:
            stands = Pointer(partition, join(entry.location, RUNS, partition, own[partition]), run=run.run_id)
        found = _rows_before(there, table, stands, run, own=partition in own)
        if found is None and partition in own:
            found = _rows_before(there, table, pointer, run, own=False)
        if found is not None and found.rows.num_rows:
            yield partition, found


def _rows_before(there: Warehouse, table: Table, pointer: Pointer, run: RunRecord, *, own: bool) -> Incoming | None:
    """Return the rows of a version that are not the run's and not later; None where it does not stand any more."""
    try:
        record = None if pointer.run is None else read_record(there.storage, pointer.location)
        rows = rows_of(there, table, pointer, record)
    except StorageError:
        return None
    keys = list(zip(*(rows[name].to_pylist() for name in table.key), strict=True))
    kept = [_is_before(record, key, run, own=own) for key in keys]
    groups = {key: _group(record, key, pointer.partition) for key, stays in zip(keys, kept, strict=True) if stays}
    return Incoming(rows.filter(pa.array(kept, pa.bool_())), groups)


def _is_before(record: Record | None, key: Key, run: RunRecord, *, own: bool) -> bool:
    origin = record.groups.get(key) if record is not None else None
    if origin is None:
        return True
    # What its own version holds of others it carried over, whoever had written it.
    return origin.run != run.run_id if own else origin.run[:16] < run.run_id[:16]


def _group(record: Record | None, key: Key, partition: str) -> Group:
    origin = record.groups.get(key) if record is not None else None
    if origin is None:
        return Group(day_of(partition.partition("=")[2]), False, "")
    return Group(origin.through, origin.final, origin.source, origin.inputs)


def _lives(there: Warehouse, table: Table, run: RunRecord) -> Iterator[Replacement]:
    """Give the dates of the months that a run built which it did not publish itself, as they stood when it began."""
    months = {str(task.part_date) for task in run.tasks if task.table == MONTH}
    own = {one["partition"] for one in run.published if one["table"] == table.full_name}
    entry = there.catalog.entry(table.full_name)
    if entry is None:
        return
    for partition, pointer in there.catalog.current(table.full_name).items():
        if partition in own or partition.partition("=")[2][:7] not in months:
            continue
        version = _as_it_stood(there, table, entry.location, pointer, run)
        origin = next(iter(version.record.groups.values()))
        with tempfile.TemporaryDirectory() as copies:
            files = [_local(there, join(version.location, one.path), Path(copies)) for one in version.record.files]
            yield Replacement(
                table, partition, files, origin.through, origin.final, origin.source, version.record.rows, True
            )


def _as_it_stood(there: Warehouse, table: Table, location: str, pointer: Pointer, run: RunRecord) -> Version:
    """Return the version of a partition that was the newest when a run began; where it is gone, the current one."""
    began = datetime.fromisoformat(str(run.started_at))
    stored = [one for one in stored_versions(there, table.full_name, location, pointer.partition) if not one.held]
    known = [(one, one.record.sealed_at) for one in stored if one.record is not None]
    before = [one for one, sealed_at in known if sealed_at is not None and sealed_at < began]
    place = max(before, key=lambda one: one.order).location if before else pointer.location
    return Version(place, read_record(there.storage, place))


def _local(there: Warehouse, location: str, folder: Path) -> Path:
    if there.storage.scheme == "file":
        return Path(local_path(location))
    copy = folder / name_of(location)
    with there.storage.open(location) as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return copy
