"""A run in words: what its operator reads in one glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from bigmama_nb.errors import how_many, printable
from bigmama_nb.project import repair_command
from bigmama_nb.reports.causes import causes, ended, sentence
from bigmama_nb.runs.record import REPORT, RunRecord
from bigmama_nb.runs.task import Task

SHOWN = 10


def summary(run: RunRecord, archive: str) -> str:
    """Return a run's outcome, its failures by cause, the command that repairs them, and where its report is."""
    exits = f", exit status {run.exit_status}" if run.exit_status is not None else ""
    lines = [f"{run.run_id}  {run.status}{exits}"]
    if run.verb != "run":
        lines.append(": ".join(filter(None, (run.verb, run.reason))))
    if run.error:
        lines.append(f"The run broke off: {run.error}")
    if not run.tasks:
        if run.verb == "run":
            lines.append(
                "The grid has no task: nothing was due, nothing is missing, or it was retracted and stays out."
            )
        return run.hinted("\n".join(map(printable, lines)))
    lines += _outcomes(run)
    if run.report_error:
        lines.append(f"{run.report_error}. What is published is not touched by this.")
    if run.status_error:
        lines.append(f"game_metric_status does not tell what became of this run: {run.status_error}")
    if run.is_open:
        lines.append(f"Repair just that: {repair_command(run.run_id, run.profile.path)}")
    reported = [book for book in run.attempts[-1].notebooks if book.path] if run.attempts else []
    if reported and reported[-1].stage == REPORT:
        lines.append(f"Report: {archive}/runs/{run.run_id}/{run.attempts[-1].n}/{REPORT}.ipynb")
    # A reason, an error or a name is a part of its line, whatever is in it.
    return run.hinted("\n".join(map(printable, [*lines, *_suspects(run)])))


def _suspects(run: RunRecord) -> list[str]:
    """Return the implausible figures by metric: whoever reads only the last lines reads these."""
    by_metric: dict[str, list[Task]] = {}
    for task in run.tasks:
        if task.outcome == "suspect":
            by_metric.setdefault(str(task.type or task.table), []).append(task)
    lines = []
    for metric, tasks in by_metric.items():
        held = sum(task.published != "yes" for task in tasks)
        state = "held" if held == len(tasks) else f"{held:,} held" if held else "published"
        figures = [f"{task.game_cd or ''} {task.dt or task.part_date} {_figure(task)}".strip() for task in tasks]
        more = f" and {len(tasks) - SHOWN:,} more" if len(tasks) > SHOWN else ""
        lines.append(f"SUSPECT {metric}, {len(tasks):,} ({state}): {'; '.join(figures[:SHOWN])}{more}")
    return lines


def _figure(task: Task) -> str:
    return "" if task.value is None else f"{task.value:,}"


def _outcomes(run: RunRecord) -> list[str]:
    lines = []
    unsettled = sum(task.outcome is None for task in run.tasks)
    for task in run.tasks:
        if task.pipeline == "tables" and task.outcome is None:
            table, _, partition = str(task.place).partition(" ")
            lines.append(
                f"It was about to point {task.place} at {task.message}: 'run_all.py who-wrote {table} {partition}' "
                f"says what stands, and 'run_all.py rollback {table} {partition} {task.message}' does it."
            )
    if unsettled:
        lines.append(
            f"{unsettled:,} of {how_many(len(run.tasks), 'task')} {'has' if unsettled == 1 else 'have'} no outcome yet."
        )
    tasks = ended(run.tasks)
    if tasks:
        lines.append(f"{sentence(tasks)}.")
    lines += _retracted(run)
    found = causes(tasks)
    for cause in found[:SHOWN]:
        head = " ".join(filter(None, (cause.outcome, cause.reason)))
        whom, what = ", ".join(cause.lines), ", ".join(cause.types)
        lines.append(f"  {head}: {whom} ({what}; {cause.days}; {how_many(len(cause.tasks), 'task')})")
        lines.append(f"      {cause.message}")
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} further causes: 'run_all.py runs show {run.run_id}'")
    return lines


def _retracted(run: RunRecord) -> list[str]:
    """Return the figures that stay out since they were retracted."""
    out = [task.id for task in run.tasks if task.outcome == "ok" and "was retracted by" in (task.message or "")]
    if not out:
        return []
    more = f" and {len(out) - SHOWN:,} more" if len(out) > SHOWN else ""
    return [f"  retracted, and stays out: {', '.join(out[:SHOWN])}{more}"]


def shown(run: RunRecord, archive: str) -> str:
    """Return a run in full: its summary, its attempts and notebooks, and how its tasks ended by metric."""
    lines = [summary(run, archive), ""]
    for attempt in run.attempts:
        by = f", ended by {attempt.signal}" if attempt.signal else ""
        whom = f", {attempt.verb} by {attempt.person}" if attempt.person else ""
        lines.append(f"attempt {attempt.n}: {attempt.started_at} … {attempt.ended_at or 'has not ended'}{by}{whom}")
        for book in attempt.notebooks:
            seconds = "" if book.seconds is None else f", {book.seconds:.1f} s"
            lines.append(f"  {book.name}: {book.outcome}{seconds}")
    by_metric: dict[str, Counter[str]] = {}
    for task in run.tasks:
        by_metric.setdefault(str(task.type or task.table), Counter())[task.outcome or "open"] += 1
    lines.append("")
    lines += [
        f"{name}: {', '.join(f'{count:,} {outcome}' for outcome, count in sorted(counts.items()))}"
        for name, counts in by_metric.items()
    ]
    lines += [
        f"load on {one['cluster']}: {how_many(one['queries'], 'query', 'queries')}, "
        f"{how_many(one['documents'], 'document')}, {one['bytes']:,} bytes"
        for one in run.load
    ]
    return "\n".join([lines[0], *map(printable, lines[1:])])


def table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    """Return rows as aligned text under their heads."""
    texts = [[printable(str("" if cell is None else cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts]
    return "\n".join(line.rstrip() for line in lines)


def at(instant: str | None) -> str:
    """Return an instant of a record to the second, as a table shows it."""
    return "" if instant is None else f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M:%S}"
