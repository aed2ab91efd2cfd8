"""The crash verifier: stop a writer at every step of a publish, and look at what a reader sees.

It works on a profile's own warehouse, in a scratch table that it drops in the end: `run_all.py check --publish`.
Each writer is a process of its own, ended by SIGKILL: what it leaves is what a crash leaves.
Source: docs/spec/publishing.md, "Storages".
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from bigmama_nb.errors import CatalogError, TaskError
from bigmama_nb.tables import game_metric
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.lineage import read_record
from bigmama_nb.warehouse.publish import Group, Incoming, Writer, publish_keyed
from bigmama_nb.warehouse.storage.protocol import Storage
from bigmama_nb.warehouse.version import rows_of

Rows = dict[str, int]
STOOD: Rows = {"a/wau": 1, "b/wau": 2}
BRINGS: Rows = {"a/wau": 10}
AFTER: Rows = {"a/wau": 10, "b/wau": 2}
DATA_AND_LINEAGE_FILES = 4
# A scratch table's lock is nobody else's: its dead holders need no five minutes.
QUICK_LOCKS = {"heartbeat_s": 0.1, "stale_lock_s": 1}


@dataclass(frozen=True)
class Finding:
    """What one check found, as `check` lists it."""

    name: str
    ok: bool
    message: str


@dataclass(frozen=True)
class _Settings:
    uri: str
    metastore: str | None
    database: str
    grace_hours: float
    lock_wait_s: float
    timestamp: Literal["int64", "int96"]
    compression: Literal["zstd", "snappy", "gzip"]
    metastore_options: Mapping[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict)


def verify_publish(settings: Settings, tell: Callable[[Finding], None] = lambda finding: None) -> list[Finding]:
    """Kill a writer at every step of a publish on a warehouse, and return what was found, a finding a step.

    After each kill a reader sees of every partition the old rows or the new ones; then a further run publishes to the
    end, whatever the dead one left. `tell` gets each finding as it comes. The scratch table is dropped and its files
    are deleted.

    Raises:
        TaskError: the warehouse cannot be written or read at all.
    """
    quick = dict(settings.metastore_options) | (QUICK_LOCKS if settings.metastore else {})
    ours = _Settings(
        uri=settings.uri,
        metastore=settings.metastore,
        database=settings.database,
        grace_hours=settings.grace_hours,
        lock_wait_s=60,
        timestamp=settings.timestamp,
        compression=settings.compression,
        metastore_options=quick,
        storage_options=dict(settings.storage_options),
    )
    findings: list[Finding] = []
    table = replace(game_metric.CONTRACT.in_database(settings.database), name=f"publish_check_{secrets.token_hex(4)}")
    with Warehouse.open(ours) as warehouse:
        try:
            steps = _steps(ours, warehouse, table)
            kills = [(f"killed at {step!r}", {"at": n}) for n, step in enumerate(steps)]
            kills += [(f"killed in file {n + 1}", {"in_put": n}) for n in range(DATA_AND_LINEAGE_FILES)]
            publish_keyed(warehouse, table, {f"dt=1{n:03d}": _brought(STOOD) for n in range(len(kills))}, _new_writer())
            for n, (name, kill) in enumerate(kills):
                problems = _killed(ours, warehouse, table, n, kill)
                said = "; ".join(problems) or "readers saw the old rows or the new, and the next run healed"
                findings.append(Finding(name, not problems, said))
                tell(findings[-1])
        finally:
            _remove(warehouse, table)
    return findings


def judge(
    before: Mapping[str, Rows | None], after: Mapping[str, Rows | None], seen: Mapping[str, Rows | None]
) -> list[str]:
    """Return what is wrong with what a reader sees: a partition that is neither as before nor as after."""
    return [
        f"{partition}: a reader sees {rows}, expected {before[partition]} or {after[partition]}"
        for partition, rows in seen.items()
        if rows not in (before[partition], after[partition])
    ]


def _steps(settings: _Settings, warehouse: Warehouse, table: Table) -> list[str]:
    """Return the steps of a publish of an existing and a new partition."""
    publish_keyed(warehouse, table, {"dt=0001": _brought(STOOD)}, _new_writer())
    ended = _write(settings, table, ["dt=0001", "dt=0002"], {})
    if ended.returncode:
        raise CatalogError(f"a publish that nobody kills fails: {ended.stderr.strip()[-2000:]}", place=settings.uri)
    return ended.stdout.split("\n")[:-1]


def _killed(settings: _Settings, warehouse: Warehouse, table: Table, n: int, kill: dict[str, int]) -> list[str]:
    """Return what is wrong after a writer was killed as `kill` says, and after the next one."""
    standing, new = f"dt=1{n:03d}", f"dt=2{n:03d}"
    before: dict[str, Rows | None] = {standing: STOOD, new: None}
    after: dict[str, Rows | None] = {standing: AFTER, new: BRINGS}
    died = _write(settings, table, [standing, new], kill)
    if died.returncode != -signal.SIGKILL:
        return [f"the writer was not killed: exit {died.returncode} {died.stderr.strip()[-500:]}"]
    problems = judge(before, after, _seen(warehouse, table, before))
    try:
        publish_keyed(warehouse, table, {standing: _brought(BRINGS), new: _brought(BRINGS)}, _new_writer())
    except TaskError as error:
        problems.append(f"the next run failed: {error.message}")
    return problems + judge(after, after, _seen(warehouse, table, after))


def _seen(warehouse: Warehouse, table: Table, partitions: Collection[str]) -> dict[str, Rows | None]:
    """Return by partition what a reader of the catalog sees."""
    seen: dict[str, Rows | None] = dict.fromkeys(partitions)
    for partition, pointer in warehouse.catalog.current(table.full_name, partitions).items():
        rows = rows_of(warehouse, table, pointer, read_record(warehouse.storage, pointer.location)).to_pylist()
        seen[partition] = {f"{row['game_cd']}/{row['type']}": row["value"] for row in rows}
    return seen


def _remove(warehouse: Warehouse, table: Table) -> None:
    entry = warehouse.catalog.entry(table.full_name)
    if entry is not None:
        warehouse.catalog.drop(table.full_name)
        warehouse.storage.delete(entry.location)


def _new_writer() -> Writer:
    return Writer(f"20240502T020304Z-{secrets.token_hex(3)}", 1, "check")


def _write(
    settings: _Settings, table: Table, partitions: Sequence[str], kill: Mapping[str, int]
) -> subprocess.CompletedProcess[str]:
    orders = {"settings": asdict(settings), "table": table.name, "partitions": partitions, "kill": kill}
    return subprocess.run(
        [sys.executable, "-m", "bigmama_nb.warehouse.crash_test"],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )


class _Torn:
    """A storage whose `n`th put gets through half a file before the writer dies."""

    def __init__(self, storage: Storage, n: int) -> None:
        self._storage = storage
        self._left = n

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def put(self, location: str, content: bytes | Path) -> None:
        if self._left:
            self._left -= 1
            self._storage.put(location, content)
            return
        whole = content if isinstance(content, bytes) else content.read_bytes()
        self._storage.put(location, whole[: len(whole) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def _writer(orders: dict[str, Any]) -> None:
    """Publish as ordered, telling each step on stdout, and die where that is ordered."""
    kill, step = orders["kill"], 0

    def at(name: str) -> None:
        nonlocal step
        if step == kill.get("at"):
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1
        sys.stdout.write(f"{name}\n")

    settings = _Settings(**orders["settings"])
    with Warehouse.open(settings, at=at) as opened:
        torn: Any = _Torn(opened.storage, kill["in_put"]) if "in_put" in kill else opened.storage
        warehouse = replace(opened, storage=torn)
        table = replace(game_metric.CONTRACT.in_database(settings.database), name=orders["table"])
        publish_keyed(warehouse, table, {name: _brought(BRINGS) for name in orders["partitions"]}, _new_writer())


def _brought(rows: Rows) -> Incoming:
    keys = [tuple(name.split("/")) for name in rows]
    table = pa.table(
        {
            "game_cd": pa.array([key[0] for key in keys], pa.string()),
            "type": pa.array([key[1] for key in keys], pa.string()),
            "value": pa.array(list(rows.values()), pa.int64()),
        }
    )
    return Incoming(table, {key: Group(date(2024, 5, 1), False, "check") for key in keys})


if __name__ == "__main__":
    _writer(json.load(sys.stdin))
