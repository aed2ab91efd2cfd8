"""Executors in processes of their own, and what a build makes of one that dies."""

from __future__ import annotations

import shutil
from pathlib import Path

import ibis.expr.types as ir
import psutil
import pytest

from bigmama_nb.engines import Use
from bigmama_nb.engines.spark import SparkEngine
from tests.live_play.adversary import together
from tests.live_play.equality import assert_equal_to_oracle
from tests.services import require_program
from tests.services.spark import SMALL


def executors() -> list[psutil.Process]:
    """Return the executors that this process's Spark has now."""
    return [
        one
        for one in psutil.Process().children(recursive=True)
        if one.name() == "java" and "CoarseGrainedExecutorBackend" in " ".join(one.cmdline())
    ]


class Losing(SparkEngine):
    """Spark that loses an executor after the spans, and one again after the rows are kept."""

    lost = 0

    def keep(self, expression: ir.Table, name: str, use: Use = "often") -> ir.Table:
        kept = super().keep(expression, name, use)
        if name in ("spans", "rows"):
            executors()[0].kill()
            self.lost += 1
        return kept


@pytest.mark.long
def test_executors_that_die_cost_time_and_no_row(tmp_path: Path) -> None:
    """Two executors are killed in the midst of a build: it is ok, and every table is what the oracle says."""
    require_program("java")
    with Losing(
        master="local-cluster[2,1,1024]",
        conf=SMALL | {"spark.local.dir": str(tmp_path / "local"), "spark.sql.warehouse.dir": str(tmp_path / "w")},
        scratch=str(tmp_path / "scratch"),
        remove=lambda folder: shutil.rmtree(folder, ignore_errors=True),
        driver_memory=1 << 30,
    ) as engine:
        assert len(executors()) == 2
        assert assert_equal_to_oracle(engine, together([30, 31]), tmp_path) == "ok"
        assert engine.lost == 2
