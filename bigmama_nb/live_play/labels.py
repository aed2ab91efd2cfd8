"""Numbers back to words: the columns that a live, a minute or the traits of an event decide.

Engines carry a number for them, and the Parquet writer is given a dictionary: a string for each of millions of rows
costs five times as much, and DuckDB 2.0 wrote '' for some of its ENUM values.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bigmama_nb.live_play.numbers import array_of, numbers_of, texts_of
from bigmama_nb.tables.contract import ARROW_TYPES, Table
from bigmama_nb.tables.live.time import MINUTE, kst, kst_minute, microseconds

Numbers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

LIVE_COLUMNS = ("post_id", "video_id", "start_dt", "end_dt", "tmp_end_dt", "is_fc_only")
PARTICIPANT_COLUMNS = (*LIVE_COLUMNS, "we_art_id", "comm_id", "is_joint_live", "guest_joint_seq")
TRAIT_COLUMNS = ("platform", "os", "ctry_code")
MINUTE_COLUMNS = ("date_id", "hour", "minute", "datetime")

DENSE = 10_000_000


def used(numbers: Any) -> tuple[Numbers, Places]:
    """Return the distinct numbers in order, and for each number its place among them."""
    least = int(numbers.min())
    width = int(numbers.max()) - least + 1
    if width > DENSE:
        distinct, places = np.unique(numbers, return_inverse=True)
        return distinct.astype(np.int64), places.astype(np.int32)
    from_least = numbers - least
    place_of = np.zeros(width, dtype=np.int32)
    place_of[from_least] = 1
    distinct = np.flatnonzero(place_of)
    place_of[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct + least, place_of[from_least]


@dataclass(frozen=True)
class Labels:
    """What the numbers of one build mean.

    `everybody` (participants with the columns of their live) and `traits` are the small tables in the order of their
    numbers, from 0 without a gap.
    """

    run_timestamp: dt.datetime
    base_us: int
    everybody: pa.Table
    traits: pa.Table

    def rows(self, table: Table, coded: pa.Table) -> pa.Table:
        """Return the rows of a table's files: the contract's columns in order, strings as dictionaries.

        Args:
            coded: participant_no and, where the table has such columns, minute_no and traits; other columns
                under their own names.
        """
        schema = table.arrow_schema()
        if not coded.num_rows:
            return schema.empty_table()
        columns: dict[str, Any] = {}
        for number, names, values in (
            ("participant_no", PARTICIPANT_COLUMNS, self.everybody),
            ("traits", TRAIT_COLUMNS, self.traits),
        ):
            wanted = [name for name in names if name in schema.names]
            if number in coded.column_names and wanted:
                distinct, places = used(numbers_of(coded.column(number)))
                few = values.take(array_of(distinct))
                columns |= {name: _taken(few.column(name), places) for name in wanted}
        wanted = [name for name in MINUTE_COLUMNS if name in schema.names]
        if "minute_no" in coded.column_names and wanted:
            distinct, places = used(numbers_of(coded.column("minute_no")))
            texts = self._minutes(distinct)
            columns |= {name: _taken(pa.chunked_array([texts[name]]), places) for name in wanted}
        if "run_timestamp" in schema.names:
            us = np.full(coded.num_rows, microseconds(self.run_timestamp), np.int64)
            columns["run_timestamp"] = array_of(us).cast(ARROW_TYPES["timestamp"])
        arrays = [columns[f.name] if f.name in columns else coded.column(f.name).cast(f.type) for f in schema]
        fields = [f.with_type(array.type) for f, array in zip(schema, arrays, strict=True)]
        return pa.table(arrays, schema=pa.schema(fields))

    def _minutes(self, numbers: Numbers) -> Mapping[str, pa.Array]:
        words = [_words(int(number) * MINUTE + self.base_us) for number in numbers]
        dates, hours, minutes, datetimes = zip(*words, strict=True)
        return {
            "date_id": texts_of(dates),
            "hour": texts_of(hours),
            "minute": array_of(np.array(minutes, np.int32)),
            "datetime": texts_of(datetimes),
        }

    def minute_text(self, numbers: pa.ChunkedArray) -> pa.Array:
        """Return KST minutes as text, null for null."""
        encoded = numbers.combine_chunks().dictionary_encode()
        texts = texts_of([kst_minute(no * MINUTE + self.base_us) for no in encoded.dictionary.to_pylist()])
        return texts.take(encoded.indices)


@functools.lru_cache(1 << 14)
def _words(us: int) -> tuple[str, str, int, str]:
    """Return the date, hour, minute and datetime of a KST minute; every row group asks for many of the same."""
    time = kst(us)
    return time.date().isoformat(), f"{time.hour:02}", time.minute, kst_minute(us)


def _taken(values: pa.ChunkedArray, places: Places) -> pa.Array:
    """Return the value at each place; strings as a dictionary without repeated values."""
    one = values.combine_chunks()
    if isinstance(one, pa.ChunkedArray):  # pragma: no cover  # pyarrow returns it for no chunks only
        one = pa.concat_arrays(one.chunks)
    at = array_of(places)
    if not pa.types.is_string(one.type):
        return one.take(at)
    encoded = one.dictionary_encode()
    # Where no value is repeated, a place is the value's in the dictionary too; `used` gives no others.
    apart = len(encoded.dictionary) == len(one)
    return pa.DictionaryArray.from_arrays(at if apart else encoded.indices.take(at), encoded.dictionary, safe=False)
