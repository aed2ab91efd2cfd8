"""The head of a report: of which day its figures are, whether all are there, and each metric in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape

import pandas as pd

from bigmama_nb.periods import day_of
from bigmama_nb.reports.changes import shown_change
from bigmama_nb.reports.section import Section, compared, period_said
from bigmama_nb.reports.section_shown import anchor, column
from bigmama_nb.reports.shown import Html, aligned

_NAMED = 12
_WORDS = {"not_ready": "Late", "failed": "Failed", "suspect": "Suspect and held", "skipped": "Skipped"}


def completeness(outcomes: pd.DataFrame, names: Mapping[str, str], *, what: str, noun: str) -> Html:
    """Return in a sentence of which day the figures are, and whether all that was due for it is there.

    Args:
        outcomes: one row a task: name (a game's code or a table), of (metric, empty of a table), day (`YYYY-MM-DD`, the
            last that it counts), outcome, published, final.
        names: what to call a game.
        what: what they are figures of, `Game metrics`.
        noun: what one of them is called, `figure`.
    """
    newest = max(outcomes["day"])
    due = outcomes[outcomes["day"] == newest]
    # What a later run published, or somebody took out, is no figure that is missing.
    good = (outcomes["outcome"] == "ok") | ((outcomes["outcome"] == "suspect") & (outcomes["published"] == "yes"))
    there = due[good[due.index]]
    day = day_said(day_of(newest))
    is_complete = len(there) == len(due)
    verb = "is" if len(there) == 1 else "are"
    if is_complete:
        said = [
            f"all {len(due):,} {noun}s due are published." if len(due) != 1 else f"the one {noun} due is published."
        ]
    else:
        said = [f"{len(there):,} of {len(due):,} {noun}{'' if len(due) == 1 else 's'} due {verb} published."]
    if not is_complete:
        gone = due[~good[due.index]]
        said += [
            f"{_WORDS.get(str(outcome), 'Without an outcome')}: {_listed(rows, names)}."
            for outcome, rows in gone.groupby(gone["outcome"].fillna(""), sort=False)
        ]
    doubtful = there[there["outcome"] == "suspect"]
    if len(doubtful):
        said.append(f"Suspect, published all the same: {_listed(doubtful, names)}.")
    earlier = outcomes[(outcomes["day"] < newest) & ~good]
    if len(earlier):
        said.append(f"Of earlier days {len(earlier):,} {'is' if len(earlier) == 1 else 'are'} missing.")
    if not there["final"].all() and noun == "table":
        said.append("Its log goes on: the figures are not final.")
    sign, css = (
        ("✓", "well") if is_complete and not len(doubtful) else ("?", "doubtful") if is_complete else ("×", "ill")
    )
    word = "complete" if is_complete else "not complete"
    text = f"{what} of {day} – {word}: {' '.join(said)}"
    html = f"<b>{escape(what)} of {escape(day)} – {word}</b>: {escape(' '.join(said))}"
    return Html(f'<p class="{css}"><span aria-hidden="true">{sign}</span> {html}</p>', f"{sign} {text}")


def day_said(day: date) -> str:
    """Return a day as one names it: `1 May 2024`."""
    return f"{day.day} {day:%B %Y}"


def _listed(rows: pd.DataFrame, names: Mapping[str, str]) -> str:
    metrics: dict[str, list[str]] = {}
    for name, of in zip(rows["name"], rows["of"], strict=True):
        metrics.setdefault(names.get(name, name), []).append(of)
    parts = [f"{name} ({', '.join(own)})" if any(own) else name for name, own in metrics.items()]
    return ", ".join(parts[:_NAMED]) + (f" and {len(parts) - _NAMED:,} more" if len(parts) > _NAMED else "")


def at_a_glance(found: Sequence[Section]) -> Html:
    """Return a table of the metrics, a line each: the total, or the largest value where none is formed, its change to
    the period before, of which period it is, and how many values of all are there."""
    heads = ("metric", "total or largest", "change", "of", "values")
    html = ['<div class="wide" tabindex="0"><table class="figures glance"><thead><tr>']
    html += [*(f"<th>{head}</th>" for head in heads), "</tr></thead><tbody>"]
    texts = [heads]
    for section in found:
        row = _glance(section)
        texts.append((section.topic.title, *row))
        link = f'<a href="#{escape(anchor(section))}">{escape(section.topic.title)}</a>'
        html.append(f'<tr><th style="text-align:left">{link}</th>')
        html += [f"<td>{escape(cell)}</td>" for cell in row] + ["</tr>"]
    html.append("</tbody></table></div>")
    return Html("".join(html), aligned(texts))


def _glance(section: Section) -> tuple[str, str, str, str]:
    topic = section.topic
    dt = section.whole or section.so_far
    if dt is None:
        return "–", "–", "–", f"0 of {len(section.lines):,}"
    open_ = section.whole is None
    values = {
        line.code: line.so_far[dt][0] if open_ else line.whole[dt]
        for line in section.lines
        if dt in (line.so_far if open_ else line.whole)
    }
    name, before = next(iter(compared(section, dt).items()))
    unit = f" {topic.unit}" if topic.unit else ""
    value, earlier, whose = section.total(dt, open_=open_), None if open_ else section.total(before), ""
    # Of a metric that adds up a figure of one game would be taken for that of all.
    if not topic.additive and values:
        # Sorted as the section's lines are: the largest first.
        largest = next(line for line in section.lines if line.code in values)
        value, earlier, whose = values[largest.code], largest.whole.get(before), f", {largest.name}"
    change = "–" if open_ else shown_change(value, earlier)
    return (
        "–" if value is None else f"{value:,}{unit}{whose}",
        change if change == "–" else f"{change} on the {name}",
        column(section, dt, open_=open_) if open_ else period_said(dt, topic.period),
        f"{len(values):,} of {len(section.lines):,}",
    )
