"""The same tables on Spark: equal to what plain Python makes of the text, and files as the contract says."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines import PIECE_BITS
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.live_play import Sources, build
from bigmama_nb.live_play.result import Built
from bigmama_nb.live_play.sources import CatalogSources
from bigmama_nb.live_play.table_checks import OF_A_DAY
from bigmama_nb.tables.live.sources import FC_USER_HISTORY, SERVER_LOG, SOURCES
from bigmama_nb.tables.wv_live_play_rejects import as_json, as_rows
from tests.live_play.adversary import World, together, world
from tests.live_play.equality import assert_equal_to_oracle
from tests.live_play.small import DAY, build_day, day, live, request
from tests.live_play.test_numbered import numbers_that_hold
from tests.live_play.warehouse import RUN_TIMESTAMP, in_order, options, read_rows, write_sources, write_world

FIVE = range(5)
TEN = 10
GROUPS_LONG = 3
ALONE = (5_001, 5_002, 5_003, 5_005)


def test_five_data_sets_equal_the_text_followed_row_by_row(spark: SparkEngine, tmp_path: Path) -> None:
    """All seven tables and the counts of five data sets, built at once, are what the oracle says."""
    assert assert_equal_to_oracle(spark, together(list(FIVE)), tmp_path) == "ok"


@pytest.mark.parametrize("seed", ALONE)
def test_a_data_set_alone_ends_as_the_text_says(spark: SparkEngine, seed: int, tmp_path: Path) -> None:
    """With limits of its own a data set is refused for the reason that the oracle has, or equal."""
    assert_equal_to_oracle(spark, world(seed), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("nth", range(GROUPS_LONG))
def test_thirty_data_sets_equal_the_text(spark: SparkEngine, nth: int, tmp_path: Path) -> None:
    """As above, ten data sets in a build."""
    seeds = list(range(300 + nth * TEN, 300 + (nth + 1) * TEN))
    assert assert_equal_to_oracle(spark, together(seeds), tmp_path) == "ok"


@pytest.fixture(scope="module")
def data() -> World:
    return together([30, 31])


@pytest.fixture(scope="module")
def sources(data: World, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return write_world(tmp_path_factory.mktemp("sources"), data)


def built(
    engine: SparkEngine | DuckDBEngine, data: World, sources: Sources | CatalogSources, out: Path, **told: Any
) -> Built:
    """Build a data set and expect it to be fine; `told` are further options."""
    one = build(
        engine,
        sources,
        data.part_date,
        log_end=data.log_end,
        run_timestamp=RUN_TIMESTAMP,
        out=out,
        options=replace(options(data.options), **told),
    )
    assert one.outcome == "ok", one.message
    return one


@pytest.fixture(scope="module")
def in_many_files(spark: SparkEngine, data: World, sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(spark, data, sources, tmp_path_factory.mktemp("many"), file_rows=10)


def test_spark_and_duckdb_write_the_same_rows(
    in_many_files: Built, duck: DuckDBEngine, data: World, sources: Sources, tmp_path: Path
) -> None:
    """Every table of a day holds the same rows, in however many files."""
    other = built(duck, data, sources, tmp_path)
    day = data.part_date.isoformat()
    for module in OF_A_DAY:
        name = module.CONTRACT.name
        assert in_order(read_rows(in_many_files, name, day)) == in_order(read_rows(other, name, day)), name


def test_what_spark_wrote_has_the_contracts_columns_and_types(in_many_files: Built) -> None:
    """Names, order and types are the contract's, instants are INT64 microseconds, nothing hidden lies beside."""
    for module in OF_A_DAY:
        files = in_many_files.tables[module.CONTRACT.name]
        for path in files.paths:
            schema = pq.read_schema(path)
            module.CONTRACT.require(schema, place=str(path))
            parquet = pq.ParquetFile(path).schema
            for nth, column in enumerate(module.CONTRACT.file_columns):
                if column.type == "timestamp":
                    assert parquet.column(nth).physical_type == "INT64"
        if files.place is not None:
            assert {path.name for path in Path(files.place.location).iterdir()} == {
                Path(path).name for path in files.paths
            }


def test_files_are_cut_at_fixed_keys_and_sorted(in_many_files: Built) -> None:
    """A live's rows lie together, over as few files as hold them, and a device's rows in order of time."""
    paths = in_many_files.tables["wv_live_play"].paths
    assert len(paths) > 3
    rows = pa.concat_tables(
        pq.read_table(path, columns=["post_id", "wv_user_id", "device_id", "datetime"]) for path in paths
    ).to_pylist()
    posts = [row["post_id"] for row in rows]
    assert posts == sorted(posts, key=lambda post: post.encode())
    devices = [(row["post_id"], row["wv_user_id"], row["device_id"]) for row in rows]
    runs = [key for nth, key in enumerate(devices) if not nth or key != devices[nth - 1]]
    assert len(runs) == len(set(runs))
    for before, after in pairwise(rows):
        if all(before[name] == after[name] for name in ("post_id", "wv_user_id", "device_id")):
            assert before["datetime"] <= after["datetime"]


def test_a_catalogs_tables_give_the_same_bytes_whatever_the_number_of_tasks(
    in_many_files: Built,
    spark: SparkEngine,
    data: World,
    sources: Sources,
    tmp_path: Path,
) -> None:
    """The six sources as `<catalog>.<database>.<table>`, built with other partitions, are written to the same files.

    Only the names that Spark gives its files differ.
    """
    session = spark.session
    for database in {source.database for source in SOURCES}:
        session.sql(f"CREATE DATABASE IF NOT EXISTS {database}")
    for source in SOURCES:
        session.sql(f"DROP TABLE IF EXISTS {source.full_name}")
        columns = ", ".join(f"`{c.name}` {c.type}" for c in source.columns)
        partitioned = f"PARTITIONED BY ({source.partition})" if source.partition else ""
        session.sql(
            f"CREATE TABLE {source.full_name} ({columns}) USING parquet {partitioned} "
            f"LOCATION 'file://{sources.folder(source)}'"
        )
    session.sql(f"MSCK REPAIR TABLE {SERVER_LOG.full_name}")
    catalog = CatalogSources("spark_catalog", spark)
    assert catalog.has_log(data.part_date)
    assert not catalog.has_log(dt.date(2001, 1, 1))
    assert catalog.newest_log(data.part_date) == data.part_date.isoformat()
    assert catalog.newest_log(dt.date(2001, 1, 1)) is None
    session.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        again = built(spark, data, catalog, tmp_path, file_rows=10)
    finally:
        session.conf.set("spark.sql.shuffle.partitions", "2")
    for module in OF_A_DAY:
        first, second = (
            [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in one.tables[module.CONTRACT.name].paths]
            for one in (in_many_files, again)
        )
        assert first == second, module.CONTRACT.name


def test_a_catalog_without_the_log_or_with_other_columns_is_refused(spark: SparkEngine, tmp_path: Path) -> None:
    """The table, the column, what was found and what was expected are named; nothing is built."""
    session = spark.session
    session.sql("CREATE DATABASE IF NOT EXISTS we_mart")

    def outcome(catalog: str) -> Built:
        return build(
            spark, CatalogSources(catalog, spark), DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=tmp_path / "out"
        )

    session.sql(f"DROP TABLE IF EXISTS {SERVER_LOG.full_name}")
    missing = outcome("spark_catalog")
    assert (missing.outcome, missing.reason) == ("failed", "source_missing")
    assert "spark_catalog.we_mart.wv_server_log_base: Spark finds no such table" in str(missing.message)
    unknown = outcome("wev_prod")
    assert (unknown.outcome, unknown.reason) == ("failed", "source_missing")
    assert "wev_prod.we_mart.wv_server_log_base" in str(unknown.message)
    columns = ", ".join(f"`{c.name}` STRING" for c in SERVER_LOG.columns if c.name not in ("gcc", "device_id"))
    session.sql(
        f"CREATE TABLE {SERVER_LOG.full_name} ({columns}, device_id BIGINT) USING parquet PARTITIONED BY (date_id) "
        f"LOCATION 'file://{tmp_path / 'log'}'"
    )
    session.sql(f"ALTER TABLE {SERVER_LOG.full_name} ADD PARTITION (date_id = '2024-05-01')")
    wrong = outcome("spark_catalog")
    assert (wrong.outcome, wrong.reason) == ("failed", "contract")
    assert "column 'device_id' is int64, expected string. column 'gcc' is missing" in str(wrong.message)
    session.sql(f"DROP TABLE {SERVER_LOG.full_name}")


def test_a_date_without_lives_is_written_without_rows(spark: SparkEngine, tmp_path: Path) -> None:
    """Every table has one file of no rows, with the contract's columns."""
    one = day()
    one["wv_live"] = [live(status="CANCELED")]
    empty = build_day(spark, tmp_path, one)
    assert empty.outcome == "ok", empty.message
    for module in OF_A_DAY:
        files = empty.tables[module.CONTRACT.name]
        assert files.rows == 0
        assert [pq.read_metadata(path).num_rows for path in files.paths] == [0]


def test_int96_and_narrower_ints_are_read_as_what_they_hold(
    spark: SparkEngine, duck: DuckDBEngine, tmp_path: Path
) -> None:
    """What older writers make gives the rows that DuckDB makes of what the contract says."""
    expected = build_day(duck, tmp_path / "plain", day())
    sources = write_sources(tmp_path / "old", day(), ["2024-05-01"])
    for file in (tmp_path / "old").rglob("*.parquet"):
        rows = pq.read_table(file, partitioning=None)
        if "we_art_id" in rows.column_names:
            at = rows.schema.get_field_index("we_art_id")
            rows = rows.set_column(at, "we_art_id", rows["we_art_id"].cast(pa.int8()))
        pq.write_table(rows, file, use_deprecated_int96_timestamps=True)
    old = build(spark, sources, DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=tmp_path / "out")
    assert old.outcome == expected.outcome == "ok", old.message
    for module in OF_A_DAY:
        name = module.CONTRACT.name
        assert in_order(read_rows(old, name, "2024-05-01")) == in_order(read_rows(expected, name, "2024-05-01")), name


@pytest.mark.long
def test_a_live_that_nobody_watched_is_written_without_rows(spark: SparkEngine, tmp_path: Path) -> None:
    """The daily roll-up has the live; the table of viewing has no row, and one file."""
    one = day()
    one["wv_server_log_base"] = [request("2024-05-01 20:10:00", post_id="elsewhere")]
    unseen = build_day(spark, tmp_path, one)
    assert unseen.outcome == "ok", unseen.message
    assert [pq.read_metadata(path).num_rows for path in unseen.tables["wv_live_play"].paths] == [0]
    assert unseen.tables["stats_wv_d_live_play"].rows == 1


def test_a_damaged_file_and_a_wrong_column_are_refused_as_on_duckdb(
    spark: SparkEngine, duck: DuckDBEngine, tmp_path: Path
) -> None:
    """Reason, message and place are the same, whatever engine reads."""
    for nth, spoil in enumerate((b"no parquet", None)):
        told = []
        for engine in (spark, duck):
            folder = tmp_path / f"{nth}-{type(engine).__name__}"
            write_sources(folder / "sources", day(), ["2024-05-01"])
            file = folder / "sources/user_user/part-0.parquet"
            if spoil:
                file.write_bytes(spoil)
            else:
                pq.write_table(pa.table({"wv_user_id": pa.array([1], pa.int64())}), file)
            one = build(
                engine, Sources(folder / "sources"), DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=folder / "again"
            )
            told.append((one.outcome, one.reason, str(one.message).replace(str(folder), "")))
        assert told[0] == told[1]
        assert told[0][1] == ("source_corrupt" if spoil else "contract")


def test_a_rejected_row_is_spelled_by_spark_as_by_python(spark: SparkEngine) -> None:
    """Quotes, backslashes, control characters, years from 1 to 9999: the text is `as_json`'s, to the byte."""
    chance = random.Random(7)
    letters = [chr(code) for code in range(32)] + list("\\\"'u{}$%/é𝔘") + ["\x7f", "\\u000B", "$1"]
    rows = [
        {
            "we_member_id": nth if nth % 3 else None,
            "we_art_id": -nth,
            "start_dt": dt.datetime(1 + nth * 33, 3, 1, 2, 3, 4, nth * 3001, tzinfo=dt.UTC),
            "end_dt": None,
            "ord_status": "".join(chance.choices(letters, k=9)) if nth % 5 else None,
            "is_cx_by_restore": 0,
        }
        for nth in range(300)
    ]
    schema = pa.schema([field.with_nullable(True) for field in FC_USER_HISTORY.arrow_schema()])
    broken = spark.table(pa.Table.from_pylist(rows, schema=schema), "broken").mutate(reason=ibis.literal("r"))
    found = spark.arrow(as_rows(FC_USER_HISTORY, broken))["row"].to_pylist()
    assert found == [as_json(row) for row in rows]


def test_a_live_of_many_viewers_is_numbered_in_256_pieces(spark: SparkEngine) -> None:
    """Slices are numbered by themselves."""
    numbers = numbers_that_hold(spark)
    assert len({number >> PIECE_BITS for number in numbers}) > 400
