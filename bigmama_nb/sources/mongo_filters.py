"""What is asked of a MongoDB server, as plain filters; nothing here talks to one.

A server's ranges compare within one BSON type and skip the rest in silence, so that what they would skip is asked for
by itself. Where a filter can only be too wide, the client looks again with the code that reads files.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from bson import Regex

from bigmama_nb.sources import filters
from bigmama_nb.sources.dating import EXPECTED_TYPES, ZONED, Dating, epoch_spans
from bigmama_nb.sources.scan import Question, Scan, buckets

Filter = dict[str, Any]

DAYS_AT_ONCE: Final = 31
"""A query asks for no more days than this, so that one that fails costs little to ask again."""

# Of those that MongoDB still writes: `null` is undated, and the drivers read a deprecated one as its successor.
ALL_TYPES: Final = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "date", "regex"),
    *("javascript", "javascriptWithScope", "int", "timestamp", "long", "decimal", "minKey", "maxKey"),
)

_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"


def _days(dash: str, end: str) -> str:
    long = f"(0[13578]|1[02]){dash}(0[1-9]|[12][0-9]|3[01])"
    short = f"(0[469]|11){dash}(0[1-9]|[12][0-9]|30)"
    february = f"02{dash}(0[1-9]|1[0-9]|2[0-8])"
    return f"^({_YEAR}{dash}({long}|{short}|{february})|{_LEAP_YEAR}{dash}02{dash}29){end}"


# Without look-around, which not every server's engine has; \z and not $, which stands before a last newline too.
VALID_TEXT: Final = {
    "yyyymmdd": _days("", r"\z"),
    "yyyymm": rf"^{_YEAR}(0[1-9]|1[0-2])\z",
    "iso_date": _days("-", ""),
}
"""Which strings are a date, for each `date.as` that reads strings: exactly what `Dating` takes for one."""


def both(*filters_: Mapping[str, Any]) -> Filter:
    """Return the filter of what passes all of these."""
    some = [dict(one) for one in filters_ if one]
    return some[0] if len(some) == 1 else {"$and": some} if some else {}


def either(filters_: Iterable[Mapping[str, Any]]) -> Filter:
    """Return the filter of what passes one of these; an empty one lets everything through."""
    some: list[Filter] = []
    for one in filters_:
        if not one:
            return {}
        if one not in some:
            some.append(dict(one))
    return some[0] if len(some) == 1 else {"$or": some}


def prefixes(path: str) -> list[str]:
    """Return what a dotted path leads through: `a` and `a.b` of `a.b.c`."""
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def without_arrays(path: str) -> Filter:
    """Return the filter of documents in which neither the path nor what it leads through is an array."""
    return {"$nor": [{part: {"$type": "array"}} for part in (*prefixes(path), path)]}


def through_no_array(path: str) -> Filter:
    """Return the filter of documents in which the path leads through no array."""
    return {"$nor": [{part: {"$type": "array"}} for part in prefixes(path)]} if "." in path else {}


def between(dating: Dating, path: str, begin: Any, end: Any) -> Filter:
    """Return the filter of documents from the position `begin` up to `end`; of whole months, for `yyyymm`."""
    if dating.splits_a_day:
        return {path: {"$gte": begin, "$lt": end}}
    first, last = date.fromordinal(begin), date.fromordinal(end - 1)
    if dating.as_ == "iso_date":
        return {path: {"$gte": first.isoformat(), "$lt": (last + timedelta(days=1)).isoformat()}}
    length = 6 if dating.as_ == "yyyymm" else 8
    low, high = (day.isoformat().replace("-", "")[:length] for day in (first, last))
    return {"$or": [{path: {"$gte": low, "$lte": high}}, {path: {"$gte": int(low), "$lte": int(high)}}]}


def of_expected_types(dating: Dating, path: str) -> Filter:
    """Return the filter of documents whose date is one value of a type that is read."""
    return both({path: {"$type": sorted(EXPECTED_TYPES[dating.as_])}}, without_arrays(path))


def other_types(dating: Dating) -> list[str]:
    """Return the names of the types that are not read."""
    return [name for name in ALL_TYPES if name not in EXPECTED_TYPES[dating.as_]]


def bad_texts(dating: Dating, path: str) -> Filter:
    """Return the filter of documents whose date is a string or a double that is no date."""
    if dating.as_ in VALID_TEXT:
        valid: Filter = {path: Regex(VALID_TEXT[dating.as_])}
        if dating.as_ == "iso_date":
            own = {"$or": [{path: Regex(dating.own_offsets)}, {"$nor": [{path: Regex(ZONED)}]}]}
            valid = both(valid, own)
        return both({path: {"$type": "string"}}, {"$nor": [valid, {path: {"$type": "array"}}]})
    most = sys.float_info.max
    finite = {path: {"$gte": -most, "$lte": most}}
    endless = both({path: {"$type": "double"}}, {"$nor": [finite, {path: {"$type": "array"}}]})
    spans = [{path: {"$gte": begin, "$lt": end}} for begin, end in epoch_spans(dating.as_)]
    others = both({path: {"$type": sorted(EXPECTED_TYPES[dating.as_])}}, {"$nor": [*spans, {path: {"$type": "array"}}]})
    return either([endless, others])


def of_other_types(dating: Dating, path: str, *, by_name: bool) -> Filter:
    """Return the filter of documents whose date is of a type that is not read, null aside.

    By the types' names an index on the path answers it; a server that does not know all the names has to look at
    each document.
    """
    if by_name:
        return {path: {"$type": other_types(dating)}}
    expected = {path: {"$type": sorted(EXPECTED_TYPES[dating.as_])}}
    return either([{path: {"$type": "array"}}, {"$nor": [expected, {path: None}]}])


def odd(dating: Dating, path: str, *, by_name: bool) -> Filter:
    """Return the filter of documents whose date cannot be read, but for whole numbers that are no date."""
    parts: list[Filter] = [of_other_types(dating, path, by_name=by_name)]
    parts += [{part: {"$type": "array"}} for part in prefixes(path)]
    if dating.as_ != "date":
        parts.append(bad_texts(dating, path))
    return either(parts)


def unreadable(dating: Dating, path: str) -> Filter:
    """Return the filter of documents that are undated or whose date cannot be read, but for numbers that are no date.

    No index answers it: it is for where there is none.
    """
    others: Filter = {"$nor": [of_expected_types(dating, path)]}
    return others if dating.as_ == "date" else either([others, bad_texts(dating, path)])


def undated(path: str) -> Filter:
    """Return the filter of documents whose date is null or absent."""
    return both({path: None}, without_arrays(path))


def newest(dating: Dating, path: str) -> list[Filter]:
    """Return the filters whose greatest document by the path is, of all of them, the newest that has a date."""
    if dating.as_ in ("yyyymmdd", "yyyymm", "iso_date"):
        end = date.fromordinal(dating.horizon).isoformat()
        if dating.as_ == "iso_date":
            valid = {"$nor": [bad_texts(dating, path)]}
            return [both({path: {"$type": "string", "$lt": end}}, valid, without_arrays(path))]
        last = date.fromordinal(dating.horizon - 1).isoformat().replace("-", "")[: 6 if dating.as_ == "yyyymm" else 8]
        texts = both({path: {"$type": "string"}}, {path: Regex(VALID_TEXT[dating.as_])}, without_arrays(path))
        return [both(texts, {path: {"$lte": last}}), both(whole_numbers(path), {path: {"$lte": int(last)}})]
    return [both(of_expected_types(dating, path), {path: {"$lt": dating.horizon}})]


def whole_numbers(path: str) -> Filter:
    """Return the filter of documents whose date is an int or a long."""
    return both({path: {"$type": ["int", "long"]}}, without_arrays(path))


def projection(questions: Sequence[Question]) -> dict[str, int]:
    """Return the fields that answer all the questions, and no more."""
    wanted: set[str] = set()
    with_id = False
    for question in questions:
        metric = question.metric
        wanted |= {_projectable(path) for path in filters.paths(metric.match)}
        wanted.add(_projectable(metric.date.field))
        if metric.value.path is not None:
            wanted.add(_projectable(metric.value.path))
        with_id = with_id or not metric.value.computed
    # A path and a part of it collide; the part brings the path along.
    fields = {path: 1 for path in sorted(wanted) if not any(part in wanted for part in prefixes(path))}
    # What lies below an _id, as in one that $group has made, is not there where the _id is left out.
    if any(path.startswith("_id.") for path in fields) or "_id" in fields:
        return {path: 1 for path in fields if not path.startswith("_id.")} | {"_id": 1}
    return fields if with_id else {**fields, "_id": 0}


def _projectable(path: str) -> str:
    # A projection does not go into an array by number, as a filter does: bring the whole array.
    kept: list[str] = []
    for part in path.split("."):
        if part.isdecimal() and kept:
            break
        kept.append(part)
    return ".".join(kept)


def spans(scans: Sequence[Scan]) -> list[tuple[Any, Any]]:
    """Return the spans of positions that the questions of one date field need, each of DAYS_AT_ONCE at most."""
    dating = scans[0].dating
    bounds = scans[0].bounds
    used = sorted({bucket for one in scans for ask in one.question.asks for bucket in buckets(one, ask)})
    found: list[tuple[Any, Any]] = []
    for bucket in used:
        begin, end = bounds[bucket - 1], bounds[bucket]
        if found and found[-1][1] == begin and _days_between(dating, found[-1][0], end) <= DAYS_AT_ONCE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return [
        part
        for begin, end in found
        for part in split(dating, begin, end, -int(-_days_between(dating, begin, end) // DAYS_AT_ONCE))
    ]


def _days_between(dating: Dating, begin: Any, end: Any) -> float:
    if dating.as_ == "date":
        return float((end - begin) / timedelta(days=1))
    seconds_of_unit = {"epoch_s": 1.0, "epoch_ms": 0.001}.get(dating.as_, 86400.0)
    return float((end - begin) * seconds_of_unit / 86400)


def whole_days(dating: Dating, begin: Any, end: Any) -> int:
    """Return into how many pieces of about a day the span can be split."""
    return max(1, int(_days_between(dating, begin, end)))


def split(dating: Dating, begin: Any, end: Any, pieces: int) -> list[tuple[Any, Any]]:
    """Return the span in at most so many pieces of like length; as it is, where it cannot be split."""
    if dating.as_ == "date":
        total = (end - begin) // timedelta(milliseconds=1)
        cuts = [begin + timedelta(milliseconds=total * n // pieces) for n in range(pieces + 1)]
    else:
        cuts = [begin + (end - begin) * n // pieces for n in range(pieces + 1)]
    cuts = list(dict.fromkeys(cuts))
    return list(itertools.pairwise(cuts))
