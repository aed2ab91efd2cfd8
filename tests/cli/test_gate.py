"""What the command writes has no secret, no control character of somebody else's, and fits the stream's encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from bigmama_nb.cli import main
from bigmama_nb.cli.progress import speaking
from bigmama_nb.cli.streams import guarded, say
from tests.runs.world import REPO, World

PASSWORD = "Tr0ub4dor&3-correct-horse"
EVIL = "x\x1b]0;PWNED\x07\x1b[2J\r\n9 of 9 figures published\u202e\x9b\ufeff"


class Terminal(io.TextIOWrapper):
    """A stream of an encoding that says that it is a terminal, or that it is none."""

    def __init__(self, encoding: str = "utf-8", *, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def content(self) -> bytes:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


def spoken(world: World, *words: str, encoding: str = "utf-8", is_terminal: bool = False) -> tuple[int, str, str]:
    """Run the command in this process; return its exit status, and what it wrote to streams of that kind."""
    out, err = (Terminal(encoding, is_terminal=is_terminal) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([*words, "--profile", str(world.profile)], world.services)
    return int(ended.value.code or 0), out.content.decode(encoding), err.content.decode(encoding)


def pieces(text: str) -> list[str]:
    """Return the runs of eight characters of the password that stand in a text."""
    return [PASSWORD[at : at + 8] for at in range(len(PASSWORD) - 7) if PASSWORD[at : at + 8] in text]


@pytest.fixture
def leaking(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose documents hold the password of one of its clusters, cut and whole."""
    monkeypatch.setenv("LIVE_URI", f"mongodb://etl:{PASSWORD.replace('&', '%26')}@127.0.0.1:9/")
    world.write_profile(("  west: {dump: dumps/west}", "  west: {dump: dumps/west}\n  live: {uri_env: LIVE_URI}"))
    documents = world.daily("cc")
    for document in documents:
        document["_id"] = f"of {PASSWORD[:14]}… at {document['dt']}"
        document["value"] = "many"
    world.write("cc", "daily", documents)
    return world


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_run_says_has_no_piece_of_a_secret(leaking: World, as_json: bool) -> None:
    """Of an error that quotes a document: neither the digest nor the JSON, neither stdout nor stderr."""
    words = ["--json"] if as_json else []
    status, out, err = spoken(leaking, "run", "--date", "2024-05-01", *words)
    assert (status, "wrong_type" in out) == (3, True)
    assert pieces(out + err) == []
    for verb in (["runs", "show", "latest"], ["repair", "latest", "--plan"], ["check"]):
        _, out, err = spoken(leaking, *verb, *words)
        assert (bool(out), pieces(out + err)) == (True, [])


def test_what_is_asked_of_the_tables_has_no_piece_of_a_secret(leaking: World) -> None:
    """Not even where the question itself holds it: what a terminal shows is kept in somebody's log."""
    leaking.command("run", "--date", "2024-05-01", "--games", "aa")
    for words in ([], ["--json"]):
        status, out, err = spoken(leaking, "sql", f"select '{PASSWORD}' as a, 1 as \"{PASSWORD[2:20]}\"", *words)
        assert (status, pieces(out + err), "•••" in out) == (0, [], True)
        status, out, err = spoken(leaking, "sql", f"select '{PASSWORD}' from nowhere", *words)
        assert (status, pieces(out + err)) == (2, [])


def test_a_secret_in_the_words_of_a_command_is_not_said_back(leaking: World) -> None:
    """An option, an argument, a date: also before the profile is read, of variables whose name says what they are."""
    for words in (["run", "--games", PASSWORD], ["run", f"--{PASSWORD}"], [PASSWORD], ["runs", "show", PASSWORD]):
        for more in ([], ["--json"]):
            _, out, err = spoken(leaking, *words, *more)
            assert pieces(out + err) == []


def test_the_trace_of_what_nobody_foresaw_has_neither_secret_nor_control_character(
    leaking: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line, and the file that somebody will show in a terminal."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken() -> datetime:
        raise KeyError(f"{PASSWORD[3:15]} {EVIL}")

    leaking.services = replace(leaking.services, clock=broken)
    status, _, err = spoken(leaking, "run", "--plan")
    (trace,) = tmp_path.glob("run_all-*.trace.txt")
    written = err + trace.read_text(encoding="utf-8")
    assert (status, pieces(written)) == (1, [])
    assert all(one.isprintable() for one in written.replace("\n", ""))


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_name_cannot_clear_a_terminal_or_forge_a_line(world: World, is_terminal: bool, as_json: bool) -> None:
    """A collection, a reason and a cell that hold ESC, CR, a line end, marks of direction, C1 controls."""
    path = world.dump("cc", "daily")
    path.rename(path.with_name(f"{EVIL}.bson"))
    words = ["--json"] if as_json else []
    said = []
    for verb in (
        ["run", "--date", "2024-05-01"],
        ["check"],
        ["retract", "aa", "wau", "20240501", "--reason", EVIL],
        ["runs", "list"],
        ["runs", "show", "latest"],
        ["runs", "diff", "previous", "latest"],
        ["sql", f"select '{EVIL.replace(chr(0), '')}' as a"],
        ["runs", "show", EVIL],
    ):
        _, out, err = spoken(world, *verb, *words, is_terminal=is_terminal)
        said.append(out)
        shown = [out] if is_terminal else [out, err]
        for text in shown:
            assert all(one.isprintable() for one in text.replace("\n", "").replace("\t", "")), verb
        for line in (out + err).splitlines():
            assert not line.startswith("9 of 9"), verb
        if as_json:
            json.loads(out)
    assert "PWNED" in "".join(said)


def test_a_terminals_display_is_drawn_and_what_it_says_is_escaped() -> None:
    """What moves the cursor is the display's own; a line's text is shown with its escapes."""
    terminal = Terminal(is_terminal=True)
    with redirect_stderr(terminal), guarded(), speaking(Console(file=terminal, force_terminal=True)) as line:
        line.begins("10_extract")
        line(f"{EVIL} of a server")
        say(EVIL)
    text = terminal.content.decode()
    assert "\\x1b]0;PWNED\\x07\\x1b[2J" in text
    assert "\x1b]0;PWNED" not in text
    assert "\x1b[2K" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("as_json", [False, True])
def test_no_encoding_loses_an_answer(world: World, encoding: str, as_json: bool) -> None:
    """A Korean name on a stream that has no Hangul is an escape, and JSON stays what it is."""
    world.write_profile(("name: Game A", "name: 리니지 — é"))
    world.break_("cc")
    words = ["--json"] if as_json else []
    status, _, err = spoken(world, "run", "--date", "2024-05-01", *words, encoding=encoding)
    assert (status, "10_extract" in err) == (3, True)
    query = "select '리니지 — é' as name, 1 as one"
    status, out, err = spoken(world, "sql", query, *words, encoding=encoding)
    assert (status, err) == (0, "")
    if as_json:
        assert json.loads(out)["data"]["rows"] == [["리니지 — é", 1]]
    else:
        assert "\\ub9ac" in out or "리니지" in out


def test_an_encoding_of_the_environment_stops_no_run(real_world: World) -> None:
    """PYTHONIOENCODING=ascii, and a locale without UTF-8: exit 3 as with any other, and the record is closed."""
    real_world.write_profile(("name: Game A", "name: 리니지"))
    real_world.break_("cc")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "POSIX", "PYTHONUTF8": "0"}
    line = [sys.executable, str(REPO / "run_all.py"), "run", "--date", "2024-05-01", "--profile"]
    done = subprocess.run([*line, str(real_world.profile)], capture_output=True, env=environment, check=False)
    assert done.returncode == 3, done.stderr
    assert b"4 of 6 figures published" in done.stdout
    (record,) = (real_world.folder / "archive").glob("runs/*/run.json")
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "partial"
