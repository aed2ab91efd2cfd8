"""Time in the live tables: instants as whole microseconds, and how KST dates and minutes are written.

Engines compute with int64 microseconds only; text is made here, once for each distinct minute, so that no engine's
formatting shows. KST is UTC+9 without summer time (docs/spec/wv_live_play.md, "Sources").
"""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.deferred import ibis

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KST = 9 * HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_ONE = int((datetime(1, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1)) - DAY
"""Microseconds of a midnight before every datetime that parses, 0001-01-01 in KST included."""

_YEAR = "(?:[1-9][0-9][0-9][0-9]|0[1-9][0-9][0-9]|00[1-9][0-9]|000[1-9])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
DATETIME_PATTERN = rf"^{_YEAR}-[0-9][0-9]-[0-9][0-9] {_CLOCK}(?:\.[0-9]{{1,6}})?\z"
"""The shape of a log `datetime`; that its day exists is the cast's to say. Ends with `\\z`: Java's `$` lets a newline
pass."""

_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
EXISTING_PATTERN = rf"^{_YEAR}-{_DAY} {_CLOCK}(?:\.[0-9]{{1,6}})?\z"
"""The same of days that exist in every year: no cast need be asked."""


@functools.cache
def _unix_micros() -> Any:
    @ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
    def unix_micros(instant) -> int:  # type: ignore[empty-body, no-untyped-def]  # Ibis takes it as any type
        """Return a timestamp as microseconds since 1970: Spark's function; `DuckDBEngine` has it by this name too.

        What Ibis writes for a difference of timestamps casts a zone away first, and that costs more than a join.
        """

    return unix_micros


def instant_us(instant: ir.TimestampValue, base_us: int = 0) -> ir.IntegerValue:
    """Return a timestamp as int64 microseconds since `base_us`, null for null."""
    since_epoch: Any = _unix_micros()(instant)
    return since_epoch - base_us


def kst_text_us(text: ir.StringValue, base_us: int = 0) -> ir.IntegerValue:
    """Return a KST text as int64 microseconds, UTC, since `base_us`; null where it is no time."""
    return instant_us(text.try_cast("timestamp"), base_us + KST)


def whole(value: ir.IntegerValue, unit: int) -> ir.IntegerValue:
    """Return how many whole `unit`s stand in a value of 0 or more, exact for all of int64.

    The engines' compilers divide integers as integers; Ibis's own go through floating point.
    """
    return (value // unit).cast("int64")


def microseconds(instant: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def kst_midnight_us(day: date) -> int:
    """Return the first instant of a KST day as microseconds since 1970, UTC."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC)) - KST


def kst(us: int) -> datetime:
    """Return the KST wall time of an instant, without a zone."""
    return datetime(1970, 1, 1) + timedelta(microseconds=us + KST)  # noqa: DTZ001


def kst_minute(us: int) -> str:
    """Return the KST minute of an instant as the tables write it, `YYYY-MM-DD HH:MM:00`."""
    return kst(us).isoformat(sep=" ", timespec="minutes") + ":00"
