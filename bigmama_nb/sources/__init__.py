"""Where figures come from: the same questions to every source, and the same answers, to the last value.

`dump.py` reads mongodump folders, `mongo.py` live clusters. Both give `Scan`, of which `outcome.py` makes outcomes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from bigmama_nb.profile import Ready
from bigmama_nb.sources.scan import Question, Scan
from bigmama_nb.sources.sight import Sight


@dataclass(frozen=True)
class Load:
    """What a source was asked for and gave: queries (files, of a dump), documents and bytes."""

    cluster: str
    queries: int
    documents: int
    bytes: int


@dataclass(frozen=True)
class Input:
    """A file that was read to its end."""

    path: str
    size: int
    sha256: str


class Source(Protocol):
    """One cluster, to be asked by several threads at once."""

    def scan(self, database: str, collection: str, questions: Sequence[Question]) -> list[Scan]:
        """Return what the collection says about each question, in any order.

        Raises:
            SourceError: the collection is missing, or cannot be read to its end.
        """

    def sight(self, database: str, collection: str, question: Question) -> Sight:
        """Return how many documents stand in the window of the question's only ask, and some of them.

        Raises:
            SourceError: the collection is missing, or cannot be read.
        """

    def ready_days(self, database: str, ready: Ready, days: Collection[date]) -> set[date]:
        """Return those of `days` for which the `ready` document is there.

        Raises:
            SourceError: its collection is missing, or cannot be read.
        """

    def reached(self) -> str:
        """Return what answers, in words; raises SourceError."""

    def collections(self, database: str) -> list[str]:
        """Return the names of a database's collections; raises SourceError."""

    def advice(self, database: str, collection: str, path: str) -> str | None:
        """Return whether an index answers for the path, or how to make one; None where there are no indexes."""

    def load(self) -> Load:
        """Return what was asked for so far."""

    def inputs(self) -> list[Input]:
        """Return the files that were read so far."""

    def close(self) -> None:
        """Leave nothing behind."""
