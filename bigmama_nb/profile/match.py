"""A metric's `match`: which of MongoDB's filters a profile may hold, and how they are written.

Source of every rule here: docs/spec/profile.md, "Keys".
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile.messages import refuse

LISTS = ("$in", "$nin")
COMPARISONS = (*LISTS, "$gt", "$gte", "$lt", "$lte", "$ne", "$not", "$exists", "$type", "$regex")
CONNECTIVES = ("$and", "$or")
NUMBERS = ("double", "int", "long", "decimal")
TYPES = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "date", "null", "regex"),
    *("javascript", "javascriptWithScope", "int", "timestamp", "long", "decimal", "minKey", "maxKey"),
)
DECADES = (631_152_000, 4_102_444_800)
"""1990 and 2100, in seconds since 1970."""
DATE = '{$date: "2024-05-01T00:00:00+09:00"}'

# What Python's `re`, PCRE and RE2 read alike: no look-around, no back-reference, no flag, no class but \d and \w.
_ATOM = r"(?:[^\\\[\](){}|?*+.^$\n]|\\[^A-Za-z0-9\n]|\\[dw]|\.|\[\^?(?:[^\\\[\]^\n]|\\[^A-Za-z0-9\n]|\\[dw])+\])"
_PATTERN = re.compile(rf"\^(?:{_ATOM}|\((?!\?)|\)|\||(?<=[^(|^])[?*+]|(?<=[^(|^])\{{\d+(?:,\d*)?\}})*")


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """Return a filter with its dates as instants and its patterns as every source reads them; raises a refusal."""
    found: dict[str, Any] = {}
    for key, condition in document.items():
        if not isinstance(key, str):
            raise refuse(f"has the key {key!r}; expected a string (quote it)")
        if key in CONNECTIVES:
            if not isinstance(condition, list) or not condition:
                raise refuse(f"has {key} with {condition!r}; expected a list of filters")
            for part in condition:
                if not isinstance(part, dict):
                    raise refuse(f"has {key} with {part!r}; expected a filter such as {{type: wau}}")
            found[key] = [checked(part) for part in condition]
        elif key.startswith("$"):
            raise refuse(_unknown_operator(key))
        else:
            found[key] = _condition(key, condition)
    return found


def _condition(key: str, condition: object) -> object:
    if is_date(condition) or not is_operators(condition):
        return _constant(key, condition)
    assert isinstance(condition, dict)
    return {operator: _operand(key, str(operator), operand) for operator, operand in condition.items()}


def is_operators(condition: object) -> bool:
    """Return whether a condition is a mapping of operators rather than a constant."""
    return isinstance(condition, dict) and any(str(name).startswith("$") for name in condition)


def is_date(condition: object) -> bool:
    """Return whether a condition is a date of MongoDB's Extended JSON."""
    return isinstance(condition, dict) and list(condition) == ["$date"]


def _operand(key: str, operator: str, operand: Any) -> object:
    if operator not in COMPARISONS:
        raise refuse(_unknown_operator(operator))
    if operator in LISTS:
        if not isinstance(operand, list) or not operand:
            raise refuse(f"has {key}: {{{operator}: {operand!r}}}; expected a list of constants")
        return [_constant(key, one) for one in operand]
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise refuse(f"has {key}: {{$exists: {operand!r}}}; expected true or false")
        return operand
    if operator == "$not":
        if not is_operators(operand) or is_date(operand):
            raise refuse(f"has {key}: {{$not: {operand!r}}}; expected operators such as {{$gt: 5}}")
        return _condition(key, operand)
    if operator == "$type":
        return _types(key, operand)
    if operator == "$regex":
        return _pattern(key, operand)
    return _constant(key, operand)


def _types(key: str, operand: object) -> list[str]:
    found: list[str] = []
    for name in operand if isinstance(operand, list) and operand else [operand]:
        if name == "number":
            found += NUMBERS
        elif isinstance(name, str) and name in TYPES:
            found.append(name)
        else:
            raise refuse(
                f"has {key}: {{$type: {name!r}}}; types are number, {', '.join(TYPES)}."
                f"{did_you_mean(name, ('number', *TYPES))}"
            )
    return list(dict.fromkeys(found))


def _pattern(key: str, operand: object) -> str:
    """Return the pattern with its end as `\\z`: a `$` stands before a last newline too, for some."""
    if not isinstance(operand, str):
        raise refuse(f"has {key}: {{$regex: {operand!r}}}; expected a string such as '^KR_'")
    text = operand.removesuffix(r"\z")
    ends = text != operand
    if not ends and text.endswith("$") and not text.endswith("\\$"):
        text, ends = text[:-1], True
    alternatives = re.search(r"\|", re.sub(r"\\.|\[(?:\\.|[^\]])*\]|\([^()]*\)", "", text))
    try:
        if not _PATTERN.fullmatch(text) or alternatives:
            raise re.error("")
        re.compile(text, re.ASCII)
    except (re.error, OverflowError):
        raise refuse(
            f"has {key}: {{$regex: {operand!r}}}; expected a pattern that begins with ^, of characters, [classes], "
            r"(groups), |, ?, *, +, {1,2}, ., \d and \w, with $ at its end or without"
        ) from None
    return text + (r"\z" if ends else "")


def _constant(key: str, operand: object) -> object:
    if isinstance(operand, list):
        return [_constant(key, one) for one in operand]
    if is_date(operand):
        assert isinstance(operand, dict)
        return _instant(key, operand["$date"])
    if isinstance(operand, dt.datetime):
        if operand.tzinfo is None:
            raise refuse(f"compares {key} with {operand}; an instant needs its zone, as in {DATE}")
    elif isinstance(operand, dt.date):
        raise refuse(f"compares {key} with the bare date {operand}; an instant is written as {DATE}")
    elif operand is not None and not isinstance(operand, bool | int | float | str | dict):
        what = {"bytes": "binary data", "set": "a set"}.get(type(operand).__name__, type(operand).__name__)
        raise refuse(f"compares {key} with {what}; expected a number, a string, true, false, null or {DATE}")
    return operand


def _instant(key: str, written: object) -> dt.datetime:
    """Return the instant of an Extended JSON date: a text with its zone, or milliseconds since 1970."""
    if isinstance(written, dict) and list(written) == ["$numberLong"]:
        written = written["$numberLong"]
        written = int(written) if isinstance(written, str) and re.fullmatch(r"-?\d{1,18}", written) else None
    if isinstance(written, int) and not isinstance(written, bool):
        _require_milliseconds(key, written)
    found: object = written
    try:
        if isinstance(written, str):
            found = dt.datetime.fromisoformat(written)
        elif isinstance(written, int) and not isinstance(written, bool):
            found = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=written)
    except (ValueError, OverflowError):
        found = None
    if not isinstance(found, dt.datetime) or found.tzinfo is None:
        shown = written if isinstance(written, str | int | float) else str(written)
        raise refuse(f"compares {key} with {{$date: {shown!r}}}; expected an instant with its zone, as in {DATE}")
    return found


def _require_milliseconds(key: str, written: int) -> None:
    """Refuse what is a date of these decades in another unit, and so in milliseconds one near 1970."""
    for unit, a_second in {"seconds": 1, "microseconds": 10**6, "nanoseconds": 10**9}.items():
        if DECADES[0] * a_second <= written < DECADES[1] * a_second:
            milliseconds = written * 1000 // a_second
            raise refuse(
                f"compares {key} with {{$date: {written}}}, which is a date in {unit}; $date counts milliseconds, so "
                f"write {milliseconds}, or {DATE}"
            )


def _unknown_operator(operator: str) -> str:
    known = (*COMPARISONS, *CONNECTIVES)
    return f"uses {operator}; the operators are equality, {', '.join(known)}.{did_you_mean(operator, known)}"


def paths(match: dict[str, Any]) -> list[str]:
    """Return every path that a filter looks at, in its order."""
    found: list[str] = []
    for key, condition in match.items():
        if key in CONNECTIVES:
            found += [path for part in condition for path in paths(part)]
        else:
            found.append(key)
    return list(dict.fromkeys(found))
