"""300 games x 3 metrics x one day through one run: what it costs, and what of it is papermill's and the kernels'.

Subjects, each a process of its own:

- `run`: the command as its users call it.
- `plain`: the same run, its notebooks' cells executed in the run's own process, without papermill and kernels.
- `empty`: four notebooks with an empty cell each through papermill, as the run executes them.
- the peer, one papermill run for each game and metric: a few are measured and multiplied, which is said.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import nbformat

from benchmarks.measure import REPO, Cost, cost, median, ratio, rounds, spread, table
from benchmarks.results import Plot, Result

DAY = date(2024, 5, 1)
DAYS = 30
ORDERS_A_DAY = 10
CLUSTERS = 4
ROUNDS = 5
GROWTH = (30, 100, 300, 1000)
GROWTH_ROUNDS = 3
PEER_PAIRS = 6
STAGES = ("10_extract", "20_normalize", "40_write_parquet", "50_report")


def main() -> Result:
    """Measure, and return the figures; `RUNS_GROWTH=30` measures runs of so many games only."""
    with tempfile.TemporaryDirectory(prefix="bench-runs-") as name:
        folder = Path(name)
        if wanted := os.environ.get("RUNS_GROWTH"):
            markdown, costs = _growth(folder, [int(games) for games in wanted.split(",")])
        else:
            shares = _shares(folder / "300")
            markdown, costs = _growth(folder, GROWTH)
            markdown = f"{shares}\n\nAs the work grows, {GROWTH_ROUNDS} rounds:\n\n{markdown}"
    return Result("runs", markdown, Plot("CPU seconds of one run", costs))


def _shares(folder: Path) -> str:
    profile = world(folder, 300)
    empty_notebooks(folder / "empty")
    found = rounds(
        {
            "run": lambda: of_run(profile),
            "plain": lambda: of_program("plain", profile),
            "empty": lambda: of_program("empty", folder / "empty"),
            "peer": lambda: of_program("peer", profile),
        },
        ROUNDS,
    )
    peers = [_scaled(one, 900 / PEER_PAIRS) for one in found["peer"]]
    named = {
        "one run, 900 figures": found["run"],
        "the same cells in one plain process": found["plain"],
        "four empty notebooks": found["empty"],
        f"a papermill run for each pair, {PEER_PAIRS} measured": found["peer"],
        "… multiplied to 900": peers,
    }
    figures = ("wall_s", "cpu_s", "largest_mb", "together_mb")
    heads = ("", "wall, s", "CPU, s", "largest process, MB", "all processes, MB")
    costs_of = table(heads, [(what, *(spread(costs, one) for one in figures)) for what, costs in named.items()])
    shares = {
        one: statistics.median(
            1 - getattr(plain, one) / getattr(run, one) for run, plain in zip(found["run"], found["plain"], strict=True)
        )
        for one in ("wall_s", "cpu_s")
    }
    return (
        f"{costs_of}\n\nPapermill's and the kernels' share, run less plain: {shares['wall_s']:.0%} of the wall time, "
        f"{shares['cpu_s']:.0%} of the CPU time.\n"
        f"The peer, multiplied, against one run: wall {ratio(peers, found['run'], 'wall_s')}, "
        f"CPU {ratio(peers, found['run'], 'cpu_s')}."
    )


def _growth(folder: Path, sizes: Sequence[int]) -> tuple[str, dict[str, dict[str, float]]]:
    profiles = {games: world(folder / f"growth-{games}", games) for games in sizes}
    found = rounds({str(games): lambda p=path: of_run(p) for games, path in profiles.items()}, GROWTH_ROUNDS)  # type: ignore[misc]
    rows = []
    for games in sizes:
        costs = found[str(games)]
        middle = median(costs)
        rows.append(
            (
                games,
                3 * games,
                spread(costs, "wall_s"),
                spread(costs, "cpu_s"),
                f"{1000 * middle.cpu_s / (3 * games):.1f}",
                f"{middle.largest_mb:.0f}",
                f"{middle.together_mb:.0f}",
            )
        )
    heads = (
        "games", "figures", "wall, s", "CPU, s", "CPU a figure, ms", "largest process, MB", "all processes, MB",
    )  # fmt: skip
    return table(heads, rows), {f"{games} games": {"one run": median(found[str(games)]).cpu_s} for games in sizes}


def _scaled(one: Cost, times: float) -> Cost:
    return Cost(one.wall_s * times, one.cpu_s * times, one.largest_mb, one.together_mb)


# The world


def world(folder: Path, games: int, *, days: int = DAYS, revenue: str = "month") -> Path:
    """Make dumps of so many games, 3 metrics each, with documents of so many days, and return their profile.

    `revenue` is summed by that period.
    """
    folder.mkdir(parents=True)
    codes = [f"g{number:04}" for number in range(games)]
    for number, code in enumerate(codes):
        database = folder / "dumps" / f"c{number % CLUSTERS}" / code
        database.mkdir(parents=True)
        for collection, documents in _documents(number, days):
            (database / f"{collection}.bson").write_bytes(b"".join(map(bson.encode, documents)))
    clusters = "\n".join(f"  c{number}: {{dump: dumps/c{number}}}" for number in range(CLUSTERS))
    listed = "\n".join(
        f"  {code}: {{cluster: c{number % CLUSTERS}, database: {code}}}" for number, code in enumerate(codes)
    )
    (folder / "profile.yaml").write_text(
        f"""
timezone: Asia/Seoul
dates: {{from: {DAY}, to: {DAY}}}
warehouse: {{uri: warehouse}}
archive: {{uri: archive}}
clusters:
{clusters}
games:
{listed}
metrics:
  wau:
    collection: daily
    date: {{field: dt, as: yyyymmdd}}
    value: {{field: value}}
    period: day
  buyers_7d:
    collection: orders
    date: {{field: at, as: date}}
    value: {{count_distinct: customer}}
    period: day
    trailing_days: 7
  revenue:
    collection: orders
    date: {{field: at, as: date}}
    value: {{sum: amount}}
    period: {revenue}
""",
        encoding="utf-8",
    )
    return folder / "profile.yaml"


def _documents(number: int, back: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    days = [DAY - timedelta(days=days) for days in range(back)]
    yield "daily", [{"dt": f"{day:%Y%m%d}", "value": 1000 * number + day.day} for day in days]
    yield (
        "orders",
        [
            {
                "at": datetime(day.year, day.month, day.day, 3, tzinfo=UTC),
                "customer": (number + 7 * order) % 97,
                "amount": 100 + order,
            }
            for day in days
            for order in range(ORDERS_A_DAY)
        ],
    )


def empty_notebooks(folder: Path) -> None:
    """Write four notebooks with the stages' parameters cell and an empty one."""
    folder.mkdir()
    for stage in STAGES:
        notebook = nbformat.read(REPO / "notebooks" / f"{stage}.ipynb", as_version=4)
        notebook.cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        notebook.cells.append(nbformat.v4.new_code_cell("None", id="nothing"))
        nbformat.write(notebook, folder / f"{stage}.ipynb")


# The subjects


def of_run(profile: Path) -> Cost:
    """Measure the command, on a warehouse and archive that are not there yet."""
    _clean(profile.parent)
    found = cost(command(profile))
    (record,) = (profile.parent / "archive" / "runs").glob("*/run.json")
    outcomes = {task["outcome"] for task in json.loads(record.read_text(encoding="utf-8"))["tasks"]}
    assert outcomes == {"ok"}, outcomes
    return found


def command(profile: Path, *words: str) -> list[str]:
    """Return the command that runs a profile."""
    return [sys.executable, "run_all.py", "run", "--profile", str(profile), "--json", *words]


def of_program(name: str, path: Path) -> Cost:
    """Measure one of the functions below in a process of its own."""
    _clean(path.parent if path.is_file() else path)
    return cost([sys.executable, "-c", f"import benchmarks.runs as b, sys; b.{name}(sys.argv[1])", str(path)])


def _clean(folder: Path) -> None:
    for made in ("warehouse", "archive", "out"):
        shutil.rmtree(folder / made, ignore_errors=True)


def plain(profile: str) -> None:
    """Do a run whose notebooks' cells are executed in this process."""
    from bigmama_nb.cli import main
    from bigmama_nb.runs.services import Services

    main(["run", "--profile", profile, "--json"], Services(execute=_in_process))


def _in_process(notebook: Path, output: Path, parameters: Mapping[str, Any], *, about: Any, **how: Any) -> Any:
    """Run a notebook's cells in this process."""
    from bigmama_nb.executor.execute import Executed

    names: dict[str, Any] = {}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            _run_cell(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names.update({name: value for name, value in parameters.items() if name in names})
    return Executed(about.stage, output, "", "ok", 0.0, None, None, None, 0, {})


def _run_cell(source: str, names: dict[str, Any]) -> None:
    import ast

    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        # What a notebook would show is made here too: text, HTML, and a chart's picture.
        for way in ("_repr_html_", "_repr_png_", "__repr__"):
            getattr(shown, way, lambda: None)()


def empty(folder: str) -> None:
    """Execute four empty notebooks as a run does."""
    from bigmama_nb.executor.execute import NotebookInfo, execute
    from bigmama_nb.executor.redact import Redactor
    from bigmama_nb.runs.signals import Stop

    out = Path(folder) / "out"
    out.mkdir()
    for stage in STAGES:
        about = NotebookInfo("20240502T020304Z-1a2b3c", 1, stage)
        options: Mapping[str, Any] = {"timeout_s": 600, "stop": Stop(), "redactor": Redactor(), "about": about}
        executed = execute(Path(folder) / f"{stage}.ipynb", out / f"{stage}.ipynb", {}, **options)
        assert executed.outcome == "ok", executed.error


PEER = """
from bigmama_nb import stages
here = stages.begin("40_write_parquet", profile=profile, games=[game], metrics=[metric])
stages.publish(here)
"""


def peer(profile: str) -> None:
    """Execute, by papermill itself, a notebook for each of a few games and metrics.

    It extracts, normalizes and publishes its one figure, to a warehouse of its own: cheaper than carrying over the
    figures of all that went before, and papermill is imported once, so the peer is measured at its best.
    """
    import papermill

    parameters = nbformat.v4.new_code_cell("profile = game = metric = ''", metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(PEER)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    out = Path(profile).parent / "out"
    out.mkdir()
    nbformat.write(book, out / "peer.ipynb")
    pairs = [(f"g{number:04}", metric) for number in (0, 1) for metric in ("wau", "buyers_7d", "revenue")]
    assert len(pairs) == PEER_PAIRS
    for game, metric in pairs:
        given = {"profile": profile, "game": game, "metric": metric}
        papermill.execute_notebook(
            out / "peer.ipynb", out / f"{game}-{metric}.ipynb", given, progress_bar=False, cwd=str(REPO)
        )
