"""The same protocol on every storage and catalog, each against the real thing, and against its faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.crash_test import Finding, judge, verify_publish
from bigmama_nb.warehouse.publish import publish_keyed
from bigmama_nb.warehouse.query import sql
from tests.crashing import write
from tests.places import NAMES, Place, place
from tests.publishing import author, brought

DAY, NEXT = "dt=20240501", "dt=20240502"
STOOD, BRINGS = {"lw/wau": 1, "bns/wau": 2}, {"lw/wau": 10}

STEPS = {
    "sqlite": ["locked", "carried", "staged", "verified", "moving", "moved, not committed", "moved", "done"],
    "hive": ["locked", "carried", "staged", "verified", "moving", "moved existing", "moved new", "moved", "done"],
}


@pytest.fixture(params=NAMES)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a warehouse that holds nothing yet."""
    from tests.services.s3 import credentials

    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    return place(request.param, tmp_path)


def test_a_partition_is_published_and_carried_over(where: Place) -> None:
    """Rows brought and rows that stay are what a reader finds, in existing and in new partitions."""
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))
        publish_keyed(warehouse, where.metric(), {DAY: brought(BRINGS), NEXT: brought(BRINGS)}, author(2))
    assert where.rows(DAY) == STOOD | BRINGS
    assert where.rows(NEXT) == BRINGS


def test_a_writer_killed_at_any_step_leaves_the_old_rows_or_the_new(where: Place) -> None:
    """At every step, of existing and new partitions, a reader sees one or the other, and the next run heals."""
    steps = STEPS[where.name.split("+")[1]]
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))
        for n, step in enumerate(steps):
            fresh = f"dt=202406{n + 1:02d}"
            before = where.rows(DAY)
            brings = {f"game{n}/wau": n}
            died = write(where.settings, 2 * n + 2, {DAY: brings, fresh: brings}, database=where.database, kill_at=n)
            assert died.was_killed, (step, died)
            assert died.steps == steps[:n]
            assert where.rows(DAY) in (before, (before or {}) | brings), step
            assert where.rows(fresh) in (None, brings), step
            if n <= steps.index("moving"):
                assert where.rows(DAY) == before, step
                assert where.rows(fresh) is None, step
            publish_keyed(warehouse, where.metric(), {DAY: brought(brings), fresh: brought(brings)}, author(2 * n + 3))
            assert where.rows(DAY) == (before or {}) | brings, step
            assert where.rows(fresh) == brings, step


def test_the_verifier_finds_nothing_wrong(where: Place) -> None:
    """Every step is killed once, told as it comes, and no scratch table or file is left."""
    told: list[Finding] = []
    findings = verify_publish(where.settings, told.append)
    assert told == findings
    steps = STEPS[where.name.split("+")[1]]
    expected = [f"killed at {step!r}" for step in steps] + [f"killed in file {n}" for n in (1, 2, 3, 4)]
    assert [finding.name for finding in findings] == expected
    assert [finding.message for finding in findings if not finding.ok] == []
    with Warehouse.open(where.settings) as warehouse:
        assert [entry.name for entry in warehouse.catalog.tables() if entry.database == where.database] == []
        assert warehouse.storage.list(f"{where.settings.uri}/{where.database}.db") == []


@pytest.mark.parametrize("rows", [None, {}, {"a/wau": 10}, {"a/wau": 1, "b/wau": 10}, {"a/wau": 1, "c/wau": 3}])
def test_the_verifier_sees_what_is_wrong(rows: dict[str, int] | None) -> None:
    """A partition that is gone, short, or of both is none of the two that it may be."""
    before, after = {"a/wau": 1, "b/wau": 2}, {"a/wau": 10, "b/wau": 2}
    assert judge({DAY: before}, {DAY: after}, {DAY: before}) == judge({DAY: before}, {DAY: after}, {DAY: after}) == []
    (problem,) = judge({DAY: before}, {DAY: after}, {DAY: rows})
    assert problem == f"dt=20240501: a reader sees {rows}, expected {before} or {after}"


def test_a_query_reads_the_warehouse_and_nothing_beside_it(where: Place) -> None:
    """On every storage: the tables are read, a file outside of the warehouse is not, and nothing is written."""
    with Warehouse.open(where.settings) as warehouse:
        publish_keyed(warehouse, where.metric(), {DAY: brought(STOOD)}, author(1))
        total = f"select sum(value) from {where.database}.game_metric"
        assert sql(warehouse, total)[1] == [[3]]
        outside = f"{where.settings.uri}-beside/x.parquet"
        (file,) = warehouse.catalog.current(where.metric().full_name).values()
        warehouse.storage.put(outside, warehouse.storage.read(f"{file.location}/part-0.parquet"))
        with pytest.raises(UsageError, match="Cannot access file"):
            sql(warehouse, f"from read_parquet('{outside}')")
