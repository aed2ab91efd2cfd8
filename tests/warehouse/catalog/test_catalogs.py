"""What publishing rests on, whichever catalog holds the pointers."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from bigmama_nb.errors import CatalogError, CommitConflictError, LockedError
from bigmama_nb.tables.contract import Column
from bigmama_nb.warehouse.catalog.protocol import Move
from tests.warehouse.catalog.kit import Opener

V1, V2 = "20240502T020304Z-000001-1", "20240502T020304Z-000002-1"


def test_an_unused_catalog_holds_nothing(opener: Opener) -> None:
    """Before the first publish there is no table, no entry and no partition, and asking makes none."""
    catalog = opener()
    assert opener.table.full_name not in [entry.full_name for entry in catalog.tables()]
    assert catalog.entry(opener.table.full_name) is None
    assert catalog.current(opener.table.full_name) == {}


def test_a_table_is_made_once_and_found_again(opener: Opener) -> None:
    """A second client sees the contract's columns, types, comments and partition; ensuring again changes nothing."""
    _, made = opener.ensured()
    _, again = opener.ensured()
    assert made == again
    assert made.columns == (
        ("game_cd", "string", "code of the game"),
        ("type", "string", "metric"),
        ("value", "bigint", "the figure"),
    )
    assert made.partition == ("dt", "string", "day")
    assert made.full_name in [entry.full_name for entry in opener().tables()]


@pytest.mark.parametrize(
    ("columns", "says", "mends"),
    [
        (
            lambda given: (*given[:2], replace(given[2], type="double"), given[3]),
            "column 'value' is bigint, expected double",
            "CHANGE `value` `value` double COMMENT 'the figure';",
        ),
        (
            lambda given: (*given[:3], Column("note", "string", "it's odd"), given[3]),
            "column 'note' is missing",
            r"ADD COLUMNS (`note` string COMMENT 'it\'s odd');",
        ),
        (
            lambda given: (*given[:2], given[3]),
            "column 'value' is not in the contract",
            "REPLACE COLUMNS (`game_cd` string, `type` string);",
        ),
        (
            lambda given: (given[1], given[0], *given[2:]),
            "columns stand in the order game_cd, type, value, expected type, game_cd, value",
            "REPLACE COLUMNS (`type` string, `game_cd` string, `value` bigint);",
        ),
    ],
)
def test_a_table_with_other_columns_is_refused_with_the_statement_that_mends_it(opener, columns, says, mends) -> None:  # type: ignore[no-untyped-def]
    """The refusal names the column and prints the ALTER; the table stays as it was."""
    catalog, made = opener.ensured()
    other = replace(opener.table, columns=columns(opener.table.columns))
    with pytest.raises(CatalogError) as caught:
        catalog.ensure(other, made.location)
    assert says in caught.value.message
    assert f"ALTER TABLE `{other.database}`.`{other.name}` {mends}" in caught.value.message
    assert catalog.entry(made.full_name) == made


def test_a_table_partitioned_otherwise_is_refused(opener: Opener) -> None:
    """No ALTER mends a partition column, and the message says so."""
    catalog, made = opener.ensured()
    columns = (*opener.table.columns[:3], Column("day", "string", "day"))
    with pytest.raises(CatalogError, match="partitioned by dt string, expected day string"):
        catalog.ensure(replace(opener.table, columns=columns, partition="day"), made.location)


def test_a_moved_pointer_is_what_every_client_sees(opener: Opener) -> None:
    """New partitions and existing ones move in one call; a client that was open before sees them, whole."""
    catalog, _ = opener.ensured()
    other = opener()
    first = opener.pointer("dt=20240501", V1)
    opener.move(catalog, Move(first, None))
    assert other.current(opener.table.full_name) == {"dt=20240501": first}
    second, new = opener.pointer("dt=20240501", V2, rows=4), opener.pointer("dt=20240502", V2)
    opener.move(catalog, Move(new, None), Move(second, first))
    assert other.current(opener.table.full_name) == {"dt=20240501": second, "dt=20240502": new}


def test_only_the_partitions_asked_for_are_returned(opener: Opener) -> None:
    """One that is not there is left out, and none asked for is none; many are as good as few."""
    catalog, _ = opener.ensured()
    days = [f"dt=202405{day:02d}" for day in range(1, 31)]
    opener.move(catalog, *(Move(opener.pointer(day, V1), None) for day in days))
    assert list(catalog.current(opener.table.full_name, ["dt=20240502", "dt=20240501", "dt=19990101"])) == days[:2]
    assert catalog.current(opener.table.full_name, []) == {}
    assert list(catalog.current(opener.table.full_name)) == days
    many = [*days, *(f"dt=1999{n:04d}" for n in range(200))]
    assert list(catalog.current(opener.table.full_name, many)) == days


@pytest.mark.parametrize("stands", [True, False])
def test_a_move_from_what_no_longer_stands_moves_nothing(opener: Opener, stands: bool) -> None:
    """Built on an older version, or on there being none: refused, and no other partition of the call moves."""
    catalog, _ = opener.ensured()
    first, second = opener.pointer("dt=20240501", V1), opener.pointer("dt=20240501", V2)
    opener.move(catalog, Move(first, None))
    other = opener.pointer("dt=20240502", V2)
    expected = opener.pointer("dt=20240501", "20240502T020304Z-000009-1") if stands else None
    with pytest.raises(CommitConflictError, match="dt=20240501"):
        opener.move(catalog, Move(other, None), Move(second, expected))
    assert catalog.current(opener.table.full_name) == {"dt=20240501": first}


def test_a_lock_is_held_by_one(opener: Opener) -> None:
    """A second client waits as long as it was told and then learns who holds the lock; freed, it gets it."""
    first, second = opener(), opener()
    with first.lock(opener.table.full_name, "bigmama-nb 20240502T020304Z-000001", 10) as lock:
        assert lock.held()
        with (
            pytest.raises(LockedError, match=r"20240502T020304Z-000001.*lock_wait_s \(0.2 s\)"),
            second.lock(opener.table.full_name, "bigmama-nb 20240502T020304Z-000002", 0.2),
        ):
            pass
    with second.lock(opener.table.full_name, "bigmama-nb 20240502T020304Z-000002", 10) as lock:
        assert lock.held()


def test_a_lock_is_a_tables_own(opener: Opener) -> None:
    """Two tables are locked at once."""
    first, second = opener(), opener()
    with (
        first.lock(opener.table.full_name, "bigmama-nb a", 10) as one,
        second.lock(f"{opener.table.database}.another", "bigmama-nb b", 10) as other,
    ):
        assert one.held()
        assert other.held()


def test_who_waits_for_a_lock_gets_it(opener: Opener) -> None:
    """Four threads add one each under the lock, and no addition is lost.

    Each asks for it after the one before stands in the queue. Hive 4's metastore, on Derby alone, takes a lock of its
    own for each look at the queue, and who looks may wait for a row of one that waits for that lock, until it gives up.
    """
    count = 0

    def add() -> None:
        nonlocal count
        catalog = opener()
        with catalog.lock(opener.table.full_name, "bigmama-nb adder", 600):
            before = count
            threading.Event().wait(0.01)
            count = before + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    with opener().lock(opener.table.full_name, "bigmama-nb holder", 60):
        for number, thread in enumerate(threads):
            thread.start()
            opener.until_queued(number + 2)
    for thread in threads:
        thread.join()
    assert count == 4
