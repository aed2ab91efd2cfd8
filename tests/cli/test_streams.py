"""The work goes on, whoever reads of it: a log's disk that is full, a reader that has gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.runs.world import CLUSTERS, REPO, World, expected

GAMES = tuple(CLUSTERS)


def command(world: World, *words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(REPO / "run_all.py"), *words, "--profile", str(world.profile)]
    return subprocess.run(line, text=True, check=False, **streams)


def records(world: World) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (world.folder / "archive").glob("runs/*/run.json")]


def test_a_log_that_is_full_stops_no_run(real_world: World) -> None:
    """`2>/dev/full`: everything is published, exit 0, and the record is closed."""
    with Path("/dev/full").open("w") as full:
        done = command(real_world, "run", stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert [run["status"] for run in records(real_world)] == ["ok"]
    assert real_world.rows() == expected(*GAMES)


def test_a_reader_that_goes_away_stops_no_run(real_world: World) -> None:
    """`2>&1 | head -0`: nobody reads a word of it, and the run is what it is with a reader."""
    end, begin = os.pipe()
    os.close(end)
    with os.fdopen(begin, "w") as nobody:
        done = command(real_world, "run", "--games", "aa", stdout=nobody, stderr=nobody)
        assert done.returncode == 0
        assert command(real_world, "runs", "list", stdout=nobody, stderr=nobody).returncode == 0
    assert [run["status"] for run in records(real_world)] == ["ok"]


def test_an_answer_that_cannot_be_written_is_said(real_world: World) -> None:
    """`>/dev/full`: a run's exit status is what became of it; who only asked was told nothing: exit 1."""
    with Path("/dev/full").open("w") as full:
        done = command(real_world, "run", "--games", "aa", "--metrics", "wau", stdout=full, stderr=subprocess.PIPE)
        asked = command(real_world, "runs", "list", stdout=full, stderr=subprocess.PIPE)
    (run,) = records(real_world)
    assert (run["status"], done.returncode, asked.returncode) == ("ok", 0, 1)
    show = f"'run_all.py runs show {run['run_id']} --profile {real_world.profile}'"
    said = "the answer could not be written to stdout (No space left on device)"
    assert f"run_all.py run: {said}. {show} tells it." in done.stderr
    assert f"run_all.py runs list: {said}." in asked.stderr
