"""How an engine numbers devices: DuckDB by where rows lie, Spark by windows, and both so that viewers stay together."""

from __future__ import annotations

import random
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from bigmama_nb.engines import Engine
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.errors import ContractError
from bigmama_nb.tables.live.events import DEVICE_ORDER, numbered, ordered, viewer_hash, viewer_slice

DEVICES = 2_000


def folded(engine: Engine) -> ir.Table:
    """Return the devices of two lives: of 700 users, who have several, and of guests."""
    places = list(range(DEVICES))
    random.Random(7).shuffle(places)
    return engine.table(
        pa.table(
            {
                "live_no": pa.array([nth % 2 for nth in places], pa.int32()),
                "viewer_id": [f"u{nth % 700}" if nth % 3 else None for nth in places],
                "device_id": [f"d{nth}" for nth in places],
                "events": pa.array([[nth] for nth in places], pa.list_(pa.int64())),
            }
        ),
        "folded_devices",
    )


def placed(engine: Engine, rows: ir.Table) -> ir.Table:
    return engine.numbered(rows, "devices", group="live_no", piece="slice", by=DEVICE_ORDER, same="viewer_id")


def numbers_that_hold(engine: Engine) -> list[int]:
    """Number the devices, hold what every engine promises of the numbers, and return them."""
    rows = numbered(placed(engine, ordered(folded(engine))))
    hashed = rows.mutate(slice=viewer_slice(viewer_hash(rows.viewer_id, rows.device_id)))
    found: list[dict[str, Any]] = engine.arrow(hashed).sort_by("device_no").to_pylist()
    numbers = [row["device_no"] for row in found]
    assert len(set(numbers)) == DEVICES
    assert sorted(row["events"][0] for row in found) == list(range(DEVICES))
    seen: set[Any] = set()
    for before, row, after in zip([None, *found], found, [*found[1:], None], strict=False):
        viewer = (row["live_no"], row["viewer_id"] or row["device_id"])
        assert row["device_no"] >> 32 == row["live_no"]
        own = [
            other is not None
            and row["viewer_id"] is not None
            and (other["live_no"], other["viewer_id"]) == (row["live_no"], row["viewer_id"])
            for other in (before, after)
        ]
        assert [row["after_own"], row["before_own"]] == own
        if own[0] and before is not None:
            assert before["device_id"] < row["device_id"]
        else:
            assert viewer not in seen
        seen.add(viewer)
        if before is not None and before["live_no"] == row["live_no"]:
            assert before["slice"] <= row["slice"]
    assert {row["slice"] // 64 for row in found} == {0, 1, 2, 3}
    return numbers


def test_duckdb_numbers_a_lives_devices_without_a_gap(duck: DuckDBEngine) -> None:
    """Stretches are cut by it."""
    numbers = numbers_that_hold(duck)
    assert [number & 0xFFFF_FFFF for number in numbers] == list(range(DEVICES))


def test_rows_that_do_not_lie_in_order_are_refused(duck: DuckDBEngine) -> None:
    """A viewer whose devices lie apart would be counted twice: nothing is returned."""
    rows = ordered(folded(duck))
    found = placed(duck, rows)
    duck.keep(rows.drop("slice"), "devices")
    with pytest.raises(ContractError, match=r"^DuckDB: rows do not lie as they were sorted\. .*report"):
        duck.arrow(found)
