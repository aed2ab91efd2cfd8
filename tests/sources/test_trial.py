"""A metric, tried: the same counts, types and values of every source, no identity shown, and the query that is sent."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from bigmama_nb.sources.trial import Trial, tried
from tests.services.proxy import Proxy, Swallowing
from tests.sources.asking import a_profile, write_dump
from tests.sources.holders import SOURCES

MAY_1 = date(2024, 5, 1)
SUM = {
    "collection": "orders",
    "match": {"status": "paid"},
    "date": {"field": "at", "as": "date"},
    "value": {"sum": "amount"},
    "period": "day",
}


def order(day: int, amount: Any, status: str = "paid", **more: Any) -> dict[str, Any]:
    """An order at noon of a day of May in Seoul."""
    return {"_id": ObjectId(), "at": datetime(2024, 5, day, 3, tzinfo=UTC), "amount": amount, "status": status, **more}


ORDERS = [
    order(1, 10),
    order(1, 2.5),
    order(1, "7"),
    order(1, 5, "open"),
    order(2, 9),
    {"_id": ObjectId(), "amount": 1, "status": "paid"},
]


def a_trial(folder: Path, holder: Any, metric: dict[str, Any], documents: list[dict[str, Any]]) -> Trial:
    """Try one metric of one game that has these documents."""
    database = holder.hold({metric["collection"]: documents})
    profile = a_profile(
        folder,
        clusters={"one": holder.settings},
        games={"lw": {"cluster": "one", "database": database}},
        metrics={"m": metric},
    )
    (found,) = tried(profile, "m", ["lw"], MAY_1)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_documents_and_values_are_counted_alike(holder: Any, tmp_path: Path) -> None:
    """Four orders are of the day, three of them paid, two of their amounts are refused; one paid order is undated."""
    found = a_trial(tmp_path, holder, SUM, ORDERS)
    assert found.sight is not None
    assert (found.sight.dated, found.sight.counted, found.sight.kind) == (4, 3, "counted")
    assert (found.used, dict(found.refused)) == (1, {"not_integral": 1, "wrong_type": 1})
    assert dict(found.odd_dates) == {"undated": 1}
    assert (found.outcome.outcome, found.outcome.reason, found.outcome.value) == ("failed", "wrong_type", None)
    assert (found.first, found.last, found.due) == (MAY_1, MAY_1, True)
    assert [[(one.path, one.type, one.value) for one in fields] for fields in found.examples] == [
        [("status", "string", '"paid"'), ("at", "date", "2024-05-01T03:00:00.000Z"), ("amount", kind, value)]
        for kind, value in [("double", "2.5"), ("string", '"7"'), ("int", "10")]
    ]
    assert found.load.queries >= 1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("documents", "kind", "counts"),
    [
        ([order(1, 1, "open"), order(2, 1)], "dated", (1, 0)),
        ([order(3, 1), order(2, 1, "open")], "matched", (0, 0)),
        ([order(3, 1, "open")], "other", (0, 0)),
        ([], "other", (0, 0)),
    ],
    ids=["of the day", "of the match", "of neither", "none"],
)
def test_where_nothing_counts_the_nearest_documents_are_shown(
    holder: Any, tmp_path: Path, documents: list[dict[str, Any]], kind: str, counts: tuple[int, int]
) -> None:
    """Those of the day tell what the match refuses, those of the match which dates there are."""
    found = a_trial(tmp_path, holder, SUM, documents)
    assert found.sight is not None
    assert found.sight.kind == kind
    assert (found.sight.dated, found.sight.counted) == counts
    assert len(found.examples) == min(1, len(documents))
    assert (found.used, dict(found.refused)) == (0, {})


WHO = ["7f3a77c0-1b0e-4c7e-9a35-1d0c86c1f0b2", "kim@example.com", "821012345678"]


@pytest.mark.parametrize("source", ["dump", "ferretdb"])
def test_nobody_is_shown(holder: Any, tmp_path: Path) -> None:
    """Values that may tell who somebody is are masked, by their path, their form and their type; types are shown."""
    metric = {
        **SUM,
        "match": {"userId": {"$exists": True}, "note": {"$ne": "x"}, "paidBy": {"$ne": "x"}, "ref": {"$ne": 1}},
        "value": {"count_distinct": "customer.id"},
        "may_be_absent": ["ref", "note", "paidBy", "userId"],
    }
    document = order(1, 1, userId=4711, note=WHO[1], paidBy=WHO[2], ref=ObjectId(), customer={"id": WHO[0], "tier": 1})
    found = a_trial(tmp_path, holder, metric, [document])
    (fields,) = found.examples
    assert {one.path: (one.type, one.value) for one in fields} == {
        "userId": ("int", "•••"),
        "note": ("string", "•••"),
        "paidBy": ("string", "•••"),
        "ref": ("objectId", "•••"),
        "at": ("date", "2024-05-01T03:00:00.000Z"),
        "customer.id": ("string", "•••"),
    }
    assert found.outcome.value == 1
    assert not [who for who in [*WHO, "4711", str(document["ref"])] if who in repr(found.examples)]


def test_other_kinds_of_values(tmp_path: Path) -> None:
    """A missing field, a path through an array, a document and an array say so; of long texts nothing is shown."""
    document = {"at": datetime(2024, 5, 1, 3, tzinfo=UTC), "a": [{"b": 1}], "d": {"x": 1, "y": 2}, "t": "x" * 41}
    write_dump(tmp_path / "dump", "lw", {"orders": [document]})
    paths = ["a.b", "a", "d", "t", "gone"]
    metric = {**SUM, "match": {path: {"$ne": 7} for path in paths}, "value": {"count": True}, "may_be_absent": paths}
    profile = a_profile(
        tmp_path,
        clusters={"one": {"dump": "dump"}},
        games={"lw": {"cluster": "one", "database": "lw"}},
        metrics={"m": metric},
    )
    (found,) = tried(profile, "m", ["lw"], MAY_1)
    assert {one.path: (one.type, one.value) for one in found.examples[0]} == {
        "a.b": ("array", "a is one"),
        "a": ("array", "of 1"),
        "d": ("object", "of 2"),
        "t": ("string", "•••"),
        "gone": ("missing", ""),
        "at": ("date", "2024-05-01T03:00:00.000Z"),
    }


def plain(javascript: str) -> Any:
    """Read a query of mongosh back, by its own words for instants and longs."""
    text = re.sub(r'ISODate\("([^"]*)Z"\)', r'{"$date": "\1"}', javascript)

    def instants(found: dict[str, Any]) -> Any:
        return datetime.fromisoformat(found["$date"]) if list(found) == ["$date"] else found

    return json.loads(re.sub(r'NumberLong\("([^"]*)"\)', r"\1", text), object_hook=instants)


@pytest.mark.parametrize(
    ("value", "days"),
    [({"sum": "amount"}, 1), ({"count": True}, 1), ({"max": "amount"}, 90)],
    ids=["sum", "count", "three months"],
)
@pytest.mark.parametrize("source", ["ferretdb"])
def test_the_query_that_is_shown_is_the_one_that_goes_to_the_cluster(
    holder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: dict[str, Any], days: int
) -> None:
    """Each shown filter goes over the wire, and typed in itself it finds the documents that count."""
    database = holder.hold({"orders": [order(1, 4), order(1, 2**53 + 1), order(1, 1, "open"), order(2, 1)]})
    with Proxy(holder.server.port) as proxy:
        sent: list[Any] = []

        def note(command: dict[str, Any]) -> bool:
            sent.append(command.get("filter") or command.get("pipeline"))
            return True

        proxy.watch = note
        monkeypatch.setenv("BIGMAMA_TRIED_URI", proxy.uri)
        metric = {**SUM, "value": value, "trailing_days": days, "match": {"amount": {"$lte": 2**53 + 2}}}
        profile = a_profile(
            tmp_path,
            clusters={"one": {"uri_env": "BIGMAMA_TRIED_URI", "retries": 0}},
            games={"lw": {"cluster": "one", "database": database}},
            metrics={"m": metric},
        )
        (found,) = tried(profile, "m", ["lw"], MAY_1)
    assert found.outcome.outcome == "ok"
    assert len(found.queries) == -(-days // 31)
    with MongoClient[dict[str, Any]](holder.server.uri) as client:
        seen = 0
        for query in found.queries:
            begun = f'db.getSiblingDB("{database}").getCollection("orders").'
            name, _, rest = query.removeprefix(begun).partition("(")
            asked = plain(f"[{rest.removesuffix(')')}]")[0]
            assert asked in sent, query
            filter_ = asked[0]["$match"] if name == "aggregate" else asked
            seen += client[database].orders.count_documents(filter_)
    assert found.sight is not None
    assert seen == found.sight.counted


def test_a_cluster_that_does_not_answer_costs_its_own_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At extract_deadline_s what is not there is `deadline`; the dump's game has its value."""
    write_dump(tmp_path / "dump", "lw", {"orders": [order(1, 4)]})
    with Swallowing() as silent:
        monkeypatch.setenv("BIGMAMA_TRIED_URI", f"mongodb://127.0.0.1:{silent.port}/")
        profile = a_profile(
            tmp_path,
            extract_deadline_s=1,
            clusters={"one": {"dump": "dump"}, "two": {"uri_env": "BIGMAMA_TRIED_URI"}},
            games={"lw": {"cluster": "one", "database": "lw"}, "lm": {"cluster": "two", "database": "lm"}},
            metrics={"m": {**SUM, "ready": {"collection": "orders", "match": {"amount": 4}}}},
        )
        well, late = tried(profile, "m", ["lw", "lm"], MAY_1)
    assert (well.outcome.value, late.outcome.reason) == (4, "deadline")
    assert "two/lm.orders was not done within extract_deadline_s = 1 s" in str(late.outcome.message)
    assert late.sight is None
