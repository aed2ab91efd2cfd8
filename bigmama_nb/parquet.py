"""Parquet files as they are written here: their form, their names, and rows whose bytes depend on the rows alone.

Source: docs/spec/publishing.md, "Files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 122_880
QUICK_BATCH_ROWS = 16_384


class FormSettings(Protocol):
    """What the profile says of the files' form."""

    @property
    def compression(self) -> str: ...
    @property
    def timestamp(self) -> str: ...


@dataclass(frozen=True)
class Form:
    """A file's compression, and its timestamps' physical type, None where it has none."""

    compression: str
    timestamp: str | None

    @classmethod
    def of(cls, settings: FormSettings) -> Form:
        """Return the form that a profile asks for."""
        return cls(settings.compression, settings.timestamp)

    def agrees(self, other: Form) -> bool:
        """Return whether who reads files of one form reads the other's."""
        stamps = {self.timestamp, other.timestamp} - {None}
        return self.compression == other.compression and len(stamps) < 2

    def __str__(self) -> str:
        return self.compression if self.timestamp is None else f"{self.compression} and {self.timestamp}"


def writer(sink: Any, schema: pa.Schema, form: Form, *, quick: bool = False) -> pq.ParquetWriter:
    """Return pyarrow's writer into `sink`, a path or an open file: statistics, no schema of Arrow's, no metadata.

    Args:
        quick: for many rows that are dictionaries where that pays: no other column is looked at for one, and zstd
            works at its level 1 (else 3). A dictionary's statistics are brought together once a batch, so 16 times
            the rows that are pyarrow's default cost an eighth less in all.
    """
    dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        sink,
        schema,
        compression=form.compression,
        compression_level=(1 if quick else 3) if form.compression == "zstd" else None,
        use_dictionary=(dictionaries or False) if quick else True,
        store_schema=False,
        write_statistics=True,
        write_batch_size=QUICK_BATCH_ROWS if quick else None,
        use_deprecated_int96_timestamps=form.timestamp == "int96",
    )


def file_bytes(rows: pa.Table, form: Form) -> bytes:
    """Return `rows`, in their order, as a file: equal rows give equal bytes."""
    rows = rows.replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with writer(sink, rows.schema, form) as file:
        file.write_table(rows, row_group_size=ROW_GROUP_ROWS)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def part_name(n: int) -> str:
    """Return the name of a partition's `n`th file."""
    return f"part-{n}.parquet"


def part_number(name: str) -> int | None:
    """Return which of a partition's files has this name; None for a file of another kind."""
    found = re.fullmatch(r"part-(\d+)\.parquet", name)
    return int(found[1]) if found else None
