"""A metric of every game, for who decides by it: what it is, its total, each game's value and changes, and its course.

Every game of the metric has its line. Figures of a period that is not over stand apart from those of whole periods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd

from bigmama_nb.periods import Period, day_of, last_day
from bigmama_nb.reports.changes import EARLIER, next_of

SHOWN: Mapping[Period, timedelta] = {
    "day": timedelta(days=91),
    "week": timedelta(weeks=52),
    "month": timedelta(days=365),
}
"""How far back a course goes at least: 92 days, 53 weeks, 13 months."""
_ALL_DAYS = 300_000
"""Up to so many figures all days of the run are shown; beyond them no page could hold them."""


@dataclass(frozen=True)
class Topic:
    """What a section is about: a metric and its words; `of` is what its lines are, `game` or `artist`,
    and `absent` what a missing value means."""

    name: str
    title: str
    period: Period
    unit: str | None = None
    description: str | None = None
    additive: bool = False
    of: str = "game"
    absent: str = "no value"


@dataclass
class Line:
    """A game in a section: its figures by dt, those of periods that are not over with their through, what became of
    tasks that are no plain success."""

    code: str
    name: str
    whole: dict[date, int] = field(default_factory=dict)
    so_far: dict[date, tuple[int, date]] = field(default_factory=dict)
    ill: dict[date, str] = field(default_factory=dict)
    """By dt the outcome that is not `ok`."""

    @property
    def newest(self) -> date | None:
        """The dt of its newest figure."""
        return max([*self.whole, *self.so_far], default=None)


@dataclass(frozen=True)
class Section:
    """A metric with its lines, largest first, and the dts that its tables and charts are of."""

    topic: Topic
    lines: Sequence[Line]
    dts: Sequence[date]
    """Every dt from the first that is shown to the newest, whether there are figures of it or not."""
    whole: date | None
    """The newest dt of a period that is over, of any line."""
    so_far: date | None
    """The dt of the period that is not over; None where there is none after `whole`."""

    @property
    def through(self) -> date | None:
        """The day through which most is counted in the period that is not over."""
        return max((line.so_far[self.so_far][1] for line in self.lines if self.so_far in line.so_far), default=None)

    def total(self, dt: date | None, *, open_: bool = False) -> int | None:
        """Return the sum over the games; None where the metric is not additive or a game's figure is not there.

        Of a period that is not over, all have to be counted through the same day.
        """
        if not self.topic.additive or dt is None:
            return None
        found = [line.so_far.get(dt, (None, None)) if open_ else (line.whole.get(dt), None) for line in self.lines]
        values = [value for value, _ in found if value is not None]
        return sum(values) if len(values) == len(self.lines) and len({through for _, through in found}) == 1 else None


def sections(
    figures: pd.DataFrame,
    topics: Iterable[Topic],
    *,
    pairs: Iterable[tuple[str, str]],
    names: Mapping[str, str],
    outcomes: pd.DataFrame,
    told: pd.DataFrame | None = None,
) -> list[Section]:
    """Return a section for each topic that has a game.

    Args:
        figures: game_cd, type, dt, value, through (`YYYY-MM-DD`) and final bool: what readers of the table see.
        topics: in the order of the page.
        pairs: every (game, type) that has its line, figures or not.
        names: what to call a game instead of its code.
        outcomes: one row a task of the run: game_cd, type, dt, outcome.
        told: the same of figures that earlier runs asked for last, where it is not `ok`; shown where their days are,
            and extends no course.
    """
    by_type = {str(type_): rows for type_, rows in figures.groupby("type", sort=False)}
    ill = outcomes[outcomes["outcome"].notna() & (outcomes["outcome"] != "ok")]
    ill = ill if told is None else pd.concat([ill[["game_cd", "type", "dt", "outcome"]], told])
    ill_by_type = {str(type_): rows for type_, rows in ill.groupby("type", sort=False)}
    asked = outcomes.groupby("type")["dt"].agg(["min", "max"])
    codes: dict[str, list[str]] = {}
    for code, type_ in pairs:
        codes.setdefault(type_, []).append(code)
    few = len(figures) <= _ALL_DAYS
    found = []
    for topic in topics:
        first, last = asked.loc[topic.name] if topic.name in asked.index else (None, None)
        lines = {code: Line(code, names.get(code, code)) for code in codes.get(topic.name, ())}
        _fill(lines, names, by_type.get(topic.name, figures[:0]), ill_by_type.get(topic.name, ill[:0]))
        if lines:
            since = day_of(str(first)) if few and first is not None else None
            found.append(_section(topic, list(lines.values()), since, None if last is None else day_of(str(last))))
    return found


def _fill(lines: dict[str, Line], names: Mapping[str, str], rows: pd.DataFrame, ill: pd.DataFrame) -> None:
    days = {dt: day_of(str(dt)) for dt in {*rows["dt"].tolist(), *ill["dt"].tolist()}}
    columns = ("game_cd", "dt", "value", "through", "final")
    for code, dt, value, through, final in zip(*(rows[name].tolist() for name in columns), strict=True):
        line = lines.setdefault(code, Line(code, names.get(code, code)))
        if final:
            line.whole[days[dt]] = value
        else:
            line.so_far[days[dt]] = value, date.fromisoformat(through)
    for code, dt, outcome in zip(ill["game_cd"].tolist(), ill["dt"].tolist(), ill["outcome"].tolist(), strict=True):
        line = lines.setdefault(code, Line(code, names.get(code, code)))
        line.ill[days[dt]] = str(outcome)


def _section(topic: Topic, lines: list[Line], since: date | None, asked: date | None) -> Section:
    newest = max([dt for line in lines if (dt := line.newest)] + ([asked] if asked else []), default=None)
    if newest is None:
        return Section(topic, sorted(lines, key=lambda line: line.name), (), None, None)
    so_far = max((dt for line in lines for dt in line.so_far), default=None)
    # A period that nobody has a whole figure of is over all the same once its last day was asked for.
    if so_far is not None and any(so_far in line.whole or max(line.whole, default=so_far) > so_far for line in lines):
        so_far = None
    whole = max((dt for line in lines for dt in [*line.whole, *line.ill] if dt != so_far), default=None)
    begin = min(newest - SHOWN[topic.period], since or newest)
    known = min((dt for line in lines for dt in [*line.whole, *line.so_far, *line.ill] if dt >= begin), default=newest)
    dts = [known]
    # A period that is not over is in the table alone: an axis that led to it would end in nothing.
    while dts[-1] < (whole or newest):
        dts.append(next_of(dts[-1], topic.period))
    lines.sort(key=lambda line: (*_rank(line, whole, so_far), line.name))
    return Section(topic, lines, dts, whole, so_far)


def _rank(line: Line, whole: date | None, so_far: date | None) -> tuple[int, int]:
    """Return what lines are sorted by: the largest of the newest whole period first, then of the one not over."""
    if whole in line.whole:
        return 0, -line.whole[whole]
    if so_far in line.so_far:
        return 1, -line.so_far[so_far][0]
    return 2, 0


def compared(section: Section, dt: date) -> dict[str, date]:
    """Return by its name each dt that a figure of `dt` is compared with."""
    return {name: before(dt) for name, before in EARLIER[section.topic.period].items()}


def period_said(dt: date, period: Period) -> str:
    """Return a period as one names it: `1 May 2024`, `29 April to 5 May 2024`, `May 2024`."""
    if period == "month":
        return f"{dt:%B %Y}"
    said = f"{dt.day} {dt:%B %Y}"
    end = last_day(dt, period)
    return said if period == "day" else f"{dt.day} {dt:%B} to {end.day} {end:%B %Y}"
