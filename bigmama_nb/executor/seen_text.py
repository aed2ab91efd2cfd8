"""A text as a reader sees it, without colour codes: secrets are looked for there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from bigmama_nb.profile.uris import MASK

ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\\+(?:u001[bB]|x1[bB]|033)\[[0-9;]*m")


class SeenText:
    """A text as a reader sees it, without colour codes, that knows where each character stood."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.codes = [match.span() for match in ANSI.finditer(text)] if "[" in text else []
        edges = [0, *(edge for span in self.codes for edge in span), len(text)]
        self.pieces = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]
        self.plain = "".join(text[start:end] for start, end in self.pieces) if self.codes else text
        self.lower = self.plain.lower()
        self.starts: list[int] = []
        at = 0
        for start, end in self.pieces:
            self.starts.append(at)
            at += end - start

    def without(self, spans: Iterable[tuple[int, int]]) -> str:
        """Return the text with these spans of the plain one masked; colour codes inside a span stay, after the mask."""
        parts: list[str] = []
        done = 0
        for start, end in spans:
            first, last = self._at(start), self._at(end - 1) + 1
            parts += [self.text[done:first], MASK]
            parts += [self.text[a:b] for a, b in self.codes if first <= a and b <= last]
            done = last
        return "".join([*parts, self.text[done:]])

    def _at(self, plain: int) -> int:
        piece = bisect_right(self.starts, plain) - 1
        return self.pieces[piece][0] + plain - self.starts[piece]
