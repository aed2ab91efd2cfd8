"""A table that stands before anything was published to it, as `ddl` or somebody else made it, takes rows."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import publish_keyed
from bigmama_nb.warehouse.query import rows_that_can_be_read, sql
from tests.places import Place, place
from tests.publishing import author, brought

DAY, NEXT = "dt=20240501", "dt=20240502"

pytestmark = pytest.mark.service("hive")


@pytest.fixture
def where(tmp_path: Path) -> Place:
    """Return a warehouse whose tables are in a metastore."""
    return place("local+hive", tmp_path)


def made_by_others(where: Place, name: str, partition: str | None = None) -> None:
    """Make an external table as a statement does, which knows nothing of our mark; with a partition's file."""
    with Warehouse.open(where.settings) as warehouse:
        entry = warehouse.ensure(replace(where.metric(), name=name))

    def change(client: Any) -> None:
        from hive_metastore import ttypes

        table = client.get_table(where.database, name)
        table.parameters = {key: value for key, value in table.parameters.items() if key != "bigmama_nb"}
        client.alter_table(where.database, name, table)
        if partition is None:
            return
        folder = Path(entry.location) / partition
        folder.mkdir(parents=True)
        pq.write_table(brought({"old/wau": 7}).rows, folder / "000000_0", store_schema=False)
        described = copy.deepcopy(table.sd)
        described.location = f"file:{folder}"
        value = partition.partition("=")[2]
        client.add_partition(
            ttypes.Partition(values=[value], dbName=where.database, tableName=name, sd=described, parameters={})
        )

    asked(where, change)


def asked(where: Place, change: Any) -> None:
    """Speak to the metastore without the package."""
    from hive_metastore import ThriftHiveMetastore
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport import TSocket, TTransport

    host, port = str(where.settings.metastore).removeprefix("thrift://").split(":")
    transport = TTransport.TBufferedTransport(TSocket.TSocket(host, int(port)))
    transport.open()
    try:
        change(ThriftHiveMetastore.Client(TBinaryProtocol(transport)))
    finally:
        transport.close()


@pytest.mark.parametrize("name", ["game_metric", "wv_live_play"])
def test_an_empty_table_is_read_and_filled(where: Place, name: str) -> None:
    """A view of it is there before its first row, so the history of a run is asked of it; then it takes rows."""
    made_by_others(where, name)
    table = replace(where.metric(), name=name)
    with Warehouse.open(where.settings) as warehouse:
        assert rows_that_can_be_read(warehouse, f"select * from {table.full_name}") == []
        publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 5})}, author(1))
        assert sql(warehouse, f"select game_cd, value, dt from {name}")[1] == [["lw", 5, "20240501"]]


def test_partitions_that_stand_are_read_and_keep_their_rows(where: Place) -> None:
    """Before and after rows are published beside them, to their partition and to another."""
    made_by_others(where, "game_metric", DAY)
    with Warehouse.open(where.settings) as warehouse:
        rows = "select game_cd, value, dt from game_metric order by all"
        assert sql(warehouse, rows)[1] == [["old", 7, "20240501"]]
        both = {DAY: brought({"lw/wau": 5}), NEXT: brought({"lw/wau": 6})}
        publish_keyed(warehouse, where.metric(), both, author(1))
        assert sql(warehouse, rows)[1] == [["lw", 5, "20240501"], ["lw", 6, "20240502"], ["old", 7, "20240501"]]
