"""What 30_live_play and 40_write_parquet hold of the live-viewing mart: its dates built, its tables published.

Source of the rules: docs/spec/wv_live_play.md, "Which rows count", rule 2;
docs/spec/publishing.md, "Rows that were there before".
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from bigmama_nb.engines import Engine
from bigmama_nb.errors import TaskError, UsageError
from bigmama_nb.live_play.build import build
from bigmama_nb.live_play.engine import Staging, content_of, named_sources, opened, sources_of
from bigmama_nb.live_play.result import Built, Options
from bigmama_nb.live_play.rollups import build_kpi, build_month
from bigmama_nb.live_play.sources import LogSources
from bigmama_nb.profile import Profile
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.task import Task
from bigmama_nb.stages.context import StageContext
from bigmama_nb.tables import DAILY, KPI, MONTH, WV_LIVE_PLAY
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import live_contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import data_files
from bigmama_nb.warehouse.lineage import Writer, lineage
from bigmama_nb.warehouse.maintenance import release
from bigmama_nb.warehouse.publish import Published, Replacement, publish_derived, publish_whole
from bigmama_nb.warehouse.storage.protocol import name_of

NOTEBOOK = "40_write_parquet.wv_live_play.ipynb"


def build_dates(here: StageContext) -> pd.DataFrame:
    """Build every date of the grid, one after the other in one engine, and hand the outcomes over.

    Returns:
        One row a task, the columns of `task.TASKS`.
    """
    tasks = here.planned("live_play")
    settings = here.profile.live_play
    assert settings is not None
    found: list[Task] = []
    read: dict[str, dict[str, Any]] = {}
    with _engine(here) as engine:
        sources = sources_of(here.profile, engine)
        for day in sorted({str(task.part_date) for task in tasks if task.table in DAILY}):
            those = [task for task in tasks if task.part_date == day and task.table in DAILY]
            built = _built(here, engine, sources, date.fromisoformat(day), those)
            found += [_outcome(task, built) for task in those]
            read |= {one["path"]: one for one in built.files}
    here.said["inputs"] = [{**one, "path": artifacts.shown_path(name)} for name, one in read.items()]
    settled = {task.id: task for task in found}
    here.write_artifact(artifacts.BUILT, [settled.get(task.id, task) for task in tasks])
    return here.last_artifact()


def publish(here: StageContext) -> list[Published]:
    """Publish what was built: the tables of a part_date together, then the KPIs and months that they change.

    Hands over what became of every task; never raises for what sources, checks and the warehouse can do.

    Returns:
        What became of each partition.
    """
    tasks = artifacts.read_tasks(here.run_dir, artifacts.BUILT)
    writer = Writer(here.run_id, here.attempt, f"runs/{here.run_id}/{here.attempt}/{NOTEBOOK}")
    ended: dict[str, Task] = {}
    done: list[Published] = []
    days = sorted({str(task.part_date) for task in tasks if task.table in DAILY})
    try:
        with Warehouse.open(here.warehouse) as warehouse, _engine(here) as engine:
            for day in days:
                those = [task for task in tasks if task.part_date == day and task.table in DAILY]
                publish_day = _release_day if here.releasing else _publish_day
                moved, settled = publish_day(here, warehouse, writer, day, those)
                done += moved
                ended |= {task.id: task for task in settled}
            changed = {one.partition.partition("=")[2] for one in done if one.moved}
            for task in tasks:
                if task.table in (KPI, MONTH):
                    moved, settled_task = _publish_period(here, warehouse, engine, writer, task, changed, ended)
                    done += moved
                    ended[task.id] = settled_task
    except TaskError as error:
        ended |= {task.id: task.failed(error) for task in tasks if task.id not in ended and _open(task)}
    here.write_artifact(artifacts.published("wv_live_play"), [ended.get(task.id, task) for task in tasks])
    return done


def live_folder(run_dir: Path, day: str) -> Path:
    """Return the folder of an attempt in which a part_date's files wait to be published."""
    return run_dir / "data" / "live" / day


def _engine(here: StageContext) -> AbstractContextManager[Engine]:
    return (here.engine or opened)(here.profile)


def _built(here: StageContext, engine: Engine, sources: LogSources, day: date, tasks: Sequence[Task]) -> Built:
    out = live_folder(here.run_dir, day.isoformat())
    options = _options(here.profile)
    staging = None
    if engine.executors is not None:
        try:
            with Warehouse.open(here.warehouse) as warehouse:
                staging = Staging.of(warehouse, options.database, day.isoformat(), f"{here.run_id}-{here.attempt}")
        except TaskError as error:
            return Built(day.isoformat(), "failed", reason=error.reason, message=error.message, place=error.place)
    built = build(
        engine,
        sources,
        day,
        log_end=date.fromisoformat(str(tasks[0].through)),
        run_timestamp=here.run_timestamp,
        out=out,
        options=options,
        places=None if staging is None else staging.places,
    )
    if staging is not None:
        staging.write_artifact(built, out)
    if built.outcome not in ("ok", "suspect"):
        shutil.rmtree(out, ignore_errors=True)
    return built


def _outcome(task: Task, built: Built) -> Task:
    files = built.tables.get(str(task.table))
    counts = built.counts
    return task.changed(
        outcome=built.outcome,
        reason=built.reason,
        message=built.message or task.message,
        place=built.place,
        rows=None if files is None else files.rows,
        final=built.final if built.through else task.final,
        rejected=counts.rejected,
        rejected_share=counts.rejected_share,
        unmatched_joins=counts.unmatched_joins,
        unmatched_leaves=counts.unmatched_leaves,
        source=None,
        inputs=built.inputs,
    )


def _publish_day(
    here: StageContext, warehouse: Warehouse, writer: Writer, day: str, tasks: Sequence[Task]
) -> tuple[list[Published], list[Task]]:
    if not all(task.outcome in ("ok", "suspect") for task in tasks):
        return [], list(tasks)
    folder = live_folder(here.run_dir, day)
    through = date.fromisoformat(str(tasks[0].through))
    source = named_sources(here.profile)
    parts = [
        Replacement(
            table=_here(here, name),
            partition=f"part_date={day}",
            content=content_of(folder / name),
            through=through,
            final=bool(tasks[0].final),
            source=source,
            rows=next((task.rows for task in tasks if task.table == name), None),
            # A day without rejects or without lives is a fine day; only the log's own table must not lose its rows.
            allow_empty=name != WV_LIVE_PLAY,
            inputs=tasks[0].inputs,
        )
        for name in DAILY
    ]
    hold = here.profile.checks.on_suspect == "hold" and any(task.outcome == "suspect" for task in tasks)
    try:
        done = publish_whole(warehouse, parts, writer, allow_empty=here.allow_empty, hold=hold)
    except TaskError as error:
        moved = {name_of(one.table.replace(".", "/")): one for one in error.published}
        return list(moved.values()), [
            task.changed(published="yes") if task.table in moved else task.failed(error) for task in tasks
        ]
    by_table = {one.table.partition(".")[2]: one for one in done}
    settled = [_landed(here, task, by_table[str(task.table)], done) for task in tasks]
    # Published or held, the warehouse has them now.
    shutil.rmtree(folder)
    return done, settled


def _release_day(
    here: StageContext, warehouse: Warehouse, writer: Writer, day: str, tasks: Sequence[Task]
) -> tuple[list[Published], list[Task]]:
    """Publish the versions of a part_date that an attempt of this run held; nothing is built and nothing staged."""
    places = [(_here(here, name).full_name, f"part_date={day}") for name in DAILY]
    try:
        done = release(warehouse, here.run_id, places, writer, over=here.over)
    except TaskError as error:
        return list(error.published), [task.failed(error) for task in tasks]
    except UsageError as error:
        return [], [task.changed(outcome="suspect", published="no", message=str(error)) for task in tasks]
    return done, [task.changed(published="yes") for task in tasks]


def _landed(here: StageContext, task: Task, one: Published, together: Sequence[Published]) -> Task:
    if one.moved:
        return task.changed(published="yes")
    if one.kept:
        return task.changed(outcome="ok", published="no")
    if any(other.held == "empty" for other in together):
        why = (
            f"wv_live_play part_date={task.part_date}: the result is empty and rows stand there. Held; the partition "
            f"is as it was. 'run_all.py release {here.run_id} {task.id}' or '--allow-empty' replaces it."
        )
        return task.changed(outcome="suspect", published="no", message=why)
    held = f"{task.message} Held; 'run_all.py release {here.run_id} {task.id}' publishes it."
    return task.changed(published="no", message=held)


def _publish_period(
    here: StageContext,
    warehouse: Warehouse,
    engine: Engine,
    writer: Writer,
    task: Task,
    changed: set[str],
    ended: Mapping[str, Task],
) -> tuple[list[Published], Task]:
    """Build a KPI date or a month from what readers see now, and publish it."""
    period = str(task.part_date)
    table = _here(here, str(task.table))
    needs = [other for other in ended.values() if other.table in DAILY and str(other.part_date).startswith(period)]
    if needs and not any(str(day).startswith(period) for day in changed):
        why = f"no partition of {period} changed in this attempt, since wv_live_play did not get there"
        state = "ok" if all(one.outcome == "ok" for one in needs) else "skipped"
        return [], task.changed(outcome=state, message=None if state == "ok" else f"{table.name} {period}: {why}.")
    out = live_folder(here.run_dir, f"{table.name}-{period}")
    built: list[Built] = []

    def parts() -> list[Replacement]:
        shutil.rmtree(out, ignore_errors=True)
        copies = None if engine.executors is not None else out / "published"
        play, throughs = _published_files(here, warehouse, WV_LIVE_PLAY, period, copies)
        if table.name == KPI:
            daily, _ = _published_files(here, warehouse, "stats_wv_d_live_play", period, copies)
            one = build_kpi(engine, period, play, daily, out=out / "built", options=_options(here.profile))
        else:
            one = build_month(engine, period, play, out=out / "built", options=_options(here.profile))
        built.append(one)
        if one.outcome == "failed":
            raise TaskError(one.reason or "contract", one.message or "", place=one.place)
        files = one.tables[table.name]
        return [
            Replacement(
                table=table,
                partition=f"{table.partition}={period}",
                content=[Path(path) for path in files.paths],
                through=max(throughs, default=date.fromisoformat(str(task.through))),
                final=bool(task.final),
                source=f"{here.warehouse.uri}/{_here(here, WV_LIVE_PLAY).full_name}",
                rows=files.rows,
                allow_empty=True,
            )
        ]

    try:
        done = publish_derived(warehouse, [table], parts, writer)
    except TaskError as error:
        return [], task.failed(error)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    rows = sum(file.rows for file in done[0].files)
    last = built[-1]
    return done, task.changed(
        outcome=last.outcome, message=last.message, rows=rows, published="yes" if done[0].moved else "no"
    )


def _published_files(
    here: StageContext, warehouse: Warehouse, table: str, period: str, copies: Path | None
) -> tuple[list[Path | str], list[date]]:
    """Return the current files of a table's partitions of a date or month, and their throughs.

    Files of a storage elsewhere are copied into `copies`, unless it is None: executors read them where they are.
    """
    name = _here(here, table).full_name
    pointers = {
        partition: pointer
        for partition, pointer in warehouse.catalog.current(name).items()
        if partition.partition("=")[2].startswith(period)
    }
    files: list[Path | str] = []
    for partition, pointer in pointers.items():
        for location in data_files(pointer, warehouse.storage):
            files.append(location if copies is None else _local(warehouse, location, copies / table / partition))
    throughs = [o.through for groups in lineage(warehouse, name, list(pointers)).values() for o in groups.values()]
    return files, throughs


def _local(warehouse: Warehouse, location: str, folder: Path) -> Path:
    if warehouse.storage.scheme == "file":
        return Path(location.removeprefix("file://").removeprefix("file:"))
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / name_of(location)
    with warehouse.storage.open(location) as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return copy


def _open(task: Task) -> bool:
    return task.outcome in (None, "ok", "suspect")


def _here(here: StageContext, name: str) -> Table:
    assert here.profile.live_play is not None
    return live_contracts(here.profile.live_play.database)[name]


def _options(profile: Profile) -> Options:
    settings = profile.live_play
    assert settings is not None
    names = ("database", "log_days_before", "log_days_after", "max_rejected_share", "max_live_days")
    return Options(
        **{name: getattr(settings, name) for name in names},
        timestamp=profile.warehouse.timestamp,
        compression=profile.warehouse.compression,
    )
