"""The command as its users run it: in a process of its own, notebooks in kernels, ended by real signals."""

from __future__ import annotations

import ctypes
import hashlib
import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bigmama_nb.executor.seal import word
from bigmama_nb.profile import load
from bigmama_nb.warehouse import Warehouse
from tests.runs.world import CLUSTERS, REPO, World, expected, in_process

GAMES = tuple(CLUSTERS)


def test_a_run_publishes_every_game_and_archives_sealed_notebooks(real_world: World) -> None:
    """Exit 0, the rows counted by hand, and each notebook sealed `ok` with the checksum that the record holds."""
    answer = real_world.real("run")
    data = answer["data"]

    assert (answer["format"], answer["verb"], answer["exit_status"], answer["error"]) == (1, "run", 0, None)
    assert real_world.rows() == expected(*GAMES)
    run_dir = real_world.folder / "archive" / "runs" / data["run_id"]
    for book in data["attempts"][0]["notebooks"]:
        path = run_dir / book["path"]
        assert book["outcome"] == "ok"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == book["sha256"]
        assert word(nbformat.read(path, as_version=4))["outcome"] == "ok"
    assert json.loads((run_dir / "run.json").read_text(encoding="utf-8")) == data
    assert {entry.name for entry in (run_dir / "1").iterdir() if entry.suffix != ".html"} == {
        "10_extract.ipynb",
        "20_normalize.ipynb",
        "40_write_parquet.game_metric.ipynb",
        "50_report.ipynb",
        "data",
        "log.jsonl",
        "profile.yaml",
    }


def test_a_failing_game_is_said_on_the_terminal_with_its_repair(real_world: World) -> None:
    """Exit 3; the text names the game, its reason, its place and the exact command that repairs just that."""
    real_world.break_("bb")
    with subprocess.Popen(
        [sys.executable, str(REPO / "run_all.py"), "--profile", str(real_world.profile)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, err = process.communicate()

    assert process.returncode == 3, err
    run_id = out.split()[0]
    assert f"{run_id}  partial, exit status 3" in out
    assert "14 of 21 figures published; 1 game failed" in out
    assert "failed source_corrupt: bb" in out
    assert f"Repair just that: python run_all.py repair {run_id} --profile {real_world.profile}" in out
    assert "10_extract ok" in err


@contextmanager
def stuck(world: World) -> Iterator[subprocess.Popen[str]]:
    """Start a run that waits in 40_write_parquet, since the table is locked as long as this lasts."""
    world.write_profile(("lock_wait_s: 0", "lock_wait_s: 3600"))
    with (
        Warehouse.open(load(world.profile).warehouse) as warehouse,
        warehouse.catalog.lock("bigmama.game_metric", "bigmama-nb another", 0),
        world.start("run") as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            if "40_write_parquet.game_metric …" in line:
                break
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_true_record(
    number: signal.Signals, real_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before the move: exit 128+n, every task `skipped`, and the repair publishes them all."""
    with stuck(real_world) as process:
        process.send_signal(number)
        out, err = process.communicate()

    assert process.returncode == 128 + number, err
    data = json.loads(out)["data"]
    assert (data["status"], data["exit_status"]) == ("failed", 128 + number)
    assert data["attempts"][0]["signal"] == number.name
    assert data["attempts"][0]["ended_at"] is not None
    assert {(task["outcome"], task["published"]) for task in data["tasks"]} == {("skipped", "no")}
    assert data["tasks"][0]["message"].startswith(f"the run was ended by {number.name} during 40_write_parquet")

    with in_process(monkeypatch, real_world) as ended:
        assert ended.command("repair", "latest")["exit_status"] == 0
    assert real_world.rows() == expected(*GAMES)


def test_a_signal_that_meets_another_thread_ends_the_run_too(real_world: World) -> None:
    """The system may hand a signal to any thread; Python's handler waits for the main one, which must look up."""
    tgkill = {"x86_64": 234, "aarch64": 131}[platform.machine()]
    with stuck(real_world) as process:
        threads = sorted(int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir())
        others = [thread for thread in threads if thread != process.pid and takes(process.pid, thread, signal.SIGTERM)]
        assert ctypes.CDLL(None).syscall(tgkill, process.pid, others[-1], signal.SIGTERM) == 0
        out, err = process.communicate()

    assert process.returncode == 128 + signal.SIGTERM, err
    assert json.loads(out)["data"]["attempts"][0]["signal"] == "SIGTERM"


def takes(pid: int, thread: int, number: signal.Signals) -> bool:
    """Whether a thread does not block a signal."""
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text(encoding="ascii")
    (blocked,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
    return not blocked >> (number - 1) & 1


def test_a_run_killed_outright_is_taken_over_by_its_repair(real_world: World) -> None:
    """After SIGKILL the record still says `running`; the repair says what became of that attempt and does the rest."""
    with stuck(real_world) as process:
        process.kill()
        process.communicate()
    (run_id,) = (run["run_id"] for run in real_world.command("runs", "list")["data"])
    data = real_world.command("runs", "show", run_id)["data"]
    assert data["status"] == "running"
    assert {task["outcome"] for task in data["tasks"]} == {None}

    repaired = real_world.real("repair", run_id)
    assert repaired["exit_status"] == 0
    assert repaired["data"]["attempts"][0]["abandoned"] is True
    assert real_world.rows() == expected(*GAMES)


def test_two_runs_at_once_both_end_up_in_the_table(real_world: World) -> None:
    """Two processes publish other games of the same days at once: no row of either is lost."""
    real_world.write_profile(("lock_wait_s: 0", "lock_wait_s: 120"))
    one, two = real_world.start("run", "--games", "aa,bb"), real_world.start("run", "--games", "cc")
    with one, two:
        answers = [json.loads(process.communicate()[0]) for process in (one, two)]

    assert [answer["exit_status"] for answer in answers] == [0, 0]
    assert real_world.rows() == expected(*GAMES)


def test_a_notebook_opened_again_publishes_to_scratch_only(
    real_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run All in an archived 40_write_parquet leaves the warehouse as it is: its run is not under way any more."""
    from tests.runs.world import run_cells

    data = real_world.real("run")["data"]
    before = real_world.files()
    run_dir = real_world.folder / "archive" / "runs" / data["run_id"] / "1"
    archived = run_dir / "40_write_parquet.game_metric.ipynb"
    handed: dict[str, Any] = {path.name: path.stat().st_mtime_ns for path in (run_dir / "data").iterdir()}
    monkeypatch.setenv("BIGMAMA_SCRATCH", str(tmp_path / "mine"))
    run_cells(archived, {})

    assert real_world.files() == before
    assert {path.name: path.stat().st_mtime_ns for path in (run_dir / "data").iterdir()} == handed
    assert list((tmp_path / "mine").rglob("part-0.parquet"))
    assert not (real_world.folder / "archive" / "scratch").exists()
