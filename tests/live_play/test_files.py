"""What is written: the contract's columns, the same bytes for the same rows, and what was meant when read back."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.errors import ContractError
from bigmama_nb.live_play import Built, Sources, build, build_kpi, build_month
from bigmama_nb.live_play.buckets import ORDER, ROW_BYTES, in_order, plan, require_single_marks
from bigmama_nb.live_play.parquet_writer import PartWriter
from bigmama_nb.live_play.result import Options
from bigmama_nb.sample import live as sample
from bigmama_nb.tables import (
    stats_we_t_kpi,
    stats_wv_d_live_play,
    stats_wv_d_live_play_min,
    stats_wv_h_live_play,
    stats_wv_m_video_copyright,
    wv_live_play,
    wv_live_play_rejects,
)
from tests.live_play.equality import Cramped
from tests.live_play.warehouse import RUN_TIMESTAMP, read_table

MODULES = (
    wv_live_play,
    wv_live_play_rejects,
    stats_wv_d_live_play,
    stats_wv_h_live_play,
    stats_wv_d_live_play_min,
)
DAY = dt.date(2024, 5, 1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Return a day of 30,000 requests."""
    return Sources(sample.generate(tmp_path_factory.mktemp("sources"), [DAY], rows_a_day=30_000))


def built_into(engine: DuckDBEngine, sources: Sources, out: Path) -> Built:
    built = build(engine, sources, DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=out)
    assert built.outcome == "ok", built.message
    return built


def digests(built: Built) -> dict[str, list[str]]:
    return {
        name: [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files.paths]
        for name, files in built.tables.items()
    }


@pytest.fixture(scope="module")
def first(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Built:
    with DuckDBEngine("1GB", threads=2) as engine:
        return built_into(engine, sources, tmp_path_factory.mktemp("first"))


def test_the_same_rows_give_the_same_bytes(sources: Sources, first: Built, tmp_path: Path) -> None:
    """A second run with the same run_timestamp writes every file byte for byte alike."""
    with DuckDBEngine("1GB", threads=2) as engine:
        assert digests(first) == digests(built_into(engine, sources, tmp_path))


def test_memory_and_threads_do_not_show_in_the_bytes(sources: Sources, first: Built, tmp_path: Path) -> None:
    """Built in many viewer buckets with one thread, the files are the same to the byte."""
    with Cramped("1GB", threads=1) as engine:
        engine.rows = 2_000
        again = built_into(engine, sources, tmp_path)
    assert again.counts.viewer_buckets > 10
    assert digests(first) == digests(again)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.CONTRACT.name)
def test_written_columns_are_the_contracts(first: Built, module: object) -> None:
    """Names, order, types and what may be null are the contract's, without the partition and without metadata."""
    contract = module.CONTRACT  # type: ignore[attr-defined]
    for path in first.tables[contract.name].paths:
        schema = pq.read_schema(path)
        assert contract.arrow_schema() == schema.remove_metadata()
        assert schema.metadata is None
        for column in pq.ParquetFile(path).schema:
            if contract.column(column.name).type == "timestamp":
                assert column.physical_type == "INT64"
                assert '"timeUnit": "microseconds"' in column.logical_type.to_json()
                assert '"isAdjustedToUTC": true' in column.logical_type.to_json()


def test_a_months_and_a_kpis_columns_are_the_contracts(first: Built, duck: DuckDBEngine, tmp_path: Path) -> None:
    """The tables above the day are written as their contracts say, too."""
    play, daily = (first.tables[name].paths for name in ("wv_live_play", "stats_wv_d_live_play"))
    for module, built in (
        (stats_wv_m_video_copyright, build_month(duck, "2024-05", play, out=tmp_path / "month")),
        (stats_we_t_kpi, build_kpi(duck, "2024-05-01", play, daily, out=tmp_path / "kpi")),
    ):
        assert built.outcome == "ok", built.message
        table = read_table(built, module.CONTRACT.name)
        assert table.num_rows == built.tables[module.CONTRACT.name].rows > 0
        assert module.CONTRACT.arrow_schema() == table.schema.remove_metadata()


def test_royalties_add_up_to_the_day(first: Built, duck: DuckDBEngine, tmp_path: Path) -> None:
    """Views, joins and play_seconds of a month add up over countries, the last to the daily play_seconds."""
    month = read_table(
        build_month(duck, "2024-05", first.tables["wv_live_play"].paths, out=tmp_path), "stats_wv_m_video_copyright"
    )
    daily = read_table(first, "stats_wv_d_live_play")
    for name in ("play_seconds", "joins"):
        assert sum(month[name].to_pylist()) == sum(daily[name].to_pylist()) > 0


def test_rows_lie_by_live(first: Built) -> None:
    """The rows of a live lie together, lives in the order of their id, so that statistics prune."""
    posts = read_table(first, "wv_live_play")["post_id"].to_pylist()
    runs = [post for nth, post in enumerate(posts) if nth == 0 or posts[nth - 1] != post]
    assert runs == sorted(set(posts))


def test_a_day_without_lives_is_written_without_rows(sources: Sources, duck: DuckDBEngine, tmp_path: Path) -> None:
    """Every table of a day on which nobody went live is there, one file without rows each."""
    empty = dt.date(2024, 4, 30)
    built = build(duck, sources, empty, log_end=empty, run_timestamp=RUN_TIMESTAMP, out=tmp_path)
    assert (built.outcome, {files.rows for files in built.tables.values()}) == ("ok", {0})
    assert {module.CONTRACT.name for module in MODULES} == set(built.tables)
    for module in MODULES:
        assert read_table(built, module.CONTRACT.name).schema.remove_metadata() == module.CONTRACT.arrow_schema()


def test_every_string_is_read_back_as_meant(tmp_path: Path) -> None:
    """Dictionaries come back as the strings they stood for, empty ones and nulls apart, group after group.

    DuckDB 2.0.0 wrote '' for some values of its ENUM columns when two threads wrote.
    """
    contract = stats_wv_m_video_copyright.CONTRACT
    schema = contract.arrow_schema()
    words = [None, "", "KR", "kr", "웹", "𝔘"]
    meant = []
    writer = PartWriter(contract, tmp_path, Options(), file_bytes=2_000)
    for group in range(7):
        codes = np.random.default_rng(group).integers(0, len(words), 500)
        own = pa.array(words, pa.string()).take(pa.array(codes)).dictionary_encode()
        columns = {field.name: pa.array([group] * 500, field.type) for field in schema if field.type != pa.string()}
        columns |= {"video_id": own, "ctry_code": own}
        fields = [field.with_type(columns[field.name].type) for field in schema]
        writer.write(pa.table([columns[field.name] for field in schema], schema=pa.schema(fields)))
        meant += [words[code] for code in codes]
    files = writer.close()
    assert len(files.paths) > 1
    assert files.rows == len(meant)
    found = pa.concat_tables(pq.read_table(path) for path in files.paths)
    assert found["video_id"].to_pylist() == meant
    assert found["ctry_code"].to_pylist() == meant


def keyed(*rows: tuple[int, ...]) -> pa.Table:
    return pa.table({name: [row[nth] for row in rows] for nth, name in enumerate(ORDER)})


def test_rows_out_of_order_are_put_in_order() -> None:
    """A join that mixed the rows is put right, and the last key is the largest."""
    rows = [(1, 5, 0), (1, 5, 1), (1, 6, 0), (2, 0, 0)]
    found, last = in_order(keyed(*reversed(rows)), (1, 4, 9))
    assert (found.to_pylist(), last) == (keyed(*rows).to_pylist(), (2, 0, 0))


def test_a_run_of_rows_that_comes_late_is_put_in_its_place() -> None:
    """Devices that a join gave back behind later ones stand in order again, and so do rows of one in two runs."""
    rows = [(device, key, person) for device in range(40) for key in range(3) for person in range(2)]
    for cut, back in ((60, 90), (61, 95)):
        late = [*rows[:cut], *rows[back:], *rows[cut:back]]
        assert in_order(keyed(*late), ())[0].to_pylist() == keyed(*rows).to_pylist()
    halves = [row for row in rows if row[1] == 2] + [row for row in rows if row[1] < 2]
    assert in_order(keyed(*halves), ())[0].to_pylist() == keyed(*rows).to_pylist()


@pytest.mark.parametrize(
    ("rows", "before"), [([(1, 5, 0), (1, 5, 0)], ()), ([(1, 5, 0)], (1, 5, 0)), ([(1, 0, 0)], (2, 0, 0))]
)
def test_a_row_given_twice_or_out_of_turn_is_refused(rows: list[tuple[int, ...]], before: tuple[int, ...]) -> None:
    """The grain is unique by the keys that rise, within what a join gave and across."""
    with pytest.raises(ContractError, match=r"gave a row twice, or out of turn.*please report it"):
        in_order(keyed(*rows), before)


def test_two_first_joins_of_a_viewer_are_refused() -> None:
    """Of a viewer's rows for one participant only one may bear the mark."""
    columns = {"viewer_no": [4, 4, 4], "participant_no": [0, 1, 0], "u_leave_last": [0, 0, 0]}
    require_single_marks(pa.table(columns | {"u_join_first": [1, 1, 0]}))
    with pytest.raises(ContractError, match="a viewer has u_join_first on two rows of one participant"):
        require_single_marks(pa.table(columns | {"u_join_first": [1, 0, 1]}))


def test_buckets_fit_into_memory() -> None:
    """Lives are built together up to what fits, in their order; one that is too big is cut by viewer slices."""
    buckets = plan([(0, 40), (1, 60), (2, 1), (3, 250), (4, 10), (5, 90)], 100 * ROW_BYTES)
    assert [(b.first_live, b.last_live, b.first_slice, b.end_slice) for b in buckets] == [
        (0, 1, 0, 256),
        (2, 2, 0, 256),
        (3, 3, 0, 85),
        (3, 3, 85, 170),
        (3, 3, 170, 256),
        (4, 5, 0, 256),
    ]
    assert [bucket.number for bucket in buckets] == list(range(6))
    assert plan([], 1) == []


@pytest.mark.parametrize(
    ("rows", "together"),
    [
        ([10] * 9, [3, 3, 3]),
        ([40, 1, 1, 1, 1, 1], [1, 5]),
        ([0, 0, 0], [3]),
        ([30, 30, 10, 10, 30], [1, 2, 2]),
        ([10, 10, 10, 100, 10, 10, 10, 10, 10], [3, 1, 1, 1, 3, 2]),
    ],
)
def test_buckets_are_no_more_than_need_be_and_as_even_as_may_be(rows: list[int], together: list[int]) -> None:
    """Nine alike are three times three, where four of them would fit and the last bucket would have one."""
    buckets = plan(list(enumerate(rows)), 42 * ROW_BYTES)
    assert [bucket.last_live - bucket.first_live + 1 for bucket in buckets] == together
