"""Live viewing as its users run it: in a process of its own, both branches in kernels side by side."""

from __future__ import annotations

import re
from pathlib import Path

from tests.runs.live_world import DAY, LiveWorld, tasks
from tests.runs.world import CLUSTERS


def test_live_viewing_is_published_where_every_game_fails(tmp_path: Path) -> None:
    """As users run it, both branches in kernels side by side: exit 3, and no viewer in what is archived."""
    world = LiveWorld(tmp_path / "world")
    for game in CLUSTERS:
        world.break_(game)
    answer = world.real("run")

    assert answer["exit_status"] == 3, world.said
    live = {task["id"]: task["outcome"] for task in answer["data"]["tasks"] if task["pipeline"] == "live_play"}
    assert live == dict.fromkeys(tasks(DAY), "ok")
    assert {task["outcome"] for task in answer["data"]["tasks"] if task["pipeline"] == "game_metric"} == {"failed"}
    assert {(book["stage"], book["table"]): book["outcome"] for book in answer["data"]["attempts"][0]["notebooks"]} == {
        ("10_extract", None): "ok",
        ("20_normalize", None): "ok",
        ("40_write_parquet", "game_metric"): "ok",
        ("30_live_play", None): "ok",
        ("40_write_parquet", "wv_live_play"): "ok",
        ("50_report", None): "ok",
    }
    run_dir = world.folder / "archive" / "runs" / answer["data"]["run_id"]
    for file in [*run_dir.rglob("*.ipynb"), run_dir / "run.json", *run_dir.rglob("*.jsonl")]:
        text = file.read_text(encoding="utf-8")
        # Pictures are letters and digits of any kind.
        assert not re.findall(r"\b[ud]\d\d\b", re.sub(r'"image/png": "[^"]*"', "", text)), file
    assert not list(run_dir.rglob("part-*.parquet"))
