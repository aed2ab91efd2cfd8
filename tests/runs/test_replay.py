"""A replay does a run again from what it recorded, and says whether the same comes out, and which input changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.runs.live_world import LiveWorld
from tests.runs.world import World


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> LiveWorld:
    """A world whose date of lives and figures one run published."""
    world = LiveWorld(tmp_path_factory.mktemp("replay") / "world")
    assert world.real("run")["exit_status"] == 0
    return world


def replayed(world: World, run: str = "latest") -> dict[str, Any]:
    """Replay a run as users do, and return the answer."""
    return world.real("replay", run)


def test_both_pipelines_give_the_same_bytes(live: LiveWorld) -> None:
    """Nothing of the archive or the warehouse changes by it, and the runs that are listed are those that were."""
    before, runs = live.published(), live.command("runs", "list")["data"]
    answer = replayed(live)
    assert answer["exit_status"] == 0, answer
    data = answer["data"]
    assert (data["same"], data["by"], data["first_difference"], data["changed_inputs"]) == (True, "bytes", None, [])
    assert live.published() == before
    assert live.command("runs", "list")["data"] == runs
    assert {path.stem for path in Path(data["notebooks"]).glob("1/*.ipynb")} >= {"20_normalize", "30_live_play"}


def test_a_byte_of_an_input_that_changed_is_named(live: LiveWorld) -> None:
    """A dump of figures, which are as they were collected then; and a source of lives, which is read again."""
    dump, posts = live.dump("aa", "daily"), live.file("wv_live")
    was = {path: path.read_bytes() for path in (dump, posts)}
    try:
        for path in was:
            content = bytearray(was[path])
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            data = replayed(live)["data"]
            assert data["changed_inputs"] == [str(path)]
            if path == dump:
                assert data["same"]
            path.write_bytes(was[path])
    finally:
        for path, content in was.items():
            path.write_bytes(content)


def test_a_source_that_says_something_else_differs(live: LiveWorld) -> None:
    """The first difference is named, with what was and what is; exit status 1."""
    table = live.file("user_user").read_bytes()
    rows = pq.read_table(live.file("user_user"))
    live.change("user_user", rows.slice(1))
    try:
        answer = replayed(live)
    finally:
        live.file("user_user").write_bytes(table)
    assert answer["exit_status"] == 1
    assert answer["data"]["changed_inputs"] == [str(live.file("user_user"))]
    assert "we_mart." in answer["data"]["first_difference"]
