"""A server that finds a range of dates by an index: few documents are looked at, and they are the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from bigmama_nb.profile import Profile
from tests.services.mongo import MongoServer, mongo_java_server
from tests.sources.asking import a_profile, ask, by_task, connecting, said

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, OF_A_DAY = 360, 10
ORDERS = [{"_id": n, "at": FIRST + n * timedelta(days=1) / OF_A_DAY, "v": 1} for n in range(DAYS * OF_A_DAY)]
MONTH = {"collection": "orders", "date": {"field": "at", "as": "date"}, "value": {"sum": "v"}, "period": "month"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A mongo-java-server with a year's orders, a tenth of a day apart, with an index on their date and without."""
    with mongo_java_server(tmp_path_factory.mktemp("java")) as started:
        with MongoClient[dict[str, Any]](started.uri) as client:
            for database in ("indexed", "plain"):
                client[database].orders.insert_many([dict(order) for order in ORDERS])
            client.indexed.orders.create_index("at")
        yield started


def live(folder: Path, server: MongoServer, monkeypatch: pytest.MonkeyPatch, database: str) -> Profile:
    monkeypatch.setenv("BIGMAMA_TEST_INDEXED_URI", server.uri)
    return a_profile(
        folder,
        clusters={"c": {"uri_env": "BIGMAMA_TEST_INDEXED_URI"}},
        games={"lw": {"cluster": "c", "database": database}},
        metrics={"sum": MONTH},
    )


def looked_at(server: MongoServer) -> int:
    """How many documents the server has matched with a filter."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        status = client.admin.command("serverStatus")
    return int(status["metrics"]["queryExecutor"]["scannedObjects"])


@pytest.mark.parametrize(
    ("database", "reply", "most"),
    [
        # The month, and some for the looks before.
        ("indexed", 1000, 310 + 10),
        # A reply to see that it is more, and twice the month: counted, and read in five spans.
        ("indexed", 100, 101 + 2 * 310 + 20),
        # All for the month and for the date that cannot be read.
        ("plain", 1000, 2 * DAYS * OF_A_DAY + 2000),
    ],
)
def test_by_an_index_only_the_period_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Any, database: Any, reply: Any, most: Any
) -> None:
    """The figure is the same; of a year's orders the server looks at the month's, or at all of them again and again."""
    profile = live(tmp_path, server, monkeypatch, database)
    before = looked_at(server)
    found = by_task(ask(profile, date(2024, 5, 31), connect=connecting(reply=reply)))
    assert said(found["lw/sum/20240501"]) == 31 * OF_A_DAY
    assert 31 * OF_A_DAY <= looked_at(server) - before <= most
    assert (looked_at(server) - before < DAYS * OF_A_DAY) == (database == "indexed")


def test_a_server_that_sends_more_at_once_than_asked_for_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for one document more than a reply, it sends them as one, and nothing says that there are others."""
    with mongo_java_server(tmp_path / "java", eager=True) as started:
        with MongoClient[dict[str, Any]](started.uri) as client:
            client.indexed.orders.insert_many([dict(order) for order in ORDERS])
            client.indexed.orders.create_index("at")
        profile = live(tmp_path, started, monkeypatch, "indexed")
        found = by_task(ask(profile, date(2024, 5, 31), connect=connecting(reply=50)))
    assert said(found["lw/sum/20240501"]) == 31 * OF_A_DAY


def day(number: int) -> datetime:
    return datetime(2024, 5, number, tzinfo=UTC)


@pytest.mark.parametrize(
    "query",
    [
        {"d.at": {"$gte": day(2), "$lt": day(4)}},
        {"d.at": {"$gt": day(2), "$lte": day(4)}},
        {"d.at": day(3)},
        {"d.at": None},
        {"d.at": {"$type": ["string", "array"]}},
        {"d.at": {"$type": ["date"]}},
        {"d.at": {"$ne": day(3)}},
        {"$or": [{"d.at": {"$lt": day(2)}}, {"d.at": {"$gte": day(5)}}]},
        {"$or": [{"d.at": {"$lt": day(2)}}, {"n": 5}]},
        {"$and": [{"d.at": {"$gte": day(2)}}, {"$nor": [{"d.at": {"$type": "array"}}]}]},
        {"d.at": {"$gte": day(5), "$lt": day(2)}},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [1, -1])
def test_an_index_finds_what_is_found_without(server: Any, query: Any, order: Any) -> None:
    """Also after documents were changed and removed, whatever stands where the date should be."""
    values = [*map(day, range(1, 7)), None, "20240503", [day(3), day(9)], 7]
    found = []
    with MongoClient[dict[str, Any]](server.uri) as client:
        for name in ("with", "without"):
            collection = client.changed[name]
            collection.drop()
            if name == "with":
                collection.create_index("d.at")
            collection.insert_many([{"_id": n, "n": n, "d": {"at": value}} for n, value in enumerate(values)])
            collection.insert_many([{"_id": 20}, {"_id": 21, "d": [{"at": day(3)}]}, {"_id": 22, "d": {"at": day(3)}}])
            collection.update_one({"_id": 0}, {"$set": {"d.at": day(3)}})
            collection.update_one({"_id": 7}, {"$set": {"d.at": day(2)}})
            collection.delete_one({"_id": 2})
            collection.delete_one({"_id": 6})
            counted = list(collection.aggregate([{"$match": query}, {"$group": {"_id": None, "n": {"$sum": 1}}}]))
            some = list(collection.find(query).sort([("d.at", order), ("_id", 1)]))
            # Where there is nothing but dates, the index gives their order, too.
            collection.delete_many({"$or": [{"d.at": None}, {"d": {"$type": "array"}}, {"_id": {"$in": [8, 9]}}]})
            dated = [one["d"]["at"] for one in collection.find(query, {"d": 1}).sort("d.at", order)]
            found.append((counted, some, dated))
    assert found[0] == found[1]
