"""What a notebook calls: one call for each thing that a stage does, and what it shows of it."""

from bigmama_nb.stages.context import StageContext, begin
from bigmama_nb.stages.game_metric import (
    extract,
    figures,
    game_names,
    latest,
    load_by_cluster,
    normalize,
    outcomes,
    publish,
    reader,
    receipt,
    repair_command,
    suspects,
)

__all__ = [
    "StageContext",
    "begin",
    "extract",
    "figures",
    "game_names",
    "latest",
    "load_by_cluster",
    "normalize",
    "outcomes",
    "publish",
    "reader",
    "receipt",
    "repair_command",
    "suspects",
]
