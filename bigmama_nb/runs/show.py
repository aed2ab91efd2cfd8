"""A run in words: what its operator reads in one glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import pandas as pd

from bigmama_nb.reports import failures, headline
from bigmama_nb.runs.outcome import succeeded
from bigmama_nb.runs.record import Json
from bigmama_nb.runs.task import TASKS, recorded

SHOWN = 10


def summary(data: Json, archive: str) -> str:
    """Return a run's outcome, its failures by cause, the command that repairs them, and where its report is."""
    run_id, tasks = data["run_id"], data["tasks"]
    exits = f", exit status {data['exit_status']}" if data["exit_status"] is not None else ""
    lines = [f"{run_id}  {data['status']}{exits}"]
    if not tasks:
        return f"{lines[0]}\nThe grid has no task: nothing was due, or nothing is missing."
    unsettled = sum(task["outcome"] is None for task in tasks)
    if unsettled:
        lines.append(f"{unsettled:,} of {len(tasks):,} tasks have no outcome yet.")
    frame = pd.DataFrame([asdict(task) for task in recorded(data) if task.outcome], columns=TASKS.names)
    if not frame.empty:
        lines.append(headline(frame) + ".")
    for cause in failures(frame).head(SHOWN).to_dict("records"):
        head = " ".join(filter(None, (str(cause["outcome"]), str(cause["reason"]))))
        count = f"{cause['tasks']:,} task{'' if cause['tasks'] == 1 else 's'}"
        lines.append(f"  {head}: {cause['games']} ({cause['what']}; {cause['days']}; {count})")
        lines.append(f"      {cause['message']}")
    if len(failures(frame)) > SHOWN:
        lines.append(f"  and {len(failures(frame)) - SHOWN} further causes: run_all.py runs show {run_id}")
    if not all(succeeded(task) for task in tasks):
        lines.append(f"Repair just that: python run_all.py repair {run_id} --profile {data['profile']['path']}")
    reported = [book for book in data["attempts"][-1]["notebooks"] if book["path"]] if data["attempts"] else []
    if reported and reported[-1]["stage"] == "50_report":
        lines.append(f"Report: {archive}/runs/{run_id}/{data['attempts'][-1]['n']}/50_report.ipynb")
    return "\n".join(lines)


def shown(data: Json, archive: str) -> str:
    """Return a run in full: its summary, its attempts and notebooks, and how its tasks ended by metric."""
    lines = [summary(data, archive), ""]
    for attempt in data["attempts"]:
        ended = attempt["ended_at"] or "has not ended"
        by = f", ended by {attempt['signal']}" if attempt["signal"] else ""
        lines.append(f"attempt {attempt['n']}: {attempt['started_at']} … {ended}{by}")
        for notebook in attempt["notebooks"]:
            seconds = "" if notebook["seconds"] is None else f", {notebook['seconds']:.1f} s"
            name = ".".join(filter(None, (notebook["stage"], notebook["table"])))
            lines.append(f"  {name}: {notebook['outcome']}{seconds}")
    by_metric: dict[str, Counter[str]] = {}
    for task in data["tasks"]:
        by_metric.setdefault(task.get("type") or task["table"], Counter())[task["outcome"] or "open"] += 1
    lines.append("")
    lines += [
        f"{name}: {', '.join(f'{count:,} {outcome}' for outcome, count in sorted(counts.items()))}"
        for name, counts in by_metric.items()
    ]
    lines += [
        f"load on {one['cluster']}: {one['queries']:,} queries, {one['documents']:,} documents, {one['bytes']:,} bytes"
        for one in data["load"]
    ]
    return "\n".join(lines)


def listed(runs: Sequence[Json]) -> list[Json]:
    """Return what `runs list` says of each run: run_id, status, exit_status, started_at, ended_at, from, to."""
    return [
        {
            "run_id": data["run_id"],
            "status": data["status"],
            "exit_status": data["exit_status"],
            "started_at": data["attempts"][0]["started_at"] if data["attempts"] else None,
            "ended_at": data["attempts"][-1]["ended_at"] if data["attempts"] else None,
            "from": data["from"],
            "to": data["to"],
        }
        for data in runs
    ]


def table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    """Return rows as aligned text under their heads."""
    texts = [[str("" if cell is None else cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts]
    return "\n".join(line.rstrip() for line in lines)


def at(instant: str | None) -> str:
    """Return an instant of a record to the second, as a table shows it."""
    return "" if instant is None else f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M:%S}"
