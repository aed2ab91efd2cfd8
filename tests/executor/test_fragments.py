"""No eight characters in a row of a secret are left behind, however a text was cut, wrapped, escaped or shortened."""

from __future__ import annotations

import base64
import json
import reprlib
import string
import textwrap
import urllib.parse
from collections.abc import Callable

import nbformat
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from bigmama_nb.executor.fragments import LONG, SIZE
from bigmama_nb.executor.redact import ADDRESS, VOCABULARY, Redactor

PASSWORD = "Corr3ct-H0rse.Battery_St4ple"
URI = f"mongodb://reader:{PASSWORD}@db1.example:27017/lw"
SECRETS = st.text(
    string.ascii_letters + string.digits + "!$()*,-.:;=@_~/äß한", min_size=12, max_size=40
).filter(
    lambda text: (
        sum(one.isalpha() for one in text) >= 8
        and len(set(text)) > 6
        # The record's own words are no secret, whoever uses them for one.
        and not any(text[at : at + SIZE].lower() in VOCABULARY.lower() for at in range(len(text)))
        # Of an address only its secret parts are hidden.
        and not ADDRESS.match(text)
    )
)


def left(secret: str, text: str) -> list[str]:
    """Return the pieces of the secret that can be read in a text, as it is or unescaped."""
    shown = [text.lower(), urllib.parse.unquote(text).lower()]
    # One of a single character, or all of digits such as a day, tells nothing of a secret.
    pieces = {secret[at : at + SIZE].lower() for at in range(len(secret) - SIZE + 1)}
    return sorted(
        piece
        for piece in pieces
        if len(set(piece)) > 1 and not piece.replace("-", "").isdigit() and any(piece in one for one in shown)
    )


CUTS: dict[str, Callable[[str], str]] = {
    "pandas' column": lambda secret: str(pd.DataFrame({"uri": [f"mongodb://u:{secret}@h/db" * 2]})),
    "pandas' HTML": lambda secret: pd.DataFrame({"uri": [f"mongodb://u:{secret}@h/db" * 2]}).to_html(max_cols=1),
    "wrapped": lambda secret: textwrap.fill(f"at {secret} it is", 11),
    "wrapped and indented": lambda secret: textwrap.indent("\n".join(textwrap.wrap(secret, 5)), "   | ").replace(
        "|", ""
    ),
    "shortened in the middle": lambda secret: f"uri   str   mongodb://u:{secret[:10]}<...>{secret[-9:]}@h/db",
    "reprlib": lambda secret: reprlib.repr(f"xx{secret}yyyyyyyyyyyyyyyyyyyyyyyyyy"),
    "in capitals": str.upper,
    "as a host": lambda secret: f"{secret.rpartition('@')[2].lower()}:27017: Name or service not known",
    "quoted, then cut": lambda secret: urllib.parse.quote(f"a {secret}", safe="")[: len(secret)],
    "quoted twice": lambda secret: urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe="")[1:],
    "in JSON, then cut": lambda secret: json.dumps({"a": secret + "\n"})[9:-6],
    "in JSON in JSON, then cut": lambda secret: json.dumps(json.dumps({"a": secret}))[12:-6],
    "as Python's bytes, cut": lambda secret: repr(secret.encode())[4:],
}


@pytest.mark.parametrize("cut", CUTS)
@settings(deadline=None, max_examples=50)
@given(secret=SECRETS)
def test_no_eight_characters_are_left_of_a_secret_that_was_cut(cut: str, secret: str) -> None:
    """Whatever cuts, wraps or escapes: what can be read is shorter than a piece."""
    hidden, _ = Redactor([secret]).text(CUTS[cut](secret))
    assert left(secret, hidden) == []


@pytest.mark.parametrize("text", ["a%200000000%C3%9F%C3", "%B6%C3%9F%C3%A4qwertz", r"b'\xb6\xc3\x9f\xc3\xa4qwertz"])
def test_a_character_that_was_cut_spoils_no_other(text: str) -> None:
    """An escaped character cut at one end of a text: what stands beside it is read as it is."""
    for secret in ("0000000ßä0000AAAABC6", "qwßäqwertzuiop"):
        assert left(secret, Redactor([secret]).text(text)[0]) == []


@settings(deadline=None, max_examples=50)
@given(secret=SECRETS, data=st.data())
def test_no_eight_characters_are_left_in_anything_archived(secret: str, data: st.DataObject) -> None:
    """Slices of it anywhere in a notebook, short texts and long ones, streams, tables, errors, keys and metadata."""

    def piece() -> str:
        start = data.draw(st.integers(0, len(secret) - 1))
        end = data.draw(st.integers(start, len(secret)))
        around = st.text(string.ascii_letters + " .…'\"\n", max_size=20)
        return data.draw(around) + secret[start:end] + data.draw(around)

    # No secret holds a bar, so that none goes on in the filler by chance.
    filler = f"|{'All work and no play. ' * (LONG // 20)}|"
    notebook = new_notebook(
        cells=[
            new_code_cell(
                f"uri = '{piece()}'",
                id="a",
                metadata={"note": [piece(), {piece(): 1}]},
                outputs=[
                    new_output("stream", text=filler + piece() + filler + piece()),
                    new_output("display_data", data={"text/html": f"<td>{piece()}</td>"}),
                    new_output("error", ename="E", evalue=piece(), traceback=[piece(), f"\x1b[31m{piece()}\x1b[0m"]),
                ],
            )
        ]
    )
    hidden, _ = Redactor([f"mongodb://u:{urllib.parse.quote(secret, safe='')}@h/db"]).notebook(notebook)

    assert left(secret, json.dumps(hidden, ensure_ascii=False)) == []
    assert nbformat.v4.upgrade(hidden).cells[0].outputs[0].text.startswith(filler)


@settings(deadline=None, max_examples=50)
@given(st.text(string.ascii_letters + string.digits + " .,:/=-_%\\&\n", max_size=3 * LONG))
def test_a_text_that_holds_no_piece_is_left_as_it_is(text: str) -> None:
    """Long or short, with what looks like escapes."""
    assert Redactor([URI, "quartz jackdaws vexed"]).text(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://reader:Corr3ct-H0rse.Batt...", "mongodb://•••"),
        ("mongodb://lw:p4ss", "mongodb://•••"),
        ("at 'mongodb://lw:p4", "at 'mongodb://•••"),
        ("mongodb://lw:Corr3ct@Horse/x@db1:27017/lw", "mongodb://•••@db1:27017/lw"),
        ('{"uri": "mongodb:\\/\\/lw:p4ss\\"}', '{"uri": "mongodb:\\/\\/•••\\"}'),
        ("thrift://h:9083: refused", "thrift://h:9083: refused"),
        ("mongodb://h1:27017,h2:27018/db", "mongodb://h1:27017,h2:27018/db"),
        ("thrift://[::1]:9083/x", "thrift://[::1]:9083/x"),
        ("expected thrift://host:9083).", "expected thrift://host:9083)."),
        ("file:///C:/x", "file:///C:/x"),
    ],
)
def test_a_uri_is_hidden_from_its_user_to_the_next_blank_or_quote(text: str, shown: str) -> None:
    """Also where nobody knows the password and it was cut before its @; a host with a port is none."""
    assert Redactor().text(text)[0] == shown


def test_a_password_that_nobody_escaped_is_known_as_a_whole() -> None:
    """An @ and a / in it: a driver takes what stands behind them for a host, and tells it."""
    redactor = Redactor(["mongodb://bigmama:Corr3ct@HorseBattery9/x@localhost:27017/"])
    assert redactor.text("horsebattery9:27017: Name or service not known") == (
        "•••:27017: Name or service not known",
        1,
    )
    assert redactor.text("localhost:27017: refused") == ("localhost:27017: refused", 0)


def test_what_everybody_may_read_is_no_piece_of_a_secret() -> None:
    """A password made of the run's own words is hidden, and the words alone are not; neither is a day."""
    redactor = Redactor(["reader-game_metric-lineage-20240501"], public="lineage-w")
    kept = "lw/wau/20240501 of game_metric, not_ready 2024-05-01, lineage-w"
    assert redactor.text(kept) == (kept, 0)
    assert redactor.text("'reader-game_metric-lineage-20240501'") == ("'•••'", 1)
    assert redactor.text("reader-game_m…") == ("•••m…", 1) or redactor.text("reader-game_m…")[1] == 1


def test_a_large_notebook_is_searched_in_one_pass() -> None:
    """Megabytes of output with a piece at the end of it: found, and what stands around it is kept."""
    filler = "0123456789 the quick brown fox jumps, over it; " * 40_000
    hidden, hits = Redactor([URI]).text(filler + "|" + PASSWORD[3:15] + "|" + filler)
    assert (hidden, hits) == (f"{filler}|•••|{filler}", 1)


def test_base64_of_a_secret_is_found_as_before() -> None:
    """As a whole, which is how a header holds it."""
    text = base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
    assert PASSWORD not in Redactor([URI]).text(text)[0]
    assert "•••" in Redactor([URI]).text(text)[0]
