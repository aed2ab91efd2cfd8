"""Whether a figure is plausible against its own history.

The rule is coarse on purpose: it is there for a source that was half loaded, emptied, loaded twice or changed its
unit, and a warning that is wrong every other week is soon read by nobody.

- A figure is compared with its like: the same weekday of the 8 weeks before (a Sunday is no Monday), by month with the
  12 months before. Fewer than 4 of these, and it is plausible: there is no history yet.
- It is implausible above 5 times their median or below a fifth of it, and beyond 6 robust standard deviations
  (1.4826 × the median absolute deviation, of logarithms: figures grow and fall by shares). Medians, so that an
  implausible figure that was published does not make the next one plausible.
- Numbers below 30 count as 30: so few people or orders double and halve by chance.
- Zero or less is implausible where the median is 30 or more: a Poisson number with mean 30 is zero once in 10¹³ times.
- What a quarter of its like were, or went beyond, is plausible, whatever the median: a shop may open every other week.
- A period that is not over is judged upwards only: on the 2nd a month's sum is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from statistics import median

from bigmama_nb.periods import Period, day_of, dt_of

WEEKS = 8
MONTHS = 12
ENOUGH = 4
FACTOR = 5
DEVIATIONS = 6
SMALL = 30


def implausible(
    value: int, dt: str, history: Mapping[str, int], period: Period = "day", *, final: bool = True
) -> str | None:
    """Return why `value` is implausible, or None where it is plausible.

    Args:
        value: the figure.
        dt: the day YYYYMMDD that it is filed under.
        history: the figures of the same game and metric by dt, each through the end of its period; those that are not
            earlier than `dt` are not looked at.
        period: the metric's period.
        final: whether the figure is through the end of its period.

    Returns:
        What was found and what was expected, as a sentence; the task's name goes before it.
    """
    like = [history[earlier] for earlier in _like(dt, period) if earlier in history]
    if len(like) < ENOUGH:
        return None
    middle = median(like)
    logs = [math.log(max(figure, SMALL)) for figure in like]
    deviation = 1.4826 * median(abs(log - median(logs)) for log in logs)
    margin = max(math.log(FACTOR), DEVIATIONS * deviation)
    distance = math.log(max(value, SMALL)) - median(logs)
    too_high = distance > margin and 4 * sum(figure >= value for figure in like) < len(like)
    too_low = (distance < -margin or (value <= 0 and middle >= SMALL)) and (
        4 * sum(figure <= max(value, 0) for figure in like) < len(like)
    )
    if not (too_high or (final and too_low)):
        return None
    low, high = math.exp(median(logs) - margin), math.exp(median(logs) + margin)
    expected = f"{low if low > SMALL else 1:,.0f} to {high:,.0f}" if final else f"at most {high:,.0f}"
    return (
        f"{value:,} is implausible: {_which(dt, period, len(like))} before had {min(like):,} to {max(like):,}, "
        f"median {middle:,.0f}; expected {expected}."
    )


def _like(dt: str, period: Period) -> Iterator[str]:
    day = day_of(dt)
    if period == "month":
        for back in range(1, MONTHS + 1):
            months = day.year * 12 + day.month - 1 - back
            if months >= 12:
                yield dt_of(date(months // 12, months % 12 + 1, 1))
    else:
        for back in range(1, WEEKS + 1):
            yield dt_of(day - timedelta(weeks=back))


def _which(dt: str, period: Period, count: int) -> str:
    if period == "day":
        return f"the {count} {day_of(dt):%A}s"
    return f"the {count} {period}s"
