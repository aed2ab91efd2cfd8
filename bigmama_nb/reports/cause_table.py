"""The causes of what failed as frames and as a table, for notebooks."""

from __future__ import annotations

import html

import pandas as pd

from bigmama_nb.reports import causes
from bigmama_nb.reports.causes import LIVE
from bigmama_nb.reports.shown import Html

CAUSE_COLUMNS = ["outcome", "reason", "games", "tasks", "days", "what", "message"]
_NAMES_SHOWN = 12
_TEXTS = ("game_cd", "type", "dt", "outcome", "reason", "message", "published")


def as_grid(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes with a line and a column for every task.

    A live-viewing task has table and part_date instead of game_cd, type and dt: its table is the line, its date the
    column, `live_play` the type.
    """
    rows = outcomes.copy()
    if "table" in rows:
        is_table = rows["game_cd"].isna()
        rows.loc[is_table, "game_cd"] = rows.loc[is_table, "table"]
        rows.loc[is_table, "type"] = LIVE
        rows.loc[is_table, "dt"] = rows.loc[is_table, "part_date"].astype("str").str.replace("-", "")
    return rows


def headline(outcomes: pd.DataFrame) -> str:
    """Return the run in a sentence: `4,080 of 4,230 figures published; 5 games failed, 3 causes; 1 game not ready`.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published
            (`yes`, `no`, `unknown`).
    """
    return causes.sentence(_tasks(outcomes))


def failures(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Group the tasks that ended and are not `ok` by their cause.

    Tasks have one cause when outcome, reason and message are the same but for game, metric, day and other numbers.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published.

    Returns:
        One row a cause, failed first, then most games first: outcome, reason, games (codes, sorted, comma-separated),
        tasks int64, days (first … last dt), what (types, sorted), message (of the cause's latest task).
    """
    rows = [
        (
            one.outcome, one.reason, ", ".join(one.lines), len(one.tasks), one.days, ", ".join(one.types), one.message
        )
        for one in causes.causes(_tasks(outcomes))
    ]  # fmt: skip
    types = {column: "int64" if column == "tasks" else "str" for column in CAUSE_COLUMNS}
    return pd.DataFrame(rows, columns=CAUSE_COLUMNS).astype(types)


def _tasks(outcomes: pd.DataFrame) -> list[causes.GridTask]:
    rows = as_grid(outcomes)
    # Nearly all are texts already, of tasks that may be many.
    texts = [[one if one.__class__ is str else _text(one) for one in rows[name].tolist()] for name in _TEXTS]
    return [causes.GridTask(*row) for row in zip(*texts, strict=True)]


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def failures_html(outcomes: pd.DataFrame, *, repair: str = "") -> Html:
    """Return the causes as a table for a notebook, everything in it escaped; in words where nothing failed.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published.
        repair: the command that does again what failed, shown under the table.
    """
    tasks = _tasks(outcomes)
    found = causes.causes(tasks)
    said = causes.sentence(tasks)
    if not found:
        return Html(f"<p><b>{html.escape(said)}.</b></p>", f"{said}.")
    lines = [f"<p><b>{html.escape(said)}.</b></p>", '<table style="text-align:left">']
    heads = ("outcome", "cause", "games", "metrics", "days", "tasks", "for example")
    lines.append(
        "<thead><tr>" + "".join(f'<th style="text-align:left">{head}</th>' for head in heads) + "</tr></thead><tbody>"
    )
    text = [f"{said}."]
    for cause in found:
        games = cause.lines
        shown = ", ".join(games[:_NAMES_SHOWN]) + (
            f" and {len(games) - _NAMES_SHOWN:,} more" if len(games) > _NAMES_SHOWN else ""
        )
        cells = (
            cause.outcome,
            cause.reason,
            f"{len(games):,}: {shown}",
            ", ".join(cause.types),
            cause.days,
            f"{len(cause.tasks):,}",
            cause.message,
        )
        styles = ["", "", "", "", "white-space:nowrap", "text-align:right", "white-space:pre-wrap"]
        lines.append(
            "<tr>"
            + "".join(
                f'<td style="text-align:left;vertical-align:top;{style}">{html.escape(str(cell))}</td>'
                for cell, style in zip(cells, styles, strict=True)
            )
            + "</tr>"
        )
        text.append("  ".join(str(cell) for cell in cells if cell != ""))
    lines.append("</tbody></table>")
    if repair:
        lines.append(f"<p>To do these again: <code>{html.escape(repair)}</code></p>")
        text.append(f"To do these again: {repair}")
    return Html("\n".join(lines), "\n".join(text))
