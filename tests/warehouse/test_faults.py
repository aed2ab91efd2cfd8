"""Servers that die, answers that are lost, holders that sleep: a clear error, nothing lost, and a rerun that heals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.errors import CatalogError, LockedError, PublishUnknownError, StorageError, TaskError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import publish_keyed
from tests.places import LOCKS, Place, hdfs_files, hive_folder, local_files, place
from tests.publishing import REPO, Settings, author, brought

DAY, NEXT = "dt=20240501", "dt=20240502"
STOOD, BRINGS = {"lw/wau": 1, "bns/wau": 2}, {"lw/wau": 10}


@pytest.fixture(scope="module")
def mortal() -> Iterator[Any]:
    """Return a metastore that a test may kill and start again."""
    from tests.services.hive import Metastore

    server = Metastore()
    yield server
    server.stop()


@pytest.fixture
def where(mortal: Any, tmp_path: Path) -> Place:
    """Return a warehouse in a folder, whose tables are in the mortal metastore."""
    shared = place("local+sqlite", tmp_path)
    settings = replace(shared.settings, metastore=mortal.uri, metastore_options={**LOCKS, "timeout_s": 20})
    return replace(
        shared, settings=settings, folder=lambda table, day: hive_folder(mortal.uri, table, day), files=local_files
    )


def publishing(where: Place, at: Callable[[str], None], n: int = 2) -> None:
    """Publish to an existing and a new partition, observed."""
    with Warehouse.open(where.settings, at=at) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(BRINGS), NEXT: brought(BRINGS)}, author(n))


@pytest.fixture
def standing(where: Place) -> Place:
    """Return the warehouse with a partition that stands."""
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))
    return where


@pytest.mark.parametrize(("step", "moved"), [("verified", 0), ("moving", 0), ("moved existing", 1)])
def test_a_metastore_killed_between_two_steps_is_a_clear_error_that_a_rerun_heals(
    standing: Place, mortal: Any, step: str, moved: int
) -> None:
    """Between files and pointer, and between the move and the new partitions: what had moved is named, and is whole."""

    def kill(reached: str) -> None:
        if reached == step:
            mortal.kill()

    with pytest.raises(CatalogError, match=r"cannot be reached.*run 'run_all.py repair latest'") as caught:
        publishing(standing, kill)
    mortal.start()
    assert [one.partition for one in caught.value.published] == [DAY][:moved]
    assert standing.rows(DAY) == (STOOD | BRINGS if moved else STOOD)
    assert standing.rows(NEXT) is None
    publishing(standing, lambda step: None, n=3)
    assert (standing.rows(DAY), standing.rows(NEXT)) == (STOOD | BRINGS, BRINGS)


@pytest.mark.parametrize("order", ["alter_partitions_with_environment_context", "add_partitions"])
@pytest.mark.parametrize("back", [True, False], ids=["comes back", "stays away"])
def test_an_answer_that_is_lost_is_found_out_or_told_as_unknown(
    standing: Place, mortal: Any, monkeypatch: pytest.MonkeyPatch, order: str, back: bool
) -> None:
    """The metastore carried the order out and died before it answered.

    Where it can be asked again the publish goes on; else the outcome is unknown and no file is deleted.
    """
    from hive_metastore import ThriftHiveMetastore

    receive = getattr(ThriftHiveMetastore.Client, f"recv_{order}")

    def lose(client: Any) -> Any:
        monkeypatch.undo()
        answer = receive(client)
        mortal.kill()
        if back:
            mortal.start()
        raise EOFError(f"the answer {answer!r:.20} was lost")

    monkeypatch.setattr(ThriftHiveMetastore.Client, f"recv_{order}", lose)
    if back:
        publishing(standing, lambda step: None)
    else:
        with pytest.raises(
            PublishUnknownError, match=r"did not answer .*Files are kept.*'run_all.py repair latest' is safe"
        ) as caught:
            publishing(standing, lambda step: None)
        mortal.start()
        assert [one.partition for one in caught.value.published] == ([DAY] if order == "add_partitions" else [])
    # Nothing was deleted: what the metastore points at is whole, whoever heard of it.
    assert standing.rows(DAY) == STOOD | BRINGS
    publishing(standing, lambda step: None, n=3)
    assert (standing.rows(DAY), standing.rows(NEXT)) == (STOOD | BRINGS, BRINGS)


def test_a_metastore_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Its address, what the socket says, and the next step; nothing is written."""
    settings = Settings(str(tmp_path / "w"), metastore="thrift://127.0.0.1:1")
    with pytest.raises(CatalogError, match=r"thrift://127\.0\.0\.1:1 cannot be reached: .*run 'run_all.py repair"):
        publishing(Place("", settings, "bigmama", local_files, lambda table, day: None), lambda step: None)
    assert not (tmp_path / "w").exists()


SLEEPER = """
import json, os, signal, sys
from tests.places import *
from tests.publishing import *
from bigmama_nb.warehouse.publish import publish_keyed
from bigmama_nb.warehouse import Warehouse
orders = json.loads(sys.argv[1])
asleep = []
def at(step):
    if step == orders["step"] and not asleep:
        asleep.append(step)
        print("asleep", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
warehouse = Warehouse.open(Settings(**orders["settings"]), at=at)
table = METRIC.__class__(**{**vars(METRIC), "database": orders["database"]})
publish_keyed(warehouse, table, {"dt=20240501": brought({"lw/wau": 5})}, author(2))
"""


@pytest.mark.parametrize("step", ["carried", "verified", "moving"])
def test_a_holder_that_sleeps_past_its_lock_and_wakes_overwrites_nobody(standing: Place, step: str) -> None:
    """Stopped by SIGSTOP, taken over by another run, and woken: it builds again, and both end up in the partition."""
    orders = {"settings": asdict(standing.settings), "database": standing.database, "step": step}
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER, json.dumps(orders)], cwd=REPO, stdout=subprocess.PIPE
    ) as sleeper:
        assert sleeper.stdout is not None
        assert sleeper.stdout.readline() == b"asleep\n"
        with Warehouse.open(standing.settings) as warehouse:
            publish_keyed(warehouse, standing.metric(), {DAY: brought({"bns/wau": 7, "l2m/wau": 8})}, author(3))
        os.kill(sleeper.pid, signal.SIGCONT)
        assert sleeper.wait() == 0
    assert standing.rows(DAY) == {"lw/wau": 5, "bns/wau": 7, "l2m/wau": 8}


def test_a_dead_holders_lock_is_taken_over_and_a_living_ones_is_not(standing: Place) -> None:
    """A holder with a heartbeat keeps its lock however long the other waits; the take-over is counted."""
    name = standing.metric().full_name
    living = replace(standing.settings, lock_wait_s=3)
    with Warehouse.open(standing.settings) as first, Warehouse.open(living) as second:
        with (
            first.catalog.lock(name, "bigmama-nb 20240502T020304Z-00000a", 5),
            pytest.raises(LockedError, match=r"bigmama-nb 20240502T020304Z-00000a \(on .*lock_wait_s \(3 s\)"),
            second.catalog.lock(name, "bigmama-nb 20240502T020304Z-00000b", 3),
        ):
            pass
        dead = first.catalog.lock(name, "bigmama-nb 20240502T020304Z-00000c", 5)
        dead.__enter__()
        dead._stop.set()  # type: ignore[attr-defined]
        with second.catalog.lock(name, "bigmama-nb 20240502T020304Z-00000d", 30) as taken:
            assert taken.takeovers == 1  # type: ignore[attr-defined]
            assert not dead.held()  # type: ignore[attr-defined]


@pytest.fixture
def hadoop(tmp_path: Path) -> Iterator[Any]:
    """Return an HDFS that a test may kill, and a warehouse in it."""
    from tests.services.hdfs import Hdfs

    server = Hdfs()
    yield server
    server.stop()


def test_a_namenode_killed_in_the_middle_of_a_write_loses_nothing(hadoop: Any, tmp_path: Path) -> None:
    """The error names the file; once the NameNode is back what stood stands, and the rerun publishes."""
    shared = place("hdfs+hive", tmp_path)
    quick = {"dfs.client.failover.max.attempts": "2"}
    settings = replace(shared.settings, uri=f"{hadoop.uri}/{shared.database}", storage_options=quick)
    where = replace(shared, settings=settings, files=hdfs_files)
    with Warehouse.open(settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))

        class Dying:
            def __getattr__(self, name: str) -> Any:
                return getattr(warehouse.storage, name)

            def put(self, location: str, content: bytes | Path) -> None:
                hadoop.kill()
                warehouse.storage.put(location, content)

        dying: Any = Dying()
        with pytest.raises(TaskError, match=r"(?s)cannot (write|list) hdfs://.*Readers see what stood before"):
            publish_keyed(replace(warehouse, storage=dying), where.metric(), {DAY: brought(BRINGS)}, author(2))
    hadoop.start()
    assert where.rows(DAY) == STOOD
    with Warehouse.open(settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(BRINGS)}, author(3))
    assert where.rows(DAY) == STOOD | BRINGS


def test_an_s3_that_answers_503_is_asked_again_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short spell is waited out; a long one is an error that names the object, and what stood stands."""
    from tests.services.s3 import credentials, proxied

    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    shared = place("s3+hive", tmp_path)
    with proxied() as proxy:
        options = {**shared.settings.storage_options, "endpoint": proxy.endpoint, "retries": 2, "retry_s": 20}
        where = replace(shared, settings=replace(shared.settings, storage_options=options))

        def fails(step: str) -> None:
            proxy.fails = step == "carried"

        with Warehouse.open(where.settings) as warehouse:
            publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))
        with (
            Warehouse.open(where.settings, at=fails) as warehouse,
            pytest.raises(StorageError, match=r"dt=20240501: cannot list s3://.*503.*Readers see what stood before"),
        ):
            publish_keyed(warehouse, where.metric(), {DAY: brought(BRINGS)}, author(2))
        assert proxy.refused >= 3
        assert where.rows(DAY) == STOOD
        proxy.fails, proxy.spell = False, 1
        with Warehouse.open(where.settings) as warehouse:
            publish_keyed(warehouse, where.metric(), {DAY: brought(BRINGS)}, author(3))
        assert proxy.spell == 0
    assert where.rows(DAY) == STOOD | BRINGS
