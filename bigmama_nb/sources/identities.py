"""Whether each `_id` stands in a file once: mongodump writes them in their order, and then nothing need be kept.

A file in another order is read again, and eight bytes are kept for each document, on disk where they are many.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import IO, Any, Final

import numpy as np
from bson import Int64, ObjectId

from bigmama_nb.sources.values import ValueRefusedError, bson_type, identity

AT_ONCE: Final = 1 << 16
SORTED: Final = 1 << 20
"""So many numbers are held in memory at once: as Python's, and in an array."""
_MASK: Final = (1 << 64) - 1
_ORDERED: Final = (str, int, ObjectId)


class Order:
    """Whether ids come in ascending order, each type by itself: then each of them comes once."""

    def __init__(self) -> None:
        self.ascends = True
        self._last: dict[type, Any] = {}

    def take(self, ids: Sequence[Any]) -> None:
        """Take some more ids."""
        self.ascends = self.ascends and self._ascend(ids)

    def _ascend(self, ids: Sequence[Any]) -> bool:
        last = self._last
        for one in ids:
            kind = int if type(one) is Int64 else type(one)
            if kind not in _ORDERED or (kind in last and not last[kind] < one):
                return False
            last[kind] = one
        return True


class Identities:
    """Takes the ids of a file's documents, in pieces and in any order."""

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._spilled: IO[bytes] | None = None
        self._count = 0

    def take(self, ids: Sequence[Any]) -> None:
        """Take some more ids."""
        self._hashes += map(self.key, ids)
        if len(self._hashes) >= AT_ONCE:
            self._spill()

    def _spill(self) -> None:
        if self._spilled is None:
            # Closed by `close`.
            self._spilled = tempfile.TemporaryFile()  # noqa: SIM115
        np.array(self._hashes, dtype=np.uint64).tofile(self._spilled)
        self._count += len(self._hashes)
        self._hashes = []

    def close(self) -> None:
        """Leave nothing on the disk."""
        if self._spilled is not None:
            self._spilled.close()

    def key(self, one: Any) -> int:
        """Return a number that is equal for equal ids, and hardly for others."""
        return hash(self.exact(one)) & _MASK

    def exact(self, one: Any) -> Any:
        """Return what is equal exactly for equal ids."""
        try:
            return identity(one)
        except ValueRefusedError:
            # Encoded it cannot be where a text in it is not UTF-8.
            return bson_type(one), repr(one)

    def repeated(self) -> frozenset[int]:
        """Return the keys that came more than once."""
        found: set[int] = set()
        parts = 1 + (self._count + len(self._hashes)) // SORTED
        width = (_MASK + 1) // parts + 1
        for part in range(parts):
            low, high = part * width, (part + 1) * width
            kept = [np.array([one for one in self._hashes if low <= one < high], dtype=np.uint64)]
            if self._spilled is not None:
                self._spilled.seek(0)
                while (piece := np.fromfile(self._spilled, dtype=np.uint64, count=SORTED)).size:
                    kept.append(piece[(piece >= np.uint64(low)) & (piece <= np.uint64(min(high - 1, _MASK)))])
            values, counts = np.unique(np.concatenate(kept), return_counts=True)
            found |= {int(one) for one in values[counts > 1]}
        return frozenset(found)
