"""Changes in percent as bars, the first at the top."""

from __future__ import annotations

import pandas as pd

from bigmama_nb.reports.chart import Chart, bare, write
from bigmama_nb.reports.style import ACCENT, QUIET, drawable, shortened

_FALL = "#c2410c"


def change_bars(percent: pd.Series[float], *, title: str) -> Chart:
    """Draw changes in percent as bars, the first at the top.

    Args:
        percent: by what they are changes of; what is null has no bar.
        title: stands at the top.

    Returns:
        A picture; without any change one that says so.
    """
    known = percent.dropna()
    if known.empty:
        chart = Chart(f"{title}: no two days to compare", 7.5, 0.7)
        write(chart, 0.03, 0.5, f"{title}: no two days to compare", size=11, color=QUIET, va="center")
        return chart
    height = 0.9 + 0.32 * len(known)
    chart = Chart(title, 8, height)
    write(chart, 0.02, 1 - 0.2 / height, shortened(drawable(title, "Changes"), 90), size=13, weight="bold", va="top")
    axes = chart.add_axes((0.22, 0.1 / height, 0.68, 1 - 0.75 / height))
    bare(axes)
    places = range(len(known))
    axes.barh(list(places), list(known), color=[_FALL if one < 0 else ACCENT for one in known], height=0.7)
    axes.invert_yaxis()
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.margins(x=0.12)
    for place, (name, value) in zip(places, known.items(), strict=True):
        label = shortened(drawable(str(name), "game"), 22)
        write(axes, -0.02, place, label, size=9, transform=axes.get_yaxis_transform(), ha="right", va="center")
        said = f" {value:+,.1f} % ".replace("-", "−")
        write(axes, value, place, said, size=8.5, ha="right" if value < 0 else "left", va="center")
    return chart
