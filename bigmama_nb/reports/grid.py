"""What became of every task, at a glance: a heat map of dt × game for each metric, coloured by outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

from bigmama_nb.reports.cause_table import as_grid, headline
from bigmama_nb.reports.picture import Picture
from bigmama_nb.reports.shown import OUTCOME_MARKS
from bigmama_nb.reports.style import FAINT, INK, OUTCOME_COLOURS, QUIET, drawable, shortened

# Inches.
_WIDTH = 14.0
_CELL = 0.17
_NARROW = 0.125
_HEAD = 0.95
_PANEL_HEAD = 0.62
_GAP = 0.35
_COLUMN_ROWS = 60
_FEW_COLUMNS = 12
_MANY_GAMES = 60
_REST = "\0rest"


@dataclass(frozen=True)
class _Panel:
    """One metric, or some of its games: rows, columns, and the outcome of each cell."""

    title: str
    games: list[str]
    columns: list[tuple[str, str]]
    label: float
    by_day: bool

    @property
    def width(self) -> float:
        return self.label + len(self.columns) * self.cell

    @property
    def height(self) -> float:
        return _PANEL_HEAD + len(self.games) * _CELL

    @property
    def cell(self) -> float:
        if self.by_day:
            return _NARROW
        return 0.5 if self.title else max(0.5, *(0.08 * len(_short(metric)) + 0.08 for metric, _ in self.columns))


@dataclass(frozen=True)
class _Cell:
    """A task's cell: where it is, its colour and its mark."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    mark: str
    edge: str | None = None


def outcome_grid(outcomes: pd.DataFrame, *, names: Mapping[str, str] | None = None, title: str = "") -> Picture:
    """Draw what became of every task.

    Over some days one panel a metric, games down, days across; with one or few days the metrics stand side by side
    and the games go on in further columns. With more games than can be read over many days, those in which all is
    well share one line.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published.
        names: what to call a game instead of its code; a name that no installed font can draw is not used.
        title: stands at the top; by default the run in a sentence.

    Returns:
        A picture; cells of pairs that were not asked for are empty.
    """
    rows = as_grid(outcomes).astype({"game_cd": "str", "type": "str", "dt": "str", "outcome": "str"})
    worst = _worst(rows)
    games = list(dict.fromkeys(rows["game_cd"].tolist()))
    metrics = list(dict.fromkeys(rows["type"].tolist()))
    columns = {metric: sorted(set(rows.loc[rows["type"] == metric, "dt"].tolist())) for metric in metrics}
    labels = {game: shortened(drawable((names or {}).get(game), game), 20) for game in games}
    few = sum(map(len, columns.values())) <= _FEW_COLUMNS
    if not few and len(games) > _MANY_GAMES:
        games = _share_a_line(games, rows, worst, labels)
    margin = 0.3 + 0.065 * max((len(labels[game]) for game in games), default=0)
    panels = _few_days(games, columns, margin) if few else _many_days(games, columns, margin, rows)
    return _draw(panels, worst, labels, rows, title or headline(outcomes))


def _worst(rows: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    game, metric, dt, outcome = (rows[name].tolist() for name in ("game_cd", "type", "dt", "outcome"))
    return dict(zip(zip(game, metric, dt, strict=True), outcome, strict=True))


def _share_a_line(
    games: list[str], rows: pd.DataFrame, worst: dict[tuple[str, str, str], str], labels: dict[str, str]
) -> list[str]:
    ill = set(rows.loc[rows["outcome"] != "ok", "game_cd"].tolist())
    well = [game for game in games if game not in ill]
    if len(well) < 2:
        return games
    for game, metric, dt in list(worst):
        if game not in ill:
            worst[_REST, metric, dt] = "ok"
    labels[_REST] = f"{len(well):,} games: all ok"
    return [*[game for game in games if game in ill], _REST]


def _few_days(games: list[str], columns: dict[str, list[str]], margin: float) -> list[_Panel]:
    every = [(metric, dt) for metric, dts in columns.items() for dt in dts]
    blocks = max(1, math.ceil(len(games) / _COLUMN_ROWS))
    rows = max(1, math.ceil(len(games) / blocks))
    return [_Panel("", games[at : at + rows], every, margin, by_day=False) for at in range(0, len(games), rows)]


def _many_days(games: list[str], columns: dict[str, list[str]], margin: float, rows: pd.DataFrame) -> list[_Panel]:
    long: list[_Panel] = []
    short: list[_Panel] = []
    room = int((_WIDTH - margin) / _NARROW)
    for metric, dts in columns.items():
        there = set(rows.loc[rows["type"] == metric, "game_cd"].tolist())
        own = [game for game in games if game in there or game == _REST]
        if len(dts) <= _FEW_COLUMNS // 2:
            short.append(_Panel(metric, own, [(metric, dt) for dt in dts], margin, by_day=False))
            continue
        for at in range(0, len(dts), room):
            said = metric if at == 0 else f"{metric}, continued"
            long.append(_Panel(said, own, [(metric, dt) for dt in dts[at : at + room]], margin, by_day=True))
    return [*long, *short]


def _placed(panels: list[_Panel]) -> tuple[list[tuple[_Panel, float, float]], float, float]:
    """Return each panel with its left and top edge, filled into lines as words are, and the width and height of all."""
    placed: list[tuple[_Panel, float, float]] = []
    x = y = line = widest = 0.0
    for panel in panels:
        if x > 0 and x + panel.width > _WIDTH + 0.01:
            x, y, line = 0.0, y + line + _GAP, 0.0
        placed.append((panel, x, y))
        x += panel.width + _GAP
        line = max(line, panel.height)
        widest = max(widest, x - _GAP)
    return placed, widest, y + line


def _draw(
    panels: list[_Panel],
    worst: dict[tuple[str, str, str], str],
    labels: dict[str, str],
    rows: pd.DataFrame,
    title: str,
) -> Picture:
    placed, inner_width, inner_height = _placed(panels)
    picture = Picture(title, max(inner_width, 7.5) + 0.4, inner_height + _HEAD + 0.25)
    picture.write(0.2, 0.2, shortened(drawable(title, "Outcomes"), 120), size=13, weight="bold", va="top")
    _legend(picture, rows)
    cells: list[_Cell] = []
    for panel, left, top in placed:
        cells += _panel(picture, panel, left + 0.2, top + _HEAD, worst, labels)
    _draw_cells(picture, cells)
    return picture


def _legend(picture: Picture, rows: pd.DataFrame) -> None:
    counts = rows["outcome"].value_counts()
    cells = []
    x = 0.2
    for outcome, colour in OUTCOME_COLOURS.items():
        count = int(counts.get(outcome, 0))
        if not count:
            continue
        cells.append(_Cell(x, 0.575, 0.16, 0.15, colour, OUTCOME_MARKS[outcome]))
        text = f"{outcome.replace('_', ' ')} {count:,}"
        picture.write(x + 0.23, 0.65, text, size=9)
        x += 0.23 + 0.085 * len(text) + 0.25
    _draw_cells(picture, cells)


def _panel(
    picture: Picture,
    panel: _Panel,
    left: float,
    top: float,
    worst: dict[tuple[str, str, str], str],
    labels: dict[str, str],
) -> list[_Cell]:
    """Write a panel's names and days, and return its cells."""
    first = left + panel.label
    body = top + _PANEL_HEAD
    if panel.title:
        picture.write(first, top + 0.1, drawable(panel.title, "metric"), size=10.5, weight="bold")
    _heads(picture, panel, first, body)
    cells = []
    for line, game in enumerate(panel.games):
        y = body + line * _CELL
        style = {"color": QUIET, "style": "italic"} if game == _REST else {}
        picture.write(first - 0.08, y + _CELL / 2, labels[game], size=7.5, ha="right", va="center", **style)
        for place, (metric, dt) in enumerate(panel.columns):
            outcome = worst.get((game, metric, dt))
            x = first + place * panel.cell
            if outcome is None:
                cells.append(_Cell(x, y, panel.cell, _CELL, "white", "", edge=FAINT))
            else:
                colour, mark = OUTCOME_COLOURS.get(outcome, INK), OUTCOME_MARKS.get(outcome, "")
                cells.append(_Cell(x, y, panel.cell, _CELL, colour, mark))
    return cells


def _heads(picture: Picture, panel: _Panel, first: float, body: float) -> None:
    previous_metric = previous_month = ""
    for place, (metric, dt) in enumerate(panel.columns):
        x = first + place * panel.cell
        if panel.by_day:
            day = _day(dt)
            month = f"{day:%B %Y}" if day else ""
            last = place == len(panel.columns) - 1
            if month != previous_month and place + 5 < len(panel.columns):
                picture.write(x, body - 0.3, month, size=8, color=QUIET)
            if day and (day.weekday() == 0 or last):
                picture.write(x + panel.cell / 2, body - 0.1, f"{day.day}", size=7, color=QUIET, ha="center")
            previous_month = month
            continue
        if not panel.title and metric != previous_metric:
            picture.write(x + 0.04, body - 0.3, _short(metric), size=8.5, weight="bold")
        previous_metric = metric
        day = _day(dt)
        said = f"{day.day} {day:%b}" if day else dt[:8]
        picture.write(x + panel.cell / 2, body - 0.1, said, size=7, color=QUIET, ha="center")


def _draw_cells(picture: Picture, cells: list[_Cell]) -> None:
    by_colour: dict[tuple[str, str | None], list[_Cell]] = {}
    for one in cells:
        by_colour.setdefault((one.colour, one.edge), []).append(one)
    for (colour, edge), alike in by_colour.items():
        picture.rectangles([(one.x, one.y, one.width, one.height) for one in alike], colour, edge=edge)
    for one in cells:
        if one.mark:
            shade = "white" if one.colour == OUTCOME_COLOURS["failed"] else INK
            picture.write(one.x + one.width / 2, one.y + one.height / 2, one.mark, size=6.5, color=shade, ha="center")


def _short(metric: str) -> str:
    return shortened(drawable(metric, "metric"), 16)


def _day(dt: str) -> date | None:
    return date(int(dt[:4]), int(dt[4:6]), int(dt[6:])) if len(dt) == 8 and dt.isdigit() else None
