"""The words that scripts outside the project rely on: files and keys of the archive, and `--json` of every verb."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.runs.world import World

INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def ran(world: World) -> tuple[World, dict[str, Any]]:
    """A run in which one game's last day is not there yet."""
    world.write("cc", "daily", world.daily("cc")[:-1])
    answer = world.command("run")
    assert answer["exit_status"] == 3
    return world, answer["data"]


def test_the_keys_of_a_record(ran: tuple[World, dict[str, Any]]) -> None:
    """run.json, format 1: the keys of the design, then what was added to them."""
    _, data = ran
    assert set(data) == {
        "format", "run_id", "status", "exit_status", "profile", "pipelines", "from", "to", "games", "metrics",
        "environment", "attempts", "tasks", "published", "inputs", "load", "redactions",
        "verb", "run_timestamp", "scratch", "allow_empty", "person",
    }  # fmt: skip
    assert (data["format"], data["verb"], data["status"], data["exit_status"]) == (1, "run", "partial", 3)
    assert (data["from"], data["to"]) == ("2024-04-28", "2024-05-02")
    assert (data["games"], data["metrics"]) == (["aa", "bb", "cc"], ["wau", "orders"])
    assert (data["pipelines"], data["scratch"], data["redactions"]) == (["game_metric"], False, 0)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", data["run_id"])
    assert set(data["profile"]) == {"path", "sha256"}
    assert set(data["environment"]) == {"package", "git", "dirty", "python", "packages", "host", "engine"}


def test_the_keys_of_an_attempt(ran: tuple[World, dict[str, Any]]) -> None:
    """Instants are ISO 8601 in UTC; a notebook's path is told from the run's folder."""
    _, data = ran
    (attempt,) = data["attempts"]
    assert set(attempt) == {
        *("n", "pid", "started_at", "heartbeat_at", "ended_at", "signal", "notebooks"),
        *("verb", "person", "profile_sha256", "files"),
    }
    assert (attempt["n"], attempt["signal"]) == (1, None)
    for name in ("started_at", "heartbeat_at", "ended_at"):
        assert re.fullmatch(INSTANT, attempt[name])
    assert [(one["stage"], one["table"], one["path"], one["outcome"]) for one in attempt["notebooks"]] == [
        ("10_extract", None, "1/10_extract.ipynb", "ok"),
        ("20_normalize", None, "1/20_normalize.ipynb", "ok"),
        ("40_write_parquet", "game_metric", "1/40_write_parquet.game_metric.ipynb", "ok"),
        ("50_report", None, "1/50_report.ipynb", "ok"),
    ]
    assert all(set(one) == {"stage", "table", "path", "sha256", "outcome", "seconds"} for one in attempt["notebooks"])


def test_the_keys_of_a_task(ran: tuple[World, dict[str, Any]]) -> None:
    """A figure that was published, and one that was not ready."""
    _, data = ran
    tasks = {task["id"]: task for task in data["tasks"]}
    assert tasks["aa/wau/20240502"] == {
        "id": "aa/wau/20240502", "pipeline": "game_metric", "game_cd": "aa", "type": "wau", "dt": "20240502",
        "through": "2024-05-02", "final": True, "value": 1002, "rows": 1, "outcome": "ok", "reason": None,
        "message": None, "place": None, "attempt": 1, "published": "yes", "counts": {"undated": 0},
    }  # fmt: skip
    missing = tasks["cc/wau/20240502"]
    assert (missing["outcome"], missing["value"], missing["published"]) == ("not_ready", None, "no")
    assert "20240501" in missing["message"]


def test_the_keys_of_what_was_published_and_read(ran: tuple[World, dict[str, Any]]) -> None:
    """A version is `<run id>-<attempt>`, a partition `dt=...`, a table has its database."""
    world, data = ran
    for one in data["published"]:
        assert set(one) == {"table", "partition", "version", "files"}
        assert one["version"] == f"{data['run_id']}-1"
        assert re.fullmatch(r"dt=\d{8}", one["partition"])
        assert all(set(file) == {"path", "rows", "bytes", "sha256"} for file in one["files"])
    assert {one["table"] for one in data["published"]} == {"bigmama.game_metric", "bigmama.game_metric_status"}
    assert all(set(one) == {"path", "size", "sha256"} for one in data["inputs"])
    assert {one["path"] for one in data["inputs"]} == {str(world.dump(g, c)) for g in ("aa", "bb", "cc")
                                                       for c in ("daily", "orders")}  # fmt: skip
    assert [set(one) for one in data["load"]] == [{"cluster", "queries", "documents", "bytes"}] * 2
    assert {one["cluster"] for one in data["load"]} == {"east", "west"}


def test_the_files_of_an_archive(ran: tuple[World, dict[str, Any]]) -> None:
    """run.json, and in the attempt's folder the notebooks, the log and the figures as they were extracted."""
    world, data = ran
    run_dir = world.folder / "archive" / "runs" / data["run_id"]
    assert (run_dir / "run.json").is_file()
    assert {path.name for path in (run_dir / "1").iterdir()} >= {"data", "log.jsonl"}
    assert {path.name for path in (run_dir / "1" / "data").iterdir()} >= {"extracted.parquet", "normalized.parquet"}


def shape(answer: dict[str, Any], verb: str) -> Any:
    """Check what every answer has, and return its data."""
    assert list(answer) == ["format", "verb", "exit_status", "error", "data"]
    assert (answer["format"], answer["verb"]) == (1, verb)
    return answer["data"]


def test_a_record_is_the_answer_of_what_changes_a_run(ran: tuple[World, dict[str, Any]]) -> None:
    """run, repair, republish, retract and `runs show` answer with run.json."""
    world, data = ran
    run_id = data["run_id"]
    assert shape(world.command("runs", "show", run_id), "runs show") == data
    world.heal("cc")
    repaired = shape(world.command("repair", run_id), "repair")
    assert (set(repaired), repaired["run_id"], repaired["status"]) == (set(data), run_id, "ok")
    retracted = shape(world.command("retract", "aa", "wau", "20240429", "--reason", "twice"), "retract")
    assert set(retracted) == {*data, "reason"}
    republished = shape(world.command("republish", run_id), "republish")
    assert set(republished) == {*data, "of"}


def test_a_plan_is_tasks_and_actions(ran: tuple[World, dict[str, Any]]) -> None:
    """`[{task, action}]`, of a run and of a repair."""
    world, data = ran
    assert shape(world.command("run", "--plan", "--games", "aa", "--metrics", "orders"), "run") == [
        {"task": "aa/orders/20240401", "action": "run"},
        {"task": "aa/orders/20240501", "action": "run"},
    ]
    planned = shape(world.command("repair", data["run_id"], "--plan"), "repair")
    assert {"task": "cc/wau/20240502", "action": "redo"} in planned
    assert {"task": "aa/wau/20240502", "action": "keep"} in planned
    assert all(set(one) == {"task", "action"} for one in planned)


def test_the_list_of_runs(ran: tuple[World, dict[str, Any]]) -> None:
    """`[{run_id, status, exit_status, started_at, ended_at, from, to}]`, latest first."""
    world, data = ran
    second = world.command("run", "--games", "aa")["data"]
    listed = shape(world.command("runs", "list"), "runs list")
    assert listed == [
        {
            "run_id": one["run_id"],
            "status": one["status"],
            "exit_status": one["exit_status"],
            "started_at": one["attempts"][0]["started_at"],
            "ended_at": one["attempts"][0]["ended_at"],
            "from": "2024-04-28",
            "to": "2024-05-02",
        }
        for one in (second, data)
    ]


def test_who_wrote_a_partition(ran: tuple[World, dict[str, Any]]) -> None:
    """`[{key, run, attempt, through, final, source, notebook}]`."""
    world, data = ran
    wrote = shape(world.command("who-wrote", "game_metric", "dt=20240430"), "who-wrote")
    assert wrote[0] == {
        "key": "aa/wau",
        "run": data["run_id"],
        "attempt": 1,
        "through": "2024-04-30",
        "final": True,
        "source": "east/aa.daily",
        "notebook": f"runs/{data['run_id']}/1/40_write_parquet.game_metric.ipynb",
    }


def test_the_warehouse_answers(ran: tuple[World, dict[str, Any]], tmp_path: Any) -> None:
    """sql: `{columns, rows}`, a row a list; export and the rest `{path}` or `{text}`."""
    world, _ = ran
    query = "select game_cd, value from bigmama.game_metric where type = 'wau' and dt = '20240430' order by 1"
    assert shape(world.command("sql", query), "sql") == {
        "columns": ["game_cd", "value"],
        "rows": [["aa", 1030], ["bb", 2030], ["cc", 3030]],
    }
    folder = tmp_path / "copy"
    assert shape(world.command("export", "game_metric", str(folder)), "export") == {"path": str(folder)}
    assert (folder / "20240430-0.parquet").is_file()
    ddl = shape(world.command("ddl", "game_metric"), "ddl")
    assert list(ddl) == ["text"]
    assert "PARTITIONED BY" in ddl["text"]
    views = shape(world.command("ddl", "game_metric", "--views"), "ddl")
    assert views == {"text": "-- bigmama.game_metric has no instants: every reader shows it alike.\n"}


def test_a_rollback_says_what_stands(ran: tuple[World, dict[str, Any]]) -> None:
    """`{text}`; the row of the version before is what readers see."""
    world, _ = ran
    world.write("aa", "daily", [{"dt": "20240430", "value": 7}])
    assert world.command("run", "--games", "aa", "--metrics", "wau", "--date", "2024-04-30")["exit_status"] == 0
    assert world.rows()["aa", "wau", "20240430"] == 7
    data = shape(world.command("rollback", "game_metric", "dt=20240430"), "rollback")
    assert list(data) == ["text"]
    assert world.rows()["aa", "wau", "20240430"] == 1030


def test_a_check_names_what_it_looked_at(ran: tuple[World, dict[str, Any]]) -> None:
    """`[{name, ok, message}]`; exit 1 where a connection fails."""
    world, _ = ran
    checks = shape(world.command("check"), "check")
    assert all(set(one) == {"name", "ok", "message"} for one in checks)
    assert {"profile", "archive", "warehouse"} <= {one["name"] for one in checks}
    assert all(one["ok"] for one in checks)
    world.write_profile(("west: {dump: dumps/west}", "west: {dump: dumps/wset}"))
    failed = world.command("check")
    assert failed["exit_status"] == 1
    assert [one["ok"] for one in failed["data"]].count(False) >= 1


@pytest.mark.parametrize(
    ("words", "verb", "reason", "says"),
    [
        (("run", "--games", "dd"), "run", "usage", "'dd'"),
        (("run", "--date", "2024-05-01", "--from", "2024-05-01"), "run", "usage", "exclude each other"),
        (("repair", "latest"), "repair", "usage", "no run is recorded here"),
        (("runs", "show", "x"), "runs show", "usage", "no run is recorded here"),
        (("run", "--jobs", "none"), "run", "usage", "none"),
        (("run", "--run-timestamp", "2024-05-02T02:03:04"), "run", "usage", "expected an instant with its zone"),
        (("ddl", "game_metrics"), "ddl", "usage", "Did you mean 'game_metric'?"),
    ],
)
def test_what_cannot_be_done_is_an_error_in_the_same_shape(
    world: World, words: tuple[str, ...], verb: str, reason: str, says: str
) -> None:
    """Exit 2, `error: {reason, message}`, no data; nothing is made."""
    answer = world.command(*words)
    assert shape(answer, verb) is None
    assert answer["exit_status"] == 2
    assert set(answer["error"]) == {"reason", "message"}
    assert answer["error"]["reason"] == reason
    assert says in answer["error"]["message"]
    assert not (world.folder / "warehouse").exists()
