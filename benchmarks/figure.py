"""Which modules one figure passes from its dump to its table, and in how many shapes.

A run of one game and one metric, with a value that stands nowhere else, is watched function by function, in the command
and in every kernel: a module counts where a function that returns holds the value, or something that holds it. With
`CHECKOUT` in the environment it is the project in that folder that is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bson

from benchmarks.measure import table
from benchmarks.results import Result

VALUE = 7_654_321_987
PROFILE = """
timezone: Asia/Seoul
dates: {from: 2024-05-01, to: 2024-05-01}
warehouse: {uri: warehouse}
archive: {uri: archive}
clusters: {east: {dump: dumps}}
games: {aa: {name: Game A, cluster: east, database: aa}}
metrics:
  wau: {collection: daily, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day}
"""
# Read by every Python of the run when it starts: what it finds it appends at once, since a kernel may end by a signal.
WATCH = """
import os, sys, threading
VALUE, ROOT, OUT, seen = int(os.environ["FIGURE"]), os.environ["FIGURE_ROOT"], os.environ["FIGURE_OUT"], set()

def held(one, depth=0):
    if type(one) is int:
        return "int" if one == VALUE else ""
    kind = type(one)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name == "pyarrow.lib.Table":
        return name if any(VALUE in column.to_pylist() for column in one.columns) else ""
    if name.startswith("pandas.") and name.endswith(".DataFrame"):
        return name if one.isin([VALUE]).to_numpy().any() else ""
    ours = name.startswith(("builtins.", "bigmama_nb.", "collections."))
    if depth > 2 or name == "builtins.module" or not ours:
        return ""
    if isinstance(one, (list, tuple, set, frozenset)):
        inside = list(one)[:200]
    elif isinstance(one, dict):
        inside = list(one.values())[:200]
    else:
        inside = list(getattr(one, "__dict__", {}).values())
    for part in inside:
        if found := held(part, depth + 1):
            return name if found == "int" else found
    return ""

def watch(frame, event, result):
    path = frame.f_code.co_filename
    if event != "return" or not (path.startswith(ROOT) and path.endswith(".py")):
        return
    for one in (result, *frame.f_locals.values()):
        try:
            shape = held(one)
        except Exception:
            continue
        if shape and (path, shape) not in seen:
            seen.add((path, shape))
            with open(OUT, "a") as out:
                out.write(f"{path[len(ROOT):]} {shape}\\n")

sys.setprofile(watch)
threading.setprofile(watch)
"""


def main() -> Result:
    """Run, and return the modules with the shapes that they hold the figure in."""
    checkout = Path(os.environ.get("CHECKOUT") or Path(__file__).parents[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        (there / "dumps" / "aa").mkdir(parents=True)
        document = bson.encode({"_id": 1, "dt": "20240501", "value": bson.Int64(VALUE)})
        (there / "dumps" / "aa" / "daily.bson").write_bytes(document)
        (there / "profile.yaml").write_text(PROFILE, encoding="utf-8")
        (there / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
        env = os.environ | {
            "PYTHONPATH": f"{there}{os.pathsep}{checkout}",
            "FIGURE": str(VALUE),
            "FIGURE_ROOT": f"{checkout}/bigmama_nb/",
            "FIGURE_OUT": str(there / "passed"),
        }
        command = [sys.executable, checkout / "run_all.py", "run", "--profile", there / "profile.yaml"]
        subprocess.run(command, cwd=checkout, env=env, check=True, stdout=subprocess.DEVNULL)
        passed = {tuple(line.split(" ", 1)) for line in (there / "passed").read_text().splitlines()}
    modules = sorted({module for module, _ in passed})
    rows = [(module, ", ".join(sorted(shape for other, shape in passed if other == module))) for module in modules]
    count = f"{len(modules)} modules, {len({shape for _, shape in passed})} shapes"
    return Result("figure", f"{count}:\n\n{table(('module', 'shapes'), rows)}")
