"""What the command says to who is woken by it: the state that is left, and the next step, in words and in JSON."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from bigmama_nb.cli import main, unforeseen, verbs
from bigmama_nb.cli.progress import speaking
from bigmama_nb.cli.streams import guarded
from bigmama_nb.runs.services import Services
from tests.publishing import small_disk
from tests.runs.world import CLUSTERS, REPO, World, expected

GAMES = tuple(CLUSTERS)


def spoken(
    capsys: pytest.CaptureFixture[str], *arguments: str, services: Services | None = None
) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what it wrote to stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments), services)
    return (int(ended.value.code or 0), *capsys.readouterr())


REFUSED = {
    "an unknown verb": (("rn",), r"No such command 'rn'\. \(Did you mean one of: 'run', 'runs'\?\) Nothing was run; "),
    "an unknown option": (
        ("run", "--dat", "2024-05-01"),
        r"No such option '--dat'\. .*'--date'.*Nothing was run; see ",
    ),
    "a word too many": (
        ("run", "lw"),
        r"unexpected extra argument \(lw\)\. Nothing was run; see 'run_all\.py run --help'",
    ),
    "a word too few": (("repair",), r"Missing argument 'RUN'\. Nothing was run; see 'run_all\.py repair --help'\."),
    "a metric to try that is none": (
        ("try", "wua"),
        r"METRIC is 'wua'; metrics are wau, orders\. Did you mean 'wau'\? Nothing was run\.",
    ),
    "a game to try that is none": (
        ("try", "wau", "--games", "aa,dd"),
        r"--games names 'dd'; games are aa, bb, cc\. .*Nothing was run\.",
    ),
    "a day to try that is to come": (("try", "wau", "--date", "2999-01-01"), r"2999-01-01 is not yet over in Asia/"),
    "a day to try that is none": (
        ("try", "wau", "--date", "1 May"),
        r"'1 May' is no day; expected YYYY-MM-DD or YYYYMM",
    ),
    "no jobs": (("run", "--jobs", "0"), r"Invalid value for '--jobs': 0 is not in the range x>=1\. Nothing was run;"),
    "an unknown game": (("run", "--games", "aa,bc"), r"--games names 'bc'; games are aa, bb, cc\. .*Nothing was run\."),
    "an unknown metric": (("run", "--metrics", "wua"), r"--metrics names 'wua'; .* Did you mean 'wau'\? Nothing was "),
    "an unknown pipeline": (
        ("run", "--pipelines", "live"),
        r"--pipelines names 'live'; pipelines are game_metric, liv",
    ),
    "a day to come": (("run", "--date", "2999-01-01"), r"2999-01-01 is not yet over in Asia/Seoul, where it is 2"),
    "a day that is none": (("run", "--date", "2024-02-30"), r"'2024-02-30' is no day; expected YYYY-MM-DD or YYYYMMDD"),
    "half a range": (("run", "--to", "2024-05-01"), r"A range needs both --from and --to; one day is --date\. Nothing"),
    "a range backwards": (
        ("run", "--from", "2024-05-02", "--to", "2024-05-01"),
        r"The range runs from 2024-05-02 to 2024-05-01; expected from <= to\. Nothing was run\.",
    ),
    "a day and a range": (
        ("run", "--date", "2024-05-01", "--to", "2024-05-02"),
        r"--date and --from/--to exclude each other\. Nothing was run\.",
    ),
    "an instant without a zone": (
        ("run", "--run-timestamp", "2024-05-02T02:03:04"),
        r"--run-timestamp is '2024-05-02T02:03:04'; expected an instant with its zone, as in 2024-05-02T02:03:04Z",
    ),
    "an instant beyond all time": (
        ("run", "--run-timestamp", "9999-12-31T23:59:59-23:59"),
        r"--run-timestamp is '9999-12-31T23:59:59-23:59'; expected an instant with its zone",
    ),
    "days beyond all time": (("repair", "--open", "--days", "9" * 12), r"'--days': 9+ is not in the range 1<=x<=36500"),
    "bytes that are no text": (
        ("retract", "aa", "wau", "20240501", "--reason", "\udcb0\udccb"),
        r"--reason is '[^']*udcb0[^']*udccb', which holds bytes that are no text in UTF-8\. Nothing was run",
    ),
    "a folder that is no text": (
        ("export", "game_metric", "x\udcff"),
        r"FOLDER is '.*udcff', which holds bytes that a",
    ),
    "no time of day": (("run", "--wait-until", "25:00"), r"--wait-until is '25:00'; expected HH:MM, as in 07:30\. Not"),
    "a run where there is none": (
        ("repair", "latest"),
        r"archive: no run is recorded here\. Nothing was done; 'run_all",
    ),
    "a table that is none": (
        ("ddl", "game_metrics"),
        r"'game_metrics' is no table; .*Did you mean 'game_metric'\? Not",
    ),
    "SQL that is none": (
        ("sql", "selct 1"),
        r"(?s)the query failed: .*selct.*none yet; 'run_all\.py run --profile \S+' publishes the",
    ),
    "no reason": (
        ("retract", "aa", "wau", "20240501"),
        r"Missing option '--reason'\. Nothing was run; see 'run_all\.p",
    ),
    "a row that is not there": (
        ("retract", "aa", "wau", "20240501", "--reason", "x"),
        r"bigmama\.game_metric holds no row aa/wau/20240501\. Nothing was done; 'run_all\.py who-wrote game_me",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_command_is_refused_with_what_was_expected(
    case: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2; found, expected and that nothing was done, the same in words and in JSON, and stdout holds no words."""
    arguments, message = REFUSED[case]
    arguments = (*arguments, "--profile", str(world.profile))
    status, out, err = spoken(capsys, *arguments)
    assert (status, out) == (2, "")
    assert re.search(message, err), err

    answer = world.command(*arguments[:-2])
    assert (answer["exit_status"], answer["data"], answer["error"]["reason"]) == (2, None, "usage")
    assert answer["verb"] == arguments[0]
    assert answer["error"]["message"] == err.rstrip("\n")
    assert not (world.folder / "archive").exists()


EMPTY = {
    "run": {
        *("--date", "--from", "--to", "--games", "--metrics", "--pipelines", "--wait-until", "--run-timestamp"),
        "--profile",
    },
    "repair": {"RUN", "--profile"},
    "release": {"RUN", "TASK", "--reason", "--profile"},
    "republish": {"RUN", "--reason", "--profile"},
    "retract": {"GAME", "TYPE", "DT", "--reason", "--profile"},
    "runs list": {"--profile"},
    "runs prune": {"--reason", "--profile"},
    "runs verify": {"RUN", "--profile"},
    "recover": {"--reason", "--profile"},
    "runs show": {"RUN", "--profile"},
    "sql": {"QUERY", "--profile"},
    "export": {"TABLE", "FOLDER", "--profile"},
    "who-wrote": {"TABLE", "PARTITION", "--profile"},
    "rollback": {"TABLE", "PARTITION", "[VERSION]", "--reason", "--profile"},
    "ddl": {"TABLE", "--profile"},
    "docs": {"[FOLDER]", "--profile"},
    "check": {"--profile"},
    "try": {"METRIC", "--games", "--date", "--profile"},
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every verb by its words."""
    main(["--help"])
    for name, command in verbs.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", one) for below, one in command.commands.items())
        else:
            yield name, command


@pytest.mark.parametrize("blank", ["", " "])
def test_whatever_takes_a_text_and_is_given_none_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], blank: str
) -> None:
    """`--date "$DAY"` where DAY is not set: exit 2 by name for every option and argument of every verb; no meaning."""
    refused: dict[str, set[str]] = {}
    every = list(commands())
    capsys.readouterr()
    for spoken_as, command in every:
        texts = [one for one in command.params if one.type is click.STRING]
        for tried in texts:
            words = [blank if one is tried else "x" for one in command.params if isinstance(one, click.Argument)]
            if isinstance(tried, click.Option):
                words += [tried.opts[0], blank]
            if spoken_as == "retract" and "--reason" not in words:
                words += ["--reason", "x"]
            if spoken_as == "report" and "--to" not in words:
                words += ["--to", "x"]
            if "--profile" not in words:
                words += ["--profile", str(world.profile)]
            status, out, err = spoken(capsys, *spoken_as.split(), *words)
            assert (status, out) == (2, ""), words
            name, _, rest = err.partition(" ")
            assert rest == (
                "is empty; expected a value. Nothing was run; leave out what is not meant, and look for a variable of "
                f"the shell that is not set; see 'run_all.py {spoken_as} --help'.\n"
            )
            refused.setdefault(spoken_as, set()).add(name)
    assert {name: refused[name] for name in EMPTY} == EMPTY
    assert not (world.folder / "archive").exists()


def test_an_empty_name_among_names_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`--games "aa,$OTHER"`: a run for aa alone is not what was meant."""
    status, _, err = spoken(capsys, "run", "--games", "aa,", "--profile", str(world.profile))
    assert status == 2
    assert err.startswith("--games holds an empty name; expected a value. Nothing was run; ")


def test_a_variable_that_is_empty_names_no_profile(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, not a run of the sample; who names a profile by the option need not care."""
    monkeypatch.setenv("BIGMAMA_PROFILE", "")
    status, out, err = spoken(capsys, "runs", "list")
    assert (status, out) == (2, "")
    assert err.startswith("BIGMAMA_PROFILE is empty; expected a profile's file, or none at all for the sample. Nothing")
    assert spoken(capsys, "runs", "list", "--profile", str(world.profile))[0] == 0


def test_a_profile_that_is_not_there_is_refused_with_the_nearest(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by the option or by the variable, in words and in JSON: the path, a near name, and who names profiles."""
    path = world.folder / "profil.yaml"
    expected_words = (
        f"{path}: the profile cannot be read (No such file or directory). Did you mean 'profile.yaml'? It is named by "
        "--profile, else by BIGMAMA_PROFILE, else it is parameters/sample.yaml. Nothing was run.\n"
    )
    assert (2, "", expected_words) == spoken(capsys, "run", "--profile", str(path))
    monkeypatch.setenv("BIGMAMA_PROFILE", str(path))
    assert (2, "", expected_words) == spoken(capsys, "runs", "list")


def test_the_variable_names_the_profile(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`BIGMAMA_PROFILE` serves every verb that is not told otherwise."""
    monkeypatch.setenv("BIGMAMA_PROFILE", str(world.profile))
    status, out, _ = spoken(capsys, "runs", "list")
    assert (0, f"{world.folder}/archive: no run is recorded here.\n") == (status, out)


def test_a_name_that_names_no_run_is_refused_with_where_to_look(world: World) -> None:
    """No run, several runs, none that is ok: each says which archive was asked or which runs are meant."""
    world.break_("bb")
    ids = [world.command("run", "--date", "2024-05-01")["data"]["run_id"] for _ in range(2)]
    archive = world.folder / "archive"

    def refusal(name: str) -> str:
        answer = world.command("runs", "show", name)
        assert answer["exit_status"] == 2
        return str(answer["error"]["message"])

    assert refusal("1999") == (
        f"'1999' names no run in {archive}. Nothing was done; see 'run_all.py runs list --profile {world.profile}'."
    )
    assert refusal("2") == f"'2' begins 2 runs: {', '.join(sorted(ids))}. Nothing was done; name one."
    assert refusal("latest-ok") == f"{archive}: none of 2 runs is ok. Nothing was done."


def test_an_archive_that_cannot_be_made_stops_the_run_before_it_begins(world: World) -> None:
    """Exit 1: where, why, that nothing was published, and what to do; no trace of Python, and no table is made."""
    (world.folder / "archive").write_text("a file stands where the folder belongs", encoding="utf-8")
    answer = world.command("run")

    assert (answer["exit_status"], answer["data"], answer["error"]["reason"]) == (1, None, "storage")
    assert re.fullmatch(
        rf"{world.folder}/archive/runs/\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}: the archive's folder cannot be made "
        r"\(Not a directory\)\. No stage was started and nothing was published; make room or mend archive\.uri or the "
        r"folder's rights, see 'run_all\.py check --profile \S+', then run again\.",
        answer["error"]["message"],
    )
    assert not (world.folder / "warehouse").exists() or world.rows() == {}


def test_check_finds_an_archive_that_cannot_be_made(world: World) -> None:
    """Exit 1, before any run is lost to it; the message names the file that stands in the way."""
    (world.folder / "archive").write_text("a file stands where the folder belongs", encoding="utf-8")
    answer = world.command("check")
    (found,) = [one for one in answer["data"] if one["name"] == "archive"]

    archive = world.folder / "archive"
    assert answer["exit_status"] == 1
    assert found == {
        "name": "archive",
        "ok": False,
        "message": f"{archive} cannot be made: {archive} is a file; expected a folder",
    }


def test_a_stage_that_does_not_end_well_says_why_at_once(world: World) -> None:
    """The line that ends the stage holds its error: who watches does not wait for the summary."""
    world.outcomes["20_normalize"] = "killed"
    answer = world.command("run")
    assert answer["exit_status"] == 1
    assert re.search(r"Z 20_normalize killed, 0\.0 s: the kernel died by SIGKILL$", world.said, flags=re.MULTILINE)


def test_a_run_that_died_before_its_first_outcome_claims_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """`runs show` counts what is open, offers the repair, and points at no report that was never written."""
    run_id = world.command("run")["data"]["run_id"]
    path = world.folder / "archive" / "runs" / run_id / "run.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data.update(status="running", exit_status=None, published=[])
    data["attempts"][0].update(ended_at=None, notebooks=[])
    for task in data["tasks"]:
        task.update(outcome=None, published="no")
    path.write_text(json.dumps(data), encoding="utf-8")
    status, out, _ = spoken(capsys, "runs", "show", "latest", "--profile", str(world.profile))

    assert status == 0
    assert out.splitlines()[:3] == [
        f"{run_id}  running",
        "21 of 21 tasks have no outcome yet.",
        f"Repair just that: python run_all.py repair {run_id} --profile {world.profile}",
    ]
    assert "Report:" not in out


def make_room(folder: Path) -> None:
    """Enlarge what `small_disk` made small."""
    if folder.is_mount():
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("kibibytes", [4, 16, 24, 32, 40, 48, 64, 80])
def test_an_archive_that_runs_full_costs_no_figure(kibibytes: int, world: World) -> None:
    """Wherever the disk is full: the message counts what readers see, exit 3 or 1 says so, the repair does the rest."""
    archive = world.folder / "archive"
    archive.mkdir()
    with small_disk(archive, kibibytes=kibibytes):
        answer = world.command("run")
        seen = len(world.rows()) if (world.folder / "warehouse" / "catalog.db").exists() else 0
        if answer["exit_status"] != 0 and answer["error"] is not None:
            message = answer["error"]["message"]
            assert answer["error"]["reason"] == "storage"
            assert "No space left on device" in message or "File too large" in message
            counted = re.search(r"(\d+) of 21 figures are published and stay", message)
            assert (int(counted.group(1)) if counted else 0) == seen, message
            assert answer["exit_status"] == (3 if seen else 1)
        make_room(archive)
        again = world.command("repair", "latest") if list(archive.glob("runs/*/run.json")) else world.command("run")
        assert again["exit_status"] == 0, again
        assert {task["outcome"] for task in again["data"]["tasks"]} == {"ok"}
        assert world.rows() == expected(*GAMES)


def test_an_error_that_nobody_foresaw_leaves_one_line_and_a_trace(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1; the line says what is left and where the trace is; no password stands in either."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken() -> datetime:
        raise KeyError("mongodb://reader:hunter22@db.example/lw")

    services = replace(world.services, clock=broken)
    status, out, err = spoken(capsys, "run", "--plan", "--profile", str(world.profile), services=services)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("run_all.py run: broken off by an error that was not foreseen, KeyError: 'mongodb://•••@db.")
    whole = "Tables are whole: a partition changes as one or stays as it was."
    assert f"{whole} If a run was under way, 'run_all.py runs show latest " in err
    (trace,) = tmp_path.glob("run_all-*.trace.txt")
    assert str(trace) in err
    written = trace.read_text(encoding="utf-8")
    assert written.startswith("Traceback (most recent call last):")
    assert "in broken" in written
    assert "hunter22" not in written + err
    with guarded():
        asked = unforeseen(KeyError("x"), "sql").error
    assert asked is not None
    assert f"{whole} The trace, for who mends this, is in " in asked["message"]


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("export", "game_metric", LONG),
        ("export", "game_metric", f"{LONG}/copy"),
        ("report", "--to", f"{LONG}.html"),
        ("init", LONG),
        ("init", "/".join(["x" * 200] * 40)),
        ("docs", LONG),
        ("republish", LONG),
        ("runs", "show", LONG),
        ("open", LONG, "10_extract"),
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_a_name_that_no_file_can_have_is_refused_in_words(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Whatever would be written or read there: one sentence, no trace, and nothing is left."""
    assert world.command("run", "--date", "2024-05-01", "--games", "aa")["exit_status"] == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    found = world.command(*words)
    assert found["exit_status"] in (1, 2)
    assert found["error"]["reason"] != "unforeseen"
    assert "Traceback" not in world.said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("read_before", [True, False])
def test_the_last_line_of_defence_does_not_read_the_profile(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    read_before: bool,
) -> None:
    """What broke off may be the reading itself: the line and the trace come all the same, without known secrets."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("WAREHOUSE_URI", "mongodb://reader:Corr3ct-Horse-Battery@db.example/lw")
    monkeypatch.setenv("SOME_TOKEN", "tok-4711-0815-xyz")
    world.write_profile(("west: {dump: dumps/west}", "west: {dump: dumps/west}\n  north: {uri_env: WAREHOUSE_URI}"))

    def forgotten(*_: Any) -> Any:
        world.profile.unlink()
        raise RecursionError("with tok-4711-0815-xyz in it")

    def broken() -> datetime:
        world.profile.unlink()
        raise KeyError("Corr3ct-Horse-Battery and tok-4711-0815-xyz")

    if not read_before:
        # What a profile is known by is reckoned at the end of its reading.
        monkeypatch.setattr(hashlib, "sha256", forgotten)
    services = replace(world.services, clock=broken)
    status, out, err = spoken(capsys, "run", "--plan", "--profile", str(world.profile), services=services)

    assert (status, out, err.count("\n")) == (1, "", 1)
    (trace,) = tmp_path.glob("run_all-*.trace.txt")
    written = trace.read_text(encoding="utf-8") + err
    assert "Corr3ct-Horse-Battery" not in written
    assert "tok-4711-0815-xyz" not in written
    assert ("KeyError: '••• and •••'" if read_before else "RecursionError: with ••• in it") in err


def test_a_python_without_the_packages_is_told_what_to_do() -> None:
    """Run by a Python that has nothing installed: exit 2, which package, and the command that installs."""
    done = subprocess.run(
        [sys.executable, "-S", str(REPO / "run_all.py")],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"run_all.py: {sys.executable} has no package 'click'. Nothing was run. 'make run' installs what is needed "
        "into .venv; then use .venv/bin/python run_all.py.\n"
    )


def test_a_log_holds_plain_lines() -> None:
    """Off a terminal: a line when a stage begins and one when it ends, with the time, never wrapped or coloured."""
    log = io.StringIO()
    with speaking(Console(file=log, width=20)) as say:
        say.begins("10_extract")
        say.ends("10_extract", "ok, 2.2 s")
        say("[red] :warning: /a/path/that/is/longer/than/twenty/columns [/]")
    lines = [re.sub(r"^\d\d:\d\d:\d\dZ ", "", line) for line in log.getvalue().splitlines()]

    assert lines == [
        "10_extract …",
        "10_extract ok, 2.2 s",
        "[red] :warning: /a/path/that/is/longer/than/twenty/columns [/]",
    ]


def test_a_terminal_shows_what_runs_and_how_long() -> None:
    """On a terminal the running stages stand below the lines with their seconds, and are gone at the end."""
    terminal = io.StringIO()
    with speaking(Console(file=terminal, force_terminal=True, width=60)) as say:
        say.begins("10_extract")
        say.begins("30_live_play")
        say.ends("10_extract", "ok, 2.2 s")
        during = terminal.getvalue()
        say.ends("30_live_play", "failed, 0.1 s")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", during)

    assert re.search(r"30_live_play \d:\d\d:\d\d", plain), plain
    assert re.search(r"\d\d:\d\d:\d\dZ 10_extract ok, 2\.2 s", plain), plain
    assert terminal.getvalue().endswith("\x1b[2K") or "\x1b[2K" in terminal.getvalue()[len(during) :]
