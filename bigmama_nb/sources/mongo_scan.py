"""Figures from live MongoDB clusters, asked gently: by short ranged queries of the needed fields, on secondaries.

For each collection of a game: one look whether it is there, short looks for dates that cannot be read, the newest
document, and one query a date field that brings what all metrics need. The server counts `count` itself, as a filter
that is exact leaves nothing to look at. It does not sum, compare or group: $sum makes doubles of great integers and
skips strings, and $group takes 2^53 + 1 and the double beside it for one.

A query's answer comes in one reply wherever it can. Where it does not fit and an index answers for the date, it is
asked again in shorter spans of time, each of which can be repeated by itself. Without an index every one of them would
read the whole collection: then, and where documents share one date, a cursor is read to its end in one pass. The server
sends its replies without being asked for each, so that the cursor ends with the connection, be it that we are killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import bson
from pymongo.collation import Collation
from pymongo.collection import Collection
from pymongo.cursor import CursorType
from pymongo.errors import ConnectionFailure, PyMongoError

from bigmama_nb.errors import SourceError, did_you_mean
from bigmama_nb.sources import mongo_filters, paths
from bigmama_nb.sources.aggregates import Count
from bigmama_nb.sources.dating import Dating, Unplaced
from bigmama_nb.sources.mongo_client import ClusterClient
from bigmama_nb.sources.scan import Newest, Question, Scan, Scanner, by_date_field, throughs
from bigmama_nb.sources.sight import KINDS, Sight
from bigmama_nb.sources.values import CODEC, reader

REPLY: Final = 100_000
"""So many documents are asked for in one reply; a server ends a reply at 16 MB in any case."""

DECODED: Final = 5_000
"""So many documents are held decoded at a time."""

FIRST: Final = 3
"""So many of a collection's documents are asked for first, to see that what the metrics read is there."""

T = TypeVar("T")
Filter = Mapping[str, Any]


class ReplyFull(Exception):  # noqa: N818 - no error: the answer is more than one reply
    """The documents do not come in one reply."""


class Dates:
    """The dates at one path of one collection."""

    def __init__(self, look: CollectionScan, dating: Dating, path: str, *, indexed: bool) -> None:
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


class CollectionScan:
    """One look at one collection, for some tasks."""

    def __init__(self, mongo: ClusterClient, database: str, collection: str, tasks: str) -> None:
        self.mongo = mongo
        self._where = f"{database}.{collection}"
        self._options = mongo.options(tasks)
        self._collection = self._there(database, collection)

    def _there(self, database: str, collection: str) -> Collection[Any]:
        """Return the collection; raises SourceError (`source_missing`).

        It is looked up, as MongoDB answers a missing collection like an empty one.
        """
        mongo = self.mongo
        client = mongo.client()
        listed = mongo.listed(database, "listCollections", comment=self._options["comment"])
        names = {one["name"]: one for one in listed}
        if collection.startswith("system.buckets."):
            plain = collection.removeprefix("system.buckets.")
            found = f"{collection} holds a time-series collection's buckets, which are no measurements; name {plain!r}"
            raise SourceError("source_missing", found, place=self._where)
        if collection not in names:
            if names:
                offered = [name for name in sorted(names) if not name.startswith("system.")]
                found = f"has no collection {collection!r} in database {database!r}; it has {_listed(offered)}."
                found += did_you_mean(collection, offered)
            else:
                found = f"has no database {database!r}, or its account may not see it."
                found += did_you_mean(database, mongo.databases())
            raise SourceError("source_missing", f"{mongo.cluster} {found}", place=self._where)
        if "collation" in names[collection].get("options", {}):
            # A collection may compare "a" and "A" as equal by default; a dump of it does not.
            self._options["collation"] = Collation("simple")
        return client[database].get_collection(collection, codec_options=CODEC)

    def scans(self, questions: Sequence[Question], zone: ZoneInfo) -> list[Scan]:
        """Return what the collection says about each question."""
        found: list[Scan] = []
        first = self._some({}, mongo_filters.projection(questions), FIRST)
        for (path, _), some in by_date_field(questions).items():
            scanner = Scanner(some, zone)
            for one in scanner.scans:
                one.lookup.take(first)
            dating = scanner.scans[0].dating
            indexed = self._indexed(path)
            dates = Dates(self, dating, path, indexed=indexed)
            dates.add_odd(scanner.scans)
            dates.see_loaded(scanner.scans)
            wanted = [asked for one in scanner.scans if (asked := _loaded(one)) is not None]
            if wanted:
                self._add_up(scanner, wanted, zone, path, indexed=indexed)
            dates.see_newest_for_messages(scanner.scans)
            found += scanner.scans
        self._see_paths(found)
        return found

    def sight(self, question: Question, zone: ZoneInfo) -> Sight:
        """Return how many documents stand in the window of the question's only ask, and some of them."""
        match, path = question.metric.match, question.metric.date.field
        (scan,) = Scanner([question], zone).scans
        begin, end = scan.span(question.asks[0])
        typed = mongo_filters.of_expected_types(scan.dating, path)
        dated = mongo_filters.both(mongo_filters.between(scan.dating, path, begin, end), typed)
        counted = mongo_filters.both(match, dated)
        fields = mongo_filters.projection([question])
        kinds = zip(KINDS, (counted, dated, match, {}), strict=True)
        some = ((kind, self._some(filter_, fields, paths.SAMPLE)) for kind, filter_ in kinds)
        kind, examples = next((one for one in some if one[1]), ("other", []))
        return Sight(self.count(dated), self.count(counted), kind, examples)

    def _see_paths(self, scans: Sequence[Scan]) -> None:
        """Find out whether what the metrics read and the documents so far did not have is in any other."""
        known: dict[str, bool] = {}
        whole: list[dict[str, Any]] | None = None
        for one in scans:
            if one.undatable or one.lookup.no_document:
                continue
            for need in list(one.lookup.missing):
                if (
                    need.match is not None
                    and one.question.asks
                    and all(one.aggregate(ask).documents for ask in one.question.asks)
                ):
                    continue
                key = repr(need.filter)
                if key not in known:
                    known[key] = self._is_there(need)
                if known[key]:
                    del one.lookup.missing[need]
            if one.lookup.unknown is not None:
                whole = self._some({}, {}, paths.SAMPLE) if whole is None else whole
                one.lookup.know(whole)
                for need in one.lookup.missing:
                    if need.types:
                        there = self._some({need.path: {"$exists": True}}, {need.path: 1}, paths.SAMPLE)
                        one.lookup.hold(need.path, there, anew=True)

    def _is_there(self, need: paths.Need) -> bool:
        try:
            return self.first(need.filter, {"_id": 1}) is not None
        except SourceError as error:
            if error.reason == "query_refused" and "decimal" in need.types:
                # Not every server knows this type by its name, and then it holds none.
                others = tuple(name for name in need.types if name != "decimal")
                return self.first(paths.Need(need.path, others).filter, {"_id": 1}) is not None
            if error.reason == "query_timeout":
                sought = need.path or "the metric's match"
                found = f"{error.message}, looking whether {sought} is in any document; an index on it makes that short"
                raise SourceError(error.reason, found, place=error.place) from None
            raise

    def _add_up(
        self, scanner: Scanner, wanted: Sequence[Question], zone: ZoneInfo, path: str, *, indexed: bool
    ) -> None:
        """Add up the windows of the wanted questions into the scanner, from as few documents as can be."""
        # Windows of what is not yet loaded are not asked for: the wanted questions have bounds of their own.
        part = Scanner(wanted, zone)
        if all(question.metric.value.kind == "count" for question in wanted):
            self._count(part.scans, path)
        else:
            match = mongo_filters.either(question.metric.match for question in wanted)
            fields = mongo_filters.projection(wanted)
            for begin, end in mongo_filters.spans(part.scans):
                self._read_span(part, wanted, zone, path, match, fields, begin, end, ranged=indexed)
        by_question = {(one.question.game_cd, one.question.type): one for one in part.scans}
        for one in scanner.scans:
            theirs = by_question.get((one.question.game_cd, one.question.type))
            if theirs is not None:
                one.bounds, one.aggregates = theirs.bounds, theirs.aggregates
                one.lookup.merge(theirs.lookup)

    def _count(self, scans: Sequence[Scan], path: str) -> None:
        known: dict[tuple[str, int], int] = {}
        for one in scans:
            match = one.question.metric.match
            typed = mongo_filters.of_expected_types(one.dating, path)
            for bucket, aggregate in enumerate(one.aggregates):
                if aggregate is None:
                    continue
                assert isinstance(aggregate, Count)
                key = repr(match), bucket
                if key not in known:
                    begin, end = one.bounds[bucket - 1], one.bounds[bucket]
                    dated = mongo_filters.between(one.dating, path, begin, end)
                    known[key] = self.count(mongo_filters.both(match, dated, typed))
                aggregate.documents += known[key]

    def _read_span(
        self,
        scanner: Scanner,
        wanted: Sequence[Question],
        zone: ZoneInfo,
        path: str,
        match: Filter,
        fields: Mapping[str, int],
        begin: Any,
        end: Any,
        *,
        ranged: bool,
    ) -> None:
        """Read the documents of a span of positions into the scanner: at once, or in pieces where that is too much.

        Where they are more than a reply, `ranged` asks for them in shorter spans instead of going on with the cursor.
        """
        dating = scanner.scans[0].dating
        dated = mongo_filters.both(match, mongo_filters.between(dating, path, begin, end))
        whole = ranged and len(mongo_filters.split(dating, begin, end, 2)) == 2 and dating.as_ != "yyyymm"

        def read() -> Scanner:
            # A new scanner for each try: what came before a connection broke off does not count.
            piece = Scanner(wanted, zone, span=(begin, end))
            for documents in self._documents(dated, fields, whole=whole):
                piece.take(documents)
            return piece

        try:
            piece = (
                self.mongo.asked(read, self._where)
                if mongo_filters.whole_days(dating, begin, end) == 1
                else self._once(read)
            )
        except ReplyFull:
            pieces = 2 + self.count(dated) * 3 // (2 * REPLY)
        else:
            if piece is not None:
                scanner.merge_aggregates(piece)
                return
            pieces = min(4, mongo_filters.whole_days(dating, begin, end))
        for one_begin, one_end in mongo_filters.split(dating, begin, end, pieces):
            self._read_span(scanner, wanted, zone, path, match, fields, one_begin, one_end, ranged=ranged)

    def _indexed(self, path: str) -> bool:
        """Return whether a range of the path is found by an index; False where that cannot be told, as of a view."""
        try:
            return self.mongo.index_on(self._collection.database.name, self._collection.name, path) is not None
        except SourceError as error:
            if error.reason not in ("query_refused", "auth"):
                raise
            return False

    def _once(self, read: Callable[[], Scanner]) -> Scanner | None:
        """Return what `read` returns; None where it took the server too long, and a shorter span may not."""

        def in_time() -> Scanner | None:
            try:
                return read()
            except PyMongoError as error:
                if self.mongo.trouble(error).reason == "query_timeout":
                    return None
                raise

        return self.mongo.asked(in_time, self._where)

    def _documents(self, filter_: Filter, fields: Mapping[str, int], *, whole: bool) -> Iterator[list[dict[str, Any]]]:
        """Yield the documents, some at a time; raises ReplyFull where they are to come whole and do not."""
        streams = self.mongo.streams()
        kind = CursorType.EXHAUST if streams else CursorType.NON_TAILABLE
        find = self._collection.find_raw_batches
        try:
            with find(filter_, fields, batch_size=REPLY, cursor_type=kind, **self._options) as cursor:
                for reply in cursor:
                    if whole and cursor.alive:
                        raise ReplyFull
                    yield from self._decoded(reply)
        except ConnectionFailure:
            self.mongo.lost_a_stream = streams
            raise

    def _decoded(self, reply: bytes) -> Iterator[list[dict[str, Any]]]:
        begin = end = documents = 0
        while end < len(reply):
            end += int.from_bytes(reply[end : end + 4], "little")
            documents += 1
            if documents == DECODED or end >= len(reply):
                self.mongo.received(documents, end - begin)
                yield bson.decode_all(reply[begin:end], CODEC)
                begin, documents = end, 0

    def first(
        self, filter_: Filter, fields: Mapping[str, int], *, sort: tuple[str, int] | None = None
    ) -> dict[str, Any] | None:
        """Return the first document that passes, None where there is none."""

        def find() -> dict[str, Any] | None:
            options = {**self._options, **({"sort": [sort]} if sort else {})}
            with self._collection.find_raw_batches(filter_, fields, limit=-1, **options) as cursor:
                for reply in cursor:
                    for documents in self._decoded(reply):
                        return documents[0]
            return None

        return self.mongo.asked(find, self._where)

    def _some(self, filter_: Filter, fields: Mapping[str, int], most: int) -> list[dict[str, Any]]:
        """Return the first documents that pass, as many as `most`."""

        def find() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            with self._collection.find_raw_batches(filter_, fields or None, limit=-most, **self._options) as cursor:
                for reply in cursor:
                    for documents in self._decoded(reply):
                        found += documents
            return found

        return self.mongo.asked(find, self._where)

    def count(self, filter_: Filter) -> int:
        """Return how many documents pass, counted by the server."""
        documents = self._aggregated([{"$match": filter_}, {"$group": {"_id": None, "n": {"$sum": 1}}}])
        return int(documents[0]["n"]) if documents else 0

    def grouped(self, filter_: Filter, path: str) -> list[tuple[Any, int]]:
        """Return the distinct values of a field, and how many documents have each."""
        documents = self._aggregated([{"$match": filter_}, {"$group": {"_id": f"${path}", "n": {"$sum": 1}}}])
        return [(document["_id"], int(document["n"])) for document in documents]

    def _aggregated(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Few documents by their nature, and the driver's raw cursor does not take each server's answer to these.
        options = {key: value for key, value in self._options.items() if key != "max_time_ms"}
        options |= {"maxTimeMS": self._options["max_time_ms"], "batchSize": REPLY}

        def aggregate() -> list[dict[str, Any]]:
            with self._collection.aggregate(pipeline, **options) as cursor:
                return list(cursor)

        found = self.mongo.asked(aggregate, self._where)
        self.mongo.received(len(found), sum(len(bson.encode(document)) for document in found))
        return found


def _loaded(scan: Scan) -> Question | None:
    """Return the question with the asks whose documents are worth reading; None where there are none."""
    question = scan.question
    if scan.undatable:
        return None
    if not question.metric.value.computed or question.metric.ready is not None:
        return question
    asks = tuple(ask for ask in question.asks if scan.loaded(ask))
    return replace(question, asks=asks) if asks else None


def tasks(questions: Sequence[Question]) -> str:
    """Return how a query's comment names what it is for: `lw/wau,mau/20240501..20240531`."""
    dts = sorted({ask.dt for question in questions for ask in question.asks})
    types = ",".join(dict.fromkeys(question.type for question in questions))
    days = [dts[0]] if len(dts) == 1 else [f"{dts[0]}..{dts[-1]}"] if dts else []
    return "/".join([questions[0].game_cd, types, *days])


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:8])
    return (few + f" and {len(names) - 8} more" if len(names) > 8 else few) or "none"
