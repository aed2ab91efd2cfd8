"""A notebook refuses by itself what it cannot use, in one line, whoever gives it: also plain papermill."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from bigmama_nb.errors import UsageError
from bigmama_nb.executor.parameters import require_injected
from bigmama_nb.stages.context import frame
from bigmama_nb.stages.parameters import checked
from tests.runs.world import REPO, World

GIVEN: dict[str, Any] = {
    "profile": "", "games": [], "metrics": (), "date_from": "", "date_to": "", "run_dir": "", "run_id": "",
    "attempt": 0, "run_timestamp": "", "scratch": True, "allow_empty": False, "release": False,
}  # fmt: skip
CELL = 'profile: str = ""\ngames: list = []  # codes\ndate_from: str = ""\nscratch: bool = True\ntable: str = "x"\n'


@pytest.mark.parametrize(
    ("name", "value", "understood"),
    [
        ("games", "lw", ("lw",)), ("games", "lw, bns", ("lw", "bns")), ("games", ["lw"], ("lw",)), ("games", "", ()),
        ("metrics", ("wau",), ("wau",)), ("date_from", 20240501, "20240501"),
        ("date_to", date(2024, 5, 1), "2024-05-01"), ("run_timestamp", "2024-05-02T02:03:04Z",
         "2024-05-02T02:03:04+00:00"), ("attempt", 3, 3),
    ],
)  # fmt: skip
def test_what_papermills_command_line_makes_of_a_parameter_is_understood(
    name: str, value: Any, understood: Any
) -> None:
    """`-p games lw,bns` is a text there, and `-p date_from 20240501` a whole number."""
    assert getattr(checked("10_extract", {**GIVEN, name: value}), name) == understood


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("games", 5, "names, such as"), ("games", ["lw", 7], "names, such as"), ("games", {"lw": 1}, "names, such as"),
        ("games", None, "names, such as"), ("metrics", True, "names, such as"), ("date_from", 2024, "a day, such as"),
        ("date_to", True, "a day"), ("date_from", ["2024-05-01"], "a day"), ("scratch", "no", "true or false"),
        ("scratch", 0, "true or false"), ("release", "False", "true or false"), ("attempt", "1", "a whole number"),
        ("attempt", True, "a whole number"), ("attempt", 1.0, "a whole number"), ("run_dir", 5, "a text"),
        ("profile", ["x"], "a text"), ("run_id", None, "a text"), ("run_timestamp", "yesterday", "an instant"),
        ("profile", "a\0.yaml", "a text that is a file's path"), ("profile", "\udcff", "a text that is a file's path"),
        ("run_dir", "/tmp/a\0", "a text that is a folder's path"),
        ("run_id", "\0", "a text"),
        ("run_timestamp", 5, "an instant"), ("run_timestamp", "9999-12-31T23:59:59-23:59", "an instant"),
    ],
)  # fmt: skip
def test_a_parameter_of_another_type_is_refused_by_name(name: str, value: Any, expected: str) -> None:
    """One line: which, what it is and of which type, what was expected, that nothing was run."""
    with pytest.raises(UsageError) as caught:
        checked("10_extract", {**GIVEN, name: value})
    begin = re.escape(f"10_extract: parameter {name!r} is {value!r} ({type(value).__name__}); expected {expected}")
    assert re.fullmatch(rf"{begin}[^\n]*\. Nothing was run\.", str(caught.value))


def test_a_path_that_no_file_can_have_is_refused() -> None:
    """A part of more than 255 bytes, in whatever letters."""
    for part in ("x" * 256, "검" * 86):
        with pytest.raises(UsageError, match=r"parameter 'run_dir' is .*; expected a text that is a folder's path"):
            checked("10_extract", {**GIVEN, "run_dir": f"/tmp/{part}/1"})
    assert checked("10_extract", {**GIVEN, "run_dir": f"/tmp/{'검' * 85}"}).run_dir.endswith("검")


def test_every_wrong_parameter_is_named_and_no_password_is() -> None:
    """Two mistakes are two lines, and a URI in the place of a name is not shown with its password."""
    with pytest.raises(UsageError) as caught:
        checked("10_extract", {**GIVEN, "scratch": "mongodb://u:s3cr3t@h/", "attempt": None})
    lines = str(caught.value).splitlines()
    assert [re.findall(r"parameter '(\w+)'", line) for line in lines] == [["attempt"], ["scratch"]]
    assert "s3cr3t" not in str(caught.value)


INJECTED = {
    'game = "lw"': ["'game' is unknown; the notebook's are profile, games, date_from, scratch, table. Did you mean"],
    'datefrom = "2024-05-01"\nx = 1': ["'datefrom' is unknown", "'x' is unknown"],
    "table = 5": ["'table' is 5 (int); expected str."],
    'games = "lw"\ntable = "y"': [],
    "scratch = False": [],
    'limit = float("nan")': ["'limit' is unknown"],
}  # fmt: skip


@pytest.mark.parametrize("source", INJECTED)
def test_what_papermill_injects_is_compared_with_what_the_notebook_has(source: str) -> None:
    """papermill only logs an unknown name and enforces no type; the cell it adds says what was given."""
    cells = ["", CELL, f"# Parameters\n{source}\n", "from bigmama_nb import stages\n"]
    problems = INJECTED[source]
    if not problems:
        require_injected("10_extract", cells, understood=["games", "scratch"])
        return
    with pytest.raises(UsageError) as caught:
        require_injected("10_extract", cells, understood=["games", "scratch"])
    lines = str(caught.value).splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"10_extract: parameter {problem}"), line
        assert line.endswith("Nothing was run.")


def test_a_cell_that_was_taken_out_again_is_forgotten() -> None:
    """Who deletes papermill's cell and runs all again in the same kernel is not told of it for ever."""
    cells = ["", CELL, '# Parameters\ngame = "lw"\n', "begin", CELL, "begin"]
    require_injected("10_extract", cells)
    cells[4:4] = ["# my own cell", 'wrong = "x"']
    require_injected("10_extract", cells)


def test_a_shell_shows_the_sentence_and_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """IPython, which every notebook runs in, shows an error of use as its lines."""
    shell = InteractiveShell()
    shell.run_cell("from bigmama_nb.errors import UsageError\nraise UsageError('games is wrong')")
    assert capsys.readouterr().out == "games is wrong. Nothing was run.\n"


def test_papermill_by_hand_is_refused_in_one_line(tmp_path: Path, world: World) -> None:
    """`-p game lw` asks for no game, where it asked for all of them; the cell's output is one line."""
    output = tmp_path / "out.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "--log-level", "ERROR", "--no-progress-bar",
         str(REPO / "notebooks" / "10_extract.ipynb"), str(output), "-p", "game", "lw", "-p", "profile",
         str(world.profile)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    (error,) = [
        one
        for cell in nbformat.read(output, as_version=4).cells
        for one in cell.get("outputs", [])
        if one.output_type == "error"
    ]
    assert len(error.traceback) == 1
    assert error.traceback[0].startswith("10_extract: parameter 'game' is unknown; the notebook's are profile, games, ")
    assert error.traceback[0].endswith(" Did you mean 'games'? Nothing was run.")
    assert not (world.folder / "archive" / "runs").exists()


def test_a_count_that_one_task_lacks_makes_no_float_of_the_others(world: World) -> None:
    """A figure of 10_extract is shown as the integer that it is, also beside a game that failed."""
    import pyarrow as pa

    shown = frame(pa.table({"value": pa.array([1007, None], pa.int64()), "id": ["a", "b"]}))
    assert shown["value"].dtype == pd.Int64Dtype()
    assert "1007.0" not in shown.to_string() + shown.to_html()
    whole = frame(pa.table({"value": pa.array([2**63 - 1], pa.int64())}))
    assert whole["value"].tolist() == [2**63 - 1]
    big = frame(pa.table({"value": pa.array([2**63 - 1, None], pa.int64())}))
    assert big["value"][0] == 2**63 - 1
