"""A live MongoDB cluster as a source of figures; what is asked of its collections is in `mongo_scan.py`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from bigmama_nb.profile import Ready
from bigmama_nb.sources.mongo_client import ClusterClient
from bigmama_nb.sources.mongo_scan import CollectionScan, tasks
from bigmama_nb.sources.scan import Question, Scan
from bigmama_nb.sources.sight import Sight


class Mongo(ClusterClient):
    """A live cluster, by the variable that holds its URI."""

    def scan(self, database: str, collection: str, questions: Sequence[Question]) -> list[Scan]:
        """Return what the collection says about each question; raises SourceError."""
        found = CollectionScan(self, database, collection, tasks(questions))
        return found.scans(questions, self._zone)

    def sight(self, database: str, collection: str, question: Question) -> Sight:
        """Return how many documents stand in the window of the question's only ask, and some; raises SourceError."""
        return CollectionScan(self, database, collection, tasks([question])).sight(question, self._zone)

    def ready_days(self, database: str, ready: Ready, days: Collection[date]) -> set[date]:
        """Return those of `days` for which the `ready` document is there; raises SourceError."""
        return CollectionScan(self, database, ready.collection, "ready").ready_days(ready, days)
