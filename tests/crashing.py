"""A writer that is killed on its way: `python -m tests.crashing` with its orders as JSON.

`kill_at` is the step, counted from 0, at which it sends itself SIGKILL; `kill_in_put` the file that it writes half of
before. Without either it publishes to the end and prints the steps that it came by.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole
from bigmama_nb.warehouse.storage.protocol import Storage
from tests.publishing import METRIC, PLAY, REPO, Settings, author, brought, plays


@dataclass(frozen=True)
class Outcome:
    """How a writer ended: its exit status, the steps it came by, and what it said on stderr."""

    status: int
    steps: list[str]
    said: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL


class HalfAFile:
    """A storage whose `n`th put stops in the middle of the file, by SIGKILL."""

    def __init__(self, storage: Storage, n: int) -> None:
        self._storage = storage
        self._left = n
        self.scheme = storage.scheme

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def put(self, location: str, content: bytes | Path) -> None:
        """Put a file; of the one ordered only its first half."""
        if self._left:
            self._left -= 1
            self._storage.put(location, content)
            return
        content = content if isinstance(content, bytes) else content.read_bytes()
        self._storage.put(location, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def write(
    settings: Settings,
    n: int,
    values: dict[str, dict[str, int]] | None = None,
    *,
    marts: dict[str, int] | None = None,
    database: str | None = None,
    kill_at: int | None = None,
    kill_in_put: int | None = None,
) -> Outcome:
    """Run a writer of the `n`th run in a process of its own: of metrics by partition, or of marts by partition."""
    orders = {
        "settings": asdict(settings),
        "n": n,
        "values": values,
        "marts": marts,
        "database": database,
        "kill_at": kill_at,
        "kill_in_put": kill_in_put,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.crashing", json.dumps(orders)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout.split("\n")[:-1], ended.stderr)


def in_database(table: Table, database: str | None) -> Table:
    """Return the table in another database; None: in its own."""
    return table if database is None else replace(table, database=database)


def main(orders: dict[str, Any]) -> None:
    """Follow the orders."""
    steps = 0

    def at(step: str) -> None:
        nonlocal steps
        if steps == orders["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1
        print(step, flush=True)  # noqa: T201

    warehouse = Warehouse.open(Settings(**orders["settings"]), at=at)
    if orders["kill_in_put"] is not None:
        warehouse = replace(warehouse, storage=HalfAFile(warehouse.storage, orders["kill_in_put"]))
    writer = author(orders["n"])
    if orders["values"] is not None:
        table = in_database(METRIC, orders["database"])
        publish_keyed(warehouse, table, {day: brought(values) for day, values in orders["values"].items()}, writer)
    if orders["marts"] is not None:
        play = in_database(PLAY, orders["database"])
        parts = [
            Replacement(play if n else replace(play, name="wv_rejects"), day, plays(rows), day_of(day), True, "log")
            for n in (0, 1)
            for day, rows in orders["marts"].items()
        ]
        publish_whole(warehouse, parts, writer)


def day_of(partition: str) -> Any:
    """Return the day that `part_date=2024-05-01` names."""
    return pa.scalar(partition.partition("=")[2]).cast(pa.date32()).as_py()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
