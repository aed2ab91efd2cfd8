"""The tables that travel between a run's stages, as Parquet in the attempt's `data` folder.

Every stage writes files of its own and none is written twice, so each says what its stage knew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.errors import NOTHING_PUBLISHED, StorageError, explain
from bigmama_nb.executor.atomic_write import replace_file
from bigmama_nb.parquet import Form, file_bytes
from bigmama_nb.project import ROOT
from bigmama_nb.runs.task import TASKS, Task

PLANNED = "planned"
EXTRACTED = "extracted"
NORMALIZED = "normalized"
BUILT = "built"
OUTCOMES = "outcomes"
LOAD = "load"


def shown_path(path: str) -> str:
    """Return a path as outputs and records name it: from the project's folder, where it lies in it."""
    return path.removeprefix(f"{ROOT}{os.sep}")


def published(table: str) -> str:
    """Return the name of the hand-over of 40_write_parquet for `table`."""
    return f"published.{table}"


def path(run_dir: Path, name: str) -> Path:
    """Return the file of the artifact called `name`."""
    return run_dir / "data" / f"{name}.parquet"


def write_tasks(run_dir: Path, name: str, tasks: Iterable[Task]) -> None:
    """Write the tasks of a stage; raises StorageError."""
    write(run_dir, name, pa.Table.from_pylist([vars(task) for task in tasks], schema=TASKS))


def read_tasks(run_dir: Path, name: str) -> list[Task]:
    """Return the tasks that a stage handed over; raises StorageError where the file is missing or not whole."""
    return Task.of_table(read(run_dir, name))


def write(run_dir: Path, name: str, table: pa.Table) -> None:
    """Write a table, whole or not at all.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    target = path(run_dir, name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, file_bytes(table, Form("zstd", "int64")))
    except OSError as error:
        raise StorageError(
            explain(
                str(target),
                f"cannot be written ({error})",
                state="What is published is as it was",
                step="make room or mend the folder's rights, then run again",
            ),
            place=str(target),
        ) from None


def read(run_dir: Path, name: str) -> pa.Table:
    """Return a table that a stage handed over.

    Raises:
        StorageError: the file is missing or not whole.
    """
    source = path(run_dir, name)
    recorded = (run_dir.parent / "run.json").is_file()
    try:
        # Not by `read_table`, which imports pyarrow's datasets for it.
        with pq.ParquetFile(source) as file:
            return file.read()
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(
            explain(
                str(source),
                f"the stage before left no whole file ({error})",
                state=NOTHING_PUBLISHED,
                step=f"'run_all.py repair {run_dir.parent.name}' runs both again" if recorded else "run both again",
            ),
            place=str(source),
        ) from None


def exists(run_dir: Path, name: str) -> bool:
    """Whether the stage has handed its table over."""
    return path(run_dir, name).is_file()


def figures(tasks: Sequence[Task]) -> pa.Table:
    """Return the rows game_cd string, dt string, type string, value int64 of the tasks that have a figure, sorted."""
    rows = sorted((task.game_cd, task.dt, task.type, task.value) for task in tasks if task.value is not None)
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    types = (pa.string(), pa.string(), pa.string(), pa.int64())
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    return pa.table(arrays, names=["game_cd", "dt", "type", "value"])
