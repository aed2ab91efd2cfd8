"""Values by time as an interactive chart, by Vega-Lite: one for the review site's pages and for the report.

Its JSON is what a page or JupyterLab draws; who runs no script sees a picture of it.
Source: https://vega.github.io/vega-lite/docs/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

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


def spec(
    period: Period,
    says: str,
    data: Mapping[str, Any],
    *,
    height: int,
    transform: Sequence[Mapping[str, Any]] = (),
    params: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the Vega-Lite chart of figures of one period: the line, what is suspect, what is missing.

    Args:
        period: of the figures.
        says: what it shows, for who cannot see it.
        data: rows of day, value and outcome, once they are transformed.
        height: of the chart, in pixels.
        transform: what makes those rows.
        params: `axis` says which days are named; further ones are what one chooses by.
        more: further members.
    """
    label = f"utcFormat(datum.day, '{'%B %Y' if period == 'month' else '%-d %B %Y'}')"
    return {
        "$schema": _SCHEMA,
        "description": says,
        "data": dict(data),
        "transform": [*transform, {"calculate": label, "as": "label"}],
        "params": list(params),
        "layer": _layers(period),
        "width": WIDTH,
        "height": height,
        **more,
    }


def _layers(period: Period) -> list[dict[str, Any]]:
    days = {"aria": False, "values": {"expr": "named"}, "labelExpr": "utcFormat(datum.value, told)"}
    x = {
        "field": "day", "type": "temporal", "title": None, "scale": {"type": "utc"},
        "axis": {**days, "labelOverlap": True},
    }  # fmt: skip
    # Figures are whole numbers: the axis has none between them.
    y = {
        "field": "value", "type": "quantitative", "title": None, "scale": {"zero": False},
        "axis": {"aria": False, "tickMinStep": 1, "format": ",d"},
    }  # fmt: skip
    label = {"field": "label", "type": "nominal", "title": _SAID[period]}
    value = {"field": "value", "type": "quantitative", "format": ","}
    outcome = {"field": "outcome", "type": "nominal"}
    return [
        {
            "mark": {"type": "line", "aria": False, "color": _LINE, "point": {"aria": False, "size": 14}},
            "encoding": {"x": x, "y": y, "tooltip": [label, value]},
        },
        {
            "transform": [{"filter": "datum.outcome == 'suspect' && isValid(datum.value)"}],
            "mark": {
                "type": "point", "aria": False, "color": _ILL, "shape": "diamond", "size": 90, "filled": True
            },
            "encoding": {"x": x, "y": y, "tooltip": [label, value, outcome]},
        },
        {
            "transform": [{"filter": "isValid(datum.outcome) && !isValid(datum.value)"}],
            "mark": {"type": "rule", "aria": False, "color": _ILL, "strokeDash": [3, 3]},
            "encoding": {"x": x, "tooltip": [label, outcome]},
        },
    ]  # fmt: skip
