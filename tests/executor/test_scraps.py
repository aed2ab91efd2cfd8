"""Scraps written by our few lines are scraps to scrapbook, and come back as they were."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from bigmama_nb.executor import scraps
from bigmama_nb.executor.execute import NotebookInfo, execute
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.runs.signals import Stop

SCALARS = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    SCALARS | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
).filter(lambda data: data is not None)


def book(*bundles: dict[str, Any]) -> Any:
    outputs = [new_output("display_data", data=bundle) for bundle in bundles]
    return new_notebook(cells=[new_code_cell("x", id="x", outputs=outputs)])


def test_scrapbook_reads_what_a_kernel_glued(tmp_path: Path) -> None:
    """The whole way: a real kernel, the executed file, scrapbook's own reader, and ours."""
    source = "from bigmama_nb.executor.scraps import glue\nglue('said', {'rows': 3, 'none': None})\nglue('text', '123')"
    parameters = new_code_cell("", id="parameters", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(source, id="glues")]), tmp_path / "in.ipynb")

    executed = execute(
        tmp_path / "in.ipynb",
        tmp_path / "out.ipynb",
        {},
        timeout_s=120,
        stop=Stop(),
        redactor=Redactor(),
        about=NotebookInfo("r", 1, "10_extract"),
    )

    expected = {"said": {"rows": 3, "none": None}, "text": "123"}
    code = (
        "import json, sys, scrapbook\n"
        "print(json.dumps({k: v.data for k, v in scrapbook.read_notebook(sys.argv[1]).scraps.items()}))"
    )
    read = subprocess.check_output([sys.executable, "-c", code, str(executed.path)], text=True)
    assert executed.scraps == expected
    assert json.loads(read) == expected


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(data: Any) -> None:
    """Text stays text, also where it looks like JSON."""
    assert scraps.read(book(scraps.bundle("x", data))) == {"x": data}


def test_the_last_of_a_name_counts() -> None:
    """A cell that glues again replaces; other displays are not scraps."""
    first, last = scraps.bundle("x", 1), scraps.bundle("x", 2)
    assert scraps.read(book(first, {"text/plain": "no"}, last)) == {"x": 2}


def test_dates_and_numpy_scalars_are_made_plain() -> None:
    """A date is its ISO text, a numpy number is the number."""
    data = {"d": dt.date(2024, 5, 1), "n": np.int64(3), "t": (np.float64(0.5), np.bool_(True))}
    assert scraps.read(book(scraps.bundle("x", data))) == {"x": {"d": "2024-05-01", "n": 3, "t": [0.5, True]}}


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (None, TypeError, "scrap 'x' is None"),
        ({"a": [1, float("nan")]}, ValueError, "scrap x.a[1] is nan; JSON holds finite numbers only"),
        ({"a": {1: 2}}, TypeError, "scrap x.a has the key 1 (int); expected str"),
        ({"a": np.array([1])}, TypeError, "scrap x.a is a ndarray; .*A table goes to Parquet"),
        (b"x", TypeError, "scrap x is a bytes; "),
    ],
)
def test_what_json_cannot_hold_is_refused(data: Any, error: type[Exception], said: str) -> None:
    """The place in the data is named; scrapbook would bring NaN back as a text."""
    with pytest.raises(error) as refused:
        scraps.bundle("x", data)
    assert all(part in str(refused.value) for part in said.split(".*"))
