"""The rules of docs/spec/profile.md once more, in the plainest Python: slow, over all documents, sharing no code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

from bson import Decimal128, Int64

KST = timezone(timedelta(hours=9))
ABSENT = object()
PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()
PLACEHOLDERS = [
    (-86_400, 86_401, date(1970, 1, 1)),
    (253_370_678_400, 8_640_000_086_400, date(9999, 1, 1)),
    (-62_135_683_200, -62_104_060_800, date(1, 1, 1)),
]


def at_path(document: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(document, list):
            return "THROUGH AN ARRAY"
        document = document.get(part, ABSENT) if isinstance(document, dict) else ABSENT
    return document


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal128) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    plain = value.to_decimal() if isinstance(value, Decimal128) else value
    return plain.is_finite() if isinstance(plain, Decimal) else math.isfinite(plain)


def exact(value: Any) -> Fraction:
    return Fraction(value.to_decimal() if isinstance(value, Decimal128) else value)


def day(value: Any, as_: str) -> Any:
    """The local day; None for undated; else the reason class."""
    if value is ABSENT or value is None:
        return None
    if as_ == "date":
        return value.replace(tzinfo=UTC).astimezone(KST).date() if isinstance(value, datetime) else "date_type_mismatch"
    if as_ in ("epoch_s", "epoch_ms"):
        if isinstance(value, Decimal128) or not is_number(value):
            return "date_type_mismatch"
        if not finite(value):
            return "bad_date"
        seconds = exact(value) / (1000 if as_ == "epoch_ms" else 1)
        if not PLAUSIBLE[0] <= seconds < PLAUSIBLE[1]:
            if any(PLAUSIBLE[0] <= exact(value) / unit < PLAUSIBLE[1] for unit in (1, 10**3, 10**6, 10**9)):
                return "bad_date"
            placeholders = [day for first, end, day in PLACEHOLDERS if first <= seconds < end]
            return placeholders[0] if placeholders else "bad_date"
        whole = math.floor(seconds)
        return datetime.fromtimestamp(whole, KST).date()
    if isinstance(value, str):
        text = value
    elif as_ == "yyyymmdd" and isinstance(value, int) and not isinstance(value, bool):
        text = str(int(value)).rjust(8, "0") if value >= 0 else "no"
    else:
        return "date_type_mismatch"
    text = text[:10] if as_ == "iso_date" else text
    pattern = {"yyyymmdd": "([0-9]{4})([0-9]{2})([0-9]{2})", "iso_date": "([0-9]{4})-([0-9]{2})-([0-9]{2})"}[as_]
    found = re.fullmatch(pattern, text)
    try:
        return date(*map(int, found.groups())) if found else "bad_date"
    except ValueError:
        return "bad_date"


def refusal(value: Any) -> str | None:
    """Why a value is no integer."""
    if value == "THROUGH AN ARRAY":
        return "array_path"
    if value is ABSENT:
        return "missing_field"
    if value is None:
        return "null_value"
    if not is_number(value):
        return "wrong_type"
    if not finite(value) or exact(value).denominator != 1:
        return "not_integral"
    low, high = (-(2**53), 2**53) if isinstance(value, float) else (-(2**63), 2**63 - 1)
    return None if low <= exact(value) <= high else "overflow"


def customer(value: Any) -> Any:
    """What makes a customer distinct; None for no customer; "REFUSED" for what is no scalar."""
    if value is None or value is ABSENT:
        return None
    if isinstance(value, bool | list | dict) or (is_number(value) and not finite(value)):
        return "REFUSED"
    return ("number", exact(value)) if is_number(value) else (type(value).__name__, repr(value))


TYPES = {
    "yyyymmdd": lambda one: isinstance(one, int | str) and not isinstance(one, bool),
    "iso_date": lambda one: isinstance(one, str),
    "date": lambda one: isinstance(one, datetime),
    "epoch_s": lambda one: isinstance(one, int | float) and not isinstance(one, bool),
    "epoch_ms": lambda one: isinstance(one, int | float) and not isinstance(one, bool),
}


def unseen(documents: Sequence[dict[str, Any]], field: str, as_: str, path: str | None) -> str | None:
    """Why a path of the metric says nothing: it is in no document, or never holds what a date is read from."""
    for one in (field, *([path] if path else [])):
        if all(at_path(document, one) is ABSENT for document in documents):
            return "path_unknown"
    dates = [at_path(document, field) for document in documents]
    flat = [part for one in dates for part in (one if isinstance(one, list) else [one])]
    return None if any(map(TYPES[as_], flat)) else "type_unknown"


ORDER = ["array_path", "wrong_type", "not_integral", "overflow", "null_value", "missing_field"]


def answer(
    documents: Sequence[dict[str, Any]],
    *,
    field: str,
    as_: str,
    kind: str,
    path: str,
    first: date,
    last: date,
    empty: bool = False,
    matches: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> int | str:
    """What becomes of a figure over the days from `first` to `last`."""
    dated = [(day(at_path(document, field), as_), document) for document in documents]
    problems = {found for found, document in dated if isinstance(found, str) and matches(document)}
    for reason in ("date_type_mismatch", "bad_date"):
        if reason in problems:
            return reason
    if documents and (unknown := unseen(documents, field, as_, None if kind == "count" else path)):
        return unknown
    days = [found for found, _ in dated if isinstance(found, date)]
    if kind != "field" and not any(last <= found < date(2500, 1, 1) for found in days):
        return "not_ready"
    window = [doc for found, doc in dated if isinstance(found, date) and first <= found <= last and matches(doc)]
    if not window and empty and not any(map(matches, documents)):
        return "match_unknown"
    if not window:
        return 0 if empty else "not_ready"
    if kind == "count":
        return len(window)
    values = [at_path(document, path) for document in window]
    if kind == "count_distinct":
        customers = {customer(value) for value in values} - {None}
        if not customers and all(at_path(doc, path) in (None, ABSENT) for doc in documents if matches(doc)):
            return "path_unknown"
        return "wrong_type" if "REFUSED" in customers else len(customers)
    if kind == "field" and len(values) > 1:
        return "duplicate_documents"
    refusals = {refusal(value) for value in values} - {None}
    for reason in ORDER:
        if reason in refusals:
            return reason
    integers = [int(exact(value)) for value in values]
    result = max(integers) if kind in ("max", "field") else sum(integers)
    return result if -(2**63) <= result < 2**63 else "overflow"


__all__ = ["Int64", "answer"]
