"""Faults made for real, met by a whole run: what the table holds afterwards, what the record says, what repairs it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.profile import load
from bigmama_nb.warehouse import Warehouse
from tests.publishing import read_only, small_disk
from tests.runs.world import CLUSTERS, World, expected, in_process

GAMES = tuple(CLUSTERS)
STAGES = ("10_extract", "20_normalize", "40_write_parquet.game_metric", "50_report")

# Loaded by the interpreter before anything else, in the run and in its kernels: kills by name and moment.
SITECUSTOMIZE = """
import os, signal, sys

def kill(event, args):
    forked = getattr(sys, "argv", [""])[:1] == ["ipykernel_launcher"]
    if not forked and "bigmama_nb.executor" not in " ".join(sys.orig_argv):
        return
    for fate in os.environ["FATE"].split(";"):
        who, event_, part = fate.split("|")
        if event == event_ and any(part in str(arg) for arg in args[:2]):
            from bigmama_nb.executor.process import started_by
            os.kill(os.getpid() if who == "kernel" else started_by(), signal.SIGKILL)

if os.environ.get("FATE"):
    sys.addaudithook(kill)
"""


def fated(world: World, fate: str, *words: str) -> subprocess.Popen[str]:
    """Start the command; a kernel of it that comes to an event (of Python's audit events) kills itself or the run.

    `fate` is `kernel|event|part of an argument`, or `run|...`; several are parted by semicolons.
    """
    folder = world.folder / "fate"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(folder), "FATE": fate, "TMPDIR": str(folder)}
    return world.start(*words, env=env)


def answered(process: subprocess.Popen[str]) -> dict[str, Any]:
    with process:
        out, err = process.communicate()
    assert out, err
    return dict(json.loads(out))


def before_stage(world: World, stage: str, act: Callable[[], None]) -> None:
    """Do something at the moment at which a stage of the first attempt begins."""
    real = world.services.execute

    def execute(notebook: Path, output: Path, *arguments: Any, **options: Any) -> Any:
        if (output.parent.name, output.stem) == ("1", stage):
            act()
        return real(notebook, output, *arguments, **options)

    world.services = replace(world.services, execute=execute)


@contextmanager
def full(disk: Path) -> Iterator[Callable[[], None]]:
    """Give what fills a disk up, to the last byte; at the end there is room again."""
    filler = disk / "filler"

    def fill() -> None:
        with open(filler, "wb", buffering=0) as file:
            for size in (65536, 1024, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    yield fill
    filler.unlink(missing_ok=True)


@pytest.mark.parametrize("moment", ["before", *STAGES])
def test_an_archive_that_is_full_is_said_and_costs_nothing_that_is_published(moment: str, world: World) -> None:
    """At whatever moment: an error of storage that tells truly what is published, and a later run heals."""
    (world.folder / "archive").mkdir()
    with small_disk(world.folder / "archive", kibibytes=2048) as disk:
        with full(disk) as fill:
            if moment == "before":
                fill()
            else:
                before_stage(world, moment, fill)
            answer = world.command("run")
        reached = moment in ("40_write_parquet.game_metric", "50_report")
        # 3, not 0: all is published, and the record of it is not.
        assert (answer["exit_status"], answer["error"]["reason"]) == (3 if reached else 1, "storage")
        assert answer["error"]["message"].startswith(str(disk))
        if moment != "before":
            assert f"{21 if reached else 0} of 21 figures are published and stay" in answer["error"]["message"]
        published = world.rows() if (world.folder / "warehouse" / "catalog.db").exists() else {}
        assert published == (expected(*GAMES) if reached else {})

        runs = world.command("runs", "list")["data"]
        healed = world.command("repair", "latest") if runs else world.command("run")
        assert healed["exit_status"] == 0
        assert world.rows() == expected(*GAMES)
        assert {(task["outcome"], task["published"]) for task in healed["data"]["tasks"]} == {("ok", "yes")}


def test_a_warehouse_that_is_full_fails_every_task_with_storage(world: World) -> None:
    """What stood before stands; exit 1; with room again the repair publishes all."""
    (world.folder / "warehouse").mkdir()
    with small_disk(world.folder / "warehouse", kibibytes=2048) as disk:
        assert world.command("run", "--games", "aa")["exit_status"] == 0
        with full(disk) as fill:
            fill()
            answer = world.command("run")
            assert answer["exit_status"] == 1
            assert {(task["outcome"], task["published"]) for task in answer["data"]["tasks"]} == {("failed", "no")}
            assert {task["reason"] for task in answer["data"]["tasks"]} == {"storage"}
            assert "No space left on device" in answer["data"]["tasks"][0]["message"]
            assert world.rows() == expected("aa")
        assert world.command("repair", "latest")["exit_status"] == 0
        assert world.rows() == expected(*GAMES)


def test_a_warehouse_that_is_read_only_is_a_clear_error(world: World) -> None:
    """Readers read on; every task is `failed: catalog` or `storage` with the folder's name, and the repair heals."""
    assert world.command("run", "--games", "aa")["exit_status"] == 0
    with read_only(world.folder / "warehouse"):
        answer = world.command("run")
        assert answer["exit_status"] == 1
        assert {task["reason"] for task in answer["data"]["tasks"]} <= {"catalog", "storage"}
        assert all(str(world.folder / "warehouse") in task["message"] for task in answer["data"]["tasks"])
        assert world.rows() == expected("aa")
    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.rows() == expected(*GAMES)


def test_an_archive_that_is_read_only_is_a_clear_error(world: World) -> None:
    """Nothing is run, since nothing could be recorded; the check says so beforehand."""
    (world.folder / "archive").mkdir()
    with read_only(world.folder / "archive"):
        answer = world.command("run")
        assert (answer["exit_status"], answer["error"]["reason"]) == (1, "storage")
        assert str(world.folder / "archive") in answer["error"]["message"]
        assert not (world.folder / "warehouse").exists()
        (finding,) = [one for one in world.command("check")["data"] if one["name"] == "archive"]
        assert not finding["ok"]
    assert world.command("run")["exit_status"] == 0


def test_a_kernel_killed_in_each_stage_costs_that_attempt_and_nothing_else(real_world: World) -> None:
    """Real SIGKILLs, one stage after the other; the last one after the move, which the catalog knows of."""
    fates = [
        ("10_extract", "kernel|os.rename|extracted.parquet"),
        ("20_normalize", "kernel|os.rename|normalized.parquet"),
        ("40_write_parquet", "kernel|os.mkdir|.runs"),
    ]
    words: tuple[str, ...] = ("run",)
    for n, (stage, fate) in enumerate(fates, 1):
        answer = answered(fated(real_world, fate, *words))
        tasks = answer["data"]["tasks"]
        assert answer["exit_status"] == 1
        assert {(task["outcome"], task["reason"], task["published"]) for task in tasks} == {
            ("failed", "stage_died", "no")
        }
        assert tasks[0]["message"].startswith(stage)
        assert "the kernel was killed by SIGKILL" in tasks[0]["message"]
        books = {book["stage"]: book["outcome"] for book in answer["data"]["attempts"][-1]["notebooks"]}
        assert books == {
            one.split(".")[0]: "killed"
            if one.startswith(stage)
            else "ok"
            if one < stage or one > "5"
            else "not started"
            for one in STAGES
        }
        assert len(answer["data"]["attempts"]) == n
        words = ("repair", answer["data"]["run_id"])

    # A report that dies costs no row either, but the run is no success.
    fate = "kernel|os.rename|published.game_metric.parquet;kernel|import|bigmama_nb.reports.style"
    answer = answered(fated(real_world, fate, *words))
    assert answer["exit_status"] == 3
    assert {(task["outcome"], task["published"]) for task in answer["data"]["tasks"]} == {("ok", "yes")}
    assert {one["partition"] for one in answer["data"]["published"]} == {f"dt={dt}" for *_, dt in expected(*GAMES)}
    became = [book["outcome"] for book in answer["data"]["attempts"][-1]["notebooks"]]
    assert became == ["ok", "ok", "killed", "killed"]
    assert real_world.rows() == expected(*GAMES)


def test_a_run_killed_between_the_move_and_its_record_is_found_in_the_catalog(real_world: World) -> None:
    """The record knows of no outcome; the repair asks the catalog, and finds the rows of the attempt that died."""
    with fated(real_world, "run|os.rename|published.game_metric.parquet", "run") as process:
        process.communicate()
    assert process.returncode == -9
    assert real_world.rows() == expected(*GAMES)
    (run,) = real_world.command("runs", "list")["data"]
    before = real_world.files()

    repaired = real_world.command("repair", run["run_id"])
    assert repaired["exit_status"] == 0
    data = repaired["data"]
    assert {(task["outcome"], task["published"], task["attempt"]) for task in data["tasks"]} == {("ok", "yes", 1)}
    assert [(one["n"], one.get("abandoned")) for one in data["attempts"]] == [(1, True)]
    assert {one["version"] for one in data["published"]} == {f"{run['run_id']}-1"}
    assert real_world.files() == before


def test_a_stage_that_takes_too_long_is_killed_and_says_so(real_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is locked for ever: `failed: timeout` after `stage_timeout_s`, and the repair does it all."""
    real_world.write_profile(
        ("lock_wait_s: 0", "lock_wait_s: 3600"), ("timezone: Asia/Seoul", "timezone: Asia/Seoul\nstage_timeout_s: 2")
    )
    with (
        Warehouse.open(load(str(real_world.profile)).warehouse) as warehouse,
        warehouse.catalog.lock("bigmama.game_metric", "bigmama-nb another", 0),
    ):
        answer = real_world.real("run")

    tasks = answer["data"]["tasks"]
    assert answer["exit_status"] == 1
    assert {(task["outcome"], task["reason"], task["published"]) for task in tasks} == {("failed", "timeout", "no")}
    assert "the stage ran longer than 2 s and was killed" in tasks[0]["message"]
    assert "timeout" in {book["outcome"] for book in answer["data"]["attempts"][0]["notebooks"]}
    with in_process(monkeypatch, real_world) as mended:
        assert mended.command("repair", "latest")["exit_status"] == 0
    assert real_world.rows() == expected(*GAMES)
