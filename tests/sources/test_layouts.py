"""Documents counted by columns give what the same documents give when each is decoded, whatever they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import bson
import numpy as np
from bson import DBRef, Decimal128, Int64, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmama_nb import periods
from bigmama_nb.errors import SourceError
from bigmama_nb.sources import mongo_filters
from bigmama_nb.sources.layouts import Alike, Layouts, Rows
from bigmama_nb.sources.lots import counted, lots
from bigmama_nb.sources.pieces import Piece, pieces
from bigmama_nb.sources.scan import Question, Scanner
from tests.sources.asking import a_profile

FIRST, LAST = date(2024, 4, 30), date(2024, 5, 2)
ZONE = ZoneInfo("Asia/Seoul")
NAMES = {"d", "v", "w", "k", "_id"}


class Decoded(Layouts):
    """Finds no documents alike: all are decoded."""

    def sorted_out(self, content: bytes, starts: Sequence[int]) -> tuple[list[Alike], Rows]:
        return [], np.arange(len(starts))


class Told(Layouts):
    """Counts how many documents were alike."""

    alike = 0

    def sorted_out(self, content: bytes, starts: Sequence[int]) -> tuple[list[Alike], Rows]:
        found, others = super().sorted_out(content, starts)
        assert sorted([*others, *(place for lot in found for place in lot.places)]) == list(range(len(starts)))
        self.alike += sum(map(len, found))
        return found, others


class InPieces:
    """Content that is read some bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = content, size

    def read(self, size: int = -1, /) -> bytes:
        some, self._content = self._content[: self._size], self._content[self._size :]
        return some


def questions(folder: Path, **metrics: Any) -> list[Question]:
    """What three days ask of these metrics."""
    profile = a_profile(
        folder, clusters={"c": {"dump": "x"}}, games={"g": {"cluster": "c", "database": "d"}}, metrics=metrics
    )
    asks = periods.asks(profile, FIRST, LAST)
    return [
        Question(game_cd, type_, metric, tuple(ask for ask in asks if ask.type == type_))
        for (game_cd, type_), metric in profile.pairs.items()
    ]


def state(asked: Sequence[Question], content: bytes, size: int, layouts: Layouts) -> Any:
    """All that is known after a file of this content, or how it is refused."""
    scanner = Scanner(asked, ZONE)
    ids: list[Any] = []
    try:
        for piece in pieces(InPieces(content, size), Path("dump/d/stats.bson")):
            ids += counted(piece, NAMES, layouts, scanner).ids()
    except SourceError as error:
        return error.reason, error.message, error.place
    return told(scanner, ids)


def state_of_replies(
    asked: Sequence[Question], replies: Sequence[bytes], span: tuple[Any, Any], layouts: Layouts
) -> Any:
    """All that is known after a server's replies to a question for this span."""
    scanner = Scanner(asked, ZONE, span=span)
    try:
        for reply in replies:
            for lot in lots(reply):
                counted(lot, (), layouts, scanner)
    except BSONError as error:
        return str(error)
    return told(scanner, [])


def told(scanner: Scanner, ids: list[Any]) -> Any:
    """All that a scanner knows."""
    found = []
    for scan in scanner.scans:
        windows = [None if aggregate is None else held(aggregate) for aggregate in scan.aggregates]
        odd = (scan.undated, scan.other_types, scan.bad_dates, scan.bad_date, scan.through_array)
        needs = (set(scan.lookup.missing), scan.lookup.no_document)
        found.append((windows, vars(scan.newest), vars(scan.newest_matching), odd, needs))
    return plain((ids, found))


def held(aggregate: Any) -> dict[str, Any]:
    """What an aggregate has counted; of several documents where there may be one, no value."""
    found = {name: value for name, value in vars(aggregate).items() if not name.startswith("_")}
    found |= {"problems": vars(found["problems"]), "total": getattr(aggregate, "total", None)}
    return found if found["documents"] == 1 else {**found, "value": None}


def plain(found: Any) -> Any:
    """The same, with nothing left of the order in which sets and counts were filled."""
    if isinstance(found, dict):
        return sorted((repr(key), repr(plain(value))) for key, value in found.items())
    if isinstance(found, set):
        # Of 1, 1.0 and Decimal("1") a set keeps the one that came first.
        return sorted(repr(Fraction(one) if isinstance(one, int | float | Decimal) else one) for one in found)
    return [plain(one) for one in found] if isinstance(found, list | tuple) else found


def instant(hours: float) -> datetime:
    return datetime(2024, 5, 1, tzinfo=UTC) + timedelta(hours=hours)


DATES: dict[str, list[Any]] = {
    "date": [instant(hour) for hour in range(-30, 60, 7)],
    "yyyymmdd": ["20240430", "20240501", "20240502"],
    "epoch_ms": [Int64(instant(hour).timestamp() * 1000) for hour in range(-30, 60, 7)],
    "epoch_s": [int(instant(hour).timestamp()) for hour in range(-30, 60, 7)],
    "iso_date": ["2024-04-30", "2024-05-01", "2024-05-02"],
}
ODD_DATES = [None, "x", "20240231", -1, 20240501, 1.5, True, [instant(0)], {"u": 1}, DatetimeMS(2**62), Int64(0)]
VALUES: dict[str, list[Any]] = {
    "int": [0, 1, -1, 7, 2**31 - 1, -(2**31)],
    "long": [Int64(n) for n in (0, 1, -1, 2**62, 2**63 - 1, -(2**63))],
    "double": [0.0, 1.0, 1.5, float("nan"), 2.0**60],
    "text": ["a", "b", "\0", "z"],
    "letters": ["äö", "üß", "abcd", "한\0"],
    "id": [ObjectId(bytes([n] * 12)) for n in range(4)],
    "bool": [True, False],
    "date": [instant(0), instant(1)],
    "decimal": [Decimal128("1"), Decimal128("1.5")],
    "bytes": [b"ab", b"cd"],
    "timestamp": [Timestamp(1, 1), Timestamp(2, 1)],
}
ODD_VALUES = [None, "x", [], [1], {"w": 1}, DBRef("a", 1), 1.5, True, b"", Int64(3)]


@st.composite
def collections(draw: st.DrawFn) -> dict[str, Any]:
    """Documents of a few layouts, with others among them, and a metric over them."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    as_ = draw(st.sampled_from(sorted(DATES)))
    nested = draw(st.booleans())
    ids = draw(st.sampled_from(["int", "text", "id", "none"]))
    oddity = draw(st.sampled_from([0, 0, 0.02, 0.3]))
    layouts = [
        (draw(st.sampled_from(sorted(VALUES))), draw(st.permutations(["d", "v", "k", "n"])), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 3)))
    ]
    content = []
    for number in range(draw(st.integers(0, 150))):
        kind, order, more = chance.choice(layouts)
        value = chance.choice(ODD_VALUES if chance.random() < oddity else VALUES[kind])
        fields = {
            "d": chance.choice(ODD_DATES if chance.random() < oddity else DATES[as_]),
            "v": {"w": value, "x": [{"y": "z"}]} if nested else value,
            "k": chance.choice([1, 2]),
            "n": {"note": "n" * (number % 2), "deep": {"er": [number, None]}},
        }
        document = {name: fields[name] for name in order if chance.random() >= oddity / 4}
        if ids != "none":
            document = {"_id": {"int": number, "text": f"{number:05}", "id": VALUES["id"][number % 4]}[ids], **document}
        if more:
            document["more"] = chance.random()
        encoded = bson.encode(document)
        if chance.random() < oddity / 20:
            twice = encoded[4:-1] + bson.encode({"v": 1})[4:-1]
            encoded = (len(twice) + 5).to_bytes(4, "little") + twice + b"\0"
        content.append(encoded)
    kind = draw(st.sampled_from(["field", "sum", "max", "count", "count_distinct"]))
    match = draw(st.sampled_from([None, {"k": 1}, {"k": 1, "n.note": ""}, {"v.w": {"$gt": 0}}, {"n.deep.er": 3}]))
    metric = {
        "collection": "stats",
        "date": {"field": "d", "as": as_, **draw(st.sampled_from([{}, {"other_types": "ignore"}]))},
        "value": {kind: True if kind == "count" else "v.w" if nested else "v"},
        "period": "day",
        **({"match": match} if match else {}),
    }
    return {"content": b"".join(content), "metric": metric, "size": draw(st.sampled_from([500, 3000, 6000]))}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(collection=collections())
def test_columns_say_what_documents_say(tmp_path: Path, collection: Any) -> None:
    """Every window, newest date, count of what is odd, refusal and id is the same, for arbitrary documents."""
    count = {**collection["metric"], "value": {"count": True}}
    asked = questions(tmp_path, m=collection["metric"], n=count)
    content, size = collection["content"], collection["size"]

    assert state(asked, content, size, Decoded()) == state(asked, content, size, Layouts(fewest=2))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(collection=collections(), data=st.data())
def test_columns_of_replies_say_what_their_documents_say(tmp_path: Path, collection: Any, data: st.DataObject) -> None:
    """So do a server's replies, of which only a span of dates is counted, wherever it begins and ends."""
    asked = questions(tmp_path, m=collection["metric"])
    bounds = Scanner(asked, ZONE).scans[0].bounds
    cuts = sorted({part for begin, end in pairwise(bounds) for part in sum(split_of(asked, begin, end), ())})
    begin, end = sorted(data.draw(st.lists(st.sampled_from(cuts), min_size=2, max_size=2, unique=True)))
    content = collection["content"]
    starts = [start for lot in lots(content) for start in lot.starts]
    at = data.draw(st.sampled_from(starts)) if starts else 0
    replies = [content[:at], content[at:]]

    found = state_of_replies(asked, replies, (begin, end), Layouts(fewest=2))

    assert found == state_of_replies(asked, replies, (begin, end), Decoded())


def split_of(asked: Sequence[Question], begin: Any, end: Any) -> list[tuple[Any, Any]]:
    return mongo_filters.split(Scanner(asked, ZONE).scans[0].dating, begin, end, 3)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(collection=collections(), data=st.data())
def test_a_broken_byte_is_refused_or_read_alike(tmp_path: Path, collection: Any, data: st.DataObject) -> None:
    """Whatever byte of a file is another: both ways refuse it in the same words, or both read the same."""
    content = bytearray(collection["content"])
    if content:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    asked = questions(tmp_path, m=collection["metric"])
    broken, size = bytes(content), collection["size"]

    assert state(asked, broken, size, Decoded()) == state(asked, broken, size, Layouts(fewest=2))


def orders(number: int) -> dict[str, Any]:
    return {
        "_id": ObjectId(number.to_bytes(12, "big")),
        "d": instant(number % 60 - 20),
        "v": {"w": number % 97, "level": number},
        "k": 1 + number % 2,
        "name": f"order {number:06}",
        "amount": Int64(2**62 + number),
        "paid": number % 3 == 0,
    }


METRIC = {"collection": "stats", "date": {"field": "d", "as": "date"}, "period": "day"}


def test_orders_are_counted_without_being_decoded(tmp_path: Path) -> None:
    """Sums beyond int64, distinct values, counts and a match, over a file of which only the first piece is decoded."""
    asked = questions(
        tmp_path,
        revenue={**METRIC, "value": {"sum": "amount"}},
        buyers={**METRIC, "value": {"count_distinct": "v.w"}, "match": {"k": 1}},
        names={**METRIC, "value": {"count_distinct": "name"}},
        most={**METRIC, "value": {"max": "amount"}},
        orders={**METRIC, "value": {"count": True}, "match": {"paid": True}},
    )
    documents = [orders(number) for number in range(5000)]
    content = b"".join(map(bson.encode, documents))
    told = Told()

    found = state(asked, content, 50_000, told)

    assert found == state(asked, content, 50_000, Decoded())
    assert told.alike > 4000
    days = [number for number in range(5000) if instant(number % 60 - 20).astimezone(ZONE).date() == LAST]
    assert f"'{sum(2**62 + number for number in days)}'" in repr(found)


def test_documents_that_are_all_unlike_are_not_looked_at_for_long(tmp_path: Path) -> None:
    """Where hardly two are alike the search pauses, and everything is decoded."""
    asked = questions(tmp_path, m={**METRIC, "value": {"count": True}})
    content = b"".join(
        bson.encode({"_id": n, "d": instant(0), "k": 1, f"f{n % 89}": "x" * (n % 71)}) for n in range(4000)
    )
    told = Told()

    found = state(asked, content, 20_000, told)

    assert found == state(asked, content, 20_000, Decoded())
    assert told.alike == 0


def test_a_field_that_stands_twice_is_refused_among_documents_that_are_alike(tmp_path: Path) -> None:
    """The document with it is unlike the others, so it is decoded, and the error says where it begins."""
    good = [bson.encode(orders(number)) for number in range(2000)]
    twice = bson.encode(orders(1999))[4:-1] + bson.encode({"k": 2})[4:-1]
    bad = (len(twice) + 5).to_bytes(4, "little") + twice + b"\0"
    asked = questions(tmp_path, m={**METRIC, "value": {"sum": "amount"}})
    before = b"".join(good[:1500])

    refused = state(asked, before + bad + b"".join(good[1500:]), 30_000, Layouts())

    assert refused[0] == "source_corrupt"
    assert f"at byte {len(before)} a document has the field 'k' twice" in refused[1]


def test_a_piece_gives_some_of_its_documents() -> None:
    """By their numbers, in their order."""
    content = b"".join(bson.encode({"n": n}) for n in range(5))
    (piece,) = pieces(InPieces(content, 10**6), Path("x.bson"))

    assert isinstance(piece, Piece)
    assert piece.some([1, 4], {"n"}) == [{"n": 1}, {"n": 4}]
