"""The package: `wv_live_play` with its roll-ups, rejects and checks. Optional third argument: the memory limit."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.live_play_peers import DAY, RUN_TIMESTAMP
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.live_play import Sources, build


def main() -> None:
    """Build the day."""
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    limit = sys.argv[3] if len(sys.argv) > 3 else "4GB"
    with DuckDBEngine(limit, scratch=out.parent) as engine:
        built = build(engine, Sources(sources), DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=out)
    if built.outcome != "ok":
        sys.exit(str(built.message))


if __name__ == "__main__":
    main()
