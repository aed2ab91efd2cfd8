"""A warehouse is read through its catalog."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bigmama_nb
from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole, retract
from bigmama_nb.warehouse.query import connect, export, sql, views, who_wrote
from tests.publishing import FULL, METRIC, PLAY, REPO, Settings, author, brought, current_folder, plays, small_disk
from tests.runs.world import World

DAY, NEXT = "dt=20240501", "dt=20240502"


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    """Return a warehouse of two days and a mart."""
    with Warehouse.open(Settings(str(root))) as warehouse:
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 9, "bns/wau": 9})}, author(1))
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5}), NEXT: brought({"lw/wau": 6})}, author(2))
        publish_whole(
            warehouse, [Replacement(PLAY, "part_date=2024-05-01", plays(3), date(2024, 5, 1), True, "x")], author(3)
        )
        yield warehouse


def test_a_view_shows_the_current_rows_with_the_partition_last(warehouse: Warehouse) -> None:
    """By its full name or without the database; the partition is a string, and superseded rows are not there."""
    connection = connect(warehouse.settings)
    expected = [("bns", "wau", 9, "20240501"), ("lw", "wau", 5, "20240501"), ("lw", "wau", 6, "20240502")]
    assert connection.execute("SELECT * FROM bigmama.game_metric ORDER BY ALL").fetchall() == expected
    assert connection.execute("SELECT * FROM game_metric WHERE dt = '20240502'").fetchall() == expected[2:]
    described = connection.execute("DESCRIBE wv_play").fetchall()
    assert [(row[0], row[1]) for row in described] == [
        ("post_id", "VARCHAR"),
        ("seen_dt", "TIMESTAMP WITH TIME ZONE"),
        ("play_seconds", "DOUBLE"),
        ("n", "INTEGER"),
        ("part_date", "VARCHAR"),
    ]


@pytest.mark.parametrize("timestamp", ["int64", "int96"])
def test_instants_are_right_whatever_form_they_have(tmp_path: Path, timestamp: str) -> None:
    """A microsecond stays a microsecond, in UTC, from INT64 and from INT96."""
    with Warehouse.open(Settings(str(tmp_path / "w"), timestamp=timestamp)) as warehouse:  # type: ignore[arg-type]
        publish_whole(
            warehouse, [Replacement(PLAY, "part_date=2024-05-01", plays(1), date(2024, 5, 1), True, "x")], author(1)
        )
        _, ((text, micros),) = sql(warehouse, "SELECT seen_dt::varchar, epoch_us(seen_dt) FROM wv_play")
    assert text == "2024-05-01 12:00:00.123456+00"
    assert micros == int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000 + 123_456


def test_a_connection_stays_as_it_was_when_it_was_opened(warehouse: Warehouse) -> None:
    """What is published later is seen by the next connection; the first one's rows stay whole."""
    connection = connect(warehouse.settings)
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 7})}, author(4))
    query = "SELECT value FROM game_metric WHERE game_cd = 'lw' AND dt = '20240501'"
    assert connection.execute(query).fetchall() == [(5,)]
    assert connect(warehouse.settings).execute(query).fetchall() == [(7,)]


def test_a_table_without_rows_is_an_empty_view(tmp_path: Path) -> None:
    """A table without partitions, or with an empty one, has columns and types all the same."""
    with Warehouse.open(Settings(str(tmp_path / "w"))) as warehouse:
        warehouse.ensure(METRIC)
        assert sql(warehouse, "SELECT * FROM game_metric") == (["game_cd", "type", "value", "dt"], [])
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 1})}, author(1))
        retract(warehouse, METRIC, DAY, [("lw", "wau")], author(2))
        assert sql(warehouse, "SELECT sum(value) AS total FROM game_metric") == (["total"], [[None]])


def test_a_warehouse_that_is_not_there_yet_has_no_tables(tmp_path: Path) -> None:
    """Reading makes nothing."""
    settings = Settings(str(tmp_path / "w"))
    assert connect(settings).execute("SHOW ALL TABLES").fetchall() == [
        ("memory", "_bigmama", "files", ["file", "of_table", "of_partition"], ["VARCHAR"] * 3, False)
    ]
    assert not (tmp_path / "w").exists()


def test_a_thousand_partitions_are_one_view(tmp_path: Path) -> None:
    """Every partition's value stands by its own rows."""
    days = [f"dt={2000 + n // 336}{n // 28 % 12 + 1:02d}{n % 28 + 1:02d}" for n in range(1000)]
    with Warehouse.open(Settings(str(tmp_path / "w"))) as warehouse:
        publish_keyed(
            warehouse, METRIC, {day: brought({"lw/wau": int(day.removeprefix("dt="))}) for day in days}, author(1)
        )
        _, rows = sql(
            warehouse, "SELECT count(*), count(DISTINCT dt), count(*) FILTER (value::varchar <> dt) FROM game_metric"
        )
    assert rows == [[1000, 1000, 0]]


def test_a_wrong_query_is_a_usage_error_that_names_the_tables(warehouse: Warehouse) -> None:
    """DuckDB's words, and what there is to ask."""
    with pytest.raises(UsageError, match=r"game_metrics(.|\n)*Tables of .*: bigmama\.game_metric, we_mart\.wv_play\."):
        sql(warehouse, "SELECT * FROM game_metrics")


def test_a_current_file_that_is_gone_is_named(warehouse: Warehouse, root: Path) -> None:
    """Somebody deleted it: the query says which."""
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    (folder / "part-0.parquet").unlink()
    with pytest.raises(StorageError, match=r"000002-1/part-0\.parquet: found nothing, .*partition is damaged"):
        sql(warehouse, "SELECT * FROM game_metric")


def test_who_wrote_what_is_told_for_each_key(warehouse: Warehouse) -> None:
    """Rows carried over name the run that brought them."""
    found = who_wrote(warehouse, "game_metric", DAY)
    assert {key: origin.run for key, origin in found.items()} == {
        ("bns", "wau"): author(1).run,
        ("lw", "wau"): author(2).run,
    }
    with pytest.raises(
        UsageError, match=r"no partition dt=20240503; they run from dt=20240501 to dt=20240502\. Did you"
    ):
        who_wrote(warehouse, "game_metric", "dt=20240503")


def test_an_export_is_a_plain_copy(warehouse: Warehouse, tmp_path: Path) -> None:
    """Files that any tool reads, with the current rows and no others, and the partition's value as text in them."""
    written = export(warehouse, "game_metric", tmp_path / "copy")
    assert written == [tmp_path / "copy" / f"{day}-0.parquet" for day in ("20240501", "20240502")]
    rows = duckdb.execute(f"SELECT game_cd, value, dt FROM '{tmp_path}/copy/*.parquet' ORDER BY ALL").fetchall()
    assert rows == [("bns", 9, "20240501"), ("lw", 5, "20240501"), ("lw", 6, "20240502")]


def test_an_export_goes_into_a_new_folder_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    """What stands in a folder is not mixed with it; an empty one is fine, and so is a table without partitions."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match=r"full is not empty; expected a new folder\. Nothing was written"):
        export(warehouse, "game_metric", tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert len(export(warehouse, "game_metric", tmp_path / "empty")) == 2
    with Warehouse.open(Settings(str(tmp_path / "w"))) as other:
        other.ensure(METRIC)
        assert export(other, "game_metric", tmp_path / "none") == []
    assert list((tmp_path / "none").iterdir()) == []


def test_an_export_that_does_not_fit_leaves_no_copy(warehouse: Warehouse, tmp_path: Path) -> None:
    """The disk is as before, and the error names the folder."""
    many = {f"game{n}-{n * 7919 % 99991}/wau": n * 104729 % 99991 for n in range(40_000)}
    publish_keyed(warehouse, METRIC, {"dt=20240601": brought(many)}, author(4))
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", kibibytes=64) as disk:
        with pytest.raises(StorageError, match=rf"could not be copied to .*copy: ({FULL})\. No copy is left"):
            export(warehouse, "game_metric", disk / "copy")
        assert list(disk.iterdir()) == []


def test_the_package_opens_a_profiles_warehouse(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the profile's path, or by the variable that names it."""
    profile = tmp_path / "my.yaml"
    profile.write_text("warehouse: {uri: warehouse}\narchive: {uri: archive}\n")
    opened: Any = bigmama_nb.warehouse  # a module that can be called
    assert opened(profile).execute("SELECT count(*) FROM game_metric").fetchall() == [(3,)]
    monkeypatch.setenv("BIGMAMA_PROFILE", str(profile))
    assert opened().execute("SELECT count(*) FROM game_metric").fetchall() == [(3,)]


def test_importing_the_package_loads_no_driver(tmp_path: Path) -> None:
    """Neither `bigmama_nb`, nor publishing to a folder, loads thrift, HDFS, S3, Spark or DuckDB."""
    program = (
        "import sys, bigmama_nb, bigmama_nb.warehouse.maintenance, bigmama_nb.warehouse.query\n"
        "from bigmama_nb.warehouse.publish import publish_keyed\n"
        "from tests.publishing import *\n"
        "from bigmama_nb.warehouse import Warehouse\n"
        "warehouse = Warehouse.open(Settings(sys.argv[1]))\n"
        "publish_keyed(warehouse, METRIC, {'dt=20240501': brought({'lw/wau': 5})}, author(1))\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "drivers = {'thrift', 'hive_metastore', 'hdfs_native', 'obstore', 'pyspark', 'duckdb', 'fsspec'}\n"
        "print(*sorted(loaded & drivers))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "w")],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "\n"


def test_pyarrow_reads_what_the_catalog_points_at(warehouse: Warehouse, root: Path) -> None:
    """Through the catalog any reader has the rows; by folder it has none, for the versions are hidden."""
    pointers = warehouse.catalog.current(METRIC.full_name)
    read = {name: pq.read_table(f"{pointer.location}/part-0.parquet").num_rows for name, pointer in pointers.items()}
    assert read == {DAY: 2, NEXT: 1}
    assert pq.ParquetDataset(root / "bigmama.db").files == []


def test_views_name_odd_identifiers(tmp_path: Path) -> None:
    """A path with a quote in it is still a path."""
    with Warehouse.open(Settings(str(tmp_path / 'it\'s "here"'))) as warehouse:
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 1})}, author(1))
        assert views(warehouse).execute("SELECT value FROM game_metric").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "the query is empty; expected one statement"),
        (" ; -- nothing", "the query is empty; expected one statement"),
        ("select 1; select 2", r"the query holds 2 statements, expected one\. Nothing was done"),
        ("copy (select 1) to '{root}/x.csv'", "a statement of the kind COPY; the verb sql only reads"),
        ("attach '{root}/x.db'", "a statement of the kind ATTACH; the verb sql only reads"),
        ("install httpfs", "a statement of the kind LOAD; the verb sql only reads"),
        ("set enable_external_access = true", "a statement of the kind SET; the verb sql only reads"),
        ("create table t (a int)", "a statement of the kind CREATE; the verb sql only reads"),
        ("delete from game_metric", "a statement of the kind DELETE; the verb sql only reads"),
        ("from '{outside}/x.parquet'", "Cannot access file"),
        ("from read_text('/etc/hostname')", "Cannot access file"),
        ("from glob('/etc/*')", "Cannot access file"),
        ("from read_blob('{root}/catalog.db')", "Cannot access file"),
        ("from glob('{root}/**')", "Cannot access file"),
    ],
)
def test_sql_only_reads_one_statement_and_only_the_warehouse(
    warehouse: Warehouse, root: Path, tmp_path: Path, query: str, says: str
) -> None:
    """Whatever else is refused by a sentence, and no file comes or goes."""
    (tmp_path / "outside").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "outside/x.parquet")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=says):
        sql(warehouse, query.format(root=root, outside=tmp_path / "outside"))
    assert sorted(tmp_path.rglob("*")) == before


def test_explaining_a_copy_writes_nothing_into_the_warehouse(warehouse: Warehouse, root: Path) -> None:
    """EXPLAIN ANALYZE does what it explains: a statement that writes is not explained either."""
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match="the verb sql only reads"):
        sql(warehouse, f"explain analyze copy (select 1) to '{root}/x.csv'")
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "with x as (from game_metric) select count(*) from x",
        "pivot (select dt, value from game_metric) on dt using sum(value)",
        "describe game_metric",
        "summarize game_metric",
        "show tables",
        "values (1)",
        "explain from game_metric",
        "explain analyze from game_metric",
    ],
)
def test_sql_answers_whatever_reads(warehouse: Warehouse, query: str) -> None:
    """Not only SELECT."""
    assert sql(warehouse, query)[1]


def test_the_profiles_database_comes_first_and_other_names_twice_are_refused(warehouse: Warehouse, root: Path) -> None:
    """A table's name alone is that of the profile's database, wherever it stands in the alphabet."""
    for database, value in (("aaa", 1000), ("zzz", 7000)):
        publish_keyed(warehouse, replace(METRIC, database=database), {DAY: brought({"lw/wau": value})}, author(3))
        twice = replace(METRIC, database=database, name="twice")
        publish_keyed(warehouse, twice, {DAY: brought({"lw/wau": value})}, author(4))
    publish_keyed(warehouse, replace(METRIC, database="aaa", name="once"), {DAY: brought({"lw/wau": 5})}, author(5))
    for database, value in (("aaa", 1000), ("zzz", 7000)):
        with Warehouse.open(Settings(str(root), database=database)) as opened:
            assert sql(opened, "select value from game_metric")[1] == [[value]]
            assert opened.entry("game_metric").database == database
    assert sql(warehouse, "select value from once")[1] == [[5]]
    with pytest.raises(UsageError, match=r"'twice' names several tables: aaa\.twice, zzz\.twice"):
        sql(warehouse, "select value from twice")
    with pytest.raises(UsageError, match=r"'twice' names several tables"):
        export(warehouse, "twice", root.parent / "copy")


def test_a_table_that_nothing_was_published_to_is_there_without_rows(world: World) -> None:
    """Before the first run, and of live viewing after one of metrics: the contract's columns, and no error."""
    world.write("aa", "daily", [])

    def found(table: str) -> tuple[int, set[str], list[Any]]:
        answer = world.command("sql", f"from {table}")
        return answer["exit_status"], set(answer["data"]["columns"]), answer["data"]["rows"]

    for published in (False, True):
        if published:
            failed = world.command("run", "--date", "2024-05-01", "--games", "aa", "--metrics", "wau")
            assert failed["exit_status"] == 1
            assert len(found("game_metric_status")[2]) == 1
        for table in ("game_metric", "bigmama.game_metric"):
            assert found(table) == (0, {"game_cd", "type", "value", "dt"}, [])
        assert found("wv_live_play")[::2] == (0, [])


def test_a_table_to_come_hides_none_of_another_database(root: Path) -> None:
    """A name alone stays that of the only database that has it, and is refused where two have."""
    other = replace(METRIC, database="aaa")
    with Warehouse.open(Settings(str(root))) as warehouse:
        publish_keyed(warehouse, other, {DAY: brought({"lw/wau": 7})}, author(1))
        assert sql(warehouse, "select value from game_metric", expected=[METRIC])[1] == [[7]]
        assert sql(warehouse, "from bigmama.game_metric", expected=[METRIC])[1] == []
        publish_keyed(warehouse, replace(METRIC, database="bbb"), {DAY: brought({"lw/wau": 8})}, author(2))
        with pytest.raises(UsageError, match="'game_metric' names several tables"):
            sql(warehouse, "select value from game_metric", expected=[METRIC])
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 9})}, author(3))
        assert sql(warehouse, "select value from game_metric", expected=[METRIC])[1] == [[9]]


def test_a_table_is_never_taken_for_empty_because_its_name_was_put_together(warehouse: Warehouse) -> None:
    """What a query reads without naming it was not compared with what was published, and is refused."""
    assert sql(warehouse, "SELECT count(*) FROM Game_Metric")[1] == [[3]]
    assert sql(warehouse, 'SELECT count(*) FROM bigmama."game_metric"')[1] == [[3]]
    with pytest.raises(UsageError, match="game_metric is read, but does not stand in the query by its name"):
        sql(warehouse, "SELECT count(*) FROM query_table('game' || '_metric')")


def test_what_is_no_number_is_text_in_json(world: World) -> None:
    """JSON knows neither NaN nor an infinity, and who reads it strictly would refuse the whole answer."""
    assert world.command("run", "--date", "2024-05-01", "--games", "aa")["exit_status"] == 0
    answer = world.command("sql", "select 'nan'::double as a, '-inf'::double as b, 1.5::double as c")
    assert answer["data"]["rows"] == [["nan", "-inf", 1.5]]
