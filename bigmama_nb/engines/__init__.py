"""Engines: where the tables' expressions run, and the few things that Ibis leaves to each.

What an engine must give is here; `duckdb` and `spark` are the two there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    import ibis.expr.types as ir

Use = Literal["often", "once", "small"]
"""What becomes of a kept expression: several others are built on it, one is, or it is as small as its answer."""

PIECE_BITS = 24
"""A piece of a group has room for 2^24 rows, where pieces are numbered by themselves."""


class Engine(Protocol):
    """What the live-viewing build asks of an engine. Names are the caller's and stand for one thing at a time."""

    @property
    def memory_limit(self) -> int:
        """Bytes that the engine may hold; the build cuts its work to it."""

    @property
    def executors(self) -> DistributedEngine | None:
        """This engine, where executors keep the rows and write the files; None where rows come back to be written."""

    def read(self, paths: Sequence[str], name: str, schema: pa.Schema) -> ir.Table:
        """Return the columns of `schema` of Parquet files, however the files are named; no path is taken for a column.

        The caller has looked at the footers.
        """

    def table(self, rows: pa.Table, name: str) -> ir.Table:
        """Return a small Arrow table as one of the engine's."""

    def keep(self, expression: ir.Table, name: str, use: Use = "often") -> ir.Table:
        """Return an expression as a table to build on: computed now, but for `once`, where an engine may wait."""

    def keep_sorted(self, expression: ir.Table, name: str, by: Sequence[str]) -> ir.Table:
        """Keep an expression's rows in order."""

    def stretch(self, kept: ir.Table, name: str, by: str, first: int, end: int) -> ir.Table:
        """Return the rows with `by` from `first` up to `end`; expressions on `name` may be those of the one before."""

    def forget(self, *names: str) -> None:
        """Say that nothing more is built on what was kept under these names."""

    def forget_all(self) -> None:
        """Drop all that was kept: nothing that was returned is used any more."""

    def pairs(self, devices: ir.Table) -> ir.Table:
        """Turn each device's sorted `events` into rows: live_no, device_no, event and next_event, null for the last."""

    def numbered(self, rows: ir.Table, name: str, *, group: str, piece: str, by: Sequence[str], same: str) -> ir.Table:
        """Keep rows in the order of `group` and of `by`, of both the first column int, nulls last, and number them.

        Args:
            piece: an int column, 0 to 255, that rises with `by`: an engine of executors numbers each piece of a group
                by itself, from piece x 2^PIECE_BITS.

        Returns:
            the columns of `rows` but `piece`; place int64, which rises with the rows and is below 2^32, in a group
            without a gap where the engine has no executors; after_own and before_own boolean: the row before, or
            after, in the group has the same `same`, and that is not null. What is kept is the caller's to forget.
        """

    def running(self, rows: ir.Table, name: str, *, value: str, group: Sequence[str], by: str) -> ir.Table:
        """Return rows with `until`: the int column `value` added up over a group, in the order of the int column `by`.

        What is equal in `by` is added at once: at least one row of several has their sum, the others may have null. The
        sums of a group begin from `before`, which one of its rows has at least, the others may have null. What is kept
        for them under `name` is the caller's to forget.
        """

    def spill(self, expression: ir.Table, name: str, by: str) -> dict[int, ir.Table]:
        """Write an expression's rows apart by the int column `by`, and return what was written for each value."""

    def as_written(self) -> AbstractContextManager[None]:
        """Execute joins in the order written, each building on its right side, while the context lasts."""

    def in_order(self) -> AbstractContextManager[None]:
        """Execute joins `as_written`, each giving rows back in the order of its left side if that is cheap.

        The caller checks the order, and sorts what is not.
        """

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Return a small expression's rows."""

    def close(self) -> None:
        """Give back memory, files and connection."""


class DistributedEngine(Engine, Protocol):
    """An engine whose rows stay with its executors, which write the files: the driver holds what is small only."""

    def write(self, expression: ir.Table, location: str, *, files: int, nth: str, by: Sequence[str]) -> None:
        """Write an expression's rows into the new folder `location`, in `files` Parquet files.

        Args:
            nth: the int column that says in which file a row stands, from 0; every file has one.
            by: the columns in whose order the rows of a file stand. Neither is written.
        """

    def catalog_table(self, full_name: str, schema: pa.Schema, name: str) -> ir.Table:
        """Return the columns of `schema` of a table in a catalog, `catalog.database.table`."""

    def catalog_schema(self, full_name: str) -> pa.Schema:
        """Return the columns of a table in a catalog; raises SourceError (source_missing) where there is none."""

    def catalog_values(self, full_name: str, partition: str, values: Collection[str]) -> set[str]:
        """Return those of `values` that are partitions of a table in a catalog."""


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
