"""The same tables, built viewer bucket by viewer bucket as for logs that do not fit in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live_play.adversary import together
from tests.live_play.equality import Cramped, assert_equal_to_oracle, group

GROUPS = 10
GROUPS_LONG = 120


@pytest.mark.parametrize("nth", range(100, 100 + GROUPS))
def test_buckets_change_nothing(engine: Cramped, nth: int, tmp_path: Path) -> None:
    """Lives built together, one by one or in parts give what the oracle says."""
    assert assert_equal_to_oracle(engine, together(group(nth)), tmp_path, buckets=2 + nth % 6) == "ok"


@pytest.mark.parametrize("nth", [201])
def test_lives_in_parts_change_nothing(engine: Cramped, nth: int, tmp_path: Path) -> None:
    """Where hardly anything fits, the viewers of a live are built apart."""
    data = together(group(nth)[:4])
    buckets = len(data.sources["wv_server_log_base"]) // 12
    assert assert_equal_to_oracle(engine, data, tmp_path, buckets=buckets) == "ok"


@pytest.mark.long
@pytest.mark.parametrize("nth", range(2_000, 2_000 + GROUPS_LONG))
def test_buckets_change_nothing_in_many_more(engine: Cramped, nth: int, tmp_path: Path) -> None:
    """As above, for data sets that nobody looked at while the tables were written."""
    assert assert_equal_to_oracle(engine, together(group(nth)), tmp_path, buckets=2 + nth % 9) == "ok"
