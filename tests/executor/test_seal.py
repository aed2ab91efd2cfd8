"""A sealed notebook says what became of it, whole and safely written."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bigmama_nb.errors import StorageError
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import (
    BANNER,
    NotebookInfo,
    SealedOutcome,
    one_line,
    seal,
    word,
    write,
)

ROOT = Path(__file__).resolve().parents[2]
ABOUT = NotebookInfo("20240502T020304Z-1a2b3c", 2, "40_write_parquet", "game_metric")
BEGAN = datetime(2024, 5, 2, 2, 3, 4, tzinfo=UTC)


def lying() -> Any:
    """A notebook as papermill leaves it when the kernel dies in `second`: everything is `completed`."""
    said = {"status": "completed", "exception": None, "start_time": "x", "end_time": "y", "duration": 1.0}
    cells = [
        new_markdown_cell("# Which rows go out?", id="question"),
        new_code_cell("1", id="first", execution_count=1),
        new_code_cell("2", id="second"),
        new_code_cell("3", id="third"),
        new_code_cell("  ", id="empty"),
        new_markdown_cell("An Exception was encountered", id="m", metadata={"tags": ["papermill-error-cell-tag"]}),
    ]
    for one in cells:
        one.metadata["papermill"] = dict(said)
    return new_notebook(cells=cells, metadata={"papermill": {"exception": None, "parameters": {}}})


def killed(**more: Any) -> SealedOutcome:
    return SealedOutcome(
        "killed",
        BEGAN,
        3.25,
        cell="second",
        error="the kernel was killed by SIGKILL",
        signal="SIGKILL",
        cells={"first": "ok", "second": "killed"},
        **more,
    )


def sealed_cell(sealed: Any, name: str) -> Any:
    return next(cell for cell in sealed.cells if cell.id == name)


def test_what_papermill_says_is_put_right() -> None:
    """Its metadata, ours and the banner tell one story."""
    sealed, redactions = seal(lying(), ABOUT, killed(), Redactor())

    nbformat.validate(sealed)
    assert redactions == 0
    assert sealed.metadata.papermill.exception is True
    story = {
        cell.id: (cell.metadata.papermill.status, cell.metadata.papermill.exception, word(sealed)["cells"][cell.id])
        for cell in sealed.cells
        if cell.cell_type == "code" and cell.source.strip() and cell.id != BANNER
    }
    assert story == {
        "first": ("completed", False, "ok"),
        "second": ("failed", True, "killed"),
        "third": ("pending", None, "never ran"),
    }
    assert word(sealed) == {
        "format": 1,
        "run": "20240502T020304Z-1a2b3c",
        "attempt": 2,
        "stage": "40_write_parquet",
        "table": "game_metric",
        "outcome": "killed",
        "cell": "second",
        "error": "the kernel was killed by SIGKILL",
        "signal": "SIGKILL",
        "started_at": "2024-05-02T02:03:04.000+00:00",
        "ended_at": "2024-05-02T02:03:07.250+00:00",
        "seconds": 3.25,
        "cells": {"first": "ok", "second": "killed", "third": "never ran"},
        "redactions": 0,
        "dropped": {},
    }


def test_the_banner_is_at_the_top_and_leads_to_the_cell() -> None:
    """Who opens the notebook sees first what became of it, and papermill's own banner is gone."""
    sealed, _ = seal(lying(), ABOUT, killed(), Redactor())

    assert [cell.id for cell in sealed.cells] == [BANNER, "question", "first", "second", "third", "empty"]
    assert sealed.cells[0].outputs[0].data["text/markdown"] == (
        "> **killed** · 40_write_parquet, game_metric · run 20240502T020304Z-1a2b3c, attempt 2 · 3.2 s\n"
        ">\n"
        "> It ended in the cell [second](#cell-id=second). One cell never ran.\n"
        "\n"
        "```text\n"
        "the kernel was killed by SIGKILL\n"
        "```"
    )


def test_a_cell_that_never_ran_says_so_where_its_output_would_be() -> None:
    """And the one in which the kernel died shows why, with the interpreter's last words."""
    sealed, _ = seal(lying(), ABOUT, killed(last_words="Fatal Python error"), Redactor())

    assert sealed_cell(sealed, "third").outputs[0].data["text/plain"] == "This cell never ran."
    words, error = sealed_cell(sealed, "second").outputs
    assert words.text == "Fatal Python error"
    assert (error.ename, error.evalue) == ("Killed", "the kernel was killed by SIGKILL")


def test_an_error_from_a_database_cannot_draw_in_the_banner() -> None:
    """Markdown and HTML in an error stay text, also where it closes a code fence."""
    evil = "ValueError: ``` <script>alert(1)</script> ````"
    sealed, _ = seal(lying(), ABOUT, SealedOutcome("failed", BEGAN, 1.0, cell="second", error=evil), Redactor())

    assert sealed.cells[0].outputs[0].data["text/markdown"].endswith(f"\n`````text\n{evil}\n`````")


def test_the_notebook_given_is_not_touched() -> None:
    """Sealing makes a copy: a running notebook is sealed again and again."""
    given = lying()
    before = copy.deepcopy(given)

    seal(given, ABOUT, killed(), Redactor(["second"]))

    assert given == before


def test_sealing_twice_is_sealing_once() -> None:
    """An archived notebook that is run again carries one banner."""
    once, _ = seal(lying(), ABOUT, killed(), Redactor())
    twice, _ = seal(once, ABOUT, killed(), Redactor())

    assert twice == once


def test_a_secret_that_is_printed_in_two_pieces_is_hidden() -> None:
    """A kernel flushes when it likes: pieces are joined before they are searched, and searched before they are cut."""
    notebook = lying()
    pieces = "x" * 999_996 + "hunt", "er2 and more"
    notebook.cells[1].outputs = [new_output("stream", text=piece) for piece in pieces]

    sealed, redactions = seal(notebook, ABOUT, killed(), Redactor(["hunter2"]))

    stream, note = sealed_cell(sealed, "first").outputs
    assert redactions == 1
    assert stream.text == "x" * 999_996 + "••• "
    assert note.text.startswith("… 8 more characters were printed and are not kept")


def test_what_was_dropped_is_counted() -> None:
    """What was cut here and what was never collected add up."""
    notebook = lying()
    notebook.cells[1].outputs = [new_output("stream", text="x" * 1_000_007)]

    sealed, _ = seal(notebook, ABOUT, killed(dropped={"first": 5}), Redactor())

    assert sealed_cell(sealed, "first").outputs[-1].text.startswith("… 12 more characters")
    assert word(sealed)["dropped"] == {"first": 12}


def test_what_is_written_is_what_was_hashed(tmp_path: Path) -> None:
    """The sha256 is the file's, and no draft is left; half a surrogate pair, which a cell may print, is kept."""
    notebook = lying()
    notebook.cells[1].outputs = [new_output("stream", text="한글 \ud83d")]
    path = tmp_path / "out.ipynb"

    sha256 = write(notebook, path)

    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert json.loads(path.read_bytes())["cells"][1]["outputs"][0]["text"] == ["한글 \ud83d"]
    assert os.listdir(tmp_path) == ["out.ipynb"]


def test_a_reader_never_sees_half_a_notebook(tmp_path: Path) -> None:
    """Killed at any moment of a hundred writes, what stands there is a whole notebook."""
    path = tmp_path / "out.ipynb"
    code = (
        "import nbformat, sys\nfrom pathlib import Path\nfrom bigmama_nb.executor.seal import write\n"
        "from nbformat.v4 import new_notebook, new_markdown_cell\n"
        "book = new_notebook(cells=[new_markdown_cell('x' * 2_000_000, id='a')])\n"
        f"path = Path({str(path)!r})\nwrite(book, path)\nprint('begun', flush=True)\n"
        "while True: write(book, path)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"begun\n"

    seen = {len(nbformat.read(path, as_version=4).cells[0].source) for _ in range(50)}
    writer.kill()
    writer.wait()
    writer.stdout.close()

    seen.add(len(nbformat.read(path, as_version=4).cells[0].source))
    assert seen == {2_000_000}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """The error says which file, why, and what to do; what stood there is as before."""
    path = tmp_path / "out.ipynb"
    path.mkdir()

    with pytest.raises(StorageError, match=r"could not be written .*What stood there is as before.*repair latest"):
        write(lying(), path)
    assert stat.S_ISDIR(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["out.ipynb"]


def test_an_error_is_one_line() -> None:
    """Without colour codes, and not longer than the record wants it."""
    assert one_line("\x1b[31mValueError\x1b[0m:\n  two\n lines ") == "ValueError: two lines"
    assert one_line("x" * 600) == "x" * 499 + "…"
