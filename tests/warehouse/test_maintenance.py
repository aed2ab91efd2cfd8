"""A pointer that moves back, and versions that nobody needs any more."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.maintenance import prune, release, rollback, superseded, versions_of
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole
from tests.crashing import write
from tests.publishing import METRIC, PLAY, Settings, author, brought, current_folder, lineage_in, plays, rows_in

DAY = "dt=20240501"
V1, V2, V3 = (author(n).version for n in (1, 2, 3))
NOON = datetime(2024, 5, 2, 12, tzinfo=UTC)


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    """Return the warehouse of `root`, at noon, with three versions of one day."""
    with Warehouse.open(Settings(str(root))) as opened:
        warehouse = replace(opened, clock=lambda: NOON)
        for n in (1, 2, 3):
            publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": n, f"game{n}/wau": n})}, author(n))
        written_at(root, NOON)
        yield warehouse


def written_at(root: Path, when: datetime) -> None:
    """Make every file look as if it was written then."""
    for path in root.rglob("*"):
        os.utime(path, (when.timestamp(), when.timestamp()))


def test_a_rollback_shows_what_stood_before_with_its_lineage(warehouse: Warehouse, root: Path) -> None:
    """Each further one goes one version back; who wrote what is told as it was then."""
    done = rollback(warehouse, "game_metric", DAY, author(9))
    assert (done.version, done.moved) == (V2, True)
    assert rows_in(root, DAY) == {"lw/wau": 2, "game1/wau": 1, "game2/wau": 2}
    assert lineage_in(root, DAY)["lw/wau"]["run"] == author(2).run
    assert rollback(warehouse, "bigmama.game_metric", DAY, author(9)).version == V1
    with pytest.raises(UsageError, match=rf"nothing stood before {V1}; versions there are {V1}, {V2}, {V3}"):
        rollback(warehouse, "game_metric", DAY, author(9))
    assert rollback(warehouse, "game_metric", DAY, author(9), V3).version == V3
    assert rows_in(root, DAY) == {"lw/wau": 3, "game1/wau": 1, "game2/wau": 2, "game3/wau": 3}


def test_a_publish_after_a_rollback_builds_on_what_stands(warehouse: Warehouse, root: Path) -> None:
    """The rows that were rolled back do not come again."""
    rollback(warehouse, "game_metric", DAY, author(9), V1)
    publish_keyed(warehouse, METRIC, {DAY: brought({"bns/wau": 8})}, author(4))
    assert rows_in(root, DAY) == {"lw/wau": 1, "game1/wau": 1, "bns/wau": 8}
    assert rollback(warehouse, "game_metric", DAY, author(9)).version == V1


@pytest.mark.parametrize(
    ("table", "partition", "version", "says"),
    [
        ("game_metrics", DAY, None, r"no table 'game_metrics'; tables are bigmama\.game_metric\. Did you mean"),
        ("game_metric", "dt=20240510", None, r"has no partition dt=20240510\. Did you mean 'dt=20240501'"),
        ("game_metric", DAY, "20240502T020304Z-000004-1", f"has no version .*versions there are {V1}, {V2}, {V3}"),
    ],
)
def test_what_is_not_there_is_a_usage_error(warehouse, root, table, partition, version, says) -> None:  # type: ignore[no-untyped-def]
    """The message names what there is, and nothing moves."""
    with pytest.raises(UsageError, match=says):
        rollback(warehouse, table, partition, author(9), version)
    folder = current_folder(root, METRIC.full_name, DAY)
    assert folder is not None
    assert folder.name == V3


def test_a_rollback_to_a_version_that_is_not_whole_is_refused(warehouse: Warehouse, root: Path) -> None:
    """Its files are read back first: what changed or is short is named, and nothing moves."""
    file = root / "bigmama.db/game_metric/.runs" / DAY / V2 / "part-0.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StorageError, match=r"has sha256 .*, was published with"):
        rollback(warehouse, "game_metric", DAY, author(9))
    file.write_bytes(content[:-1])
    with pytest.raises(StorageError, match=rf"found {len(content) - 1} bytes, expected {len(content)} bytes"):
        rollback(warehouse, "game_metric", DAY, author(9))
    assert file.exists(), "what is not new is never deleted"
    assert (rows_in(root, DAY) or {})["lw/wau"] == 3


def test_the_versions_of_a_partition_are_those_that_were_closed(warehouse: Warehouse, root: Path) -> None:
    """A version that a killed writer left half is none."""
    (root / "bigmama.db/game_metric/.runs" / DAY / "20240502T020304Z-00000a-1").mkdir()
    (root / "bigmama.db/game_metric/.runs" / DAY / "20240502T020304Z-00000a-1" / "part-0.parquet").write_bytes(b"PAR1")
    assert [record.version for record in versions_of(warehouse, "game_metric", DAY)] == [V1, V2, V3]


def test_superseded_versions_go_after_the_grace_period(warehouse: Warehouse, root: Path) -> None:
    """Until the pointer has rested for the grace period all stay; then all but the current one go, and rows stay."""
    assert superseded(warehouse, NOON + timedelta(hours=23)) == []
    late = NOON + timedelta(hours=25)
    assert [one.version for one in superseded(warehouse, late)] == [V1, V2]
    deleted = prune(warehouse, late, author(9))
    assert [(one.version, one.bytes > 0) for one in deleted] == [(V1, True), (V2, True)]
    assert [path.name for path in (root / "bigmama.db/game_metric/.runs" / DAY).iterdir()] == [V3]
    assert (rows_in(root, DAY) or {})["lw/wau"] == 3
    assert prune(warehouse, late, author(9)) == []


def test_what_was_rolled_back_to_is_kept_and_what_was_left_goes(warehouse: Warehouse) -> None:
    """What is current counts, not what is newest; and the grace period begins with the rollback."""
    later = replace(warehouse, clock=lambda: NOON + timedelta(hours=20))
    rollback(later, "game_metric", DAY, author(9))
    assert superseded(warehouse, NOON + timedelta(hours=25)) == []
    assert [one.version for one in superseded(warehouse, NOON + timedelta(hours=45))] == [V1, V3]


def test_what_a_killed_writer_left_half_goes_too(warehouse: Warehouse, root: Path) -> None:
    """Also of a partition that never came to be; a writer that is at it still is younger than the grace period."""
    assert write(Settings(str(root)), 7, {"dt=20240601": {"lw/wau": 1}}, kill_at=3).was_killed
    (root / f"bigmama.db/game_metric/.runs/dt=20240601/{author(7).version}/_lineage.json").unlink()
    assert superseded(warehouse, datetime.now(UTC) + timedelta(hours=1)) != []
    names = {one.version for one in superseded(warehouse, datetime.now(UTC) + timedelta(hours=1))}
    assert names == {V1, V2}
    names = {one.version for one in superseded(warehouse, datetime.now(UTC) + timedelta(hours=25))}
    assert names == {V1, V2, author(7).version}


def test_what_a_lost_pointer_would_need_is_kept(warehouse: Warehouse, root: Path) -> None:
    """Nothing of a partition that the catalog forgot goes, nor what was committed after what an older catalog says."""
    late = NOON + timedelta(hours=99)
    with sqlite3.connect(root / "catalog.db") as catalog:
        catalog.execute("UPDATE partitions SET location = replace(location, ?, ?)", (V3, V2))
    assert [one.version for one in superseded(warehouse, late)] == [V1]
    with sqlite3.connect(root / "catalog.db") as catalog:
        catalog.execute("DELETE FROM partitions")
    assert superseded(warehouse, late) == []
    assert prune(warehouse, late, author(9)) == []


MONTH = "part_date=2024-05"
PLACE = (PLAY.full_name, MONTH)


def month(n: int, through: int = 10) -> Replacement:
    """Return a month of `n` plays."""
    return Replacement(PLAY, MONTH, plays(n), date(2024, 5, through), False, "x")


def plays_in(root: Path) -> int | None:
    """Return how many plays a reader of the month finds."""
    folder = current_folder(root, *PLACE)
    return None if folder is None else pq.read_metadata(folder / "part-0.parquet").num_rows


def test_no_prune_takes_what_is_held(warehouse: Warehouse, root: Path) -> None:
    """A held version waits for its release however long that takes; a dropped run's goes, and then nothing is held."""
    publish_whole(warehouse, [month(2)], author(4), hold=True)
    publish_whole(warehouse, [month(3)], author(5), hold=True)
    written_at(root, NOON)
    late = NOON + timedelta(days=999)
    prune(warehouse, late, author(9))
    assert [one.moved for one in release(warehouse, author(4).run, [PLACE], author(6))] == [True]
    assert plays_in(root) == 2
    assert [one.version for one in prune(warehouse, late, author(9), dropped=[author(5).run])] == [author(5).version]
    with pytest.raises(UsageError, match=rf"{author(5).run} holds nothing \(any more\)\. Nothing was changed"):
        release(warehouse, author(5).run, [PLACE], author(7))


def test_what_was_released_is_held_no_more(warehouse: Warehouse, root: Path) -> None:
    """It cannot be released twice, and once another version stands it is superseded like any other."""
    publish_whole(warehouse, [month(2)], author(4), hold=True)
    release(warehouse, author(4).run, [PLACE], author(6))
    with pytest.raises(UsageError, match="holds nothing"):
        release(warehouse, author(5).run, [PLACE], author(7))
    later = replace(warehouse, clock=lambda: NOON + timedelta(hours=1))
    publish_whole(later, [month(3)], author(8))
    written_at(root, NOON)
    gone = prune(warehouse, NOON + timedelta(hours=99), author(9))
    assert author(4).version in [one.version for one in gone]


def test_a_release_that_was_ended_between_two_tables_is_finished(warehouse: Warehouse, root: Path) -> None:
    """What had moved stays, with or without its mark, and the rest follows."""
    other = replace(month(3), table=replace(PLAY, name="wv_other"))
    places = [PLACE, (other.table.full_name, MONTH)]
    for n, ended_at in ((4, "moved"), (5, "done")):

        class EndedError(Exception):
            pass

        def end(step: str, ended_at: str = ended_at) -> None:
            if step == ended_at:
                raise EndedError

        publish_whole(warehouse, [month(n), replace(other, content=plays(n + 10))], author(n), hold=True)
        with pytest.raises(EndedError):
            release(replace(warehouse, at=end), author(n).run, places, author(n))
        assert [one.moved for one in release(warehouse, author(n).run, places, author(n, attempt=2))] == [True, True]
        folders = [current_folder(root, *place) for place in places]
        assert [folder.name for folder in folders if folder is not None] == [author(n).version] * 2


def test_the_last_attempt_is_what_is_released(warehouse: Warehouse, root: Path) -> None:
    """A repair that held the partition again replaces what the attempt before it held."""
    publish_whole(warehouse, [month(2)], author(4), hold=True)
    publish_whole(warehouse, [month(3)], author(4, attempt=2), hold=True)
    release(warehouse, author(4).run, [PLACE], author(4, attempt=3))
    assert plays_in(root) == 3


def test_what_was_held_does_not_replace_what_is_counted_further(warehouse: Warehouse, root: Path) -> None:
    """Nothing goes backwards, not by a late release either, unless that is said."""
    publish_whole(warehouse, [month(1)], author(4), hold=True)
    publish_whole(warehouse, [month(2, through=20)], author(5))
    with pytest.raises(UsageError, match=r"counted through 2024-05-20, what was held through 2024-05-10.*'--over'"):
        release(warehouse, author(4).run, [PLACE], author(6))
    assert plays_in(root) == 2
    release(warehouse, author(4).run, [PLACE], author(6), over=True)
    assert plays_in(root) == 1


def test_what_was_held_does_not_replace_what_was_published_since(warehouse: Warehouse, root: Path) -> None:
    """Somebody corrected the month after it was held: his run is named, and his rows stay unless that is said."""
    publish_whole(warehouse, [month(1)], author(4), hold=True)
    publish_whole(warehouse, [month(2)], author(5))
    with pytest.raises(UsageError, match=rf"{author(5).run} published it after {author(4).run} was held.*'--over'"):
        release(warehouse, author(4).run, [PLACE], author(6))
    assert plays_in(root) == 2
    release(warehouse, author(4).run, [PLACE], author(6), over=True)
    assert plays_in(root) == 1
