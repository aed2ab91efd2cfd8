"""How a date field is read: which local day a value belongs to, or why to none.

Source: docs/spec/values_and_reasons.md, "What a value may be".
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from bson import Int64
from bson.datetime_ms import DatetimeMS

from bigmama_nb.sources.values import (
    FIRST_INSTANT,
    LAST_INSTANT,
    MISSING,
    ThroughArray,
    bson_type,
    milliseconds,
    shown,
)


@dataclass(frozen=True)
class Unplaced:
    """A date that places a document in no period.

    `why` is `undated` (null or absent), `date_type_mismatch`, `bad_date` or `array_path`; `found` says what was there,
    `rank` orders numbers among themselves.
    """

    why: str
    found: str
    rank: tuple[float, ...] = ()


UNDATED: Final = Unplaced("undated", "null")

STRING_OR_INT: Final = frozenset({"string", "int", "long"})
EXPECTED_TYPES: Final[dict[str, frozenset[str]]] = {
    "yyyymmdd": STRING_OR_INT,
    "yyyymm": STRING_OR_INT,
    "iso_date": frozenset({"string"}),
    "date": frozenset({"date"}),
    "epoch_s": frozenset({"int", "long", "double"}),
    "epoch_ms": frozenset({"int", "long", "double"}),
}
"""The BSON types that each `date.as` reads; another is `date_type_mismatch`."""

_CACHED_TEXTS = 50_000

PLAUSIBLE_FROM: Final = 631_152_000
PLAUSIBLE_TO: Final = 4_102_444_800
"""Seconds of 1990 and of 2100: a number of epoch seconds outside of them is no date of a game's document."""
UNITS: Final = {"seconds": 1, "milliseconds": 1000, "microseconds": 10**6, "nanoseconds": 10**9}
_PLACEHOLDERS: Final = ((-86_400, 86_401), (253_370_678_400, 8_640_000_086_400), (-62_135_683_200, -62_104_060_800))
"""1970-01-01, the years from 9999 to JavaScript's last, and year 1, with a day to either side, in seconds."""


def epoch_spans(as_: str) -> list[tuple[int, int]]:
    """Return the spans of numbers that an epoch date may be, sorted: plausible dates, and what stands for none.

    What lies in another unit's plausible span is none of them.
    """
    unit = UNITS["milliseconds" if as_ == "epoch_ms" else "seconds"]
    others = sorted((PLAUSIBLE_FROM * n, PLAUSIBLE_TO * n) for n in UNITS.values() if n != unit)
    found = [(PLAUSIBLE_FROM * unit, PLAUSIBLE_TO * unit)]
    for first, end in _PLACEHOLDERS:
        begin, last = first * unit, end * unit
        for other_first, other_end in others:
            if begin < other_end and other_first < last:
                found.append((begin, max(begin, other_first)))
                begin = min(last, other_end)
        found.append((begin, last))
    return sorted((begin, end) for begin, end in found if begin < end)


_NAMED: Final = r"( ?[A-Z]{3,5}| ?\[[^\]]*\])?\z"
ZONED: Final = (
    r"^.{10}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)? ?"
    r"([Zz]|[A-Z]{3,5}|([A-Z]{3})?[+-][0-9]{1,2}(:?[0-9]{2})?)" + _NAMED
)
"""A text that says in which zone its time of day is: by an offset, by a zone's letters (`UTC`), or by both."""


@functools.cache
def own_offsets(zone: ZoneInfo) -> str:
    """Return the pattern of texts that name an offset which the zone itself has, or its own letters (`KST`)."""
    instants = [datetime(year, month, 1, tzinfo=zone) for year in range(1990, 2100, 3) for month in (1, 7)]
    hours = {(instant.utcoffset() or timedelta()) // timedelta(minutes=1) for instant in instants}
    named = sorted({name for instant in instants if (name := instant.tzname() or "").isalpha()})
    for minutes in sorted(hours):
        sign, (hour, minute) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        named.append(f"[{sign}]{hour:02}:?{minute:02}" + (f"|[{sign}]0?{hour}" if minute == 0 else ""))
        if minutes == 0:
            named.append("[Zz]|-00:?00|-0?0|UTC|GMT")
    return f"({'|'.join(named)}){_NAMED}"


class Dating:
    """How a date field is read: one form of `date.as` in one zone.

    A *position* is what orders documents: the day's ordinal for a local day, a naive UTC datetime for `date`, the
    number itself for `epoch_s` and `epoch_ms`.
    """

    def __init__(self, as_: str, zone: ZoneInfo, *, now: datetime | None = None) -> None:
        """`now` is the instant of the run: what is dated after its day proves no day loaded."""
        self.as_ = as_
        self.zone = zone
        today = (now or datetime.now(UTC)).astimezone(zone).date()
        self.horizon = self.start(today + timedelta(days=1))
        self.spans = epoch_spans(as_) if as_ in ("epoch_s", "epoch_ms") else []
        self.own_offsets = own_offsets(zone)
        self._texts: dict[str, int | Unplaced] = {}
        self.place: Callable[[Any], Any] = {
            "yyyymmdd": self._place_day,
            "yyyymm": self._place_day,
            "iso_date": self._place_iso,
            "date": self._place_instant,
            "epoch_s": self._place_epoch,
            "epoch_ms": self._place_epoch,
        }[as_]
        """Return the position of a value, or `Unplaced`."""

    @functools.cached_property
    def _zoned(self) -> re.Pattern[str]:
        return re.compile(ZONED.replace(r"\z", r"\Z"))

    @functools.cached_property
    def _own(self) -> re.Pattern[str]:
        return re.compile(self.own_offsets.replace(r"\z", r"\Z"))

    @property
    def expected(self) -> str:
        """The BSON types that are read, in words."""
        return " or ".join(sorted(EXPECTED_TYPES[self.as_] - {"long"}))

    @property
    def splits_a_day(self) -> bool:
        """Whether two documents of one day can have different positions."""
        return self.as_ in ("date", "epoch_s", "epoch_ms")

    def start(self, day: date) -> Any:
        """Return the position at which a local day begins."""
        if not self.splits_a_day:
            return day.toordinal()
        instant = datetime.combine(day, time(), self.zone).astimezone(UTC).replace(tzinfo=None)
        if self.as_ == "date":
            return instant
        ms = milliseconds(instant)
        # Nothing is cut off: every offset of the tz database is of whole seconds.
        return ms if self.as_ == "epoch_ms" else ms // 1000

    def reaches(self, position: Any, day: date) -> bool:
        """Return whether a document at this position is dated `day` or later; a month's is dated every day of it."""
        if self.as_ == "yyyymm":
            return bool(position >= day.replace(day=1).toordinal())
        return bool(position >= self.start(day))

    def shown(self, position: Any, *, as_text: bool = True) -> str:
        """Return a position as the documents write it, for a message; of an instant, its day in the zone."""
        if self.as_ == "date":
            # At the rim of Python's years a zone's day cannot be computed.
            if not FIRST_INSTANT + timedelta(days=2) < position < LAST_INSTANT - timedelta(days=2):
                return str(position.date())
            return f"{position.replace(tzinfo=UTC).astimezone(self.zone).date()}"
        if self.splits_a_day:
            seconds = position if self.as_ == "epoch_s" else position / 1000
            if -60_000_000_000 < seconds < 250_000_000_000:
                day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(self.zone).date()
                return f"{position!r} ({day})"
            return repr(position)
        iso = date.fromordinal(position).isoformat()
        text = {"iso_date": iso, "yyyymmdd": iso.replace("-", ""), "yyyymm": iso.replace("-", "")[:6]}[self.as_]
        return f'"{text}"' if as_text or self.as_ == "iso_date" else text.lstrip("0")

    def _place_day(self, value: Any) -> int | Unplaced:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int or kind is Int64:
            text = f"{value:06d}" if self.as_ == "yyyymm" else f"{value:08d}"
            placed = self._text(text)
            return Unplaced("bad_date", str(int(value))) if isinstance(placed, Unplaced) else placed
        return self._other(value)

    def _place_iso(self, value: Any) -> int | Unplaced:
        if type(value) is str:
            placed = self._text(value[:10])
            # Its first ten characters are the day there, and not here.
            if len(value) > 10 and self._zoned.search(value) and not self._own.search(value):
                return Unplaced("bad_date", f"{shown(value)}, which names another offset than {self.zone.key}'s")
            return Unplaced("bad_date", shown(value)) if isinstance(placed, Unplaced) else placed
        return self._other(value)

    def _place_instant(self, value: Any) -> datetime | Unplaced:
        if type(value) is datetime:
            return value
        if isinstance(value, DatetimeMS):
            return LAST_INSTANT if int(value) > 0 else FIRST_INSTANT
        return self._other(value)

    def _place_epoch(self, value: Any) -> float | Unplaced:
        kind = type(value)
        if kind is int or kind is Int64 or (kind is float and math.isfinite(value)):
            for first, end in self.spans:
                if first <= value < end:
                    return value  # type: ignore[no-any-return]
            return Unplaced("bad_date", self._implausible(value), (1.0, float(value)))
        if kind is float:
            return Unplaced("bad_date", repr(value), (0.0,) if value != value else (1.0, value))
        return self._other(value)

    def _implausible(self, value: float) -> str:
        exact = int(value) if value == int(value) else value
        for name, unit in UNITS.items():
            if PLAUSIBLE_FROM * unit <= value < PLAUSIBLE_TO * unit:
                day = datetime.fromtimestamp(value / unit, self.zone).date()
                better = {"seconds": " (epoch_s)", "milliseconds": " (epoch_ms)"}.get(name, "")
                return f"{exact}, which would be {day} in {name}{better}"
        return f"{exact}, which is of no year from 1990 to 2099"

    def _text(self, text: str) -> int | Unplaced:
        placed = self._texts.get(text)
        if placed is None:
            if len(self._texts) >= _CACHED_TEXTS:
                self._texts.clear()
            placed = self._texts[text] = _local_day(text, self.as_)
        return placed

    def _other(self, value: Any) -> Unplaced:
        if value is None or value is MISSING:
            return UNDATED
        if isinstance(value, ThroughArray):
            return Unplaced("array_path", value.prefix)
        return Unplaced("date_type_mismatch", bson_type(value))


def _local_day(text: str, as_: str) -> int | Unplaced:
    digits = text.replace("-", "") if as_ == "iso_date" else text
    shape = {"yyyymmdd": (8, text), "yyyymm": (6, text), "iso_date": (8, f"{digits[:4]}-{digits[4:6]}-{digits[6:]}")}
    length, expected = shape[as_]
    # date.fromisoformat alone would also read "2024-W18-3", and str.isdigit the digits of other scripts.
    if len(digits) == length and digits.isascii() and digits.isdigit() and text == expected:
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:] or 1)).toordinal()
        except ValueError:
            pass
    return Unplaced("bad_date", shown(text))
