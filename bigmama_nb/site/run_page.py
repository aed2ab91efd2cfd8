"""The page of one run: what happened, attempt by attempt, and what differs from the run before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from bigmama_nb.project import repair_command
from bigmama_nb.site import causes, index, records
from bigmama_nb.site.pages import SIGNS, Writer, anchor, clean, day, file_name

DIFFERENCES = 200
WHOLE_MONTHS = 9_999_999
"""Up to it a number is a month, as in 202405; beyond a day."""


def write(writer: Writer, found: index.Index, run: index.RunRow) -> None:
    """Write `runs/<run id>/index.html`; of a record that was damaged meanwhile none."""
    try:
        data = records.load(writer.root / "runs" / run["run_id"] / "run.json")
    except records.UnreadableError:
        return
    tasks = list(records.tasks(data))
    books = {
        attempt["n"]: {records.stem(book): book["outcome"] for book in attempt["notebooks"] if book["path"]}
        for attempt in data["attempts"]
    }
    ill = [vars(task) | {"run_id": run["run_id"]} for task in tasks if task.ill or task.outcome == "suspect"]
    troubles = []
    for cause in causes.grouped(ill):
        attempt = cause.newest["attempt"]
        found_cell = causes.cell(cause.newest, books.get(attempt, {}))
        troubles.append((cause, found_cell and f"{attempt}/{found_cell[0]}.html#cell-id={found_cell[1]}"))
    before = _before(writer, found, run)
    writer.page(
        f"runs/{run['run_id']}/index.html",
        "run.html",
        run=run,
        data=data,
        tasks=tasks,
        troubles=troubles,
        grids=_grids(tasks),
        cells=_cells,
        open_tasks=sum(entry["outcome"] is None for entry in data["tasks"]),
        redone={n: sum(task.attempt == n for task in tasks) for n in books},
        stem=records.stem,
        repair=repair_command(run["run_id"], data["profile"]["path"])
        if any(task.ill for task in tasks) or run["status"] == "abandoned" or data.get("status_error")
        else None,
        before=before and before["run_id"],
        differs=_differences(before, data) if before else [],
        shown=DIFFERENCES,
    )


def _grids(tasks: list[records.RunTask]) -> list[dict[str, Any]]:
    grids = []
    for pipeline in sorted({task.pipeline for task in tasks}):
        of = [task for task in tasks if task.pipeline == pipeline]
        days = sorted({task.day for task in of})
        by_type = len(days) == 1 and pipeline == "game_metric"
        lines: dict[tuple[str, str], dict[Any, records.RunTask]] = {}
        for task in of:
            key = (task.name, "") if by_type else (task.name, task.type)
            lines.setdefault(key, {})[task.type if by_type else task.day] = task
        columns: list[Any] = list(dict.fromkeys(task.type for task in of)) if by_type else days
        grids.append({"pipeline": pipeline, "columns": columns, "by_type": by_type, "lines": lines, "days": days})
    return grids


def _cells(grid: Mapping[str, Any], line: Mapping[Any, records.RunTask]) -> Markup:
    """Return a line of a grid; a template took most of the page's time for the cells of a year."""
    return Markup("".join(_cell(line.get(column), grid["pipeline"]) for column in grid["columns"]))


def _cell(task: records.RunTask | None, pipeline: str) -> str:
    if task is None:
        return '<td class="o-none">·</td>'
    shown = SIGNS.get(task.outcome, "·")
    if pipeline == "game_metric":
        page = f"games/{quote(file_name(task.name))}.html#{anchor(task.type, task.day)}"
    else:
        page = f"lives/{day(task.day)}.html" if task.day > WHOLE_MONTHS else ""
    if page:
        says = escape(f"{clean(task.id)}: {clean(task.outcome)}")
        shown = f'<a href="../../{page}" aria-label="{says}">{shown}</a>'
    return f'<td class="o-{task.outcome if task.outcome in SIGNS else "other"}">{shown}</td>'


def _before(writer: Writer, found: index.Index, run: index.RunRow) -> dict[str, Any] | None:
    for row in found.rows(
        """select run_id from run where why is null and scratch = ? and verb = ? and profile_path = ? and pipelines = ?
           and started_at < ? order by started_at desc limit 1""",
        (run["scratch"], run["verb"], run["profile_path"], _spelled(run), run["started_at"] or ""),
    ):
        try:
            return records.load(writer.root / "runs" / row["run_id"] / "run.json")
        except records.UnreadableError:
            return None
    return None


def _spelled(run: index.RunRow) -> str:
    return json.dumps(run["pipelines"])


def _differences(before: dict[str, Any], data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what differs: what, how it was, how it is."""
    rows = [
        (what, str(old), str(new))
        for what, old, new in (
            ("profile's checksum", before["profile"].get("sha256"), data["profile"].get("sha256")),
            ("code", (before.get("environment") or {}).get("git"), (data.get("environment") or {}).get("git")),
            ("days", f"{before.get('from')} … {before.get('to')}", f"{data.get('from')} … {data.get('to')}"),
        )
        if old != new
    ]
    old_tasks = {task.id: task for task in records.tasks(before)}
    for task in records.tasks(data):
        old = old_tasks.get(task.id)
        if old is None:
            continue
        if old.outcome != task.outcome:
            rows.append((task.id, old.outcome, task.outcome))
        elif old.value != task.value and None not in (old.value, task.value):
            rows.append((task.id, f"{old.value:,}", f"{task.value:,}"))
        elif old.rows != task.rows and None not in (old.rows, task.rows):
            rows.append((task.id, f"{old.rows:,} rows", f"{task.rows:,} rows"))
    took = _seconds(before)
    for stem, seconds in _seconds(data).items():
        if stem in took and abs(seconds - took[stem]) > max(1.0, 0.5 * took[stem]):
            rows.append((f"duration of {stem}", f"{took[stem]:.1f} s", f"{seconds:.1f} s"))
    return rows


def _seconds(data: dict[str, Any]) -> dict[str, float]:
    books = data["attempts"][0]["notebooks"] if data["attempts"] else []
    return {records.stem(book): book["seconds"] for book in books if book["seconds"] is not None}
