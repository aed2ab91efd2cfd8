"""A replay does a run again from what it recorded, and says whether the same comes out, and which input changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.runs.live_world import LiveWorld
from tests.runs.world import REPO, World, in_process, wau


def with_notebooks(world: World) -> None:
    """Put notebooks where `in_process`, which executes none, left an empty file."""
    for kept in (world.folder / "archive" / "runs").glob("*/*/*.ipynb"):
        kept.chmod(0o644)
        shutil.copyfile(REPO / "notebooks" / f"{kept.name.split('.')[0]}.ipynb", kept)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorld]:
    """A world whose figures one run published, and a date of lives the next."""
    world = LiveWorld(tmp_path_factory.mktemp("replay") / "world")
    with pytest.MonkeyPatch.context() as patch, in_process(patch, world):
        assert world.command("run", "--pipelines", "game_metric")["exit_status"] == 0
        assert world.live()["exit_status"] == 0
        with_notebooks(world)
        yield world


def test_kernels_give_the_same_bytes_of_both_pipelines(tmp_path: Path) -> None:
    """As users do it; nothing of the archive or the warehouse changes by it, and no run is listed more."""
    world = LiveWorld(tmp_path / "world")
    assert world.real("run")["exit_status"] == 0
    before, runs = world.published(), world.command("runs", "list")["data"]
    answer = world.real("replay", "latest")
    assert answer["exit_status"] == 0, answer
    data = answer["data"]
    assert (data["same"], data["by"], data["first_difference"], data["changed_inputs"]) == (True, "bytes", None, [])
    assert (world.published(), world.command("runs", "list")["data"]) == (before, runs)
    kept = {path.stem for path in Path(data["notebooks"]).glob("1/*.ipynb")}
    assert kept >= {"20_normalize", "30_live_play", "40_write_parquet.game_metric", "50_report"}


def test_who_may_not_write_to_the_archive_replays_in_their_own_cache(live: LiveWorld, own_scratch: Path) -> None:
    """A file stands where the archive's scratch folder would be: the same comes out, the tables stay."""
    archive = live.folder / "archive"
    shutil.rmtree(archive / "scratch", ignore_errors=True)
    (archive / "scratch").write_text("")
    try:
        before = live.published()
        data = live.command("replay", "latest")["data"]
        assert (data["same"], data["by"]) == (True, "bytes")
        assert Path(data["notebooks"]).is_relative_to(own_scratch)
        assert live.published() == before
    finally:
        (archive / "scratch").unlink()


@pytest.mark.parametrize("source", ["daily", "wv_live", "wv_server_log_base"])
def test_a_byte_of_an_input_that_changed_is_named(live: LiveWorld, source: str) -> None:
    """A dump of figures, which are as they were collected then; a source of lives and its log, which are read again."""
    files = {
        "daily": live.dump("aa", "daily"),
        "wv_live": live.file("wv_live"),
        "wv_server_log_base": sorted(live.folder_of("wv_server_log_base").glob("*/*.parquet"))[0],
    }
    path, runs = files[source], live.command("runs", "list")["data"]
    was = path.read_bytes()
    changed = bytearray(was)
    changed[len(was) // 2] ^= 1
    path.write_bytes(changed)
    try:
        data = live.command("replay", runs[source == "daily"]["run_id"])["data"]
    finally:
        path.write_bytes(was)
    assert data["changed_inputs"] == [str(path)]
    if source == "daily":
        assert (data["same"], data["first_difference"]) == (True, None)


def test_a_source_that_says_something_else_differs(live: LiveWorld) -> None:
    """The first difference is named, with what was and what is; exit status 1."""
    file = live.file("user_user")
    was = file.read_bytes()
    live.change("user_user", pq.read_table(file).slice(1))
    try:
        answer = live.command("replay", "latest")
    finally:
        file.write_bytes(was)
    assert answer["exit_status"] == 1, answer
    assert answer["data"]["changed_inputs"] == [str(file)]
    assert answer["data"]["first_difference"].startswith("we_mart.")


def test_what_was_tampered_with_is_named(world: World) -> None:
    """The published figure is not what the run's own hand-over says: the replay names the task and both values."""
    run = world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-05-01")["data"]["run_id"]
    with_notebooks(world)
    record = world.folder / "archive" / "runs" / run / "run.json"
    value = wau("aa", date(2024, 5, 1))
    record.write_text(record.read_text().replace(f'"value": {value}', f'"value": {value + 1}'))
    answer = world.command("replay", run)
    assert answer["exit_status"] == 1, answer
    assert answer["data"]["first_difference"] == f"aa/wau/20240501: {value + 1}, now {value}"


def test_rows_that_a_run_carried_over_are_the_same_again(world: World) -> None:
    """Of two runs into one partition the second holds the first one's rows; its replay gives the same file."""
    world.command("run", "--games", "aa,bb")
    second = world.command("run", "--games", "cc")["data"]["run_id"]
    with_notebooks(world)
    data = world.command("replay", second)["data"]
    assert (data["same"], data["by"]) == (True, "bytes"), data


def test_a_repair_is_done_again_as_well(world: World) -> None:
    """Both attempts, each from its own hand-over; what failed then fails again, for its source is not asked."""
    world.break_("cc")
    run = world.command("run")["data"]["run_id"]
    world.heal("cc")
    world.command("repair", run)
    with_notebooks(world)
    data = world.command("replay", run)["data"]
    assert data["same"], data
    assert sorted(path.name for path in Path(data["notebooks"]).iterdir() if path.is_dir()) == ["1", "2"]


def test_a_run_that_executed_no_notebook_is_refused(world: World) -> None:
    """A retraction has nothing to do again; the message says so."""
    world.command("run")
    world.command("retract", "aa", "wau", "20240429", "--reason", "counted twice")
    answer = world.command("replay", "latest")
    assert answer["exit_status"] == 2
    assert "is a retract that executed no notebook" in answer["error"]["message"]
