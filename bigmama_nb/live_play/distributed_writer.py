"""Files that an engine's executors write: the rows never come to the driver, only how many there are of what.

Files are cut at fixed keys, by what is counted before, so equal rows give equal bytes whatever the number of executors.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from bigmama_nb import parquet
from bigmama_nb.engines import PIECE_BITS, DistributedEngine
from bigmama_nb.live_play.buckets import BucketTables
from bigmama_nb.live_play.result import Options, Place, TableFiles
from bigmama_nb.parquet import Form
from bigmama_nb.tables import wv_live_play, wv_live_play_rejects
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.live import labels, viewers
from bigmama_nb.tables.live.events import SLICES, Packing
from bigmama_nb.warehouse.storage.protocol import join, local_path, name_of

REJECTS_PER_FILE = 2_000_000


@dataclass(frozen=True)
class Meanings:
    """What the numbers of one build mean: participants with their live's columns in order, traits, times."""

    everybody: pa.Table
    traits: ir.Table
    packing: Packing
    run_timestamp: dt.datetime


def play(
    engine: DistributedEngine,
    contract: Table,
    buckets: Sequence[BucketTables],
    meanings: Meanings,
    place: Place,
    options: Options,
) -> TableFiles:
    """Write `wv_live_play` into the new folder `place`, sorted by live, viewer's hash, viewer, device and row.

    Returns:
        The files, and how many rows they are meant to hold: each row once for each participant.
    """
    if not buckets:
        return _empty(contract, place, options)
    (bucket,) = buckets
    cuts, rows = _cuts(engine, bucket, meanings.everybody, options.file_rows)
    everybody = engine.table(meanings.everybody, "described_everybody")
    devices = viewers.named(bucket.described, bucket.names)
    coded = wv_live_play.live_play(bucket.rows, devices, bucket.work.participants, bucket.facts)
    labelled = labels.labelled(contract, coded, everybody, meanings.traits, meanings.packing, meanings.run_timestamp)
    files = len(set(cuts["nth"].to_pylist()))
    if files > 1:
        known = engine.table(cuts, "file_cuts")
        placed = labelled.mutate(cut_key=_.device_no >> PIECE_BITS)
        labelled = placed.join(known.rename(of_cut_key="cut_key"), [("cut_key", "of_cut_key")])
        labelled = labelled.drop("cut_key", "of_cut_key")
    else:
        labelled = labelled.mutate(nth=ibis.literal(0, "int32"))
    engine.write(labelled, place.location, files=files, nth="nth", by=labels.ORDER)
    return _listed(place, rows)


def rejects(
    engine: DistributedEngine,
    contract: Table,
    broken: Iterable[tuple[Table, ir.Table]],
    counts: Mapping[str, int],
    place: Place,
    options: Options,
) -> TableFiles:
    """Write the rejects into the new folder `place`, sorted by source, reason and row.

    Returns:
        The files, and how many rows they are meant to hold.
    """
    labelled = [
        wv_live_play_rejects.as_rows(source, rows).mutate(source_no=ibis.literal(nth, "int32"))
        for nth, (source, rows) in enumerate(broken)
    ]
    if not labelled:
        return _empty(contract, place, options)
    rows = sum(counts.values())
    files = -(-rows // REJECTS_PER_FILE)
    every = labelled[0] if len(labelled) == 1 else ibis.union(*labelled, distinct=False)
    nth = (every.row.hash() % files + files) % files if files > 1 else ibis.literal(0, "int32")
    ordered = every.mutate(nth=nth.cast("int32"), by_reason=every.reason, by_row=every.row)
    engine.write(ordered, place.location, files=files, nth="nth", by=("source_no", "by_reason", "by_row"))
    return _listed(place, rows)


def _cuts(engine: DistributedEngine, bucket: BucketTables, everybody: pa.Table, file_rows: int) -> tuple[pa.Table, int]:
    """Return in which file the slices of lives stand (cut_key, nth), and how many rows there are in all."""
    counted = engine.arrow(
        bucket.rows.group_by(cut_key=_.device_no >> PIECE_BITS).agg(rows=_.count()).order_by("cut_key")
    )
    people: dict[int, int] = {}
    for live_no in everybody["live_no"].to_pylist():
        people[live_no] = people.get(live_no, 0) + 1
    nth, held, total = 0, 0, 0
    files = []
    for key, rows in zip(counted["cut_key"].to_pylist(), counted["rows"].to_pylist(), strict=True):
        own = rows * people[key // SLICES]
        if held and held + own > file_rows:
            nth, held = nth + 1, 0
        held += own
        total += own
        files.append(nth)
    return pa.table({"cut_key": counted["cut_key"], "nth": pa.array(files, pa.int32())}), total


def _listed(place: Place, rows: int) -> TableFiles:
    """Return the files that executors wrote, named as a catalog expects them; others of Hadoop's are taken away."""
    local = place.storage.scheme == "file"
    files: list[Path | str] = []
    # Spark's names begin with the number of the task, which is the file's.
    for stored in place.storage.list(place.location):
        if name_of(stored.location).startswith("part-"):
            target = join(place.location, parquet.part_name(len(files)))
            place.storage.rename(stored.location, target)
            files.append(Path(local_path(target)) if local else target)
        elif local and stored.location.endswith(".crc"):
            Path(local_path(stored.location)).unlink(missing_ok=True)
    return TableFiles(tuple(files), rows, place)


def _empty(contract: Table, place: Place, options: Options) -> TableFiles:
    content = parquet.file_bytes(contract.arrow_schema().empty_table(), Form.of(options))
    place.storage.put(join(place.location, "part-0-empty.parquet"), content)
    return _listed(place, 0)
