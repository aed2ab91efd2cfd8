"""What a notebook calls: one call for each thing that a stage does, and what it shows of it."""

from bigmama_nb.stages.context import StageContext, begin
from bigmama_nb.stages.game_metric import (
    extract,
    game_names,
    load_by_cluster,
    normalize,
    outcomes,
    publish,
    reader,
    receipt,
    repair_command,
    suspects,
)
from bigmama_nb.stages.report_parts import report

__all__ = [
    "StageContext",
    "begin",
    "extract",
    "game_names",
    "load_by_cluster",
    "normalize",
    "outcomes",
    "publish",
    "reader",
    "receipt",
    "repair_command",
    "report",
    "suspects",
]
