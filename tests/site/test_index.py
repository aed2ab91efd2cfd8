"""The index of the archive: what it says is what the records say, whatever became of its file."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.runs import archive as archives
from bigmama_nb.site import index

HOSTILE = '<script>document.title="owned"</script>"><img src=x onerror=alert(1)></style>\x1b[31m\u202e'


def task(game: str, dt: str, outcome: str = "ok", attempt: int = 1, **more: Any) -> dict[str, Any]:
    """Return a task of a record."""
    ill = outcome not in ("ok", "suspect")
    return {
        "id": f"{game}/wau/{dt}", "pipeline": "game_metric", "game_cd": game, "type": "wau", "dt": dt,
        "through": "2024-05-01", "final": True, "value": None if ill else 7, "rows": None if ill else 1,
        "outcome": outcome, "reason": "unreachable" if ill else None,
        "message": f"{game} wau {dt}: no answer" if ill else None, "place": None, "attempt": attempt,
        "published": "no" if ill else "yes", "counts": {},
    } | more  # fmt: skip


def record(archive: Path, run_id: str, tasks: list[dict[str, Any]], status: str = "ok", **more: Any) -> Path:
    """Write a record, and return its file."""
    at = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T{run_id[9:11]}:{run_id[11:13]}:{run_id[13:15]}.000Z"
    attempt = {"n": 1, "pid": 1, "started_at": at, "heartbeat_at": at, "ended_at": at, "signal": None, "notebooks": []}
    data = {
        "format": 1, "run_id": run_id, "verb": "run", "status": status, "exit_status": 0 if status == "ok" else 3,
        "profile": {"path": "p.yaml", "sha256": "0"}, "pipelines": ["game_metric"], "from": "2024-05-01",
        "to": "2024-05-01", "games": ["aa"], "metrics": ["wau"], "scratch": False, "environment": {},
        "attempts": [attempt], "tasks": tasks, "published": [], "inputs": [], "load": [], "redactions": 0,
    } | more  # fmt: skip
    path = archive / "runs" / run_id / "run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


FIRST, SECOND, THIRD = (f"2024050{n}T020304Z-1a2b3c" for n in (1, 2, 3))


def problems(archive: Path) -> list[tuple[str, int, str]]:
    with index.opened(archive) as found:
        return [(one["name"], one["day"], one["run_id"]) for one in found.problems()]


def statuses(archive: Path) -> dict[str, str]:
    with index.opened(archive) as found:
        return {run["run_id"]: run["status"] for run in found.runs()}


def test_a_problem_ends_with_the_next_success_of_its_task(tmp_path: Path) -> None:
    """A task is a problem as long as its newest word is no success; another day's success does not end it."""
    record(tmp_path, FIRST, [task("aa", "20240501", "failed"), task("bb", "20240501")], "partial")
    assert problems(tmp_path) == [("aa", 20240501, FIRST)]
    record(tmp_path, SECOND, [task("aa", "20240502")])
    assert problems(tmp_path) == [("aa", 20240501, FIRST)]
    record(tmp_path, THIRD, [task("aa", "20240501")])
    assert problems(tmp_path) == []


def test_an_older_success_does_not_end_a_newer_problem(tmp_path: Path) -> None:
    """Which word is the newest is decided by the attempts' beginnings, not by the order of reading."""
    record(tmp_path, SECOND, [task("aa", "20240501", "failed")], "partial")
    assert problems(tmp_path) == [("aa", 20240501, SECOND)]
    record(tmp_path, FIRST, [task("aa", "20240501")])
    assert problems(tmp_path) == [("aa", 20240501, SECOND)]


def test_what_is_held_is_a_problem_and_what_is_warned_of_is_none(tmp_path: Path) -> None:
    """A suspect that is published counts as a success, one that is held does not."""
    record(tmp_path, FIRST, [task("aa", "20240501", "suspect"), task("bb", "20240501", "suspect", published="no")])
    assert problems(tmp_path) == [("bb", 20240501, FIRST)]


def test_a_scratch_run_is_listed_and_says_nothing_of_the_figures(tmp_path: Path) -> None:
    """What is tried out in a scratch warehouse opens and ends no problem."""
    record(tmp_path, FIRST, [task("aa", "20240501", "failed")], "partial")
    record(tmp_path, SECOND, [task("aa", "20240501")], scratch=True)
    assert problems(tmp_path) == [("aa", 20240501, FIRST)]
    assert list(statuses(tmp_path)) == [FIRST, SECOND]


def test_a_changed_record_and_a_deleted_one_are_seen(tmp_path: Path) -> None:
    """The index is compared with the records each time that it is opened."""
    path = record(tmp_path, FIRST, [task("aa", "20240501", "failed")], "partial")
    record(tmp_path, SECOND, [task("aa", "20240502", "failed")], "partial")
    assert len(problems(tmp_path)) == 2
    record(tmp_path, FIRST, [task("aa", "20240501")])
    assert problems(tmp_path) == [("aa", 20240502, SECOND)]
    path.unlink()
    assert list(statuses(tmp_path)) == [SECOND]


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500, None], ids=["empty", "garbage", "missing"])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    """Nothing is lost with the index: it is derived from the records."""
    record(tmp_path, FIRST, [task("aa", "20240501", "failed")], "partial")
    before = problems(tmp_path)
    path = tmp_path / index.NAME
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert before == problems(tmp_path)
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_an_index_that_cannot_be_written_is_made_in_memory(tmp_path: Path) -> None:
    """An archive that one may only read can be read."""
    record(tmp_path, FIRST, [task("aa", "20240501", "failed")], "partial")
    (tmp_path / index.NAME).mkdir()
    assert problems(tmp_path) == [("aa", 20240501, FIRST)]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"attempts": 1}', '{"status": null, "tasks": [{}]}', "[" * 100_000]
)
def test_a_broken_record_is_listed_as_unreadable(tmp_path: Path, text: str) -> None:
    """One broken record hides no other run, and says which file it is."""
    record(tmp_path, FIRST, [task("aa", "20240501")])
    broken = record(tmp_path, SECOND, [])
    broken.write_text(text, encoding="utf-8")
    assert statuses(tmp_path) == {FIRST: "ok", SECOND: "unreadable"}
    with index.opened(tmp_path) as found:
        assert str(broken) in found.runs()[1]["why"]


@pytest.mark.parametrize("lost", ["gone", "a folder"])
def test_a_run_that_lost_its_record_is_listed_as_unreadable(tmp_path: Path, lost: str) -> None:
    """Its notebooks stand there; the other runs are as they were, and it is itself again when its record is back."""
    record(tmp_path, FIRST, [task("aa", "20240501")])
    path = record(tmp_path, SECOND, [task("aa", "20240501")])
    (path.parent / "1").mkdir()
    content = path.read_bytes()
    path.unlink()
    if lost == "a folder":
        path.mkdir()
    assert statuses(tmp_path) == {FIRST: "ok", SECOND: "unreadable"}
    if lost == "a folder":
        path.rmdir()
    path.write_bytes(content)
    assert statuses(tmp_path) == {FIRST: "ok", SECOND: "ok"}


def test_a_copied_folder_is_listed_as_unreadable(tmp_path: Path) -> None:
    """The record in it is another run's."""
    path = record(tmp_path, FIRST, [task("aa", "20240501")])
    copy = tmp_path / "runs" / SECOND / "run.json"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert statuses(tmp_path) == {FIRST: "ok", SECOND: "unreadable"}
    with index.opened(tmp_path) as found:
        assert f"it is the record of {FIRST}: the folder was copied or renamed" in found.runs()[1]["why"]


def test_a_silent_run_is_abandoned(tmp_path: Path) -> None:
    """A run that is under way and has been silent for two minutes is shown as abandoned, also from the index."""
    record(tmp_path, FIRST, [task("aa", "20240501", None)], "running")  # type: ignore[arg-type]
    assert statuses(tmp_path) == {FIRST: "abandoned"}
    assert statuses(tmp_path) == {FIRST: "abandoned"}


def test_latest_ok_is_the_newest_run_that_is_ok(tmp_path: Path) -> None:
    """`latest-ok` skips what is not ok, and is refused where nothing is."""
    record(tmp_path, FIRST, [task("aa", "20240501")])
    record(tmp_path, SECOND, [task("aa", "20240501", "failed")], "partial")
    assert index.find(tmp_path, "latest-ok") == FIRST
    assert index.find(tmp_path, "latest") == SECOND
    record(tmp_path, FIRST, [], "failed")
    with pytest.raises(UsageError, match="none of 2 runs is ok"):
        index.find(tmp_path, "latest-ok")


def test_no_record_is_read_twice(tmp_path: Path) -> None:
    """A record that has not changed is not read again: nobody notices that nothing could be read in it any more."""
    paths = [record(tmp_path, run_id, [task("aa", "20240501")]) for run_id in (FIRST, SECOND)]
    before = statuses(tmp_path)
    for path in paths:
        was = path.stat()
        path.write_text(" " * was.st_size)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert statuses(tmp_path) == before
    record(tmp_path, THIRD, [])
    assert statuses(tmp_path) == {THIRD: "ok"} | before


def test_many_may_open_a_new_index_at_once(tmp_path: Path) -> None:
    """Runs that end at the same time find the same, whoever makes the index."""
    ids = [f"20240501T0203{n:02}Z-1a2b3c" for n in range(40)]
    for run_id in ids:
        record(tmp_path, run_id, [task("aa", "20240501")])
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(statuses(tmp_path)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ids] * 6 == found


def test_an_archive_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Asking makes no folder."""
    assert statuses(tmp_path / "nowhere") == {}
    assert not (tmp_path / "nowhere").exists()
    os.stat(tmp_path)
    assert archives.run_ids(tmp_path / "nowhere") == []
