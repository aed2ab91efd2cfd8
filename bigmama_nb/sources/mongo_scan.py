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

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collation import Collation
from pymongo.collection import Collection as MongoCollection
from pymongo.cursor import CursorType
from pymongo.errors import ConnectionFailure, PyMongoError

from bigmama_nb.errors import SourceError, did_you_mean
from bigmama_nb.periods import dt_of
from bigmama_nb.profile import Ready
from bigmama_nb.sources import filters, mongo_filters, paths
from bigmama_nb.sources.aggregates import Count
from bigmama_nb.sources.layouts import Layouts
from bigmama_nb.sources.lots import Lot, counted, lots
from bigmama_nb.sources.mongo_client import ClusterClient
from bigmama_nb.sources.mongo_dates import Dates, Filter
from bigmama_nb.sources.mongo_replies import Replies
from bigmama_nb.sources.paths import Lookup, Need
from bigmama_nb.sources.scan import Question, Scan, Scanner, by_date_field
from bigmama_nb.sources.sight import KINDS, Sight
from bigmama_nb.sources.values import CODEC

FIRST: Final = 3
"""So many of a collection's documents are asked for first, to see that what the metrics read is there."""
RAW: Final = CODEC.with_options(document_class=RawBSONDocument)
"""Decodes a document when it is asked to, and keeps its bytes."""


class ReplyFull(Exception):  # noqa: N818 - no error: the answer is more than one reply
    """The documents do not come in one reply."""


class CollectionScan:
    """One look at one collection, for some tasks."""

    def __init__(self, mongo: ClusterClient, database: str, collection: str, tasks: str) -> None:
        self.mongo = mongo
        self._where = f"{database}.{collection}"
        self._options = mongo.options(tasks)
        self._collection = self._there(database, collection)

    def _there(self, database: str, collection: str) -> MongoCollection[Any]:
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
            whole = self._look(one.lookup, [need for need in one.lookup.missing if one.decides(need)], known, whole)

    def _look(
        self, lookup: Lookup, needed: Sequence[Need], known: dict[str, bool], whole: list[dict[str, Any]] | None
    ) -> list[dict[str, Any]] | None:
        """Take out of a lookup what is in some document; return the documents whose names a message offers."""
        for need in needed:
            key = repr(need.filter)
            if key not in known:
                known[key] = self._is_there(need)
            if known[key]:
                del lookup.missing[need]
        if lookup.unknown is not None:
            whole = self._some({}, {}, paths.SAMPLE) if whole is None else whole
            lookup.know(whole)
            for need in lookup.missing:
                if need.types:
                    there = self._some({need.path: {"$exists": True}}, {need.path: 1}, paths.SAMPLE)
                    lookup.hold(need.path, there, anew=True)
        return whole

    def ready_days(self, ready: Ready, days: Collection[date]) -> set[date]:
        """Return those of `days` for which the `ready` document is there.

        Raises:
            SourceError: there is none, and what its match names is in no document either; or the server refuses.
        """
        found = {day for day in days if self.first(filters.with_day(ready.match, dt_of(day)), {"_id": 1}) is not None}
        if not found and days:
            lookup = Lookup(paths.ready_needs(ready, dt_of(max(days))))
            lookup.take(self._some({}, {}, FIRST))
            if not lookup.no_document:
                self._look(lookup, list(lookup.missing), {}, None)
                if lookup.unknown is not None:
                    raise lookup.of_ready(ready, lookup.unknown, place=self._where)
        return found

    def _is_there(self, need: Need) -> bool:
        try:
            return self.first(need.filter, {"_id": 1}) is not None
        except SourceError as error:
            if error.reason == "query_refused" and "decimal" in need.types:
                # Not every server knows this type by its name, and then it holds none.
                others = tuple(name for name in need.types if name != "decimal")
                return self.first(Need(need.path, others).filter, {"_id": 1}) is not None
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
        part.learn(scanner.scans)
        if all(question.metric.value.kind == "count" for question in wanted):
            self._count(part.scans, path)
        else:
            match = mongo_filters.either(question.metric.match for question in wanted)
            fields = mongo_filters.projection(wanted)
            layouts = Layouts()
            for begin, end in mongo_filters.spans(part.scans):
                self._read_span(part, wanted, zone, path, match, fields, layouts, begin, end, ranged=indexed)
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
        layouts: Layouts,
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
            piece.learn(scanner.scans)
            for lot in self._lots(dated, fields, whole=whole):
                counted(lot, (), layouts, piece)
            return piece

        try:
            piece = (
                self.mongo.asked(read, self._where)
                if mongo_filters.whole_days(dating, begin, end) == 1
                else self._once(read)
            )
        except ReplyFull:
            pieces = 2 + self.count(dated) * 3 // (2 * self.mongo.reply)
        else:
            if piece is not None:
                scanner.merge_aggregates(piece)
                return
            pieces = min(4, mongo_filters.whole_days(dating, begin, end))
        for one_begin, one_end in mongo_filters.split(dating, begin, end, pieces):
            self._read_span(scanner, wanted, zone, path, match, fields, layouts, one_begin, one_end, ranged=ranged)

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

    def _lots(self, filter_: Filter, fields: Mapping[str, int], *, whole: bool) -> Iterator[Lot]:
        """Yield the documents, some at a time; raises ReplyFull where they are to come whole and do not."""
        streams = self.mongo.streams()
        kind = CursorType.EXHAUST if streams else CursorType.NON_TAILABLE
        asked = {"batch_size": self.mongo.reply, "cursor_type": kind, **self._options}
        limited = whole and not streams
        if limited:
            # A server that gathers the answer before it sends any of it is to stop once it is more than a reply.
            # What streams sends it as it is found, and takes no limit.
            asked["limit"] = self.mongo.reply + 1
        try:
            with Replies(self._collection, filter_, fields, **asked) as cursor:
                came = 0
                for reply in cursor:
                    if whole and cursor.alive:
                        raise ReplyFull
                    for lot in self._received(reply):
                        came += len(lot.starts)
                        yield lot
                    if limited and came > self.mongo.reply:
                        # A server that sent more than it was asked for at once may have stopped at the limit.
                        raise ReplyFull
        except ConnectionFailure:
            self.mongo.lost_a_stream = streams
            raise

    def _received(self, reply: bytes) -> Iterator[Lot]:
        for lot in lots(reply):
            self.mongo.received(len(lot.starts), len(lot.content))
            yield lot

    def first(
        self, filter_: Filter, fields: Mapping[str, int], *, sort: tuple[str, int] | None = None
    ) -> dict[str, Any] | None:
        """Return the first document that passes, None where there is none."""

        def find() -> dict[str, Any] | None:
            options = {**self._options, **({"sort": [sort]} if sort else {})}
            with self._collection.find_raw_batches(filter_, fields, limit=-1, **options) as cursor:
                for reply in cursor:
                    for lot in self._received(reply):
                        return lot.documents()[0]
            return None

        return self.mongo.asked(find, self._where)

    def _some(self, filter_: Filter, fields: Mapping[str, int], most: int) -> list[dict[str, Any]]:
        """Return the first documents that pass, as many as `most`."""

        def find() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            with self._collection.find_raw_batches(filter_, fields or None, limit=-most, **self._options) as cursor:
                for reply in cursor:
                    for lot in self._received(reply):
                        found += lot.documents()
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
        options |= {"maxTimeMS": self._options["max_time_ms"], "batchSize": self.mongo.reply}

        def aggregate() -> list[RawBSONDocument]:
            with self._collection.with_options(RAW).aggregate(pipeline, **options) as cursor:
                return list(cursor)

        found = self.mongo.asked(aggregate, self._where)
        # Counted as they came: what was decoded from a text that is not UTF-8 cannot be encoded again.
        self.mongo.received(len(found), sum(len(document.raw) for document in found))
        return [bson.decode(document.raw, CODEC) for document in found]


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
    """Return how a query's comment names what it is for: `lw/wau,mau/20240501..20240531`; of two games `lw,lm/…`."""
    dts = sorted({ask.dt for question in questions for ask in question.asks})
    games = ",".join(dict.fromkeys(question.game_cd for question in questions))
    types = ",".join(dict.fromkeys(question.type for question in questions))
    days = [dts[0]] if len(dts) == 1 else [f"{dts[0]}..{dts[-1]}"] if dts else []
    return "/".join([games, types, *days])


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:8])
    return (few + f" and {len(names) - 8} more" if len(names) > 8 else few) or "none"
