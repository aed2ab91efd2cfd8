"""Metrics of the last run for Prometheus: a textfile that node_exporter's collector reads.

The figures: status, end and duration by stage of the last run, its tasks by outcome, rows by table, and for every
(game, metric) of its grid how old the newest row is.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from bigmama_nb.errors import TaskError
from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.periods import day_of
from bigmama_nb.profile import Profile
from bigmama_nb.runs.plan import published_throughs
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.warehouse import Warehouse

STATUSES = ("ok", "partial", "failed")


def write(profile: Profile, run: RunRecord, *, now: datetime | None = None) -> list[str]:
    """Write `metrics_textfile`, whole or not at all, and return what could not be done, in words."""
    assert profile.metrics_textfile is not None
    registry = CollectorRegistry()
    _of_run(registry, run)
    warnings = []
    try:
        _of_tables(registry, profile, run, now or datetime.now(UTC))
    except TaskError as error:
        warnings.append(f"metrics_textfile lacks rows and ages: {error.message}")
    try:
        text, _ = Redactor.of(profile).text(generate_latest(registry).decode())
        replace_file(Path(profile.metrics_textfile), text.encode())
    except OSError as error:
        warnings.append(f"{profile.metrics_textfile}: metrics_textfile cannot be written ({error.strerror}). "
                        "The run is as it is; make the folder or mend its rights.")  # fmt: skip
    return warnings


def _gauge(registry: CollectorRegistry, name: str, help_: str, *labels: str) -> Gauge:
    return Gauge(f"bigmama_{name}", help_, labels, registry=registry)


def _of_run(registry: CollectorRegistry, run: RunRecord) -> None:
    status = _gauge(registry, "run_status", "1 for the status of the last run.", "status")
    for name in STATUSES:
        status.labels(name).set(run.status == name)
    seconds = _gauge(registry, "run_stage_seconds", "Duration of the last run's stages.", "stage")
    for attempt in run.attempts:
        for notebook in attempt.notebooks:
            seconds.labels(notebook.name).inc(notebook.seconds or 0)
    if run.attempts:
        ended = run.attempts[-1].ended_at
        end = _gauge(registry, "run_end_timestamp_seconds", "When the last run ended, seconds since 1970.")
        end.set(datetime.fromisoformat(ended).timestamp() if ended else 0)
    tasks = _gauge(registry, "run_tasks", "Tasks of the last run by outcome.", "outcome")
    for outcome, count in Counter(task.outcome or "open" for task in run.tasks).items():
        tasks.labels(outcome).set(count)


def _of_tables(registry: CollectorRegistry, profile: Profile, run: RunRecord, now: datetime) -> None:
    rows = _gauge(registry, "table_rows", "Rows of each table.", "table")
    with Warehouse.open(profile.warehouse) as warehouse:
        for entry in warehouse.tables():
            current = warehouse.catalog.current(entry.full_name)
            rows.labels(entry.full_name).set(sum(pointer.rows or 0 for pointer in current.values()))
    newest: dict[tuple[str, str], str] = {}
    for game_cd, type_, dt in published_throughs(profile.warehouse):
        newest[game_cd, type_] = max(dt, newest.get((game_cd, type_), dt))
    age = _gauge(registry, "newest_dt_age_seconds", "Time since the day of the newest row began.", "game_cd", "type")
    for game_cd, type_ in sorted({(task.game_cd, task.type) for task in run.tasks if task.game_cd and task.type}):
        if (game_cd, type_) in newest:
            begin = datetime.combine(day_of(newest[game_cd, type_]), datetime.min.time(), profile.zone)
            age.labels(game_cd, type_).set((now - begin).total_seconds())
