"""`wv_live_play` on Spark's `local[2]` against DuckDB: time, memory of driver and executors, shuffles, skew.

`SPARK_ROWS=1000000` measures other sizes, `SPARK_MASTERS=local[2]` one kind of cluster. A skewed day is the even one
with half of all viewers moved to one live.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.live_play import _apart, _cost
from benchmarks.live_play_peers import DAY
from benchmarks.measure import REPO, table
from benchmarks.results import Result
from bigmama_nb.sample import live

SIZES = (1_000_000, 10_000_000)
MEMORY = "3072m"
APART = "local-cluster[1,2,3072]"
"""A driver and an executor in processes of their own, so that their memory can be told apart."""


def main() -> Result:
    """Measure, and return the figures."""
    wanted = os.environ.get("SPARK_ROWS")
    sizes = [int(size) for size in wanted.split(",")] if wanted else list(SIZES)
    heads = (
        "", "wall s", "Python MB", "driver MB", "executor MB", "shuffled MB", "spilled to disk MB",
        "tasks s", "longest task s", "files", "largest MB",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="spark-bench-") as scratch:
        rows = []
        for size in sizes:
            even = Path(scratch) / str(size)
            _apart(live.generate, even, [DAY], rows_a_day=size, lives_a_day=60)
            skewed = Path(scratch) / f"{size}-skewed"
            _apart(skew, even, skewed)
            one = _cost("ours", even, Path(scratch) / "duckdb", "1GB")
            rows.append([f"{size:,} rows, DuckDB 1GB", f"{one.wall_s:.1f}", f"{one.largest_mb:,.0f}", *[""] * 8])
            for name, sources, master in (
                ("local[2]", even, "local[2]"),
                ("local[2], half of all viewers in one live", skewed, "local[2]"),
                ("driver and executor apart", even, APART),
            ):
                if os.environ.get("SPARK_MASTERS", master) != master:
                    continue
                rows.append([f"{size:,} rows, {name}", *measured(sources, Path(scratch) / "spark", master)])
                print(rows[-1], file=sys.stderr, flush=True)  # noqa: T201
    return Result("spark", table(heads, rows))


def measured(sources: Path, out: Path, master: str) -> list[str]:
    """Return the figures of one build."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.live_play_peers.ours_spark", str(sources), str(out), master, MEMORY],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{master} ended with {done.returncode}: {done.stderr[-4000:]}{done.stdout[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    megabytes = [f"{told[name] / 1e6:,.0f}" for name in ("shuffle_written", "spilled_disk")]
    memory = [f"{told[name]:,.0f}" if name in told else "" for name in ("python_mb", "driver_mb", "executor_mb")]
    rest = [
        f"{told['task_s']:.0f}",
        f"{told['longest_task_s']:.1f}",
        str(told["files"]),
        f"{told['largest_file'] / 1e6:,.0f}",
    ]
    return [f"{wall_s:.1f}", *memory, *megabytes, *rest]


def skew(even: Path, skewed: Path) -> None:
    """Copy the sources, with every other viewer's requests moved to the live that has the most."""
    shutil.copytree(even, skewed)
    with duckdb.connect() as connection:
        log = f"read_parquet('{even}/wv_server_log_base/*/*.parquet', hive_partitioning = false)"
        ((post,),) = connection.execute(f"SELECT mode(post_id) FROM {log} WHERE post_id IS NOT NULL").fetchall()
        for file in sorted(even.glob("wv_server_log_base/*/*.parquet")):
            target = skewed / file.relative_to(even)
            moved = f"CASE WHEN hash(coalesce(user_id_fill, device_id)) % 2 = 0 THEN '{post}' ELSE post_id END"
            rows = f"SELECT * REPLACE ({moved} AS post_id) FROM read_parquet('{file}', hive_partitioning = false)"
            connection.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet)")
