"""The filters that servers get: as wide as the code that reads files, and not wider where they must not be."""

from __future__ import annotations

import itertools
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, OperationFailure

from bigmama_nb.sources import mongo_filters
from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.mongo_errors import trouble

SEOUL = ZoneInfo("Asia/Seoul")
ANY_DAY = st.dates().map(lambda day: day.isoformat())
NEAR_DAYS = st.builds(
    "{:04d}-{:02d}-{:02d}".format, st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32)
) | st.builds("{:04d}-02-29".format, st.integers(0, 9999))
TEXTS = ANY_DAY | NEAR_DAYS | st.text(st.sampled_from("0123456789-\n２"), max_size=11)


@given(TEXTS, st.sampled_from(["", "T10:00", "x", "\n"]), st.sampled_from(["yyyymmdd", "yyyymm", "iso_date"]))
def test_the_pattern_of_valid_dates_is_what_dating_takes(text: Any, more: Any, as_: Any) -> None:
    """A server finds a string to be a date exactly if the code that reads files does, in every form."""
    written = {"yyyymmdd": text.replace("-", ""), "yyyymm": text.replace("-", "")[:6], "iso_date": text}[as_] + more
    pattern = mongo_filters.VALID_TEXT[as_].replace(r"\z", r"\Z")
    assert bool(re.search(pattern, written)) == (not isinstance(Dating(as_, SEOUL).place(written), Unplaced))


@given(
    st.integers(0, 400),
    st.integers(1, 300),
    st.sampled_from(["date", "epoch_s", "epoch_ms", "yyyymmdd"]),
    st.integers(1, 40),
)
def test_split_pieces_are_the_whole(first: Any, length: Any, as_: Any, pieces: Any) -> None:
    """The pieces of a span follow one another without a gap, from its begin to its end."""
    dating = Dating(as_, SEOUL)
    begin = dating.start(date(2024, 1, 1) + timedelta(days=first))
    end = dating.start(date(2024, 1, 1) + timedelta(days=first + length))
    found = mongo_filters.split(dating, begin, end, pieces)
    assert (begin, end) == (found[0][0], found[-1][1])
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    assert all(low < high for low, high in found)
    assert len(found) <= pieces


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", ["a"]), ("a.b", ["a.b"]), ("a.0.b", ["a"]), ("a.b.1", ["a.b"]), ("0.a", ["0.a"])],
)
def test_a_projection_brings_whole_arrays(path: Any, expected: Any) -> None:
    """A projection does not go into an array by its number, so what is before the number is brought."""
    assert expected == [mongo_filters._projectable(path)]


@pytest.mark.parametrize(
    ("error", "reason", "may_pass"),
    [
        (OperationFailure("Authentication failed.", 18), "auth", False),
        (OperationFailure("not authorized on lw to execute command", 13), "auth", False),
        (ExecutionTimeout("operation exceeded time limit", 50), "query_timeout", True),
        (OperationFailure("unknown operator: $what", 2), "query_refused", False),
        (OperationFailure("interrupted at shutdown", 11600), "unreachable", True),
        (OperationFailure("cursor id 7 not found", 43), "unreachable", True),
        (AutoReconnect("h:27017: connection closed"), "unreachable", True),
        (AutoReconnect("h:27017: SSL handshake failed: certificate verify failed"), "tls", False),
        (NetworkTimeout("h:27017: timed out"), "unreachable", True),
    ],
    ids=lambda one: str(one)[:30],
)
def test_each_error_has_its_reason_and_only_what_can_pass_is_asked_again(
    error: Any, reason: Any, may_pass: Any
) -> None:
    """What the driver raises becomes one of the reason classes, and a retry where that can help."""
    found = trouble(error, secrets=[], max_time_ms=1000)
    assert (reason, may_pass) == (found.reason, found.may_pass)


def test_long_errors_are_cut_to_a_line() -> None:
    """Of an error with the driver's settings and the whole topology, only what a person needs is said."""
    text = (
        "h:27017: [Errno 111] Connection refused (configured timeouts: socketTimeoutMS: 1.0ms), Timeout: 1s, Topology"
    )
    assert trouble(AutoReconnect(text), secrets=[], max_time_ms=1).found == (
        "the connection broke off: h:27017: [Errno 111] Connection refused"
    )


def test_an_instant_of_a_day_without_midnight_is_between(tmp_path: Path) -> None:
    """Days are cut where the zone begins them, also where a clock is put forward at midnight."""
    dating = Dating("date", ZoneInfo("America/Sao_Paulo"))
    start, following = dating.start(date(2018, 11, 4)), dating.start(date(2018, 11, 5))
    assert (start, following) == (datetime(2018, 11, 4, 3), datetime(2018, 11, 5, 2))  # noqa: DTZ001
