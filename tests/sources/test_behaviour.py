"""Every source gives the same answers: each row of docs/spec/values_and_reasons.md, through `extract`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Code, Decimal128, Int64, MinKey, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from tests.sources.asking import a_profile, ask, by_task, said
from tests.sources.holders import SOURCES, can_hold

MAY_1 = date(2024, 5, 1)
NEXT = "run 'run_all.py repair latest'"


def at(day: int, hour: float = 12, month: int = 5) -> datetime:
    """An instant of 2024 in Seoul, as BSON holds it."""
    return datetime(2024, month, day, tzinfo=UTC) + timedelta(hours=hour - 9)


@dataclass
class Case:
    """Documents, what is asked of them, and what is to come: a value, not_ready, or a reason with words of it."""

    name: str
    documents: list[dict[str, Any]]
    metric: dict[str, Any]
    expected: Mapping[str, int | str]
    words: tuple[str, ...] = ()
    first: date = MAY_1
    last: date = MAY_1
    undated: int = 0
    others: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def rows(told: list[Any]) -> list[Any]:
    """Rows of a table of cases, each of its own types."""
    return told


def wau(**keys: Any) -> dict[str, Any]:
    """A number that stands in one document."""
    return {
        "collection": "stats",
        "date": {"field": "dt", "as": "yyyymmdd"},
        "value": {"field": "value"},
        "period": "day",
        **keys,
    }


def orders(kind: str, path: Any = "v", **keys: Any) -> dict[str, Any]:
    """A number computed from documents."""
    return {
        "collection": "stats",
        "date": {"field": "at", "as": "date"},
        "value": {kind: path},
        "period": "day",
        **keys,
    }


def one(value: Any) -> list[dict[str, Any]]:
    return [{"_id": 7, "dt": "20240501", "value": value}]


def some(*values: Any, day: int = 1) -> list[dict[str, Any]]:
    return [{"_id": n, "at": at(day), "v": value} for n, value in enumerate(values)]


D = "20240501"
OTHER_DAY = {"_id": 9, "dt": "20240430", "value": 1, "a": {"b": 1}}
FIELD = [
    *(
        Case(f"field is {kind}", one(value), wau(), {D: expected})
        for kind, value, expected in [
            ("int32", 12, 12),
            ("int64", Int64(2**62), 2**62),
            ("a negative int64", Int64(-(2**63)), -(2**63)),
            ("an integral double", 12.0, 12),
            ("the greatest exact double", 2.0**53, 2**53),
            ("an integral decimal", Decimal128("12.00"), 12),
            ("zero", 0, 0),
        ]
    ),
    *(
        Case(f"field is {kind}", one(value), wau(), {D: "wrong_type"}, (kind, "_id = 7", "expected an integer", NEXT))
        for kind, value in [
            ("bool", True),
            ("string", "12"),
            ("array", [12]),
            ("array", []),
            ("object", {"n": 12}),
            ("objectId", ObjectId("5f0000000000000000000001")),
            ("date", at(1)),
            ("binData", b"12"),
            ("minKey", MinKey()),
            ("timestamp", Timestamp(1, 1)),
            ("javascript", Code("1")),
        ]
    ),
    *(
        Case(f"field is {value!r}", one(value), wau(), {D: "not_integral"}, ("_id = 7", "double", NEXT))
        for value in [1.5, -1e-300, math.nan, math.inf, -math.inf]
    ),
    Case("field is a decimal fraction", one(Decimal128("1.5")), wau(), {D: "not_integral"}, ("decimal 1.5", "_id = 7")),
    Case("field is a decimal NaN", one(Decimal128("NaN")), wau(), {D: "not_integral"}, ("NaN",)),
    Case("field is too great a double", one(2.0**53 + 2), wau(), {D: "overflow"}, ("9007199254740994.0", "_id = 7")),
    Case("field is too great a decimal", one(Decimal128("9223372036854775808")), wau(), {D: "overflow"}, ("int64",)),
    Case("field is null", one(None), wau(), {D: "null_value"}, ("stats.value is null", "_id = 7", NEXT)),
    Case(
        "field is absent",
        [{"_id": 7, "dt": D}, OTHER_DAY],
        wau(),
        {D: "missing_field"},
        ("stats.value is absent", "_id = 7"),
    ),
    Case(
        "two documents",
        [*one(1), {"_id": 8, "dt": 20240501, "value": 1}],
        wau(),
        {D: "duplicate_documents"},
        ("2 documents", "_id = 7, 8", "match"),
    ),
    Case(
        "no document, but older and newer ones",
        [{"dt": "20240430", "value": 1}, {"dt": "20240502", "value": 1}],
        wau(),
        {D: "not_ready"},
        ('stats has no document with dt = "20240501"', 'the newest is "20240502"', "Other games are not affected"),
    ),
    Case(
        "no document, dated by ints",
        [{"dt": 20240430, "value": 1}],
        wau(),
        {D: "not_ready"},
        ("with dt = 20240501;", "the newest is 20240430."),
    ),
    Case("no document at all", [], wau(), {D: "not_ready"}, ("there is none with a date",)),
    Case(
        "the newest is the newest that matches",
        [{"dt": "20240430", "type": "wau", "value": 1}, {"dt": "20240501", "type": "mau"}],
        wau(match={"type": "wau"}),
        {D: "not_ready"},
        ('the newest is "20240430"', "{type: wau}"),
    ),
    Case(
        "match chooses the document",
        [{"dt": D, "type": "wau", "value": 5}, {"dt": D, "type": "mau", "value": 6}],
        wau(match={"type": "wau"}),
        {D: 5},
    ),
    Case("a dotted value", [{"dt": D, "a": {"b": 5}}], wau(value={"field": "a.b"}), {D: 5}),
    Case(
        "a dotted value below a scalar",
        [{"dt": D, "a": 5}, OTHER_DAY],
        wau(value={"field": "a.b"}),
        {D: "missing_field"},
    ),
    Case(
        "a value through an array",
        [{"_id": 7, "dt": D, "a": [{"b": 5}]}],
        wau(value={"field": "a.b"}),
        {D: "array_path"},
        ("stats.a.b", "a is an array"),
    ),
    Case(
        "a monthly field",
        [{"dt": "202404", "value": 4}, {"dt": 202405, "value": 5}],
        wau(date={"field": "dt", "as": "yyyymm"}, period="month"),
        {"20240401": 4, "20240501": 5},
        first=date(2024, 4, 1),
        last=date(2024, 5, 31),
    ),
    Case(
        "a monthly field that is not there",
        [{"dt": "202404", "value": 4}],
        wau(date={"field": "dt", "as": "yyyymm"}, period="month"),
        {"20240501": "not_ready"},
        ('with dt = "202405"', 'the newest is "202404"'),
        first=date(2024, 5, 31),
        last=date(2024, 5, 31),
    ),
    Case(
        "a weekly field is dated by its Monday",
        [{"dt": "20240429", "value": 4}, {"dt": "20240505", "value": 9}],
        wau(period="week"),
        {"20240429": 4},
        first=date(2024, 5, 5),
        last=date(2024, 5, 5),
    ),
]
DATES = [
    Case("a day as int64", [{"dt": Int64(20240501), "value": 5}], wau(), {D: 5}),
    Case(
        "a day as iso_date",
        [{"dt": "2024-05-01T23:00:00", "value": 5}],
        wau(date={"field": "dt", "as": "iso_date"}),
        {D: 5},
    ),
    Case(
        "a day as epoch_s",
        [{"dt": int(at(1, 0).timestamp()), "value": 5}, {"dt": int(at(1, 24).timestamp()), "value": 6}],
        wau(date={"field": "dt", "as": "epoch_s"}),
        {D: 5, "20240502": 6},
        last=date(2024, 5, 2),
    ),
    Case(
        "a day as epoch_ms",
        [
            {"dt": Int64(at(1, 24).timestamp() * 1000 - 1), "value": 5},
            {"dt": at(1, 24).timestamp() * 1000, "value": 6},
        ],
        wau(date={"field": "dt", "as": "epoch_ms"}),
        {D: 5, "20240502": 6},
        last=date(2024, 5, 2),
    ),
    *(
        Case(
            f"a date of another type: {kind}",
            [*one(5), {"dt": value, "value": 1}],
            wau(),
            {D: "date_type_mismatch"},
            (f"1 of type {kind}", "int or string", "other_types: ignore"),
        )
        for kind, value in [("double", 20240430.0), ("date", at(1)), ("bool", True), ("array", ["20240501"])]
    ),
    Case(
        "dates of other types are counted by type",
        [{"at": at(1), "v": 1}, {"at": "2024-05-01"}, {"at": "2024-05-02"}, {"at": 5}, {"at": Int64(5)}],
        orders("count", True),
        {D: "date_type_mismatch"},
        ("1 of type int, 1 of type long, 2 of type string",),
    ),
    Case(
        "dates of other types may be ignored",
        [*one(5), {"dt": 20240501.0, "value": 1}, {"dt": ["20240501"], "value": 1}],
        wau(date={"field": "dt", "as": "yyyymmdd", "other_types": "ignore"}),
        {D: 5},
    ),
    Case(
        "a match leaves dates of other types out",
        [{**one(5)[0], "k": 1}, {"dt": 20240501.0, "value": 1, "k": 2}],
        wau(match={"k": 1}),
        {D: 5},
    ),
    Case(
        "a string that is no date",
        [*one(5), {"dt": "20240231"}, {"dt": "yesterday"}],
        wau(),
        {D: "bad_date"},
        ("in 2 documents it is no date", '"20240231"'),
    ),
    Case("an int that is no date", [*one(5), {"dt": 20240231}], wau(), {D: "bad_date"}, ("1 document ", "20240231")),
    Case(
        "an iso_date that is none",
        [{"dt": "2024-05-01"}, {"dt": "2024-05-1"}],
        wau(date={"field": "dt", "as": "iso_date"}),
        {D: "bad_date"},
        ('"2024-05-1"',),
    ),
    Case(
        "an epoch that is none",
        [{"at": math.nan}],
        orders("count", True, date={"field": "at", "as": "epoch_s"}),
        {D: "bad_date"},
    ),
    Case(
        "undated documents never fail a task",
        [*one(5), {"dt": None, "value": 1}, {"value": 2}, {"value": 2, "dt": None}],
        wau(),
        {D: 5},
        undated=3,
    ),
    Case(
        "undated documents are those that match",
        [{"at": at(1), "k": 1}, {"at": None, "k": 1}, {"at": None, "k": 2}],
        orders("count", True, match={"k": 1}),
        {D: 1},
        undated=1,
    ),
    Case(
        "a date through an array",
        [{"r": [{"at": at(1)}]}, {"r": {"at": at(1)}}],
        orders("count", True, date={"field": "r.at", "as": "date"}),
        {D: "array_path"},
        ("stats.r.at", "r is one"),
    ),
    Case("a dotted date", [{"r": {"at": at(1)}}], orders("count", True, date={"field": "r.at", "as": "date"}), {D: 1}),
]
THREE = [3, 3.0, Int64(3), Decimal128("3.00"), "3", None]
COMPUTED = [
    Case("count", some(1, None, "x"), orders("count", True), {D: 3}),
    Case("sum", some(1, 2.0, Int64(-7), Decimal128("3")), orders("sum"), {D: -1}),
    Case("max", some(1, 2.0, Int64(-7)), orders("max"), {D: 2}),
    Case("max of negatives", some(-5, -7), orders("max"), {D: -5}),
    Case("count_distinct as MongoDB compares", [*some(*THREE), {"at": at(1)}], orders("count_distinct"), {D: 2}),
    Case(
        "count_distinct of many types",
        some("a", "a", at(1), at(1), ObjectId("5f0000000000000000000001"), b"a", 1.5, 1.5, -0.0, 0),
        orders("count_distinct"),
        {D: 6},
    ),
    *(
        Case(f"count_distinct of {value!r}", some(1, value), orders("count_distinct"), {D: "wrong_type"}, ("1 of 2",))
        for value in [True, math.nan, math.inf, [1], {"a": 1}, Decimal128("NaN")]
    ),
    Case("a great sum of exact values", some(Int64(2**62), Int64(2**62 - 1)), orders("sum"), {D: 2**63 - 1}),
    Case("a sum beyond int64", some(Int64(2**62), Int64(2**62)), orders("sum"), {D: "overflow"}, (str(2**63),)),
    Case(
        "a sum through the middle of overflow",
        some(Int64(2**63 - 1), Int64(2**62), Int64(-(2**62))),
        orders("sum"),
        {D: 2**63 - 1},
    ),
    *(
        Case(f"{kind} with {reason}", some(1, 2, value), orders(kind), {D: reason}, ("1 of 3 documents", "match"))
        for kind in ("sum", "max")
        for value, reason in [
            ("x", "wrong_type"),
            (True, "wrong_type"),
            ([5], "wrong_type"),
            (0.5, "not_integral"),
            (math.nan, "not_integral"),
            (1e300, "overflow"),
            (None, "null_value"),
        ]
    ),
    Case("sum with an absent field", [*some(1), {"at": at(1)}], orders("sum"), {D: "missing_field"}, ("match",)),
    Case(
        "a bad value outside of the window fails nothing",
        [*some(1), *({**one, "_id": 9} for one in some("x", day=2))],
        orders("sum"),
        {D: 1, "20240502": "wrong_type"},
        last=date(2024, 5, 2),
    ),
    Case(
        "a bad value that does not match fails nothing",
        [{"at": at(1), "v": 1, "k": 1}, {"at": at(1), "v": "x", "k": 2}],
        orders("sum", match={"k": 1}),
        {D: 1},
    ),
    Case(
        "sum through an array",
        [{"at": at(1), "l": [{"v": 1}]}],
        orders("sum", "l.v"),
        {D: "array_path"},
        ("l is an array",),
    ),
    Case(
        "a dotted count_distinct",
        [{"at": at(1), "c": {"id": n % 2}} for n in range(5)],
        orders("count_distinct", "c.id"),
        {D: 2},
    ),
]
DAYS = {f"2024050{n}": n for n in range(1, 6)}
EACH_DAY = [{"at": at(n), "v": n} for n in range(1, 6)]
WINDOWS = [
    Case(
        "a day is cut in the profile's zone",
        [
            {"at": at(1, 0)},
            {"at": at(1, 0) - timedelta(milliseconds=1)},
            {"at": at(2, 0) - timedelta(milliseconds=1)},
            {"at": at(2, 0)},
        ],
        orders("count", True),
        {D: 2},
    ),
    Case("every day of a range", EACH_DAY, orders("sum"), DAYS, last=date(2024, 5, 5)),
    Case(
        "trailing days",
        EACH_DAY,
        orders("sum", trailing_days=3),
        {"20240501": 1, "20240502": 3, "20240503": 6, "20240504": 9, "20240505": 12},
        last=date(2024, 5, 5),
    ),
    Case(
        "trailing days count a customer once",
        [{"at": at(n), "v": n % 2} for n in range(1, 6)],
        orders("count_distinct", trailing_days=3),
        {"20240501": 1, "20240502": 2, "20240503": 2, "20240504": 2, "20240505": 2},
        last=date(2024, 5, 5),
    ),
    Case(
        "a week to date",
        [{"at": at(28, month=4)}, {"at": at(29, month=4)}, {"at": at(1)}, {"at": at(2)}],
        orders("count", True, period="week"),
        {"20240429": 2},
    ),
    Case(
        "a month to date",
        [{"at": at(30, month=4)}, *EACH_DAY],
        orders("count", True, period="month"),
        {"20240501": 3},
        first=date(2024, 5, 3),
        last=date(2024, 5, 3),
    ),
    Case(
        "months of a range",
        [{"at": at(30, month=4)}, *EACH_DAY],
        orders("count", True, period="month"),
        {"20240401": 1, "20240501": 2},
        first=date(2024, 4, 30),
        last=date(2024, 5, 2),
    ),
    Case(
        "only at the period's end",
        EACH_DAY,
        orders("count", True, period="week", due="period_end"),
        {"20240429": 5},
        first=date(2024, 5, 1),
        last=date(2024, 5, 5),
    ),
    Case(
        "a month's documents are dated every day of it",
        [{"dt": "202405", "v": 5}],
        orders("sum", date={"field": "dt", "as": "yyyymm"}, period="month"),
        {"20240501": 5},
        first=date(2024, 5, 3),
        last=date(2024, 5, 3),
    ),
]
LOADED = [
    Case(
        "not loaded, though the window holds documents",
        some(1, 2),
        orders("count", True, period="month"),
        {"20240501": "not_ready"},
        ("not yet loaded through 2024-05-03", "the newest is 2024-05-01"),
        first=date(2024, 5, 3),
        last=date(2024, 5, 3),
    ),
    Case(
        "an empty collection is not loaded", [], orders("count", True, empty=0), {D: "not_ready"}, ("none with a date",)
    ),
    Case("loaded, nothing there, empty 0", some(1, day=2), orders("sum", empty=0), {D: 0}),
    Case(
        "loaded, nothing there",
        some(1, day=2),
        orders("sum"),
        {D: "not_ready"},
        ("empty: 0", "the newest is 2024-05-02"),
    ),
    Case(
        "loaded by a document that does not match",
        [{"at": at(1), "k": 2}, {"at": at(28, month=4), "k": 1}],
        orders("count", True, match={"k": 1}, empty=0),
        {D: 0},
    ),
    Case(
        "loaded for some days of a range",
        EACH_DAY[:2],
        orders("count", True),
        {"20240501": 1, "20240502": 1, "20240503": "not_ready"},
        last=date(2024, 5, 3),
    ),
    *(
        Case(
            f"ready {said_}",
            some(1, 2),
            orders("count", True, ready={"collection": "log", "match": {"job": "orders", "dt": "$dt"}}, **keys),
            {"20240501": expected},
            words,
            others={"log": log},
            first=day,
            last=day,
        )
        for said_, log, keys, day, expected, words in rows(
            [
                ("is there", [{"job": "x"}, {"job": "orders", "dt": D}], {}, MAY_1, 2, ()),
                (
                    "is not there",
                    [{"job": "orders", "dt": "20240430"}],
                    {},
                    MAY_1,
                    "not_ready",
                    ('log has no document that matches {job: orders, dt: "20240501"}',),
                ),
                (
                    "is there, whatever the newest",
                    [{"job": "orders", "dt": "20240503"}],
                    {"period": "month"},
                    date(2024, 5, 3),
                    2,
                    (),
                ),
                (
                    "is the last day, not the row's dt",
                    [{"job": "orders", "dt": D}],
                    {"period": "month"},
                    date(2024, 5, 3),
                    "not_ready",
                    ("20240503",),
                ),
            ]
        )
    ),
    Case(
        "ready, and nothing there, empty 0",
        [],
        orders("count", True, empty=0, may_be_absent=["at"], ready={"collection": "log", "match": {"dt": "$dt"}}),
        {D: 0},
        others={"log": [{"dt": D}]},
    ),
    Case(
        "ready's collection is missing",
        some(1),
        orders("count", True, ready={"collection": "lag", "match": {"dt": "$dt"}}),
        {D: "source_missing"},
        ("'lag'", "Did you mean 'log'?"),
        others={"log": [{"dt": D}]},
    ),
    Case(
        "the collection is missing",
        [],
        wau(collection="stets"),
        {D: "source_missing"},
        ("'stets'", "Did you mean 'stats'?"),
    ),
]
NUMBERED = [{"at": at(1), "n": n, "s": "abcd"[n], "t": {"u": n}} for n in range(4)]
ODD = [
    {"at": at(1), "x": value} if value != "absent" else {"at": at(1)}
    for value in ["absent", None, 1, 1.0, "1", True, [1, 2], [], {"y": 1}, at(1), [{"y": 1}], [[1]]]
]
FLAT = [document for document in ODD if document.get("x") != [[1]]]
MATCHES = [
    *(
        Case(f"match {match}", documents, orders("count", True, match=match, empty=0), {D: expected})
        for documents, match, expected in rows(
            [
                (NUMBERED, {"n": 1}, 1),
                (NUMBERED, {"n": 1.0}, 1),
                (NUMBERED, {"n": {"$in": [1, 2, 7]}}, 2),
                (FLAT, {"x": {"$in": [1, "1"]}}, 4),
                (NUMBERED, {"n": {"$gt": 1}}, 2),
                (NUMBERED, {"n": {"$gte": 1, "$lt": 3}}, 2),
                (NUMBERED, {"n": {"$lte": 1}}, 2),
                (NUMBERED, {"n": {"$ne": 1}}, 3),
                (NUMBERED, {"s": {"$gte": "b"}}, 3),
                (NUMBERED, {"t.u": 3}, 1),
                (NUMBERED, {"t": {"u": 3}}, 1),
                (NUMBERED, {"n": {"$exists": True}}, 4),
                (NUMBERED, {"n": {"$nin": [1, 7]}}, 3),
                (FLAT, {"x": {"$nin": [1, "1"]}}, 7),
                (NUMBERED, {"n": {"$not": {"$gt": 1}}}, 2),
                (NUMBERED, {"n": {"$not": {"$gt": 0, "$lt": 3}, "$ne": 3}}, 1),
                (NUMBERED, {"n": {"$type": "number"}}, 4),
                (NUMBERED, {"n": {"$not": {"$type": ["string", "null"]}}}, 4),
                (NUMBERED, {"s": {"$regex": "^[bc]$"}}, 2),
                (NUMBERED, {"s": {"$not": {"$regex": "^b"}}}, 3),
                (NUMBERED, {"at": {"$gte": {"$date": "2024-05-01T12:00:00+09:00"}}}, 4),
                (NUMBERED, {"at": {"$lte": {"$date": {"$numberLong": "1714532400000"}}}}, 4),
                (ODD, {"x": {"$type": "array"}}, 4),
                (ODD, {"x": {"$type": ["string", "int"]}}, 3),
                (ODD, {"x": {"$type": "null"}}, 1),
                (ODD, {"x": {"$not": {"$gte": 1}}}, 9),
                (NUMBERED, {"$or": [{"n": 1}, {"s": "a"}]}, 2),
                (NUMBERED, {"$and": [{"n": {"$gt": 0}}, {"s": {"$ne": "b"}}]}, 2),
                (NUMBERED, {"$or": [{"n": 1}, {"$and": [{"s": "c"}, {"n": 2}]}], "s": {"$gt": "b"}}, 1),
                (NUMBERED, {"at": {"$gte": at(1)}}, 4),
                (ODD, {"x": None}, 2),
                (ODD, {"x": {"$ne": None}}, 10),
                (ODD, {"x": {"$in": [None, "1"]}}, 3),
                (ODD, {"x": 1}, 3),
                (ODD, {"x": {"$ne": 1}}, 9),
                (ODD, {"x": True}, 1),
                (ODD, {"x": {"$gte": 1}}, 3),
                (ODD, {"x": {"$gt": 1}}, 1),
                (ODD, {"x": {"$exists": True}}, 11),
                (ODD, {"x": {"$exists": False}}, 1),
                (ODD, {"x.y": 1}, 2),
                (FLAT, {"x.0": 1}, 1),
                (ODD, {"x.y": {"$exists": True}}, 2),
                (ODD, {"x": at(1)}, 1),
                (FLAT, {"x": None}, 2),
                (FLAT, {"x": {"$ne": None}}, 9),
                (FLAT, {"x": 1}, 3),
                (FLAT, {"x": {"$gte": 1}}, 3),
                (FLAT, {"x": {"$exists": True}}, 10),
                (FLAT, {"x.y": 1}, 2),
                (FLAT, {"x.y": {"$exists": True}}, 2),
            ]
        )
    ),
]
PATHS = [
    Case(
        f"unknown {name}",
        documents,
        metric,
        {D: expected},
        words,
        undated=len(documents) if name in ("date", "date with ready", "type of a date") else 0,
        others={"log": [{"dt": D}]},
    )
    for name, documents, metric, expected, words in rows(
        [
            (
                "path in match",
                NUMBERED,
                orders("count", True, match={"N": {"$ne": 1}}),
                "path_unknown",
                ("stats.N is in no document; the nearest there are: ", "n (int)", "may_be_absent"),
            ),
            (
                "path that is not to exist",
                NUMBERED,
                orders("count", True, match={"z": {"$exists": False}}),
                "path_unknown",
                (),
            ),
            (
                "path in $or",
                NUMBERED,
                orders("count", True, match={"$or": [{"n": 1}, {"nn": 1}]}),
                "path_unknown",
                ("stats.nn",),
            ),
            ("path below", NUMBERED, orders("count", True, match={"t.v": 1}, empty=0), "path_unknown", ("t.u (int)",)),
            (
                "date",
                NUMBERED,
                orders("count", True, date={"field": "att", "as": "date"}),
                "path_unknown",
                ("at (date)",),
            ),
            (
                "date with ready",
                NUMBERED,
                orders(
                    "count",
                    True,
                    date={"field": "att", "as": "date"},
                    empty=0,
                    ready={"collection": "log", "match": {"dt": "$dt"}},
                ),
                "path_unknown",
                ("stats.att is in no document", "at (date)"),
            ),
            ("count_distinct", NUMBERED, orders("count_distinct", "m"), "path_unknown", ("stats.m is in no document",)),
            ("value", NUMBERED, orders("sum", "t.w", empty=0), "path_unknown", ("t.u (int)",)),
            ("value that may be absent", NUMBERED, orders("count_distinct", "m", may_be_absent=["m"]), 0, ()),
            (
                "path that may be absent",
                NUMBERED,
                orders("count", True, match={"z": {"$exists": False}}, may_be_absent=["z"]),
                4,
                (),
            ),
            (
                "type of text",
                NUMBERED,
                orders("count", True, match={"n": "1"}, empty=0),
                "type_unknown",
                ('the match compares stats.n with "1" (string), but it only holds int', "as the documents hold it"),
            ),
            (
                "path in another case",
                [{"at": at(1), "v": 1, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1, "i": 1}],
                orders("sum", "V"),
                "path_unknown",
                ("the nearest there are: v (int).",),
            ),
            ("type of $ne", NUMBERED, orders("count", True, match={"n": {"$ne": "1"}}), "type_unknown", ()),
            (
                "type of $not",
                NUMBERED,
                orders("count", True, match={"s": {"$not": {"$gt": 5}}}),
                "type_unknown",
                ("5 (number)", "holds string"),
            ),
            (
                "type that no constant has",
                [{"at": at(1), "o": ObjectId("5f0000000000000000000001")}],
                orders("count", True, match={"o": "5f0000000000000000000001"}, empty=0),
                "type_unknown",
                ("only holds objectId", "no constant of a profile is of that type, so name a path that holds a string"),
            ),
            ("type of a range", NUMBERED, orders("count", True, match={"n": {"$gt": ""}}, empty=0), "type_unknown", ()),
            (
                "type of all in $in",
                NUMBERED,
                orders("count", True, match={"n": {"$in": ["1", True]}}),
                "type_unknown",
                ('with "1" (string), but it only holds int',),
            ),
            (
                "type of one in $in",
                NUMBERED,
                orders("count", True, match={"n": {"$in": [1, "2", "3"]}}),
                "type_unknown",
                ('with "2" (string), "3" (string), but it only holds int',),
            ),
            (
                "type of one in $nin",
                NUMBERED,
                orders("count", True, match={"n": {"$nin": ["1", 2]}}),
                "type_unknown",
                ('with "1" (string)',),
            ),
            (
                "type beside null in $in",
                NUMBERED,
                orders("count", True, match={"n": {"$in": [None, "1"]}}, empty=0),
                "type_unknown",
                ('with "1" (string)',),
            ),
            (
                "type of one in $in that is rare",
                NUMBERED,
                orders("count", True, match={"n": {"$in": [1, "2"]}}, may_be_absent=["n"]),
                1,
                (),
            ),
            (
                "type of a date as text",
                NUMBERED,
                orders("count", True, match={"at": {"$gte": "2024-02-10"}}, empty=0),
                "type_unknown",
                ("holds date", "{$date: …}"),
            ),
            (
                "type of a date",
                [{"d": None, "at": at(1)}],
                orders("count", True, date={"field": "d", "as": "date"}),
                "type_unknown",
                ("only holds null; correct date.field or date.as, or name d in may_be_absent where it is rare",),
            ),
            (
                "constant",
                NUMBERED,
                orders("count", True, match={"s": "A"}, empty=0),
                "match_unknown",
                ("no document of stats passes the metric's match", "name s in may_be_absent"),
            ),
            (
                "constant that is rare",
                NUMBERED,
                orders("count", True, match={"s": "A"}, empty=0, may_be_absent=["s"]),
                0,
                (),
            ),
            (
                "documents",
                [],
                orders("count", True, empty=0, ready={"collection": "log", "match": {"dt": "$dt"}}),
                "path_unknown",
                ("there are no others",),
            ),
        ]
    )
]
COUNTED = {"dt": D, "at": at(1), "k": "a"}
VALUELESS = [
    Case(f"count_distinct of {name}", documents, orders("count_distinct", "m.v", **keys), {D: expected}, words)
    for name, documents, keys, expected, words in rows(
        [
            (
                "null alone",
                [{**COUNTED, "m": {"v": None}}] * 2,
                {},
                "path_unknown",
                ("no document of stats holds a value at stats.m.v", "null or absent", "may_be_absent"),
            ),
            ("null alone, with empty", [{**COUNTED, "m": {"v": None}}], {"empty": 0}, "path_unknown", ()),
            (
                "null or absent wherever it matches",
                [{**COUNTED, "m": {"v": None}}, COUNTED, {"at": at(1), "k": "b", "m": {"v": 7}}],
                {"empty": 0, "match": {"k": "a"}},
                "path_unknown",
                ("no document of stats that passes the metric's match holds a value at stats.m.v",),
            ),
            (
                "null where that is rare",
                [{**COUNTED, "m": {"v": None}}],
                {"empty": 0, "may_be_absent": ["m.v"]},
                0,
                (),
            ),
            (
                "null on this day",
                [{**COUNTED, "m": {"v": None}}, {"at": at(1, month=4), "k": "a", "m": {"v": 7}}],
                {"empty": 0, "match": {"k": "a"}},
                0,
                ("counted without 1 of 1 document",),
            ),
        ]
    )
]
UNEVEN = [
    Case(
        f"{kind} of a day that is loaded, before one that is not",
        [*({"at": at(1), "v": n, "k": "b"} for n in range(3)), {"at": at(1), "v": 7, "k": "a"}],
        orders(kind, True if kind == "count" else "v", match={"k": "a"}, empty=0),
        {D: expected, "20240502": "not_ready"},
        last=date(2024, 5, 2),
    )
    for kind, expected in [("count", 1), ("sum", 7), ("count_distinct", 1)]
]
DONE = {"job": "load", "state": {"ok": True}, "n": 3, "dt": D}
UNREADY = [
    Case(
        f"ready whose {name}",
        NUMBERED,
        orders("count", True, ready={"collection": "log", "match": match, **keys}),
        {D: expected},
        words,
        others={"log": log},
    )
    for name, match, keys, log, expected, words in rows(
        [
            (
                "path is mistyped",
                {"jbo": "load", "dt": "$dt"},
                {},
                [DONE],
                "path_unknown",
                ("log.jbo, which ready.match names, is in no document", "job (string)", "ready.may_be_absent"),
            ),
            ("path below is mistyped", {"state.okay": True, "dt": "$dt"}, {}, [DONE], "path_unknown", ("state.ok",)),
            (
                "path is mistyped within $and",
                {"$and": [{"dt": "$dt"}, {"m": {"$gte": 3}}]},
                {},
                [DONE],
                "path_unknown",
                (),
            ),
            (
                "constant has another type",
                {"n": "3", "dt": "$dt"},
                {},
                [DONE],
                "type_unknown",
                ('ready.match compares log.n with "3" (string), but it only holds int',),
            ),
            (
                "day has another type",
                {"dt": "$dt"},
                {},
                [{"dt": 20240501}],
                "type_unknown",
                (f'ready.match compares log.dt with "{D}" (string), but it only holds int', "$dt is a string"),
            ),
            (
                "day is not there",
                {"dt": "$dt"},
                {},
                [{**DONE, "dt": "20240430"}],
                "not_ready",
                ("log has no document",),
            ),
            ("path is rare", {"at": "x"}, {"may_be_absent": ["at"]}, [DONE], "not_ready", ("log has no document",)),
            ("collection holds nothing", {"jbo": "x"}, {}, [], "not_ready", ("log has no document",)),
            ("path is in an array", {"jobs.0": "x"}, {}, [{"jobs": []}], "type_unknown", ()),
        ]
    )
]
SECOND = int(at(1).timestamp())
LAST_OF_JAVASCRIPT = DatetimeMS(8_640_000_000_000_000)
PLACEHOLDERS = [
    *(
        Case(
            f"{value!r} as {as_} proves no day loaded",
            [{"at": good, "k": 1}, {"at": value, "k": 1}],
            orders("count", True, date={"field": "at", "as": as_}, match={"k": 1}, empty=0),
            {D: 1, "20240502": "not_ready"},
            ("not yet loaded through 2024-05-02", "the newest is"),
            last=date(2024, 5, 2),
        )
        for as_, good, values in rows(
            [
                (
                    "date",
                    at(1),
                    [datetime(9999, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), LAST_OF_JAVASCRIPT],
                ),
                ("date", at(1), [datetime(2150, 1, 1, tzinfo=UTC)]),
                ("yyyymmdd", "20240501", ["99991231", 99991231, "19700101", "21500101"]),
                ("iso_date", "2024-05-01", ["9999-12-31", "1970-01-01"]),
                ("epoch_s", SECOND, [0, 253402300799, -62135596800, 8_640_000_000_000, Int64(4_000_000_000)]),
                ("epoch_ms", Int64(SECOND * 1000), [0, Int64(253402300799999), Int64(8_640_000_000_000_000)]),
            ]
        )
        for value in values
    ),
    *(
        Case(
            f"{value!r} is no {as_}",
            [{"at": good}, {"at": value}],
            orders("count_distinct", "at", date={"field": "at", "as": as_}, empty=0),
            {D: "bad_date"},
            ("in 1 document it is no date", word),
        )
        for as_, good, value, word in rows(
            [
                (
                    "epoch_s",
                    SECOND,
                    Int64(SECOND * 1000),
                    f"{SECOND * 1000}, which would be 2024-05-01 in milliseconds (epoch_ms)",
                ),
                ("epoch_s", SECOND, SECOND * 1e6, f"{SECOND * 10**6}, which would be 2024-05-01 in microseconds"),
                ("epoch_ms", Int64(SECOND * 1000), SECOND, f"{SECOND}, which would be 2024-05-01 in seconds (epoch_s)"),
                ("epoch_ms", Int64(SECOND * 1000), Int64(SECOND * 10**9), "which would be 2024-05-01 in nanoseconds"),
                ("epoch_s", SECOND, 20240501, "20240501, which is of no year from 1990 to 2099"),
                ("iso_date", "2024-05-01", "2024-04-30T16:30:00.000Z", "which names another offset than Asia/Seoul's"),
                ("iso_date", "2024-05-01", "2024-05-01 01:30+08", "which names another offset than Asia/Seoul's"),
                *(
                    ("iso_date", "2024-05-01", f"2024-04-30 16:30:00{tail}", "another offset than Asia/Seoul's")
                    for tail in (" UTC", " +0000 UTC", "Z[UTC]", "-05:00[America/New_York]", " GMT-3", " PST")
                ),
            ]
        )
    ),
    Case(
        "an iso_date with the zone's own offset",
        [{"dt": "2024-05-01T00:30:00+09:00", "value": 5}, {"dt": "2024-05-02T00:30+0900", "value": 6}],
        wau(date={"field": "dt", "as": "iso_date"}),
        {D: 5, "20240502": 6},
        last=date(2024, 5, 2),
    ),
    Case(
        "an iso_date with the zone's own offset and letters, or with none",
        [
            {"at": f"2024-05-01 00:30:00{tail}"}
            for tail in (" KST", " +0900 KST", "+09:00[Asia/Seoul]", " GMT+9", " PM", "")
        ],
        orders("count", True, date={"field": "at", "as": "iso_date"}),
        {D: 6},
    ),
    Case(
        "an _id that $group has made",
        [{"_id": {"day": at(1), "user": n % 2, "n": n}} for n in range(4)],
        orders("count_distinct", "_id.user", date={"field": "_id.day", "as": "date"}),
        {D: 2},
    ),
]
CASES = [*PLACEHOLDERS, *PATHS, *VALUELESS, *UNEVEN, *UNREADY, *FIELD, *DATES, *COMPUTED, *WINDOWS, *LOADED, *MATCHES]


def _holdable(case: Case, source: str) -> bool:
    collections = (case.documents, *case.others.values())
    return all(can_hold(source, document) for documents in collections for document in documents)


@pytest.mark.parametrize(
    ("source", "case"),
    [
        pytest.param(source, case, id=f"{source}-{case.name}")
        for source in SOURCES
        for case in CASES
        if _holdable(case, source)
    ],
)
def test_the_answer_is_what_parameters_md_says(source: Any, case: Any, holder: Any, tmp_path: Path) -> None:
    """Each dt that is asked for gets exactly the value, or the reason class and words, that the tables name."""
    database = holder.hold({"stats": case.documents, **case.others})
    profile = a_profile(
        tmp_path,
        clusters={"c": holder.settings},
        games={"lw": {"cluster": "c", "database": database}},
        metrics={"m": case.metric},
    )
    found = by_task(ask(profile, case.first, case.last))
    assert {f"lw/m/{dt}": expected for dt, expected in case.expected.items()} == {
        task: said(outcome) for task, outcome in found.items()
    }, [outcome.message for outcome in found.values()]
    *_, last = found.values()
    for word in case.words:
        assert word in (last.message or "")
    assert case.undated == last.undated
    assert case.expected == {} or last.ask.game_cd == "lw"
