"""What one collection says about the figures asked of it: gathered alike from a file's documents and a server's.

Source of the rules: docs/spec/profile.md, "What a day asks for".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from bigmama_nb.periods import DAY, FigureRequest, window
from bigmama_nb.profile import Metric
from bigmama_nb.sources import aggregates, columns, filters
from bigmama_nb.sources.aggregates import Aggregate, Distinct, Document
from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.layouts import Alike
from bigmama_nb.sources.paths import Lookup, Need, needs
from bigmama_nb.sources.values import reader


@dataclass(frozen=True)
class Question:
    """One metric of one game, asked for several dt at once."""

    game_cd: str
    type: str
    metric: Metric
    asks: tuple[FigureRequest, ...]


@dataclass
class Newest:
    """The latest position there is, and whether a document writes it as a string."""

    position: Any = None
    as_text: bool = False

    def see(self, position: Any, as_text: bool) -> None:
        """Take a position in."""
        if self.position is None or position > self.position:
            self.position, self.as_text = position, as_text
        elif position == self.position:
            self.as_text = self.as_text or as_text


@dataclass
class Scan:
    """What the documents say about one question.

    `newest` is over the whole collection, `newest_matching` over the documents that the metric's match lets through;
    the counts of documents without a usable date are over the latter too.
    """

    question: Question
    dating: Dating
    bounds: list[Any]
    newest: Newest
    newest_matching: Newest
    aggregates: list[Aggregate | None]
    lookup: Lookup
    undated: int = 0
    other_types: Counter[str] = field(default_factory=Counter)
    bad_dates: int = 0
    _bad_date: tuple[tuple[float, ...], str] | None = None
    through_array: str | None = None

    @property
    def bad_date(self) -> str | None:
        """One of the dates that are none."""
        return self._bad_date[1] if self._bad_date else None

    def aggregate(self, ask: FigureRequest) -> Aggregate:
        """Return what the ask's window adds up to."""
        merged = aggregates.empty(self.question.metric)
        for bucket in buckets(self, ask):
            part = self.aggregates[bucket]
            assert part is not None
            merged.merge(part)
        return merged

    def loaded(self, ask: FigureRequest) -> bool:
        """Return whether a document is dated the last day of the ask's through, or later."""
        return self.newest.position is not None and self.dating.reaches(self.newest.position, ask.through)

    def span(self, ask: FigureRequest) -> tuple[Any, Any]:
        """Return the positions at which the ask's window begins, and ends before."""
        first, last = window(self.question.metric, ask)
        return self.dating.start(first), self.dating.start(last + DAY)

    def decides(self, need: Need) -> bool:
        """Return whether an outcome depends on whether some document has what is needed."""
        if need.match is None:
            return True
        metric = self.question.metric
        found = [
            self.aggregate(ask)
            for ask in self.question.asks
            if not metric.value.computed or metric.ready is not None or self.loaded(ask)
        ]
        if need.path:
            return any(isinstance(one, Distinct) and one.documents and not one.values for one in found)
        return any(not one.documents for one in found)

    @property
    def undatable(self) -> bool:
        """Whether there are documents whose date fails the question."""
        mismatched = bool(self.other_types) and self.question.metric.date.other_types == "fail"
        return self.through_array is not None or mismatched or self.bad_dates > 0

    def add_odd(self, odd: Unplaced, documents: int = 1) -> None:
        """Count documents without a usable date."""
        if odd.why == "undated":
            self.undated += documents
        elif odd.why == "bad_date":
            self.bad_dates += documents
            # The smallest, so that a message does not depend on the order of documents.
            found = odd.rank, odd.found
            self._bad_date = found if self._bad_date is None else min(self._bad_date, found)
        elif odd.why == "array_path":
            # The shortest, as a path breaks off at the first array.
            self.through_array = odd.found if self.through_array is None else min(self.through_array, odd.found)
        else:
            self.other_types[odd.found] += documents


def buckets(scan: Scan, ask: FigureRequest) -> range:
    """Return the numbers of the buckets that the ask's window is made of."""
    start, end = (bisect_left(scan.bounds, position) for position in scan.span(ask))
    return range(start + 1, end + 1)


class Dated:
    """One date field of the collection, with all the windows that are cut along it."""

    def __init__(
        self, path: str, dating: Dating, questions: Sequence[Question], span: tuple[Any, Any] | None = None
    ) -> None:
        self.path = path
        self.read = reader(path)
        self.span = span
        self.dating = dating
        self.newest = Newest()
        windows = [window(question.metric, ask) for question in questions for ask in question.asks]
        ends = {day for first, last in windows for day in (first, last + DAY)}
        self.bounds = sorted({dating.start(day) for day in ends})
        self.members: list[tuple[Scan, Callable[[Document], bool] | None]] = []
        for question in questions:
            match = question.metric.match
            scan = Scan(
                question,
                dating,
                self.bounds,
                self.newest,
                Newest() if match else self.newest,
                [None] * (len(self.bounds) + 1),
                Lookup(needs(question.metric)),
            )
            for ask in question.asks:
                for bucket in buckets(scan, ask):
                    if scan.aggregates[bucket] is None:
                        scan.aggregates[bucket] = aggregates.empty(question.metric)
            self.members.append((scan, filters.compiled(match) if match else None))
        self.used = [
            any(member.aggregates[n] is not None for member, _ in self.members) for n in range(len(self.bounds) + 1)
        ]

    def take(self, documents: Sequence[Document]) -> None:
        for member, _ in self.members:
            member.lookup.take(documents)
        values = list(map(self.read, documents))
        positions = list(map(self.dating.place, values))
        if self.span is not None:
            begin, end = self.span
            kept = [n for n, at in enumerate(positions) if at.__class__ is not Unplaced and begin <= at < end]
            documents, values, positions = ([some[n] for n in kept] for some in (documents, values, positions))
        bounds, used, newest, horizon = self.bounds, self.used, self.newest.position, self.dating.horizon
        groups: dict[int, list[Document]] = {}
        odd: list[tuple[Document, Unplaced]] = []
        for document, position in zip(documents, positions, strict=True):
            if position.__class__ is Unplaced:
                odd.append((document, position))
                continue
            if (newest is None or position > newest) and position < horizon:
                newest = position
            bucket = bisect_right(bounds, position)
            if used[bucket]:
                groups.setdefault(bucket, []).append(document)
        if newest is not None and (self.newest.position is None or newest >= self.newest.position):
            for value, position in zip(values, positions, strict=True):
                if position == newest:
                    self.newest.see(position, type(value) is str)

        for member, matches in self.members:
            for document, unplaced in odd:
                if matches is None or matches(document):
                    member.add_odd(unplaced)
            for bucket, found in groups.items():
                aggregate = member.aggregates[bucket]
                if aggregate is not None:
                    aggregate.take(found if matches is None else [one for one in found if matches(one)])
            if matches is not None and not member.question.metric.value.computed:
                self._newest_matching(member.newest_matching, matches, documents, values, positions)

    def _newest_matching(
        self,
        newest: Newest,
        matches: Callable[[Document], bool],
        documents: Sequence[Document],
        values: Sequence[Any],
        positions: Sequence[Any],
    ) -> None:
        for document, value, position in zip(documents, values, positions, strict=True):
            if position.__class__ is Unplaced or position >= self.dating.horizon:
                continue
            if newest.position is not None and position < newest.position:
                continue
            if position == newest.position and newest.as_text:
                continue
            if matches(document):
                newest.see(position, type(value) is str)


def by_date_field(questions: Iterable[Question]) -> dict[tuple[str, str], list[Question]]:
    """Return the questions by the field that dates their documents, and how it is read."""
    found: dict[tuple[str, str], list[Question]] = {}
    for question in questions:
        date_ = question.metric.date
        found.setdefault((date_.field, date_.as_), []).append(question)
    return found


class Scanner:
    """Takes a collection's documents, in any pieces, and holds the scan of every question."""

    def __init__(self, questions: Sequence[Question], zone: ZoneInfo, *, span: tuple[Any, Any] | None = None) -> None:
        """With a `span` of positions, documents outside of it, from its first up to its second, are left out."""
        self._dated = [
            Dated(path, Dating(as_, zone), some, span) for (path, as_), some in by_date_field(questions).items()
        ]
        self.scans: list[Scan] = [member for dated in self._dated for member, _ in dated.members]

    def take(self, documents: Sequence[Document]) -> None:
        """Count these documents."""
        for dated in self._dated:
            dated.take(documents)

    @property
    def settled(self) -> bool:
        """Whether all that the metrics need has been seen, so that a document's place in the file no longer matters."""
        return not any(scan.lookup.missing or scan.lookup.no_document for scan in self.scans)

    def take_alike(self, alike: Alike) -> None:
        """Count documents of one layout; what they have is `settled`."""
        left = [dated for dated in self._dated if not columns.take(dated, alike)]
        if left:
            documents = alike.documents()
            for dated in left:
                dated.take(documents)

    def learn(self, others: Iterable[Scan]) -> None:
        """Look no longer for what has been seen for the same questions."""
        known = {(one.question.game_cd, one.question.type): one.lookup for one in others}
        for scan in self.scans:
            scan.lookup.merge(known[scan.question.game_cd, scan.question.type])

    def merge_aggregates(self, other: Scanner) -> None:
        """Count what another scanner of the same questions has counted in its windows."""
        for mine, theirs in zip(self.scans, other.scans, strict=True):
            mine.lookup.merge(theirs.lookup)
            for bucket, aggregate in enumerate(mine.aggregates):
                if aggregate is not None:
                    aggregate.merge(theirs.aggregates[bucket])


def throughs(questions: Iterable[Question]) -> set[date]:
    """Return the days that must be loaded for these questions."""
    return {ask.through for question in questions for ask in question.asks}
