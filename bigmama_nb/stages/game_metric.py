"""What 10_extract, 20_normalize and 40_write_parquet hold of game_metric: figures collected, checked, published."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from bigmama_nb import project
from bigmama_nb.errors import NOTHING_PUBLISHED, TaskError, UsageError, did_you_mean
from bigmama_nb.executor.scraps import glue
from bigmama_nb.profile import Metric
from bigmama_nb.runs import archive, artifacts
from bigmama_nb.runs.plan import pipelines_asked
from bigmama_nb.runs.status import incoming
from bigmama_nb.runs.task import Task, by_partition
from bigmama_nb.sources.extract import extract as extract_all
from bigmama_nb.stages.plausibility import implausible
from bigmama_nb.tables import game_metric, game_metric_status
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Group, Writer
from bigmama_nb.warehouse.publish import Beside, Incoming, Published, publish_beside
from bigmama_nb.warehouse.query import connect, rows_that_can_be_read

if TYPE_CHECKING:
    import duckdb
from bigmama_nb.stages.context import StageContext, frame

# 10_extract


def extract(here: StageContext) -> pd.DataFrame:
    """Collect every figure of the grid, all games at once, and hand the outcomes over.

    Returns:
        One row a task, columns as `outcomes` gives them.

    Raises:
        UsageError: a parameter names what the profile does not have.
    """
    if here.under_way and artifacts.exists(here.run_dir, artifacts.EXTRACTED):
        # The run asked already, while it waited for these.
        here.artifacts.append(artifacts.EXTRACTED)
        return outcomes(here)
    asks = [task.ask for task in here.planned("game_metric")]
    extraction = extract_all(here.profile, asks, run_id=here.run_id, attempt=here.attempt)
    tasks = [Task.of_outcome(outcome) for outcome in extraction.outcomes]
    here.write_artifact(artifacts.EXTRACTED, tasks)
    here.said["load"] = [asdict(one) for one in extraction.load]
    artifacts.write(here.run_dir, artifacts.LOAD, pa.Table.from_pylist(here.said["load"], schema=_LOAD))
    here.said["inputs"] = [{**asdict(one), "path": artifacts.shown_path(one.path)} for one in extraction.inputs]
    return outcomes(here)


_LOAD = pa.schema([("cluster", pa.string()), *((name, pa.int64()) for name in ("queries", "documents", "bytes"))])


def load_by_cluster(here: StageContext) -> pd.DataFrame:
    """Return what 10_extract asked of each cluster: cluster string, queries, documents and bytes int64.

    Where it was not run, or did not get there, there are no rows.
    """
    there = artifacts.exists(here.run_dir, artifacts.LOAD)
    return frame(artifacts.read(here.run_dir, artifacts.LOAD) if there else _LOAD.empty_table())


# 20_normalize


def normalize(here: StageContext) -> pd.DataFrame:
    """Make the table's rows of what was extracted, check them against the contract and against their own history.

    Returns:
        game_cd string, dt string, type string, value int64: the rows that are to be published, sorted.

    Raises:
        ContractError: two figures have one key.
        StorageError: 10_extract left no whole hand-over.
    """
    if not here.under_way and not artifacts.exists(here.run_dir, artifacts.EXTRACTED):
        extract(here)
    tasks = _all_judged(here, artifacts.read_tasks(here.run_dir, artifacts.EXTRACTED))
    here.write_artifact(artifacts.NORMALIZED, tasks)
    rows = artifacts.figures([task for task in tasks if task.outcome in ("ok", "suspect")])
    game_metric.require(rows)
    artifacts.write(here.run_dir, game_metric.CONTRACT.name, rows)
    return frame(rows)


def _all_judged(here: StageContext, extracted: Sequence[Task]) -> list[Task]:
    """Return every task judged by its history; where the warehouse cannot be read, all figures failed by that."""
    try:
        history = _history(here)
    except TaskError as error:
        return [task.failed(error) if task.outcome == "ok" else task for task in extracted]
    for task in extracted:
        if task.outcome == "ok" and task.value is not None:
            history.setdefault((task.game_cd, task.type), {})[str(task.dt)] = task.value
    pairs = here.profile.pairs
    return [_judged(here, task, history, pairs) for task in extracted]


def _history(here: StageContext) -> dict[tuple[str | None, str | None], dict[str, int]]:
    """Return the published figures by game and metric, then by dt."""
    table = game_metric.CONTRACT.in_database(here.warehouse.database)
    with Warehouse.open(here.warehouse) as warehouse:
        if warehouse.catalog.entry(table.full_name) is None:
            return {}
        # A damaged day costs its own history; to publish it says what is wrong with it.
        rows = rows_that_can_be_read(warehouse, f"SELECT game_cd, type, dt, value FROM {table.full_name}")
    found: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for game_cd, type_, dt, value in rows:
        found.setdefault((game_cd, type_), {})[dt] = value
    return found


def _judged(
    here: StageContext,
    task: Task,
    history: Mapping[tuple[str | None, str | None], Mapping[str, int]],
    pairs: Mapping[tuple[str, str], Metric],
) -> Task:
    if task.outcome != "ok" or task.value is None:
        return task
    assert task.game_cd is not None
    assert task.type is not None
    metric = pairs[task.game_cd, task.type]
    known = history.get((task.game_cd, task.type), {})
    why = implausible(task.value, str(task.dt), known, metric.period, final=bool(task.final), checks=metric.checks)
    if why is None:
        return task
    held = here.profile.checks.on_suspect == "hold"
    state = f"Held; 'run_all.py release {here.run_id} {task.id}' publishes it." if held else "Published all the same."
    # What was said of the figure when it was counted, such as what it left out, is as true of one that is suspect.
    said = "" if task.message is None else f" {task.message}"
    return task.changed(outcome="suspect", message=f"{' '.join(task.id.split('/'))}: {why} {state}{said}")


def suspects(here: StageContext) -> pd.DataFrame:
    """Return the implausible figures: task, value and message, none where all are plausible."""
    found = outcomes(here)
    return found.loc[found["outcome"] == "suspect", ["id", "value", "message"]].reset_index(drop=True)


# 40_write_parquet


def publish(here: StageContext, table: str = "game_metric") -> pd.DataFrame:
    """Publish a table's rows by carry, stage, verify, move, and hand over what became of every task.

    Returns:
        One row a partition: partition string, version string, rows int64, carried int64, bytes int64, moved bool.

    Raises:
        UsageError: `table` is none that this stage writes.
        StorageError: the stage before left no whole hand-over.
    """
    if table == "wv_live_play":
        # Imported where it is used: a stage of games' metrics needs no engine.
        from bigmama_nb.stages import live_play

        if not here.under_way:
            # The files of an archived attempt are gone: they were published. So what it built is built again.
            live_play.build_dates(here)
        parts = live_play.publish(here)
        here.said["published"] = [one.record() for one in parts if one.moved]
        return _partitions(parts)
    if table != game_metric.CONTRACT.name:
        raise UsageError(
            f"table is {table!r}; this stage writes game_metric or "
            f"wv_live_play.{did_you_mean(table, ['game_metric', 'wv_live_play'])}",
            state=NOTHING_PUBLISHED,
        )
    if not here.under_way and not artifacts.exists(here.run_dir, artifacts.NORMALIZED):
        normalize(here)
    tasks = artifacts.read_tasks(here.run_dir, artifacts.NORMALIZED)
    holds = here.profile.checks.on_suspect == "hold" and not here.releasing
    held = {task.id for task in tasks if task.outcome == "suspect" and holds}
    bring = [task for task in tasks if task.outcome in ("ok", "suspect") and task.id not in held]
    done, ended = _published(here, tasks, bring)
    here.write_artifact(artifacts.published(table), ended)
    here.said["published"] = [one.record() for one in done if one.moved]
    return _partitions([one for one in done if one.table.endswith(f".{table}")])


def _partitions(done: Sequence[Published]) -> pd.DataFrame:
    counts = dict.fromkeys(("rows", "carried", "bytes"), "int64")
    columns = {"table": "str", "partition": "str", "version": "str", **counts, "moved": "bool"}
    return pd.DataFrame(
        [
            {
                "table": one.table,
                "partition": one.partition,
                "version": one.version,
                "rows": sum(file.rows for file in one.files),
                "carried": one.carried,
                "bytes": sum(file.bytes for file in one.files),
                "moved": one.moved,
            }
            for one in done
        ],
        columns=list(columns),
    ).astype(columns)


def _published(here: StageContext, tasks: Sequence[Task], bring: Sequence[Task]) -> tuple[list[Published], list[Task]]:
    """Publish the figures of `bring`, and of all tasks what became of them; return both, never an exception."""
    table = game_metric.CONTRACT.in_database(here.warehouse.database)
    told = game_metric_status.CONTRACT.in_database(here.warehouse.database)
    notebook = f"runs/{here.run_id}/{here.attempt}/40_write_parquet.game_metric.ipynb"
    writer = Writer(here.run_id, here.attempt, notebook)
    brings = {task.id for task in bring}

    def settled(done: Mapping[str, Published], failures: Mapping[str, TaskError]) -> list[Task]:
        return [_settled(task, done, failures) if task.id in brings else task for task in tasks]

    def status(done: Mapping[str, Published], failures: Mapping[str, TaskError]) -> dict[str, Incoming]:
        return incoming(told, here.without_secrets(settled(done, failures)), here.run_id, datetime.now(UTC))

    try:
        with Warehouse.open(here.warehouse) as warehouse:
            done = publish_beside(warehouse, table, _brought(here, bring, table), Beside(told, status), writer)
    except TaskError as error:
        moved = _by_partition(error.published, table)
        fails = {f"dt={task.dt}": error.failures.get(f"dt={task.dt}", error) for task in bring}
        if fails.keys() <= moved.keys():
            warnings.warn(f"{told.full_name} is not told: {error.message}", stacklevel=2)
        return list(error.published), settled(moved, fails)
    return done, settled(_by_partition(done, table), {})


def _by_partition(done: Sequence[Published], table: Table) -> dict[str, Published]:
    return {one.partition: one for one in done if one.table == table.full_name}


def _settled(task: Task, done: Mapping[str, Published], failures: Mapping[str, TaskError]) -> Task:
    partition = f"dt={task.dt}"
    return _landed(task, done[partition]) if partition in done else task.failed(failures[partition])


def _landed(task: Task, partition: Published) -> Task:
    key = (str(task.game_cd), str(task.type))
    name = task.id.replace("/", " ")
    if key in partition.retracted:
        out = partition.retracted[key]
        stays = f"it was retracted by {out.run} ({out.reason}) and stays out"
        again = f"'run_all.py run --date {task.through} --games {task.game_cd} --metrics {task.type} --again'"
        why = f"{name}: {stays}; {again} asks for it."
        return task.changed(outcome="ok", published="no", message=why)
    if key in partition.outdone:
        why = f"{name}: {partition.outdone[key]} published it since, and that stays; '--over' replaces it."
        return task.changed(outcome="skipped", published="no", message=why)
    kept = key in partition.kept
    return task.changed(outcome="ok", published="no") if kept else task.changed(published="yes")


def _brought(here: StageContext, tasks: Sequence[Task], table: Table) -> dict[str, Incoming]:
    record = here.record
    again = record is not None and record.again
    # A release and a republish bring what an earlier run found.
    found_by = None if record is None or not here.releasing else record.of or record.run_id
    order = tuple(archive.run_ids(Path(here.profile.archive.uri))) if again or found_by else ()
    schema, over = table.arrow_schema(), here.over
    return {
        partition: Incoming(
            pa.Table.from_pylist(
                [{"game_cd": task.game_cd, "type": task.type, "value": task.value} for task in those], schema=schema
            ),
            {
                (str(task.game_cd), str(task.type)): Group((ask := task.ask).through, ask.final, task.source or "")
                for task in those
            },
            again=frozenset((str(task.game_cd), str(task.type)) for task in those if again),
            found_by=found_by,
            order=order,
            over=over,
        )
        for partition, those in by_partition(tasks).items()
    }


# 50_report


def outcomes(here: StageContext) -> pd.DataFrame:
    """Return what became of every task so far: one row a task, the columns of `task.TASKS`."""
    if artifacts.exists(here.run_dir, artifacts.OUTCOMES):
        return frame(artifacts.read(here.run_dir, artifacts.OUTCOMES))
    if not here.artifacts:
        for table in [_TABLES[name] for name in pipelines_asked(here.profile, here.request)]:
            publish(here, table)
    # Of a stage that made itself what it needs, the last hand-over counts; the report is about every table.
    shown = [name for name in here.artifacts if name.startswith("published.")] or here.artifacts[-1:]
    return frame(*(artifacts.read(here.run_dir, name) for name in shown))


_TABLES = {"game_metric": "game_metric", "live_play": "wv_live_play"}


def game_names(here: StageContext) -> dict[str, str]:
    """Return what each game is called: no two alike; its code where the profile gives no name."""
    names = {game_cd: game.name or game_cd for game_cd, game in here.profile.games.items()}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    return {game_cd: f"{name} ({game_cd})" if name in shared else name for game_cd, name in names.items()}


# 60_explore


def reader(here: StageContext, *, scratch: bool = True) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection for questions: one view a table, as it is at this moment; nothing is changed by it.

    A table of which nothing is published yet is there without rows.

    Args:
        scratch: ask a scratch copy, which is made from the sources where there is none yet; else the profile's own
            warehouse.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    if scratch:
        outcomes(here)
    return connect(here.warehouse if scratch else here.profile.warehouse, expected=contracts(here.profile))


def repair_command(here: StageContext) -> str:
    """Return the command that does again what failed; empty outside a run."""
    return project.repair_command(here.run_id, here.profile.path) if here.under_way else ""


def receipt(here: StageContext) -> dict[str, Any]:
    """Leave what the stage says of itself as a scrap, and return its short form to be shown last.

    Returns:
        stage, tasks (how many by outcome).
    """
    counts = outcomes(here)["outcome"].fillna("open").value_counts().sort_index()
    short = {"stage": here.name, "tasks": {str(name): int(count) for name, count in counts.items()}}
    # Outside a run nobody records files and versions, and the committed notebooks stay free of what varies.
    glue("receipt", {**short, **here.said} if here.under_way else short)
    return short
