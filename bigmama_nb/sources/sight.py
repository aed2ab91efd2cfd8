"""Which documents of a collection a figure is made of: how many, and some of them to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from bigmama_nb.sources import filters
from bigmama_nb.sources.aggregates import Document
from bigmama_nb.sources.dating import Unplaced
from bigmama_nb.sources.paths import SAMPLE
from bigmama_nb.sources.scan import Question, Scanner
from bigmama_nb.sources.values import reader

Kind = Literal["counted", "dated", "matched", "other"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""What the examples are: dated in the window and let through by the match; only dated there; only let through."""


@dataclass(frozen=True)
class Sight:
    """How many documents are dated in a window, how many of those the match lets through, and some documents.

    The examples are of the first kind of which there is any.
    """

    dated: int
    counted: int
    kind: Kind
    examples: Sequence[Document]


class Looker:
    """Takes all documents of a collection, in any pieces, and sees which of them the only ask of a question counts."""

    def __init__(self, question: Question, zone: ZoneInfo) -> None:
        (scan,) = Scanner([question], zone).scans
        self._place = scan.dating.place
        self._begin, self._end = scan.span(question.asks[0])
        self._read = reader(question.metric.date.field)
        self._matches = filters.compiled(question.metric.match)
        self._found: Counter[Kind] = Counter()
        self._examples: dict[Kind, list[Document]] = {kind: [] for kind in KINDS}

    def take(self, documents: Sequence[Document]) -> None:
        """Look at these documents."""
        for document in documents:
            kind = self._kind(document)
            self._found[kind] += 1
            if len(self._examples[kind]) < SAMPLE:
                self._examples[kind].append(document)

    def _kind(self, document: Document) -> Kind:
        position: Any = self._place(self._read(document))
        dated = not isinstance(position, Unplaced) and self._begin <= position < self._end
        if self._matches(document):
            return "counted" if dated else "matched"
        return "dated" if dated else "other"

    def sight(self) -> Sight:
        """Return what was seen."""
        kind: Kind = next((kind for kind in KINDS if self._examples[kind]), "other")
        counted = self._found["counted"]
        return Sight(counted + self._found["dated"], counted, kind, self._examples[kind])
