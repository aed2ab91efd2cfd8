"""A metric of every game against its history: small multiples, so that each game is compared with itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from datetime import date, timedelta
from statistics import median
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from bigmama_nb.periods import day_of
from bigmama_nb.reports.style import (
    ACCENT,
    FAINT,
    INK,
    PAST,
    QUIET,
    Chart,
    bare,
    drawable,
    shortened,
    write,
)

_FAILED = "#c8431b"
_COLUMNS = 4
_ALL_POINTS = 4
_SCALE = 0.45


def metric_history(
    rows: pd.DataFrame,
    type_: str,
    *,
    names: Mapping[str, str] | None = None,
    outcomes: pd.DataFrame | None = None,
    since: str | None = None,
    limit: int = 24,
    title: str = "",
) -> Chart:
    """Draw one metric of every game over time, a panel each, largest first.

    Every panel has its own scale, which does not begin at zero and spans at least 30 % of the figures' middle, so that
    a calm game looks calm. Where a figure is missing the line is broken.

    Args:
        rows: game_cd, type, dt, value; any order, other types are left out.
        type_: the metric.
        names: what to call a game instead of its code; a name that no installed font can draw is not used.
        outcomes: one row a task: game_cd, type, dt, outcome; days that failed or are not ready get a mark, and
            games without any figure are named.
        since: figures from this dt on are this run's, and those before them are drawn quietly.
        limit: how many games are drawn; the title says how many there are.
        title: what the metric is called; by default its type.

    Returns:
        A picture; without rows one that says so.
    """
    own = rows[rows["type"] == type_].astype({"game_cd": "str", "dt": "str"}).sort_values(["game_cd", "dt"])
    series = {
        str(game): {day_of(dt): int(value) for dt, value in zip(group["dt"], group["value"], strict=True)}
        for game, group in own.groupby("game_cd", sort=True)
    }
    shown = sorted(series, key=lambda game: (-list(series[game].values())[-1], game))[:limit]
    said = drawable(title, type_.upper() if len(type_) <= 3 else type_.replace("_", " "))
    asked = [] if outcomes is None else sorted(set(outcomes.loc[outcomes["type"] == type_, "game_cd"].astype(str)))
    absent = [drawable((names or {}).get(game), game) for game in asked if game not in series]
    days = sorted({day for figures in series.values() for day in figures})
    if not days:
        chart = Chart(f"{said}: no figures", 7.5, 0.7)
        write(chart, 0.03, 0.5, f"{said}: no figures", size=11, color=QUIET, va="center")
        return chart
    columns = min(_COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    width, height = max(3.3 * columns + 0.4, 7.5), 0.85 + 1.75 * lines
    chart = Chart(f"{said} by game, {_span(days)}", width, height)
    write(chart, 0.2 / width, 1 - 0.18 / height, f"{said} by game", size=14, weight="bold", va="top")
    write(
        chart,
        0.2 / width,
        1 - 0.5 / height,
        _subtitle(days, len(shown), len(series), absent),
        size=9,
        color=QUIET,
        va="top",
    )
    for place, game in enumerate(shown):
        line, column = divmod(place, columns)
        axes = chart.add_axes(
            (
                (0.2 + _SCALE + column * (width - 0.4) / columns) / width,
                (height - 0.8 - (line + 1) * 1.75 + 0.42) / height,
                ((width - 0.4) / columns - _SCALE - 0.3) / width,
                0.95 / height,
            )
        )
        name = shortened(drawable((names or {}).get(game), game), 24)
        _panel(axes, name, series[game], days, since=since, missing=_missing(outcomes, game, type_))
    return chart


def _span(days: list[date]) -> str:
    first, last = (f"{day:%B %Y}" if _monthly(days) else f"{day.day} {day:%B %Y}" for day in (days[0], days[-1]))
    return first if first == last else f"{first} to {last}"


def _monthly(days: list[date]) -> bool:
    return len(days) > 1 and all(day.day == 1 for day in days)


def _short(day: date, *, monthly: bool) -> str:
    return f"{day:%b %Y}" if monthly else f"{day.day} {day:%b}"


def _subtitle(days: list[date], shown: int, every: int, absent: list[str]) -> str:
    which = f"the {shown:,} largest of {every:,} games" if shown < every else "largest first"
    without = f" Without any figure: {shortened(', '.join(absent), 60)}." if absent else ""
    return f"{_span(days)}; {which}. Each panel has its own scale, not from zero.{without}"


def _missing(outcomes: pd.DataFrame | None, game: str, type_: str) -> list[date]:
    if outcomes is None or outcomes.empty:
        return []
    gone = (
        (outcomes["game_cd"] == game) & (outcomes["type"] == type_) & outcomes["outcome"].isin(["failed", "not_ready"])
    )
    return [day_of(str(dt)) for dt in outcomes.loc[gone, "dt"]]


def _step(days: list[date]) -> timedelta:
    """Return the usual distance of two figures: more than half again as much is a gap."""
    gaps = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
    return timedelta(days=median(gaps) if gaps else 1)


def _panel(
    axes: Any, name: str, figures: dict[date, int], days: list[date], *, since: str | None, missing: list[date]
) -> None:
    bare(axes)
    monthly = _monthly(days)
    beside = axes.get_yaxis_transform()
    values = list(figures.values())
    middle = median(values)
    low, high = min(values), max(values)
    spare = max(0.0, 0.3 * abs(middle) - (high - low)) / 2
    pad = max((high - low + 2 * spare) * 0.18, 1e-9, abs(middle) * 1e-6)
    low_edge, high_edge = low - spare - pad, high + spare + pad
    last = max(days[-1], *missing) if missing else days[-1]
    reach = max((last - days[0]).days, 1)
    axes.set_xlim(-reach * 0.03, reach * 1.04)
    axes.set_ylim(low_edge, high_edge)
    axes.axhline(low_edge, color=FAINT, linewidth=1.2)
    for level in MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low_edge, high_edge):
        if 0.05 < (level - low_edge) / (high_edge - low_edge) < 0.93:
            axes.axhline(level, color=FAINT, linewidth=0.6)
            write(axes, -0.02, level, compact(level), size=6.5, color=QUIET, transform=beside, ha="right", va="center")
    fresh = day_of(since) if since else days[0]
    gap = _step(days) * 1.5
    for line, colour in _lines(figures, gap, fresh):
        xs, ys = [(day - days[0]).days for day, _ in line], [value for _, value in line]
        dots = {"marker": "o", "markersize": 2.6} if len(line) <= _ALL_POINTS else {}
        axes.plot(xs, ys, color=colour, linewidth=1.6, solid_capstyle="round", **dots)
    for day in missing:
        axes.plot([(day - days[0]).days], [low_edge], marker="|", markersize=7, color=_FAILED, clip_on=False, mew=1.4)
    newest = max(figures)
    x, y = (newest - days[0]).days, figures[newest]
    axes.plot([x], [y], marker="o", markersize=4.2, color=ACCENT if newest >= fresh else PAST, clip_on=False)
    top = axes.transAxes
    write(
        axes,
        -_SCALE / (axes.get_position().width * axes.figure.get_figwidth()),
        1.2,
        name,
        size=10,
        weight="bold",
        transform=top,
        va="center",
    )
    write(axes, 1, 1.2, f"{y:,}", size=10, color=INK, transform=top, ha="right", va="center")
    change = _change(figures, newest)
    if newest < last:
        change = f"{_short(newest, monthly=monthly)}: {change}"
    write(axes, 1, 1.03, change, size=7.5, color=QUIET, transform=top, ha="right", va="center")
    write(axes, 0, -0.11, _short(days[0], monthly=monthly), size=7.5, color=QUIET, transform=top, va="center")
    if last > days[0]:
        write(
            axes, 1, -0.11, _short(last, monthly=monthly), size=7.5, color=QUIET, transform=top, ha="right", va="center"
        )
    if missing:
        count = len(missing)
        note = f"{count:,} missing"
        write(axes, 0.5, -0.11, note, size=7.5, color=_FAILED, transform=top, ha="center", va="center")


def _lines(figures: dict[date, int], gap: timedelta, fresh: date) -> list[tuple[list[tuple[date, int]], str]]:
    """Cut the figures where one is missing, and where this run's begin."""
    found: list[tuple[list[tuple[date, int]], str]] = []
    previous: tuple[date, int] | None = None
    for point in figures.items():
        colour = ACCENT if point[0] >= fresh else PAST
        if previous is None or point[0] - previous[0] > gap:
            found.append(([point], colour))
        elif found[-1][1] != colour:
            found.append(([previous, point], colour))
        else:
            found[-1][0].append(point)
        previous = point
    return found


def compact(level: float) -> str:
    """Return a number as an axis says it: 1.5M, 200k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(level) >= size:
            return f"{level / size:,g}{unit}"
    return f"{level:,g}"


def _change(figures: dict[date, int], newest: date) -> str:
    """Return the change against the figure of a week before, by month against the month before."""
    week_before = newest - timedelta(days=7)
    earlier = [day for day in figures if day < newest]
    if week_before in figures:
        before, said = figures[week_before], "on a week before"
    elif earlier and _step(sorted(figures)) > timedelta(days=20):
        before, said = figures[max(earlier)], f"on {max(earlier):%B}"
    else:
        return f"on {_short(newest, monthly=False)}"
    if before <= 0:
        return f"{figures[newest] - before:+,} {said}".replace("-", "−")
    return f"{(figures[newest] / before - 1) * 100:+,.1f} % {said}".replace("-", "−")
