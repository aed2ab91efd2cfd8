"""What the tests of publishing share: settings, rows, and a reader that knows nothing of the package."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.tables.contract import Column, Table
from bigmama_nb.warehouse.publish import Group, Incoming, Writer
from tests.services import require

REPO = Path(__file__).resolve().parent.parent

METRIC = Table(
    database="bigmama",
    name="game_metric",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("type", "string", "metric", nullable=False),
        Column("value", "bigint", "the figure", nullable=False),
        Column("dt", "string", "day", nullable=False),
    ),
    partition="dt",
    key=("game_cd", "type"),
    comment="Metrics of every game",
)

PLAY = Table(
    database="we_mart",
    name="wv_play",
    columns=(
        Column("post_id", "string", "the live"),
        Column("seen_dt", "timestamp", "when"),
        Column("play_seconds", "double", "how long"),
        Column("n", "int", "a count"),
        Column("part_date", "string", "day", nullable=False),
    ),
    partition="part_date",
    key=("post_id",),
    comment="Plays",
)


@dataclass(frozen=True)
class Settings:
    """`profile.warehouse`, as the package asks for it."""

    uri: str
    metastore: str | None = None
    database: str = "bigmama"
    grace_hours: float = 24
    lock_wait_s: float = 60
    metastore_options: Mapping[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    timestamp: Literal["int64", "int96"] = "int64"
    compression: Literal["zstd", "snappy", "gzip"] = "zstd"


def brought(values: Mapping[str, int], *, through: date = date(2024, 5, 1), source: str = "dump") -> Incoming:
    """Return rows `{"lw/wau": 5}` as a run brings them."""
    keys = [tuple(name.split("/")) for name in values]
    rows = pa.table(
        {
            "game_cd": pa.array([key[0] for key in keys], pa.string()),
            "type": pa.array([key[1] for key in keys], pa.string()),
            "value": pa.array(list(values.values()), pa.int64()),
        }
    )
    return Incoming(rows, {key: Group(through, False, source) for key in keys})


def plays(n: int, *, value: int = 0) -> pa.Table:
    """Return `n` plays, all of them of `value`."""
    seen = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    return pa.table(
        {
            "post_id": pa.array([f"1-{i:05d}" for i in range(n)], pa.string()),
            "seen_dt": pa.array([seen] * n, pa.timestamp("us", tz="UTC")),
            "play_seconds": pa.array([1.5] * n, pa.float64()),
            "n": pa.array([value] * n, pa.int32()),
        }
    )


def author(n: int, attempt: int = 1) -> Writer:
    """Return the author of the `n`th run."""
    return Writer(f"20240502T020304Z-{n:06x}", attempt, "40_write_parquet.game_metric.ipynb")


def current_folder(root: Path, table: str, partition: str) -> Path | None:
    """Return the folder that the SQLite catalog points at, asked without the package."""
    if not (root / "catalog.db").exists():
        return None
    with contextlib.closing(sqlite3.connect(root / "catalog.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'partitions'").fetchone():
            return None
        row = connection.execute(
            'SELECT location FROM partitions WHERE full_name = ? AND "partition" = ?', (table, partition)
        ).fetchone()
    return None if row is None else root / row[0]


def rows_in(root: Path, partition: str, table: str = "bigmama.game_metric") -> dict[str, int] | None:
    """Return the metrics that a reader of the catalog finds in a partition; None where there is no such partition."""
    folder = current_folder(root, table, partition)
    if folder is None:
        return None
    found: dict[str, int] = {}
    for file in sorted(folder.glob("*.parquet")):
        for row in pq.ParquetFile(file).read().to_pylist():
            key = f"{row['game_cd']}/{row['type']}"
            assert key not in found, f"{key} stands twice"
            found[key] = row["value"]
    return found


def lineage_in(root: Path, partition: str, table: str = "bigmama.game_metric") -> dict[str, dict[str, Any]]:
    """Return by `game/type` what `_lineage.json` says."""
    folder = current_folder(root, table, partition)
    assert folder is not None
    groups = json.loads((folder / "_lineage.json").read_text())["groups"]
    return {"/".join(group["key"]): group for group in groups}


@contextlib.contextmanager
def small_disk(folder: Path, *, kibibytes: int) -> Iterator[Path]:
    """Mount a file system of that size on `folder`; who may not mount gets no file larger than that."""
    mounted = _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
    if mounted:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, limits[1]))
        try:
            yield folder
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FULL = "No space left on device|File too large|database or disk is full"
"""What a system says of a full disk."""


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make `folder` read-only, for root by a mount: permissions do not bind root."""
    if os.geteuid():
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    require("a read-only mount", _mount("--bind", str(folder), str(folder)), "root may not mount here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
