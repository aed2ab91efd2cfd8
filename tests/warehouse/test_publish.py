"""One partition, many runs: what is brought, what stays, and what is never lost."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmama_nb.errors import (
    CatalogError,
    CommitConflictError,
    ContractError,
    LockedError,
    StorageError,
    UsageError,
)
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Retraction, Writer, lineage, retractions, runs_behind
from bigmama_nb.warehouse.publish import Group, Incoming, publish_keyed, retract
from tests.crashing import write
from tests.publishing import (
    FULL,
    METRIC,
    REPO,
    Settings,
    author,
    brought,
    current_folder,
    lineage_in,
    read_only,
    rows_in,
    small_disk,
)

DAY, NEXT = "dt=20240501", "dt=20240502"


def test_the_first_publish_makes_everything_that_is_missing(warehouse: Warehouse, root: Path) -> None:
    """Folder, catalog, table and partitions come into being, and the result says what was written where."""
    done = publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5, "bns/wau": 7})}, author(1))
    assert rows_in(root, DAY) == {"lw/wau": 5, "bns/wau": 7}
    (file,) = done[DAY].files
    assert file.path == f"bigmama.db/game_metric/.runs/{DAY}/20240502T020304Z-000001-1/part-0.parquet"
    assert (file.rows, file.bytes) == (2, (root / file.path).stat().st_size)
    assert (done[DAY].moved, done[DAY].carried, done[DAY].kept) == (True, 0, frozenset())
    assert done[DAY].record() == {
        "table": "bigmama.game_metric",
        "partition": DAY,
        "version": "20240502T020304Z-000001-1",
        "files": [{"path": file.path, "rows": 2, "bytes": file.bytes, "sha256": file.sha256}],
    }


def test_what_a_run_does_not_bring_stays_with_its_origin(warehouse: Warehouse, root: Path) -> None:
    """A second run's rows and the first one's other rows stand together, each under the run that wrote it."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5, "bns/wau": 7}, source="ncmc2")}, author(1))
    done = publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6}, source="ncmc3")}, author(2, attempt=3))
    assert rows_in(root, DAY) == {"lw/wau": 6, "bns/wau": 7}
    assert done[DAY].carried == 1
    written = lineage_in(root, DAY)
    assert written["bns/wau"] == {
        "key": ["bns", "wau"],
        "run": "20240502T020304Z-000001",
        "attempt": 1,
        "through": "2024-05-01",
        "final": False,
        "source": "ncmc2",
        "notebook": "40_write_parquet.game_metric.ipynb",
    }
    assert (written["lw/wau"]["run"], written["lw/wau"]["attempt"]) == ("20240502T020304Z-000002", 3)


def test_a_row_is_never_replaced_by_one_counted_through_an_earlier_day(warehouse: Warehouse, root: Path) -> None:
    """A rerun of an older day keeps the month's newer row, says so, and brings what is new all the same."""
    month = "dt=20240401"
    publish_keyed(warehouse, METRIC, {month: brought({"lw/mau": 90}, through=date(2024, 4, 20))}, author(1))
    done = publish_keyed(
        warehouse, METRIC, {month: brought({"lw/mau": 50, "bns/mau": 3}, through=date(2024, 4, 10))}, author(2)
    )
    assert rows_in(root, month) == {"lw/mau": 90, "bns/mau": 3}
    assert done[month].kept == {("lw", "mau")}
    assert lineage_in(root, month)["lw/mau"]["through"] == "2024-04-20"


def test_where_every_row_is_kept_nothing_moves(warehouse: Warehouse, root: Path) -> None:
    """The result names what stands, and no new version is left behind."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 9}, through=date(2024, 5, 3))}, author(1))
    stood = current_folder(root, METRIC.full_name, DAY)
    done = publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 1}, through=date(2024, 5, 2))}, author(2))
    assert not done[DAY].moved
    assert done[DAY].kept == {("lw", "wau")}
    assert current_folder(root, METRIC.full_name, DAY) == stood
    assert stood is not None
    assert list(stood.parent.iterdir()) == [stood]


def test_a_row_counted_through_the_same_day_is_replaced(warehouse: Warehouse, root: Path) -> None:
    """A figure that its source corrected comes through on a rerun of the same day."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 9})}, author(1))
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 8})}, author(2))
    assert rows_in(root, DAY) == {"lw/wau": 8}


def test_equal_rows_are_equal_bytes(warehouse: Warehouse, root: Path, tmp_path: Path) -> None:
    """Whatever the order of rows and runs, the data file of the same rows is the same, byte for byte."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"b/wau": 1, "a/wau": 2})}, author(1))
    publish_keyed(warehouse, METRIC, {DAY: brought({"c/wau": 3, "a/mau": 4})}, author(2))
    with Warehouse.open(Settings(str(tmp_path / "other"))) as other:
        publish_keyed(other, METRIC, {DAY: brought({"a/mau": 4, "a/wau": 2, "c/wau": 3, "b/wau": 1})}, author(7))
    one = current_folder(root, METRIC.full_name, DAY)
    two = current_folder(tmp_path / "other", METRIC.full_name, DAY)
    assert one is not None
    assert two is not None
    assert (one / "part-0.parquet").read_bytes() == (two / "part-0.parquet").read_bytes()


def test_a_file_holds_no_partition_column_no_pandas_and_no_arrow_schema(warehouse: Warehouse, root: Path) -> None:
    """What stands in the file is the contract's columns, sorted by key, zstd, and no metadata."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"b/wau": 1, "a/wau": 2, "a/mau": 3})}, author(1))
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    file = pq.ParquetFile(folder / "part-0.parquet")
    assert file.schema_arrow.names == ["game_cd", "type", "value"]
    assert file.metadata.metadata is None
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read()["type"].to_pylist() == ["mau", "wau", "wau"]


def test_several_partitions_move_together(warehouse: Warehouse, root: Path) -> None:
    """One call publishes existing and new partitions, and each keeps what it had."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 1})}, author(1))
    publish_keyed(warehouse, METRIC, {NEXT: brought({"lw/wau": 2}), DAY: brought({"bns/wau": 3})}, author(2))
    assert rows_in(root, DAY) == {"lw/wau": 1, "bns/wau": 3}
    assert rows_in(root, NEXT) == {"lw/wau": 2}


def test_nothing_brought_is_nothing_done(warehouse: Warehouse, root: Path) -> None:
    """A call without partitions makes no folder and no catalog."""
    assert publish_keyed(warehouse, METRIC, {}, author(1)) == {}
    assert not root.exists()


@pytest.mark.parametrize(
    ("partition", "rows", "groups", "says"),
    [
        ("day=20240501", brought({"a/wau": 1}).rows, {("a", "wau")}, "is no partition of it; expected 'dt="),
        ("dt=../x", brought({"a/wau": 1}).rows, {("a", "wau")}, "cannot name a partition"),
        (DAY, brought({"a/wau": 1}).rows, {("b", "wau")}, "rows and key groups differ: a/wau, b/wau"),
        (DAY, brought({"a/wau": 1}).rows.slice(0, 0), set(), "rows and key groups differ: there are none"),
        (DAY, brought({"a/wau": 1}).rows.drop_columns(["value"]), {("a", "wau")}, "column 'value' is missing"),
        (
            DAY,
            pa.concat_tables([brought({"a/wau": 1}).rows] * 2),
            {("a", "wau")},
            "1 keys stand more than once, the first is {'game_cd': 'a', 'type': 'wau'}",
        ),
        (
            DAY,
            pa.table({"game_cd": ["a"], "type": ["wau"], "value": pa.array([None], pa.int64())}),
            {("a", "wau")},
            "column 'value' has 1 nulls, expected none",
        ),
    ],
)
def test_rows_that_are_not_the_contracts_are_refused(warehouse, root, partition, rows, groups, says) -> None:  # type: ignore[no-untyped-def]
    """The refusal names the place and the fault, and nothing is written."""
    new = Incoming(rows, {key: Group(date(2024, 5, 1), False, "x") for key in groups})
    with pytest.raises(ContractError) as caught:
        publish_keyed(warehouse, METRIC, {partition: new}, author(1))
    assert says in caught.value.message
    assert not root.exists()


def test_retracted_rows_are_gone_and_the_rest_stays(warehouse: Warehouse, root: Path) -> None:
    """A retraction takes out just the rows named, and their lineage; the last one leaves an empty partition."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5, "bns/wau": 7})}, author(1))
    done = retract(warehouse, METRIC, DAY, [("lw", "wau")], author(2))
    assert (done.moved, done.carried) == (True, 1)
    assert rows_in(root, DAY) == {"bns/wau": 7}
    assert list(lineage_in(root, DAY)) == ["bns/wau"]
    retract(warehouse, METRIC, DAY, [("bns", "wau")], author(3))
    assert rows_in(root, DAY) == {}
    publish_keyed(warehouse, METRIC, {DAY: brought({"l2m/wau": 1})}, author(4))
    assert rows_in(root, DAY) == {"l2m/wau": 1}


def test_what_was_retracted_stays_out_until_it_is_asked_for(warehouse: Warehouse, root: Path) -> None:
    """The record carries it through merges, with the run and its reason; asked for again, it is out no more."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5, "bns/wau": 7})}, author(1))
    retract(warehouse, METRIC, DAY, [("lw", "wau")], author(2), "counted twice")
    out = {("lw", "wau"): Retraction(author(2).run, "counted twice")}
    assert retractions(warehouse, METRIC.full_name) == {DAY: out}
    both = brought({"lw/wau": 6, "bns/wau": 8})
    done = publish_keyed(warehouse, METRIC, {DAY: both}, author(3))[DAY]
    assert (done.moved, done.retracted, rows_in(root, DAY)) == (True, out, {"bns/wau": 8})
    done = publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(4))[DAY]
    assert (done.moved, done.retracted, rows_in(root, DAY)) == (False, out, {"bns/wau": 8})
    again = replace(brought({"lw/wau": 9}), again=frozenset({("lw", "wau")}))
    publish_keyed(warehouse, METRIC, {DAY: again}, author(5))
    assert (rows_in(root, DAY), retractions(warehouse, METRIC.full_name)) == ({"lw/wau": 9, "bns/wau": 8}, {})


def test_figures_of_an_earlier_run_replace_none_of_a_later_one(warehouse: Warehouse, root: Path) -> None:
    """What is released or republished yields to what a later run corrected, by name, unless it is put over it."""
    early, late = (Writer(f"2024050{day}T020304Z-00000a", 1, "x") for day in (2, 3))
    found = replace(brought({"lw/wau": 5, "bns/wau": 7}), found_by=early.run)
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 1001})}, late)
    again = Writer("20240504T020304Z-00000a", 1, "x")
    done = publish_keyed(warehouse, METRIC, {DAY: found}, again)[DAY]
    assert (done.outdone, rows_in(root, DAY)) == ({("lw", "wau"): late.run}, {"lw/wau": 1001, "bns/wau": 7})
    done = publish_keyed(warehouse, METRIC, {DAY: replace(found, over=True)}, again)[DAY]
    assert (done.outdone, rows_in(root, DAY)) == ({}, {"lw/wau": 5, "bns/wau": 7})


def test_retracting_what_is_not_there_is_a_usage_error(warehouse: Warehouse, root: Path) -> None:
    """The message names what the partition holds, and nothing changes."""
    with pytest.raises(UsageError, match=r"has no partition dt=20240501\. Nothing was retracted"):
        retract(warehouse, METRIC, DAY, [("lw", "wau")], author(1))
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    with pytest.raises(UsageError, match=r"has no row lw/mau; it holds lw/wau\. Nothing was retracted"):
        retract(warehouse, METRIC, DAY, [("lw", "mau")], author(2))
    assert rows_in(root, DAY) == {"lw/wau": 5}


def test_lineage_is_returned_by_partition_and_key(warehouse: Warehouse) -> None:
    """Planning asks it: for which keys is there a row, counted through when; no table yet is no lineage."""
    assert lineage(warehouse, METRIC.full_name) == {}
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5}), NEXT: brought({"bns/wau": 5})}, author(1))
    found = lineage(warehouse, METRIC.full_name, [DAY, "dt=19990101"])
    assert list(found) == [DAY]
    assert found[DAY]["lw", "wau"].through == date(2024, 5, 1)
    assert list(lineage(warehouse, METRIC.full_name)) == [DAY, NEXT]


def test_the_runs_behind_what_stands_are_known(warehouse: Warehouse) -> None:
    """A run whose rows were all replaced is no longer behind anything; one with a row carried over is."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5, "bns/wau": 7})}, author(1))
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(2))
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 8})}, author(3))
    assert runs_behind(warehouse) == {("20240502T020304Z-000001", 1), ("20240502T020304Z-000003", 1)}


def test_a_run_that_left_nothing_of_a_partition_is_behind_it(warehouse: Warehouse) -> None:
    """Where the last row was retracted no group names a run: the pointer does."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    retract(warehouse, METRIC, DAY, [("lw", "wau")], author(2))
    assert runs_behind(warehouse) == {(author(2).run, 1)}


def test_a_file_that_changed_since_it_was_published_is_not_carried_over(warehouse: Warehouse, root: Path) -> None:
    """Bit rot, or somebody's own hand, stops the publish by name instead of spreading."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    file = folder / "part-0.parquet"
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    with pytest.raises(StorageError, match=r"part-0\.parquet has sha256 .*, was published with .*rollback"):
        publish_keyed(warehouse, METRIC, {DAY: brought({"bns/wau": 5})}, author(2))
    assert current_folder(root, METRIC.full_name, DAY) == folder


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2}', b'{"format": 1, "table"'])
def test_a_lineage_record_that_is_not_whole_is_named(warehouse: Warehouse, root: Path, content: bytes) -> None:
    """A torn record stops the publish with its path: rows without their origin are not carried over."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    (folder / "_lineage.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"dt=20240501: .*_lineage\.json is no lineage record"):
        publish_keyed(warehouse, METRIC, {DAY: brought({"bns/wau": 5})}, author(2))


def test_a_full_disk_loses_nothing_and_frees_what_it_took(tmp_path: Path) -> None:
    """The error names table, partition and cause; the rows of before stand, and the staged files are gone."""
    with small_disk(tmp_path, kibibytes=192) as disk:
        warehouse = Warehouse.open(Settings(str(disk / "warehouse")))
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
        many = {f"game{n}-{n * 7919 % 99991}/wau": n * 104729 % 99991 for n in range(40_000)}
        with pytest.raises(StorageError, match=rf"game_metric dt=20240501: .*({FULL}).*Readers see what stood before"):
            publish_keyed(warehouse, METRIC, {NEXT: brought({"lw/wau": 1}), DAY: brought(many)}, author(2))
        assert rows_in(disk / "warehouse", DAY) == {"lw/wau": 5}
        assert rows_in(disk / "warehouse", NEXT) is None
        runs = disk / "warehouse" / "bigmama.db" / "game_metric" / ".runs"
        assert [path.name for path in runs.glob("*/*")] == ["20240502T020304Z-000001-1"]
        publish_keyed(warehouse, METRIC, {DAY: brought({"bns/wau": 6})}, author(3))
        assert rows_in(disk / "warehouse", DAY) == {"lw/wau": 5, "bns/wau": 6}


def test_a_read_only_warehouse_is_a_clear_error(warehouse: Warehouse, root: Path) -> None:
    """What stands is read still; the error says that nothing was published."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    with read_only(root):
        with pytest.raises(CatalogError, match=r"game_metric: cannot lock .*Nothing was published"):
            publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(2))
        assert rows_in(root, DAY) == {"lw/wau": 5}
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(2))
    assert rows_in(root, DAY) == {"lw/wau": 6}


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """A file where the warehouse should be is named; nothing was published."""
    (tmp_path / "warehouse").write_text("not a folder")
    with pytest.raises(CatalogError, match=r"game_metric: the table could not be created.*warehouse"):
        publish_keyed(
            Warehouse.open(Settings(str(tmp_path / "warehouse"))), METRIC, {DAY: brought({"lw/wau": 5})}, author(1)
        )


def test_who_waits_too_long_for_the_lock_publishes_nothing(root: Path) -> None:
    """The error names the holder's run and the setting; what stood stands."""
    warehouse = Warehouse.open(Settings(str(root), lock_wait_s=0.1))
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    with (
        warehouse.catalog.lock(METRIC.full_name, "bigmama-nb 20240502T020304Z-00000f", 1),
        pytest.raises(LockedError, match=r"20240502T020304Z-00000f .*lock_wait_s \(0.1 s\).*Nothing was published"),
    ):
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(2))
    assert rows_in(root, DAY) == {"lw/wau": 5}


def test_a_holder_that_lost_its_lock_builds_again_on_what_stands_by_then(root: Path) -> None:
    """Another run published while the first one slept: both end up in the partition."""

    def sleep_at(step: str) -> None:
        if step == "moving" and not slept:
            slept.append(step)
            (root / ".locks" / METRIC.full_name).unlink()
            with Warehouse.open(replace(settings_, uri=str(root))) as other:
                publish_keyed(other, METRIC, {DAY: brought({"bns/wau": 7})}, author(2))

    slept: list[str] = []
    settings_ = Settings(str(root))
    # The step comes inside the catalog's transaction, which holds the second one back: so before it, by the storage.
    warehouse = Warehouse.open(settings_)
    catalog = warehouse.catalog
    move = catalog.move

    def move_late(*arguments: object) -> None:
        sleep_at("moving")
        move(*arguments)  # type: ignore[arg-type]

    catalog.move = move_late  # type: ignore[method-assign,assignment]
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
    assert rows_in(root, DAY) == {"lw/wau": 5, "bns/wau": 7}
    assert slept == ["moving"]


def test_one_that_is_beaten_every_time_gives_up_with_a_clear_error(warehouse: Warehouse, root: Path) -> None:
    """After ten rounds the run says that others were faster, and leaves nothing behind."""
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))

    def beaten(*_: object) -> None:
        raise CommitConflictError("bigmama.game_metric dt=20240501: points at another version")

    warehouse.catalog.move = beaten  # type: ignore[method-assign,assignment]
    with pytest.raises(CatalogError, match=r"Others were faster 10 times\. Run 'run_all.py repair latest'"):
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6})}, author(2))
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    assert list(folder.parent.iterdir()) == [folder]


def test_two_runs_at_once_for_one_day_both_end_up_in_it(root: Path) -> None:
    """Six processes publish a game each, over and over, at the same time; none of their rows is lost."""
    program = (
        "import sys; from tests.publishing import *; from bigmama_nb.warehouse.publish import publish_keyed\n"
        "from bigmama_nb.warehouse import Warehouse\n"
        "n = int(sys.argv[2]); warehouse = Warehouse.open(Settings(sys.argv[1]))\n"
        "for attempt in range(1, 6):\n"
        "    rows = brought({f'game{n}/wau': attempt, f'game{n}/m{attempt}': attempt})\n"
        "    publish_keyed(warehouse, METRIC, {'dt=20240501': rows}, author(n, attempt))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(root), str(n)], cwd=REPO) for n in range(6)]
    assert [writer.wait() for writer in writers] == [0] * 6
    expected = {f"game{n}/wau": 5 for n in range(6)}
    expected |= {f"game{n}/m{attempt}": attempt for n in range(6) for attempt in range(1, 6)}
    assert rows_in(root, DAY) == expected


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.dictionaries(
            st.sampled_from(["lw/wau", "lw/mau", "bns/wau", "l2m/mau"]),
            st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 5)),
            min_size=1,
        ),
        max_size=6,
    )
)
def test_what_stands_is_what_each_key_was_last_given_not_going_backwards(runs, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    """Any sequence of runs leaves for each key the last value among those that were not counted through less."""
    root = tmp_path_factory.mktemp("warehouse")
    expected: dict[str, tuple[int, int]] = {}
    with Warehouse.open(Settings(str(root))) as warehouse:
        for n, run in enumerate(runs):
            keys = [tuple(name.split("/")) for name in run]
            rows = brought({name: value for name, (value, _) in run.items()}).rows
            groups = {
                key: Group(date(2024, 5, through), False, "x")
                for key, (_, through) in zip(keys, run.values(), strict=True)
            }
            publish_keyed(warehouse, METRIC, {DAY: Incoming(rows, groups)}, author(n))
            for name, (value, through) in run.items():
                if name not in expected or expected[name][1] <= through:
                    expected[name] = (value, through)
    assert (rows_in(root, DAY) or {}) == {name: value for name, (value, _) in expected.items()}


OLD, NEW = {"lw/wau": 1, "bns/wau": 2}, {"lw/wau": 10}
STEPS = ["locked", "carried", "staged", "verified", "moving", "moved, not committed", "moved", "done"]


def test_the_steps_of_a_publish_are_known(root: Path) -> None:
    """The crash tests kill the writer at each of these, and there is no other."""
    assert write(Settings(str(root)), 1, {DAY: OLD}).steps == STEPS


@pytest.mark.parametrize("first", [True, False], ids=["new", "existing"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
def test_a_writer_killed_at_any_step_leaves_the_old_rows_or_the_new(root: Path, step: int, first: bool) -> None:
    """Until the commit a reader sees the old rows, afterwards the new ones; the same run again heals."""
    settings_ = Settings(str(root))
    if not first:
        assert write(settings_, 1, {DAY: OLD, NEXT: OLD}).status == 0
    old, new = (None, NEW) if first else (OLD, OLD | NEW)
    died = write(settings_, 2, {DAY: NEW, NEXT: NEW}, kill_at=step)
    assert died.was_killed, died
    committed = step > STEPS.index("moved, not committed")
    for day in (DAY, NEXT):
        assert rows_in(root, day) == (new if committed else old)
    healed = write(settings_, 2, {DAY: NEW, NEXT: NEW})
    assert healed.status == 0, healed
    for day in (DAY, NEXT):
        assert rows_in(root, day) == new


@pytest.mark.parametrize("put", range(4), ids=["data 1", "lineage 1", "data 2", "lineage 2"])
def test_a_writer_killed_in_the_middle_of_a_file_is_never_read(root: Path, put: int) -> None:
    """Half a file is in no version that anything points at, and is never taken for a whole one later."""
    settings_ = Settings(str(root))
    write(settings_, 1, {DAY: OLD, NEXT: OLD})
    assert write(settings_, 2, {DAY: NEW, NEXT: NEW}, kill_in_put=put).was_killed
    assert rows_in(root, DAY) == rows_in(root, NEXT) == OLD
    assert write(settings_, 2, {DAY: NEW, NEXT: NEW}).status == 0
    assert rows_in(root, DAY) == rows_in(root, NEXT) == OLD | NEW
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    assert folder.name == "20240502T020304Z-000002-1.2"
