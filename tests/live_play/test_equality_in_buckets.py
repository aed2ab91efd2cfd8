"""The same tables, built viewer bucket by viewer bucket as for logs that do not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_play.equality import Cramped, assert_equal_to_oracle

SETS = 120
SETS_LONG = 1_000


@pytest.fixture(scope="module")
def engine() -> Iterator[Cramped]:
    with Cramped("1GB", threads=2) as duck:
        yield duck


@pytest.mark.parametrize("seed", range(1_000, 1_000 + SETS))
def test_buckets_change_nothing(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """Lives built together, one by one or in parts give what the oracle says."""
    assert_equal_to_oracle(engine, seed, tmp_path, buckets=2 + seed % 3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20_000, 20_000 + SETS_LONG))
def test_buckets_change_nothing_in_many_more(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """As above, for data sets that nobody looked at while the tables were written."""
    assert_equal_to_oracle(engine, seed, tmp_path, buckets=2 + seed % 6)
