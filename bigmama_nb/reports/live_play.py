"""Live viewing in pictures: who was there by the minute, how long they stayed, and who they were. Aggregates only."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from bigmama_nb.reports.chart import Chart, bare, write
from bigmama_nb.reports.style import ACCENT, FAINT, INK, PAST, QUIET, compact, drawable, shortened

_COLUMNS = 4
_POINTS = 1_200
_LEFT = 0.45
"""Inches that a panel leaves for the words at its scale."""
_SHADES = {"members": ACCENT, "without an account": "#56b4e9", "guests": PAST}


def concurrent_viewers(minutes: pd.DataFrame, *, limit: int = 24) -> Chart:
    """Draw the viewers of a day's lives minute by minute, a panel each on one clock, the best attended first.

    Every panel has its own scale, from zero. Minutes that the log does not cover yet are drawn quietly: who left then
    is not known.

    Args:
        minutes: one row a live and minute: part_date, post_id, datetime string (`YYYY-MM-DD HH:MM:00`, KST),
            peak_viewers int64, known bool (the log that was read covers the minute).
        limit: how many lives are drawn; the title says how many there are.

    Returns:
        A picture; without rows one that says so.
    """
    if minutes.empty:
        return _nothing("Concurrent viewers: no live was built")
    rows = minutes.astype({"part_date": "str", "post_id": "str", "datetime": "str"})
    day = max(rows["part_date"])
    rows = rows[rows["part_date"] == day]
    midnight = datetime.fromisoformat(day)
    at = (pd.to_datetime(rows["datetime"]) - midnight) / timedelta(minutes=1)
    rows = rows.assign(at=at).sort_values(["post_id", "at"])
    peaks = rows.groupby("post_id")["peak_viewers"].max()
    lives = sorted(peaks.index, key=lambda post: (-int(peaks[post]), post))
    shown = lives[:limit]
    rows = rows[rows["post_id"].isin(shown)]
    first, last = float(rows["at"].min()), float(rows["at"].max()) + 1

    columns = min(_COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    width, height = max(3.3 * columns + 0.4, 7.5), 0.85 + 1.75 * lines
    chart = Chart(f"Concurrent viewers of {len(lives):,} lives, {_day(day)}", width, height)
    which = f"the {len(shown):,} best attended of {len(lives):,} lives" if len(shown) < len(lives) else "largest first"
    quiet = "" if rows["known"].all() else " In grey: after the end of the log so far."
    _head(chart, "Concurrent viewers", f"{_day(day)}, KST; {which}. Each panel has its own scale.{quiet}")
    for place, post in enumerate(shown):
        line, column = divmod(place, columns)
        axes = chart.add_axes(
            (
                (0.2 + _LEFT + column * (width - 0.4) / columns) / width,
                (height - 0.8 - (line + 1) * 1.75 + 0.42) / height,
                ((width - 0.4) / columns - _LEFT - 0.3) / width,
                0.95 / height,
            )
        )
        _live(axes, post, rows[rows["post_id"] == post], midnight, first, last)
    return chart


def watch_time(bins: pd.DataFrame) -> Chart:
    """Draw how long the viewers of a day's lives watched: viewers by length of time, with their shares.

    Args:
        bins: one row a bin, in order: part_date, from_seconds int64, to_seconds int64 (or null: no end), viewers
            int64. A viewer counts once for each live it joined.

    Returns:
        A picture; without viewers one that says so.
    """
    total = int(bins["viewers"].sum())
    if not total:
        return _nothing("Watch time: nobody joined a live")
    day = str(bins["part_date"].iloc[0])
    width, height = 9.0, 3.3
    chart = Chart(f"Watch time of {total:,} viewers, {_day(day)}", width, height)
    says = f"{_day(day)}; {_said(total, 'viewer')}, each once a live, by how long it watched. Bins grow to the right."
    _head(chart, "Watch time", says)
    axes = chart.add_axes((0.2 / width, 0.45 / height, (width - 0.4) / width, (height - 1.45) / height))
    bare(axes)
    highest = int(bins["viewers"].max())
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.set_ylim(0, highest)
    axes.bar(range(len(bins)), bins["viewers"], width=0.86, color=ACCENT, clip_on=False)
    axes.axhline(0, color=FAINT, linewidth=1.2)
    for place, row in enumerate(bins.to_dict("records")):
        viewers = int(row["viewers"])
        write(axes, place, viewers + highest * 0.09, f"{viewers:,}", size=8, ha="center", va="center")
        write(axes, place, viewers + highest * 0.03, _share(viewers, total), size=6.5, color=QUIET, ha="center",
              va="center")  # fmt: skip
        label = _between(int(row["from_seconds"]), row["to_seconds"])
        write(axes, place, -highest * 0.07, label, size=7.5, color=QUIET, ha="center", va="center")
    return chart


def audiences(lives: pd.DataFrame, *, limit: int = 40) -> Chart:
    """Draw who the viewers of each live were: members, users without an account, guests; the largest first.

    Args:
        lives: one row a live: part_date, post_id, viewers, members, guest_viewers int64.
        limit: how many lives are drawn; the title says how many there are.

    Returns:
        A picture; without rows one that says so.
    """
    if lives.empty:
        return _nothing("Members and guests: no live was built")
    day = str(max(lives["part_date"]))
    own = lives[lives["part_date"] == day].astype({"post_id": "str"})
    own = own.sort_values(["viewers", "post_id"], ascending=[False, True])
    shown = own.head(limit)
    width, top, line = 9.0, 1.15, 0.26
    height = top + line * len(shown) + 0.15
    chart = Chart(f"Members and guests of {len(own):,} lives, {_day(day)}", width, height)
    which = f"the {len(shown):,} largest of {len(own):,} lives" if len(shown) < len(own) else "largest first"
    _head(chart, "Members and guests", f"{_day(day)}; viewers of each live, {which}. Shares of all its viewers.")
    axes = chart.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    bare(axes)
    labels = [shortened(drawable(post, "live"), 24) for post in shown["post_id"]]
    left = 0.3 + 0.075 * max(map(len, labels))
    room = width - left - 1.0
    largest = max(int(shown["viewers"].max()), 1)
    _legend(axes, left)
    for place, (label, row) in enumerate(zip(labels, shown.to_dict("records"), strict=True)):
        viewers, members, guests = (int(row[name]) for name in ("viewers", "members", "guest_viewers"))
        y = top + place * line
        write(axes, left - 0.08, y + line / 2, label, size=7.5, ha="right", va="center")
        x = left
        for (name, shade), count in zip(_SHADES.items(), (members, viewers - members - guests, guests), strict=True):
            length = room * count / largest
            axes.barh(y + line / 2, length, height=line * 0.72, left=x, color=shade)
            share = _share(count, viewers) if viewers else ""
            if length > 0.075 * len(share):
                ink = "white" if name == "members" else INK
                write(axes, x + length / 2, y + line / 2, share, size=6.5, color=ink, ha="center", va="center_baseline")
            x += length
        write(axes, x + 0.06, y + line / 2, f"{viewers:,}", size=8, va="center")
    return chart


def _legend(axes: Any, left: float) -> None:
    x = left
    for name, shade in _SHADES.items():
        axes.barh(0.95, 0.16, height=0.14, left=x, color=shade)
        write(axes, x + 0.23, 0.95, name, size=8.5, va="center")
        x += 0.23 + 0.08 * len(name) + 0.25


def _live(axes: Any, post: str, rows: pd.DataFrame, midnight: datetime, first: float, last: float) -> None:
    bare(axes)
    beside, above = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    peak = int(rows["peak_viewers"].max())
    top = max(peak, 1) * 1.08
    axes.set_xlim(first - (last - first) * 0.02, last + (last - first) * 0.02)
    axes.set_ylim(0, top)
    axes.axhline(0, color=FAINT, linewidth=1.2)
    for level in MaxNLocator(nbins=3, steps=[1, 2, 5, 10], integer=True).tick_values(0, top):
        if 0.1 < level / top < 0.95:
            axes.axhline(level, color=FAINT, linewidth=0.6)
            write(axes, -0.02, level, compact(level), size=6.5, color=QUIET, transform=beside, ha="right", va="center")
    step = _hours(last - first)
    for hour in range(math.ceil(first / 60 / step) * step, int(last // 60) + 1, step):
        axes.axvline(hour * 60, color=FAINT, linewidth=1.2 if hour % 24 == 0 else 0.6)
        said = f"{hour % 24}:00" if hour % 24 or hour <= 0 else _short(midnight + timedelta(hours=hour))
        write(axes, hour * 60, -0.11, said, size=6.5, color=QUIET, transform=above, ha="center", va="center")
    thin = _thinned(rows)
    known = thin[thin["known"]]
    later = thin[thin["at"] >= known["at"].max()] if len(known) else thin
    for part, colour in ((later, PAST), (known, ACCENT)):
        axes.fill_between(part["at"], part["peak_viewers"], color=colour, alpha=0.16, linewidth=0, step="post")
        axes.plot(part["at"], part["peak_viewers"], color=colour, linewidth=1.3, drawstyle="steps-post")
    summit = float(rows["at"].iloc[int(rows["peak_viewers"].argmax())])
    if peak:
        axes.plot([summit], [peak], marker="o", markersize=3.6, color=ACCENT, clip_on=False)
    top_of = axes.transAxes
    edge = -_LEFT / (axes.get_position().width * axes.figure.get_figwidth())
    name = shortened(drawable(post, "live"), 22)
    write(axes, edge, 1.2, name, size=10, weight="bold", transform=top_of, va="center")
    write(axes, 1, 1.2, f"{peak:,}", size=10, transform=top_of, ha="right", va="center")
    begins, ends = float(rows["at"].iloc[0]), float(rows["at"].iloc[-1])
    span = f"{_clock(midnight, begins)} to {_clock(midnight, ends)}"
    write(axes, edge, 1.05, span, size=7.5, color=QUIET, transform=top_of, va="center")
    said = f"peak at {_clock(midnight, summit)}" if peak else "nobody watched"
    write(axes, 1, 1.05, said, size=7.5, color=QUIET, transform=top_of, ha="right", va="center")


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return at most some `_POINTS` rows: of several minutes the highest peak, so that none is lost."""
    every = math.ceil(len(rows) / _POINTS)
    if every == 1:
        return rows
    groups = pd.Series(range(len(rows)), index=rows.index) // every
    return rows.groupby(groups).agg(at=("at", "first"), peak_viewers=("peak_viewers", "max"), known=("known", "all"))


def _hours(minutes: float) -> int:
    """Return how many hours apart the clock is written, so that some six stand side by side."""
    return next((hours for hours in (1, 2, 3, 6, 12, 24, 48, 96) if minutes / 60 / hours <= 7), 168)


def _clock(midnight: datetime, minute: float) -> str:
    days, rest = divmod(round(minute), 24 * 60)
    return f"{rest // 60:02}:{rest % 60:02}" + (f" on {_short(midnight + timedelta(days=days))}" if days else "")


def _short(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def _between(start: int, end: Any) -> str:
    if pd.isna(end):
        return f"over {start // 3600} h"
    unit, size = ("min", 60) if int(end) <= 3600 else ("h", 3600)
    return f"{start / size:g} to {int(end) / size:g} {unit}"


def _share(count: int, total: int) -> str:
    return "<1 %" if 0 < count < total / 100 else f"{count / total:.0%}".replace("%", " %")


def _said(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _day(day: str) -> str:
    at = date.fromisoformat(day)
    return f"{at.day} {at:%B %Y}"


def _head(chart: Chart, title: str, says: str) -> None:
    width, height = chart.get_size_inches()
    write(chart, 0.2 / width, 1 - 0.18 / height, title, size=14, weight="bold", va="top")
    write(chart, 0.2 / width, 1 - 0.5 / height, says, size=9, color=QUIET, va="top")


def _nothing(says: str) -> Chart:
    chart = Chart(says, 7.5, 0.7)
    write(chart, 0.03, 0.5, says, size=11, color=QUIET, va="center")
    return chart
