"""An archive of years: what it costs to list its runs, to name one, to index them, and to keep the review site.

The runs are invented: games x 3 metrics of one day each, one a night, with a few troubles that end.
`ARCHIVE=5000,300` measures so many runs of so many games.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import REPO, table
from benchmarks.results import Result

RUNS = 5_000
GAMES = 30
METRICS = ("wau", "mau", "orders")
FIRST = datetime(2012, 1, 2, 2, 3, 4)  # noqa: DTZ001 - written with its Z

PROFILE = """
warehouse: {{uri: warehouse}}
archive: {{uri: archive}}
clusters: {{east: {{dump: dumps}}}}
games:
{games}
metrics:
  wau: {{collection: daily, date: {{field: dt, as: yyyymmdd}}, value: {{field: value}}, period: day}}
  mau: {{collection: monthly, date: {{field: dt, as: yyyymmdd}}, value: {{field: value}}, period: day}}
  orders: {{collection: orders, date: {{field: at, as: date}}, value: {{count: true}}, period: day}}
"""


def main() -> Result:
    """Measure, and return the figures."""
    runs, games = map(int, os.environ["ARCHIVE"].split(",")) if "ARCHIVE" in os.environ else (RUNS, GAMES)
    codes = [f"g{number:03}" for number in range(games)]
    with tempfile.TemporaryDirectory(prefix="bench-archive-") as name:
        folder = Path(name)
        archive = folder / "archive"
        profile = world(folder, runs, codes)
        rows = [
            ("`runs list`, no index yet", *timed(profile, "runs", "list")),
            ("`runs list`", *timed(profile, "runs", "list")),
            ("`runs show latest`", *timed(profile, "runs", "show", "latest")),
            ("`runs show latest-ok`", *timed(profile, "runs", "show", "latest-ok")),
            ("`runs site`: all pages", *timed(profile, "runs", "site")),
            ("the pages of one more run", *added(profile, archive, record(runs, codes, profile))),
            ("the front page, until it is drawn", drawn(archive / "index.html"), None),
            ("the newest 500 runs, until they are drawn", drawn(archive / "runs.html"), None),
        ]
        told = [(what, f"{wall:.2f}", "" if cpu is None else f"{cpu:.2f}") for what, wall, cpu in rows]
        sizes = {one: (archive / one).stat().st_size for one in ("index.sqlite", "index.html", "runs.html")}
    return Result(
        "archive",
        f"{runs:,} runs of {games * len(METRICS):,} tasks:\n\n{table(('', 'wall, s', 'CPU, s'), told)}\n\n"
        + "; ".join(f"`{one}` {size / 1e6:.2f} MB" for one, size in sizes.items())
        + ".",
    )


def added(profile: Path, archive: Path, data: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds, wall and CPU, by which the end of one more run is later for its pages."""
    write(archive, data)
    code = (
        "import sys, time; from bigmama_nb.profile import load; from bigmama_nb.site.build import build; "
        "wall, cpu = time.perf_counter(), time.process_time(); built = build(load(sys.argv[1])); "
        "assert built.runs == 1, built; print(time.perf_counter() - wall, time.process_time() - cpu)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(profile)], check=True, stdout=subprocess.PIPE, text=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


def drawn(page: Path) -> float:
    """Return the median of 5 times that Chromium takes from the address to the first picture of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium()) as browser:
        took = []
        for _ in range(5):
            view = browser.new_page()
            began = time.perf_counter()
            view.goto(page.as_uri(), wait_until="load")
            view.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
            took.append(time.perf_counter() - began)
            view.close()
    return statistics.median(took)


def chromium() -> str:
    """Return the system's Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found is not None, "no Chromium is installed"
    return found


def timed(profile: Path, *words: str) -> tuple[float, float]:
    """Return the seconds, wall and CPU, that the command takes, as its users call it."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(
        [sys.executable, str(REPO / "run_all.py"), *words, "--profile", str(profile), "--json"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def world(folder: Path, runs: int, games: list[str]) -> Path:
    """Write a profile and so many records, and return the profile."""
    profile = folder / "profile.yaml"
    lines = "\n".join(f"  {game}: {{cluster: east, database: {game}}}" for game in games)
    profile.write_text(PROFILE.format(games=lines), encoding="utf-8")
    for number in range(runs):
        write(folder / "archive", record(number, games, profile))
    return profile


def write(archive: Path, data: dict[str, Any]) -> None:
    """Write a record where the archive has it."""
    run_dir = archive / "runs" / data["run_id"]
    run_dir.mkdir(parents=True)
    (run_dir / "run.json").write_text(json.dumps(data), encoding="utf-8")
    ended = datetime.fromisoformat(data["attempts"][0]["ended_at"]).timestamp()
    os.utime(run_dir / "run.json", (ended, ended))


def record(number: int, games: list[str], profile: Path) -> dict[str, Any]:
    """Return the record of one night."""
    at = FIRST + timedelta(days=number)
    day = at.date() - timedelta(days=1)
    run_id = f"{at:%Y%m%dT%H%M%SZ}-{number:06x}"
    tasks = [task(game, metric, day, number) for game in games for metric in METRICS]
    ill = sum(one["outcome"] != "ok" for one in tasks)
    return {
        "format": 1,
        "run_id": run_id,
        "verb": "run",
        "status": "partial" if ill else "ok",
        "exit_status": 3 if ill else 0,
        "profile": {"path": str(profile), "sha256": "0" * 64},
        "pipelines": ["game_metric"],
        "from": day.isoformat(),
        "to": day.isoformat(),
        "games": games,
        "metrics": list(METRICS),
        "run_timestamp": f"{at.isoformat()}Z",
        "scratch": False,
        "environment": {
            "package": "0.1.0",
            "git": "0" * 40,
            "dirty": False,
            "python": "3.11",
            "packages": {},
            "host": "host",
            "engine": {"kind": "duckdb", "version": "2.0.0"},
        },
        "attempts": [
            {
                "n": 1,
                "pid": 1,
                "started_at": f"{at.isoformat()}.000Z",
                "heartbeat_at": f"{at.isoformat()}.000Z",
                "ended_at": f"{(at + timedelta(seconds=90)).isoformat()}.000Z",
                "signal": None,
                "notebooks": [],
            }
        ],
        "tasks": tasks,
        "published": [
            {
                "table": "bigmama.game_metric",
                "partition": f"dt={day:%Y%m%d}",
                "version": f"{run_id}-1",
                "files": [{"path": "p", "rows": len(tasks) - ill, "bytes": 9000, "sha256": "0" * 64}],
            }
        ],
        "inputs": [],
        "load": [],
        "redactions": 0,
    }


def task(game: str, metric: str, day: date, number: int) -> dict[str, Any]:
    """Return one task: every tenth night a game fails."""
    dt = f"{day:%Y%m%d}"
    ill = number % 10 == 9 and number // 10 % 30 == int(game[1:]) % 30
    return {
        "id": f"{game}/{metric}/{dt}",
        "pipeline": "game_metric",
        "game_cd": game,
        "type": metric,
        "dt": dt,
        "through": day.isoformat(),
        "final": True,
        "value": None if ill else 100_000 + number,
        "rows": None if ill else 1,
        "outcome": "failed" if ill else "ok",
        "reason": "unreachable" if ill else None,
        "message": f"{game} {metric} {dt}: the cluster does not answer." if ill else None,
        "place": None,
        "attempt": 1,
        "published": "no" if ill else "yes",
        "counts": {"undated": 0},
    }
