"""What is counted over documents, for each kind of value: exact, and mergeable.

An aggregate takes documents in any order and any pieces; merged pieces equal the whole. Memory does not grow with the
documents, except that `count_distinct` holds each distinct value once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from bson import Int64

from bigmama_nb.errors import Reason
from bigmama_nb.profile import Metric
from bigmama_nb.sources.values import (
    MISSING,
    ValueRefusedError,
    identity,
    integer,
    number,
    reader,
    shown,
)

Document = Mapping[str, Any]

KEPT = 3
"""How many documents or values a message can name."""

GRAVITY: tuple[Reason, ...] = (
    "array_path",
    "wrong_type",
    "not_integral",
    "overflow",
    "null_value",
    "missing_field",
)
"""Which reason a task bears where its documents have several: the first of these."""


@dataclass
class Problems:
    """Values that a figure cannot take: how many of each reason class, and of what kinds."""

    count: Counter[Reason] = field(default_factory=Counter)
    kinds: dict[Reason, set[str]] = field(default_factory=dict)
    fractions: set[float] = field(default_factory=set)

    def add(self, refused: ValueRefusedError, value: Any) -> None:
        """Count one refused value."""
        reason = refused.reason
        self.count[reason] += 1
        # The smallest few by their text, so that a message does not depend on the order of documents.
        kept = self.kinds.setdefault(reason, set())
        kept.add(refused.found)
        if len(kept) > KEPT:
            kept.remove(max(kept))
        if reason == "not_integral" and len(self.fractions) <= KEPT:
            found = number(value)
            if found is not None and math.isfinite(found):
                self.fractions.add(float(found))

    def merge(self, other: Problems) -> None:
        """Count what another has counted."""
        self.count += other.count
        for reason, kinds in other.kinds.items():
            self.kinds[reason] = set(sorted(self.kinds.get(reason, set()) | kinds)[:KEPT])
        self.fractions |= other.fractions


class Aggregate(Protocol):
    """What one window of one metric adds up to."""

    documents: int
    problems: Problems

    def take(self, documents: Sequence[Document]) -> None:
        """Count these documents."""

    def merge(self, other: Any) -> None:
        """Count what another aggregate of the same kind has counted."""

    def result(self) -> int:
        """Return the figure; only where there are documents and no problems."""


class Count:
    """How many documents."""

    def __init__(self, metric: Metric) -> None:
        self.documents = 0
        self.problems = Problems()

    def take(self, documents: Sequence[Document]) -> None:
        """Count these documents."""
        self.documents += len(documents)

    def merge(self, other: Count) -> None:
        """Count what another has counted."""
        self.documents += other.documents

    def result(self) -> int:
        """Return the number of documents."""
        return self.documents


class _OfIntegers:
    def __init__(self, metric: Metric) -> None:
        self._read = reader(str(metric.value.path))
        self._factor = metric.factor
        self.documents = 0
        self.problems = Problems()

    def _integers(self, documents: Sequence[Document]) -> list[int]:
        self.documents += len(documents)
        integers = []
        factor = self._factor
        for document in documents:
            value = self._read(document)
            if factor == 1 and (type(value) is int or type(value) is Int64):
                integers.append(value)
                continue
            try:
                integers.append(integer(value, factor))
            except ValueRefusedError as refused:
                self.problems.add(refused, value)
        return integers


class Sum(_OfIntegers):
    """The sum of a field, in Python's unbounded integers."""

    total = 0

    def take_integers(self, values: npt.NDArray[np.int64]) -> None:
        """Add these values, each of one document."""
        self.documents += len(values)
        # In halves, neither of which overflows.
        self.total += (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())

    def take(self, documents: Sequence[Document]) -> None:
        """Add the field of these documents."""
        self.total += sum(self._integers(documents))

    def merge(self, other: Sum) -> None:
        """Add what another has added."""
        self.documents += other.documents
        self.problems.merge(other.problems)
        self.total += other.total

    def result(self) -> int:
        """Return the sum."""
        return int(self.total)


class Max(_OfIntegers):
    """The greatest value of a field."""

    greatest: int | None = None

    def take_integers(self, values: npt.NDArray[np.int64]) -> None:
        """Look at these values, each of one document."""
        self.documents += len(values)
        self._raise([int(values.max())] if len(values) else [])

    def take(self, documents: Sequence[Document]) -> None:
        """Look at the field of these documents."""
        self._raise(self._integers(documents))

    def merge(self, other: Max) -> None:
        """Look at what another has found."""
        self.documents += other.documents
        self.problems.merge(other.problems)
        self._raise([] if other.greatest is None else [other.greatest])

    def _raise(self, found: list[int]) -> None:
        if found:
            greatest = max(found)
            self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)

    def result(self) -> int:
        """Return the greatest value."""
        assert self.greatest is not None
        return int(self.greatest)


class Distinct:
    """How many distinct values a field has; null and absent are none."""

    def __init__(self, metric: Metric) -> None:
        self._read = reader(str(metric.value.path))
        self.documents = 0
        self.problems = Problems()
        self.values: set[Any] = set()
        self.left_out: Counter[str] = Counter()

    def take(self, documents: Sequence[Document]) -> None:
        """Take in the field of these documents."""
        self.documents += len(documents)
        add = self.values.add
        for value in map(self._read, documents):
            if type(value) is str or type(value) is int:
                add(value)
            elif value is not None and value is not MISSING:
                try:
                    add(identity(value))
                except ValueRefusedError as refused:
                    self.problems.add(refused, value)
            else:
                self.left_out["null" if value is None else "absent"] += 1

    def merge(self, other: Distinct) -> None:
        """Take in what another has found."""
        self.left_out += other.left_out
        self.documents += other.documents
        self.problems.merge(other.problems)
        if len(self.values) < len(other.values):
            self.values = other.values | self.values
        else:
            self.values |= other.values

    def result(self) -> int:
        """Return the number of distinct values."""
        return len(self.values)


class Single:
    """The field of the one document there is, and which documents there are."""

    def __init__(self, metric: Metric) -> None:
        self._read = reader(str(metric.value.path))
        self._factor = metric.factor
        self.documents = 0
        self.problems = Problems()
        self.value: Any = MISSING
        self.ids: list[str] = []

    def take(self, documents: Sequence[Document]) -> None:
        """Take in these documents."""
        for document in documents:
            self.documents += 1
            if self.documents == 1:
                self.value = self._read(document)
            # The smallest few, so that a message does not depend on the order of documents.
            self.ids = sorted([*self.ids, shown(document.get("_id", MISSING))])[:KEPT]

    def merge(self, other: Single) -> None:
        """Take in what another has found."""
        if self.documents == 0:
            self.value = other.value
        self.documents += other.documents
        self.ids = sorted(self.ids + other.ids)[:KEPT]

    def result(self) -> int:
        """Return the integer; raises ValueRefusedError."""
        return integer(self.value, self._factor)


def empty(metric: Metric) -> Aggregate:
    """Return an aggregate of the metric's kind that has counted nothing."""
    kinds: dict[str, type[Single | Sum | Max | Count | Distinct]] = {
        "field": Single,
        "sum": Sum,
        "max": Max,
        "count": Count,
        "count_distinct": Distinct,
    }
    return kinds[metric.value.kind](metric)
