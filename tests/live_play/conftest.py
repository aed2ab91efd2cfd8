"""One engine for the tests of small data sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine


@pytest.fixture(scope="session")
def duck() -> Iterator[DuckDBEngine]:
    with DuckDBEngine("1GB", threads=2) as engine:
        yield engine
