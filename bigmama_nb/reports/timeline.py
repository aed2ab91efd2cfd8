"""Values by time as an interactive chart, by Vega-Altair: one for the review site's pages and for the report.

Vega-Lite's JSON is what a page or JupyterLab draws; who runs no script sees a picture of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

from bigmama_nb.reports.shown import VEGA_LITE

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_VERSION = "6.4"
WIDTH = 900
"""Pixels of a chart in a notebook, whose outputs have no width of their own; a page makes it as wide as its place."""
_LINE, _ILL = "#0072b2", "#d55e00"
LEGEND = "Diamonds are suspect, dashed lines are days without a value."


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


def layers() -> Any:
    """Return the layers of a chart whose data have day, value and outcome: the line, what is suspect, what is missing.

    Days are cut in UTC, whatever zone a browser is in: they are dates.
    """
    base = alt.Chart().encode(x=alt.X("day:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(aria=False)))
    value = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(aria=False))
    tooltip = [alt.Tooltip("label:N", title="day"), alt.Tooltip("value:Q", format=",")]
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


def as_spec(chart: Any, says: str, *, height: int) -> dict[str, Any]:
    """Return a chart as Vega-Lite's JSON; `says` is what it is for who cannot see it."""
    labelled = chart.transform_calculate(label="utcFormat(datum.day, '%Y-%m-%d')")
    made: dict[str, Any] = labelled.properties(width=WIDTH, height=height).to_dict()
    return {**made, "$schema": _SCHEMA, "description": says}
