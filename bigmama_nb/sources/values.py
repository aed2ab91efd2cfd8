"""Exact conversion of BSON values and dates: exact, or refused; never rounded, wrapped or turned into null.

Values are what `bson` decodes with `CODEC`.
Source of every rule here: docs/spec/values_and_reasons.md, "What a value may be".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from bson import CodecOptions, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

from bigmama_nb.errors import Reason

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DOUBLE_EXACT: Final = 2**53
# BSON dates decode to naive datetimes in UTC, which is faster than aware ones.
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001
FIRST_INSTANT: Final = datetime.min  # noqa: DTZ901
LAST_INSTANT: Final = datetime.max  # noqa: DTZ901

# Dates outside Python's years stay dates, and bytes that are not UTF-8 stay distinct instead of becoming "?".
CODEC: Final = CodecOptions(
    document_class=dict,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="surrogateescape",
)


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True)
class ThroughArray:
    """What a path finds where `prefix`, a part of it, is an array."""

    prefix: str


class ValueRefusedError(Exception):
    """A value that is not exactly an integer, or is no scalar: with its reason class and what was found."""

    def __init__(self, reason: Reason, found: str) -> None:
        super().__init__(found)
        self.reason: Reason = reason
        self.found = found


_TYPES: Final[dict[type, str]] = {
    float: "double",
    str: "string",
    dict: "object",
    list: "array",
    bytes: "binData",
    Binary: "binData",
    ObjectId: "objectId",
    bool: "bool",
    datetime: "date",
    DatetimeMS: "date",
    type(None): "null",
    Regex: "regex",
    DBRef: "object",
    int: "int",
    Timestamp: "timestamp",
    Int64: "long",
    Decimal128: "decimal",
    MinKey: "minKey",
    MaxKey: "maxKey",
}


def bson_type(value: object) -> str:
    """Return MongoDB's name of a value's BSON type: `int`, `long`, `double`, `string`, `objectId`, …."""
    if isinstance(value, Code):
        return "javascript" if value.scope is None else "javascriptWithScope"
    return _TYPES.get(type(value), type(value).__name__)


def shown(value: object, *, width: int = 60) -> str:
    """Return a value as a message may show it: one line, printable, cut to `width` characters."""
    if isinstance(value, str) and not isinstance(value, Code):
        text = '"' + value.encode("utf-8", "backslashreplace").decode().replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif isinstance(value, datetime):
        text = value.isoformat(timespec="milliseconds") + "Z"
    elif isinstance(value, Decimal128):
        text = f"Decimal128({value})"
    elif isinstance(value, ObjectId):
        text = f"ObjectId({value})"
    else:
        text = repr(value)
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= width else text[: width - 1] + "…"


def lookup(document: Mapping[str, Any], parts: Sequence[str]) -> Any:
    """Return what a dotted path finds: the value, `MISSING`, or `ThroughArray` where the path leads through one."""
    found: Any = document
    for depth, part in enumerate(parts):
        kind = type(found)
        if kind is DBRef:
            found = found.as_doc()
        elif kind is list:
            return ThroughArray(".".join(parts[:depth]))
        elif kind is not dict:
            return MISSING
        found = found.get(part, MISSING)
    return found


def reader(path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function of a document that does `lookup` for this path."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda document: document.get(path, MISSING)
    return lambda document: lookup(document, parts)


def integer(value: object, factor: int = 1) -> int:
    """Return the integer that a BSON value times `factor`, a power of ten, is.

    A decimal is taken digit by digit; with a factor a double is taken as the shortest decimal that names it.

    Raises:
        ValueRefusedError: `wrong_type`, `not_integral`, `overflow`, `null_value`, `missing_field` or `array_path`.
    """
    kind = type(value)
    if kind is int or kind is Int64:
        return _within(int(value) * factor, f"{bson_type(value)} {value}")  # type: ignore[call-overload]
    if kind is float:
        return _of_double(value, factor)  # type: ignore[arg-type]
    if isinstance(value, Decimal128):
        return _of_decimal(value, factor)
    if value is MISSING:
        raise ValueRefusedError("missing_field", "absent")
    if value is None:
        raise ValueRefusedError("null_value", "null")
    if isinstance(value, ThroughArray):
        raise ValueRefusedError("array_path", f"{value.prefix} is an array")
    raise ValueRefusedError("wrong_type", bson_type(value))


# A decimal's 34 digits and its exponent, with room: nothing is rounded.
_DIGITS: Final = Context(prec=60, Emax=9999, Emin=-9999)


def _of_double(value: float, factor: int) -> int:
    if factor != 1 and math.isfinite(value) and not value.is_integer():
        scaled = Decimal(repr(value)) * factor
        if scaled != scaled.to_integral_value():
            raise ValueRefusedError("not_integral", f"double {value!r}")
        if abs(scaled) > DOUBLE_EXACT:
            raise ValueRefusedError("overflow", f"double {value!r}, beyond ±2^53 in the smaller unit")
        return int(scaled)
    if not value.is_integer():  # neither are NaN and the infinities
        raise ValueRefusedError("not_integral", f"double {value!r}")
    if abs(value) > DOUBLE_EXACT:
        raise ValueRefusedError("overflow", f"double {value!r}, beyond ±2^53")
    return _within(int(value) * factor, f"double {value!r}")


def _within(scaled: int, found: str) -> int:
    if not INT64_MIN <= scaled <= INT64_MAX:
        raise ValueRefusedError("overflow", f"{found}, beyond int64")
    return scaled


def _of_decimal(value: Decimal128, factor: int) -> int:
    number = value.to_decimal()
    if number.is_finite() and factor != 1:
        number = number.scaleb(len(str(factor)) - 1, _DIGITS)
    if not number.is_finite() or (number != 0 and number != number.to_integral_value()):
        raise ValueRefusedError("not_integral", f"decimal {value}")
    # 1E+6144 is integral too: look at the exponent before making six thousand digits of it.
    if number != 0 and (number.adjusted() > 18 or not INT64_MIN <= int(number) <= INT64_MAX):
        raise ValueRefusedError("overflow", f"decimal {value}, beyond int64")
    return int(number) if number else 0


_SELF_IDENTICAL: Final = frozenset({str, int, Int64, ObjectId, datetime, bytes, Binary, Timestamp, MinKey, MaxKey})


def identity(value: object) -> Any:
    """Return a hashable that is equal for two scalars exactly where MongoDB compares them as equal.

    3, 3.0, NumberLong(3) and Decimal128("3.00") are one, "3" is another.

    Raises:
        ValueRefusedError: `wrong_type` for a boolean, NaN, an infinity, a document or an array; `array_path`.
    """
    # Python compares and hashes int, float and Decimal by their exact numeric value, as MongoDB does.
    kind = type(value)
    if kind in _SELF_IDENTICAL:
        return value
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise ValueRefusedError("wrong_type", f"double {value!r}")
        return value
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        if not number.is_finite():
            raise ValueRefusedError("wrong_type", f"decimal {value}")
        return number
    if isinstance(value, DatetimeMS):
        return "date", int(value)
    if isinstance(value, Regex):
        return "regex", value.pattern, value.flags
    if isinstance(value, Code):
        return "javascript", str(value), None if value.scope is None else repr(value.scope)
    if isinstance(value, ThroughArray):
        raise ValueRefusedError("array_path", f"{value.prefix} is an array")
    raise ValueRefusedError("wrong_type", bson_type(value))


def number(value: object) -> int | float | Decimal | None:
    """Return a BSON number as a Python one, of exactly the same value; None for every other type."""
    kind = type(value)
    if kind is int or kind is Int64 or kind is float:
        return value  # type: ignore[return-value]
    if not isinstance(value, Decimal128):
        return None
    exact = value.to_decimal()
    # Decimal raises where it compares with a NaN.
    return math.nan if exact.is_nan() else exact


def milliseconds(value: datetime | DatetimeMS) -> int:
    """Return a date's milliseconds since 1970 in UTC, as BSON keeps them; a naive datetime is in UTC."""
    if isinstance(value, DatetimeMS):
        return int(value)
    naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return (naive - EPOCH) // timedelta(milliseconds=1)
