"""What a command costs: wall time, processor time and memory of it and of all that it started."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

REPO = Path(__file__).resolve().parent.parent
SAMPLED_EVERY_S = 0.05
PAUSE = 19
"""So many times as long as a sample took nothing is sampled: who looks all the time slows down what is looked at."""


@dataclass(frozen=True)
class Cost:
    """Of one process with its children: seconds of wall and processor, megabytes of memory.

    `largest_mb` is the peak of the largest process, as the system keeps it; `together_mb` the peak of all of them at
    once, sampled (shared pages are divided among those who share them).
    """

    wall_s: float
    cpu_s: float
    largest_mb: float
    together_mb: float


def cost(command: Sequence[str], *, env: Mapping[str, str] | None = None, expect: int = 0) -> Cost:
    """Run a command from the project's folder and return what it cost.

    Raises:
        RuntimeError: it ended otherwise than by status `expect`; what it said is in the message.
    """
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=REPO, env={**os.environ, **(env or {})}, stdout=said, stderr=said)
        peak = _Peak(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        together_mb = peak.stop()
        if process.returncode != expect:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.read()[-4000:].decode()}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, together_mb)


def rounds(subjects: Mapping[str, Callable[[], Cost]], n: int) -> dict[str, list[Cost]]:
    """Measure every subject `n` times, one after the other in each round, so that all meet the same machine."""
    found: dict[str, list[Cost]] = {name: [] for name in subjects}
    for number in range(n):
        for name, subject in subjects.items():
            found[name].append(subject())
            print(f"round {number + 1} of {n}: {name} {_text(found[name][-1])}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure by itself."""
    return Cost(*(statistics.median(getattr(one, name) for one in costs) for name in Cost.__annotations__))


def spread(costs: Sequence[Cost], figure: str) -> str:
    """Return the median of a figure with its smallest and largest: `9.1 (8.9 to 9.6)`."""
    values = sorted(getattr(one, figure) for one in costs)
    return f"{statistics.median(values):.1f} ({values[0]:.1f} to {values[-1]:.1f})"


def ratio(costs: Sequence[Cost], others: Sequence[Cost], figure: str) -> str:
    """Return the median of the ratios round by round, with the smallest and largest."""
    values = sorted(getattr(a, figure) / getattr(b, figure) for a, b in zip(costs, others, strict=True))
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as a Markdown table."""
    lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Return what it was measured on."""
    memory = psutil.virtual_memory().total / 2**30
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, {memory:.0f} GB, Python {version}, load before {os.getloadavg()[0]:.1f}"


def _text(one: Cost) -> str:
    return (
        f"{one.wall_s:.2f} s wall, {one.cpu_s:.2f} s CPU, {one.largest_mb:.0f} MB largest, {one.together_mb:.0f} MB all"
    )


class _Peak:
    """Samples the memory of a process and its children until told to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._peak / 2**20

    def _sample(self) -> None:
        pause = SAMPLED_EVERY_S
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                top = psutil.Process(self._pid)
                family = [top, *top.children(recursive=True)]
                self._peak = max(self._peak, sum(_held(one) for one in family))
            except psutil.Error:
                continue
            finally:
                pause = max(SAMPLED_EVERY_S, PAUSE * (time.monotonic() - began))


def _held(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return 0.0
