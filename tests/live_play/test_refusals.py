"""What stops a build, in which words, and that no table is handed over then."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.live_play import Built, Options, build
from bigmama_nb.live_play.sources import Sources
from tests.live_play.small import DAY, NEXT, at, build_day, day, live, request
from tests.live_play.warehouse import RUN_TIMESTAMP, read_rows, write_file, write_sources

STAYS = "the published partition stays"


def rebuild(engine: DuckDBEngine, folder: Path, log_end: dt.date = DAY) -> Built:
    return build(
        engine, Sources(folder / "sources"), DAY, log_end=log_end, run_timestamp=RUN_TIMESTAMP, out=folder / "out"
    )


def change_schema(folder: Path, source: str, change: Callable[[pa.Table], pa.Table]) -> None:
    for file in (folder / "sources" / source).rglob("*.parquet"):
        pq.write_table(change(pq.read_table(file, partitioning=None)), file)


def refused(built: Built, reason: str, *words: str) -> None:
    assert (built.outcome, built.reason) == ("failed", reason), built.message
    assert not built.tables
    assert built.message is not None
    for word in (*words, STAYS):
        assert word in built.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sources(tmp_path / "sources", day())
    return tmp_path


def test_a_renamed_column_is_refused_by_name(duck: DuckDBEngine, folder: Path) -> None:
    """The missing column is named, with the nearest that is there and the file, and nothing was written."""
    change_schema(folder, "wv_live", lambda t: t.rename_columns({"post_id": "post_idx"}))
    built = rebuild(duck, folder)
    refused(
        built, "contract", "we_mart.wv_live: column 'post_id' is missing. Did you mean 'post_idx'?", "Nothing was read"
    )
    assert built.place == str(folder / "sources" / "wv_live" / "part-0.parquet")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("source", "column", "type_", "words"),
    [
        ("wv_live", "we_art_id", pa.int64(), "column 'we_art_id' is int64, expected int32"),
        ("wv_live", "start_dt", pa.timestamp("us"), "is timestamp[us], expected timestamp[us, UTC]"),
        ("wv_live", "start_dt", pa.timestamp("ns"), "is timestamp[ns], expected timestamp[us, UTC]"),
        ("wv_live", "start_dt", pa.timestamp("ns", "UTC"), "is timestamp[ns, tz=UTC], expected timestamp[us, UTC]"),
        ("wv_live", "start_dt", pa.string(), "column 'start_dt' is string, expected timestamp[us, UTC]"),
        (
            "user_user",
            "we_member_id",
            pa.float64(),
            "column 'we_member_id' is double, expected int64",
        ),
        (
            "wv_server_log_base",
            "gcc",
            pa.binary(),
            "wv_server_log_base: column 'gcc' is binary, expected string",
        ),
    ],
)
def test_a_mistyped_column_is_refused_by_name(
    duck: DuckDBEngine, folder: Path, source: str, column: str, type_: pa.DataType, words: str
) -> None:
    """A type that could lose something is refused with what it is and what it should be."""

    def mistyped(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(column)
        return table.set_column(place, column, table[column].cast(type_))

    change_schema(folder, source, mistyped)
    refused(rebuild(duck, folder), "contract", words)


def test_other_columns_and_narrower_types_are_no_concern(duck: DuckDBEngine, folder: Path) -> None:
    """Columns that are not used may stand in a source, and an int may be a smaller one."""

    def widened(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("we_art_id")
        table = table.set_column(place, "we_art_id", table["we_art_id"].cast(pa.int8()))
        return table.append_column("title", pa.array(["…"] * table.num_rows))

    change_schema(folder, "wv_live", widened)
    assert rebuild(duck, folder).outcome == "ok"


def test_timestamps_of_old_writers_are_the_same_instants(duck: DuckDBEngine, folder: Path) -> None:
    """INT96, as older Spark writes it, gives the rows that microseconds give."""
    expected = read_rows(rebuild(duck, folder), "wv_live_play", "2024-05-01")
    for source in ("wv_live", "user_user", "wv_comm_user_update"):
        for file in (folder / "sources" / source).glob("*.parquet"):
            pq.write_table(pq.read_table(file), file, use_deprecated_int96_timestamps=True)
    assert expected == read_rows(rebuild(duck, folder), "wv_live_play", "2024-05-01")


def test_a_missing_source_is_named(duck: DuckDBEngine, folder: Path) -> None:
    """Without its folder a source is missing, not empty."""
    shutil.rmtree(folder / "sources" / "wv_comm_user_update")
    refused(rebuild(duck, folder), "source_missing", "wv_comm_user_update: there is no folder", "live_play.sources")


def test_a_source_without_files_is_not_an_empty_one(duck: DuckDBEngine, folder: Path) -> None:
    """A folder without a Parquet file says nothing; a file without rows says that there are none."""
    (folder / "sources" / "ws_fc_user_history" / "part-0.parquet").unlink()
    (folder / "sources" / "ws_fc_user_history" / "_SUCCESS").touch()
    refused(rebuild(duck, folder), "source_missing", "holds no Parquet file", "an empty source is a file without rows")


def test_a_truncated_file_is_named(duck: DuckDBEngine, folder: Path) -> None:
    """A file cut short has no footer; the message has its path."""
    file = folder / "sources" / "user_user" / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    built = rebuild(duck, folder)
    refused(built, "source_corrupt", f"user_user: {file} cannot be read as Parquet", "write the file again")


def test_a_file_damaged_within_is_a_corrupt_source(duck: DuckDBEngine, folder: Path) -> None:
    """A page that cannot be decompressed fails the task, although the footer is whole."""
    file = folder / "sources" / "wv_server_log_base" / "date_id=2024-05-01" / "part-0.parquet"
    rows = [request(f"2024-05-01 20:10:{second % 60:02}", device_id=f"d{second}") for second in range(5000)]
    write_file(file.parent, "wv_server_log_base", rows)
    pq.write_table(pq.read_table(file, partitioning=None), file, compression="zstd", use_dictionary=False)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    file.write_bytes(content)
    refused(rebuild(duck, folder), "source_corrupt", "a file cannot be read", "write the file again")


def test_a_post_that_stands_twice_fails(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Two rows of one post_id are refused by name, even where one of them could not be used."""
    sources = day()
    sources["wv_live"] += [live("p2", status=None), live("p2", start_dt=at("2020-01-01 00:00:00"))]
    built = build_day(duck, tmp_path, sources)
    refused(
        built,
        "duplicate_key",
        "wv_live holds 1 post_id more than once ('p2' first), on 2 rows",
        "expected one row each",
    )


def test_a_user_who_stands_twice_fails_unnamed(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Two rows of one wv_user_id are refused; whose they are stands in no message."""
    sources = day()
    sources["user_user"] += [dict(sources["user_user"][0], we_member_id=9)]
    built = build_day(duck, tmp_path, sources)
    refused(built, "duplicate_key", "user_user holds 1 wv_user_id more than once, on 2 rows")
    assert "u1" not in str(built.message)


def test_a_user_who_stands_twice_is_found_beside_one_without_an_id(duck: DuckDBEngine, tmp_path: Path) -> None:
    """However a row without an id is counted, it does not make up for one that is there twice."""
    sources = day()
    first = sources["user_user"][0]
    sources["user_user"] += [dict(first, we_member_id=9), dict(first, wv_user_id=None)]
    built = build_day(duck, tmp_path, sources)
    refused(built, "duplicate_key", "user_user holds 1 wv_user_id more than once, on 2 rows")


def test_null_is_no_key(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Two users without an id are rejects, not one user twice."""
    sources = day()
    sources["user_user"] += [dict(sources["user_user"][0], wv_user_id=None)] * 2
    built = build_day(duck, tmp_path, sources, options=Options(max_rejected_share=1))
    assert built.outcome == "ok"
    assert built.counts.sources["user_user"].rejected == 2


def malformed(count: int, of: int) -> list[dict[str, object]]:
    whole = [
        request(f"2024-05-01 20:{nth // 60 % 60:02}:{nth % 60:02}", device_id=f"d{nth}") for nth in range(of - count)
    ]
    return [*whole, *(request("2024-05-01T20:00:00") for _ in range(count))]


def test_one_percent_of_malformed_datetimes_fails(duck: DuckDBEngine, tmp_path: Path) -> None:
    """More than max_rejected_share publishes nothing, the rejects neither; the counts stand in the record."""
    built = build_day(duck, tmp_path, day() | {"wv_server_log_base": malformed(10, 1000)})
    refused(
        built,
        "rejected_share",
        "wv_live_play 2024-05-01: wv_server_log_base: 10 of 1000 rows cannot be used (1.0000%)",
        "live_play.max_rejected_share is 0.1000%",
    )
    assert built.place == "wv_server_log_base"
    assert (built.counts.sources["wv_server_log_base"].delivered, built.counts.rejected) == (1000, 10)
    assert built.counts.rejected_share == 0.01


def test_exactly_the_share_passes(duck: DuckDBEngine, tmp_path: Path) -> None:
    """One of a thousand is 0.001 and no more, whatever floating point makes of it."""
    built = build_day(duck, tmp_path, day() | {"wv_server_log_base": malformed(1, 1000)})
    assert built.outcome == "ok", built.message
    assert built.tables["wv_live_play_rejects"].rows == 1


def test_the_share_of_a_small_source_counts_all_its_rows(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A source's rejects are held against its own rows, of whatever day, and each source over it is named."""
    sources = day()
    sources["wv_comm_user_update"] *= 3
    sources["wv_comm_user_update"].append(dict(sources["wv_comm_user_update"][0], action="KICK"))
    sources["wv_live"].append(live("p2", status=None))
    built = build_day(duck, tmp_path, sources, options=Options(max_rejected_share=0.24))
    refused(
        built,
        "rejected_share",
        "wv_live: 1 of 2 rows cannot be used (50.0000%)",
        "wv_comm_user_update: 1 of 4 rows cannot be used (25.0000%)",
    )


def test_a_log_date_that_is_not_there_yet_waits(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A wanted date without a partition makes the task not ready, naming the date and the newest that is there."""
    built = build_day(duck, tmp_path, day(), log_end=NEXT)
    assert (built.outcome, built.reason, dict(built.tables)) == ("not_ready", None, {})
    assert built.message == (
        "wv_live_play 2024-05-01: wv_server_log_base has no partition date_id=2024-05-02; the newest is 2024-05-01. "
        "Nothing was read and the published partition stays; run again once it is there."
    )


def test_a_task_that_waits_reads_nothing(duck: DuckDBEngine, folder: Path) -> None:
    """Not ready comes before everything that could fail: a broken source is not even looked at."""
    shutil.rmtree(folder / "sources" / "wv_live")
    (folder / "sources" / "user_user" / "part-0.parquet").write_bytes(b"no Parquet")
    built = rebuild(duck, folder, log_end=NEXT)
    assert built.outcome == "not_ready"
    assert built.counts.rejected == 0
    assert not (folder / "out").exists()


def test_a_folder_without_a_file_is_no_partition(duck: DuckDBEngine, folder: Path) -> None:
    """What a crashed writer left, an empty folder or a hidden file, is not a date that is there."""
    ahead = folder / "sources" / "wv_server_log_base" / "date_id=2024-05-02"
    ahead.mkdir()
    (ahead / ".part-0.parquet").write_bytes(b"")
    (ahead / "_temporary.parquet").write_bytes(b"")
    assert rebuild(duck, folder, log_end=NEXT).outcome == "not_ready"
    write_file(ahead, "wv_server_log_base", [])
    assert rebuild(duck, folder, log_end=NEXT).outcome == "ok"


def test_a_missing_log_folder_is_a_missing_source(duck: DuckDBEngine, folder: Path) -> None:
    """Without the log's folder nothing will ever be ready."""
    shutil.rmtree(folder / "sources" / "wv_server_log_base")
    refused(rebuild(duck, folder), "source_missing", "wv_server_log_base: there is no folder")


def test_a_live_that_lasts_too_long_is_named(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A live whose end is more than max_live_days after its start fails the task, named with its length."""
    sources = day()
    sources["wv_live"] += [live("p2", end_dt=at("2024-05-31 20:00:00")), live("p3", end_dt=at("2024-05-31 20:00:01"))]
    built = build_day(duck, tmp_path, sources)
    refused(built, "live_too_long", "wv_live.post_id 'p3' lasts 30 days, 0:00:01", "live_play.max_live_days is 30")
    assert "'p2'" not in str(built.message)


def test_a_live_without_end_may_be_too_long_by_its_last_event(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A far datetime ends a running live too late, and the message says why."""
    sources = day()
    sources["wv_live"] = [live(end_dt=None)]
    sources["wv_server_log_base"].append(request("9999-12-31 23:59:59"))
    built = build_day(duck, tmp_path, sources)
    refused(built, "live_too_long", "'p1' lasts 2913052 days, 3:59:59", "by its last event, since it has no end_dt")


def test_a_full_disk_fails_the_task(duck: DuckDBEngine, folder: Path) -> None:
    """Where the disk refuses, nothing is handed over and the message says what to do."""
    (folder / "out" / "wv_live_play").mkdir(parents=True)
    (folder / "out" / "wv_live_play" / "part-0.parquet").symlink_to("/dev/full")
    refused(rebuild(duck, folder), "storage", "could not be written", "No space left", "make room there and run again")


def test_too_little_memory_is_said_so(folder: Path) -> None:
    """An engine that runs out of memory fails the task and names the setting."""
    rows = [request(f"2024-05-01 20:10:{nth % 60:02}", device_id=f"d{nth}") for nth in range(60_000)]
    write_file(folder / "sources" / "wv_server_log_base" / "date_id=2024-05-01", "wv_server_log_base", rows)
    with DuckDBEngine("3MB", threads=1) as engine:
        built = rebuild(engine, folder)
    refused(built, "storage", "engine.memory_limit does not do", "raise the limit")
