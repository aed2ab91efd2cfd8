"""The race: writers publish one table over and over and are killed, readers read it all the while.

`run` races in a process of its own, whose writers and readers are forked from it: so a killed writer's successor costs
no second of imports. The readers share no code with what they read.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Group, Key, Writer
from bigmama_nb.warehouse.publish import Incoming, publish_keyed
from tests.places import Place, hdfs_files, local_files
from tests.publishing import METRIC, REPO, Settings

DAYS = ("dt=20240501", "dt=20240502", "dt=20240503")
PAUSE_S = 0.1
ROWS = 40
"""How many rows a game has a day: all hold the number of the publish that brought them, so a mix of two shows."""


@dataclass(frozen=True)
class Aggregate:
    """What a race came to."""

    reads: int
    wrong: list[str]
    publishes: int
    kills: int
    takeovers: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.reads} reads, {len(self.wrong)} wrong; {self.publishes} publishes, {self.kills} writers killed, "
            f"{self.takeovers} locks taken over, {self.seconds:.0f} s"
        )


def run(place: Place, *, reads: int, kills: int, writers: int = 16, readers: int = 8) -> Aggregate:
    """Race until there were as many reads and kills, and return what they came to."""
    settings = asdict(place.settings) | {"lock_wait_s": 600}
    if place.settings.metastore:
        settings["metastore_options"] = {"heartbeat_s": 0.5, "stale_lock_s": 2}
    orders = {"reads": reads, "kills": kills, "writers": writers, "readers": readers, "database": place.database}
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.racing",
            json.dumps({"settings": settings, **orders}),
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-5000:]
    return Aggregate(**json.loads(ended.stdout))


def _race(orders: dict[str, Any], folder: Path) -> Aggregate:
    settings, began = Settings(**orders["settings"]), time.monotonic()
    choose, context = random.Random(1), multiprocessing.get_context("fork")
    generation = dict.fromkeys(range(orders["writers"]), 0)

    def writing(game: int) -> BaseProcess:
        # Numbers go up over generations too, also past a publish that died before it was told.
        first, generation[game] = generation[game] * 1_000_000, generation[game] + 1
        process = context.Process(
            target=_write, args=(settings, orders["database"], game, first, folder / f"writer{game}"), daemon=True
        )
        process.start()
        return process

    def reading(n: int) -> BaseProcess:
        process = context.Process(target=_read, args=(settings, orders["database"], folder / f"reader{n}"), daemon=True)
        process.start()
        return process

    writers = {game: writing(game) for game in range(orders["writers"])}
    readers = [reading(n) for n in range(orders["readers"])]
    reads = kills = publishes = 0
    while reads < orders["reads"] or kills < orders["kills"]:
        for process in (*writers.values(), *readers):
            # Waiting for the end of one is the pause between two looks.
            process.join(0.01)
            if process.exitcode is not None:
                raise RuntimeError(f"{process.name} ended by itself with {process.exitcode}")
        reads = sum(len(_lines(folder / f"reader{n}")) for n in range(orders["readers"]))
        publishes = sum(len(_lines(folder / f"writer{game}")) for game in writers)
        # Between two kills somebody publishes: else the dead would only pile up in the queue for the lock.
        if kills < orders["kills"] and kills < publishes:
            game = choose.choice(list(writers))
            writers[game].kill()
            writers[game].join()
            kills += 1
            writers[game] = writing(game)
    for process in (*writers.values(), *readers):
        process.kill()
        process.join()
    seen = [json.loads(line) for n in range(orders["readers"]) for line in _lines(folder / f"reader{n}")]
    told = [line.split() for game in writers for line in _lines(folder / f"writer{game}")]
    return Aggregate(
        reads=len(seen),
        wrong=[problem for problems in seen for problem in problems],
        publishes=len(told),
        kills=kills,
        takeovers=sum(int(line[1]) for line in told),
        seconds=time.monotonic() - began,
    )


def _write(settings: Settings, database: str, game: int, first: int, out: Path) -> None:
    """Publish a game's rows of all days, over and over; tell each publish and its take-overs."""
    taken = []

    class Counted:
        def __init__(self, catalog: Any) -> None:
            self._catalog = catalog

        def __getattr__(self, name: str) -> Any:
            return getattr(self._catalog, name)

        def lock(self, *arguments: Any) -> Any:
            taken.append(self._catalog.lock(*arguments))
            return taken[-1]

    opened = Warehouse.open(settings)
    catalog: Any = Counted(opened.catalog)
    warehouse, table = replace(opened, catalog=catalog), replace(METRIC, database=database)
    keys = [(f"game{game}", f"m{n}") for n in range(ROWS)]
    groups: dict[Key, Group] = {key: Group(date(2024, 5, 1), False, "race") for key in keys}
    for publish in range(first + 1, first + 1_000_000):
        rows = pa.table(
            {
                "game_cd": pa.array([key[0] for key in keys], pa.string()),
                "type": pa.array([key[1] for key in keys], pa.string()),
                "value": pa.array([publish] * ROWS, pa.int64()),
            }
        )
        author = Writer(f"20240502T020304Z-{publish:06x}", game + 1, "race")
        publish_keyed(warehouse, table, dict.fromkeys(DAYS, Incoming(rows, groups)), author)
        with out.open("a") as told:
            told.write(f"{publish} {sum(getattr(one, 'takeovers', 0) for one in taken)}\n")
        taken.clear()


def _read(settings: Settings, database: str, out: Path) -> None:
    """Read all days, over and over; tell of each read what was wrong with it."""
    locations = _of_metastore(settings, database) if settings.metastore else _of_sqlite(settings, database)
    files = hdfs_files if settings.uri.startswith("hdfs") else local_files
    last: dict[tuple[str, str], int] = {}
    while True:
        problems = []
        current = locations()
        if not current:
            continue
        for day, location in current.items():
            seen: dict[str, list[int]] = {}
            for content in files(location):
                rows = pq.read_table(io.BytesIO(content), use_threads=False)
                for game, value in zip(rows["game_cd"].to_pylist(), rows["value"].to_pylist(), strict=True):
                    seen.setdefault(game, []).append(value)
            for game, values in seen.items():
                before = last.get((day, game), 0)
                if len(values) != ROWS or len(set(values)) != 1 or values[0] < before:
                    problems.append(f"{day} {game}: {len(values)} rows of {sorted(set(values))} after {before}")
                last[day, game] = values[0]
            problems += [f"{day} {game} is gone" for there, game in last if there == day and game not in seen]
        with out.open("a") as told:
            told.write(json.dumps(problems) + "\n")
        # The readers leave the writers their share of a small machine.
        time.sleep(PAUSE_S)


def _of_sqlite(settings: Settings, database: str) -> Callable[[], dict[str, str]]:
    path = Path(settings.uri) / "catalog.db"

    def locations() -> dict[str, str]:
        if not path.exists():
            return {}
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'partitions'").fetchone():
                return {}
            rows = connection.execute(
                'SELECT "partition", location FROM partitions WHERE full_name = ?', (f"{database}.{METRIC.name}",)
            ).fetchall()
        return {day: f"{settings.uri}/{location}" for day, location in rows}

    return locations


def _of_metastore(settings: Settings, database: str) -> Callable[[], dict[str, str]]:
    from hive_metastore import ThriftHiveMetastore, ttypes
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
    from thrift.transport import TSocket, TTransport

    host, port = str(settings.metastore).removeprefix("thrift://").split(":")
    socket = TSocket.TSocket(host, int(port))
    socket.setTimeout(120_000)
    transport = TTransport.TBufferedTransport(socket)
    transport.open()
    client = ThriftHiveMetastore.Client(TBinaryProtocolAcceleratedFactory().getProtocol(transport))

    def locations() -> dict[str, str]:
        try:
            found = client.get_partitions_by_names(database, METRIC.name, list(DAYS))
        except ttypes.NoSuchObjectException:
            return {}
        return {f"dt={one.values[0]}": one.sd.location for one in found}

    return locations


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a file that is being written."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bigmama-race-") as told_in:
        json.dump(asdict(_race(json.loads(sys.argv[1]), Path(told_in))), sys.stdout)
