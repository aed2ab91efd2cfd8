"""The live-viewing job: from the six sources to files of every table of one part_date, and of the periods above it.

Nothing here publishes: `build` and its kin return values, and files in a folder of the caller's.
"""

from bigmama_nb.live_play.build import build
from bigmama_nb.live_play.dates import Due, Published, due_dates
from bigmama_nb.live_play.result import Built, Options, TableFiles
from bigmama_nb.live_play.rollups import build_kpi, build_month
from bigmama_nb.live_play.sources import Sources

__all__ = [
    "Built",
    "Due",
    "Options",
    "Published",
    "Sources",
    "TableFiles",
    "build",
    "build_kpi",
    "build_month",
    "due_dates",
]
