"""The tables equal what plain Python makes of the text, on data sets where everything collides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live_play.adversary import together, world
from tests.live_play.equality import Cramped, assert_equal_to_oracle, group

GROUPS = 20
GROUPS_LONG = 180
ALONE = 50
ALONE_LONG = 200


@pytest.mark.parametrize("nth", range(GROUPS))
def test_every_table_equals_the_text_followed_row_by_row(engine: Cramped, nth: int, tmp_path: Path) -> None:
    """All seven tables and the counts of ten data sets are what the oracle says."""
    assert assert_equal_to_oracle(engine, together(group(nth)), tmp_path) == "ok"


@pytest.mark.parametrize("seed", range(ALONE))
def test_a_data_set_alone_ends_as_the_text_says(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """With limits of its own a data set is refused for the reason that the oracle has, or equal."""
    assert_equal_to_oracle(engine, world(5_000 + seed), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("nth", range(1_000, 1_000 + GROUPS_LONG))
def test_every_table_equals_the_text_on_many_more(engine: Cramped, nth: int, tmp_path: Path) -> None:
    """As above, for data sets that nobody looked at while the tables were written."""
    assert assert_equal_to_oracle(engine, together(group(nth)), tmp_path) == "ok"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(ALONE_LONG))
def test_many_more_end_as_the_text_says(engine: Cramped, seed: int, tmp_path: Path) -> None:
    """As above, one by one."""
    assert_equal_to_oracle(engine, world(6_000 + seed), tmp_path)
