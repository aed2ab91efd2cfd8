"""`wv_live_play` at 1, 10 and 50 million log rows against pandas, Polars, hand-written DuckDB SQL and the floor.

Each subject is a process of its own, imports included. The peers write the one table; the package writes its roll-ups,
rejects and checks too. In its rows of the table alone the CPU seconds of roll-ups and checks are taken off; wall time
and memory there are those of all of it. `LIVE_PLAY_ROWS=1000000,10000000` measures these sizes only.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.live_play_peers import DAY
from benchmarks.live_play_peers.ours import BESIDE_FILE
from benchmarks.measure import Cost, cost, median, spread, table
from benchmarks.results import Plot, Result
from bigmama_nb.sample import live

SIZES = (1_000_000, 10_000_000, 50_000_000)
ROUNDS = {1_000_000: 5}
"""How often; else once."""
ALONE = "the table alone"
PEERS = {
    "hand-written DuckDB SQL": "duckdb_sql",
    "Polars": "polars_lazy",
    "pandas": "pandas_frames",
}
LARGEST = {"pandas_frames": 10_000_000, "polars_lazy": 10_000_000}
"""What a peer is asked for at most: beyond it runs out of this machine's memory."""

LIMITS = {1_000_000: "1GB", 10_000_000: "1GB", 50_000_000: "1300MB"}


def main() -> Result:
    """Measure, and return the figures."""
    wanted = os.environ.get("LIVE_PLAY_ROWS")
    parts: list[str] = []
    bars: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="live-play-bench-") as scratch:
        for size in [int(size) for size in wanted.split(",")] if wanted else SIZES:
            sources = Path(scratch) / str(size)
            _apart(live.generate, sources, [DAY], rows_a_day=size, lives_a_day=60)
            found = _measured(sources, Path(scratch), size)
            parts.append(_shown(found, size))
            bars[f"{size:,} rows"] = {name: median(costs).cpu_s / size * 1e6 for name, costs in found.items()}
            print(parts[-1], file=sys.stderr, flush=True)  # noqa: T201
            shutil.rmtree(sources)
    return Result("live_play", "\n\n".join(parts), Plot("CPU seconds of a million rows", bars))


def _measured(sources: Path, scratch: Path, size: int) -> dict[str, list[Cost]]:
    """Return what each subject cost in each round."""
    ours = {f"bigmama-nb, {limit}": limit for limit in dict.fromkeys((LIMITS.get(size, "1GB"), "4GB"))}
    found: dict[str, list[Cost]] = {}
    for number in range(ROUNDS.get(size, 1)):
        for name, limit in ours.items():
            one = _cost("ours", sources, scratch / "ours", limit)
            beside = float((scratch / "ours" / BESIDE_FILE).read_text())
            found.setdefault(name, []).append(one)
            found.setdefault(f"{name}, {ALONE}", []).append(replace(one, cpu_s=one.cpu_s - beside))
        for name, module in PEERS.items():
            if size <= LARGEST.get(module, size):
                found.setdefault(name, []).append(_cost(module, sources, scratch / module))
                if size == min(SIZES) and number == 0:
                    _apart(_require_same, scratch / "ours" / "wv_live_play", scratch / module)
        found.setdefault("floor", []).append(_cost("floor", sources, scratch / "floor"))
    return found


def _shown(found: Mapping[str, Sequence[Cost]], size: int) -> str:
    """Return the figures of a size as Markdown."""
    best = min((name for name in found if name in PEERS), key=lambda name: median(found[name]).cpu_s)
    rows = [
        (
            name,
            spread(costs, "cpu_s") if len(costs) > 1 else f"{costs[0].cpu_s:.1f}",
            f"{median(costs).cpu_s / median(found[best]).cpu_s:.2f}",
            f"{median(costs).wall_s:.1f}",
            f"{median(costs).largest_mb:,.0f}",
            f"{median(costs).cpu_s / size * 1e6:.2f}",
        )
        for name, costs in found.items()
    ]
    heads = ("", "CPU s", "of the best peer", "wall s", "peak MB", "CPU s by million rows")
    rounds = ROUNDS.get(size, 1)
    return f"{size:,} log rows, {rounds} {'round' if rounds == 1 else 'rounds'}:\n\n{table(heads, rows)}"


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
