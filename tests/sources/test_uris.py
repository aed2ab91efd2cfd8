"""No name server and no host is asked for by a part of a password, however it was put into the URI."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.asking import a_profile, ask
from tests.sources.test_hostile import METRICS

QUICK = "serverSelectionTimeoutMS=30&connectTimeoutMS=30"
WATCHED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto", "socket.sendmsg")
_asked: list[tuple[list[str], set[int]]] = []


def _watch(
    event: str, arguments: tuple[object, ...], watched: tuple[str, ...] = WATCHED, asked: list[Any] = _asked
) -> None:
    # A hook stays until the process ends, when the module's names are gone.
    if event in watched:
        for one, others in asked:
            if threading.get_ident() not in others:
                one.append(f"{event} {arguments}")


sys.addaudithook(_watch)


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """Every name and address that this test asks for; Python's own audit events.

    A client of an earlier test may have threads left that still look for its server.
    """
    mine: list[str] = []
    others = {one.ident for one in threading.enumerate() if one.ident is not None} - {threading.get_ident()}
    _asked.append((mine, others))
    yield mine
    _asked.pop()


def extracted(folder: Path, patched: pytest.MonkeyPatch, uri: str) -> str:
    """Ask a cluster of this URI, and return why it failed."""
    patched.setenv("LIVE_URI", uri)
    read = a_profile(
        folder,
        clusters={"c": {"uri_env": "LIVE_URI", "retries": 0}},
        games={"lw": {"cluster": "c", "database": "lw"}},
        metrics={"m": METRICS["total"]},
        extract_deadline_s=5,
    )
    (outcome,) = ask(read, date(2024, 5, 1)).outcomes
    assert outcome.outcome == "failed"
    return str(outcome.message)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text("abXY12@/:?#%[],;&= é", min_size=8, max_size=16), escape=st.booleans(), srv=st.booleans())
def test_only_the_host_behind_the_last_at_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[str],
    password: str,
    escape: bool,
    srv: bool,
) -> None:
    """Any password, escaped or not: refused in words, or the one host that the URI has is asked for."""
    if srv and escape:
        return  # a right one asks name servers for its host, as it should
    del asked[:]
    written = quote(password, safe="") if escape else password
    host = "nowhere.invalid" if srv else "127.0.0.1:1"
    message = extracted(tmp_path, monkeypatch, f"mongodb{'+srv' if srv else ''}://etl:{written}@{host}/?{QUICK}")
    if srv and "Nothing was asked" not in message:
        return  # this password needs no escape
    assert [one for one in asked if "127.0.0.1" not in one] == [], message
    assert password not in message
    assert not escape or asked, message


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://etl%3AHorseBattery9%40127.0.0.1/", "mongodb+srv://etl%3AHorseBattery9%40db.example",
        "mongodb+srv://etl:Horse@Battery9@db.example", "mongodb+srv://etl:Horse/Battery9@db.example",
        "mongodb://etl:HorseBattery9", "mongodb:///etl:HorseBattery9@127.0.0.1", "etl:HorseBattery9@127.0.0.1",
        "'mongodb://etl:HorseBattery9@127.0.0.1/'", "mongodb:/etl:HorseBattery9@127.0.0.1",
        "mongodb://etl:Horse Battery9/x@127.0.0.1", "mongodb://etl:Horse\nBattery9@x@127.0.0.1",
    ],
)  # fmt: skip
def test_a_uri_that_reads_otherwise_than_it_was_meant_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], uri: str
) -> None:
    """An @ escaped as well, no host, no scheme, quotes: nothing is asked and nothing of the password is said."""
    message = extracted(tmp_path, monkeypatch, uri)
    assert asked == []
    assert "Horse" not in message
    assert "Battery" not in message
