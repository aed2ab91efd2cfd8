"""Documents of one layout, read as columns: the same fields in the same order, with the same types and lengths.

One document of a layout is decoded by `bson`. Another whose bytes are the same, but for those of its fixed values and
of its texts, is as whole as that one, and its values stand at the same places: so columns are read without decoding,
and nothing is guessed. What is unlike is decoded.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
import numpy as np
import numpy.typing as npt
from bson import ObjectId
from bson.errors import BSONError

from bigmama_nb.sources.values import CODEC, MISSING

Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.intp]

DOUBLE: Final = 0x01
TEXT: Final = 0x02
BINARY: Final = 0x05
OBJECT_ID: Final = 0x07
BOOL: Final = 0x08
DATE: Final = 0x09
INT: Final = 0x10
LONG: Final = 0x12
_FIXED: Final = {DOUBLE: 8, OBJECT_ID: 12, BOOL: 1, DATE: 8, INT: 4, 0x11: 8, LONG: 8, 0x13: 16}
"""Types whose bytes are the value and may be any, of a boolean 0 and 1."""
_EMPTY: Final = frozenset({0x06, 0x0A, 0x7F, 0xFF})
_DOCUMENT: Final = 0x03
_ARRAY: Final = 0x04
FEWEST: Final = 16
"""Fewer documents of a length are decoded as soon."""
TRIED: Final = 12
"""So many layouts are looked for among the documents of one length in one lot."""
_ASCII: Final = 0x80

_length_at = struct.Struct("<i").unpack_from


class _UnfitError(Exception):
    """A document whose layout is not worth reading, or not read here."""


@dataclass(frozen=True)
class Field:
    """A field of a layout: where it and its value stand in the document's bytes."""

    kind: int
    begin: int
    """Of the field, with its type and name."""
    at: int
    """Of the value; of a text behind its length, and the zero at its end is no part of it."""
    end: int


class Layout:
    """Where the fields of some documents stand."""

    def __init__(self, document: bytes) -> None:
        """Read the layout of a document; raises _UnfitError."""
        try:
            bson.decode(document, CODEC)
        except (BSONError, ValueError, OverflowError):
            raise _UnfitError from None
        self.fields: dict[tuple[str, ...], Field] = {}
        free = np.zeros(len(document), dtype=bool)
        self._booleans: list[int] = []
        self._walk(document, 0, (), free, in_array=False)
        self._pattern = np.frombuffer(document, dtype=np.uint8)
        self._same = np.where(free, 0, 0xFF).astype(np.uint8)

    def _walk(self, document: bytes, begin: int, path: tuple[str, ...], free: Any, *, in_array: bool) -> None:
        at, last = begin + 4, begin + _length_at(document, begin)[0] - 1
        while at < last:
            kind, start = document[at], at
            stop = document.index(b"\0", at + 1)
            inner = (*path, document[at + 1 : stop].decode("utf-8", "surrogateescape"))
            at = stop + 1
            # What a document with $ref is decoded to is none; and of two values of one name none is the right one.
            if inner in self.fields or inner[-1].startswith("$"):
                raise _UnfitError
            end = at + self._size(document, at, kind)
            if kind in (_DOCUMENT, _ARRAY):
                self._walk(document, at, inner, free, in_array=in_array or kind == _ARRAY)
            elif kind == TEXT or (kind == BINARY and document[at + 4] == 0):
                at += 4 if kind == TEXT else 5
                free[at : end - (kind == TEXT)] = True
            elif kind in _FIXED:
                free[at:end] = True
                if kind == BOOL:
                    self._booleans.append(at)
            self.fields[inner] = Field(kind, start, at, end)
            at = end

    @staticmethod
    def _size(document: bytes, at: int, kind: int) -> int:
        if kind in _FIXED:
            return _FIXED[kind]
        if kind in _EMPTY:
            return 0
        if kind in (_DOCUMENT, _ARRAY):
            return int(_length_at(document, at)[0])
        if kind == TEXT:
            return 4 + int(_length_at(document, at)[0])
        if kind == BINARY:
            return 5 + int(_length_at(document, at)[0])
        raise _UnfitError

    def has(self, rows: Bytes) -> npt.NDArray[np.bool_]:
        """Return which of the documents, a row each, have this layout."""
        found: Any = ~((rows ^ self._pattern) & self._same).any(axis=1)
        for at in self._booleans:
            found &= rows[:, at] <= 1
        return np.asarray(found)

    def field(self, path: Sequence[str]) -> Field | None:
        """Return the field at a path; None where there is none, or where the path leads through an array."""
        for depth in range(1, len(path)):
            within = self.fields.get(tuple(path[:depth]))
            if within is None or within.kind != _DOCUMENT:
                return None
        return self.fields.get(tuple(path))


class Alike:
    """Some documents of one layout, a row of bytes each."""

    def __init__(self, layout: Layout, rows: Bytes, places: Rows) -> None:
        """`places` are the documents' numbers in the lot that they come from."""
        self.layout = layout
        self.rows = rows
        self.places = places

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, some: Any) -> Alike:
        """Return some of these documents."""
        return Alike(self.layout, self.rows[some], self.places[some])

    def documents(self, some: Any = slice(None)) -> list[dict[str, Any]]:
        """Return these documents, or some of them, decoded."""
        return bson.decode_all(self.rows[some].tobytes(), CODEC)

    def ids(self) -> list[Any]:
        """Return the documents' ids, `MISSING` where they have none."""
        field = self.layout.field(("_id",))
        if field is None:
            return [MISSING] * len(self)
        found = self.values(field)
        return [document["_id"] for document in self.documents()] if found is None else found

    def numbers(self, field: Field) -> npt.NDArray[np.int64]:
        """Return the values of a field of int, long or date (milliseconds since 1970)."""
        width = "<i4" if field.kind == INT else "<i8"
        found = np.ascontiguousarray(self.rows[:, field.at : field.end]).view(width)[:, 0]
        return found.astype(np.int64)

    def values(self, field: Field, some: Any = slice(None)) -> list[Any] | None:
        """Return the values of a field as `bson` decodes them, ints and longs alike as ints; None: not read here."""
        if field.kind in (INT, LONG):
            return list(self.numbers(field)[some].tolist())
        cells = np.ascontiguousarray(self.rows[some, field.at : field.end])
        if field.kind == OBJECT_ID:
            return [ObjectId(cell.tobytes()) for cell in cells]
        width = cells.shape[1] - 1
        # numpy drops zeros at a text's end, and other letters have other lengths.
        if field.kind != TEXT or width == 0 or not len(cells) or cells[:, :-1].min() == 0 or cells.max() >= _ASCII:
            return None
        return list(np.ascontiguousarray(cells[:, :-1]).view(f"S{width}")[:, 0].astype(str).tolist())

    def kinds(self, names: Iterable[str]) -> tuple[Rows, Rows] | None:
        """Tell apart documents by the whole of some top-level fields, whatever these are.

        Returns:
            One document of each kind, and the kind of each document; None where they differ in more than eight bytes.
        """
        fields = [field for name in dict.fromkeys(names) if (field := self.layout.fields.get((name,))) is not None]
        columns = np.concatenate([np.arange(one.begin, one.end) for one in fields] or [np.arange(0)])
        cells = self.rows[:, columns]
        cells = cells[:, (cells != cells[0]).any(axis=0)]
        if cells.shape[1] > 8:
            return None
        packed = np.zeros((len(cells), 8), dtype=np.uint8)
        packed[:, : cells.shape[1]] = cells
        _, first, kind = np.unique(packed.view(np.uint64)[:, 0], return_index=True, return_inverse=True)
        return first, kind


class Layouts:
    """The layouts that were met so far, by the length of their documents."""

    def __init__(self, fewest: int = FEWEST) -> None:
        """`fewest` documents of a length are worth looking for a layout in."""
        self._fewest = fewest
        self._known: dict[int, list[Layout]] = {}
        self._pause = 0

    def sorted_out(self, content: bytes, starts: Sequence[int]) -> tuple[list[Alike], Rows]:
        """Return a lot's documents that are alike, and the places of the others.

        Args:
            content: whole documents, one behind the other.
            starts: where each begins.
        """
        everything = np.arange(len(starts))
        if self._pause:
            self._pause -= 1
            return [], everything
        raw = np.frombuffer(content, dtype=np.uint8)
        begins = np.array(starts, dtype=np.intp)
        lengths = np.diff(begins, append=len(content))
        found: list[Alike] = []
        rest: list[Rows] = []
        order = np.argsort(lengths, kind="stable")
        cuts = np.flatnonzero(np.diff(lengths[order])) + 1
        for places in np.split(order, cuts) if len(order) else []:
            if len(places) < self._fewest:
                rest.append(places)
                continue
            rows = np.lib.stride_tricks.sliding_window_view(raw, int(lengths[places[0]]))[begins[places]]
            rest.append(self._of_length(rows, places, found))
        others = np.sort(np.concatenate(rest)) if rest else everything[:0]
        # Where hardly any are alike the search is a waste, for a while.
        self._pause = 15 if 2 * len(others) > len(everything) else 0
        return found, others

    def _of_length(self, rows: Bytes, places: Rows, found: list[Alike]) -> Rows:
        """Add the layouts' documents among those of one length to `found`, and return the places of the others."""
        known = self._known.setdefault(rows.shape[1], [])
        unfit: list[int] = []
        tried = 0
        while len(places) and tried < len(known) + TRIED:
            if tried < len(known):
                layout = known[tried]
            elif len(places) < self._fewest or len(known) >= 4 * TRIED:
                break
            else:
                try:
                    layout = Layout(rows[0].tobytes())
                except _UnfitError:
                    unfit.append(int(places[0]))
                    rows, places = rows[1:], places[1:]
                    if len(unfit) >= TRIED:
                        break
                    continue
                known.append(layout)
            tried += 1
            has = layout.has(rows)
            if has.any():
                found.append(Alike(layout, rows[has], places[has]))
                rows, places = rows[~has], places[~has]
        return np.concatenate([places, np.array(unfit, dtype=np.intp)])


@functools.cache
def parts(path: str) -> tuple[str, ...]:
    """Return the names of a dotted path."""
    return tuple(path.split("."))
