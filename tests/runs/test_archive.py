"""The archive as its readers see it: which run a name names."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.runs import archive

FIRST, SECOND, THIRD = "20240501T020304Z-1a2b3c", "20240502T020304Z-1a2b3c", "20240502T030304Z-000000"


def record(folder: Path, run_id: str, status: str = "ok", began: str = "2024-05-02T02:03:04.000Z") -> None:
    """Leave a record, as small as one may be."""
    run_dir = folder / "runs" / run_id
    run_dir.mkdir(parents=True)
    attempt = {"n": 1, "started_at": began, "heartbeat_at": began}
    data = {"run_id": run_id, "status": status, "attempts": [attempt]}
    (run_dir / "run.json").write_text(json.dumps(data), encoding="utf-8")


def test_a_run_id_is_its_start_in_utc_and_six_hex_digits() -> None:
    """Wherever the clock stands, the id says UTC, and two of one second differ."""
    at = datetime.fromisoformat("2024-05-02T11:03:04+09:00")
    made = {archive.new_run_id(at) for _ in range(50)}
    assert all(re.fullmatch(r"20240502T020304Z-[0-9a-f]{6}", run_id) for run_id in made)
    assert len(made) > 45


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("latest", THIRD),
        ("latest-ok", SECOND),
        (FIRST, FIRST),
        ("20240501", FIRST),
        ("20240502T03", THIRD),
    ],
)
def test_a_run_goes_by_several_names(tmp_path: Path, name: str, found: str) -> None:
    """`latest` is the last that began, `latest-ok` the last that is ok, and an id's unique beginning names it."""
    for run_id, status in ((SECOND, "ok"), (FIRST, "ok"), (THIRD, "partial")):
        record(tmp_path, run_id, status)
    assert archive.find(tmp_path, name) == found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("20240502", f"'20240502' begins 2 runs: {SECOND}, {THIRD}. Nothing was done; name one."),
        ("", "'' names no run in "),
        ("20240501T020304Z-1a2b3d", f"Did you mean '{FIRST}'? Nothing was done; see 'run_all.py runs list'."),
        ("2023", "'2023' names no run in "),
    ],
)
def test_a_name_that_names_no_one_run_is_refused(tmp_path: Path, name: str, says: str) -> None:
    """An ambiguous beginning lists what it begins; an unknown one the nearest there is."""
    for run_id in (FIRST, SECOND, THIRD):
        record(tmp_path, run_id)
    with pytest.raises(UsageError) as caught:
        archive.find(tmp_path, name)
    assert says in str(caught.value)


def test_an_archive_without_runs_says_so(tmp_path: Path) -> None:
    """Also where its folder is not there yet; and where no run is ok, `latest-ok` says that."""
    with pytest.raises(UsageError, match=r"archive: no run is recorded here\. Nothing was done; 'run_all.py run'"):
        archive.find(tmp_path / "archive", "latest")
    record(tmp_path, FIRST, "failed")
    record(tmp_path, SECOND, "running", began="2024-05-02T02:03:04.000Z")
    with pytest.raises(UsageError, match=r"none of 2 runs is ok\. Nothing was done"):
        archive.find(tmp_path, "latest-ok")


@pytest.mark.parametrize("earlier", ["000000", "ffffff"])
def test_of_two_runs_of_one_second_the_later_is_the_latest(tmp_path: Path, earlier: str) -> None:
    """The digits of an id are random and say nothing of the order; the records do."""
    later = "abcdef"
    record(tmp_path, f"20240502T020304Z-{later}", began="2024-05-02T02:03:04.900Z")
    record(tmp_path, f"20240502T020304Z-{earlier}", began="2024-05-02T02:03:04.100Z")
    record(tmp_path, FIRST)
    assert archive.run_ids(tmp_path) == [FIRST, f"20240502T020304Z-{earlier}", f"20240502T020304Z-{later}"]
    assert archive.find(tmp_path, "latest") == f"20240502T020304Z-{later}"


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    """A folder of another name, and a run's folder before its first record, are not listed."""
    record(tmp_path, FIRST)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / SECOND).mkdir()
    (tmp_path / "runs" / f"{THIRD}.tar").touch()
    assert archive.run_ids(tmp_path) == [FIRST]


@pytest.mark.parametrize("content", ["", '{"run_id": "2024', "\x00"])
def test_a_record_that_is_not_whole_is_named(tmp_path: Path, content: str) -> None:
    """Somebody's own hand, or a bad disk: the path is told, not a traceback."""
    record(tmp_path, FIRST)
    path = tmp_path / "runs" / FIRST / "run.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=rf"{re.escape(str(path))}: cannot be read .*Nothing was done"):
        archive.read(tmp_path, FIRST)


def test_readers_show_a_silent_run_as_abandoned_and_write_nothing(tmp_path: Path) -> None:
    """After two minutes without a heartbeat; the file stays as it is, and a run that has ended stays what it is."""
    record(tmp_path, FIRST, "running")
    record(tmp_path, SECOND, "ok")
    record(tmp_path, THIRD, "running", began=datetime.now(UTC).isoformat())
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}

    shown = [archive.read(tmp_path, run_id).status for run_id in (FIRST, SECOND, THIRD)]

    assert shown == ["abandoned", "ok", "running"]
    assert before == {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 2, "run_id": "x", "status": "ok", "attempts": []}'])
def test_one_record_that_cannot_be_read_stops_nobody(tmp_path: Path, content: str) -> None:
    """Broken, empty or newer, it is listed as what it is; the latest is the newest that can be read."""
    record(tmp_path, FIRST, "ok")
    record(tmp_path, SECOND, "failed")
    record(tmp_path, THIRD)
    (tmp_path / "runs" / THIRD / "run.json").write_text(content)

    found = archive.read_all(tmp_path)
    assert [one.run_id for one in found] == [FIRST, SECOND, THIRD]
    assert [getattr(one, "status", "unreadable") for one in found] == ["ok", "failed", "unreadable"]
    assert archive.find(tmp_path, "latest") == SECOND
    assert archive.find(tmp_path, "latest-ok") == FIRST


@pytest.mark.parametrize("lost", ["gone", "a folder", "a link to nowhere"])
def test_a_run_that_lost_its_record_is_listed_as_unreadable(tmp_path: Path, lost: str) -> None:
    """Its notebooks stand there: a run whose record was deleted does not vanish from what is verified."""
    record(tmp_path, FIRST)
    record(tmp_path, SECOND)
    folder = tmp_path / "runs" / SECOND
    (folder / "1").mkdir()
    (folder / "run.json").unlink()
    if lost == "a folder":
        (folder / "run.json").mkdir()
    elif lost == "a link to nowhere":
        (folder / "run.json").symlink_to(tmp_path / "nowhere")

    assert [getattr(one, "status", "unreadable") for one in archive.read_all(tmp_path)] == ["ok", "unreadable"]
    assert archive.find(tmp_path, "latest") == FIRST


def test_a_copied_or_renamed_folder_is_no_run(tmp_path: Path) -> None:
    """The record in it is another run's: it is not the latest, and nothing is done in that run's name."""
    record(tmp_path, FIRST)
    record(tmp_path, SECOND)
    copy = tmp_path / "runs" / THIRD
    copy.mkdir()
    (copy / "run.json").write_bytes((tmp_path / "runs" / FIRST / "run.json").read_bytes())

    with pytest.raises(UsageError, match=f"it is the record of {FIRST}: the folder was copied or renamed"):
        archive.read(tmp_path, THIRD)
    assert archive.find(tmp_path, "latest") == SECOND


def test_a_newer_versions_own_keys_do_not_hurt(tmp_path: Path) -> None:
    """Of the same format, with keys that nobody here knows: it is read, and they are kept."""
    record(tmp_path, FIRST)
    path = tmp_path / "runs" / FIRST / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weather": "fine"}))
    assert archive.read(tmp_path, FIRST).as_json()["weather"] == "fine"


def test_after_a_clock_was_set_back_the_latest_is_the_newest(tmp_path: Path) -> None:
    """The order in which runs began counts, not what the clock said."""
    for run_id in (THIRD, FIRST):
        record(tmp_path, run_id)
        archive.note_begin(tmp_path, run_id)
    record(tmp_path, SECOND)
    assert archive.run_ids(tmp_path) == [SECOND, THIRD, FIRST]
    assert archive.find(tmp_path, "latest") == FIRST
