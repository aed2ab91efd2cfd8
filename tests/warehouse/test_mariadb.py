"""A metastore of Hive 4 on MariaDB, as schematool leaves it: Korean comments are lost there, and `check` says so."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.probe import KOREAN
from bigmama_nb.warehouse.publish import publish_keyed
from bigmama_nb.warehouse.query import sql
from tests.publishing import METRIC, Settings, author, brought
from tests.runs.world import World, expected
from tests.services.hive4 import Metastore4
from tests.services.mariadb import KEEP_KOREAN, mariadb, metastore_on_mariadb

pytestmark = [pytest.mark.long, pytest.mark.service("mariadb")]


@pytest.fixture
def latin1() -> tuple[str, Metastore4]:
    """Return a database of MariaDB, and a metastore on it."""
    name = f"metastore_{uuid.uuid4().hex[:12]}"
    return name, metastore_on_mariadb(name)


def test_korean_is_lost_without_an_error_and_figures_are_not(latin1: tuple[str, Metastore4], tmp_path: Path) -> None:
    """Though the server is strict, for Hive's sessions are not; columns that are altered keep what is written next."""
    database, metastore = latin1
    assert "STRICT_TRANS_TABLES" in mariadb().run("mysql", "SELECT @@global.sql_mode")
    tables = [replace(METRIC, database="one", name=name, comment=KOREAN) for name in ("before", "after")]
    kept = "SELECT PARAM_VALUE FROM TABLE_PARAMS WHERE PARAM_KEY = 'comment' ORDER BY TBL_ID"
    with Warehouse.open(Settings(str(tmp_path), metastore.uri, database="one")) as warehouse:
        publish_keyed(warehouse, tables[0], {"dt=20240501": brought({"lw/wau": 5})}, author(1))
        assert mariadb().run(database, kept).splitlines() == ["?? ??? ?"]
        mariadb().run(database, *KEEP_KOREAN)
        publish_keyed(warehouse, tables[1], {"dt=20240501": brought({"lw/wau": 6})}, author(2))
        publish_keyed(warehouse, tables[0], {"dt=20240501": brought({"bns/wau": 7})}, author(3))
        assert mariadb().run(database, kept).splitlines() == ["?? ??? ?", KOREAN]
        assert sql(warehouse, "SELECT game_cd, value FROM one.before ORDER BY ALL")[1] == [["bns", 7], ["lw", 5]]


def test_check_says_that_korean_is_lost_and_a_run_goes_on(latin1: tuple[str, Metastore4], world: World) -> None:
    """Exit status 1, with the columns to alter; after that all is well. The scratch tables are gone both times."""
    database, metastore = latin1
    world.write_profile(("{uri: warehouse,", f"{{uri: warehouse, metastore: '{metastore.uri}',"))
    lost = world.command("check")
    (found,) = [one for one in lost["data"] if not one["ok"]]
    assert lost["exit_status"] == 1
    assert found["name"] == "comments"
    assert f"a table's comment '{KOREAN}' reads back as '?? ??? ?': " in found["message"]
    assert "COLUMNS_V2.COMMENT, PARTITION_KEYS.PKEY_COMMENT and TABLE_PARAMS.PARAM_VALUE utf8mb4" in found["message"]
    assert mariadb().run(database, "SELECT TBL_NAME FROM TBLS") == ""

    assert world.command("run")["exit_status"] == 0
    assert world.rows() == expected("aa", "bb", "cc")
    mariadb().run(database, *KEEP_KOREAN)
    well = world.command("check")
    assert well["exit_status"] == 0
    assert "keeps comments in Korean" in next(one["message"] for one in well["data"] if one["name"] == "comments")
    assert "comment_check" not in mariadb().run(database, "SELECT TBL_NAME FROM TBLS")
