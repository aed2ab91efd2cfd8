"""The tables equal what plain Python makes of the text, on data sets where everything collides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_play.equality import Cramped, assert_equal_to_oracle

SETS = 190
SETS_LONG = 2_000


@pytest.fixture(scope="module")
def engine() -> Iterator[Cramped]:
    with Cramped("1GB", threads=2) as duck:
        yield duck


@pytest.mark.parametrize("seed", range(SETS))
def test_every_table_equals_the_text_followed_row_by_row(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """All seven tables, counts and refusals of a data set are what the oracle says."""
    assert_equal_to_oracle(engine, seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10_000, 10_000 + SETS_LONG))
def test_every_table_equals_the_text_on_many_more(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """As above, for data sets that nobody looked at while the tables were written."""
    assert_equal_to_oracle(engine, seed, tmp_path)
