"""What the index and the pages take from a run's record: the one place that knows how run.json is laid out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigmama_nb.runs.record import FORMAT
from bigmama_nb.runs.task import is_success


class UnreadableError(ValueError):
    """A record is no JSON, or has not what a record has."""


@dataclass(frozen=True)
class RunTask:
    """One task of a run that has an outcome."""

    pipeline: str
    name: str
    """The game's code; of live viewing the table."""
    type: str
    """The metric; of live viewing empty."""
    day: int
    """`20240501`; a month `202405`."""
    id: str
    attempt: int
    at: int
    """When that attempt began, milliseconds since 1970."""
    outcome: str
    published: str
    value: int | None
    rows: int | None
    through: str | None
    final: bool | None
    reason: str | None
    message: str | None
    place: str | None
    counts: Mapping[str, Any]

    @property
    def ill(self) -> bool:
        """Whether it counts as no success (docs/spec/runs_and_archive.md, "The grid")."""
        return not is_success(self.outcome, self.published)


def load(path: Path) -> dict[str, Any]:
    """Return a record as it stands in its file.

    Raises:
        UnreadableError: it cannot be read, or lacks what every record has.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: cannot be read ({error})") from None
    try:
        assert isinstance(data, dict)
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']}, and this version reads {FORMAT}")
        if data["run_id"] != path.parent.name:
            raise ValueError(f"it is the record of {data['run_id']}: the folder was copied or renamed")
        assert all(isinstance(data[key], list) for key in ("attempts", "tasks", "published", "pipelines"))
        assert isinstance(data["status"], str)
        assert all(isinstance(attempt["n"], int) for attempt in data["attempts"])
        data["profile"]["path"]
        for _ in tasks(data):
            pass
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise UnreadableError(f"{path}: is no record of a run ({what})") from None
    return data


def instant(text: str | None) -> datetime | None:
    """Return an instant of a record, in UTC."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def milliseconds(text: str | None) -> int:
    """Return an instant of a record as milliseconds since 1970; 0 where there is none."""
    at = instant(text)
    return 0 if at is None else round(at.timestamp() * 1000)


def tasks(data: Mapping[str, Any]) -> Iterator[RunTask]:
    """Return the tasks of a record that have an outcome."""
    began = {attempt["n"]: milliseconds(attempt["started_at"]) for attempt in data["attempts"]}
    for entry in data["tasks"]:
        if entry["outcome"] is None:
            continue
        live = entry.get("game_cd") is None
        attempt = int(entry.get("attempt") or 1)
        yield RunTask(
            pipeline=entry["pipeline"],
            name=str(entry["table"] if live else entry["game_cd"]),
            type="" if live else str(entry["type"]),
            day=int(str(entry["part_date"] if live else entry["dt"]).replace("-", "")),
            id=str(entry["id"]),
            attempt=attempt,
            at=began.get(attempt, 0),
            outcome=str(entry["outcome"]),
            published=str(entry["published"]),
            value=entry.get("value"),
            rows=entry.get("rows"),
            through=entry.get("through"),
            final=entry.get("final"),
            reason=entry.get("reason"),
            message=entry.get("message"),
            place=entry.get("place"),
            counts=entry.get("counts") or {},
        )


def stem(notebook: Mapping[str, Any]) -> str:
    """Return the name of an executed notebook's file without its ending: `40_write_parquet.game_metric`."""
    return ".".join(filter(None, (notebook["stage"], notebook.get("table"))))
