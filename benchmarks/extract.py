"""Documents per CPU second and memory of extraction, 1 k to 1 M documents, against pymongo + pandas as one writes it.

Three metrics of one collection of orders: the month's revenue, its orders, and customers of 7 days. Each subject is a
process of its own, and its CPU time counts from after its imports. The server is mongo-java-server, in memory: at first
without an index on the date, so that it looks at every document for each query and the wall time over it counts the
queries, and then with one, which the tests' server adds to it.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import bson

from benchmarks.measure import REPO, table
from benchmarks.results import Plot, Result

ROUNDS = {1_000: 15, 10_000: 9, 100_000: 3, 1_000_000: 2}
DAY = date(2024, 5, 31)
SUBJECTS = {
    "dump, extract": "dump",
    "dump, bson + pandas": "dump_pandas",
    "live, extract": "live",
    "live, pymongo + pandas": "live_pandas",
}
INDEXED = {"indexed, extract": "live", "indexed, pymongo + pandas": "live_pandas"}


def main() -> Result:
    """Measure, and return the figures; `EXTRACT_SIZES=1000,10000` measures these sizes only."""
    from tests.services.mongo import mongo_java_server

    wanted = os.environ.get("EXTRACT_SIZES")
    sizes = [int(size) for size in wanted.split(",")] if wanted else list(ROUNDS)
    rows: list[tuple[str, ...]] = []
    rates: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-extract-") as name:
        folder = Path(name)
        with mongo_java_server(folder, heap="4g") as server:
            # The largest first: the server's code is compiled by the time that a query takes a millisecond.
            for size in sorted(sizes, reverse=True):
                rounds = ROUNDS.get(size, 2)
                _fill(folder, server.uri, size)
                found = _rounds(SUBJECTS, rounds, folder, server.uri, size)
                _index(server.uri)
                found |= _rounds(INDEXED, rounds, folder, server.uri, size)
                figures = {json.dumps(one["figures"]) for some in found.values() for one in some}
                if len(figures) != 1:
                    raise RuntimeError(f"the subjects do not agree: {figures}")
                of_size = []
                for what, some in found.items():
                    cpu = [one["cpu_s"] for one in some]
                    rates.setdefault(f"{size:,}", {})[what] = size / statistics.median(cpu)
                    of_size.append(
                        (
                            f"{size:,}",
                            what,
                            f"{size / statistics.median(cpu):,.0f}",
                            f"{statistics.median(cpu):.3f} ({min(cpu):.3f} to {max(cpu):.3f})",
                            f"{statistics.median(one['wall_s'] for one in some):.3f}",
                            f"{statistics.median(one['more_mb'] for one in some):.0f}",
                        )
                    )
                rows = of_size + rows
    heads = ("documents", "", "documents per CPU s", "CPU, s", "wall, s", "memory beyond imports, MB")
    return Result("extract", table(heads, rows), Plot("documents per CPU second", dict(reversed(rates.items()))))


def _orders(size: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(size)
    first = datetime(2024, 4, 30, 15, tzinfo=UTC)
    for number in range(size):
        yield {
            "_id": number,
            "orderDate": first + timedelta(seconds=31 * 86400 * number / size),
            "customer": {"id": chance.randrange(size // 5 + 1), "country": "KR", "level": number % 99},
            "amount": chance.randrange(1, 120) * 1100,
            "status": "paid",
            "items": [{"sku": f"sku-{number % 500}", "quantity": 1 + number % 3}],
            "channel": ("store", "web", "pc")[number % 3],
            "client": {"version": "1.2.3", "os": "android", "device": "SM-S928N"},
            "note": "",
        }


def _fill(folder: Path, uri: str, size: int) -> None:
    from pymongo import MongoClient

    path = folder / "dump" / "bench" / "orders.bson"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, MongoClient(uri) as client:
        client.drop_database("bench")
        some = []
        for document in _orders(size):
            file.write(bson.encode(document))
            some.append(document)
            if len(some) == 5000:
                client.bench.orders.insert_many(some)
                some = []
        if some:
            client.bench.orders.insert_many(some)


def _index(uri: str) -> None:
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        client.bench.orders.create_index("orderDate")


def _rounds(
    subjects: Mapping[str, str], rounds: int, folder: Path, uri: str, size: int
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {what: [] for what in subjects}
    for _ in range(rounds):
        for what, subject in subjects.items():
            found[what].append(_measured(subject, folder, uri, size))
            print(size, what, found[what][-1], file=sys.stderr, flush=True)  # noqa: T201
    return found


def _measured(subject: str, folder: Path, uri: str, size: int) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.extract", subject, str(folder), uri],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{subject}, {size} documents: {ran.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _ours(folder: Path, uri: str, cluster: dict[str, Any]) -> Any:
    from bigmama_nb import periods, profile
    from bigmama_nb.sources.extract import extract

    os.environ["BENCH_URI"] = uri
    orders = {"collection": "orders", "date": {"field": "orderDate", "as": "date"}, "period": "month"}
    plain = {
        "warehouse": {"uri": "w"},
        "archive": {"uri": "a"},
        "clusters": {"c": cluster},
        "games": {"g": {"cluster": "c", "database": "bench"}},
        "metrics": {
            "revenue": {**orders, "value": {"sum": "amount"}},
            "orders": {**orders, "value": {"count": True}},
            "buyers": {**orders, "period": "day", "trailing_days": 7, "value": {"count_distinct": "customer.id"}},
        },
    }
    path = folder / "profile.yaml"
    path.write_text(json.dumps(plain))
    read = profile.read(path)
    asks = periods.asks(read, DAY, DAY)
    if "uri_env" in cluster:
        import bigmama_nb.sources.mongo

        assert bigmama_nb.sources.mongo
    return lambda: [outcome.value for outcome in extract(read, asks, run_id="bench").outcomes]


def _of_frame(frame: Any) -> list[int]:
    """The three figures as one writes them with pandas."""
    import pandas as pd

    local = frame["orderDate"].dt.tz_localize("UTC").dt.tz_convert("Asia/Seoul")
    end = pd.Timestamp("2024-06-01", tz="Asia/Seoul")
    month = frame[(local >= pd.Timestamp("2024-05-01", tz="Asia/Seoul")) & (local < end)]
    week = frame[(local >= end - pd.Timedelta(days=7)) & (local < end)]
    return [int(month["amount"].sum()), len(month), week["customer"].map(lambda one: one["id"]).nunique()]


def _dump_pandas(folder: Path) -> Any:
    import pandas as pd

    def work() -> list[int]:
        with (folder / "dump" / "bench" / "orders.bson").open("rb") as file:
            return _of_frame(pd.DataFrame(list(bson.decode_file_iter(file))))

    return work


def _live_pandas(uri: str) -> Any:
    import pandas as pd
    from pymongo import MongoClient

    def work() -> list[int]:
        with MongoClient(uri) as client:
            begin, end = datetime(2024, 4, 30, 15, tzinfo=UTC), datetime(2024, 5, 31, 15, tzinfo=UTC)
            # The server does not end a reply at 16 MB as MongoDB does.
            cursor = client.bench.orders.find(
                {"orderDate": {"$gte": begin, "$lt": end}},
                {"orderDate": 1, "amount": 1, "customer.id": 1},
                batch_size=10_000,
            )
            return _of_frame(pd.DataFrame(list(cursor)))

    return work


def _subject(name: str, folder: Path, uri: str) -> None:
    works = {
        "dump": lambda: _ours(folder, uri, {"dump": str(folder / "dump")}),
        "live": lambda: _ours(folder, uri, {"uri_env": "BENCH_URI", "max_staleness_s": None}),
        "dump_pandas": lambda: _dump_pandas(folder),
        "live_pandas": lambda: _live_pandas(uri),
    }
    work = works[name]()
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time(), time.monotonic()
    figures = work()
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    more_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb
    print(json.dumps({"figures": figures, "cpu_s": cpu, "wall_s": wall, "more_mb": more_mb}))  # noqa: T201


if __name__ == "__main__":
    _subject(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
