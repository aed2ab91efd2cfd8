"""What a figure is compared with: the day, week and month before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

from bigmama_nb.periods import DAY, Period, first_day


def month_before(day: date) -> date:
    """Return the same day of the month before, or that month's last where it is shorter."""
    end = day.replace(day=1) - DAY
    return end.replace(day=min(day.day, end.day))


def year_before(day: date) -> date:
    """Return the same day of the year before, 28 February of a 29th."""
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


EARLIER: Mapping[Period, Mapping[str, Callable[[date], date]]] = {
    "day": {
        "day before": lambda day: day - DAY,
        "week before": lambda day: day - timedelta(weeks=1),
        "month before": month_before,
    },
    "week": {
        "week before": lambda day: day - timedelta(weeks=1),
        "four weeks before": lambda day: day - timedelta(weeks=4),
        "year before": lambda day: day - timedelta(weeks=52),
    },
    "month": {"month before": month_before, "year before": year_before},
}
"""By period, what a figure is compared with, and which dt that has."""


def next_of(day: date, period: Period) -> date:
    """Return the dt of the period that follows."""
    step = {"day": DAY, "week": timedelta(weeks=1), "month": timedelta(days=31)}[period]
    return first_day(day + step, period)


def percent(value: int, before: int | None) -> float | None:
    """Return the change in percent; None where there is nothing to compare with, or it is not above zero."""
    return None if before is None or before <= 0 else 100 * (value - before) / before


def shown_change(value: int | None, before: int | None) -> str:
    """Return a change as one reads it: `+1.2 %`; where a percentage says nothing, the difference; else a dash."""
    if value is None or before is None:
        return "–"
    change = percent(value, before)
    said = f"{value - before:+,}" if change is None else f"{change:+,.1f} %"
    return said[1:] if said in ("+0", "+0.0 %", "-0.0 %") else said.replace("-", "−")
