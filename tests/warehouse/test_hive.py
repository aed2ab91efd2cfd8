"""Real readers over a real metastore of Hive 4 and HDFS: every table, in both forms, row by row, in two time zones."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.profile import WarehouseSettings
from bigmama_nb.tables.views import views
from bigmama_nb.warehouse import Warehouse
from tests.publishing import Settings
from tests.readers import asked as readers
from tests.readers.asked import COPIES, SERVERS, Asked, exported
from tests.readers.tables import filled, publish
from tests.runs.world import World, expected
from tests.services.hdfs import hdfs
from tests.services.hive2 import CannotReadError
from tests.services.hive4 import hiveserver2, metastore4

pytestmark = pytest.mark.service("hive")

FORMS = {"int64": ["hive4", "spark", "trino"], "int96": ["hive2", "hive3", "hive4", "spark", "trino"]}
"""Who reads, and what timestamps are then."""

TABLES = [one.table.name for one in filled("any")]
KST = [
    ("2024-05-01 21:00:00", "2024-05-01 00:59:59", "1970-01-01 08:59:59"),
    ("2024-05-01 00:59:59", None, "2024-05-01 21:00:00"),
    ("1970-01-01 08:59:59", "2024-05-01 21:00:00", "2024-05-01 00:59:59"),
]
"""start_dt, end_dt and tmp_end_dt of stats_wv_d_live_play by Seoul's clocks, by post_id; written down, not computed."""


@dataclass(frozen=True)
class Published:
    """All tables in one form."""

    form: str
    settings: Settings
    tables: Mapping[str, Asked]


@pytest.fixture(scope="module", params=FORMS)
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Publish every table to HDFS and Hive 4, in the form that `warehouse.readers` chooses."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    keys = {"uri": f"{hdfs().uri}/{database}", "metastore": metastore4().uri, "readers": FORMS[request.param]}
    meant = WarehouseSettings.model_validate(keys)
    settings = Settings(
        meant.uri, meant.metastore, database=database, timestamp=meant.timestamp, compression=meant.compression
    )
    assert settings.timestamp == request.param
    tables = filled(database)
    with Warehouse.open(settings) as warehouse:
        publish(warehouse, tables, tmp_path_factory.mktemp("files"))
    return Published(request.param, settings, {one.table.name: Asked(settings, one) for one in tables})


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("reader", SERVERS)
def test_every_table_is_read_right(published: Published, reader: str, table: str) -> None:
    """The ends of each type, nulls, Korean, instants to the microsecond and before 1970."""
    asked = published.tables[table]
    assert SERVERS[reader](asked) == asked.expected


def test_hive_2_reads_what_is_published_for_it_and_nothing_else(published: Published) -> None:
    """Snappy with INT96, to the microsecond; zstd it cannot, and says so."""
    for table in ("game_metric", "stats_wv_d_live_play"):
        asked = published.tables[table]
        if published.form == "int96":
            assert readers.by_hive2(asked) == asked.expected
        else:
            with pytest.raises(CannotReadError, match="Required field 'codec' was not present"):
                readers.by_hive2(asked)


@pytest.mark.parametrize("reader", COPIES)
def test_an_export_reads_alike(published: Published, reader: str, tmp_path: Path) -> None:
    """Whoever opens the folder finds the same rows, and the partition's value as the text that it is."""
    for table in ("game_metric", "stats_wv_d_live_play", "stats_wv_m_video_copyright"):
        asked = published.tables[table]
        assert COPIES[reader](asked, exported(asked, tmp_path)) == asked.expected


def test_what_a_reader_in_another_zone_shows(published: Published) -> None:
    """Hive 4 shows INT64 by its own clocks and INT96 by UTC's; Spark both by its session's. Noon UTC, as text."""
    name = published.tables["stats_wv_d_live_play"].name
    query = f"SELECT cast(start_dt AS string) FROM {name} WHERE post_id LIKE '0-%'"
    noon, evening = "2024-05-01 12:00:00.123456", "2024-05-01 21:00:00.123456"
    assert hiveserver2("UTC").query(query) == [(noon,)]
    assert hiveserver2("Asia/Seoul").query(query) == [(evening if published.form == "int64" else noon,)]
    for zone, text in [("UTC", noon), ("Asia/Seoul", evening)]:
        assert readers.spark4().query(f"SET spark.sql.session.timeZone={zone}", query) == [(text,)]


def test_the_views_are_one_truth_in_every_zone(published: Published) -> None:
    """Hive 4 and Spark, in UTC and in Seoul, show the same text of Seoul's clocks."""
    asked = published.tables["stats_wv_d_live_play"]
    for statement in statements(views(asked.filled.table, published.settings.timestamp)):
        hiveserver2().run(statement)
    query = f"SELECT start_dt_kst, end_dt_kst, tmp_end_dt_kst FROM {asked.name}_kst{{}} ORDER BY post_id"
    for zone in ("UTC", "Asia/Seoul"):
        assert hiveserver2(zone).query(query.format("")) == KST
        own = "_spark" if published.form == "int96" else ""
        assert readers.spark4().query(f"SET spark.sql.session.timeZone={zone}", query.format(own)) == KST


def statements(text: str) -> list[Any]:
    """Return the statements for Hive and Spark."""
    parts = [part.strip() for part in text.split(";\n") if part.strip()]
    return [part.partition("\n")[2] for part in parts if not part.startswith("-- Trino")]


def test_trouble_and_repair_as_a_consumer_sees_it(world: World) -> None:
    """Whatever happens to a night, who asks Hive finds whole rows, and after the command that is named all of them."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    where = f"{{uri: '{hdfs().uri}/{database}', metastore: '{metastore4().uri}', database: {database}, lock_wait_s: 0}}"
    world.write_profile(("{uri: warehouse, lock_wait_s: 0}", where))

    def seen() -> dict[tuple[Any, ...], Any]:
        rows = hiveserver2().query(f"SELECT game_cd, type, dt, value FROM {database}.game_metric")
        return {row[:3]: row[3] for row in rows}

    world.break_("bb")
    assert world.command("run")["exit_status"] == 3
    assert seen() == expected("aa", "cc")

    # The metastore dies; Hive has nothing to ask then, and finds afterwards what stood before.
    world.heal("bb")
    metastore4().kill()
    answer = world.command("repair", "latest")
    assert answer["exit_status"] == 3
    assert {task["reason"] for task in answer["data"]["tasks"] if task["outcome"] == "failed"} == {"catalog"}
    metastore4().start()
    assert seen() == expected("aa", "cc")
    assert world.command("repair", "latest")["exit_status"] == 0
    assert seen() == expected("aa", "bb", "cc")

    # A figure is taken back, and comes again when a run names it.
    key = ("bb", "wau", "20240502")
    assert world.command("retract", *key, "--reason", "counted twice")["exit_status"] == 0
    assert seen() == {other: value for other, value in expected("aa", "bb", "cc").items() if other != key}
    assert world.command("rollback", "game_metric", "dt=20240502")["exit_status"] == 0
    assert seen() == expected("aa", "bb", "cc")

    # Somebody runs what the documentation forbids: the partitions are gone, their versions are not.
    hiveserver2().run(f"MSCK REPAIR TABLE {database}.game_metric DROP PARTITIONS")
    assert seen() == {}
    assert world.command("recover")["exit_status"] == 0
    assert seen() == expected("aa", "bb", "cc")

    # And the table itself.
    hiveserver2().run(f"DROP TABLE {database}.game_metric")
    assert world.command("run", "--games", "aa")["exit_status"] != 0
    assert world.command("recover")["exit_status"] == 0
    assert seen() == expected("aa", "bb", "cc")
