"""Documents in the bytes that they came in, counted: those that are alike by columns, the others decoded."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
import numpy as np
from bson.errors import InvalidBSON

from bigmama_nb.sources.layouts import Alike, Layouts
from bigmama_nb.sources.scan import Scanner
from bigmama_nb.sources.values import CODEC, MISSING

FIRST_CHUNK: Final = 1 << 16
CHUNK: Final = 1 << 20
"""So many bytes are taken at once; few at first, since columns are read once all that is looked for has been seen."""
SMALLEST: Final = 5
"""So many bytes has a document without a field."""

_length_at = struct.Struct("<i").unpack_from


@dataclass(frozen=True)
class Lot:
    """Whole documents, one behind the other."""

    content: bytes
    starts: list[int]
    """Where each begins in the content."""

    def documents(self, names: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the documents.

        Raises:
            BSONError: one is broken. What knows where its bytes come from raises SourceError, and so it does for a
                document that has one of `names` twice.
        """
        return bson.decode_all(self.content, CODEC)

    def some(self, places: Sequence[int], names: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the documents of these numbers; raises as `documents` does."""
        return bson.decode_all(self.only(places), CODEC)

    def only(self, places: Sequence[int]) -> bytes:
        """Return the bytes of the documents of these numbers."""
        ends = [*self.starts[1:], len(self.content)]
        return b"".join(self.content[self.starts[place] : ends[place]] for place in places)


@dataclass(frozen=True)
class Counted:
    """The documents of a lot as they were counted: some by columns, the others, of these numbers, decoded."""

    alike: list[Alike]
    places: list[int]
    documents: list[dict[str, Any]]

    def ids(self) -> list[Any]:
        """Return the ids that the documents have, in the lot's order."""
        ids = dict(zip(self.places, (document.get("_id", MISSING) for document in self.documents), strict=True))
        for some in self.alike:
            ids.update(zip(some.places.tolist(), some.ids(), strict=True))
        return [one for place in range(len(ids)) if (one := ids[place]) is not MISSING]


def counted(lot: Lot, names: Collection[str], layouts: Layouts, scanner: Scanner) -> Counted:
    """Count a lot's documents, and return which of them were decoded; raises as `Lot.documents` does."""
    alike, others = layouts.sorted_out(lot.content, lot.starts) if scanner.settled else ([], np.arange(0))
    places = others.tolist() if alike else list(range(len(lot.starts)))
    documents = lot.some(places, names) if alike else lot.documents(names)
    scanner.take(documents)
    for some in alike:
        scanner.take_alike(some)
    return Counted(alike, places, documents)


def lots(content: bytes) -> Iterator[Lot]:
    """Yield all documents of a server's reply, some at a time; raises InvalidBSON where one says it has no length."""
    begin, most = 0, FIRST_CHUNK
    while begin < len(content):
        starts: list[int] = []
        at, stop = 0, min(most, len(content) - begin)
        while at < stop:
            starts.append(at)
            (length,) = _length_at(content, begin + at)
            if length < SMALLEST:
                raise InvalidBSON(f"a document says that it has {length} bytes")
            at += length
        yield Lot(content[begin : begin + at], starts)
        begin, most = begin + at, CHUNK
