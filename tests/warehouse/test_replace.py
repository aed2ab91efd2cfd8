"""Partitions that are replaced as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.errors import ContractError, StorageError
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import lineage
from bigmama_nb.warehouse.maintenance import release
from bigmama_nb.warehouse.publish import Published, Replacement, publish_derived, publish_whole
from bigmama_nb.warehouse.version import Staged
from tests.crashing import write
from tests.publishing import FULL, PLAY, Settings, author, current_folder, plays, small_disk

DAY = "part_date=2024-05-01"
REJECTS = replace(PLAY, name="wv_rejects")


def part(content: pa.Table | list[Path], table: Table = PLAY, **more: object) -> Replacement:
    """Return a part of 1 May."""
    return Replacement(table, DAY, content, date(2024, 5, 1), True, "weverse", **more)  # type: ignore[arg-type]


def count(root: Path, table: str = "we_mart.wv_play", partition: str = DAY) -> int | None:
    """Return how many rows a reader of the catalog finds."""
    folder = current_folder(root, table, partition)
    if folder is None:
        return None
    return sum(int(pq.read_metadata(file).num_rows) for file in folder.glob("*.parquet"))


def test_a_partition_is_replaced_as_a_whole(warehouse: Warehouse, root: Path) -> None:
    """Nothing of the rows before is left, and the lineage says one thing: the partition's origin."""
    publish_whole(warehouse, [part(plays(5))], author(1))
    (done,) = publish_whole(warehouse, [part(plays(3))], author(2))
    assert count(root) == 3
    assert (done.moved, done.rows, done.held) == (True, 3, None)
    found = lineage(warehouse, "we_mart.wv_play")[DAY]
    assert [(key, origin.run, origin.source) for key, origin in found.items()] == [
        (("2024-05-01",), "20240502T020304Z-000002", "weverse")
    ]


def test_files_that_were_written_before_are_published_byte_for_byte(
    warehouse: Warehouse, root: Path, tmp_path: Path
) -> None:
    """A mart of several files keeps their order and bytes."""
    files = [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    for n, file in enumerate(files):
        pq.write_table(plays(n + 1), file, store_schema=False, compression="zstd")
    (done,) = publish_whole(warehouse, [part(files, rows=3)], author(1))
    assert [file.rows for file in done.files] == [1, 2]
    for written, copy in zip(files, done.files, strict=True):
        assert (root / copy.path).read_bytes() == written.read_bytes()


def test_files_with_fewer_rows_than_were_meant_are_refused(warehouse: Warehouse, root: Path, tmp_path: Path) -> None:
    """A writer that stopped early leaves a valid file that is too short: the count tells."""
    file = tmp_path / "a.parquet"
    pq.write_table(plays(2), file, store_schema=False, compression="zstd")
    with pytest.raises(StorageError, match=r"has 2 rows, expected 5.*nothing was moved"):
        publish_whole(warehouse, [part([file], rows=5)], author(1))
    assert count(root) is None
    assert list((root / "we_mart.db").rglob("*.parquet")) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a file of that kind"])
def test_a_file_that_is_torn_is_refused(warehouse: Warehouse, tmp_path: Path, content: bytes) -> None:
    """What is no whole Parquet file is named before it is staged."""
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.parquet is no whole Parquet file"):
        publish_whole(warehouse, [part([tmp_path / "a.parquet"])], author(1))


def test_nanoseconds_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    """A timestamp that Spark and Hive cannot read is a breach of the contract, named with its column."""
    rows = plays(1)
    rows = rows.set_column(1, "seen_dt", rows["seen_dt"].cast(pa.timestamp("ns", tz="UTC")))
    pq.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(ContractError, match=r"'seen_dt' is timestamp\[ns.*expected timestamp\[us"):
        publish_whole(warehouse, [part([tmp_path / "a.parquet"])], author(1))


def test_nulls_where_none_may_be_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    """A written file's statistics give away a null in a column that has none by contract."""
    strict = replace(PLAY, columns=(replace(PLAY.columns[0], nullable=False), *PLAY.columns[1:]))
    rows = plays(2).set_column(0, "post_id", pa.array(["1-1", None]))
    pq.write_table(rows, tmp_path / "a.parquet", store_schema=False, compression="zstd")
    with pytest.raises(ContractError, match="column 'post_id' has 1 nulls, expected none"):
        publish_whole(warehouse, [part([tmp_path / "a.parquet"], strict)], author(1))


@pytest.mark.parametrize(("setting", "physical"), [("int64", "INT64"), ("int96", "INT96")])
def test_timestamps_are_written_as_the_profile_says(root: Path, setting: str, physical: str) -> None:
    """INT96 for a Hive that reads with its own SerDe, else INT64; the instant is the same."""
    warehouse = Warehouse.open(Settings(str(root), timestamp=setting))  # type: ignore[arg-type]
    (done,) = publish_whole(warehouse, [part(plays(2))], author(1))
    file = pq.ParquetFile(root / done.files[0].path, coerce_int96_timestamp_unit="us")
    assert file.schema.column(1).physical_type == physical
    micros = [value.value for value in file.read()["seen_dt"]]
    assert micros == [value.value for value in plays(2)["seen_dt"]]


def test_a_file_with_the_other_kind_of_timestamp_is_refused(root: Path, tmp_path: Path) -> None:
    """Where the profile says int96, a file with INT64 timestamps is named, and the other way round."""
    pq.write_table(plays(1), tmp_path / "a.parquet", store_schema=False, compression="zstd")
    warehouse = Warehouse.open(Settings(str(root), timestamp="int96"))
    with pytest.raises(ContractError, match=r"'seen_dt' is written as INT64, expected INT96 \(warehouse\.timestamp\)"):
        publish_whole(warehouse, [part([tmp_path / "a.parquet"])], author(1))


def test_no_rows_do_not_replace_rows(warehouse: Warehouse, root: Path) -> None:
    """An empty result is held, and with it all that belongs to it; what stood stands."""
    publish_whole(warehouse, [part(plays(5)), part(plays(1), REJECTS)], author(1))
    done = publish_whole(warehouse, [part(plays(0)), part(plays(2), REJECTS)], author(2))
    assert [(one.moved, one.held) for one in done] == [(False, "empty"), (False, "asked")]
    assert (count(root), count(root, "we_mart.wv_rejects")) == (5, 1)


def test_where_nothing_stood_an_empty_partition_is_published(warehouse: Warehouse, root: Path) -> None:
    """A day without plays is a partition without rows, and a rerun replaces it by another such."""
    assert publish_whole(warehouse, [part(plays(0))], author(1))[0].moved
    assert publish_whole(warehouse, [part(plays(0))], author(2))[0].moved
    assert count(root) == 0


@pytest.mark.parametrize("by_call", [True, False])
def test_no_rows_replace_rows_where_that_is_allowed(warehouse: Warehouse, root: Path, by_call: bool) -> None:
    """By the run's option, or because for the table, as for rejects, none is a fine result."""
    publish_whole(warehouse, [part(plays(5))], author(1))
    publish_whole(warehouse, [part(plays(0), allow_empty=not by_call)], author(2), allow_empty=by_call)
    assert count(root) == 0


def test_what_was_held_is_released_later(warehouse: Warehouse, root: Path) -> None:
    """A held version moves when it is released, all parts together, and keeps the run that made it."""
    publish_whole(warehouse, [part(plays(5)), part(plays(1), REJECTS)], author(1))
    held = publish_whole(warehouse, [part(plays(7)), part(plays(2), REJECTS)], author(2), hold=True)
    assert [one.held for one in held] == ["asked", "asked"]
    assert count(root) == 5
    places = [(one.table, one.partition) for one in held]
    assert [one.moved for one in release(warehouse, author(2).run, places, author(3))] == [True, True]
    assert (count(root), count(root, "we_mart.wv_rejects")) == (7, 2)
    assert lineage(warehouse, "we_mart.wv_play")[DAY]["2024-05-01",].run == author(2).run


def test_a_held_version_that_executors_wrote_is_released_where_it_stands(warehouse: Warehouse, root: Path) -> None:
    """Its folder is the version: the release moves the pointer there, writes no data and deletes none."""
    folder = root / "we_mart.db/wv_play/.runs" / DAY / author(2).version
    folder.mkdir(parents=True)
    for n in range(2):
        pq.write_table(plays(n + 1), folder / f"part-{n}.parquet", store_schema=False, compression="zstd")
    publish_whole(warehouse, [replace(part([]), content=Staged(str(folder)))], author(2), hold=True)
    before = {path: path.read_bytes() for path in folder.glob("part-*")}
    assert count(root) is None
    (done,) = release(warehouse, author(2).run, [("we_mart.wv_play", DAY)], author(2, attempt=2))
    assert (done.version, count(root)) == (author(2).version, 3)
    assert {path: path.read_bytes() for path in folder.glob("part-*")} == before


def test_one_bad_table_keeps_all_of_the_day_back(warehouse: Warehouse, root: Path) -> None:
    """All are verified before the first is moved, and what was staged is gone again."""
    publish_whole(warehouse, [part(plays(5)), part(plays(1), REJECTS)], author(1))
    bad = plays(2).drop_columns(["n"])
    with pytest.raises(ContractError, match="column 'n' is missing"):
        publish_whole(warehouse, [part(plays(9)), part(bad, REJECTS)], author(2))
    assert (count(root), count(root, "we_mart.wv_rejects")) == (5, 1)
    assert list((root / "we_mart.db").rglob("*000002*")) == []


def test_a_part_counted_through_less_is_kept_out(warehouse: Warehouse, root: Path) -> None:
    """Nothing goes backwards: a month built through the 10th does not replace the one through the 20th."""
    month = Replacement(PLAY, "part_date=2024-05", plays(20), date(2024, 5, 20), False, "x")
    publish_whole(warehouse, [month], author(1))
    (done,) = publish_whole(warehouse, [replace(month, content=plays(10), through=date(2024, 5, 10))], author(2))
    assert not done.moved
    assert done.kept == {("2024-05",)}
    assert count(root, partition="part_date=2024-05") == 20


def test_a_partition_of_another_column_is_refused(warehouse: Warehouse) -> None:
    """`dt=` is no partition of a table by part_date."""
    with pytest.raises(ContractError, match=r"'dt=20240501' is no partition of it; expected 'part_date=…'"):
        publish_whole(warehouse, [replace(part(plays(1)), partition="dt=20240501")], author(1))


def test_what_is_derived_is_built_under_the_lock(warehouse: Warehouse, root: Path) -> None:
    """While the parts are built nobody else holds the table, so a month is made of every day that stands."""
    seen = []

    def build() -> list[Replacement]:
        path = root / ".locks" / "we_mart.wv_play"
        seen.append(path.read_text())
        return [part(plays(4))]

    (done,) = publish_derived(warehouse, [PLAY], build, author(1))
    assert done.moved
    assert author(1).run in seen[0]
    assert count(root) == 4


def test_a_full_disk_keeps_the_day_as_it_was(tmp_path: Path) -> None:
    """Neither table moves when the second one does not fit."""
    with small_disk(tmp_path, kibibytes=256) as disk:
        warehouse = Warehouse.open(Settings(str(disk / "w")))
        publish_whole(warehouse, [part(plays(5)), part(plays(1), REJECTS)], author(1))
        ids = pa.array([f"{n * 2654435761 % 2**32}-{n * 40503 % 99991}" for n in range(60_000)])
        big = plays(60_000).set_column(0, "post_id", ids)
        with pytest.raises(StorageError, match=FULL):
            publish_whole(warehouse, [part(plays(9)), part(big, REJECTS)], author(2))
        assert (count(disk / "w"), count(disk / "w", "we_mart.wv_rejects")) == (5, 1)
        assert list(disk.rglob("*000002*")) == []


STEPS = ["staged", "verified", "locked", "moving", "moved, not committed", "moved", "done"]


def test_the_steps_of_a_mart_are_known(root: Path) -> None:
    """The crash test kills the writer at each of these, and there is no other."""
    assert write(Settings(str(root)), 1, marts={DAY: 5}).steps == STEPS


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_writer_killed_at_any_step_leaves_all_tables_old_or_all_new(root: Path, step: int) -> None:
    """No table is ever short, mixed, or newer than the one beside it; the same run again heals what was left."""
    settings = Settings(str(root))
    write(settings, 1, marts={DAY: 5})
    assert write(settings, 2, marts={DAY: 8}, kill_at=step).was_killed
    tables = ["we_mart.wv_play", "we_mart.wv_rejects"]
    moved = step > STEPS.index("moved, not committed")
    assert [count(root, table) for table in tables] == [8 if moved else 5] * 2
    assert write(settings, 2, marts={DAY: 8}).status == 0
    assert [count(root, table) for table in tables] == [8, 8]


def test_a_holder_that_slept_through_a_prune_moves_nothing(root: Path) -> None:
    """Its files are gone by then: that is said, and readers keep what stood."""

    def prune(step: str) -> None:
        if step == "locked" and (root / "we_mart.db/wv_play/.runs" / DAY / author(2).version).exists():
            (root / "we_mart.db/wv_play/.runs" / DAY / author(2).version / "part-0.parquet").unlink()

    with Warehouse.open(Settings(str(root)), at=prune) as warehouse:
        publish_whole(warehouse, [part(plays(5))], author(1))
        with pytest.raises(
            StorageError, match=r"part-0\.parquet: found nothing, expected \d+ bytes.*nothing was moved"
        ):
            publish_whole(warehouse, [part(plays(6))], author(2))
    assert count(root) == 5


def test_held_parts_that_are_empty_are_told_apart(warehouse: Warehouse) -> None:
    """The result names which table was empty, for the run's message."""
    publish_whole(warehouse, [part(plays(5)), part(plays(1), REJECTS)], author(1))
    done: list[Published] = publish_whole(warehouse, [part(plays(2)), part(plays(0), REJECTS)], author(2))
    assert [(one.table, one.held) for one in done] == [("we_mart.wv_play", "asked"), ("we_mart.wv_rejects", "empty")]
