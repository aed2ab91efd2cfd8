"""Ibis expressions as Spark SQL: what Ibis's own compiler leaves out, or does slowly."""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.pyspark import PySparkCompiler

_NUMBERS = {"int8": "TINYINT", "int16": "SMALLINT", "int32": "INT", "int64": "BIGINT", "float64": "DOUBLE"}


class _Compiler(PySparkCompiler):  # type: ignore[misc]  # Ibis is not typed here
    def visit_TimestampDelta(self, op: Any, *, part: Any, left: Any, right: Any) -> Any:  # noqa: N802
        # DATEDIFF goes through calendars, row by row.
        if part.this.upper() == "MICROSECOND":
            return self.f.anon.unix_micros(left) - self.f.anon.unix_micros(right)
        return super().visit_TimestampDelta(op, part=part, left=left, right=right)

    def visit_TimestampFromUNIX(self, op: Any, *, arg: Any, unit: Any) -> Any:  # noqa: N802
        # Through text otherwise, and for whole seconds only.
        if unit.short == "us":
            return self.f.anon.timestamp_micros(arg)
        return super().visit_TimestampFromUNIX(op, arg=arg, unit=unit)

    def visit_FloorDivide(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        # Of what is not negative; through floating point otherwise, and beyond 2^53 that is another number.
        return sge.IntDiv(this=sge.paren(left, copy=False), expression=sge.paren(right, copy=False))

    def visit_Hash(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
        # Of 64 bits, as Ibis declares it. Spark's own has 32, in which two of a hundred thousand ids are alike.
        return self.f.anon.xxhash64(arg)

    def visit_ArrayCollect(self, op: Any, **operands: Any) -> Any:  # noqa: N802
        # Spark always leaves nulls out; it is asked to keep them where there are none.
        return super().visit_ArrayCollect(op, **operands | {"include_null": False})

    def visit_Field(self, op: Any, *, rel: Any, name: str) -> Any:  # noqa: N802
        # Ibis's own asks for an option that only its connection to Spark registers, which warns of pandas 3.
        return super(PySparkCompiler, self).visit_Field(op, rel=rel, name=name)

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        # sqlglot escapes some control characters in ways that Spark does not know.
        if isinstance(value, str) and any(letter < " " for letter in value):
            return self.f.anon.decode(self.f.anon.unhex(value.encode().hex()), "UTF-8")
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)


_COMPILER = _Compiler()


def sql(expression: ir.Table) -> str:
    """Return a query whose columns have the names and the numbers the types that Ibis declares.

    Ibis leaves out casts that it believes redundant, and Spark has types of its own for sums, counts and ranks.
    """
    query = _COMPILER.to_sqlglot(expression).sql(dialect=_COMPILER.dialect)
    columns = []
    for name, dtype in expression.schema().items():
        number = _NUMBERS.get(str(dtype.copy(nullable=True)))
        columns.append(f"CAST({quoted(name)} AS {number}) AS {quoted(name)}" if number else quoted(name))
    return f"SELECT {', '.join(columns)} FROM ({query})"


def pairs(view: str) -> str:
    """Return the query of `Engine.pairs` over the view that holds the devices."""
    lists = (
        f"SELECT live_no, device_no, events AS event, SLICE(events, 2, SIZE(events)) AS next_event FROM {quoted(view)}"
    )
    zipped = f"SELECT live_no, device_no, EXPLODE(ARRAYS_ZIP(event, next_event)) AS pair FROM ({lists})"
    return f"SELECT live_no, device_no, pair.event AS event, pair.next_event AS next_event FROM ({zipped})"


def quoted(name: str) -> str:
    """Return a name as Spark reads it, a dot within it too."""
    return "`" + name.replace("`", "``") + "`"
