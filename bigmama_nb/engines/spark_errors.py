"""What Spark refuses, as errors of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bigmama_nb.errors import SourceError, StorageError, TaskError, explain


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Say what Spark refuses for a damaged file, want of room or a lost cluster as errors of ours.

    Anything else, as a query that Spark does not understand, is a fault and goes through.

    Raises:
        SourceError: a file is damaged (source_corrupt), or was taken away meanwhile (source_missing).
        StorageError: a disk or the memory is full.
        TaskError: stage_died: tasks, executors or the driver's JVM were lost more often than Spark tries again.
    """
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        ours = _ours(error)
        if ours is None:
            raise
        raise ours from error


def _ours(error: Exception) -> TaskError | None:
    kind, text = type(error).__name__, str(error)
    if not type(error).__module__.startswith(("pyspark", "py4j", "grpc", "builtins", "socket")):
        return None
    line = _said(text)
    if "FILE_NOT_EXIST" in text or "PATH_NOT_FOUND" in text:
        return SourceError(
            "source_missing", explain("Spark", f"a file went away while it was read ({line})", step="run again")
        )
    if any(mark in text for mark in _UNREADABLE):
        return SourceError(
            "source_corrupt", explain("Spark", f"a file cannot be read ({line})", step="write the file again")
        )
    if "No space left on device" in text:
        return StorageError(explain("Spark", f"a disk is full ({line})", step="make room where its executors spill"))
    if "OutOfMemoryError" in text or "Cannot grow BufferHolder" in text:
        return StorageError(
            explain("Spark", f"it ran out of memory ({line})", step="raise spark.executor.memory or -memoryOverhead")
        )
    if kind in _LOST or any(
        mark in text for mark in ("Job aborted", "SparkContext was shut down", "cancelled because")
    ):
        return TaskError(
            "stage_died", explain("Spark", f"the work was lost ({line})", step="see Spark's own log, and run again")
        )
    return None


_UNREADABLE = ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "is not a Parquet file")
_LOST = ("Py4JNetworkError", "ConnectionRefusedError", "ConnectionResetError", "RetriesExceeded", "_InactiveRpcError")
_TELLING = ("FILE_NOT_EXIST", "PATH_NOT_FOUND", *_UNREADABLE, "No space left", "OutOfMemoryError", "Job aborted")


def _said(text: str) -> str:
    """Return the line of a stack that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    telling = (line for mark in _TELLING for line in lines if mark in line)
    return next(telling, lines[0])[:300]
