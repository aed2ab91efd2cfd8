"""Spark Connect: the driver is a server, and this process only its client; the tables are the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigmama_nb.engines.spark import SAFE, SparkEngine
from tests.live_play.adversary import together, world
from tests.live_play.equality import assert_equal_to_oracle
from tests.services.spark import connect_server, removed


def test_the_session_of_a_server_is_set_as_one_of_our_own(remote: SparkEngine) -> None:
    """UTC, ANSI, strings for partitions, adaptive execution, microseconds, whatever the server was started with."""
    assert {name: remote.session.conf.get(name) for name in SAFE} == SAFE


def test_a_client_of_a_server_leaves_the_environment_alone(remote: SparkEngine) -> None:
    """Processes that this one starts are not made clients of Spark Connect."""
    assert remote.session.sql("SELECT 1").collect()[0][0] == 1
    assert not {"SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE"} & os.environ.keys()


def test_two_data_sets_by_connect_equal_the_text_followed_row_by_row(remote: SparkEngine, tmp_path: Path) -> None:
    """All seven tables and the counts are what the oracle says."""
    assert assert_equal_to_oracle(remote, together([30, 31]), tmp_path) == "ok"


@pytest.mark.parametrize("seed", [5_001, 5_005])
def test_a_data_set_by_connect_ends_as_the_text_says(remote: SparkEngine, seed: int, tmp_path: Path) -> None:
    """It is refused for the reason that the oracle has, or equal."""
    assert_equal_to_oracle(remote, world(seed), tmp_path)


def test_a_client_does_not_wait_for_a_server_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's own client would try for ten minutes to end its session."""
    server, address = connect_server(tmp_path)
    try:
        engine = SparkEngine(remote=address, scratch=str(tmp_path / "scratch"), remove=removed)
    finally:
        server.stop()
    asked: list[str] = []
    monkeypatch.setattr(type(engine.session), "stop", lambda session: asked.append("stop"))
    engine.close()
    assert asked == []


@pytest.mark.long
@pytest.mark.parametrize("nth", range(3))
def test_thirty_data_sets_by_connect_equal_the_text(remote: SparkEngine, nth: int, tmp_path: Path) -> None:
    """As above, ten data sets in a build."""
    seeds = list(range(400 + nth * 10, 410 + nth * 10))
    assert assert_equal_to_oracle(remote, together(seeds), tmp_path) == "ok"
