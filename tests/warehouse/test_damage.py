"""A damaged partition costs just itself, is named by whatever reads it, and is mended as its message says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.errors import DamagedError
from bigmama_nb.parquet import Form, file_bytes
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.damage import damages
from bigmama_nb.warehouse.lineage import lineage, runs_behind
from bigmama_nb.warehouse.maintenance import prune, rollback
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole, retract
from bigmama_nb.warehouse.query import connect, export, rows_that_can_be_read, sql
from bigmama_nb.warehouse.recovery import recover
from tests.publishing import METRIC, PLAY, Settings, author, brought, current_folder, plays, rows_in
from tests.runs.world import CLUSTERS, World, expected

DAY, NEXT = "dt=20240501", "dt=20240502"
LATE = datetime.now(UTC) + timedelta(days=9)
MENDS = r"The partition is damaged; no other one is affected\. A run that brings all its rows.*'run_all\.py recover'"


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    """Return a warehouse with two days, the first of two runs."""
    with Warehouse.open(Settings(str(root))) as made:
        publish_keyed(
            made, METRIC, {DAY: brought({"lw/wau": 1, "bns/wau": 2}), NEXT: brought({"lw/wau": 3})}, author(1)
        )
        publish_keyed(made, METRIC, {DAY: brought({"lw/wau": 10})}, author(2))
        yield made


def truncated(folder: Path) -> None:
    file = folder / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:300])


def missing(folder: Path) -> None:
    (folder / "part-0.parquet").unlink()


def edited(folder: Path) -> None:
    rows = pq.read_table(folder / "part-0.parquet")
    values = pa.array([666] * rows.num_rows, pa.int64())
    pq.write_table(rows.set_column(2, "value", values), folder / "part-0.parquet", store_schema=False)


def unsealed(folder: Path) -> None:
    (folder / "_lineage.json").write_bytes(b"{")


KINDS = [truncated, missing, edited, unsealed]
NO_READER = [truncated, missing]


def written_over(folder: Path) -> None:
    """Put another value in the same number of bytes, with the instant of before, as `cp -p` does."""
    file = folder / "part-0.parquet"
    before, rows = file.stat(), pq.read_table(file)
    values = pa.array([value + 1 for value in rows.column("value").to_pylist()], pa.int64())
    file.write_bytes(file_bytes(rows.set_column(2, rows.schema.field("value"), values), Form("zstd", "int64")))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def swapped(folder: Path) -> None:
    """Put a larger file there with its own old instant."""
    edited(folder)
    os.utime(folder / "part-0.parquet", (0, 0))


def damage(root: Path, how: Callable[[Path], None], day: str = DAY) -> None:
    """Do it to what stands of a day."""
    folder = current_folder(root, METRIC.full_name, day)
    assert folder is not None
    how(folder)


@pytest.mark.parametrize("how", KINDS)
def test_only_the_damaged_day_fails(warehouse: Warehouse, root: Path, how: Callable[[Path], None]) -> None:
    """Of two days that a run brings the whole one is published, and the error says of which the other is."""
    damage(root, how)
    both = {DAY: brought({"l2m/wau": 5}), NEXT: brought({"l2m/wau": 6})}
    with pytest.raises(DamagedError, match=rf"game_metric {DAY}: .*{MENDS}") as caught:
        publish_keyed(warehouse, METRIC, both, author(3))
    assert [one.partition for one in caught.value.published] == [NEXT]
    assert list(caught.value.failures) == [DAY]
    assert rows_in(root, NEXT) == {"lw/wau": 3, "l2m/wau": 6}


@pytest.mark.parametrize("how", [truncated, missing, edited])
def test_bringing_all_rows_of_a_day_makes_it_whole(
    warehouse: Warehouse, root: Path, how: Callable[[Path], None]
) -> None:
    """Nothing that stands needs to be read then."""
    damage(root, how)
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 7, "bns/wau": 8})}, author(3))
    assert rows_in(root, DAY) == {"lw/wau": 7, "bns/wau": 8}
    assert damages(warehouse) == []


@pytest.mark.parametrize("mend", ["recover", "rollback"])
@pytest.mark.parametrize("how", KINDS)
def test_the_commands_of_the_message_work(
    warehouse: Warehouse, root: Path, how: Callable[[Path], None], mend: str
) -> None:
    """The day stands as the newest whole version had it, and takes rows again."""
    damage(root, how)
    if mend == "recover":
        recover(warehouse, [METRIC], author(9))
    else:
        rollback(warehouse, "game_metric", DAY, author(9))
    assert rows_in(root, DAY) == {"lw/wau": 1, "bns/wau": 2}
    publish_keyed(warehouse, METRIC, {DAY: brought({"l2m/wau": 5})}, author(3))
    assert rows_in(root, DAY) == {"lw/wau": 1, "bns/wau": 2, "l2m/wau": 5}


@pytest.mark.parametrize("how", KINDS)
def test_what_is_whole_is_retracted_rolled_back_and_pruned(
    warehouse: Warehouse, root: Path, how: Callable[[Path], None]
) -> None:
    """Upkeep of the other day goes on, planning knows its rows, and no run is called superfluous by mistake."""
    publish_keyed(warehouse, METRIC, {NEXT: brought({"bns/wau": 4})}, author(3))
    damage(root, how)
    assert set(lineage(warehouse, METRIC.full_name)[NEXT]) == {("lw", "wau"), ("bns", "wau")}
    assert (runs_behind(warehouse) is None) == (how is unsealed)
    assert retract(warehouse, METRIC, NEXT, [("bns", "wau")], author(4)).moved
    assert rollback(warehouse, "game_metric", NEXT, author(5)).version == author(3).version
    gone = {(one.partition, one.version) for one in prune(warehouse, LATE, author(6))}
    assert (NEXT, author(1).version) in gone


@pytest.mark.parametrize("how", KINDS)
def test_export_and_check_compare_checksums(
    warehouse: Warehouse, root: Path, tmp_path: Path, how: Callable[[Path], None]
) -> None:
    """No copy of a damaged day is left behind, and the check names that day and no other."""
    assert damages(warehouse) == []
    damage(root, how)
    with pytest.raises(DamagedError, match=rf"game_metric {DAY}: .*{MENDS}"):
        export(warehouse, "game_metric", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert [(one.table, one.partition) for one in damages(warehouse)] == [(METRIC.full_name, DAY)]


@pytest.mark.parametrize("how", [*NO_READER, edited, written_over, swapped])
@pytest.mark.parametrize("day", [DAY, NEXT])
def test_a_query_names_the_damaged_day(warehouse: Warehouse, root: Path, how: Callable[[Path], None], day: str) -> None:
    """Which partition it is and what mends it, whichever of the files DuckDB meets first; also where it can be read."""
    part = Replacement(PLAY, "part_date=2024-05-01", plays(2), date(2024, 5, 1), True, "x")
    publish_whole(warehouse, [part], author(5))
    damage(root, how, day)
    damaged = pytest.raises(DamagedError, match=rf"game_metric {day}: .*part-0\.parquet.*{MENDS}")
    with damaged:
        sql(warehouse, "select sum(value) from game_metric")
    with damaged:
        connect(warehouse.settings)
    assert sql(warehouse, "select count(*) from wv_play")[1] == [[2]]
    rows = rows_that_can_be_read(warehouse, "select dt, value from bigmama.game_metric order by all")
    assert rows == ([("20240502", 3)] if day == DAY else [("20240501", 2), ("20240501", 10)])


def test_a_large_file_is_read_to_be_compared_where_it_was_written_later(warehouse: Warehouse, root: Path) -> None:
    """By its instant, whatever its size; an old one of its size is not read by every query, and check finds it."""
    warehouse = replace(warehouse, small=0)
    damage(root, written_over)
    assert sql(warehouse, f"select max(value) from game_metric where dt = '{DAY[3:]}'")[1] == [[11]]
    assert [one.partition for one in damages(warehouse)] == [DAY]
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    os.utime(folder / "part-0.parquet")
    with pytest.raises(DamagedError, match=f"game_metric {DAY}: .*has sha256"):
        sql(warehouse, "select 1 from GAME_METRIC")


@pytest.mark.parametrize("how", KINDS)
def test_a_partition_that_is_replaced_as_a_whole_heals_itself(
    warehouse: Warehouse, root: Path, how: Callable[[Path], None]
) -> None:
    """Nothing of what stood is carried over, so nothing of it is read."""
    part = Replacement(PLAY, "part_date=2024-05-01", plays(2), date(2024, 5, 1), True, "x")
    publish_whole(warehouse, [part], author(1))
    folder = current_folder(root, PLAY.full_name, part.partition)
    assert folder is not None
    if how is edited:
        (folder / "part-0.parquet").write_bytes(b"PAR1")
    else:
        how(folder)
    (done,) = publish_whole(warehouse, [part], author(2))
    assert done.moved
    assert damages(warehouse) == []


def test_a_run_publishes_every_other_day_and_heals_the_damaged_one(world: World) -> None:
    """From the command: one truncated file of an old day fails just that day where its rows are not all brought."""
    assert world.command("run")["exit_status"] == 0
    (folder,) = (world.folder / "warehouse/bigmama.db/game_metric/.runs/dt=20240430").iterdir()
    truncated(folder)
    checked = world.command("check")
    assert "files bigmama.game_metric dt=20240430" in [one["name"] for one in checked["data"] if not one["ok"]]
    answer = world.command("run", "--games", "aa", "--metrics", "wau")
    assert answer["exit_status"] == 3
    failed = [task for task in answer["data"]["tasks"] if task["published"] != "yes"]
    assert [(task["id"], task["outcome"], task["reason"]) for task in failed] == [
        ("aa/wau/20240430", "failed", "storage")
    ]
    assert world.command("run", "--date", "2024-04-30", "--metrics", "wau")["exit_status"] == 0
    assert world.rows() == expected(*CLUSTERS)


def test_the_message_of_a_file_that_is_no_parquet_is_whole_sentences(warehouse: Warehouse, root: Path) -> None:
    """Also where the library that reads the file ends its own words with a full stop."""

    def overwritten(folder: Path) -> None:
        file = folder / "part-0.parquet"
        file.write_bytes(b"x" * file.stat().st_size)

    damage(root, overwritten)
    with pytest.raises(DamagedError, match=rf"{DAY}: .* is no whole Parquet file: .*[^.]\. {MENDS}"):
        sql(warehouse, "select * from game_metric")
