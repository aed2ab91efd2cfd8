"""A table has one form: what readers choose, what is refused, and how a table is written anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.errors import CatalogError, ContractError
from bigmama_nb.tables import game_metric_status
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, data_files
from bigmama_nb.warehouse.maintenance import rollback
from bigmama_nb.warehouse.probe import KOREAN, require_kept_text, require_tables
from bigmama_nb.warehouse.publish import Group, Incoming, Replacement, publish_keyed, publish_whole
from bigmama_nb.warehouse.query import sql, who_wrote
from bigmama_nb.warehouse.rewrite import rewrite
from bigmama_nb.warehouse.version import rows_of
from tests.places import NAMES, Place, place
from tests.publishing import METRIC, PLAY, Settings, author, brought, plays

DAY, NEXT = "dt=20240501", "dt=20240502"
OLD: dict[str, Any] = {"compression": "snappy", "timestamp": "int96"}


def forms(warehouse: Warehouse, table: str) -> set[tuple[str, ...]]:
    """Return each current file's compression and the physical types of its columns."""
    found = set()
    for pointer in warehouse.catalog.current(table).values():
        for location in data_files(pointer, warehouse.storage):
            with warehouse.storage.open(location) as source:
                footer = pq.ParquetFile(source).metadata
            columns = [footer.row_group(0).column(n) for n in range(footer.num_columns)]
            found.add((columns[0].compression, *(column.physical_type for column in columns)))
    return found


@pytest.fixture(params=NAMES)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    from tests.services.s3 import credentials

    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    return place(request.param, tmp_path)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip"])
def test_every_compression_is_written_and_read_back(compression: Any, tmp_path: Path) -> None:
    """What the profile says is what stands in the file, and its rows are the rows."""
    with Warehouse.open(Settings(str(tmp_path), compression=compression)) as warehouse:
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
        assert forms(warehouse, METRIC.full_name) == {(compression.upper(), "BYTE_ARRAY", "BYTE_ARRAY", "INT64")}
        assert sql(warehouse, "SELECT value FROM game_metric")[1] == [[5]]


def test_a_table_never_stands_in_two_forms_and_is_rewritten_whole(where: Place) -> None:
    """A publish in another form is refused, also by rollback; `rewrite` moves all partitions, rows and lineage kept."""
    table, mart = where.metric(), replace(PLAY, database=where.database)
    rows = "SELECT game_cd, type, value, dt FROM game_metric ORDER BY ALL"
    seen = "SELECT post_id, seen_dt, play_seconds, n, part_date FROM wv_play ORDER BY ALL"
    with Warehouse.open(where.settings) as warehouse:
        days = {DAY: brought({"lw/wau": 5, "bns/wau": 6}), NEXT: brought({"lw/wau": 7})}
        publish_keyed(warehouse, table, days, author(1))
        part = Replacement(mart, "part_date=2024-05-01", plays(3), date(2024, 5, 1), True, "x")
        publish_whole(warehouse, [part], author(2))
        before, played = sql(warehouse, rows)[1], sql(warehouse, seen)[1]
        lineage = who_wrote(warehouse, "game_metric", DAY)
    with Warehouse.open(replace(where.settings, **OLD)) as warehouse:
        with pytest.raises(
            ContractError,
            match=r"dt=20240501 is written in snappy, and dt=20240502 stands in zstd.*Nothing was published "
            r"and the published partition stays; 'run_all.py republish --form' rewrites",
        ):
            publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 8})}, author(3))
        assert sql(warehouse, rows)[1] == before
        with pytest.raises(CatalogError, match=r"stands in zstd, and the profile asks for snappy and int96; .*--form"):
            require_tables(warehouse, [table])

        assert {one.partition for one in rewrite(warehouse, table, author(4))} == {DAY, NEXT}
        assert [one.partition for one in rewrite(warehouse, mart, author(4))] == ["part_date=2024-05-01"]
        assert forms(warehouse, table.full_name) == {("SNAPPY", "BYTE_ARRAY", "BYTE_ARRAY", "INT64")}
        assert forms(warehouse, mart.full_name) == {("SNAPPY", "BYTE_ARRAY", "INT96", "DOUBLE", "INT32")}
        assert sql(warehouse, rows)[1] == before
        assert sql(warehouse, seen)[1] == played
        assert who_wrote(warehouse, "game_metric", DAY) == lineage
        require_tables(warehouse, [table, mart])
        assert rewrite(warehouse, table, author(5)) == []

        with pytest.raises(ContractError, match="dt=20240501 is written in zstd, and dt=20240502 stands in snappy"):
            rollback(warehouse, "game_metric", DAY, author(6))
        publish_keyed(warehouse, table, {DAY: brought({"lw/wau": 8})}, author(7))
        assert sql(warehouse, "SELECT value FROM game_metric WHERE game_cd = 'lw' AND dt = '20240501'")[1] == [[8]]


def test_a_catalog_that_loses_korean_is_told(tmp_path: Path) -> None:
    """A comment that reads back as question marks is an error with the columns to alter; no scratch table is left."""

    class Latin1:
        """A catalog on a database that keeps latin1, as MariaDB does it for Hive."""

        def __init__(self, catalog: Any) -> None:
            self._catalog = catalog

        def __getattr__(self, name: str) -> Any:
            return getattr(self._catalog, name)

        def ensure(self, table: Table, location: str) -> Entry:
            entry: Entry = self._catalog.ensure(table, location)
            return replace(entry, comment=entry.comment.encode("latin1", "replace").decode())

    with Warehouse.open(Settings(str(tmp_path))) as warehouse:
        require_kept_text(warehouse, METRIC)
        lossy = replace(warehouse, catalog=Latin1(warehouse.catalog))
        with pytest.raises(CatalogError, match=rf"{KOREAN}' reads back as '\?\? \?\?\? \?'.*PARAM_VALUE utf8mb4"):
            require_kept_text(lossy, METRIC)
        assert warehouse.tables() == []


def test_a_metastore_of_hive_4_keeps_korean(tmp_path: Path) -> None:
    """The check's scratch table is made, read and dropped by a run's own calls."""
    from tests.services.hive4 import metastore4

    settings = replace(place("local+sqlite", tmp_path).settings, metastore=metastore4().uri)
    with Warehouse.open(settings) as warehouse:
        require_kept_text(warehouse, replace(METRIC, database=settings.database))
        assert [entry for entry in warehouse.catalog.tables() if entry.database == settings.database] == []


def test_rows_with_instants_of_int96_are_merged(tmp_path: Path) -> None:
    """A keyed table in that form keeps the rows that a run does not bring, and their instants."""
    table = game_metric_status.CONTRACT.in_database("bigmama")
    at = datetime(2024, 5, 2, 3, 4, 5, 678901, tzinfo=UTC)
    said = {"outcome": "ok", "reason": None, "message": None, "run_id": "x", "updated_dt": at}

    def rows(game: str) -> Incoming:
        row = {"game_cd": game, "type": "wau", **said}
        found = pa.Table.from_pylist([row], schema=table.arrow_schema())
        return Incoming(found, {(game, "wau"): Group(date(2024, 5, 1), True, "x")})

    with Warehouse.open(Settings(str(tmp_path), **OLD)) as warehouse:
        publish_keyed(warehouse, table, {DAY: rows("lw")}, author(1))
        publish_keyed(warehouse, table, {DAY: rows("bns")}, author(2))
        (pointer,) = warehouse.catalog.current(table.full_name).values()
        found = rows_of(warehouse, table, pointer, None).to_pylist()
    assert [(row["game_cd"], row["updated_dt"]) for row in found] == [("bns", at), ("lw", at)]
