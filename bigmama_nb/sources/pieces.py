"""A BSON file in pieces of whole documents."""

from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import bson
from bson.errors import BSONError

from bigmama_nb.errors import SourceError
from bigmama_nb.sources import fields
from bigmama_nb.sources.lots import CHUNK, FIRST_CHUNK, SMALLEST, Lot
from bigmama_nb.sources.values import CODEC

# MongoDB's own limit for a document, with the room that it leaves itself for internal fields.
LARGEST: Final = 16 * 1024 * 1024 + 16 * 1024
ARCHIVE: Final = b"\x6d\xe2\x99\x81"

_length_at = struct.Struct("<i").unpack_from


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


@dataclass(frozen=True)
class Piece(Lot):
    """Whole documents of a file, one behind the other."""

    offset: int
    """Where the content begins in the file."""
    path: Path

    def documents(self, names: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the documents.

        Raises:
            SourceError: `source_corrupt` where one is broken, or has one of `names` twice.
        """
        documents = _decode(self.content, self.offset, self.path)
        if (repeated := fields.repeated(self.content, documents, names)) is not None:
            at, name = repeated
            raise corrupt(self.path, self.offset + at, f"a document has the field {name!r} twice")
        return documents

    def some(self, places: Sequence[int], names: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return the documents of these numbers; raises as `documents` does."""
        content = self.only(places)
        with contextlib.suppress(BSONError, ValueError, OverflowError):
            documents = bson.decode_all(content, CODEC)
            if fields.repeated(content, documents, names) is None:
                return documents
        whole = self.documents(names)
        return [whole[place] for place in places]


def pieces(content: Readable, path: Path) -> Iterator[Piece]:
    """Yield all documents of a BSON file, some at a time; raises SourceError (`source_corrupt`) with the offset."""
    offset, rest, size = 0, b"", FIRST_CHUNK
    while True:
        try:
            piece = content.read(max(size, _missing(rest)))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise corrupt(path, offset + len(rest), f"the compression breaks off ({error})") from None
        if not piece:
            break
        rest, size = rest + piece, CHUNK
        starts, end = _whole(rest, offset, path)
        if end:
            yield Piece(rest[:end], starts, offset, path)
            rest, offset = rest[end:], offset + end
    if rest:
        found = f"a document begins of which {len(rest)} bytes are there"
        if len(rest) >= 4:
            found += f", and it says that it has {_length_at(rest)[0]}"
        raise corrupt(path, offset, f"{found}; the file is truncated")


def _missing(rest: bytes) -> int:
    return min(_length_at(rest)[0], LARGEST) - len(rest) if len(rest) >= 4 else 0


def _whole(content: bytes, offset: int, path: Path) -> tuple[list[int], int]:
    """Return where the whole documents of `content` begin, and where the last of them ends."""
    begin, size = 0, len(content)
    starts = []
    while begin + 4 <= size:
        length = _length_at(content, begin)[0]
        if offset == begin == 0 and content.startswith(ARCHIVE):
            raise corrupt(path, 0, "there is an archive of mongodump --archive; expected a file of --out")
        if not SMALLEST <= length <= LARGEST:
            raise corrupt(path, offset + begin, f"a document says that it has {length} bytes")
        if begin + length > size:
            break
        starts.append(begin)
        begin += length
    return starts, begin


def _decode(content: bytes, offset: int, path: Path) -> list[dict[str, Any]]:
    try:
        return bson.decode_all(content, CODEC)
    except (BSONError, ValueError, OverflowError):
        # Which of them it is, is only asked now that one of them is broken.
        begin = 0
        while begin < len(content):
            length = _length_at(content, begin)[0]
            try:
                bson.decode(content[begin : begin + length], CODEC)
            except (BSONError, ValueError, OverflowError) as error:
                raise corrupt(path, offset + begin, f"a document is broken ({error})") from None
            begin += length
        raise


def corrupt(path: Path, offset: int, found: str) -> SourceError:
    unpacked = " of the unpacked content" if path.suffix == ".gz" else ""
    return SourceError(
        "source_corrupt",
        f"{path.parent.name}/{path.name}: at byte {offset}{unpacked} {found}. Nothing of the file was used; "
        "dump the collection again",
        place=f"{path} byte {offset}",
    )
