"""Files are written in one place, and their bytes depend on the rows alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.parquet import ROW_GROUP_ROWS, Form, file_bytes, part_name, part_number

PACKAGE = Path(__file__).parent.parent / "bigmama_nb"
ROWS = pa.table(
    {
        "a": pa.array(["x", "한", None] * 100_000),
        "at": pa.array([datetime(2024, 5, 1, tzinfo=UTC)] * 300_000, pa.timestamp("us", tz="UTC")),
    }
)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip"])
@pytest.mark.parametrize("timestamp", ["int64", "int96"])
def test_a_file_stands_in_its_form_with_statistics_and_fixed_row_groups(compression: str, timestamp: str) -> None:
    """What another reader of Parquet finds is what was asked for."""
    file = pq.ParquetFile(io.BytesIO(file_bytes(ROWS, Form(compression, timestamp))))
    groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 300_000 - 2 * ROW_GROUP_ROWS]
    for group in groups:
        text, at = group.column(0), group.column(1)
        assert (text.compression, at.physical_type) == (compression.upper(), timestamp.upper())
        assert (text.statistics.min, text.statistics.max) == ("x", "한")
        assert text.statistics.null_count == group.num_rows // 3
    assert file.read().column("a") == ROWS.column("a")


def test_metadata_and_chunks_do_not_change_the_bytes() -> None:
    """Rows that came in pieces, or by way of pandas, give the same file."""
    form = Form("zstd", "int64")
    pieces = pa.concat_tables([ROWS.slice(0, 7), ROWS.slice(7)])
    assert file_bytes(pieces.replace_schema_metadata({"pandas": "{}"}), form) == file_bytes(ROWS, form)


def test_a_name_says_its_number_and_another_files_says_none() -> None:
    """What an engine, Hadoop or a person left in the folder is no part."""
    assert [part_number(part_name(n)) for n in (0, 9, 10)] == [0, 9, 10]
    others = "_lineage.json", "part-0-empty.parquet", ".part-0.parquet", "part-0.parquet.crc", "part-.parquet"
    assert [part_number(name) for name in others] == [None] * 5


def test_no_other_module_makes_a_writer() -> None:
    """One home of options, statistics and names; the sample writes what others deliver, in their forms."""
    makers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(
            word in path.read_text(encoding="utf-8") for word in ("pq.ParquetWriter(", "pq.write_table(", 'f"part-{n')
        )
    }
    assert makers - {"sample/live.py"} == {"parquet.py"}
