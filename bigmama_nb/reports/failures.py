"""What failed and why, grouped by cause: seven games that failed for one reason are one line to read."""

from __future__ import annotations

import html
import re

import pandas as pd

from bigmama_nb.reports.shown import Html

CAUSE_COLUMNS = ["outcome", "reason", "games", "tasks", "days", "what", "message"]
_NAMES_SHOWN = 12
LIVE = "live_play"


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
    """Return the run in a sentence: `4,080 of 4,230 figures published; 5 games failed, 3 causes; 1 not ready`.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published
            (`yes`, `no`, `unknown`).
    """
    if outcomes.empty:
        return "Nothing was asked for"
    outcomes = as_grid(outcomes)
    published = int((outcomes["published"] == "yes").sum())
    parts = [f"{published:,} of {_count(len(outcomes), _noun(outcomes, 'figure', 'partition'))} published"]
    causes = failures(outcomes)
    for outcome, says in (
        ("failed", "failed"),
        ("not_ready", "not ready"),
        ("suspect", "suspect"),
        ("skipped", "skipped"),
    ):
        rows = outcomes[outcomes["outcome"] == outcome]
        if rows.empty:
            continue
        part = f"{_count(rows['game_cd'].nunique(), _noun(rows, 'game', 'table'))} {says}"
        if outcome == "failed":
            part += f", {_count(int((causes['outcome'] == outcome).sum()), 'cause')}"
        parts.append(part)
    return "; ".join(parts)


def failures(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Group the tasks that ended and are not `ok` by their cause.

    Tasks have one cause when outcome, reason and message are the same but for game, metric, day and other numbers.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published.

    Returns:
        One row a cause, failed first, then most games first: outcome, reason, games (codes, sorted, comma-separated),
        tasks int64, days (first … last dt), what (types, sorted), message (of the cause's latest task).
    """
    rows = as_grid(outcomes)
    # A task without an outcome yet is neither well nor ill.
    rows = rows[rows["outcome"].notna() & (rows["outcome"] != "ok")].copy()
    if rows.empty:
        return pd.DataFrame(
            {column: pd.Series(dtype="int64" if column == "tasks" else "str") for column in CAUSE_COLUMNS}
        )
    rows["reason"] = rows["reason"].fillna("").astype(str)
    rows["message"] = rows["message"].fillna("").astype(str)
    rows["cause"] = [
        cause_of(message, [str(name) for name in own])
        for message, *own in zip(rows["message"], rows["game_cd"], rows["type"], rows["dt"], strict=True)
    ]
    order = {outcome: place for place, outcome in enumerate(("failed", "suspect", "not_ready", "skipped"))}
    found = []
    for (outcome, reason, _), group in rows.groupby(["outcome", "reason", "cause"], sort=True):
        games = sorted(set(group["game_cd"].astype(str)))
        days = group["dt"].astype(str)
        latest = group.assign(dt=days).sort_values(["dt", "game_cd", "type"]).iloc[-1]
        first, last = days.min(), days.max()
        found.append(
            {
                "outcome": outcome,
                "reason": reason,
                "games": ", ".join(games),
                "tasks": len(group),
                "days": first if first == last else f"{first} … {last}",
                "what": ", ".join(sorted(set(group["type"].astype(str)))),
                "message": latest["message"],
                "order": (order.get(str(outcome), len(order)), -len(games), games),
            }
        )
    found.sort(key=lambda cause: (cause["order"], cause["reason"], cause["message"]))
    return pd.DataFrame(found)[CAUSE_COLUMNS]


def failures_html(outcomes: pd.DataFrame, *, repair: str = "") -> Html:
    """Return the causes as a table for a notebook, everything in it escaped; in words where nothing failed.

    Args:
        outcomes: one row a task: game_cd, type, dt (or table, part_date), outcome, reason, message, published.
        repair: the command that does again what failed, shown under the table.
    """
    causes = failures(outcomes)
    said = headline(outcomes)
    if causes.empty:
        return Html(f"<p><b>{html.escape(said)}.</b></p>", f"{said}.")
    lines = [f"<p><b>{html.escape(said)}.</b></p>", '<table style="text-align:left">']
    heads = ("outcome", "cause", "games", "metrics", "days", "tasks", "for example")
    lines.append(
        "<thead><tr>" + "".join(f'<th style="text-align:left">{head}</th>' for head in heads) + "</tr></thead><tbody>"
    )
    text = [f"{said}."]
    for cause in causes.to_dict("records"):
        games = str(cause["games"]).split(", ")
        shown = ", ".join(games[:_NAMES_SHOWN]) + (
            f" and {len(games) - _NAMES_SHOWN:,} more" if len(games) > _NAMES_SHOWN else ""
        )
        cells = (
            cause["outcome"],
            cause["reason"],
            f"{len(games):,}: {shown}",
            cause["what"],
            cause["days"],
            f"{cause['tasks']:,}",
            cause["message"],
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


def _noun(rows: pd.DataFrame, of_games: str, of_tables: str) -> str:
    live = rows["type"] == LIVE
    return of_tables if live.all() else f"{of_games}s and {of_tables}" if live.any() else of_games


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def cause_of(message: str, own: list[str]) -> str:
    """Return a message without the names and numbers of the task that it tells of."""
    for name in own:
        message = re.sub(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", "…", message)
    message = re.sub(r"\b[0-9a-f]{24}\b", "…", message)
    # Digits within a name stay: the clusters ncmc2 and ncmc3 are two causes.
    return re.sub(r"(?<![A-Za-z0-9_])\d[\d,.:-]*", "#", message)
