"""Figures from mongodump folders: `<database>/<collection>.bson` or `.bson.gz`.

One pass over a file answers all that is asked of it, and memory does not grow with it. A file that does not end with
a whole document is refused, never read short. (A file cut exactly between two documents is a whole, shorter one:
BSON files have no end mark. What mongodump --gzip writes has one checksum and cannot be cut unseen; of several
compressed files joined to one, a cut between two of them leaves a whole one.)
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import itertools
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from bigmama_nb.errors import SourceError, did_you_mean, printable
from bigmama_nb.periods import dt_of
from bigmama_nb.profile import Ready
from bigmama_nb.sources import Input, Load, filters
from bigmama_nb.sources.identities import Identities, Order
from bigmama_nb.sources.layouts import Layouts
from bigmama_nb.sources.lots import counted
from bigmama_nb.sources.paths import Lookup, ready_needs
from bigmama_nb.sources.pieces import Piece, Readable, corrupt, pieces
from bigmama_nb.sources.scan import Question, Scan, Scanner
from bigmama_nb.sources.sight import Looker, Sight
from bigmama_nb.sources.values import shown

BUCKETS: Final = "system.buckets."
# What mongodump makes of a long name: so much of it, and its checksum.
LONGEST_NAME: Final = 238
KEPT_OF_NAME: Final = 208
OFFERED: Final = 4
# So many folders are looked at for a database that is not where the profile says.
LOOKED_AT: Final = 10_000


class Dump:
    """A mongodump folder."""

    def __init__(self, cluster: str, folder: str | Path, zone: ZoneInfo, *, check: Callable[[], None]) -> None:
        """`check` is called between pieces of work, and raises where the work is to end."""
        self.cluster = cluster
        self.folder = Path(folder)
        self._zone = zone
        self._check = check
        self._lock = threading.Lock()
        self._inputs: dict[str, Input] = {}
        self._files = self._documents = self._bytes = 0

    def scan(self, database: str, collection: str, questions: Sequence[Question]) -> list[Scan]:
        """Return what the collection says about each question; raises SourceError."""
        scanner = Scanner(questions, self._zone)
        path = self.path(database, collection)
        names = {name for question in questions for one in question.metric.paths for name in one.split(".")}
        order, layouts = Order(), Layouts()
        for piece in self._pieces(path):
            order.take(counted(piece, names, layouts, scanner).ids())
        if not order.ascends:
            self._once_each(path)
        return scanner.scans

    def _once_each(self, path: Path) -> None:
        """Raise SourceError (`source_corrupt`) where an _id stands in the file twice."""
        with contextlib.closing(Identities()) as identities:
            for documents in self._read(path):
                identities.take([document["_id"] for document in documents if "_id" in document])
            suspects = identities.repeated()
        seen: set[Any] = set()
        for documents in self._read(path) if suspects else ():
            for document in documents:
                if "_id" in document and identities.key(document["_id"]) in suspects:
                    exact = identities.exact(document["_id"])
                    if exact in seen:
                        raise SourceError(
                            "source_corrupt",
                            f"{path.parent.name}/{path.name}: the _id {shown(document['_id'])} stands in it twice, "
                            "so that it is no dump of one collection. Nothing of the file was used; dump it again",
                            place=f"{path} _id={shown(document['_id'])}",
                        )
                    seen.add(exact)

    def sight(self, database: str, collection: str, question: Question) -> Sight:
        """Return how many documents stand in the window of the question's only ask, and some; raises SourceError."""
        looker = Looker(question, self._zone)
        for documents in self._read(self.path(database, collection)):
            looker.take(documents)
        return looker.sight()

    def ready_days(self, database: str, ready: Ready, days: Collection[date]) -> set[date]:
        """Return those of `days` for which the `ready` document is there; raises SourceError."""
        waiting = {day: filters.compiled(filters.with_day(ready.match, dt_of(day))) for day in days}
        found: set[date] = set()
        lookup = Lookup(ready_needs(ready, dt_of(max(days)))) if days else Lookup([])
        for documents in self._read(self.path(database, ready.collection)):
            lookup.take(documents)
            for day, matches in list(waiting.items()):
                if any(map(matches, documents)):
                    found.add(day)
                    del waiting[day]
        if not found and not lookup.no_document and lookup.unknown is not None:
            raise lookup.of_ready(ready, lookup.unknown, place=f"{database}.{ready.collection}")
        return found

    def load(self) -> Load:
        """Return how many files, documents and bytes were read so far."""
        with self._lock:
            return Load(self.cluster, self._files, self._documents, self._bytes)

    def inputs(self) -> list[Input]:
        """Return the files that were read to their end so far."""
        with self._lock:
            return [self._inputs[path] for path in sorted(self._inputs)]

    def close(self) -> None:
        """Nothing is held open between two reads."""

    def reached(self) -> str:
        """Return what stands in the folder; raises SourceError."""
        return f"the dump {self.folder} holds {_listed(self.databases())}"

    def advice(self, database: str, collection: str, path: str) -> str | None:
        """Return None: a file has no indexes."""
        return None

    def databases(self) -> list[str]:
        """Return the databases in the folder; raises SourceError (`source_missing`)."""
        return self._names(self.folder, f"the folder {self.folder} of cluster {self.cluster}", Path.is_dir)

    def collections(self, database: str) -> list[str]:
        """Return the collections of a database; raises SourceError (`source_missing`)."""
        folder = self.folder / database
        if not folder.is_dir():
            names = self.databases() if self.folder.is_dir() or not self._elsewhere(database) else []
            raise SourceError(
                "source_missing",
                f"the dump {self.folder} has no database {database!r}; it has {_listed(names)}."
                f"{self._elsewhere(database) or did_you_mean(database, names)}",
                place=str(folder),
            )
        files = self._names(folder, f"the folder {folder}", Path.is_file)
        collections = {_unescaped(name) for name in files if _is_collection(name)}
        return sorted(name for name in collections if not name.startswith("system."))

    def path(self, database: str, collection: str) -> Path:
        """Return the collection's file; raises SourceError (`source_missing`)."""
        folder = self.folder / database
        # mongodump escapes what a file name cannot hold.
        escaped = _stem(collection)
        buckets = folder / f"{_stem(f'{BUCKETS}{collection}')}.bson"
        if collection.startswith(BUCKETS) or buckets.is_file() or buckets.with_name(f"{buckets.name}.gz").is_file():
            raise SourceError(
                "source_missing",
                f"{collection.removeprefix(BUCKETS)} of {database!r} is a time-series collection, of which a dump has "
                "the buckets and not the measurements; read it from the cluster, or dump a collection that $out makes "
                "of it",
                place=str(buckets),
            )
        # A slash would lead out of the database's folder.
        as_it_is = len(collection.encode()) < LONGEST_NAME and "/" not in collection
        stems = dict.fromkeys((collection, escaped)) if as_it_is else {escaped: None}
        present = [
            path for stem in stems for end in (".bson", ".bson.gz") if (path := folder / f"{stem}{end}").is_file()
        ] or self._escaped_otherwise(folder, collection)
        if len(present) == 1:
            return present[0]
        if present:
            raise SourceError(
                "source_corrupt",
                f"{folder} has both {' and '.join(path.name for path in present)}, and one of them is older; "
                "remove the wrong one",
                place=str(folder),
            )
        names = self.collections(database)
        raise SourceError(
            "source_missing",
            f"the dump {self.folder} has no collection {collection!r} in database {database!r}; "
            f"it has {_listed(names)}.{did_you_mean(collection, names)}",
            place=str(folder / f"{collection}.bson"),
        )

    def _escaped_otherwise(self, folder: Path, collection: str) -> list[Path]:
        """Return the collection's files where another tool than mongodump escaped their names, as `%24c.bson`."""
        if not folder.is_dir():
            return []
        names = self._names(folder, f"the folder {folder}", Path.is_file)
        return [folder / name for name in names if _is_collection(name) and _unescaped(name) == collection]

    def _elsewhere(self, database: str) -> str:
        """Return which folder has it where the dump is named up to two levels off; else an empty string."""
        up = list(self.folder.parents)[:2]
        for near in (up[:1], self._below("*"), up[1:], self._below("*/*")):
            having = [str(folder) for folder in near if (folder / database).is_dir()]
            if len(having) == 1:
                return f" {having[0]} has it: name that folder as the cluster's dump."
            if having:
                return f" {', '.join(having[:OFFERED])} have it: name the right one as the cluster's dump."
        return ""

    def _below(self, pattern: str) -> list[Path]:
        try:
            return sorted(itertools.islice(self.folder.glob(pattern), LOOKED_AT))
        except OSError:
            return []

    def _names(self, folder: Path, said: str, wanted: Callable[[Path], bool]) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir() if wanted(path))
        except FileNotFoundError:
            raise SourceError("source_missing", f"{said} is not there", place=str(folder)) from None
        except NotADirectoryError:
            found = f"{said} is a file; expected a folder as mongodump --out writes it, not an --archive"
            raise SourceError("source_missing", found, place=str(folder)) from None
        except OSError as error:
            raise SourceError("unreachable", f"{said} cannot be read: {error.strerror}", place=str(folder)) from None

    def _read(self, path: Path, names: Collection[str] = ()) -> Iterator[list[dict[str, Any]]]:
        """Yield a file's documents, some at a time; each of the `names` stands once in each of them."""
        for piece in self._pieces(path):
            yield piece.documents(names)

    def _pieces(self, path: Path) -> Iterator[Piece]:
        with self._lock:
            self._files += 1
        try:
            with path.open("rb") as raw:
                source = _Counted(raw)
                content: Readable = source
                packed = path.suffix == ".gz" or _is_packed(raw)
                if packed:
                    content = gzip.GzipFile(mode="rb", fileobj=cast(IO[bytes], source))
                for piece in pieces(content, path):
                    self._check()
                    with self._lock:
                        self._documents += len(piece.starts)
                        self._bytes += source.taken()
                    yield piece
                rest = source.taken()
            if path.suffix == ".gz" and source.size == 0:
                raise corrupt(path, 0, "the file is empty, without even the head of a compressed file")
        except OSError as error:
            raise SourceError("unreachable", f"{path} cannot be read: {error.strerror}", place=str(path)) from None
        with self._lock:
            self._bytes += rest
            self._inputs[str(path)] = Input(printable(str(path)), source.size, source.sha256.hexdigest())


class _Counted:
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._taken = 0
        self.size = 0
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        content = self._raw.read(size)
        self.sha256.update(content)
        self.size += len(content)
        return content

    def taken(self) -> int:
        """Return the bytes read since this was last called."""
        taken, self._taken = self.size - self._taken, self.size
        return taken


def _stem(collection: str) -> str:
    """Return the name that mongodump gives a collection's file: escaped, and shortened where it is too long."""
    escaped = quote(collection, safe="$&+=:@")
    if len(escaped) <= LONGEST_NAME:
        return escaped
    digest = base64.urlsafe_b64encode(hashlib.sha1(collection.encode(), usedforsecurity=False).digest())
    return f"{escaped[:KEPT_OF_NAME]}%24{digest.decode().rstrip('=')}"


def _is_packed(raw: IO[bytes]) -> bool:
    """Return whether a file is compressed, whatever its name; a document may begin with the same bytes."""
    head = raw.read(1 << 16)
    raw.seek(0)
    if not head.startswith(b"\x1f\x8b\x08"):
        return False
    try:
        return bool(zlib.decompressobj(wbits=31).decompress(head))
    except zlib.error:
        return False


def _is_collection(name: str) -> bool:
    return name.endswith((".bson", ".bson.gz"))


def _unescaped(name: str) -> str:
    return unquote(name.removesuffix(".gz").removesuffix(".bson"))


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:8])
    return (few + f" and {len(names) - 8} more" if len(names) > 8 else few) or "none"
