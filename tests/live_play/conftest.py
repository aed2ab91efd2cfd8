"""One engine of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.engines.spark import SparkEngine
from tests.live_play.equality import Cramped
from tests.services.spark import connected, small_spark


@pytest.fixture(scope="session")
def duck() -> Iterator[DuckDBEngine]:
    with DuckDBEngine("1GB", threads=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Cramped]:
    with Cramped("1GB", threads=2) as duck:
        yield duck


# There is one Spark in a process: it ends with the module, so that the next one's own can start.
@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    folder: Path = tmp_path_factory.mktemp("spark")
    with small_spark(folder) as engine:
        yield engine


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    with connected(tmp_path_factory.mktemp("connect")) as engine:
        yield engine
