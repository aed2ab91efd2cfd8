"""Between Arrow and numpy without pyarrow's own ways."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bigmama_nb.live_play.numbers import array_of, numbers_of, texts_of


@pytest.mark.parametrize("dtype", [pa.int8(), pa.int16(), pa.int32(), pa.int64()])
def test_numbers_are_those_of_all_chunks_from_where_each_begins(dtype: pa.DataType) -> None:
    """A chunk may be a slice of a longer array, and may be empty."""
    chunks = [pa.array([1, 2, 3, 4], dtype).slice(1, 2), pa.array([], dtype), pa.array([-5], dtype)]

    assert numbers_of(pa.chunked_array(chunks)).tolist() == [2, 3, -5]
    assert numbers_of(pa.chunked_array(chunks[:1])).tolist() == [2, 3]
    assert numbers_of(pa.chunked_array([], dtype)).tolist() == []


def test_null_is_no_number() -> None:
    """What lies in memory where a null stands is anything."""
    with pytest.raises(ValueError, match="1 nulls"):
        numbers_of(pa.chunked_array([pa.array([1, None])]))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_arrays_are_what_pyarrow_makes_of_the_numbers(dtype: type) -> None:
    """Those that lie apart in memory, too."""
    numbers: Any = np.arange(10, dtype=dtype)

    assert array_of(numbers).equals(pa.array(numbers))
    assert array_of(numbers[::3]).equals(pa.array(numbers[::3]))
    assert array_of(numbers[:0]).equals(pa.array(numbers[:0]))


@pytest.mark.parametrize("texts", [[], [""], ["2024-05-01", "", "방송"]])
def test_texts_are_what_pyarrow_makes_of_them(texts: list[str]) -> None:
    """Lengths are those of UTF-8."""
    made = texts_of(texts)

    made.validate(full=True)
    assert made.equals(pa.array(texts, pa.string()))


def test_nothing_here_imports_pandas() -> None:
    """Which is what it is for."""
    asks = (
        "import sys, numpy; from bigmama_nb.live_play.numbers import *; import pyarrow as pa;"
        "numbers_of(pa.chunked_array([array_of(numpy.arange(3))])); texts_of(['a']);"
        "sys.exit('pandas' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", asks], check=False).returncode == 0
