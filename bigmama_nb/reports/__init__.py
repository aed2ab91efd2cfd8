"""From a table to a figure that one would show to a manager. Nothing here reads or writes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigmama_nb.reports.bars import change_bars
    from bigmama_nb.reports.cause_table import failures, failures_html, headline
    from bigmama_nb.reports.chart import Chart
    from bigmama_nb.reports.grid import outcome_grid
    from bigmama_nb.reports.live_play import audiences, concurrent_viewers, watch_time
    from bigmama_nb.reports.shown import Html

__all__ = [
    "Chart",
    "Html",
    "audiences",
    "change_bars",
    "concurrent_viewers",
    "failures",
    "failures_html",
    "headline",
    "outcome_grid",
    "watch_time",
]

# pandas and matplotlib take a quarter of a second each to import: the command needs neither, most stages draw nothing.
_FROM = {
    "Chart": "chart",
    "Html": "shown",
    "change_bars": "bars",
    "outcome_grid": "grid",
    **dict.fromkeys(("failures", "failures_html", "headline"), "cause_table"),
    **dict.fromkeys(("audiences", "concurrent_viewers", "watch_time"), "live_play"),
}


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
