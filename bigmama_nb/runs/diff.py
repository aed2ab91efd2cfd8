"""What differs between two runs: tasks, values, causes, durations, profile and code; and two notebooks cell by cell.

Source of the rules: docs/spec/runs_and_archive.md, "The command".
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmama_nb.errors import NOTHING_DONE, UsageError
from bigmama_nb.reports.causes import causes, ended
from bigmama_nb.runs import archive
from bigmama_nb.runs.notebooks import notebook_of
from bigmama_nb.runs.record import RunRecord
from bigmama_nb.runs.task import Task

COMPARED = ("outcome", "reason", "published", "value", "rows", "through")
SLOWER = 0.2
"""A stage's duration differs by at least this share, and by a second: less is the machine's mood."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs: where, what it is in the one run and in the other; None where it is not there."""

    key: str
    a: Any
    b: Any

    @property
    def change_percent(self) -> float | None:
        """How much a number changed; None for what is no number or was 0."""
        if not isinstance(self.a, int | float) or not isinstance(self.b, int | float) or not self.a:
            return None
        return round(100 * (self.b - self.a) / abs(self.a), 2)

    def as_json(self) -> dict[str, Any]:
        """Return key, a, b, and change_percent of numbers."""
        change = self.change_percent
        return {"key": self.key, "a": self.a, "b": self.b} | ({} if change is None else {"change_percent": change})

    def __str__(self) -> str:
        if self.a is None:
            return f"{self.key}: only in the second: {_shown(self.b)}"
        if self.b is None:
            return f"{self.key}: only in the first: {_shown(self.a)}"
        change = self.change_percent
        return f"{self.key}: {_shown(self.a)} → {_shown(self.b)}" + ("" if change is None else f" ({change:+,} %)")


def pair(folder: Path, first: str, second: str) -> tuple[RunRecord, RunRecord]:
    """Return the runs that two names name; `previous` is the run before the other of its profile and pipelines.

    Raises:
        UsageError: a name names no run, or both are `previous`.
    """
    names = (first, second)
    if names.count("previous") == 2:
        raise UsageError("'previous' is the run before the other; name one of the two", state=NOTHING_DONE)
    known = {name: archive.read(folder, archive.find(folder, name)) for name in names if name != "previous"}
    other = next(iter(known.values()))
    a, b = (known[name] if name in known else _previous(folder, other) for name in names)
    return a, b


def _previous(folder: Path, run: RunRecord) -> RunRecord:
    ids = archive.run_ids(folder)
    for run_id in reversed(ids[: ids.index(run.run_id)]):
        try:
            found = archive.read(folder, run_id)
        except UsageError:
            continue
        if (found.verb, found.profile.path, found.pipelines, found.scratch) == (
            run.verb, run.profile.path, run.pipelines, run.scratch,
        ):  # fmt: skip
            return found
    raise UsageError(
        f"{run.run_id} is the first run of its profile and pipelines: none is previous", state=NOTHING_DONE
    )


def differences(a: RunRecord, b: RunRecord) -> list[Difference]:
    """Return what differs between two runs, tasks first; where they share none, the newest of each game's metric."""
    tasks = {task.id: task for task in a.tasks}, {task.id: task for task in b.tasks}
    if not set(tasks[0]) & set(tasks[1]):
        tasks = _newest(a), _newest(b)
    return [*_of_tasks(*tasks), *_of_causes(a, b), *_of_stages(a, b), *_of_origin(a, b)]


def _newest(run: RunRecord) -> dict[str, Task]:
    """Return the newest task of each series: nights are compared by what they ask for, not by their days."""
    by_day = sorted(run.tasks, key=lambda task: str(task.dt or task.part_date))
    return {task.id.rpartition("/")[0]: task for task in by_day}


def _of_tasks(a: Mapping[str, Task], b: Mapping[str, Task]) -> Iterator[Difference]:
    for key in sorted({*a, *b}):
        one, other = a.get(key), b.get(key)
        if one is None or other is None:
            yield Difference(key, one and one.outcome, other and other.outcome)
            continue
        for name in COMPARED:
            if name == "through" and one.id != other.id:
                continue
            before, after = getattr(one, name), getattr(other, name)
            if before != after:
                yield Difference(f"{key} {name}", before, after)


def _of_causes(a: RunRecord, b: RunRecord) -> Iterator[Difference]:
    before, after = _causes(a), _causes(b)
    for cause in sorted(before ^ after):
        yield Difference(f"cause {cause}", "there" if cause in before else None, "there" if cause in after else None)


def _causes(run: RunRecord) -> set[str]:
    found = causes(ended(run.tasks))
    return {" ".join(filter(None, (one.outcome, one.reason, f"of {', '.join(one.lines)}"))) for one in found}


def _of_stages(a: RunRecord, b: RunRecord) -> Iterator[Difference]:
    before, after = _seconds(a), _seconds(b)
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one is None or other is None or abs(one - other) >= max(1.0, SLOWER * max(one, other)):
            yield Difference(f"stage {name} seconds", one, other)


def _seconds(run: RunRecord) -> dict[str, float]:
    total: dict[str, float] = {}
    for attempt in run.attempts:
        for book in attempt.notebooks:
            total[book.name] = round(total.get(book.name, 0.0) + (book.seconds or 0.0), 1)
    return total


def _of_origin(a: RunRecord, b: RunRecord) -> Iterator[Difference]:
    before, after = _origin(a), _origin(b)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference(name, before.get(name), after.get(name))


def _origin(run: RunRecord) -> dict[str, Any]:
    """Return what the run was made by: its profile, the code, and the versions of what it stands on."""
    environment = run.environment
    code = {f"code {name}": environment.get(name) for name in ("package", "git", "dirty", "python", "host")}
    packages = {f"package {name}": version for name, version in dict(environment.get("packages", {})).items()}
    return {"profile path": run.profile.path, "profile sha256": run.profile.sha256, **code, **packages}


def notebooks(folder: Path, a: RunRecord, b: RunRecord, stage: str) -> str:
    """Return how a stage's newest notebooks of two runs differ, cell by cell; empty where they do not.

    Raises:
        UsageError: a run has no such notebook, or nbdime is not installed.
    """
    try:
        from nbdime import diff_notebooks
        from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff
    except ModuleNotFoundError:
        raise UsageError(
            "Notebooks are compared by nbdime, which is not installed",
            state=NOTHING_DONE,
            step="pip install 'bigmama-nb[diff]' brings it",
        ) from None
    import nbformat

    paths = [notebook_of(folder, run, stage) for run in (a, b)]
    try:
        before, after = (nbformat.read(path, as_version=4) for path in paths)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise UsageError(f"A notebook cannot be read ({str(error).splitlines()[0]})", state=NOTHING_DONE) from None
    found = diff_notebooks(before, after)
    if not found:
        return ""
    text = io.StringIO()
    pretty_print_notebook_diff(*map(str, paths), before, found, PrettyPrintConfig(out=text, use_color=False))
    return text.getvalue()


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
