"""DuckDB's threads read many columns of a file at once, over one handle."""

from __future__ import annotations

import contextlib
import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.ranges import RangeReader

COLUMNS, ROWS, GROUP = 60, 40_000, 10_000


def wide() -> bytes:
    """Return a file of many columns and row groups, each value telling its place."""
    sink = io.BytesIO()
    columns = {f"c{n}": pa.array(range(n * ROWS, (n + 1) * ROWS), pa.int64()) for n in range(COLUMNS)}
    pq.write_table(pa.table(columns), sink, row_group_size=GROUP, use_dictionary=False, compression="none")
    return sink.getvalue()


@pytest.mark.parametrize("scheme", ["hdfs", "s3"])
def test_every_column_of_a_wide_table_is_read_by_many_threads(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of eight threads, four at once, each find every column's own values."""
    options: dict[str, Any] = {}
    if scheme == "hdfs":
        from tests.services.hdfs import hdfs

        root = hdfs().uri
    else:
        from tests.services.s3 import BUCKET, credentials, s3

        for name, value in credentials().items():
            monkeypatch.setenv(name, value)
        root, options = f"s3://{BUCKET}", {"endpoint": s3().endpoint, "region": "us-east-1"}
    location = f"{root}/wide-{uuid.uuid4().hex}/part-0.parquet"
    storage = open_storage(root, options)
    storage.put(location, wide())
    sums = ", ".join(f"sum(c{n})" for n in range(COLUMNS))
    expected = tuple(sum(range(n * ROWS, (n + 1) * ROWS)) for n in range(COLUMNS))
    with contextlib.closing(duckdb.connect()) as connection:
        connection.execute("SET threads = 8")
        storage.connect(connection)

        def asked(_: int) -> tuple[Any, ...] | None:
            with contextlib.closing(connection.cursor()) as cursor:
                return cursor.execute(f"SELECT {sums} FROM read_parquet('{location}')").fetchone()

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(asked, range(4))) == {expected}
    storage.delete(location.rsplit("/", 1)[0])


def test_a_range_reader_is_a_file() -> None:
    """Seeks from the start, from here and from the end; at the end nothing is left, and nothing is asked for."""
    content = bytes(range(100))
    file = RangeReader(100, lambda at, length: content[at : at + length])
    assert (file.read(3), file.tell()) == (content[:3], 3)
    assert (file.seek(-10, io.SEEK_END), file.read()) == (90, content[90:])
    assert (file.read(5), file.seek(-100, io.SEEK_CUR), file.read(1)) == (b"", 0, content[:1])
    with ThreadPoolExecutor(1) as other:
        assert other.submit(file.tell).result() == 0
