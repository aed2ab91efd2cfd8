"""Trino over a metastore of Hive 4 and HDFS: every table, its precision, and what it remembers of before a move."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from bigmama_nb.tables.views import views
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import publish_keyed, retract
from tests.publishing import METRIC, Settings, author, brought
from tests.readers.asked import Asked, by_trino, trino
from tests.readers.tables import filled, publish
from tests.services.hdfs import hdfs
from tests.services.hive4 import metastore4

pytestmark = [pytest.mark.long, pytest.mark.service("trino")]


@pytest.fixture(scope="module", params=["int64", "int96"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Asked]:
    database = f"test_{uuid.uuid4().hex[:12]}"
    compression = "zstd" if request.param == "int64" else "snappy"
    settings = Settings(
        f"{hdfs().uri}/{database}",
        metastore4().uri,
        database=database,
        timestamp=request.param,
        compression=compression,  # type: ignore[arg-type]
    )
    tables = filled(database)
    with Warehouse.open(settings) as warehouse:
        publish(warehouse, tables, tmp_path_factory.mktemp("files"))
    return {one.table.name: Asked(settings, one) for one in tables}


def test_every_table_is_read_right(published: dict[str, Asked]) -> None:
    """Row by row, to the microsecond."""
    for asked in published.values():
        assert by_trino(asked) == asked.expected


def test_zones_change_nothing_and_milliseconds_round(published: dict[str, Asked]) -> None:
    """What the documentation says: UTC in every session, milliseconds rounded, and the view by Seoul's clocks."""
    asked = published["stats_wv_d_live_play"]
    query = f"SELECT cast(start_dt AS varchar) FROM {asked.name} ORDER BY post_id"
    statement = views(asked.filled.table, "int64").split("-- Trino\n")[1].strip().rstrip(";")
    trino().query(statement)
    view = f"SELECT start_dt_kst, end_dt_kst, tmp_end_dt_kst FROM {asked.name}_kst_trino ORDER BY post_id"
    for zone in ("UTC", "Asia/Seoul"):
        assert trino().query(query, zone=zone, timestamp_precision="MILLISECONDS") == [
            ["2024-05-01 12:00:00.123"],
            ["2024-04-30 16:00:00.000"],
            ["1969-12-31 23:59:59.000"],
        ]
        assert trino().query(query, zone=zone) == [
            ["2024-05-01 12:00:00.123456"],
            ["2024-04-30 15:59:59.999999"],
            ["1969-12-31 23:59:59.000001"],
        ]
        assert trino().query(view, zone=zone) == [
            ["2024-05-01 21:00:00", "2024-05-01 00:59:59", "1970-01-01 08:59:59"],
            ["2024-05-01 00:59:59", None, "2024-05-01 21:00:00"],
            ["1970-01-01 08:59:59", "2024-05-01 21:00:00", "2024-05-01 00:59:59"],
        ]


def test_a_flush_forgets_the_statistics_of_before_a_move() -> None:
    """A retraction is read at once; the statistics name the retracted maximum until the call that is documented."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    table = replace(METRIC, database=database)
    settings = Settings(f"{hdfs().uri}/{database}", metastore4().uri, database=database)
    greatest = f"SELECT max(value), count(*) FROM {table.full_name}"

    def maximum_of_the_statistics() -> str | None:
        shown = trino().query(f"SHOW STATS FOR {table.full_name}")
        return next(row[-1] for row in shown if row[0] == "value")  # type: ignore[no-any-return]

    with Warehouse.open(settings) as warehouse:
        publish_keyed(warehouse, table, {"dt=20240501": brought({"lw/wau": 9, "bns/wau": 5})}, author(1))
        trino().query(f"ANALYZE {table.full_name}")
        assert trino().query(greatest) == [[9, 2]]
        assert maximum_of_the_statistics() == "9"
        retract(warehouse, table, "dt=20240501", [("lw", "wau")], author(2))
    assert trino().query(greatest) == [[5, 1]]
    assert maximum_of_the_statistics() == "9"
    trino().query("CALL hive.system.flush_metadata_cache()")
    assert maximum_of_the_statistics() is None
    assert trino().query(greatest) == [[5, 1]]
