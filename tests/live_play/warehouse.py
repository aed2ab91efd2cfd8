"""Sources on disk for the tests, and what a build wrote, as plain rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.live_play import Built, Options, Sources
from bigmama_nb.tables.live.sources import SERVER_LOG, SOURCES
from tests.live_play.adversary import World
from tests.live_play.oracle import Row

RUN_TIMESTAMP = dt.datetime(2024, 5, 3, 1, 2, 3, 456789, tzinfo=dt.UTC)
STAMP = pa.timestamp("us", tz="UTC")
SCHEMAS = {
    "wv_server_log_base": {
        name: pa.string()
        for name in ["datetime", "url", "post_id", "video_id", "user_id_fill", "device_id", "platform", "os", "gcc"]
    },
    "wv_live": {
        "post_id": pa.string(),
        "video_id": pa.string(),
        "we_art_id": pa.int32(),
        "comm_id": pa.int32(),
        "status": pa.string(),
        "is_from_vlive": pa.int32(),
        "is_fc_only": pa.int32(),
        "start_dt": STAMP,
        "end_dt": STAMP,
    },
    "wv_live_joint_history": {
        "post_id": pa.string(),
        "we_art_id": pa.int32(),
        "comm_id": pa.int32(),
        "joined_dt": STAMP,
    },
    "user_user": {"wv_user_id": pa.string(), "we_member_id": pa.int64(), "joined_dt": STAMP},
    "wv_comm_user_update": {
        "wv_user_id": pa.string(),
        "we_art_id": pa.int32(),
        "action": pa.string(),
        "updated_dt": STAMP,
    },
    "ws_fc_user_history": {
        "we_member_id": pa.int64(),
        "we_art_id": pa.int32(),
        "start_dt": STAMP,
        "end_dt": STAMP,
        "ord_status": pa.string(),
        "is_cx_by_restore": pa.int32(),
    },
}


def write_file(folder: Path, name: str, rows: Iterable[Mapping[str, Any]], part: str = "part-0") -> Path:
    """Write one Parquet file of a source."""
    schema = pa.schema(list(SCHEMAS[name].items()))
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([{field: row[field] for field in schema.names} for row in rows], schema=schema)
    pq.write_table(table, folder / f"{part}.parquet")
    return folder / f"{part}.parquet"


def write_sources(root: Path, sources: Mapping[str, Sequence[Row]], dates: Iterable[str] = ()) -> Sources:
    """Write the six sources; the log's dates of the rows and of `dates`, in two files where there are rows enough."""
    for source in SOURCES:
        rows = sources.get(source.name, [])
        if source is not SERVER_LOG:
            write_file(root / source.name, source.name, rows)
            continue
        for date in sorted({row["date_id"] for row in rows} | set(dates)):
            own = [row for row in rows if row["date_id"] == date]
            folder = root / source.name / f"date_id={date}"
            write_file(folder, source.name, own[: len(own) // 2])
            write_file(folder, source.name, own[len(own) // 2 :], "part-1")
    return Sources(root)


def write_world(root: Path, world: World) -> Sources:
    """Write a data set, every date of its log that may be read wanted or not."""
    dates = [(world.part_date + dt.timedelta(days=ahead)).isoformat() for ahead in range(3)]
    return write_sources(root, world.sources, dates)


def options(told: Mapping[str, Any]) -> Options:
    """Return the oracle's options as the package's."""
    return Options(
        log_days_before=told["before"],
        log_days_after=told["after"],
        max_rejected_share=told["share"],
        max_live_days=told["max_days"],
    )


def read_table(built: Built, name: str) -> pa.Table:
    """Return the rows of a table's files, in the files' order."""
    return pa.concat_tables(pq.read_table(path) for path in built.tables[name].paths)


def read_rows(built: Built, name: str, partition: str) -> list[tuple[Any, ...]]:
    """Return a table's rows as tuples in the contract's order, the partition in its place."""
    table = read_table(built, name)
    columns = [table[column].to_pylist() for column in table.column_names]
    at = {"wv_live_play": 1}.get(name, 0)
    return [(*row[:at], partition, *row[at:]) for row in zip(*columns, strict=True)]


def in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows in an order that any two equal sets share."""
    return sorted(rows, key=repr)
