"""A catalog that is gone, empty, old or no database, and the partitions that are pointed at their versions again."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bigmama_nb.errors import CatalogError, UsageError
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.maintenance import release, rollback
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole, retract
from bigmama_nb.warehouse.query import sql
from bigmama_nb.warehouse.recovery import recover
from tests.places import Place, place
from tests.publishing import METRIC, PLAY, Settings, author, brought, current_folder, lineage_in, plays, rows_in
from tests.runs.world import CLUSTERS, World, expected

DAY, NEXT = "dt=20240501", "dt=20240502"
MONTH = "part_date=2024-05"
GONE: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"not a database, whatever it was"),
}


class Clock:
    """Noon, and a minute later with every look."""

    def __init__(self) -> None:
        self.at = datetime(2024, 5, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(minutes=1)
        return self.at


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    """Return a warehouse with two days of two runs."""
    with Warehouse.open(Settings(str(root))) as opened:
        made = replace(opened, clock=Clock())
        publish_keyed(
            made, METRIC, {DAY: brought({"lw/wau": 1, "bns/wau": 2}), NEXT: brought({"lw/wau": 3})}, author(1)
        )
        publish_keyed(made, METRIC, {DAY: brought({"lw/wau": 10})}, author(2))
        yield made


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_lost_catalog_is_refused_and_named(warehouse: Warehouse, root: Path, how: str) -> None:
    """Neither a publish nor a reader takes the warehouse for an empty one, and nothing is made or deleted."""
    GONE[how](root / "catalog.db")
    before = sorted(root.rglob("*"))
    says = rf"catalog\.db is {how}, but versions stand beside it \(bigmama\.db/.*'run_all\.py recover'"
    with pytest.raises(CatalogError, match=says):
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(3))
    with pytest.raises(CatalogError, match=says):
        sql(warehouse, "select 1")
    with pytest.raises(CatalogError, match=says):
        warehouse.catalog.current(METRIC.full_name)
    assert sorted(root.rglob("*")) == before


def test_a_catalog_that_is_no_database_names_what_makes_it_anew(warehouse: Warehouse, root: Path) -> None:
    """The message says what was found, and the command."""
    GONE["no database"](root / "catalog.db")
    with pytest.raises(CatalogError, match=r"cannot read the catalog .*not a database.*'run_all\.py recover'"):
        sql(warehouse, "select 1")


@pytest.mark.parametrize("how", GONE)
def test_a_lost_catalog_is_made_anew_from_what_stands(warehouse: Warehouse, root: Path, how: str) -> None:
    """Every partition shows the rows and the lineage that it had; who asks again changes nothing."""
    before = {day: (rows_in(root, day), lineage_in(root, day)) for day in (DAY, NEXT)}
    GONE[how](root / "catalog.db")
    planned = recover(warehouse, [METRIC, PLAY], author(9), only_plan=True)
    assert [(one.partition, one.version, one.before, one.became) for one in planned] == [
        (DAY, author(2).version, None, "moved"),
        (NEXT, author(1).version, None, "moved"),
    ]
    assert recover(warehouse, [METRIC, PLAY], author(9)) == planned
    assert {day: (rows_in(root, day), lineage_in(root, day)) for day in (DAY, NEXT)} == before
    assert {one.became for one in recover(warehouse, [METRIC, PLAY], author(9))} == {"kept"}
    assert (root / "catalog.db.damaged").exists() == (how == "no database")
    publish_keyed(warehouse, METRIC, {DAY: brought({"l2m/wau": 4})}, author(3))
    assert rows_in(root, DAY) == {"lw/wau": 10, "bns/wau": 2, "l2m/wau": 4}


def test_a_pointer_that_is_lost_comes_back_and_an_old_one_goes_forward(warehouse: Warehouse, root: Path) -> None:
    """As after a restored backup: what was committed last counts, by when it was sealed and not by its name."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 11})}, author(0))
    with sqlite3.connect(root / "catalog.db") as catalog:
        catalog.execute('DELETE FROM partitions WHERE "partition" = ?', (NEXT,))
        catalog.execute("UPDATE partitions SET location = replace(location, ?, ?)", (author(0).run, author(2).run))
    assert rows_in(root, DAY) == {"lw/wau": 10, "bns/wau": 2}
    recover(warehouse, [METRIC], author(9))
    assert (rows_in(root, DAY), rows_in(root, NEXT)) == ({"lw/wau": 11, "bns/wau": 2}, {"lw/wau": 3})


def test_what_was_taken_back_stays_back(warehouse: Warehouse, root: Path) -> None:
    """A rollback and a retraction are what stood last, so they are what is recovered."""
    rollback(warehouse, "game_metric", DAY, author(5))
    retract(warehouse, METRIC, NEXT, [("lw", "wau")], author(6))
    (root / "catalog.db").unlink()
    recover(warehouse, [METRIC], author(9))
    assert (rows_in(root, DAY), rows_in(root, NEXT)) == ({"lw/wau": 1, "bns/wau": 2}, {})


def test_what_is_held_is_not_recovered_and_what_was_released_is(warehouse: Warehouse, root: Path) -> None:
    """Recovery releases nothing: of two held versions only the released one stands, before and after."""
    for n in (5, 6):
        month = Replacement(PLAY, MONTH, plays(n), date(2024, 5, 10), False, "x")
        publish_whole(warehouse, [month], author(n), hold=True)
    assert {one.partition for one in recover(warehouse, [METRIC, PLAY], author(9))} == {DAY, NEXT}
    release(warehouse, author(5).run, [(PLAY.full_name, MONTH)], author(7))
    (root / "catalog.db").unlink()
    recover(warehouse, [METRIC, PLAY], author(9))
    folder = current_folder(root, PLAY.full_name, MONTH)
    assert folder is not None
    assert folder.name == author(5).version


def test_a_damaged_version_gives_way_to_the_one_before(warehouse: Warehouse, root: Path) -> None:
    """The newest whole one counts; a partition without any is named and left as it is."""
    for day, n in ((DAY, 2), (NEXT, 1)):
        file = root / "bigmama.db/game_metric/.runs" / day / author(n).version / "part-0.parquet"
        file.write_bytes(file.read_bytes()[:300])
    found = recover(warehouse, [METRIC], author(9))
    assert [(one.partition, one.version, one.before, one.became) for one in found] == [
        (DAY, author(1).version, author(2).version, "moved"),
        (NEXT, None, author(1).version, "damaged"),
    ]
    assert rows_in(root, DAY) == {"lw/wau": 1, "bns/wau": 2}


def test_a_table_that_the_catalog_lost_is_refused_and_recovered(warehouse: Warehouse, root: Path) -> None:
    """The database is whole and the table is not in it: a publish would begin with an empty one."""
    warehouse.catalog.drop(METRIC.full_name)
    with pytest.raises(CatalogError, match=r"the catalog has no such table, but versions of it stand.*recover"):
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(3))
    recover(warehouse, [METRIC], author(9))
    assert rows_in(root, DAY) == {"lw/wau": 10, "bns/wau": 2}


@pytest.fixture
def hive(tmp_path: Path) -> Place:
    """Return a warehouse whose tables are in a metastore."""
    return place("local+hive", tmp_path)


@pytest.mark.service("hive")
@pytest.mark.parametrize("table_too", [False, True], ids=["partitions", "table"])
def test_dropped_partitions_come_back_in_a_metastore(hive: Place, table_too: bool) -> None:
    """After `MSCK … DROP PARTITIONS`, or a dropped external table, the files are there and the pointers are not."""
    table = hive.metric()
    with Warehouse.open(hive.settings) as warehouse:
        publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 1}), NEXT: brought({"lw/wau": 2})}, author(1))
        if table_too:
            warehouse.catalog.drop(table.full_name)
        else:
            dropped(hive, table.name, NEXT)
        assert hive.rows(NEXT) is None
        recover(warehouse, [table], author(9))
        assert (hive.rows(DAY), hive.rows(NEXT)) == ({"lw/wau": 1}, {"lw/wau": 2})


@pytest.mark.parametrize("step", ["locked", "moving", "moved", "done", None])
@pytest.mark.parametrize("name", ["local+sqlite", pytest.param("local+hive", marks=pytest.mark.service("hive"))])
def test_a_recovery_killed_midway_shows_all_of_a_table_or_nothing(tmp_path: Path, name: str, step: str | None) -> None:
    """A dropped table comes back whole: a killed recovery leaves none to publish to, and another one makes it."""
    where = place(name, tmp_path)
    table = where.metric()
    stood = {DAY: {"lw/wau": 1, "bns/wau": 5}, NEXT: {"lw/wau": 2}}
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, table, {day: brought(rows) for day, rows in stood.items()}, author(1))
        warehouse.catalog.drop(table.full_name)
    assert killed_recovery(where, table, step) == (0 if step is None else -signal.SIGKILL)
    seen = {day: where.rows(day) for day in stood}
    assert seen == stood or (step is not None and seen == dict.fromkeys(stood))
    with Warehouse.open(where.settings) as warehouse:
        if step is not None:
            for ask in (
                lambda: publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 9})}, author(3)),
                lambda: sql(warehouse, f"from {table.full_name}"),
            ):
                with pytest.raises((CatalogError, UsageError), match=r"recover|does not exist"):
                    ask()
        recover(warehouse, [table], author(9))
        assert {day: where.rows(day) for day in stood} == stood
        assert [one.name for one in warehouse.tables() if one.database == table.database] == [table.name]
        publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 9})}, author(4))
        assert where.rows(DAY) == {"lw/wau": 9, "bns/wau": 5}
        assert sql(warehouse, f"select count(*) from {table.full_name}")[1] == [[3]]


def killed_recovery(where: Place, table: Table, step: str | None) -> int:
    """Recover in another process, which is killed at a step; return how it ended."""
    child = os.fork()
    if not child:
        with suppress(BaseException), Warehouse.open(where.settings, at=partial(killed_at, step)) as warehouse:
            recover(warehouse, [table], author(9))
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step: str | None, reached: str) -> None:
    if reached == step:
        os.kill(os.getpid(), signal.SIGKILL)


def dropped(place: Place, table: str, partition: str) -> None:
    """Drop a partition of an external table, whose files stay."""
    from hive_metastore import ThriftHiveMetastore
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport import TSocket, TTransport

    host, port = str(place.settings.metastore).removeprefix("thrift://").split(":")
    transport = TTransport.TBufferedTransport(TSocket.TSocket(host, int(port)))
    transport.open()
    client = ThriftHiveMetastore.Client(TBinaryProtocol(transport))
    client.drop_partition_by_name(place.database, table, partition, False)
    transport.close()


def test_the_command_recovers_what_a_run_refuses(world: World) -> None:
    """A run beside a lost catalog publishes nothing and names the verb; the verb says what it did, and all stands."""
    assert world.command("run")["exit_status"] == 0
    (world.folder / "warehouse/catalog.db").write_bytes(b"")
    refused = world.command("run", "--date", "2024-05-01", "--games", "aa")
    assert refused["exit_status"] == 1
    assert "recover" in str(refused["data"]["tasks"])

    plan = world.command("recover", "--plan")
    assert {one["became"] for one in plan["data"]} == {"moved"}
    assert (world.folder / "warehouse/catalog.db").read_bytes() == b""
    done = world.command("recover")
    assert (done["exit_status"], done["data"]) == (0, plan["data"])
    assert world.rows() == expected(*CLUSTERS)
