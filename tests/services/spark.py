"""Spark of the tests: two threads of this machine, and few partitions, since small data make small tasks."""

from __future__ import annotations

import shutil
from pathlib import Path

from bigmama_nb.engines.spark import SparkEngine
from tests.services import require_program

SMALL = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}


def removed(folder: str) -> None:
    """Delete a local folder."""
    shutil.rmtree(folder, ignore_errors=True)


def small_spark(folder: Path, **conf: str) -> SparkEngine:
    """Return Spark with two threads, its own files below `folder`."""
    require_program("java")
    own = {"spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    return SparkEngine(
        master="local[2]",
        conf=SMALL | own | conf,
        scratch=str(folder / "scratch"),
        remove=removed,
        driver_memory=1 << 30,
    )
