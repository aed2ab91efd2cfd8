"""From a table to a figure that one would show to a manager. Nothing here reads or writes."""

from bigmama_nb.reports.canvas import Chart, Html
from bigmama_nb.reports.failures import failures, failures_html, headline
from bigmama_nb.reports.grid import outcome_grid
from bigmama_nb.reports.history import metric_history

__all__ = ["Chart", "Html", "failures", "failures_html", "headline", "metric_history", "outcome_grid"]
