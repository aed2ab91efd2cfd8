"""The dates of one collection on a live cluster: those that cannot be read, and the newest, by short looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, TypeVar

from bigmama_nb.errors import SourceError
from bigmama_nb.sources import mongo_filters
from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.mongo_client import ClusterClient
from bigmama_nb.sources.scan import Newest, Scan, throughs
from bigmama_nb.sources.values import reader

T = TypeVar("T")
Filter = Mapping[str, Any]


class Look(Protocol):
    """The short questions to a collection that its dates are found by."""

    @property
    def mongo(self) -> ClusterClient:
        """Who asks."""

    def first(
        self, filter_: Filter, fields: Mapping[str, int], *, sort: tuple[str, int] | None = None
    ) -> dict[str, Any] | None:
        """Return the first document that passes, None where there is none."""

    def count(self, filter_: Filter) -> int:
        """Return how many documents pass."""

    def grouped(self, filter_: Filter, path: str) -> list[tuple[Any, int]]:
        """Return the distinct values of a field, and how many documents have each."""


class Dates:
    """The dates at one path of one collection."""

    def __init__(self, look: Look, dating: Dating, path: str, *, indexed: bool) -> None:
        self._look = look
        self._dating = dating
        self._path = path
        self._indexed = indexed
        self._newest_is_known = False

    def add_odd(self, scans: Sequence[Scan]) -> None:
        """Count the documents without a usable date into the scans."""
        known: dict[str, list[tuple[Unplaced, int]]] = {}
        for one in scans:
            match = one.question.metric.match
            if repr(match) not in known:
                known[repr(match)] = self._unplaced(match)
            for unplaced, documents in known[repr(match)]:
                one.add_odd(unplaced, documents)

    def _unplaced(self, match: Filter) -> list[tuple[Unplaced, int]]:
        """Return what makes dates unreadable, and in how many documents."""
        dating, path = self._dating, self._path
        found: list[tuple[Unplaced, int]] = []
        if dating.as_ in ("yyyymmdd", "yyyymm"):
            by_number = self._look.grouped(mongo_filters.both(match, mongo_filters.whole_numbers(path)), path)
            for number, documents in by_number:
                placed = dating.place(number)
                if isinstance(placed, Unplaced):
                    found.append((placed, documents))
        if not self._any_without_date(match):
            return found
        # Only now that there is one: which, and how many.
        undated = self._look.count(mongo_filters.both(match, mongo_filters.undated(path)))
        if undated:
            found.append((Unplaced("undated", "null"), undated))
            if not self._any_odd(match):
                return found
        for prefix in mongo_filters.prefixes(path):
            if self._look.first(mongo_filters.both(match, {prefix: {"$type": "array"}}), {"_id": 1}) is not None:
                found.append((Unplaced("array_path", prefix), 1))
                break
        found += self._other_types(match)
        if dating.as_ != "date":
            bad = mongo_filters.both(match, mongo_filters.bad_texts(dating, path), mongo_filters.without_arrays(path))
            documents = self._look.count(bad)
            if documents:
                example = dating.place(reader(path)(self._look.first(bad, {path: 1}, sort=(path, 1)) or {}))
                rank = example.rank if isinstance(example, Unplaced) else ()
                found.append((Unplaced("bad_date", getattr(example, "found", ""), rank), documents))
        return found

    def _any_without_date(self, match: Filter) -> bool:
        """Return whether a document is undated, or its date cannot be read (but for whole numbers that are no date)."""
        if not self._indexed:
            # Each document is looked at in any case: say it in the fewest comparisons.
            unreadable = mongo_filters.unreadable(self._dating, self._path)
            return self._look.first(mongo_filters.both(match, unreadable), {self._path: 1}) is not None
        return self._any_odd(match, mongo_filters.undated(self._path))

    def _any_odd(self, match: Filter, *others: Filter) -> bool:
        def first(by_name: bool) -> Any:
            odd = mongo_filters.either([mongo_filters.odd(self._dating, self._path, by_name=by_name), *others])
            return self._look.first(mongo_filters.both(match, odd), {self._path: 1})

        return self._by_name_or_not(first) is not None

    def _by_name_or_not(self, asked: Callable[[bool], T]) -> T:
        """Return what is asked by the types' names, or without them where the server does not know them all."""
        if self._look.mongo.knows_types:
            try:
                return asked(True)
            except SourceError as error:
                if error.reason != "query_refused":
                    raise
                self._look.mongo.knows_types = False
        return asked(False)

    def _other_types(self, match: Filter) -> list[tuple[Unplaced, int]]:
        dating, path = self._dating, self._path
        through = mongo_filters.through_no_array(path)

        def count(by_name: bool) -> int:
            return self._look.count(
                mongo_filters.both(match, mongo_filters.of_other_types(dating, path, by_name=by_name), through)
            )

        rest = self._by_name_or_not(count)
        found = []
        for name in mongo_filters.other_types(dating):
            if not rest:
                break
            scalar = {} if name == "array" else {path: {"$not": {"$type": "array"}}}
            try:
                documents = self._look.count(mongo_filters.both(match, {path: {"$type": name}}, scalar, through))
            except SourceError as error:
                if error.reason != "query_refused":
                    raise
                continue
            if documents:
                found.append((Unplaced("date_type_mismatch", name), documents))
                rest -= documents
        if rest:
            found.append((Unplaced("date_type_mismatch", "another kind"), rest))
        return found

    def see_loaded(self, scans: Sequence[Scan]) -> None:
        """Find out whether the days that computed figures need are loaded, by the newest date or one that is enough."""
        computed = [one.question for one in scans if one.question.metric.value.computed]
        days = throughs(question for question in computed if question.metric.ready is None)
        asked = any(question.asks for question in computed)
        if not computed or (asked and not days) or (days and self._see_enough(scans[0].newest, max(days))):
            return
        self._see_newest(scans[0].newest, {})
        self._newest_is_known = True

    def _see_enough(self, newest: Newest, day: date) -> bool:
        """Return whether a document was found that is dated `day` or later, where that is cheaper than the newest.

        Without an index it is: the first that will do ends the look, and the newest takes all documents.
        """
        if self._indexed or not self._dating.splits_a_day:
            return False
        (dated,) = mongo_filters.newest(self._dating, self._path)
        enough = mongo_filters.both(dated, {self._path: {"$gte": self._dating.start(day)}})
        position = self._dating.place(reader(self._path)(self._look.first(enough, {self._path: 1}) or {}))
        if isinstance(position, Unplaced):
            return False
        newest.see(position, False)
        return True

    def see_newest_for_messages(self, scans: Sequence[Scan]) -> None:
        """Find the newest date for the message of a figure that is not there."""
        for one in scans:
            metric = one.question.metric
            shown = one.newest if metric.value.computed else one.newest_matching
            known = self._newest_is_known if shown is one.newest else shown.position is not None
            silent = one.undatable or metric.empty is not None
            if known or silent or all(one.aggregate(asked).documents for asked in one.question.asks):
                continue
            self._see_newest(shown, {} if metric.value.computed else metric.match)
            self._newest_is_known = self._newest_is_known or shown is one.newest

    def _see_newest(self, newest: Newest, match: Filter) -> None:
        dating, path = self._dating, self._path
        for number, dated in enumerate(mongo_filters.newest(dating, path)):
            document = self._look.first(mongo_filters.both(match, dated), {path: 1}, sort=(path, -1))
            if document is None:
                continue
            value = reader(path)(document)
            position = dating.place(value)
            if not isinstance(position, Unplaced):
                newest.see(position, type(value) is str)
            elif number == 1:
                # The greatest number is no date: look at all of them.
                for other, _ in self._look.grouped(mongo_filters.both(match, dated), path):
                    position = dating.place(other)
                    if not isinstance(position, Unplaced):
                        newest.see(position, False)
