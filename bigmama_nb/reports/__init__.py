"""From a table to a figure that one would show to a manager. Nothing here reads or writes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bigmama_nb.reports.failures import failures, failures_html, headline
from bigmama_nb.reports.shown import Html

if TYPE_CHECKING:
    from bigmama_nb.reports.bars import change_bars
    from bigmama_nb.reports.grid import outcome_grid
    from bigmama_nb.reports.live_play import audiences, concurrent_viewers, watch_time
    from bigmama_nb.reports.style import Chart

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

# matplotlib takes a quarter of a second to import, and most stages draw nothing.
_DRAWN = {
    "Chart": "style",
    "change_bars": "bars",
    "outcome_grid": "grid",
    **dict.fromkeys(("audiences", "concurrent_viewers", "watch_time"), "live_play"),
}


def __getattr__(name: str) -> Any:
    if name in _DRAWN:
        return getattr(importlib.import_module(f"{__name__}.{_DRAWN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
