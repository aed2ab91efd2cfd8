"""Engines: where the tables' expressions run, and the few things that Ibis leaves to each.

What an engine must give is here; `duckdb` is one, a second fits in beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import ibis.expr.types as ir
import pyarrow as pa


class Engine(Protocol):
    """What the live-viewing build asks of an engine. Names are the caller's and stand for one thing at a time."""

    @property
    def memory_limit(self) -> int:
        """Bytes that the engine may hold; the build cuts its work to it."""

    def read(self, paths: Sequence[str], name: str, *, partition: str = "") -> ir.Table:
        """Return Parquet files as one table; `partition` names a column, a string, that stands in their folders."""

    def table(self, rows: pa.Table, name: str) -> ir.Table:
        """Return a small Arrow table as one of the engine's."""

    def keep(self, expression: ir.Table, name: str) -> ir.Table:
        """Compute an expression now and return what came out, as a table to build on."""

    def keep_sorted(self, expression: ir.Table, name: str, by: Sequence[str]) -> ir.Table:
        """Keep an expression's rows in order."""

    def forget(self, *names: str) -> None:
        """Drop what was kept, if it is there."""

    def pairs(self, devices: ir.Table) -> ir.Table:
        """Turn each device's sorted `events` into rows: live_no, device_no, event and next_event, null for the last."""

    def spill(self, expression: ir.Table, name: str, by: str) -> dict[int, ir.Table]:
        """Write an expression's rows apart by the int column `by`, and return what was written for each value."""

    def as_written(self) -> AbstractContextManager[None]:
        """Execute joins in the order written, each building on its right side, while the context lasts."""

    def in_order(self, expression: ir.Table) -> pa.Table:
        """Return the rows of an expression that adds columns to a table of `keep_sorted`, in order if that is cheap.

        The caller checks the order, and sorts what is not.
        """

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Return a small expression's rows."""

    def close(self) -> None:
        """Give back memory, files and connection."""


def size(text: str | int) -> int:
    """Return a size such as `4GB` (10^9) or `512MiB` (2^20) in bytes.

    Raises:
        ValueError: it is no size.
    """
    if isinstance(text, int):
        return text
    letters = text.strip().rstrip("bB")
    binary = letters.endswith("i")
    letters = letters.rstrip("i").strip()
    power = "KMGT".find(letters[-1:].upper()) + 1 if letters[-1:].isalpha() else 0
    number = letters[:-1] if power else letters
    return int(float(number) * (1024 if binary else 1000) ** power)
