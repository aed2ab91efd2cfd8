"""Live viewing on Spark from the command to the table: what DuckDB publishes, on any warehouse, and after any death."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from bigmama_nb.engines import Engine
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.profile import load
from bigmama_nb.tables import wv_live_play
from bigmama_nb.tables.contract import Check
from bigmama_nb.warehouse import Warehouse
from tests.runs.live_world import DAILY, DAY, DAYS, LiveWorld, outcomes, tasks
from tests.runs.world import in_process
from tests.services.spark import SMALL, small_spark

AT = "2024-05-02T01:02:03Z"
TABLES = sorted(DAILY | {"stats_we_t_kpi", "stats_wv_m_video_copyright"})
ENGINE = {"kind": "spark", "master": "local[2]", "memory_limit": "1GB"}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    with small_spark(tmp_path_factory.mktemp("spark")) as engine:
        yield engine


def on(engine: Engine, world: LiveWorld, *arguments: str) -> dict[str, Any]:
    """Run live viewing in this process, on an engine that is there."""
    world.use(engine)
    with pytest.MonkeyPatch.context() as patch, in_process(patch, world):
        return world.live("--run-timestamp", AT, *arguments)


def rows(world: LiveWorld, database: str = "we_mart") -> dict[str, list[list[Any]]]:
    """Return what readers see of every table, sorted."""
    return {
        table: world.command("sql", f"select * from {database}.{table} order by all")["data"]["rows"]
        for table in TABLES
    }


def made(folder: Path, **conf: str) -> LiveWorld:
    """Return a world whose profile names Spark."""
    world = LiveWorld(folder)
    world.text += f"engine: {json.dumps({**ENGINE, 'conf': SMALL | conf})}\n"
    world.write_profile()
    return world


def bring(world: LiveWorld, uri: str) -> None:
    """Put the sources where the profile says that they are, beside the warehouse, under names as Hive gives them."""
    folder = world.folder / "weverse"
    with Warehouse.open(load(world.profile).warehouse) as warehouse:
        for path in folder.rglob("*.parquet"):
            warehouse.storage.put(f"{uri}/{path.relative_to(folder).parent}/gcc=XX/000000_0", path)


def assert_all_published(answer: dict[str, Any]) -> None:
    """Expect every task of the day to be ok, or say what each says."""
    told = "\n".join(str(task["message"]) for task in answer["data"]["tasks"])
    assert outcomes(answer) == dict.fromkeys(tasks(DAY), ("ok", "yes")), told


@pytest.fixture(scope="module")
def by_duckdb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[Any]]]:
    world = LiveWorld(tmp_path_factory.mktemp("duckdb") / "world")
    with DuckDBEngine("1GB") as engine:
        assert on(engine, world)["exit_status"] == 0
    return rows(world)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, spark: SparkEngine) -> tuple[LiveWorld, dict[str, Any]]:
    world = made(tmp_path_factory.mktemp("spark") / "world")
    return world, on(spark, world)


def test_a_run_on_spark_publishes_what_duckdb_does(
    ran: tuple[LiveWorld, dict[str, Any]], by_duckdb: dict[str, list[list[Any]]]
) -> None:
    """All seven tables hold the same rows; the record names the engine, every task is ok."""
    world, answer = ran
    assert_all_published(answer)
    assert answer["data"]["environment"]["engine"]["kind"] == "spark"
    assert rows(world) == by_duckdb


def test_executors_write_into_the_versions_folder(ran: tuple[LiveWorld, dict[str, Any]]) -> None:
    """What the catalog points at is what Spark wrote, with the lineage beside it and nothing else."""
    world, answer = ran
    folder = world.folder / f"warehouse/we_mart.db/wv_live_play/.runs/part_date={DAY}"
    (version,) = folder.iterdir()
    assert version.name == f"{answer['data']['run_id']}-1"
    names = sorted(path.name for path in version.iterdir())
    assert names[0] == "_lineage.json"
    assert [name for name in names[1:] if not name.startswith("part-")] == []
    assert not list((world.folder / "warehouse").rglob(".spark"))


def test_a_held_date_is_released_with_all_its_files(
    spark: SparkEngine, by_duckdb: dict[str, list[list[Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executors wrote the held version where it stands: its release publishes just these files, and loses none."""
    check = Check("guests", "warn", "a live has no guests", lambda table: table.filter(table.is_joint_live == 1))
    contract = replace(wv_live_play.CONTRACT, checks=(*wv_live_play.CONTRACT.checks, check))
    monkeypatch.setattr(wv_live_play, "CONTRACT", contract)
    world = made(tmp_path / "world")
    world.write_profile(("timezone: Asia/Seoul", "timezone: Asia/Seoul\nchecks: {on_suspect: hold}"))
    assert on(spark, world)["exit_status"] == 1
    versions = world.folder / "warehouse/we_mart.db/wv_live_play/.runs"
    held = {path: path.read_bytes() for path in versions.rglob("part-*")}
    assert held
    with pytest.MonkeyPatch.context() as patch, in_process(patch, world):
        released = world.command("release", "latest", f"wv_live_play/{DAY}")
    assert released["exit_status"] == 0, released
    assert {path: path.read_bytes() for path in versions.rglob("part-*")} == held
    assert rows(world) == by_duckdb


def test_a_rejected_share_leaves_no_version(spark: SparkEngine, tmp_path: Path) -> None:
    """A build that is refused leaves nothing in the tables' folders."""
    world = made(tmp_path / "world")
    world.log(DAYS[1], malformed=50)
    answer = on(spark, world)
    assert {outcome for outcome, _ in outcomes(answer).values()} <= {"failed", "skipped"}
    assert not list((world.folder / "warehouse").rglob("*.parquet"))


def test_what_no_engine_can_do_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB with a log elsewhere, Spark without pyspark: profile, key, what is needed, and that nothing was run."""
    world = LiveWorld(tmp_path / "world")
    world.write_profile(("{uri: weverse}", "{uri: 'hdfs://namenode:8020/weverse'}"))
    answer = world.live("--plan")
    assert answer["exit_status"] == 2
    assert answer["error"]["message"] == (
        "profile.yaml: live_play.sources.uri is 'hdfs://namenode:8020/weverse'; DuckDB builds from a folder of this "
        "machine. Nothing was run; set engine.kind to spark."
    )
    monkeypatch.setitem(sys.modules, "pyspark", None)
    answer = made(tmp_path / "spark").live("--plan")
    assert answer["exit_status"] == 2
    assert answer["error"]["message"] == (
        "profile.yaml: engine.kind is 'spark', and pyspark is not installed. Nothing was run; "
        "'pip install 'bigmama-nb[spark]'' installs it."
    )


@pytest.mark.service("hdfs")
def test_sources_and_warehouse_on_hdfs_are_read_back_by_hiveserver2(
    spark: SparkEngine, by_duckdb: dict[str, list[list[Any]]], tmp_path: Path
) -> None:
    """Executors read the log from HDFS and write to HDFS; what HiveServer2 answers is what DuckDB publishes."""
    from tests.services.hdfs import hdfs
    from tests.services.hive import metastore, thrift_server

    database, root = f"mart_{uuid.uuid4().hex[:8]}", f"{hdfs().uri}/{uuid.uuid4().hex}"
    world = made(tmp_path / "world")
    world.write_profile(
        ("warehouse: {uri: warehouse,", f"warehouse: {{uri: '{root}/warehouse', metastore: '{metastore().uri}',"),
        ("sources: {uri: weverse}", f"sources: {{uri: '{root}/weverse'}}\n  database: {database}"),
    )
    bring(world, f"{root}/weverse")
    answer = on(spark, world)
    assert_all_published(answer)
    for table in TABLES:
        found = thrift_server().query(f"SELECT * FROM {database}.{table}")
        assert sorted(map(plain, found)) == sorted(map(plain, by_duckdb[table])), table


@pytest.mark.service("s3")
def test_sources_and_warehouse_on_s3_are_what_duckdb_publishes(
    by_duckdb: dict[str, list[list[Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Hadoop's jars for S3 among Spark's; the keys come from the environment, and no output holds them."""
    from tests.services.hive import metastore
    from tests.services.s3 import BUCKET, hadoop_jars, s3

    monkeypatch.setenv("AUDITED_KEY", "test")
    monkeypatch.setenv("AUDITED_SECRET", "kept-by-the-environment")
    database = f"mart_{uuid.uuid4().hex[:8]}"
    root = f"s3://{BUCKET}/{database}"
    options = {
        "endpoint": s3().endpoint,
        "region": "us-east-1",
        "access_key_id_env": "AUDITED_KEY",
        "secret_access_key_env": "AUDITED_SECRET",
    }
    world = made(tmp_path / "world", **{"spark.jars": ",".join(str(jar) for jar in hadoop_jars())})
    warehouse = f"metastore: '{metastore().uri}', storage_options: {json.dumps(options)},"
    world.write_profile(
        ("warehouse: {uri: warehouse,", f"warehouse: {{uri: '{root}/warehouse', {warehouse}"),
        ("sources: {uri: weverse}", f"sources: {{uri: '{root}/weverse'}}\n  database: {database}"),
    )
    bring(world, f"{root}/weverse")
    answer = world.real("run", "--pipelines", "live_play", "--run-timestamp", AT)
    assert_all_published(answer)
    assert rows(world, database) == by_duckdb
    secret = b"kept-by-the-environment"
    assert secret not in json.dumps(answer).encode() + world.said.encode()
    assert not [path for path in world.folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def plain(row: Any) -> list[str]:
    """Return a row's values as text: HiveServer2's client and JSON write instants in ways of their own."""
    return [str(value).replace("T", " ").replace("+00:00", "").replace("Z", "") for value in row]


def killed_while_it_writes(world: LiveWorld) -> dict[str, Any]:
    """Start a run, end its driver's JVM while executors write the table, and return what the command says."""
    versions = world.folder / "warehouse/we_mart.db/wv_live_play/.runs"
    command = world.start("run", "--pipelines", "live_play", "--run-timestamp", AT)
    with command:
        while not list(versions.glob("*/*/_temporary")):
            assert command.poll() is None, command.communicate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.01)
        java = [one for one in psutil.Process(command.pid).children(recursive=True) if one.name() == "java"]
        assert java
        for one in java:
            one.kill()
        out, world.said = command.communicate()
    return dict(json.loads(out))


def test_a_driver_that_is_killed_leaves_nothing_half_visible(
    by_duckdb: dict[str, list[list[Any]]], tmp_path: Path
) -> None:
    """The record says what became of every task, readers see nothing, and the next run publishes what is right."""
    world = made(tmp_path / "world")
    answer = killed_while_it_writes(world)
    assert answer["exit_status"] == 1
    built = [task for task in answer["data"]["tasks"] if task["table"] in DAILY]
    assert {(task["outcome"], task["reason"], task["published"]) for task in built} == {("failed", "stage_died", "no")}
    assert all("Spark: the work was lost" in task["message"] for task in built)
    with Warehouse.open(load(world.profile).warehouse) as warehouse:
        assert [entry.full_name for entry in warehouse.catalog.tables()] == []
    again = world.real("run", "--pipelines", "live_play", "--run-timestamp", AT)
    assert_all_published(again)
    assert rows(world) == by_duckdb
