"""run.json: whole at every instant, written only by the one who holds the run, and without secrets."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.runs import record
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.record import AttemptEntry, Record, RunRecord, shown, spelled
from bigmama_nb.runs.task import Task
from tests.publishing import FULL, read_only, small_disk
from tests.runs.world import CLUSTERS, REPO, World, expected

RUN = "20240502T020304Z-1a2b3c"

HOLDER = """
import sys
from pathlib import Path
from bigmama_nb.errors import StorageError
from bigmama_nb.runs.lock import RunLock
from bigmama_nb.runs.record import Record, RunRecord, now
from bigmama_nb.runs.task import Task
from bigmama_nb.executor.redact import Redactor
run_dir = Path(sys.argv[1])
run_dir.mkdir(parents=True, exist_ok=True)
run = RunRecord(run_id=run_dir.name, status="running", attempts=[{"heartbeat_at": now()}])
with Record(run_dir, run, RunLock(run_dir), Redactor().document) as held:
    print("holding", flush=True)
    for line in sys.stdin:
        try:
            held.change(lambda run: run.tasks.extend(Task(f"task {n}", "game_metric") for n in range(int(line))))
            print("written", flush=True)
        except StorageError as error:
            print(error, flush=True)
"""


def a_run(status: str, beat: str) -> RunRecord:
    return RunRecord(run_id=RUN, status=status, first="", last="", attempts=[AttemptEntry(heartbeat_at=beat)])


def blank() -> RunRecord:
    return a_run("running", record.now())


def task(name: str, message: str | None = None) -> Task:
    return Task(name, "game_metric", message=message)


def opened(run_dir: Path, redactor: Redactor | None = None, **how: Any) -> Record:
    """Return a record that is open for writing in a folder named as a run."""
    run_dir.mkdir(parents=True, exist_ok=True)
    return Record(run_dir, blank(), RunLock(run_dir), (redactor or Redactor()).document, **how)


def written(run_dir: Path) -> dict[str, Any]:
    return dict(json.loads((run_dir / "run.json").read_text(encoding="utf-8")))


def holder(run_dir: Path) -> subprocess.Popen[str]:
    """Start a process that holds the run and writes when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run_dir)],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def told(process: subprocess.Popen[str], tasks: int) -> str:
    """Have the holder add tasks to its record; return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{tasks}\n")
    return process.stdout.readline()


def test_the_record_is_json_with_a_line_for_each_task() -> None:
    """What is written reads back as it was, whatever its texts hold; a task is a line, to be found and compared."""
    data = {"run_id": RUN, "games": ["lw", 'b"n\ns'], "tasks": [{"id": "에이"}, {"id": "\u2028\ud800"}], "load": []}
    text = spelled(data)
    assert json.loads(text) == data
    assert '\n {"id": "에이"},\n' in text


@pytest.mark.parametrize("indent", [None, 2], ids=["as written", "as another tool writes it"])
@pytest.mark.parametrize("tasks", [[], [{"id": "a\n]"}], [{"id": "a"}, {"id": "]", "counts": {}, "x": ["tasks"]}]])
def test_a_record_is_read_without_its_tasks(tmp_path: Path, tasks: list[Any], indent: int | None) -> None:
    """All else that stands in it is the same, whatever is told of a task and after it."""
    data = {**blank().model_dump(by_alias=True), "tasks": tasks, "published": [{"table": '"tasks": [\n]'}]}
    content = (spelled(data) if indent is None else json.dumps(data, indent=indent)).encode()
    rest = record.without_tasks(content)
    assert json.loads(rest) | {"tasks": []} == data | {"tasks": []}
    assert (rest == content) == (indent is not None or not tasks)


SECRET, HINT = "Kj7-hunter2-xQ", "'run_all.py repair latest'"
CHANGES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, "a", HINT, SECRET])))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, max_size=5))
def test_a_record_holds_what_its_tasks_are_whenever_it_is_written(tmp_path: Path, changes: Any) -> None:
    """Tasks come, change and stay from one write to the next: each write holds all as they are, and no secret."""
    masked: dict[str, str | None] = {}
    run_dir = tmp_path / uuid4().hex / RUN
    with opened(run_dir, Redactor([SECRET])) as held:
        hidden = 0
        for some in changes:
            brought = {f"t{n}": message for n, message in some}
            entered = [task(*one) for one in brought.items()]
            held.change(functools.partial(RunRecord.replace_tasks, tasks=entered))
            hidden += sum(message == SECRET for message in brought.values())
            masked |= {name: "•••" if message == SECRET else message for name, message in brought.items()}

            found = written(run_dir)

            assert {one["id"]: one["message"] for one in found["tasks"]} == masked
            assert found["redactions"] == held.run.redactions == hidden
            assert found == json.loads(json.dumps(held.run.as_json()))


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    """While another process writes records of very different length, each read is one of them, whole."""
    run_dir = tmp_path / RUN
    with holder(run_dir) as process:
        told(process, 1)
        ended = threading.Event()
        seen: list[int] = []
        torn: list[str] = []

        def read() -> None:
            while not ended.is_set():
                text = (run_dir / "run.json").read_text(encoding="utf-8")
                try:
                    seen.append(len(json.loads(text)["tasks"]))
                except ValueError:
                    torn.append(text)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        totals = {1}
        for tasks in [1, 400] * 8:
            assert told(process, tasks) == "written\n"
            totals.add(max(totals) + tasks)
        ended.set()
        for reader in readers:
            reader.join()
        process.communicate()
    assert torn == []
    assert set(seen) <= totals
    assert len(set(seen)) > 1


def test_a_text_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    """A file's name may hold bytes that are no UTF-8; the record that tells of it is written and read all the same."""
    with opened(tmp_path / RUN) as held:
        held.change(lambda run: run.tasks.append(task("one", "b\udcff")))
    assert [one["message"] for one in written(tmp_path / RUN)["tasks"]] == ["b\udcff"]


def test_a_disk_that_is_full_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    """The error names the file and says what to do; with room again the same record is written."""
    with small_disk(tmp_path, kibibytes=64) as disk:
        run_dir = disk / RUN
        with opened(run_dir) as held:
            held.change(lambda run: run.tasks.append(task("first")))
            with pytest.raises(StorageError, match=rf"cannot be written \(({FULL})\)\. The file is as it was"):
                held.change(lambda run: run.tasks.append(task("x" * 200_000)))
            assert [one["id"] for one in written(run_dir)["tasks"]] == ["first"]
            assert [path.name for path in run_dir.iterdir() if path.name != ".lock"] == ["run.json"]
            held.change(lambda run: run.tasks.pop())
            held.change(lambda run: run.tasks.append(task("second")))
        assert [one["id"] for one in written(run_dir)["tasks"]] == ["first", "second"]


def test_a_folder_that_is_read_only_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    """A clear error, and no half of a file."""
    run_dir = tmp_path / RUN
    with opened(run_dir) as held:
        held.change(lambda run: None)
        with read_only(run_dir), pytest.raises(StorageError, match=r"cannot be written \((Read-only|Permission)"):
            held.change(lambda run: run.tasks.append(task("first")))
        assert written(run_dir)["tasks"] == []


def test_the_heart_beats_without_anybody_writing(tmp_path: Path) -> None:
    """A run that is busy in a long stage is seen to live; nothing else in its record changes."""
    run_dir = tmp_path / RUN
    with opened(run_dir, heartbeat_s=0.001) as held:
        held.change(lambda run: setattr(run.attempts[-1], "heartbeat_at", "2024-05-02T02:03:04.000Z"))
        first = written(run_dir)
        while (now := written(run_dir))["attempts"][-1]["heartbeat_at"] == first["attempts"][-1]["heartbeat_at"]:
            pass
    first["attempts"][-1]["heartbeat_at"] = now["attempts"][-1]["heartbeat_at"]
    assert now == first


def test_heartbeats_come_every_fifteen_seconds_and_silence_counts_after_two_minutes() -> None:
    """The two figures of the interface; a reader may rest on them."""
    assert (record.HEARTBEAT_S, record.SILENCE_S) == (15, 120)


@pytest.mark.parametrize(
    ("status", "seconds", "seen"),
    [("running", 119, "running"), ("running", 121, "abandoned"), ("ok", 10**6, "ok"), ("partial", 10**6, "partial")],
)
def test_a_run_is_shown_as_abandoned_after_two_minutes_of_silence(status: str, seconds: int, seen: str) -> None:
    """Only while it says that it is running, and only to who looks: the record itself is not touched."""
    beat = datetime(2024, 5, 2, 2, 3, 4, tzinfo=UTC)
    run = a_run(status, beat.isoformat())
    assert shown(run, at=beat + timedelta(seconds=seconds)).status == seen
    assert run.status == status


def test_a_record_that_another_process_holds_is_not_opened(tmp_path: Path) -> None:
    """Nothing is done, and the message says where to look; once that process has gone, killed even, it is free."""
    run_dir = tmp_path / RUN
    with holder(run_dir) as process:
        with pytest.raises(UsageError, match=rf"{RUN}: another process is at work on this run\. Nothing was done"):
            RunLock(run_dir)
        process.kill()
        process.communicate()
    RunLock(run_dir).release()


def test_a_holder_that_slept_through_a_take_over_writes_nothing_any_more(tmp_path: Path) -> None:
    """Stopped, taken over, woken: its next write is refused, and the record stays the new holder's."""
    run_dir = tmp_path / RUN
    with holder(run_dir) as process:
        assert told(process, 1) == "written\n"
        process.send_signal(signal.SIGSTOP)
        lock = RunLock(run_dir, take_over=True)
        with Record(run_dir, RunRecord.model_validate(written(run_dir)), lock, Redactor().document) as mine:
            mine.change(lambda run: run.tasks.append(task("mine")))
            before = (run_dir / "run.json").read_bytes()
            process.send_signal(signal.SIGCONT)
            assert told(process, 5) == (
                f"{RUN}: another process took this run over after 120 s of silence. This one stops and writes nothing "
                "more.\n"
            )
            assert (run_dir / "run.json").read_bytes() == before
            mine.change(lambda run: run.tasks.append(task("mine too")))
        process.communicate()
    assert [one["id"] for one in written(run_dir)["tasks"]] == ["task 0", "mine", "mine too"]


def test_a_silent_run_is_taken_over_by_its_repair_and_not_before(world: World) -> None:
    """While its heart beats `repair` refuses; silent for two minutes, it is redone and the record tells of both."""
    world.break_("bb")
    run_id = world.command("run")["data"]["run_id"]
    world.heal("bb")
    run_dir = world.folder / "archive" / "runs" / run_id
    data = written(run_dir) | {"status": "running", "exit_status": None}
    data["attempts"][-1] |= {"ended_at": None, "heartbeat_at": record.now()}
    (run_dir / "run.json").write_text(spelled(data), encoding="utf-8")
    with holder(run_dir) as process:
        process.send_signal(signal.SIGSTOP)
        refused = world.command("repair", run_id)
        assert (refused["exit_status"], refused["error"]["reason"]) == (2, "usage")
        assert "another process is at work on this run" in refused["error"]["message"]

        data["attempts"][-1]["heartbeat_at"] = (datetime.now(UTC) - timedelta(seconds=121)).isoformat()
        (run_dir / "run.json").write_text(spelled(data), encoding="utf-8")
        assert world.command("runs", "list")["data"][0]["status"] == "abandoned"
        repaired = world.command("repair", run_id)
        process.send_signal(signal.SIGCONT)
        assert "took this run over" in told(process, 1)
        process.communicate()

    assert repaired["exit_status"] == 0
    assert written(run_dir) == repaired["data"]
    assert [attempt.get("abandoned", False) for attempt in repaired["data"]["attempts"]] == [True, False]
    assert world.rows() == expected(*CLUSTERS)


def test_a_secret_in_the_record_is_hidden_and_counted(tmp_path: Path) -> None:
    """In a message, a key and a path; counted once, however often the record is written."""
    run_dir = tmp_path / RUN
    with opened(run_dir, Redactor(["correct horse battery"])) as held:
        held.change(lambda run: run.tasks.append(task("one", "said correct horse battery")))
        held.change(lambda run: run.inputs.append({"path": "mongodb://u:p@h/correct%20horse%20battery"}))
        held.change(lambda run: None)
        assert "horse" not in str(held.run)
    text = (run_dir / "run.json").read_text(encoding="utf-8")
    assert "horse" not in text
    assert "u:p@" not in text
    assert [one["message"] for one in written(run_dir)["tasks"]] == ["said •••"]
    assert written(run_dir)["redactions"] == 3


def test_a_secret_of_the_environment_reaches_neither_record_nor_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in a folder's name, which an error tells: the record and what the command prints hide it."""
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "correct-horse-battery")
    world.write_profile(("west: {dump: dumps/west}", "west: {dump: dumps/correct-horse-battery}"))
    answer = world.command("run")

    assert answer["exit_status"] == 3
    assert "correct-horse-battery" not in json.dumps(answer)
    failed = [task for task in answer["data"]["tasks"] if task["outcome"] == "failed"]
    assert {task["reason"] for task in failed} == {"source_missing"}
    assert all("•••" in task["message"] for task in failed)
    assert answer["data"]["redactions"] >= len(failed)
