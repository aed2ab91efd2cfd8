"""A day of the sample, two hundred thousand requests shaped like a platform's: text, DuckDB and Spark agree."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines import Engine
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.live_play import Sources, build, build_kpi, build_month
from bigmama_nb.live_play.result import TableFiles
from bigmama_nb.sample import live
from bigmama_nb.tables.live.sources import SOURCES
from tests.live_play.adversary import World
from tests.live_play.equality import assert_equal_to_oracle
from tests.live_play.small import DAY
from tests.live_play.warehouse import RUN_TIMESTAMP

Tables = dict[str, TableFiles]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(live.generate(tmp_path_factory.mktemp("sample"), [DAY]))


def tables(engine: Engine, sources: Sources, out: Path) -> Tables:
    """Build the day, its month and its KPIs."""
    day = build(engine, sources, DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=out / "day")
    assert day.outcome == "ok", day.message
    play, daily = day.tables["wv_live_play"].paths, day.tables["stats_wv_d_live_play"].paths
    month = build_month(engine, "2024-05", play, out=out / "month")
    kpi = build_kpi(engine, DAY.isoformat(), play, daily, out=out / "kpi")
    return {**day.tables, **month.tables, **kpi.tables}


@pytest.fixture(scope="module")
def by_duckdb(duck: DuckDBEngine, sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return tables(duck, sources, tmp_path_factory.mktemp("duckdb"))


def assert_same_rows(one: Tables, other: Tables) -> None:
    """Compare every table in both directions, each row as often as it stands."""
    assert one.keys() == other.keys()
    assert {name: files.rows for name, files in one.items()} == {name: files.rows for name, files in other.items()}
    assert one["wv_live_play"].rows > 150_000
    with duckdb.connect() as connection:
        for name in one:
            first, second = ([str(path) for path in found[name].paths] for found in (one, other))
            for these, those in ((first, second), (second, first)):
                more = connection.execute(
                    "SELECT count(*) FROM (FROM read_parquet(?) EXCEPT ALL FROM read_parquet(?))", [these, those]
                )
                assert more.fetchall() == [(0,)], name


def test_spark_writes_the_rows_that_duckdb_writes(
    spark: SparkEngine, by_duckdb: Tables, sources: Sources, tmp_path: Path
) -> None:
    """All seven tables, row by row."""
    assert_same_rows(tables(spark, sources, tmp_path), by_duckdb)


def test_spark_connect_writes_the_rows_that_duckdb_writes(
    remote: SparkEngine, by_duckdb: Tables, sources: Sources, tmp_path: Path
) -> None:
    """All seven tables, row by row, from a server."""
    assert_same_rows(tables(remote, sources, tmp_path), by_duckdb)


@pytest.mark.long
def test_duckdb_writes_what_the_text_says(duck: DuckDBEngine, sources: Sources, tmp_path: Path) -> None:
    """The day followed row by row in plain Python takes a minute."""
    rows = {source.name: pq.read_table(sources.folder(source)).to_pylist() for source in SOURCES}
    told = {"before": 1, "after": 1, "share": 0.001, "max_days": 30}
    assert assert_equal_to_oracle(duck, World(rows, DAY, DAY, told), tmp_path) == "ok"
