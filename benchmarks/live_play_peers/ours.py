"""The package: `wv_live_play` with its roll-ups, rejects and checks. Optional third argument: the memory limit.

Says in `BESIDE_FILE` how many CPU seconds went into what no peer makes.
"""

from __future__ import annotations

import gc

from bigmama_nb.executor import spared_imports

if __name__ == "__main__":
    # As in what kernels are forked from: no garbage is looked for while modules are imported, and some are spared.
    gc.disable()
    spared_imports.by_kernels()
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.live_play_peers import DAY, RUN_TIMESTAMP
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.executor.process import SwiftEnd
from bigmama_nb.live_play import Sources, build, source_checks, table_checks
from bigmama_nb.live_play.rollups import DayParts

BESIDE_FILE = "beside.txt"
BESIDE: tuple[tuple[Any, str], ...] = (
    (DayParts, "add"),
    (DayParts, "write"),
    (DayParts, "clicks"),
    (DayParts, "marks"),
    (source_checks, "require_unique"),
    (table_checks, "after_build"),
)
"""What the package does beside the table: roll-ups and checks. Rejects are looked for in the survey, which it needs."""


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _counted(work: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        began = _cpu_s()
        try:
            return work(*arguments, **named)
        finally:
            spent.append(_cpu_s() - began)

    return counted


def main() -> None:
    """Build the day, in a process that begins and ends as a notebook's kernel does (`executor.fork_server`)."""
    swift = SwiftEnd()
    gc.freeze()
    gc.enable()
    spent: list[float] = []
    for owner, name in BESIDE:
        setattr(owner, name, _counted(getattr(owner, name), spent))
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    limit = sys.argv[3] if len(sys.argv) > 3 else "4GB"
    with DuckDBEngine(limit, scratch=out.parent) as engine:
        built = build(engine, Sources(sources), DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=out)
    if built.outcome != "ok":
        sys.exit(str(built.message))
    (out / BESIDE_FILE).write_text(str(sum(spent)))
    swift.well()


if __name__ == "__main__":
    main()
