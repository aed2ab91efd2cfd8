"""`wv_live_play` at 1, 10 and 50 million log rows against pandas, Polars, hand-written DuckDB SQL and the floor.

Each subject is a process of its own, imports included. The peers write the one table; the package writes its roll-ups,
rejects and checks too. In its rows of the table alone the CPU seconds of roll-ups and checks are taken off; wall time
and memory there are those of all of it. `LIVE_PLAY_ROWS=1000000,10000000` measures other sizes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.live_play_peers import DAY
from benchmarks.live_play_peers.ours import BESIDE_FILE
from benchmarks.measure import Cost, cost, machine, table
from bigmama_nb.sample import live

SIZES = (1_000_000, 10_000_000, 50_000_000)
PEERS = {
    "hand-written DuckDB SQL": "duckdb_sql",
    "Polars": "polars_lazy",
    "pandas": "pandas_frames",
}
LARGEST = {"pandas_frames": 10_000_000, "polars_lazy": 10_000_000}
"""What a peer is asked for at most: beyond it runs out of this machine's memory."""

LIMITS = {1_000_000: "1GB", 10_000_000: "1GB", 50_000_000: "1300MB"}


def main() -> None:
    """Measure, and print the figures as Markdown."""
    wanted = os.environ.get("LIVE_PLAY_ROWS")
    sizes = [int(size) for size in wanted.split(",")] if wanted else list(SIZES)
    print(f"## Live viewing\n\n{machine()}\n")  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="live-play-bench-") as scratch:
        for size in sizes:
            sources = Path(scratch) / str(size)
            _apart(live.generate, sources, [DAY], rows_a_day=size, lives_a_day=60)
            print(_measured(sources, Path(scratch), size), flush=True)  # noqa: T201


def _measured(sources: Path, scratch: Path, size: int) -> str:
    """Return the figures of a size as Markdown."""
    ours = {f"bigmama-nb, {limit}": limit for limit in dict.fromkeys((LIMITS.get(size, "1GB"), "4GB"))}
    found: dict[str, Cost] = {}
    for name, limit in ours.items():
        found[name] = _cost("ours", sources, scratch / "ours", limit)
        beside = float((scratch / "ours" / BESIDE_FILE).read_text())
        found[f"{name}, the table alone"] = replace(found[name], cpu_s=found[name].cpu_s - beside)
    for name, module in PEERS.items():
        if size <= LARGEST.get(module, size):
            found[name] = _cost(module, sources, scratch / module)
            if size == min(SIZES):
                _apart(_require_same, scratch / "ours" / "wv_live_play", scratch / module)
    found["floor"] = _cost("floor", sources, scratch / "floor")
    best = min((one.cpu_s for name, one in found.items() if name in PEERS), default=float("nan"))
    rows = [
        (
            name,
            f"{one.cpu_s:.1f}",
            f"{one.cpu_s / best:.2f}",
            f"{one.wall_s:.1f}",
            f"{one.largest_mb:,.0f}",
            f"{one.cpu_s / size * 1e6:.2f}",
        )
        for name, one in found.items()
    ]
    heads = ("", "CPU s", "of the best peer", "wall s", "peak MB", "CPU s by million rows")
    return f"### {size:,} log rows\n\n{table(heads, rows)}\n"


def _apart(work: Callable[..., object], *arguments: object, **named: object) -> None:
    """Do something in a process of its own: a system counts what the parent held as a child's peak."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_mute) as pool:
        pool.submit(work, *arguments, **named).result()


def _mute() -> None:
    """Keep DuckDB's progress bar out of the figures."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _cost(module: str, sources: Path, out: Path, *more: str) -> Cost:
    found = cost([sys.executable, "-m", f"benchmarks.live_play_peers.{module}", str(sources), str(out), *more])
    print(f"{module}: {found}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def _require_same(ours: Path, peer: Path) -> None:
    """Raise RuntimeError where a peer's rows are not ours."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        own, other = (f"SELECT COLUMNS(*) FROM read_parquet('{path}')" for path in (ours / "*.parquet", peer))
        for one, two in ((own, other), (other, own)):
            more = connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {two})").fetchall()[0][0]
            if more:
                raise RuntimeError(f"{peer.name}: {more} rows differ from ours")


if __name__ == "__main__":
    main()
