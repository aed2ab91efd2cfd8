"""Values by time as an interactive chart, by Vega-Altair: one for the review site's pages and for the report.

Vega-Lite's JSON is what a page or JupyterLab draws; who runs no script sees a picture of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import altair as alt

from bigmama_nb.periods import Period
from bigmama_nb.reports.shown import VEGA_LITE

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_VERSION = "6.4"
WIDTH = 900
"""Pixels of a chart in a notebook, whose outputs have no width of their own; a page makes it as wide as its place."""
_LINE, _ILL = "#0072b2", "#d55e00"
_NAMED = 13
"""How many periods the axis names at most: they stand side by side then."""
_STEPS: Mapping[Period, tuple[int, ...]] = {
    "day": (1, 2, 7, 14, 28),
    "week": (1, 2, 4, 13, 26),
    "month": (1, 2, 3, 6, 12),
}
_SAID: Mapping[Period, str] = {"day": "day", "week": "week from", "month": "month"}


@dataclass(frozen=True)
class Timeline:
    """A chart that shows itself in a notebook: to be used where that is possible, else as a picture."""

    spec: Mapping[str, Any]
    says: str

    def __repr__(self) -> str:
        return f"<Chart: {self.says}>"

    def svg(self) -> str:
        """Return the chart as it first stands, as a picture; what one chooses by is not in it."""
        import vl_convert  # a JavaScript engine, which only a report needs

        return str(vl_convert.vegalite_to_svg({**self.spec, "background": "white"}, vl_version=_VERSION))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {VEGA_LITE: dict(self.spec), "image/svg+xml": self.svg(), "text/plain": repr(self)}


def in_utc_ms(day: date) -> int:
    """Return a day as Vega has it: milliseconds since 1970. It is cut in UTC, whatever zone a browser is in."""
    return round(datetime.combine(day, time(), UTC).timestamp() * 1000)


def named(days: Sequence[date], period: Period) -> list[date]:
    """Return which of the days or periods, oldest first, the axis names: the newest, and others at one distance."""
    steps = list(_STEPS[period])
    while len(days) / steps[0] > _NAMED:
        steps = steps[1:] or [2 * steps[0]]
    return list(days[:: -steps[0]])[::-1]


def axis(days: Sequence[date], period: Period) -> list[dict[str, Any]]:
    """Return the parameters by which a chart's axis names days, oldest first, or the first days of periods."""
    told = "%b %Y" if period == "month" else "%-d %b" if days[0].year == days[-1].year else "%-d %b %Y"
    return [
        {"name": "named", "value": [in_utc_ms(day) for day in named(days, period)]},
        {"name": "told", "value": told},
    ]


def layers(period: Period) -> Any:
    """Return the layers of a chart whose data have day, value and outcome: the line, what is suspect, what is missing.

    It is the same for all figures of one period; `axis` says which of them are named.
    """
    x = alt.Axis(aria=False, values=alt.ExprRef("named"), labelExpr="utcFormat(datum.value, told)", labelOverlap=True)
    base = alt.Chart().encode(x=alt.X("day:T", title=None, scale=alt.Scale(type="utc"), axis=x))
    # Figures are whole numbers: the axis has none between them.
    y = alt.Axis(aria=False, tickMinStep=1, format=",d")
    value = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=y)
    tooltip = [alt.Tooltip("label:N", title=_SAID[period]), alt.Tooltip("value:Q", format=",")]
    dots = alt.OverlayMarkDef(size=14, aria=False)
    line = base.mark_line(point=dots, color=_LINE, aria=False).encode(y=value, tooltip=tooltip)
    suspect = (
        base.mark_point(aria=False, shape="diamond", size=90, color=_ILL, filled=True)
        .encode(y=value, tooltip=[*tooltip, "outcome:N"])
        .transform_filter("datum.outcome == 'suspect' && isValid(datum.value)")
    )
    missing = (
        base.mark_rule(aria=False, color=_ILL, strokeDash=[3, 3])
        .encode(tooltip=[tooltip[0], "outcome:N"])
        .transform_filter("isValid(datum.outcome) && !isValid(datum.value)")
    )
    return line + suspect + missing


def as_spec(chart: Any, period: Period, says: str, *, height: int) -> dict[str, Any]:
    """Return a chart as Vega-Lite's JSON; `says` is what it is for who cannot see it."""
    label = f"utcFormat(datum.day, '{'%B %Y' if period == 'month' else '%-d %B %Y'}')"
    made: dict[str, Any] = chart.transform_calculate(label=label).properties(width=WIDTH, height=height).to_dict()
    return {**made, "$schema": _SCHEMA, "description": says}
