"""Figures from live MongoDB clusters, asked gently: by short ranged queries of the needed fields, on secondaries.

For each collection of a game: one look whether it is there, short looks for dates that cannot be read, the newest
document, and one query a date field that brings what all metrics need. The server counts `count` itself, as a filter
that is exact leaves nothing to look at. It does not sum, compare or group: $sum makes doubles of great integers and
skips strings, and $group takes 2^53 + 1 and the double beside it for one.

A query's answer comes in one reply wherever it can: where it does not fit, the query is asked again in shorter spans
of time. So a run that is killed leaves no cursor behind, but where the documents of one day share their date and do
not fit into a reply.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import bson
import tenacity
from bson.errors import BSONError
from pymongo import MongoClient, monitoring
from pymongo.collation import Collation
from pymongo.collection import Collection as MongoCollection
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from bigmama_nb.errors import SourceError, did_you_mean
from bigmama_nb.periods import dt_of
from bigmama_nb.profile import Cluster, Ready
from bigmama_nb.sources import Input, Load, filters, queries
from bigmama_nb.sources.evidence import Evidence, Question, Sheet, by_date_field
from bigmama_nb.sources.mongo_errors import Trouble, speaks_tls, trouble
from bigmama_nb.sources.tallies import Count
from bigmama_nb.values import CODEC, Dating, Unplaced, reader

REPLY: Final = 100_000
"""So many documents are asked for in one reply; a server ends a reply at 16 MB in any case."""

DECODED: Final = 5_000
"""So many documents are held decoded at a time."""

SELECTION_MS: Final = 10_000
SOCKET_GRACE_MS: Final = 10_000
TLS_LOOK_S: Final = 2.0

T = TypeVar("T")
Filter = Mapping[str, Any]


class _Overflowing(Exception):  # noqa: N818 - no error: the answer is more than one reply
    pass


class Mongo:
    """A live cluster, by the variable that holds its URI."""

    def __init__(
        self,
        cluster: str,
        settings: Cluster,
        zone: ZoneInfo,
        *,
        comment: str,
        check: Callable[[], None],
        stopped: threading.Event,
        deadline: float,
    ) -> None:
        """`check` is called between queries and raises where the work is to end; `deadline` is of time.monotonic()."""
        self.cluster = cluster
        self._settings = settings
        self._zone = zone
        self._comment = comment
        self._check = check
        self._stopped = stopped
        self._deadline = deadline
        self._lock = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._down: SourceError | None = None
        self._secrets: list[str] = []
        self._asks_tls = False
        self.knows_types = True
        """Whether the server knows the names of all BSON types, as far as is known."""
        self._counter = _Counter()
        self._documents = self._bytes = 0

    def look(self, database: str, collection: str, questions: Sequence[Question]) -> list[Evidence]:
        """Return what the collection says about each question; raises SourceError."""
        found = _Look(self, database, collection, _tasks(questions))
        return found.evidence(questions, self._zone)

    def ready_days(self, database: str, ready: Ready, days: Collection[date]) -> set[date]:
        """Return those of `days` for which the `ready` document is there; raises SourceError."""
        found = _Look(self, database, ready.collection, "ready")
        return {day for day in days if found.first(filters.with_day(ready.match, dt_of(day)), {"_id": 1}) is not None}

    def load(self) -> Load:
        """Return how many queries were sent, and how many documents and bytes came back."""
        with self._lock:
            return Load(self.cluster, self._counter.queries, self._documents, self._bytes)

    def inputs(self) -> list[Input]:
        """A cluster has no files."""
        return []

    def close(self) -> None:
        """End every connection, cursor and session."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def client(self) -> MongoClient[dict[str, Any]]:
        """Return the client of the cluster; raises SourceError (`unreachable`) where the URI cannot be had or used."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> MongoClient[dict[str, Any]]:
        variable = self._settings.uri_env
        assert variable is not None
        uri = os.environ.get(variable)
        if not uri:
            raise SourceError(
                "unreachable", f"the variable {variable} that should hold the URI of {self.cluster} is not set"
            )
        try:
            parsed = parse_uri(uri, validate=True, warn=False)
            self._secrets = [secret for secret in (parsed["password"],) if secret]
            self._asks_tls = bool(parsed["options"].get("tls")) or uri.startswith("mongodb+srv:")
            given = {str(key).lower() for key in parsed["options"]}
            # What the URI says about waiting is the operator's word; else short enough to tell before the deadline.
            waits: dict[str, Any] = {
                "serverSelectionTimeoutMS": SELECTION_MS,
                "connectTimeoutMS": SELECTION_MS,
                "socketTimeoutMS": self._settings.max_time_ms + SOCKET_GRACE_MS,
            }
            staleness = self._settings.max_staleness_s
            return MongoClient(
                uri,
                **{key: value for key, value in waits.items() if key.lower() not in given},
                readPreference=self._settings.read_preference,
                maxStalenessSeconds=-1
                if staleness is None or self._settings.read_preference == "primary"
                else staleness,
                maxPoolSize=self._settings.max_concurrency,
                # Retries are counted here, and nowhere else.
                retryReads=False,
                appname="bigmama-nb",
                event_listeners=[self._counter],
            )
        except (PyMongoError, ValueError) as error:
            # The text of these may quote the URI.
            raise SourceError(
                "unreachable",
                f"the URI of {self.cluster} in the variable {variable} cannot be used ({type(error).__name__}); "
                "expected mongodb://user:password@host:port/?options",
            ) from None

    def asked(self, work: Callable[[], T], what: str) -> T:
        """Return what `work` returns, asked again where that can help; raises SourceError."""
        if self._down is not None:
            raise self._down
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            stop=tenacity.stop_after_attempt(self._settings.retries + 1),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=15),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(work)
        except PyMongoError as error:
            found = self.trouble(error)
            raised = SourceError(found.reason, f"{self.cluster}, {what}: {found.found}", place=self.cluster)
            if found.everywhere:
                self._down = raised
            raise raised from None
        except BSONError as error:
            found_ = f"{self.cluster}, {what}: a document is broken ({error})"
            raise SourceError("source_corrupt", found_, place=what) from None

    def trouble(self, error: PyMongoError) -> Trouble:
        """Return what a driver's error means at this cluster."""
        found = trouble(error, secrets=self._secrets, max_time_ms=self._settings.max_time_ms)
        if found.reason == "unreachable" and found.everywhere and self._wants_tls():
            return Trouble(
                "tls", "the server speaks TLS and the URI does not ask for it; add tls=true to it", everywhere=True
            )
        return found

    def _wants_tls(self) -> bool:
        client = self._client
        if client is None or self._asks_tls:
            return False
        servers = client.topology_description.server_descriptions()
        return speaks_tls(servers, seconds=TLS_LOOK_S)

    def _may_pass(self, error: BaseException) -> bool:
        if not isinstance(error, PyMongoError) or self._down is not None:
            return False
        return trouble(error, secrets=self._secrets, max_time_ms=self._settings.max_time_ms).may_pass

    def _sleep(self, seconds: float) -> None:
        self._stopped.wait(min(seconds, max(0.0, self._deadline - time.monotonic())))
        self._check()

    def received(self, documents: int, size: int) -> None:
        """Count what came back, and stop where the work is to end."""
        self._check()
        with self._lock:
            self._documents += documents
            self._bytes += size

    def databases(self) -> list[str]:
        """Return the databases that the account sees; none where it may not list them."""
        try:
            return self.client().list_database_names()
        except PyMongoError:
            return []

    def options(self, tasks: str) -> dict[str, Any]:
        """Return what goes with each query: the server's limit for it, and who asks."""
        return {"max_time_ms": self._settings.max_time_ms, "comment": f"bigmama-nb {self._comment} {tasks}"}


class _Look:
    """One look at one collection, for some tasks."""

    def __init__(self, mongo: Mongo, database: str, collection: str, tasks: str) -> None:
        self._mongo = mongo
        self._where = f"{database}.{collection}"
        self._options = mongo.options(tasks)
        self._collection = self._there(database, collection)

    def _there(self, database: str, collection: str) -> MongoCollection[Any]:
        """Return the collection; raises SourceError (`source_missing`).

        It is looked up, as MongoDB answers a missing collection like an empty one.
        """
        mongo = self._mongo
        client = mongo.client()
        comment = self._options["comment"]
        listed = mongo.asked(lambda: list(client[database].list_collections(comment=comment)), database)
        names = {one["name"]: one for one in listed}
        if collection not in names:
            if names:
                found = f"has no collection {collection!r} in database {database!r}; it has {_listed(sorted(names))}."
                found += did_you_mean(collection, names)
            else:
                found = f"has no database {database!r}, or its account may not see it."
                found += did_you_mean(database, mongo.databases())
            raise SourceError("source_missing", f"{mongo.cluster} {found}", place=self._where)
        if "collation" in names[collection].get("options", {}):
            # A collection may compare "a" and "A" as equal by default; a dump of it does not.
            self._options["collation"] = Collation("simple")
        return client[database].get_collection(collection, codec_options=CODEC)

    def evidence(self, questions: Sequence[Question], zone: ZoneInfo) -> list[Evidence]:
        """Return what the collection says about each question."""
        found: list[Evidence] = []
        for (path, _), some in by_date_field(questions).items():
            sheet = Sheet(some, zone)
            dating = sheet.evidence[0].dating
            self._odd_dates(sheet.evidence, dating, path)
            if any(one.question.metric.value.computed for one in sheet.evidence):
                self._see_newest(sheet.evidence[0].newest, dating, path, {})
            wanted = [asked for one in sheet.evidence if (asked := _loaded(one)) is not None]
            if wanted:
                self._tally(sheet, wanted, zone, path)
            self._newest_of_fields(sheet.evidence, dating, path)
            found += sheet.evidence
        return found

    def _odd_dates(self, evidence: Sequence[Evidence], dating: Dating, path: str) -> None:
        known: dict[str, list[tuple[Unplaced, int]]] = {}
        for one in evidence:
            match = one.question.metric.match
            if repr(match) not in known:
                known[repr(match)] = self._unplaced(dating, path, match)
            for unplaced, documents in known[repr(match)]:
                one.add_odd(unplaced, documents)

    def _unplaced(self, dating: Dating, path: str, match: Filter) -> list[tuple[Unplaced, int]]:
        """Return what makes dates unreadable, and in how many documents."""
        found: list[tuple[Unplaced, int]] = []
        undated = self.count(queries.both(match, queries.undated(path)))
        if undated:
            found.append((Unplaced("undated", "null"), undated))
        if dating.as_ in ("yyyymmdd", "yyyymm"):
            by_number = self.grouped(queries.both(match, queries.whole_numbers(path)), path)
            for number, documents in by_number:
                placed = dating.place(number)
                if isinstance(placed, Unplaced):
                    found.append((placed, documents))
        if not self._any_odd(dating, path, match):
            return found
        # Only now that there is one: which, and how many.
        for prefix in queries.prefixes(path):
            if self.first(queries.both(match, {prefix: {"$type": "array"}}), {"_id": 1}) is not None:
                found.append((Unplaced("array_path", prefix), 1))
                break
        found += self._other_types(dating, path, match)
        if dating.as_ != "date":
            bad = queries.both(match, queries.bad_texts(dating, path), queries.without_arrays(path))
            documents = self.count(bad)
            if documents:
                example = dating.place(reader(path)(self.first(bad, {path: 1}, sort=(path, 1)) or {}))
                found.append((Unplaced("bad_date", getattr(example, "found", "")), documents))
        return found

    def _any_odd(self, dating: Dating, path: str, match: Filter) -> bool:
        def first(by_name: bool) -> Any:
            return self.first(queries.both(match, queries.odd(dating, path, by_name=by_name)), {path: 1})

        return self._by_name_or_not(first) is not None

    def _by_name_or_not(self, asked: Callable[[bool], T]) -> T:
        """Return what is asked by the types' names, or without them where the server does not know them all."""
        if self._mongo.knows_types:
            try:
                return asked(True)
            except SourceError as error:
                if error.reason != "query_refused":
                    raise
                self._mongo.knows_types = False
        return asked(False)

    def _other_types(self, dating: Dating, path: str, match: Filter) -> list[tuple[Unplaced, int]]:
        through = queries.through_no_array(path)

        def count(by_name: bool) -> int:
            return self.count(queries.both(match, queries.of_other_types(dating, path, by_name=by_name), through))

        rest = self._by_name_or_not(count)
        found = []
        for name in queries.other_types(dating):
            if not rest:
                break
            scalar = {} if name == "array" else {path: {"$not": {"$type": "array"}}}
            try:
                documents = self.count(queries.both(match, {path: {"$type": name}}, scalar, through))
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

    def _see_newest(self, newest: Any, dating: Dating, path: str, match: Filter) -> None:
        for number, dated in enumerate(queries.newest(dating, path)):
            document = self.first(queries.both(match, dated), {path: 1}, sort=(path, -1))
            if document is None:
                continue
            value = reader(path)(document)
            position = dating.place(value)
            if not isinstance(position, Unplaced):
                newest.see(position, type(value) is str)
            elif number == 1:
                # The greatest number is no date: look at all of them.
                for other, _ in self.grouped(queries.both(match, dated), path):
                    position = dating.place(other)
                    if not isinstance(position, Unplaced):
                        newest.see(position, False)

    def _newest_of_fields(self, evidence: Sequence[Evidence], dating: Dating, path: str) -> None:
        """Find the newest date for the message of a figure that is not there."""
        for one in evidence:
            metric = one.question.metric
            newest = one.newest_matching
            if metric.value.computed or newest.position is not None or one.undatable:
                continue
            if any(one.tally(asked).documents == 0 for asked in one.question.asks):
                self._see_newest(newest, dating, path, metric.match)

    def _tally(self, sheet: Sheet, wanted: Sequence[Question], zone: ZoneInfo, path: str) -> None:
        """Add up the windows of the wanted questions into the sheet, from as few documents as can be."""
        # Windows of what is not yet loaded are not asked for: the wanted questions have bounds of their own.
        part = Sheet(wanted, zone)
        if all(question.metric.value.kind == "count" for question in wanted):
            self._count(part.evidence, path)
        else:
            match = queries.either(question.metric.match for question in wanted)
            fields = queries.projection(wanted)
            for begin, end in queries.spans(part.evidence):
                self._read_span(part, wanted, zone, path, match, fields, begin, end)
        by_question = {(one.question.game_cd, one.question.type): one for one in part.evidence}
        for one in sheet.evidence:
            theirs = by_question.get((one.question.game_cd, one.question.type))
            if theirs is not None:
                one.bounds, one.tallies = theirs.bounds, theirs.tallies

    def _count(self, evidence: Sequence[Evidence], path: str) -> None:
        known: dict[tuple[str, int], int] = {}
        for one in evidence:
            match = one.question.metric.match
            typed = queries.of_expected_types(one.dating, path)
            for bucket, tally in enumerate(one.tallies):
                if tally is None:
                    continue
                assert isinstance(tally, Count)
                key = repr(match), bucket
                if key not in known:
                    begin, end = one.bounds[bucket - 1], one.bounds[bucket]
                    dated = queries.between(one.dating, path, begin, end)
                    known[key] = self.count(queries.both(match, dated, typed))
                tally.documents += known[key]

    def _read_span(
        self,
        sheet: Sheet,
        wanted: Sequence[Question],
        zone: ZoneInfo,
        path: str,
        match: Filter,
        fields: Mapping[str, int],
        begin: Any,
        end: Any,
    ) -> None:
        """Read the documents of a span of positions into the sheet: at once, or in pieces where that is too much."""
        dating = sheet.evidence[0].dating
        dated = queries.both(match, queries.between(dating, path, begin, end))
        splittable = len(queries.split(dating, begin, end, 2)) == 2 and dating.as_ != "yyyymm"

        def read() -> Sheet:
            # A new sheet for each try: what came before a connection broke off does not count.
            piece = Sheet(wanted, zone, span=(begin, end))
            for documents in self._documents(dated, fields, whole=splittable):
                piece.take(documents)
            return piece

        try:
            piece = (
                self._mongo.asked(read, self._where)
                if queries.whole_days(dating, begin, end) == 1
                else self._once(read)
            )
        except _Overflowing:
            pieces = 2 + self.count(dated) * 3 // (2 * REPLY)
        else:
            if piece is not None:
                sheet.merge_tallies(piece)
                return
            pieces = min(4, queries.whole_days(dating, begin, end))
        for one_begin, one_end in queries.split(dating, begin, end, pieces):
            self._read_span(sheet, wanted, zone, path, match, fields, one_begin, one_end)

    def _once(self, read: Callable[[], Sheet]) -> Sheet | None:
        """Return what `read` returns; None where it took the server too long, and a shorter span may not."""

        def in_time() -> Sheet | None:
            try:
                return read()
            except PyMongoError as error:
                if self._mongo.trouble(error).reason == "query_timeout":
                    return None
                raise

        return self._mongo.asked(in_time, self._where)

    def _documents(self, filter_: Filter, fields: Mapping[str, int], *, whole: bool) -> Iterator[list[dict[str, Any]]]:
        """Yield the documents, some at a time; raises _Overflowing where they are to come whole and do not."""
        with self._collection.find_raw_batches(filter_, fields, batch_size=REPLY, **self._options) as cursor:
            for reply in cursor:
                if whole and cursor.alive:
                    raise _Overflowing
                yield from self._decoded(reply)

    def _decoded(self, reply: bytes) -> Iterator[list[dict[str, Any]]]:
        begin = end = documents = 0
        while end < len(reply):
            end += int.from_bytes(reply[end : end + 4], "little")
            documents += 1
            if documents == DECODED or end >= len(reply):
                self._mongo.received(documents, end - begin)
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

        return self._mongo.asked(find, self._where)

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

        found = self._mongo.asked(aggregate, self._where)
        self._mongo.received(len(found), sum(len(bson.encode(document)) for document in found))
        return found


def _loaded(evidence: Evidence) -> Question | None:
    """Return the question with the asks whose documents are worth reading; None where there are none."""
    question = evidence.question
    if evidence.undatable:
        return None
    if not question.metric.value.computed or question.metric.ready is not None:
        return question
    asks = tuple(ask for ask in question.asks if evidence.loaded(ask))
    return replace(question, asks=asks) if asks else None


def _tasks(questions: Sequence[Question]) -> str:
    """Return how a query's comment names what it is for: `lw/wau,mau/20240501..20240531`."""
    dts = sorted({ask.dt for question in questions for ask in question.asks})
    types = ",".join(dict.fromkeys(question.type for question in questions))
    return f"{questions[0].game_cd}/{types}/{dts[0] if len(dts) == 1 else f'{dts[0]}..{dts[-1]}'}"


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:8])
    return (few + f" and {len(names) - 8} more" if len(names) > 8 else few) or "none"


class _Counter(monitoring.CommandListener):
    """Counts the commands that are sent for us; the driver's own greetings are not among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.queries = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in ("endSessions", "killCursors"):
            with self._lock:
                self.queries += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass
