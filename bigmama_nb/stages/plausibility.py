"""Whether a figure is plausible against its own history.

The rule is coarse on purpose: it is there for a source that was half loaded, emptied, loaded twice or changed its
unit, and a warning that is wrong every other week is soon read by nobody.

- A figure is compared with its like: the same weekday of the 8 weeks before (a Sunday is no Monday), by month with the
  12 months before. With fewer than 4 of these there is no history yet, and it may grow as it likes; it is implausible
  only below a twentieth of each of the figures just before it (6 days, 3 weeks or months).
- It is implausible above 5 times their median or below a quarter of it, and beyond 6 robust standard deviations
  (1.4826 × the median absolute deviation, of logarithms: figures grow and fall by shares). Medians, so that an
  implausible figure that was published does not make the next one plausible.
- Numbers below 30 count as 30: so few people or orders double and halve by chance.
- Zero or less is implausible where the median is 30 or more: a Poisson number with mean 30 is zero once in 10¹³ times.
- What a quarter of its like were, or went beyond, is plausible, whatever the median: a shop may open every other week.
- A period that is not over is judged upwards only: on the 2nd a month's sum is small.

A metric may say more by its own `checks`: bounds, the largest change in per cent, and what its like is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from statistics import median

from bigmama_nb.periods import Period, day_of, dt_of
from bigmama_nb.profile.metric import MetricChecks

WEEKS = 8
MONTHS = 12
ENOUGH = 4
FACTOR = 5
FALL = 4
COLLAPSE = 20
DEVIATIONS = 6
SMALL = 30


def implausible(
    value: int,
    dt: str,
    history: Mapping[str, int],
    period: Period = "day",
    *,
    final: bool = True,
    checks: MetricChecks | None = None,
) -> str | None:
    """Return why `value` is implausible, or None where it is plausible.

    Args:
        value: the figure.
        dt: the day YYYYMMDD that it is filed under.
        history: the figures of the same game and metric by dt, each through the end of its period; those that are not
            earlier than `dt` are not looked at.
        period: the metric's period.
        final: whether the figure is through the end of its period.
        checks: what the metric says of its figures itself.

    Returns:
        What was found and what was expected, as a sentence; the task's name goes before it.
    """
    if checks is not None:
        own = _beyond_bounds(value, checks, final=final) or _changed_too_much(value, dt, history, period, checks, final)
        if own is not None or checks.max_change_percent is not None:
            return own
    daily = period == "day" and checks is not None and checks.like == "previous"
    like = [history[earlier] for earlier in _like(dt, period, daily=daily) if earlier in history]
    which = f"the {len(like)} days" if daily else _which(dt, period, len(like))
    if len(like) < ENOUGH:
        return _collapsed(value, dt, history, period) if final else None
    return _far_from(value, like, which, final=final)


def _far_from(value: int, like: Sequence[int], which: str, *, final: bool) -> str | None:
    middle = median(like)
    logs = [math.log(max(figure, SMALL)) for figure in like]
    usual = median(logs)
    deviation = 1.4826 * median(abs(log - usual) for log in logs)
    up, down = (max(math.log(factor), DEVIATIONS * deviation) for factor in (FACTOR, FALL))
    distance = math.log(max(value, SMALL)) - usual
    too_high = distance > up and 4 * sum(figure >= value for figure in like) < len(like)
    too_low = (distance < -down or (value <= 0 and middle >= SMALL)) and (
        4 * sum(figure <= max(value, 0) for figure in like) < len(like)
    )
    if not (too_high or (final and too_low)):
        return None
    low, high = math.exp(usual - down), math.exp(usual + up)
    expected = f"{low if low > SMALL else 1:,.0f} to {high:,.0f}" if final else f"at most {high:,.0f}"
    return (
        f"{value:,} is implausible: {which} before had {min(like):,} to {max(like):,}, "
        f"median {middle:,.0f}; expected {expected}."
    )


def _collapsed(value: int, dt: str, history: Mapping[str, int], period: Period) -> str | None:
    """Say that a figure without a history yet is next to nothing beside those just before it."""
    just_before = [history[earlier] for earlier in _just_before(dt, period) if earlier in history]
    if not just_before or max(value, SMALL) * COLLAPSE >= min(just_before):
        return None
    return (
        f"{value:,} is implausible: just before there were {min(just_before):,} to {max(just_before):,}; expected at "
        f"least {min(just_before) / COLLAPSE:,.0f}."
    )


def _beyond_bounds(value: int, checks: MetricChecks, *, final: bool) -> str | None:
    if checks.max is not None and value > checks.max:
        return f"{value:,} is implausible: checks.max is {checks.max:,}."
    if checks.min is not None and value < checks.min and final:
        return f"{value:,} is implausible: checks.min is {checks.min:,}."
    return None


def _changed_too_much(
    value: int, dt: str, history: Mapping[str, int], period: Period, checks: MetricChecks, final: bool
) -> str | None:
    """Say that a figure differs from the last of its like by more than the metric allows."""
    if checks.max_change_percent is None:
        return None
    daily = period == "day" and checks.like == "previous"
    earlier = next((one for one in _like(dt, period, daily=daily) if one in history), None)
    if earlier is None:
        return None
    before = history[earlier]
    change = abs(value - before) * 100 / max(abs(before), 1)
    if change <= checks.max_change_percent or (value < before and not final):
        return None
    way = "rose" if value > before else "fell"
    return (
        f"{value:,} is implausible: it {way} by {change:,.1f} % from {before:,} of {earlier}; "
        f"checks.max_change_percent is {checks.max_change_percent:g}."
    )


def _just_before(dt: str, period: Period) -> list[str]:
    if period == "day":
        return [dt_of(day_of(dt) - timedelta(days=back)) for back in range(1, 7)]
    return [*_like(dt, period)[:3]]


@lru_cache(maxsize=4_096)
def _like(dt: str, period: Period, *, daily: bool = False) -> tuple[str, ...]:
    day = day_of(dt)
    if daily:
        return tuple(dt_of(day - timedelta(days=back)) for back in range(1, WEEKS + 1))
    if period == "month":
        months = [day.year * 12 + day.month - 1 - back for back in range(1, MONTHS + 1)]
        return tuple(dt_of(date(month // 12, month % 12 + 1, 1)) for month in months if month >= 12)
    return tuple(dt_of(day - timedelta(weeks=back)) for back in range(1, WEEKS + 1))


@lru_cache(maxsize=4_096)
def _which(dt: str, period: Period, count: int) -> str:
    if period == "day":
        return f"the {count} {day_of(dt):%A}s"
    return f"the {count} {period}s"
