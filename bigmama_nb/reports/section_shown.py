"""A section as it is shown: its head, its chart and its table, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

from bigmama_nb.reports.changes import shown_change
from bigmama_nb.reports.section import Line, Section, compared, period_said
from bigmama_nb.reports.shown import OUTCOME_MARKS, Html, aligned
from bigmama_nb.reports.sparkline import sparkline
from bigmama_nb.reports.timeline import Timeline, axis, in_utc_ms, spec

_HEIGHT = 170
_DAYS_NAMED = 3
_MARKS = {**OUTCOME_MARKS, "ok": "✓"}


@dataclass(frozen=True)
class Sections:
    """Sections that show themselves in a notebook one below the other: head, chart, table of each."""

    found: Sequence[Section]
    without: str
    """What is said where there is none."""

    def outputs(self) -> list[Html | Timeline]:
        """Return what is shown, in order."""
        if not self.found:
            return [Html(f"<p>{escape(self.without)}</p>", self.without)]
        parts: list[Html | Timeline] = []
        for section in self.found:
            drawn = chart(section)
            parts += [head(section), *([drawn] if drawn else []), table(section)]
        return parts

    def _ipython_display_(self) -> None:
        from IPython.display import display  # it is there in a kernel, and slow to import elsewhere

        for output in self.outputs():
            display(output)


def anchor(section: Section) -> str:
    """Return the name by which a link leads to the section."""
    return f"metric-{section.topic.name}"


def head(section: Section) -> Html:
    """Return the metric's title, unit and definition, and its total or why there is none."""
    topic = section.topic
    unit = f" ({topic.unit})" if topic.unit else ""
    said = [topic.description or "", *_totals(section)]
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in said if text)
    named = escape(topic.title), escape(unit)
    html = f'<h3 id="{escape(anchor(section))}">{named[0]}<small>{named[1]}</small></h3>{paragraphs}'
    return Html(html, "\n".join([f"{topic.title}{unit}", *filter(None, said)]))


def _totals(section: Section) -> list[str]:
    topic = section.topic
    if not topic.additive:
        return [f"No total: values of several {topic.of}s do not add up."]
    said = []
    for dt, open_ in ((section.so_far, True), (section.whole, False)):
        if dt is None:
            continue
        total = section.total(dt, open_=open_)
        period = column(section, dt, open_=open_)
        if total is None:
            said.append(f"{period}: no total, since not every {topic.of}'s value is there.")
            continue
        changes = [
            f"{shown_change(total, earlier)} on the {name}"
            for name, before in (compared(section, dt) if not open_ else {}).items()
            if (earlier := section.total(before)) is not None
        ]
        said.append(f"{period}: {total:,} in total" + "".join(f", {change}" for change in changes) + ".")
    return said


def column(section: Section, dt: date, *, open_: bool) -> str:
    """Return the head of a column: the period, and through which day it is counted where it is not over."""
    period = period_said(dt, section.topic.period)
    if not open_:
        return period
    through = section.through
    if through is None or section.topic.period == "day":
        return f"{period}, not final"
    return f"{period}, through {through.day} {through:%B}"


# The table


def table(section: Section) -> Html:
    """Return the table of the section: a line each game, with its values, changes, course and what is to be minded."""
    before = compared(section, section.whole) if section.whole else {}
    heads = [section.topic.of]
    if section.so_far:
        heads.append(column(section, section.so_far, open_=True))
    if section.whole:
        heads += [column(section, section.whole, open_=False), *before]
    heads += [_course_head(section), "to be minded"]
    rows = [_row(section, line, list(before.values())) for line in section.lines]
    course = len(heads) - 2
    html = [
        '<div class="wide" tabindex="0"><table class="figures"><thead><tr>',
        *(f"<th>{escape(text)}</th>" for text in heads),
        "</tr></thead><tbody>",
    ]
    for line, cells in zip(section.lines, rows, strict=True):
        html.append(f'<tr><th style="text-align:left">{escape(cells[0])}</th>')
        html += [f'<td class="n">{escape(cell)}</td>' for cell in cells[1:course]]
        html.append(f'<td>{_course(section, line)}</td><td style="text-align:left">{_minded(cells[-1])}</td></tr>')
    html.append("</tbody></table></div>")
    texts = [heads[:course] + heads[-1:], *(cells[:course] + cells[-1:] for cells in rows)]
    return Html("".join(html), aligned(texts))


def _course_head(section: Section) -> str:
    if not section.dts:
        return "course"
    return f"since {period_said(section.dts[0], section.topic.period)}"


def _row(section: Section, line: Line, before: Sequence[date]) -> list[str]:
    cells = [line.name]
    if section.so_far:
        value, _ = line.so_far.get(section.so_far, (None, None))
        cells.append(_number(value))
    if section.whole:
        newest = line.whole.get(section.whole)
        cells += [_number(newest), *(shown_change(newest, line.whole.get(dt)) for dt in before)]
    return [*cells, "", _notes(section, line)]


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _minded(text: str) -> str:
    return f'<span class="minded">{escape(text)}</span>' if text else ""


def _notes(section: Section, line: Line) -> str:
    """Return in words what is suspect, late or missing, and which figure is older or counted through an earlier day."""
    period = section.topic.period
    said = []
    for dt in (section.so_far, section.whole):
        if dt is None:
            continue
        outcome = line.ill.get(dt)
        here = dt in line.whole or dt in line.so_far
        if outcome is not None:
            said.append(f"{_MARKS.get(outcome, '·')} {outcome.replace('_', ' ')}: {period_said(dt, period)}")
        elif not here and line.newest:
            said.append(f"{section.topic.absent}: {period_said(dt, period)}")
        if dt in line.so_far:
            value, through = line.so_far[dt]
            if dt != section.so_far:
                said.append(f"{value:,} of {period_said(dt, period)} is counted through {through.day} {through:%B}")
            elif through != section.through:
                said.append(f"through {through.day} {through:%B} only")
    newest = line.newest
    if newest is None:
        said.append(f"{section.topic.absent} yet")
    elif newest < min(filter(None, (section.whole, section.so_far)), default=newest):
        value = line.whole[newest] if newest in line.whole else line.so_far[newest][0]
        said.append(f"newest value {value:,} of {period_said(newest, period)}")
    earlier = [dt for dt in sorted(line.ill) if dt not in (section.whole, section.so_far) and dt in section.dts]
    for outcome in dict.fromkeys(line.ill[dt] for dt in earlier):
        days = [dt for dt in earlier if line.ill[dt] == outcome]
        named = ", ".join(period_said(dt, period) for dt in days[-_DAYS_NAMED:])
        more = f" and {len(days) - _DAYS_NAMED} before" if len(days) > _DAYS_NAMED else ""
        said.append(f"{_MARKS.get(outcome, '·')} {outcome.replace('_', ' ')}: {named}{more}")
    return "; ".join(said)


def _course(section: Section, line: Line) -> str:
    values = [line.whole.get(dt) for dt in section.dts]
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    suspect = [place for place, dt in enumerate(section.dts) if line.ill.get(dt) == "suspect"]
    missing = [place for place, dt in enumerate(section.dts) if dt in line.ill and dt not in line.whole]
    says = f"{len(known)} values from {min(known):,} to {max(known):,}, last {known[-1]:,}"
    return sparkline(values, says, missing=missing, suspect=suspect)


# The chart


def chart(section: Section) -> Timeline | None:
    """Return the course of one game to be chosen, the largest first, as a chart; None where there are no two values.

    What is not over yet is in the table alone.
    """
    lines = [line for line in section.lines if any(dt in line.whole for dt in section.dts)]
    if len(section.dts) < 2 or not lines:
        return None
    keys = [f"s{number}" for number in range(len(lines))]
    rows = [
        {"series": key, "value": [line.whole.get(dt) for dt in section.dts]}
        for key, line in zip(keys, lines, strict=True)
    ]
    days = [{"n": n, "day": in_utc_ms(dt)} for n, dt in enumerate(section.dts, start=1)]
    ill = [
        {"at": f"{key} {n}", "outcome": line.ill[dt]}
        for key, line in zip(keys, lines, strict=True)
        for n, dt in enumerate(section.dts, start=1)
        if dt in line.ill
    ]
    # No CSV: what parses one evaluates code, which no page here allows.
    transform: list[dict[str, Any]] = [
        {"filter": "datum.series == chosen"},
        {"flatten": ["value"]},
        {"window": [{"op": "row_number", "as": "n"}]},
        {"lookup": "n", "from": {"data": {"values": days}, "key": "n", "fields": ["day"]}},
        {"calculate": "datum.series + ' ' + datum.n", "as": "at"},
        {"lookup": "at", "from": {"data": {"values": ill or [{"at": ""}]}, "key": "at", "fields": ["outcome"]}},
    ]
    names = [line.name for line in lines]
    choice = {"input": "select", "options": keys, "labels": names, "name": f"{section.topic.of} "}
    params = [{"name": "chosen", "value": keys[0], "bind": choice}, *axis(section.dts, section.topic.period)]
    says = f"{section.topic.title} of {lines[0].name}"
    values = {"values": rows}
    return Timeline(spec(section.topic.period, says, values, height=_HEIGHT, transform=transform, params=params), says)
