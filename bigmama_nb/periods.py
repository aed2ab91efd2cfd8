"""Days, weeks and months: which dt a day belongs to, and through which day a figure is counted.

Source of every rule here: docs/spec/profile.md, "What a day asks for".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal

from bigmama_nb.errors import UsageError, did_you_mean
from bigmama_nb.profile import FIRST_DAY, Dates, Metric, Profile

Period = Literal["day", "week", "month"]
DAY = timedelta(days=1)


def first_day(day: date, period: Period) -> date:
    """Return the first day of the period that holds `day`: the day, its Monday or its month's first."""
    if period == "week":
        return day - day.weekday() * DAY
    return day.replace(day=1) if period == "month" else day


def last_day(day: date, period: Period) -> date:
    """Return the last day of the period that holds `day`."""
    if period == "week":
        return first_day(day, period) + 6 * DAY
    if period == "month":
        return first_day(first_day(day, period) + 31 * DAY, period) - DAY
    return day


@lru_cache(maxsize=4_096)
def dt_of(day: date) -> str:
    """Return a day as tables write it, `YYYYMMDD`."""
    return f"{day:%Y%m%d}" if day.year >= 1000 else day.isoformat().replace("-", "")


@lru_cache(maxsize=4_096)
def day_of(text: str) -> date:
    """Return the day that `YYYY-MM-DD` or `YYYYMMDD` names; raises UsageError."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d|\d{8}", text, re.ASCII):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise UsageError(f"{text!r} is no day; expected YYYY-MM-DD or YYYYMMDD")


@dataclass(frozen=True, order=True)
class FigureRequest:
    """One figure that a run is asked for.

    `through` is the last day that counts, `final` whether that is the period's last day.
    """

    game_cd: str
    type: str
    dt: str
    through: date
    final: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """(game_cd, type, dt): what a row of the table is known by."""
        return self.game_cd, self.type, self.dt


def request_of(game_cd: str, type_: str, metric: Metric, day: date) -> FigureRequest:
    """Return what `day` asks of a pair, due or not: the figure of the period that holds the day, through the day."""
    begin, end = first_day(day, metric.period), last_day(day, metric.period)
    return FigureRequest(game_cd, type_, dt_of(begin), min(end, day), day >= end)


def due_request(game_cd: str, type_: str, metric: Metric, day: date) -> FigureRequest:
    """Return the newest figure of a pair that is due on `day` or was before it."""
    if metric.due_at == "period_end" and day < last_day(day, metric.period):
        day = first_day(day, metric.period) - DAY
    return request_of(game_cd, type_, metric, day)


def window(metric: Metric, ask: FigureRequest) -> tuple[date, date]:
    """Return the first and the last day whose documents the figure counts, both included.

    For `{field}` this is the dt alone, or its whole month where documents are dated by the month.
    """
    first = day_of(ask.dt)
    if not metric.value.computed:
        return first, last_day(first, "month") if metric.date.as_ == "yyyymm" else first
    if metric.trailing_days is not None:
        return ask.through - (metric.trailing_days - 1) * DAY, ask.through
    return first, ask.through


def days_asked(
    profile: Profile, date_from: str | None, date_to: str | None, *, now: datetime, dates: Dates | None = None
) -> tuple[date, date]:
    """Return the first and the last day of the range: as given, else `dates` or the profile's, else yesterday.

    Raises:
        UsageError: only one end is given, the ends are in the wrong order, the first day is before 1970, or the last
            one is not yet over in the profile's zone at `now`.
    """
    today = now.astimezone(profile.zone).date()
    if bool(date_from) != bool(date_to):
        raise UsageError("A range needs both --from and --to; one day is --date")
    if date_from and date_to:
        first, last = day_of(date_from), day_of(date_to)
    elif (dates := dates or profile.dates) is not None:
        first, last = dates.from_, dates.to
    else:
        first = last = today - DAY
    if first > last:
        raise UsageError(f"The range runs from {first} to {last}; expected from <= to")
    if first < FIRST_DAY:
        raise UsageError(f"{first} is too early; the first day that can be asked for is {FIRST_DAY}")
    if last >= today:
        raise UsageError(
            f"{last} is not yet over in {profile.timezone}, where it is {today}; the last day that can be asked for "
            f"is {today - DAY}"
        )
    return first, last


def chosen(kind: str, names: Collection[str], known: Sequence[str]) -> list[str]:
    """Return the names of `known` that `names` asks for (all where it is empty), in the order of `known`.

    Raises:
        UsageError: a name is not known.
    """
    for name in names:
        if name not in known:
            raise UsageError(
                f"--{kind} names {name!r}; {kind} are {', '.join(known) or 'none'}.{did_you_mean(name, known)}"
            )
    return [name for name in known if name in names] if names else list(known)


def asks(
    profile: Profile,
    first: date,
    last: date,
    *,
    games: Collection[str] = (),
    metrics: Collection[str] = (),
    published: Mapping[tuple[str, str, str], date] | None = None,
) -> list[FigureRequest]:
    """Return what the days `first` … `last` ask for: one request for each pair that is due and dt, in the pairs' order.

    `published` maps (game_cd, type, dt) to the through of the row that stands there: a run for an older day
    computes the figure through the published one, so nothing goes backwards.

    Raises:
        UsageError: a game or metric is not in the profile.
    """
    wanted_games = set(chosen("games", games, list(profile.games)))
    wanted_metrics = set(chosen("metrics", metrics, list(profile.metrics)))
    published = published or {}
    found = []
    for (game_cd, type_), metric in profile.pairs.items():
        if game_cd not in wanted_games or type_ not in wanted_metrics:
            continue
        begin = first_day(first, metric.period)
        while begin <= last:
            end = last_day(begin, metric.period)
            through = min(end, last)
            if metric.due_at == "daily" or through == end:
                stands = published.get((game_cd, type_, dt_of(begin)))
                if stands is not None:
                    through = max(through, stands)
                found.append(FigureRequest(game_cd, type_, dt_of(begin), through, through >= end))
            begin = end + DAY
    return found


def lacking(wanted: Sequence[FigureRequest], published: Mapping[tuple[str, str, str], date]) -> list[FigureRequest]:
    """Return the asks that have no row, or one with an earlier through (`--missing`)."""
    return [ask for ask in wanted if ask.key not in published or published[ask.key] < ask.through]
