"""Arbitrary documents: every source says what the plainest reading of the rules says, to the last value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources import oracle
from tests.sources.asking import a_profile, ask, by_task, said, write_dump
from tests.sources.holders import SERVERS, SOURCES, can_hold

MAY_1 = date(2024, 5, 1)

INTEGERS = st.one_of(
    st.integers(-5, 5),
    st.integers(-5, 5).map(Int64),
    st.integers(-5, 5).map(float),
    st.sampled_from([2**31, Int64(2**62), Int64(2**63 - 1), Int64(-(2**63)), 2.0**53]),
)
DECIMALS = st.integers(-50, 50).map(lambda n: Decimal128(f"{n}.0"))
OTHERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([None, True, False, "", "a", "3", [], [1], {}, {"u": 1}, b"a", ObjectId(b"a" * 12), -0.0]),
    st.sampled_from(["0.5", "NaN", "Infinity", "1E+30", "3.00"]).map(Decimal128),
    st.just(datetime(2024, 5, 1, tzinfo=UTC)),
)
INSTANTS = st.integers(-30, 60).map(lambda hours: datetime(2024, 5, 1, tzinfo=UTC) + timedelta(hours=hours))
GOOD_DATES = {
    "yyyymmdd": st.sampled_from(["20240430", "20240501", "20240502", 20240430, 20240501, Int64(20240502)]),
    "iso_date": st.sampled_from(["2024-04-30", "2024-05-01T00:00", "2024-05-01 23:59:59", "2024-05-02", "2024-05-01"]),
    "date": INSTANTS,
    "epoch_s": INSTANTS.map(lambda at: int(at.timestamp())) | INSTANTS.map(lambda at: at.timestamp() - 0.5),
    "epoch_ms": INSTANTS.map(lambda at: Int64(at.timestamp() * 1000)) | INSTANTS.map(lambda at: at.timestamp() * 1000),
}
ODD_DATES = st.one_of(
    st.none(),
    st.sampled_from(["20240231", "2024-02-30", "x", "", 20240231, -1, 20240501.0, 1e18, True, {"u": 1}, ["20240501"]]),
    st.just(datetime(2024, 5, 1, tzinfo=UTC)),
)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    as_ = draw(st.sampled_from(sorted(GOOD_DATES)))
    dates = GOOD_DATES[as_] if draw(st.booleans()) else GOOD_DATES[as_] | ODD_DATES
    values = draw(st.sampled_from([INTEGERS, INTEGERS | DECIMALS, INTEGERS | DECIMALS | OTHERS]))
    nested = draw(st.booleans())
    documents = []
    for number in range(draw(st.integers(0, 8))):
        document: dict[str, Any] = {"_id": number, "k": draw(st.integers(1, 2))}
        if draw(st.integers(0, 15)):
            document["d"] = draw(dates)
        if draw(st.integers(0, 15)):
            document["v"] = {"w": draw(values)} if nested else draw(values)
        documents.append(document)
    # So many that are alike are counted by columns.
    times = draw(st.sampled_from([1, 1, 20]))
    documents = [{**document, "_id": number} for number, document in enumerate(documents * times)]
    kind = draw(st.sampled_from(["field", "sum", "max", "count", "count_distinct"]))
    return {
        "documents": documents,
        "as_": as_,
        "kind": kind,
        "path": "v.w" if nested else "v",
        "empty": kind != "field" and draw(st.booleans()),
        "trailing": draw(st.sampled_from([None, 2])) if kind != "field" else None,
        "only": draw(st.sampled_from([None, 1])),
    }


def metric_of(question: dict[str, Any]) -> dict[str, Any]:
    return {
        "collection": "stats",
        "date": {"field": "d", "as": question["as_"]},
        "value": {question["kind"]: True if question["kind"] == "count" else question["path"]},
        "period": "day",
        **({"empty": 0} if question["empty"] else {}),
        **({"trailing_days": 2} if question["trailing"] else {}),
        **({"match": {"k": 1}} if question["only"] else {}),
    }


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
def test_any_documents_give_what_the_rules_say(source: Any, holder: Any, tmp_path: Path, question: Any) -> None:
    """For any documents and any kind of figure, the outcome is the one that the oracle finds."""
    documents = [document for document in question["documents"] if can_hold(source, document)]
    profile = a_profile(
        tmp_path,
        clusters={"c": holder.settings},
        games={"lw": {"cluster": "c", "database": holder.hold({"stats": documents})}},
        metrics={"m": metric_of(question)},
    )
    expected = {
        f"lw/m/{last:%Y%m%d}": oracle.answer(
            documents,
            field="d",
            as_=question["as_"],
            kind=question["kind"],
            path=question["path"],
            first=last - timedelta(days=1) if question["trailing"] else last,
            last=last,
            empty=question["empty"],
            matches=lambda document: not question["only"] or document["k"] == 1,
        )
        for last in (MAY_1, date(2024, 5, 2))
    }
    found = by_task(ask(profile, MAY_1, date(2024, 5, 2)))
    assert expected == {task: said(outcome) for task, outcome in found.items()}, [one.message for one in found.values()]


@pytest.mark.parametrize("source", SERVERS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions())
def test_a_server_says_what_a_dump_of_it_says(source: Any, holder: Any, tmp_path: Path, question: Any) -> None:
    """The same documents on a server and in a dump: the same outcome, value, reason, message and counts."""
    collections = {"stats": [document for document in question["documents"] if can_hold(source, document)]}
    write_dump(tmp_path / "dump", database := holder.hold(collections), collections)
    profile = a_profile(
        tmp_path,
        clusters={"live": holder.settings, "dumped": {"dump": "dump"}},
        games={cluster: {"cluster": cluster, "database": database} for cluster in ("live", "dumped")},
        metrics={"m": metric_of(question)},
    )
    told: dict[str, list[Any]] = {"live": [], "dumped": []}
    for outcome in ask(profile, MAY_1, date(2024, 5, 2)).outcomes:
        game = outcome.ask.game_cd
        message = outcome.message and outcome.message.removeprefix(f"{game} ")
        told[game].append(
            (outcome.ask.dt, outcome.outcome, outcome.value, outcome.reason, message, outcome.place, outcome.undated)
        )
    assert told["dumped"] == told["live"]
