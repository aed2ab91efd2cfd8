"""Pieces of a secret: a cut column, a slice, a wrapped line or a shortened error shows most of it and never the whole.

Eight characters in a row that stand in a known secret are such a piece, in whatever case: a driver takes a part of an
unescaped password for a host, and writes it small.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

SIZE = 8
"""So many characters of a secret in a row are a piece of it."""
LONG = 2_000
"""Characters from which on a text is searched as an array."""

_ESCAPED = re.compile(
    r"(?P<units>(?:\\+u[0-9a-fA-F]{4})+)|(?P<point>\\+U[0-9a-fA-F]{8})|(?P<bytes>(?:\\+x[0-9a-fA-F]{2})+)"
    r"|(?P<percent>(?:%(?:25)*[0-9a-fA-F]{2})+)|(?P<entity>&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);)"
    r"|(?P<control>\\+[nrt])|(?P<slashes>\\+)"
)
_NOTHING = frozenset(" \t\n\r\f\v+\x85\xa0\u2028\u2029")
"""What a wrapped line or a form puts in between; a plus is how a form writes a blank."""
_DATE = re.compile(r"(?:19|2[01])\d\d(?:0\d|1[0-2])[0-3]\d|\d{4}-\d\d-|\d{3}-\d\d-\d|\d\d-\d\d-\d\d|\d-\d\d-\d\dt")
"""Pieces of a day, which every task's name holds; no secret is given away by them."""
_MULTIPLIER = 2_654_435_761


class Fragments:
    """The pieces of some secrets, and where they stand in a text; threads may share one."""

    def __init__(self, secrets: Iterable[str], public: str = "") -> None:
        """Cut the secrets into pieces.

        Args:
            public: what everybody may read, such as the names in a profile: a piece that stands there is none.
        """
        values = list(secrets)
        plain, normal = folded(public), folded(_Normal(public).text)
        self._plain = _pieces(map(folded, values), plain)
        self._normal = _pieces((folded(_Normal(value).text) for value in values), normal)
        self._tables = (_Table(self._plain), _Table(self._normal))

    def __bool__(self) -> bool:
        return bool(self._plain or self._normal)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where pieces stand in the text, merged where they touch, in order."""
        if not self or len(text) < SIZE:
            return []
        found = [(at, at + SIZE) for at in _found(folded(text), self._plain, self._tables[0])]
        normal = _Normal(text)
        for at in _found(folded(normal.text), self._normal, self._tables[1]):
            found.append((normal.start(at), normal.end(at + SIZE - 1)))
        return _merged(found)


def folded(text: str) -> str:
    """Return the text in lower case, each character in its place."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := one.lower()) == 1 else one for one in text)


def _pieces(values: Iterable[str], public: str) -> frozenset[str]:
    return frozenset(
        piece
        for value in values
        for piece in (value[at : at + SIZE] for at in range(len(value) - SIZE + 1))
        if not _DATE.match(piece) and len(set(piece)) > 1 and piece not in public
    )


def _found(text: str, pieces: frozenset[str], table: _Table) -> Iterator[int]:
    if not pieces:
        return iter(())
    places: Sequence[int] = range(len(text) - SIZE + 1) if len(text) < LONG else table.places(text)
    return (at for at in places if text[at : at + SIZE] in pieces)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class _Table:
    """Says quickly where in a long text a piece may stand: by a hash of each eight characters."""

    def __init__(self, pieces: frozenset[str]) -> None:
        self._pieces = pieces
        self._there: Any = None

    def places(self, text: str) -> list[int]:
        import numpy as np  # not needed for short texts, and slow to import

        if self._there is None:
            there = np.zeros(1 << 16, dtype=bool)
            for piece in self._pieces:
                there[self._hashes(piece)] = True
            self._there = there
        found: list[int] = np.flatnonzero(self._there[self._hashes(text)]).tolist()
        return found

    def _hashes(self, text: str) -> Any:
        import numpy as np

        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        count = len(codes) - SIZE + 1
        total = np.zeros(max(count, 0), dtype=np.uint32)
        for at in range(SIZE):
            total *= np.uint32(_MULTIPLIER)
            total += codes[at : at + count]
        total ^= total >> np.uint32(15)
        total *= np.uint32(_MULTIPLIER)
        return total >> np.uint32(16)


class _Normal:
    """A text without escapes, blanks and line ends, that knows where each character stood."""

    def __init__(self, text: str) -> None:
        shown: list[str] = []
        at: list[tuple[int, int, int, bool]] = []  # where it stands here, where there, until where, whether as a whole
        length = done = 0

        def add(piece: str, start: int, end: int, *, whole: bool) -> None:
            nonlocal length
            if piece:
                shown.append(piece)
                at.append((length, start, end, whole))
                length += len(piece)

        escaped = _ESCAPED.finditer(text) if any(sign in text for sign in "\\%&") else ()
        for match in escaped:
            self._add_plain(text, done, match.start(), add)
            add(
                "".join(one for one in _unescaped(match) if one not in _NOTHING), match.start(), match.end(), whole=True
            )
            done = match.end()
        self._add_plain(text, done, len(text), add)
        self.text = "".join(shown)
        self._at = at

    @staticmethod
    def _add_plain(text: str, start: int, end: int, add: Any) -> None:
        for word in _WORD.finditer(text, start, end):
            add(word.group(), word.start(), word.end(), whole=False)

    def start(self, place: int) -> int:
        here, start, _, whole = self._piece(place)
        return start if whole else start + place - here

    def end(self, place: int) -> int:
        here, start, end, whole = self._piece(place)
        return end if whole else start + place - here + 1

    def _piece(self, place: int) -> tuple[int, int, int, bool]:
        low, high = 0, len(self._at)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._at[middle][0] <= place else (low, middle)
        return self._at[low]


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("bigmama_nb.latin-1", _as_latin_1)

_WORD = re.compile(f"[^{re.escape(''.join(sorted(_NOTHING)))}]+")


def _unescaped(match: re.Match[str]) -> str:
    text = match.group()
    digits = re.findall(r"[0-9a-fA-F]{2}", re.sub(r"\\+[uUx]|%(?:25)*(?=[0-9a-fA-F]{2})", "", text))
    match match.lastgroup:
        case "units":
            return bytes.fromhex("".join(digits)).decode("utf-16-be", "replace")
        case "point":
            point = int("".join(digits), 16)
            return chr(point) if point < 0x110000 else ""
        case "bytes" | "percent":
            # A character that was cut, at either end, or a byte of latin-1 stands for itself.
            return bytes.fromhex("".join(digits)).decode("utf-8", "bigmama_nb.latin-1")
        case "entity":
            return html.unescape(text)
        case _:
            return ""
