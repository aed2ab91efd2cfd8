"""A metric's `match` over decoded documents, with MongoDB's semantics.

Comparisons stay within one BSON type, except that numbers of all kinds compare by value. null equals an absent field.
A path through an array, and a field that is one, match where any element does, as MongoDB does it.
Source of the rules: the operators' reference of MongoDB's manual; which operators: docs/spec/profile.md, "Keys".
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bson import DBRef
from bson.datetime_ms import DatetimeMS

from bigmama_nb.errors import SourceError
from bigmama_nb.profile.match import CONNECTIVES, is_operators
from bigmama_nb.sources.values import (
    MISSING,
    bson_type,
    milliseconds,
    number,
)

Document = Mapping[str, Any]
Test = Callable[[Any], bool]
_LONGEST_INDEX = 10


def compiled(match: Mapping[str, Any]) -> Callable[[Document], bool]:
    """Return the function that says whether a document matches.

    Raises:
        SourceError: `query_refused` for an operand that cannot be compared alike in a file and on a server.
    """
    tests = [_connective(key, parts) if key in CONNECTIVES else _field(key, parts) for key, parts in match.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda document: all(test(document) for test in tests)


def paths(match: Mapping[str, Any]) -> Iterator[str]:
    """Yield every path that a filter looks at."""
    for key, parts in match.items():
        if key in CONNECTIVES:
            for part in parts:
                yield from paths(part)
        else:
            yield key


def with_day(match: Any, day: str) -> Any:
    """Return a filter in which every "$dt" is replaced by `day`."""
    if isinstance(match, Mapping):
        return {key: with_day(part, day) for key, part in match.items()}
    if isinstance(match, list):
        return [with_day(part, day) for part in match]
    return day if match == "$dt" else match


def _connective(key: str, parts: list[Mapping[str, Any]]) -> Callable[[Document], bool]:
    tests = [compiled(part) for part in parts]
    combine = all if key == "$and" else any
    return lambda document: combine(test(document) for test in tests)


def _field(path: str, condition: Any) -> Callable[[Document], bool]:
    parts = path.split(".")
    if not is_operators(condition):
        condition = {"$eq": condition}
    if "$not" in condition:
        return _with_not(path, condition)
    tests = [_condition(path, operator, operand) for operator, operand in condition.items()]

    if len(parts) == 1 and len(tests) == 1:
        only, wanted = tests[0]

        def simple(document: Document) -> bool:
            value = document.get(path, MISSING)
            # Nearly every value is a scalar: spare the general way.
            if type(value) is list:
                return any(map(only, candidates(document, parts))) is wanted
            return only(value) is wanted

        return simple

    def general(document: Document) -> bool:
        found = list(candidates(document, parts))
        return all(any(map(test, found)) is wanted for test, wanted in tests)

    return general


def _with_not(path: str, condition: Mapping[str, Any]) -> Callable[[Document], bool]:
    """Return the function of a document that a condition with $not is."""
    denied = _field(path, condition["$not"])
    rest = {operator: operand for operator, operand in condition.items() if operator != "$not"}
    if not rest:
        return lambda document: not denied(document)
    asserted = _field(path, rest)
    return lambda document: asserted(document) and not denied(document)


def _condition(path: str, operator: str, operand: Any) -> tuple[Test, bool]:
    """Return a test of one value, and whether a match needs some value that passes, or none."""
    if operator == "$exists":
        return (lambda value: value is not MISSING), bool(operand)
    if operator in ("$in", "$nin"):
        tests = [_equal(path, one) for one in operand]
        return (lambda value: any(test(value) for test in tests)), operator == "$in"
    if operator == "$type":
        names = frozenset(operand)
        return (lambda value: value is not MISSING and bson_type(value) in names), True
    if operator == "$regex":
        pattern = re.compile(re.sub(r"\\z\Z", lambda _: r"\Z", operand), re.ASCII)
        return (lambda value: type(value) is str and pattern.match(value) is not None), True
    if operator == "$ne":
        return _equal(path, operand), False
    if operator == "$eq":
        return _equal(path, operand), True
    return _range(path, operator, operand), True


def is_index(part: str) -> bool:
    """Return whether a part of a path is the number of an array's element; "01" is a field's name alone."""
    return part.isascii() and part.isdecimal() and (part == "0" or part[0] != "0") and len(part) <= _LONGEST_INDEX


def candidates(found: Any, parts: list[str]) -> Iterator[Any]:
    """Yield what a path leads to, through arrays as MongoDB goes: an array's elements, and the array itself."""
    if isinstance(found, DBRef):
        found = found.as_doc()
    if not parts:
        if isinstance(found, list):
            yield from found
        yield found
    elif isinstance(found, Mapping):
        yield from candidates(found.get(parts[0], MISSING), parts[1:])
    elif isinstance(found, list):
        for element in found:
            if isinstance(element, Mapping | DBRef):
                yield from candidates(element, parts)
        if is_index(parts[0]) and int(parts[0]) < len(found):
            yield from candidates(found[int(parts[0])], parts[1:])
    else:
        yield MISSING


def _equal(path: str, operand: Any) -> Test:
    if operand is None:
        return lambda value: value is None or value is MISSING
    if type(operand) is str:
        # Also of other types that derive from str: JavaScript code is no string.
        return lambda value: type(value) is str and value == operand
    wanted = _comparable(path, operand)
    return lambda value: _same(value, wanted)


def _comparable(path: str, operand: Any) -> Any:
    """Return an operand as documents hold it."""
    if isinstance(operand, dt.datetime):
        return DatetimeMS(milliseconds(operand))
    if isinstance(operand, list):
        return [_comparable(path, one) for one in operand]
    if isinstance(operand, Mapping):
        return {key: _comparable(path, one) for key, one in operand.items()}
    if operand is None or isinstance(operand, bool | int | float | str):
        return operand
    raise SourceError("query_refused", f"match compares {path} with {operand!r}, a {type(operand).__name__}")


def _same(value: Any, wanted: Any) -> bool:
    """Return whether MongoDB compares the two as equal."""
    numeric = number(wanted)
    if numeric is not None:
        found = number(value)
        return found is not None and (found == numeric or (found != found and numeric != numeric))
    if isinstance(wanted, DatetimeMS):
        return isinstance(value, dt.datetime | DatetimeMS) and milliseconds(value) == int(wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(wanted, Mapping):
        if isinstance(value, DBRef):
            value = value.as_doc()
        # The order of fields counts.
        return (
            isinstance(value, Mapping)
            and list(value) == list(wanted)
            and all(map(_same, value.values(), wanted.values()))
        )
    return type(value) is type(wanted) and bool(value == wanted)


def _range(path: str, operator: str, operand: Any) -> Test:
    def holds(order: int) -> bool:
        return order > 0 if operator == "$gt" else order >= 0 if operator == "$gte" else _below(order)

    def _below(order: int) -> bool:
        return order < 0 if operator == "$lt" else order <= 0

    or_equal = operator in ("$gte", "$lte")
    if operand is None:
        return lambda value: or_equal and (value is None or value is MISSING)
    if isinstance(operand, list | Mapping):
        raise SourceError(
            "query_refused",
            f"match has {path}: {{{operator}: …}} with a {bson_type(operand)}; compare with a number, a string, a date "
            "or a boolean",
        )
    if isinstance(operand, float) and math.isnan(operand):
        return lambda value: or_equal and _same(value, operand)
    key = _order_key(_comparable(path, operand))
    assert key is not None

    def within(value: Any) -> bool:
        found = _order_key(value)
        # NaN is below every number for sorting, and matches no range.
        if found is None or found[0] != key[0] or found[1] != found[1]:
            return False
        return holds((found[1] > key[1]) - (found[1] < key[1]))

    return within


def _order_key(value: Any) -> tuple[str, Any] | None:
    """Return a scalar's type bracket and what orders it there; None for what has no order here."""
    numeric = number(value)
    if numeric is not None:
        return "number", numeric
    if type(value) is str:
        return "string", value.encode("utf-8", "surrogateescape")
    if type(value) is bool:
        return "bool", value
    if isinstance(value, dt.datetime | DatetimeMS):
        return "date", milliseconds(value)
    return None
