"""The client of a live MongoDB cluster: connected to, asked again where that can help, and counted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import tenacity
from bson.errors import BSONError
from pymongo import MongoClient, monitoring
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from bigmama_nb.errors import SourceError
from bigmama_nb.profile import Cluster
from bigmama_nb.profile.uris import unescaped
from bigmama_nb.sources import Input, Load
from bigmama_nb.sources.mongo_errors import Trouble, speaks_tls, trouble

SELECTION_MS: Final = 10_000
SOCKET_GRACE_MS: Final = 10_000
TLS_LOOK_S: Final = 2.0
REPLY: Final = 100_000
"""So many documents are asked for in one reply; a server ends a reply at 16 MB in any case."""
STREAMING_WIRE: Final = 13
"""The wire version of MongoDB 5.0, the oldest that is asked to stream."""

T = TypeVar("T")
Filter = Mapping[str, Any]


class ClusterClient:
    """A connection to a live cluster, by the variable that holds its URI."""

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
        reply: int = REPLY,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """`check` is called between queries and raises where the work is to end; `deadline` is of time.monotonic().

        Between two tries `pause` rests for so many seconds; it ends with `stopped` where nothing else is given.
        """
        self.cluster = cluster
        self._settings = settings
        self._zone = zone
        self._comment = comment
        self._check = check
        self.reply = reply
        self._pause = pause or stopped.wait
        self._deadline = deadline
        self._lock = threading.Lock()
        self._client: MongoClient[dict[str, Any]] | None = None
        self._closed = False
        self._down: SourceError | None = None
        self._secrets: list[str] = []
        self._asks_tls = False
        self.knows_types = True
        """Whether the server knows the names of all BSON types, as far as is known."""
        self.lost_a_stream = False
        """Whether a connection broke off that was to stream; what speaks MongoDB's protocol may not know how to."""
        self._counter = _Counter()
        self._documents = self._bytes = 0

    def reached(self) -> str:
        """Return which member answers, and how the read preference is met; raises SourceError."""
        client = self.client()
        preference = client.read_preference
        self.asked(lambda: client.admin.command("ping", read_preference=preference), "admin")
        answered = self._counter.answered
        servers = client.topology_description.server_descriptions()
        kinds = {address: _KINDS.get(one.server_type_name, one.server_type_name) for address, one in servers.items()}
        kind = kinds.get(answered, "a server") if answered else "a server"
        found = f"{answered[0]}:{answered[1]} ({kind}) answers" if answered else "a server answers"
        if len(servers) > 1:
            found += " of " + ", ".join(f"{host}:{port} ({kinds[host, port]})" for host, port in sorted(servers))
        wanted = self._settings.read_preference
        if kind == "primary" and wanted.startswith("secondary"):
            return f"{found}; {wanted} is not met by a secondary, so that the primary carries the load"
        return f"{found}; {wanted} is met"

    def collections(self, database: str) -> list[str]:
        """Return the names of a database's collections; raises SourceError."""
        return sorted(one["name"] for one in self.listed(database, "listCollections"))

    def listed(self, database: str, command: str, value: Any = 1, **options: Any) -> list[dict[str, Any]]:
        """Return what a command lists of a database, asked of the members that the read preference allows.

        The driver's own list_collections and list_indexes ask the primary, whatever was preferred.
        """
        client = self.client()
        preference = client.read_preference

        def ask() -> list[dict[str, Any]]:
            with client[database].cursor_command(command, value, read_preference=preference, **options) as cursor:
                return list(cursor)

        return self.asked(ask, database)

    def advice(self, database: str, collection: str, path: str) -> str | None:
        """Return which index answers for the path, or how to make one; raises SourceError."""
        name = self.index_on(database, collection, path)
        if name is not None:
            return f"the index {name} answers"
        make = f"db.{collection}.createIndex({{{path!r}: 1}})"
        return f"no index begins with {path}: each query reads the whole collection; make one by {make}"

    def index_on(self, database: str, collection: str, path: str) -> str | None:
        """Return the name of an index that finds any range of the path, None where there is none; raises SourceError.

        One that is hidden, hashed, or of a part of the documents only, does not.
        """
        for index in self.listed(database, "listIndexes", collection):
            first, kind = next(iter(index["key"].items()), (None, None))
            whole = "partialFilterExpression" not in index and not index.get("hidden")
            if first == path and isinstance(kind, int | float) and whole:
                return str(index["name"])
        return None

    def streams(self) -> bool:
        """Return whether to ask for a cursor's replies to be sent one after the other, without being asked for each.

        MongoDB does since 4.2, a mongos since 7.1; the driver does not ask an earlier one.
        """
        servers = self.client().topology_description.server_descriptions().values()
        able = all(one.server_type_name != "Mongos" and one.max_wire_version >= STREAMING_WIRE for one in servers)
        return able and not self.lost_a_stream

    def load(self) -> Load:
        """Return how many queries were sent, and how many documents and bytes came back."""
        with self._lock:
            return Load(self.cluster, self._counter.queries, self._documents, self._bytes)

    def inputs(self) -> list[Input]:
        """A cluster has no files."""
        return []

    def close(self) -> None:
        """End every connection, cursor and session, and begin no other."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def client(self) -> MongoClient[dict[str, Any]]:
        """Return the client of the cluster; raises SourceError (`unreachable`) where the URI cannot be had or used.

        Once closed it is `deadline`: a thread that was waiting for an answer then may still want to ask.
        """
        with self._lock:
            if self._closed:
                found = f"{self.cluster} is not asked any longer, as the time for it is over"
                raise SourceError("deadline", found, place=self.cluster)
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> MongoClient[dict[str, Any]]:
        variable = self._settings.uri_env
        assert variable is not None
        uri = os.environ.get(variable)
        if not uri:
            found = f"the variable {variable} that should hold the URI of {self.cluster} is not set"
            raise SourceError("unreachable", found, place=self.cluster)
        if (odd := unescaped(uri)) is not None:
            raise SourceError(
                "unreachable",
                f"the URI of {self.cluster} in the variable {variable} has {odd!r} where it has another meaning; in a "
                "user or a password '@' is written as %40, '/' as %2F, ':' as %3A; expected "
                "mongodb://user:password@host:port/?options. Nothing was asked",
                place=self.cluster,
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
        except OSError as error:
            file = f" {error.filename}" if error.filename else ""
            raise SourceError(
                "tls",
                f"the URI of {self.cluster} in the variable {variable} names a file of certificates{file} that cannot "
                f"be read ({error.strerror or type(error).__name__})",
                place=self.cluster,
            ) from None
        except (PyMongoError, ValueError) as error:
            # The text of these may quote the URI.
            raise SourceError(
                "unreachable",
                f"the URI of {self.cluster} in the variable {variable} cannot be used ({type(error).__name__}); "
                "expected mongodb://user:password@host:port/?options",
                place=self.cluster,
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
        self._pause(min(seconds, max(0.0, self._deadline - time.monotonic())))
        self._check()

    def received(self, documents: int, size: int) -> None:
        """Count what came back, and stop where the work is to end."""
        self._check()
        with self._lock:
            self._documents += documents
            self._bytes += size

    def databases(self) -> list[str]:
        """Return the databases that the account sees; none where it may not list them."""
        client = self.client()
        try:
            found = client.admin.command("listDatabases", nameOnly=True, read_preference=client.read_preference)
        except PyMongoError:
            return []
        return sorted(one["name"] for one in found["databases"])

    def options(self, tasks: str) -> dict[str, Any]:
        """Return what goes with each query: the server's limit for it, and who asks."""
        return {"max_time_ms": self._settings.max_time_ms, "comment": f"bigmama-nb {self._comment} {tasks}"}


_KINDS: Final = {
    "Standalone": "standalone",
    "RSPrimary": "primary",
    "RSSecondary": "secondary",
    "Mongos": "mongos",
    "LoadBalancer": "load balancer",
}


class _Counter(monitoring.CommandListener):
    """Counts the commands that are sent for us; the driver's own greetings are not among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.queries = 0
        self.answered: tuple[str, int | None] | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in ("endSessions", "killCursors"):
            with self._lock:
                self.queries += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.answered = event.connection_id

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass
