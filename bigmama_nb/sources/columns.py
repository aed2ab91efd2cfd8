"""Documents of one layout counted by columns: what `scan` counts document by document, and equal to it.

Where a column does not say it as surely as a document, the documents are decoded: for an aggregate those of its window,
for all else the whole lot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from bigmama_nb.profile import Metric
from bigmama_nb.sources import filters
from bigmama_nb.sources.aggregates import Aggregate, Count, Distinct, Max, Sum
from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.layouts import DATE, INT, LONG, TEXT, Alike, parts
from bigmama_nb.sources.values import EPOCH, FIRST_INSTANT, LAST_INSTANT, milliseconds

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_FIRST_MS: Final = milliseconds(FIRST_INSTANT)
_LAST_MS: Final = milliseconds(LAST_INSTANT)
KINDS: Final = 1000
"""So many kinds of documents a filter is asked about one by one."""


class Dated(Protocol):
    """A date field with the windows that are cut along it, as `scan` has it."""

    path: str
    read: Callable[[Any], Any]
    dating: Dating
    newest: Any
    bounds: list[Any]
    span: tuple[Any, Any] | None
    members: list[tuple[Any, Callable[[Any], bool] | None]]


def take(dated: Dated, alike: Alike) -> bool:
    """Count documents of one layout in all windows that are cut along a date field; False: nothing was counted."""
    placed = _positions(dated, alike)
    if placed is None:
        return False
    positions, number_of, of_number, as_text = placed
    if dated.span is not None:
        begin, end = map(number_of, dated.span)
        inside = (positions >= begin) & (positions < end)
        if not inside.all():
            alike, positions = alike.only(inside), positions[inside]
        if not len(alike):
            return True
    passing: list[Flags | None] = []
    for member, matches in dated.members:
        passes = None if matches is None else _passing(alike, member.question.metric.match, matches)
        if matches is not None and passes is None:
            return False
        passing.append(passes)
    before = positions < number_of(dated.dating.horizon)
    _see(dated.newest, positions[before], of_number, as_text)
    buckets = np.searchsorted(
        np.array([number_of(bound) for bound in dated.bounds], dtype=np.int64), positions, "right"
    )
    for (member, _), passes in zip(dated.members, passing, strict=True):
        kept = np.ones(len(alike), dtype=bool) if passes is None else passes
        # np.unique would import numpy.ma, which takes longer than to count some thousands of documents.
        for bucket in np.flatnonzero(np.bincount(buckets[kept])).tolist():
            aggregate = member.aggregates[bucket]
            if aggregate is not None:
                _add(aggregate, member.question.metric, alike, kept & (buckets == bucket))
        if passes is not None and not member.question.metric.value.computed:
            _see(member.newest_matching, positions[before & passes], of_number, as_text)
    return True


def _positions(dated: Dated, alike: Alike) -> tuple[Numbers, Callable[[Any], int], Callable[[int], Any], bool] | None:
    """Return where each document is placed, in integers; how to make them of positions and positions of them; as text.

    None where a document is placed nowhere, or not read here.
    """
    field = alike.layout.field(parts(dated.path))
    if field is None:
        return None
    if dated.dating.as_ == "date":
        if field.kind != DATE:
            return None
        found = alike.numbers(field)
        if found.min() <= _FIRST_MS or found.max() >= _LAST_MS:
            return None
        return found, milliseconds, _instant, False
    if field.kind not in (INT, LONG, TEXT) or (dated.dating.splits_a_day and field.kind == TEXT):
        return None
    if dated.dating.splits_a_day:
        found = alike.numbers(field)
        plausible = np.zeros(len(found), dtype=bool)
        for begin, end in dated.dating.spans:
            plausible |= (found >= begin) & (found < end)
        return (found, int, int, False) if plausible.all() else None
    kinds = alike.kinds([parts(dated.path)[0]])
    if kinds is None:
        return None
    first, kind = kinds
    days = [dated.dating.place(dated.read(document)) for document in alike.documents(first)]
    if any(isinstance(day, Unplaced) for day in days):
        return None
    return np.array(days, dtype=np.int64)[kind], int, int, field.kind == TEXT


def _instant(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def _passing(alike: Alike, match: Mapping[str, Any], matches: Callable[[Any], bool]) -> Flags | None:
    """Return which documents a filter lets through: it is asked once for each kind of those that it can tell apart."""
    kinds = alike.kinds(parts(path)[0] for path in filters.paths(match))
    if kinds is None:
        return None
    first, kind = kinds
    if len(first) > KINDS:
        return None
    return np.array([matches(document) for document in alike.documents(first)], dtype=bool)[kind]


def _see(newest: Any, positions: Numbers, of_number: Callable[[int], Any], as_text: bool) -> None:
    if len(positions):
        latest = of_number(int(positions.max()))
        if newest.position is None or latest >= newest.position:
            newest.see(latest, as_text)


def _add(aggregate: Aggregate, metric: Metric, alike: Alike, some: Flags) -> None:
    """Count some of the documents in a window's aggregate."""
    path = metric.value.path
    field = alike.layout.field(parts(path)) if path is not None else None
    if isinstance(aggregate, Count):
        aggregate.documents += int(some.sum())
    elif isinstance(aggregate, Sum | Max) and metric.factor == 1 and field is not None and field.kind in (INT, LONG):
        aggregate.take_integers(alike.numbers(field)[some])
    elif isinstance(aggregate, Distinct) and field is not None and (values := alike.values(field, some)) is not None:
        aggregate.documents += len(values)
        aggregate.values.update(values)
    else:
        aggregate.take(alike.documents(some))
