"""A year of 50 games x 3 metrics in one run: 54,900 figures, 366 partitions, and what each stage takes."""

from __future__ import annotations

import json
import tempfile
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measure import cost, table
from benchmarks.results import Plot, Result
from benchmarks.runs import DAY, command, world

GAMES = 50
DAYS = 366


def main() -> Result:
    """Measure one run, and return its figures."""
    with tempfile.TemporaryDirectory(prefix="bench-year-") as name:
        profile = world(Path(name) / "world", GAMES, days=DAYS + 7, revenue="day")
        first: date = DAY - timedelta(days=DAYS - 1)
        found = cost(command(profile, "--from", first.isoformat(), "--to", DAY.isoformat()))
        (path,) = (profile.parent / "archive" / "runs").glob("*/run.json")
        record = json.loads(path.read_bytes())
    tasks = record["tasks"]
    if {task["outcome"] for task in tasks} != {"ok"}:
        raise RuntimeError("not every figure came out")
    stages = {book["stage"]: book["seconds"] for book in record["attempts"][0]["notebooks"]}
    stages["the command itself and its pages"] = found.wall_s - sum(stages.values())
    whole = table(
        ("figures", "wall, s", "CPU, s", "largest process, MB", "all processes, MB"),
        [(f"{len(tasks):,}", f"{found.wall_s:.1f}", f"{found.cpu_s:.1f}", f"{found.largest_mb:.0f}",
          f"{found.together_mb:.0f}")],
    )  # fmt: skip
    parts = table(("stage", "wall, s"), [(stage, f"{seconds:.1f}") for stage, seconds in stages.items()])
    return Result("year", f"{whole}\n\n{parts}", Plot("seconds of wall time", {"a year": stages}))
