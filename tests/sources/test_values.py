"""Values and dates are exact or refused."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import bson
import pytest
from bson import DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.values import (
    CODEC,
    MISSING,
    ThroughArray,
    ValueRefusedError,
    bson_type,
    identity,
    integer,
    lookup,
    shown,
)

SEOUL = ZoneInfo("Asia/Seoul")
AN_ID = ObjectId("5f0000000000000000000001")


def decoded(value: object) -> object:
    """A value as it comes out of BSON."""
    return bson.decode(bson.encode({"v": value}), CODEC)["v"]


def reason(value: object) -> str:
    with pytest.raises(ValueRefusedError) as refused:
        integer(value)
    return refused.value.reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (-7, -7),
        (2**31, 2**31),
        (Int64(3), 3),
        (Int64(2**63 - 1), 2**63 - 1),
        (Int64(-(2**63)), -(2**63)),
        (3.0, 3),
        (-0.0, 0),
        (2.0**53, 2**53),
        (-(2.0**53), -(2**53)),
        (Decimal128("12"), 12),
        (Decimal128("12.000"), 12),
        (Decimal128("1.2E+3"), 1200),
        (Decimal128("-0"), 0),
        (Decimal128("0E+6000"), 0),
        (Decimal128("9223372036854775807"), 2**63 - 1),
        (Decimal128("-9223372036854775808"), -(2**63)),
    ],
)
def test_an_integral_number_is_that_integer(value: Any, expected: Any) -> None:
    """Each kind of BSON number that holds an integer gives exactly that integer, as a Python int."""
    found = integer(decoded(value))
    assert (expected, int) == (found, type(found))


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        "12",
        "",
        [1],
        [],
        {"a": 1},
        AN_ID,
        b"1",
        Binary(b"1", 5),
        datetime(2024, 5, 1),  # noqa: DTZ001
        DatetimeMS(10**15),
        Regex("a"),
        Code("1"),
        Code("1", {"a": 1}),
        Timestamp(1, 1),
        MinKey(),
        MaxKey(),
        DBRef("a", 1),
    ],
)
def test_another_type_is_no_integer(value: Any) -> None:
    """A value of a type that is no number is refused as wrong_type, booleans too."""
    assert reason(decoded(value)) == "wrong_type"


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        -0.1,
        5e-324,
        math.nan,
        math.inf,
        -math.inf,
        Decimal128("1.5"),
        Decimal128("1E-6176"),
        Decimal128("NaN"),
        Decimal128("sNaN"),
        Decimal128("Infinity"),
        Decimal128("-Infinity"),
        Decimal128("12345678901234567890.5"),
    ],
)
def test_a_fraction_is_not_rounded(value: Any) -> None:
    """A fraction, NaN and an infinity are refused as not_integral."""
    assert reason(decoded(value)) == "not_integral"


@pytest.mark.parametrize(
    "value",
    [
        2.0**53 + 2,
        -(2.0**53) - 2,
        1e300,
        Decimal128("9223372036854775808"),
        Decimal128("-9223372036854775809"),
        Decimal128("1E+6144"),
    ],
)
def test_what_int64_cannot_hold_is_not_wrapped(value: Any) -> None:
    """A double beyond ±2^53 and a decimal beyond int64 are refused as overflow."""
    assert reason(decoded(value)) == "overflow"


def test_null_and_absent_are_told_apart() -> None:
    """null is null_value, an absent field missing_field, a path through an array array_path."""
    assert [
        reason(None),
        reason(MISSING),
        reason(ThroughArray("a")),
    ] == ["null_value", "missing_field", "array_path"]


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda n: n if -(2**31) <= n < 2**31 else Int64(n)),
    st.integers(-(2**55), 2**55).map(float),
    st.floats(),
    st.decimals(allow_nan=True).filter(lambda d: len(d.as_tuple().digits) <= 34).map(Decimal128),
    st.builds(lambda m, e: Decimal128(Decimal(m).scaleb(e)), st.integers(-(10**20), 10**20), st.integers(-25, 25)),
)


def exact(value: Any) -> Fraction | None:
    """The exact value of a BSON number by fractions alone; None for NaN and infinities."""
    plain = Decimal(str(value)) if isinstance(value, Decimal128) else value
    if isinstance(plain, Decimal):
        return Fraction(plain) if plain.is_finite() else None
    return Fraction(plain) if math.isfinite(plain) else None


@given(NUMBERS)
def test_every_number_is_exact_or_refused(number: Any) -> None:
    """Whatever the number: the result equals it exactly and fits, or it is refused for the reason that holds."""
    value = exact(number)
    limit = 2**53 if isinstance(number, float) else 2**63 - 1
    if value is None or value.denominator != 1:
        expected: object = "not_integral"
    elif abs(value) > limit and value != (-(2**63) if limit > 2**53 else None):
        expected = "overflow"
    else:
        expected = value.numerator
    try:
        found: object = integer(decoded(number))
    except ValueRefusedError as refused:
        found = refused.reason
    assert expected == found


@given(NUMBERS, NUMBERS)
def test_numbers_are_one_customer_exactly_where_their_values_are_equal(one: Any, other: Any) -> None:
    """Two numbers of any kinds have one identity if and only if they have the same exact value."""
    values = exact(one), exact(other)
    if None in values:
        return
    identities = identity(decoded(one)), identity(decoded(other))
    assert (values[0] == values[1]) == (len(set(identities)) == 1)


def test_kinds_of_numbers_are_one_customer() -> None:
    """3, 3.0, NumberLong(3) and Decimal128("3.00") are one; "3" is another."""
    three = [3, 3.0, Int64(3), Decimal128("3.00"), Decimal128("3"), Decimal128("0.3E+1")]
    assert {3} == {identity(decoded(value)) for value in three}
    assert len({identity(decoded(value)) for value in [*three, "3"]}) == 2


def test_scalars_of_different_types_are_different_customers() -> None:
    """What looks alike in two types is two, and what is equal in one type is one."""
    different = [
        "5f0000000000000000000001",
        AN_ID,
        b"ab",
        "ab",
        Binary(b"ab", 5),
        Code("ab"),
        Code("ab", {"x": 1}),
        Regex("ab"),
        Regex("ab", "i"),
        datetime(1970, 1, 1),  # noqa: DTZ001
        DatetimeMS(2**60),
        DatetimeMS(-(2**60)),
        0,
        2**60,
        Timestamp(0, 1),
        MinKey(),
        MaxKey(),
        "",
    ]
    assert len(different) == len({identity(decoded(value)) for value in different * 2})


def test_bytes_that_are_not_utf8_stay_distinct() -> None:
    """Two strings with different broken bytes are two customers, not one "?"."""

    def broken(byte: bytes) -> object:
        return bson.decode(bson.encode({"v": "xyz"}).replace(b"xyz", b"x" + byte + b"z"), CODEC)["v"]

    assert identity(broken(b"\xff")) != identity(broken(b"\xfe"))
    assert shown(broken(b"\xff")).isprintable()


@pytest.mark.parametrize(
    "value",
    [True, False, math.nan, math.inf, Decimal128("NaN"), Decimal128("Infinity"), [1], {"a": 1}, DBRef("a", 1)],
)
def test_what_is_no_scalar_is_no_customer(value: Any) -> None:
    """A boolean, NaN, an infinity, an array and a document cannot be counted as distinct values."""
    with pytest.raises(ValueRefusedError) as refused:
        identity(decoded(value))
    assert refused.value.reason == "wrong_type"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", 1),
        ("b.c", 2),
        ("b.d", None),
        ("b.x", MISSING),
        ("x", MISSING),
        ("x.y", MISSING),
        ("a.y", MISSING),
        ("n.y", MISSING),
        ("l", [{"c": 3}]),
        ("l.c", ThroughArray("l")),
        ("l.0.c", ThroughArray("l")),
        ("b.l.c", ThroughArray("b.l")),
        ("r.$id", 7),
    ],
)
def test_a_dotted_path_finds_what_is_there(path: Any, expected: Any) -> None:
    """A path leads through documents; where it would lead through an array, the array is named."""
    document: Any = decoded(
        {"a": 1, "b": {"c": 2, "d": None, "l": []}, "n": None, "l": [{"c": 3}], "r": {"$ref": "x", "$id": 7}}
    )
    assert expected == lookup(document, path.split("."))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "int"),
        (Int64(1), "long"),
        (1.0, "double"),
        (Decimal128("1"), "decimal"),
        (True, "bool"),
        ("a", "string"),
        (None, "null"),
        ({}, "object"),
        ([], "array"),
        (b"", "binData"),
        (AN_ID, "objectId"),
        (datetime(2024, 5, 1), "date"),  # noqa: DTZ001
        (Regex("a"), "regex"),
        (Code("a"), "javascript"),
        (Code("a", {"x": 1}), "javascriptWithScope"),
        (Timestamp(1, 1), "timestamp"),
        (MinKey(), "minKey"),
        (MaxKey(), "maxKey"),
    ],
)
def test_types_bear_mongodbs_names(value: Any, expected: Any) -> None:
    """A message names a BSON type as MongoDB does."""
    assert expected == bson_type(decoded(value))


def placed(as_: str, value: object) -> object:
    """The local day of a value, or why it has none."""
    dating = Dating(as_, SEOUL)
    position = dating.place(value if value is MISSING else decoded(value))
    if isinstance(position, Unplaced):
        return position.why
    first = date(2024, 4, 28)
    days = [first + timedelta(days=n) for n in range(6)]
    return max((day for day in days if dating.start(day) <= position), default=None)


MAY_1 = date(2024, 5, 1)
MIDNIGHT = datetime(2024, 4, 30, 15, tzinfo=UTC)  # of 1 May in Seoul
MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("as_", "value", "expected"),
    [
        ("yyyymmdd", "20240501", MAY_1),
        ("yyyymmdd", 20240501, MAY_1),
        ("yyyymmdd", Int64(20240501), MAY_1),
        ("yyyymmdd", 20240501.0, "date_type_mismatch"),
        ("yyyymmdd", "2024-05-01", "bad_date"),
        ("yyyymmdd", "20240231", "bad_date"),
        ("yyyymmdd", 20240231, "bad_date"),
        ("yyyymmdd", -20240501, "bad_date"),
        ("yyyymmdd", "20240501 ", "bad_date"),
        ("yyyymmdd", "20240501\n", "bad_date"),
        ("yyyymmdd", "２０２４０５０１", "bad_date"),
        ("yyyymmdd", "2024W183", "bad_date"),
        ("yyyymmdd", "", "bad_date"),
        ("yyyymmdd", "00000501", "bad_date"),
        ("yyyymm", "202405", MAY_1),
        ("yyyymm", 202405, MAY_1),
        ("yyyymm", "202413", "bad_date"),
        ("yyyymm", "20240501", "bad_date"),
        ("iso_date", "2024-05-01", MAY_1),
        ("iso_date", "2024-05-01T23:59:59+09:00", MAY_1),
        ("iso_date", "2024-05-01T23:59:59Z", "bad_date"),
        ("iso_date", "2024-05-01x", MAY_1),
        ("iso_date", "2024-05-1", "bad_date"),
        ("iso_date", "20240501", "bad_date"),
        ("iso_date", "2024-W18-3", "bad_date"),
        ("iso_date", 20240501, "date_type_mismatch"),
        ("date", MIDNIGHT, MAY_1),
        ("date", MIDNIGHT - MS, date(2024, 4, 30)),
        ("date", "2024-05-01", "date_type_mismatch"),
        ("date", Timestamp(MIDNIGHT, 1), "date_type_mismatch"),
        ("date", DatetimeMS(-(2**60)), None),
        ("date", DatetimeMS(2**60), date(2024, 5, 3)),
        ("epoch_s", int(MIDNIGHT.timestamp()), MAY_1),
        ("epoch_s", MIDNIGHT.timestamp() - 0.25, date(2024, 4, 30)),
        ("epoch_s", MIDNIGHT.timestamp(), MAY_1),
        ("epoch_ms", Int64(MIDNIGHT.timestamp() * 1000), MAY_1),
        ("epoch_ms", Int64(MIDNIGHT.timestamp() * 1000 - 1), date(2024, 4, 30)),
        ("epoch_ms", Int64(-(2**63)), "bad_date"),
        ("epoch_s", math.nan, "bad_date"),
        ("epoch_s", math.inf, "bad_date"),
        ("epoch_s", "1714489200", "date_type_mismatch"),
        ("epoch_s", Decimal128("1714489200"), "date_type_mismatch"),
        ("epoch_ms", True, "date_type_mismatch"),
        ("yyyymmdd", True, "date_type_mismatch"),
        ("yyyymmdd", ["20240501"], "date_type_mismatch"),
        ("date", [MIDNIGHT], "date_type_mismatch"),
        ("date", Code("2024"), "date_type_mismatch"),
        ("date", None, "undated"),
        ("date", MISSING, "undated"),
        ("yyyymmdd", None, "undated"),
        ("iso_date", MISSING, "undated"),
    ],
)
def test_a_date_is_the_local_day_or_says_why_not(as_: Any, value: Any, expected: Any) -> None:
    """Each form of `date.as` reads its BSON types, and calls the rest a mismatch, a bad date or undated."""
    assert expected == placed(as_, value)


def test_a_date_through_an_array_is_named() -> None:
    """A date's path through an array is neither absent nor a mismatch."""
    assert Unplaced("array_path", "Rentals") == Dating("iso_date", SEOUL).place(ThroughArray("Rentals"))


@given(st.dates(date(1800, 1, 1), date(2200, 1, 1)), st.sampled_from(["yyyymmdd", "iso_date"]))
def test_every_day_is_read_as_itself(day: Any, as_: Any) -> None:
    """Every calendar day, written as text, has its own position, and is shown as it was written."""
    text = day.strftime("%Y%m%d" if as_ == "yyyymmdd" else "%Y-%m-%d")
    dating = Dating(as_, SEOUL)
    assert dating.start(day) == dating.place(text)
    assert f'"{text}"' == dating.shown(dating.place(text))


@given(st.text(st.sampled_from("0123456789-/ T２W"), max_size=12))
def test_only_calendar_days_are_read(text: Any) -> None:
    """A text is read as yyyymmdd exactly if it is eight ASCII digits that strptime takes for a day."""
    try:
        day = datetime.strptime(text, "%Y%m%d").date() if re.fullmatch("[0-9]{8}", text) else None  # noqa: DTZ007
    except ValueError:
        day = None
    position = Dating("yyyymmdd", SEOUL).place(text)
    assert (day.toordinal() if day else "bad_date") == getattr(position, "why", position)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_an_instant_belongs_to_the_day_that_seoul_calls_it(instant: Any) -> None:
    """An instant lies between its day's start and the next one's, in every form that holds instants."""
    day = (instant.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))).date()
    if day < date(1989, 1, 1):
        day = instant.replace(tzinfo=UTC).astimezone(SEOUL).date()  # Seoul's offset was another before
    ms = (instant - datetime(1970, 1, 1)) // MS  # noqa: DTZ001
    exact_ms = datetime(1970, 1, 1) + ms * MS  # noqa: DTZ001
    forms = {"date": exact_ms, "epoch_ms": Int64(ms), "epoch_s": ms / 1000}
    for as_, value in forms.items():
        dating = Dating(as_, SEOUL)
        position = dating.place(decoded(value))
        if as_ != "date" and not datetime(1990, 1, 1) <= instant < datetime(2100, 1, 1):  # noqa: DTZ001
            continue  # no date of a game's document, as a number
        assert dating.start(day) <= position < dating.start(day + timedelta(days=1))
