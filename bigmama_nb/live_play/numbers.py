"""Numbers and texts between Arrow and numpy, without a copy.

pyarrow's own ways look whether they were given something of pandas's, and import it for that: a quarter of a second of
a build that has no use for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_NUMPY: dict[pa.DataType, Any] = {
    pa.int8(): np.dtype(np.int8),
    pa.int16(): np.dtype(np.int16),
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
}
_ARROW = {dtype: arrow for arrow, dtype in _NUMPY.items()}


def numbers_of(column: pa.ChunkedArray) -> Any:
    """Return a column of integers as numpy's, not to be written to; nulls are refused."""
    if column.null_count:
        raise ValueError(f"{column.null_count} nulls are no numbers")
    dtype = _NUMPY[column.type]
    chunks = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * dtype.itemsize)
        for chunk in column.chunks
        if len(chunk)
    ]
    if not chunks:
        return np.empty(0, dtype)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def array_of(numbers: Any) -> pa.Array:
    """Return numpy's integers as an Arrow array."""
    return pa.Array.from_buffers(
        _ARROW[numbers.dtype], len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))]
    )


def texts_of(values: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *(len(value) for value in encoded)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])
