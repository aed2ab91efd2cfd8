"""The work goes on, whoever reads of it: a log's disk that is full, a reader that has gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("closed", ["0<&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_stop_no_run(real_world: World, closed: str) -> None:
    """As under a scheduler that gives none: no file of the run comes to stand there, and kernels come up."""
    line = f"exec {closed}; exec {sys.executable} {REPO / 'run_all.py'} run --profile {real_world.profile}"
    done = subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True)
    assert done.returncode == 0
    assert [run["status"] for run in records(real_world)] == ["ok"]
    assert real_world.rows() == expected(*GAMES)


def test_what_is_opened_stands_for_no_closed_stream(tmp_path: Path) -> None:
    """A file that the command opens is neither stdin, stdout nor stderr, whichever of them was closed."""
    program = """
import os, sys
from bigmama_nb.cli.streams import fill_closed
fill_closed()
fill_closed()
with open(sys.argv[1], "w") as file:
    file.write(str(file.fileno()))
os.write(1, b"lost")
"""
    line = f'exec 0<&- 1>&-; exec {sys.executable} -c "$0" "$1"'
    subprocess.run(["/bin/sh", "-c", line, program, str(tmp_path / "file")], check=True, cwd=REPO)
    assert (tmp_path / "file").read_text() == "3"
