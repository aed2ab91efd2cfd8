"""Whether a document has a field twice: BSON allows it, and of two values none is the right one."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import bson
from bson.errors import BSONError

from bigmama_nb.sources.values import CODEC

_length_at = struct.Struct("<i").unpack_from
_FIXED: Final = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
_TEXTS: Final = (0x02, 0x0D, 0x0E)
_DOCUMENTS: Final = (0x03, 0x04)


def repeated(content: bytes, documents: Sequence[dict[str, Any]], names: Collection[str]) -> tuple[int, str] | None:
    """Return where in `content` a document begins that has one of the names twice, and the name; else None.

    `documents` are those that `content` was decoded to.
    """
    if all(content.count(f"{name}\0".encode()) <= sum(name in one for one in documents) for name in names):
        return None
    begin = 0
    for document in documents:
        length = _length_at(content, begin)[0]
        if not _same_length(document, length):
            for name in _twice(content, begin):
                if name in names:
                    return begin, name
        begin += length
    return None


def _same_length(document: dict[str, Any], length: int) -> bool:
    """Return whether nothing was lost in decoding; False where that cannot be told so."""
    try:
        return len(bson.encode(document, codec_options=CODEC)) == length
    except (BSONError, ValueError, OverflowError, TypeError):
        return False


def _twice(content: bytes, begin: int) -> Iterator[str]:
    """Yield the names that stand twice in one document, or in one within it."""
    seen: set[bytes] = set()
    at, end = begin + 4, begin + _length_at(content, begin)[0] - 1
    while at < end:
        kind = content[at]
        stop = content.index(b"\0", at + 1)
        name = content[at + 1 : stop]
        if name in seen:
            yield name.decode("utf-8", "surrogateescape")
        seen.add(name)
        at = stop + 1
        if kind in _DOCUMENTS:
            yield from _twice(content, at)
        at += _size(content, at, kind)


def _size(content: bytes, at: int, kind: int) -> int:
    """Return how many bytes a value takes."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _TEXTS:
        return 4 + int(_length_at(content, at)[0])
    if kind == 0x05:
        return 5 + int(_length_at(content, at)[0])
    if kind == 0x0C:
        return 16 + int(_length_at(content, at)[0])
    if kind == 0x0B:
        middle = content.index(b"\0", at)
        return content.index(b"\0", middle + 1) + 1 - at
    if kind in (*_DOCUMENTS, 0x0F):
        return int(_length_at(content, at)[0])
    return 0
