"""Changes as bars: each with its words, a fall another colour than a rise, and nothing to compare said."""

from __future__ import annotations

import pandas as pd
import pytest

from bigmama_nb.reports import Chart, change_bars


def texts(chart: Chart) -> list[str]:
    """Return what a chart of matplotlib's says."""
    return [text.get_text() for axes in chart.axes for text in axes.texts] + [text.get_text() for text in chart.texts]


def test_each_change_is_said() -> None:
    """What is unknown has no bar."""
    chart = change_bars(pd.Series({"Game A": 12.34, "Game B": -5.0, "Game C": float("nan")}), title="Growth")
    assert {"Game A", "+12.3 %", "Game B", "−5.0 %"} <= {text.strip() for text in texts(chart)}
    assert "Game C" not in texts(chart)
    colours = [patch.get_facecolor() for patch in chart.axes[0].patches]
    assert len(set(colours)) == len(colours) == 2


@pytest.mark.parametrize("values", [{}, {"Game A": float("nan")}])
def test_nothing_to_compare_is_said(values: dict[str, float]) -> None:
    """One day of history, or none: no empty axes, and no error."""
    chart = change_bars(pd.Series(values, dtype="float64"), title="Growth")
    assert texts(chart) == ["Growth: no two days to compare"]
    assert chart.png().startswith(b"\x89PNG")
