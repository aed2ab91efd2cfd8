"""What others read: SQL over HiveServer2's protocol, Spark, DuckDB and pyarrow see the same rows, to the last digit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import data_files
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole
from bigmama_nb.warehouse.query import sql
from tests.places import Place, hive_partition, place
from tests.publishing import PLAY, REPO, author, brought, plays

FIGURES = {"lw/wau": 2**63 - 1, "bns/wau": -(2**63), "l2m/mau": 2**53 + 1}
DAY, NEXT = "dt=20240501", "dt=20240502"
SEEN = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)

SPARK = """
import json, sys
from pyspark.sql import SparkSession
orders = json.loads(sys.argv[1])
builder = SparkSession.builder.master("local[1]").enableHiveSupport()
for name, value in orders["conf"].items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
print(json.dumps([[list(row) for row in spark.sql(query).collect()] for query in orders["queries"]]))
"""


@pytest.fixture(params=["local+hive", "hdfs+hive", "s3+hive"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a warehouse with metrics of two days, one of them published twice, and a mart."""
    from tests.services.s3 import credentials

    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    where = place(request.param, tmp_path)
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought({"lw/wau": 5, "l2m/mau": 2**53 + 1})}, author(1))
        rest = {name: value for name, value in FIGURES.items() if name != "l2m/mau"}
        publish_keyed(warehouse, where.metric(), {DAY: brought(rest), NEXT: brought({"lw/wau": 7})}, author(2))
        mart = replace(PLAY, database=where.database)
        part = Replacement(mart, "part_date=2024-05-01", plays(2, value=2**31 - 1), date(2024, 5, 1), True, "x")
        publish_whole(warehouse, [part], author(3))
    return where


def queries(where: Place) -> tuple[str, str]:
    """Return SQL that every reader understands: the metrics, and the mart's instants as text."""
    instant = "date_format(seen_dt, 'yyyy-MM-dd HH:mm:ss.SSSSSS')"
    mart = f"SELECT post_id, {instant}, play_seconds, n, part_date FROM {where.database}.wv_play ORDER BY post_id"
    return f"SELECT game_cd, type, value, dt FROM {where.database}.game_metric ORDER BY dt, game_cd", mart


METRICS = [
    ["bns", "wau", -(2**63), "20240501"],
    ["l2m", "mau", 2**53 + 1, "20240501"],
    ["lw", "wau", 2**63 - 1, "20240501"],
    ["lw", "wau", 7, "20240502"],
]
MART = [[f"1-0000{n}", "2024-05-01 12:00:00.123456", 1.5, 2**31 - 1, "2024-05-01"] for n in (0, 1)]


def lists(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return rows as lists, so that every reader's compare."""
    return [list(row) for row in rows]


def test_every_reader_sees_the_same_rows(where: Place) -> None:
    """Bigints at both ends of int64 and past 2^53, instants to the microsecond, the partition's value as a string."""
    from tests.services.hive import metastore, thrift_server
    from tests.services.s3 import hadoop_configuration, hadoop_jars

    metrics, mart = queries(where)
    assert lists(thrift_server().query(metrics)) == METRICS
    assert lists(thrift_server().query(mart)) == MART

    conf = {
        "spark.hadoop.hive.metastore.uris": metastore().uri,
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.driver.extraClassPath": ":".join(map(str, hadoop_jars())),
        **{f"spark.hadoop.{name}": value for name, value in hadoop_configuration().items()},
    }
    asked = subprocess.run(
        [sys.executable, "-c", SPARK, json.dumps({"conf": conf, "queries": [metrics, mart]})],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    assert json.loads(asked.stdout.splitlines()[-1]) == [METRICS, MART]

    with Warehouse.open(where.settings) as warehouse:
        assert sql(warehouse, metrics)[1] == METRICS
        in_duckdb = mart.replace("date_format(seen_dt, 'yyyy-MM-dd HH:mm:ss.SSSSSS')", "seen_dt::timestamp::varchar")
        assert sql(warehouse, in_duckdb)[1] == MART

        read = []
        for partition, pointer in warehouse.catalog.current(f"{where.database}.game_metric").items():
            for location in data_files(pointer, warehouse.storage):
                with warehouse.storage.open(location) as source:
                    rows = pq.ParquetFile(source).read().sort_by("game_cd").to_pylist()
                read += [[*row.values(), partition.removeprefix("dt=")] for row in rows]
        assert read == METRICS
        (pointer,) = warehouse.catalog.current(f"{where.database}.wv_play").values()
        (location,) = data_files(pointer, warehouse.storage)
        with warehouse.storage.open(location) as source:
            seen = pq.ParquetFile(source).read()["seen_dt"]
        assert seen.type == pa.timestamp("us", tz="UTC")
        assert seen.to_pylist() == [SEEN, SEEN]


def test_a_count_after_a_move_is_the_new_one_also_where_the_table_was_analysed(tmp_path: Path) -> None:
    """Statistics of before are gone from the partition: neither Spark nor Hive can answer from them."""
    from hive_metastore import ThriftHiveMetastore, ttypes
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport import TSocket, TTransport

    from tests.services.hive import metastore, thrift_server

    where = place("local+hive", tmp_path)
    name = f"{where.database}.game_metric"
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought({"lw/wau": 5, "bns/wau": 6})}, author(1))
        server = thrift_server()
        server.run(f"ANALYZE TABLE {name} PARTITION (dt='20240501') COMPUTE STATISTICS")
        analysed = hive_partition(metastore().uri, name, DAY)
        # Spark writes nothing where its count is the one that the move has written.
        assert analysed.parameters["numRows"] == "2"

        socket = TSocket.TSocket("127.0.0.1", metastore().port)
        transport = TTransport.TBufferedTransport(socket)
        transport.open()
        client = ThriftHiveMetastore.Client(TBinaryProtocol(transport))
        # As Hive's own ANALYZE leaves a partition: figures that are said to be accurate, and a column's.
        analysed.parameters["COLUMN_STATS_ACCURATE"] = '{"BASIC_STATS":"true","COLUMN_STATS":{"value":"true"}}'
        analysed.parameters |= {"spark.sql.statistics.numRows": "2", "spark.sql.statistics.totalSize": "9"}
        analysed.parameters["owner's own"] = "stays"
        client.alter_partition(where.database, "game_metric", analysed)
        longs = ttypes.LongColumnStatsData(lowValue=5, highValue=6, numNulls=0, numDVs=2)
        statistics = ttypes.ColumnStatistics(
            statsDesc=ttypes.ColumnStatisticsDesc(
                isTblLevel=False, dbName=where.database, tableName="game_metric", partName=DAY
            ),
            statsObj=[ttypes.ColumnStatisticsObj("value", "bigint", ttypes.ColumnStatisticsData(longStats=longs))],
        )
        client.update_partition_column_statistics(statistics)
        request = ttypes.PartitionsStatsRequest(where.database, "game_metric", ["value"], [DAY])
        assert DAY in client.get_partitions_statistics_req(request).partStats

        publish_keyed(warehouse, where.metric(), {DAY: brought({"l2m/wau": 7, "b2/wau": 8, "b3/wau": 9})}, author(2))
        assert server.query(f"SELECT count(*), max(value) FROM {name}") == [(5, 9)]
        moved = hive_partition(metastore().uri, name, DAY).parameters
        assert moved["numRows"] == "5"
        assert moved["owner's own"] == "stays"
        assert [key for key in moved if key.startswith("spark.sql.statistics") or "ACCURATE" in key] == []
        assert not client.get_partitions_statistics_req(request).partStats
        transport.close()


def test_a_table_that_others_made_is_adopted_where_it_lies(tmp_path: Path) -> None:
    """Its location, its partitions' rows and a query before and after are the same; they are carried over too."""
    from tests.services.hive import metastore, thrift_server

    where = place("local+hive", tmp_path)
    server = thrift_server()
    elsewhere = tmp_path / "elsewhere"
    server.run(f"CREATE DATABASE {where.database} LOCATION 'file:{tmp_path}/other.db'")
    ddl = where.metric().ddl(f"file:{elsewhere}").rstrip().rstrip(";")
    server.run(ddl)
    folder = elsewhere / "dt=20240501"
    folder.mkdir(parents=True)
    pq.write_table(brought({"lw/wau": 1, "old/wau": 2}).rows, folder / "000000_0")
    server.run(f"ALTER TABLE {where.database}.game_metric ADD PARTITION (dt='20240501')")
    with Warehouse.open(where.settings) as warehouse:
        done = publish_keyed(warehouse, where.metric(), {DAY: brought({"lw/wau": 5})}, author(1))
        assert done[DAY].carried == 1
        assert [entry.full_name for entry in warehouse.catalog.tables()].count(f"{where.database}.game_metric") == 1
    partition = hive_partition(metastore().uri, f"{where.database}.game_metric", DAY)
    assert partition.sd.location == f"file:{elsewhere}/.runs/dt=20240501/{author(1).version}"
    rows = server.query(f"SELECT game_cd, value FROM {where.database}.game_metric ORDER BY game_cd")
    assert rows == [("lw", 5), ("old", 2)]
    assert (folder / "000000_0").exists(), "what others wrote is not deleted"
