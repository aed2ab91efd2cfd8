"""No eight characters of a secret stand in anything that a run leaves behind, whatever held it."""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from bigmama_nb.executor.redact import Redactor
from tests.runs.world import World, in_process

PASSWORD = "Tr0ub4dor&3-correct-horse"

LETTERS = "bcdfghjkmnpqrstvwxzBCDFGHJKLMNPQRSTVWXZ"
PASSWORDS = st.text(LETTERS + "0123456789" + "@/:%&+~^!$=#-_.,;()*\"'\\가나힣é", min_size=12, max_size=28).filter(
    # A piece that says nothing (a day, a digit over and over) is none.
    lambda text: all(
        len(set(text[at : at + 8])) > 3 and re.search(f"[{LETTERS}]{{2}}", text[at : at + 8])
        for at in range(len(text) - 7)
    )
)

WAYS: dict[str, Callable[[str], str]] = {
    "whole": lambda text: text,
    "begun": lambda text: text[: len(text) - 3] + "…",
    "its end": lambda text: "…" + text[3:],
    "wrapped": lambda text: "\n".join(textwrap.wrap(text, 5)),
    "as Python writes it": repr,
    "as JSON writes it": json.dumps,
    "in a URI": lambda text: f"mongodb://etl:{urllib.parse.quote(text, safe='')}@db.example/lw",
    "in a URI, not escaped": lambda text: f"mongodb://etl:{text}@db.example/lw",
    "in a URI, cut": lambda text: f"mongodb://etl:{text}"[:30],
    "percent-encoded": lambda text: urllib.parse.quote(text, safe=""),
    "in HTML": html.escape,
    "in small letters": str.lower,
    "in base64": lambda text: base64.b64encode(f"etl:{text}".encode()).decode(),
    "in a column that pandas cuts": lambda text: pd.DataFrame({"uri": [f"etl:{text}"]}).to_string(max_colwidth=20),
    "coloured": lambda text: f"{text[:6]}\x1b[31m{text[6:]}\x1b[0m",
    "in bytes": lambda text: repr(text.encode()),
}


def pieces(secret: str, text: str) -> list[str]:
    """Return the runs of eight characters of a secret that a reader finds in a text, however it is written."""
    without_codes = re.sub(r"\x1b\[[0-9;]*m", "", text)
    readings = {without_codes, urllib.parse.unquote(without_codes), html.unescape(without_codes)}
    readings |= {re.sub(r"\s", "", one) for one in readings}
    readings |= {one.replace("\\", "") for one in readings}
    lower = [one.lower() for one in readings]
    every = {secret[at : at + 8].lower() for at in range(len(secret) - 7)}
    return [piece for piece in every if any(piece in one for one in lower)]


def test_the_search_of_these_tests_finds_what_it_should() -> None:
    """A test that finds nothing anywhere would be green for ever."""
    for name, way in WAYS.items():
        if name != "in base64":
            assert pieces("s3cr3tHorseBattery", f"see {way('s3cr3tHorseBattery')} there"), name


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(password=PASSWORDS, ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=3), where=st.booleans())
def test_no_piece_is_left_in_any_output_of_a_notebook(password: str, ways: list[str], where: bool) -> None:
    """Streams, tables, errors, sources, parameters: cut, wrapped, escaped, coloured, in a URI or alone."""
    redactor = Redactor({f"mongodb://etl:{urllib.parse.quote(password, safe='')}@db.example/lw", password})
    text = " and ".join(f"see {WAYS[way](password)} there" for way in ways)
    outputs = [
        new_output("stream", name="stderr" if where else "stdout", text=text),
        new_output("display_data", data={"text/plain": text, "text/html": f"<td>{html.escape(text)}</td>"}),
        new_output("error", ename="ValueError", evalue=text, traceback=[text, *text.splitlines()]),
    ]
    cell = new_code_cell(f"uri = {text!r}", id="a", outputs=outputs, metadata={"papermill": {"exception": text}})
    clean, hits = redactor.notebook(new_notebook(cells=[cell], metadata={"papermill": {"parameters": {"x": text}}}))
    kept = nbformat.writes(clean)
    nbformat.validate(clean)
    texts = [kept, *strings(json.loads(kept))]
    assert hits > 0
    assert [piece for one in texts for piece in pieces(password, one)] == []


def strings(value: Any) -> list[str]:
    """Return every text in what JSON holds."""
    if isinstance(value, dict):
        return [text for item in (*value, *value.values()) for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def left_behind(folder: Path) -> list[str]:
    """Return every text in the archive's files and their names: records, logs, tables, pages, notebooks."""
    texts = []
    for path in folder.rglob("*"):
        texts.append(path.name)
        if path.suffix == ".parquet":
            columns = pq.read_table(path).to_pydict().values()
            texts += [str(value) for column in columns for value in column if value is not None]
        elif path.is_file() and path.name != "profile.yaml" and path.parent.name != "assets":
            text = path.read_bytes().decode("utf-8", "replace")
            texts += [text, *(strings(json.loads(text)) if path.suffix == ".json" else [])]
    return texts


def leave_no_piece(folder: Path, monkeypatch: pytest.MonkeyPatch, password: str, ways: list[str]) -> None:
    with monkeypatch.context() as patched, in_process(patched, World(folder / "world")) as world:
        quoted = urllib.parse.quote(password, safe="")
        patched.setenv("WEST_URI", f"mongodb://etl:{quoted}@127.0.0.1:9/?serverSelectionTimeoutMS=50")
        world.write_profile(
            ("  west: {dump: dumps/west}", "  west: {dump: dumps/west}\n  live: {uri_env: WEST_URI, retries: 0}"),
            ("metrics:\n", "  dd: {cluster: live, database: dd}\nmetrics:\n"),
        )
        documents = world.daily("cc")
        for document, way in zip(documents, ways * len(documents), strict=False):
            document["_id"] = f"{WAYS[way](password)} at {document['dt']}"
            document["value"] = "many"
        world.write("cc", "daily", documents)
        said = [world.text_of("run", "--date", "2024-05-01"), world.said]
        for words in (["runs", "show", "latest"], ["repair", "latest", "--plan"], ["check"]):
            said += [json.dumps(world.command(*words), ensure_ascii=False), world.said]
        assert "wrong_type" in said[0]
        texts = [*said, *left_behind(world.folder / "archive")]
        assert [piece for one in texts for piece in pieces(password, one)] == []


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(password=PASSWORDS, ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=2, max_size=5))
def test_no_piece_is_left_by_a_run(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, password: str, ways: list[str]
) -> None:
    """Of a secret in documents and in a URI: record, log, tables, pages, stdout and stderr hold no piece of it."""
    leave_no_piece(tmp_path_factory.mktemp("secrets"), monkeypatch, password, ways)


@pytest.mark.long
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(password=PASSWORDS, ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=2, max_size=5))
def test_no_piece_is_left_by_many_runs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, password: str, ways: list[str]
) -> None:
    """The same, many times over."""
    leave_no_piece(tmp_path_factory.mktemp("secrets"), monkeypatch, password, ways)


def test_a_password_in_a_documents_id_stands_in_no_archived_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error names the document by its `_id`: where a password stands in it, it is masked in Parquet files too."""
    monkeypatch.setenv("WEST_URI", f"mongodb://etl:{PASSWORD}@127.0.0.1:9/")
    world.write_profile(
        ("  west: {dump: dumps/west}", "  west: {dump: dumps/west}\n  live: {uri_env: WEST_URI}"),
    )
    documents = world.daily("cc")
    for document in documents:
        document["_id"] = f"job of etl:{PASSWORD} at {document['dt']}"
        document["value"] = "many"
    world.write("cc", "daily", documents)
    answer = world.command("run", "--date", "2024-05-01")
    assert answer["exit_status"] == 3
    kept = list((world.folder / "archive" / "runs").glob("*/1/data/*.parquet"))
    texts = [
        str(value)
        for path in kept
        for column in pq.read_table(path).to_pydict().values()
        for value in column
        if value is not None
    ]
    assert any("job of etl" in text for text in texts)
    assert not [text for text in texts if PASSWORD[:12] in text]
