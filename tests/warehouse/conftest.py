"""A warehouse of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigmama_nb.warehouse import Warehouse
from tests.publishing import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of a warehouse that is not there yet."""
    return tmp_path / "warehouse"


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    """Return the warehouse of `root`."""
    with Warehouse.open(Settings(str(root))) as warehouse:
        yield warehouse
