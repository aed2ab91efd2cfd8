"""One task of a run's grid and what is known of it: what the plan makes, the stages fill and the record keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from itertools import repeat
from typing import Any, Self

import pyarrow as pa

from bigmama_nb.errors import TaskError
from bigmama_nb.periods import FigureRequest
from bigmama_nb.sources.outcome import Outcome

TASKS = pa.schema(
    [
        ("id", pa.string()),
        ("pipeline", pa.string()),
        ("game_cd", pa.string()),
        ("type", pa.string()),
        ("dt", pa.string()),
        ("table", pa.string()),
        ("part_date", pa.string()),
        ("through", pa.string()),
        ("final", pa.bool_()),
        ("value", pa.int64()),
        ("rows", pa.int64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("place", pa.string()),
        ("published", pa.string()),
        ("undated", pa.int64()),
        ("left_out", pa.int64()),
        ("rejected", pa.int64()),
        ("rejected_share", pa.float64()),
        ("unmatched_joins", pa.int64()),
        ("unmatched_leaves", pa.int64()),
        ("source", pa.string()),
        ("inputs", pa.string()),
    ]
)
COUNTS = ("undated", "left_out", "rejected", "rejected_share", "unmatched_joins", "unmatched_leaves")


def is_success(outcome: str | None, published: str) -> bool:
    """Whether a task counts as a success: published, or a newer row kept in a race; a held suspect does not."""
    return outcome == "ok" or (outcome == "suspect" and published == "yes")


def by_partition(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return tasks of `game_metric` by the partition that their rows stand in, sorted by it."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(f"dt={task.dt}", []).append(task)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Task:
    """One task of the grid and what is known of it: the fields of `tasks[]` in run.json.

    Source: docs/spec/runs_and_archive.md, "The archive".

    `through` is `YYYY-MM-DD`; `outcome` is None until there is one.
    """

    id: str
    pipeline: str
    game_cd: str | None = None
    type: str | None = None
    dt: str | None = None
    table: str | None = None
    part_date: str | None = None
    through: str | None = None
    final: bool | None = None
    value: int | None = None
    rows: int | None = None
    outcome: str | None = None
    reason: str | None = None
    message: str | None = None
    place: str | None = None
    published: str = "no"
    undated: int | None = None
    left_out: int | None = None
    rejected: int | None = None
    rejected_share: float | None = None
    unmatched_joins: int | None = None
    unmatched_leaves: int | None = None
    source: str | None = None
    attempt: int = 1
    inputs: str | None = None

    @classmethod
    def of_request(cls, ask: FigureRequest) -> Self:
        """Return the task of a figure that is asked for."""
        return cls(
            id="/".join(ask.key),
            pipeline="game_metric",
            game_cd=ask.game_cd,
            type=ask.type,
            dt=ask.dt,
            through=ask.through.isoformat(),
            final=ask.final,
        )

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        """Return the task of a figure with what became of it."""
        return cls.of_request(outcome.ask).changed(
            value=outcome.value,
            rows=1 if outcome.outcome == "ok" else None,
            outcome=outcome.outcome,
            reason=outcome.reason,
            message=outcome.message,
            place=outcome.place,
            undated=outcome.undated,
            left_out=outcome.left_out or None,
            source=outcome.source,
        )

    @classmethod
    def of_record(cls, entry: Mapping[str, Any]) -> Self:
        """Return the task that an entry of `tasks[]` in run.json tells of, without what a newer version added."""
        counts = entry.get("counts") or {}
        return cls(**{name: value for name, value in {**entry, **counts}.items() if name in _NAMES})

    @classmethod
    def of_table(cls, table: pa.Table) -> list[Self]:
        """Return the tasks of a table with the columns of `TASKS`."""
        columns = [
            _values(table[one.name]) if one.name in table.column_names else repeat(one.default) for one in fields(cls)
        ]
        return [cls(*values) for values in zip(*columns, strict=False)]

    def changed(self, **values: Any) -> Self:
        """Return the task with other values of these fields; `dataclasses.replace` takes four times as long for it."""
        if not values.keys() <= _NAMES:
            raise TypeError(f"{sorted(values.keys() - _NAMES)} are no fields of a task")
        other = object.__new__(type(self))
        vars(other).update(vars(self), **values)
        return other

    def __deepcopy__(self, memo: object) -> Self:
        """Return the task itself: nothing in it can change."""
        return self

    def fresh(self) -> Self:
        """Return the task as it is asked for, with nothing known of it."""
        named = ("id", "pipeline", "game_cd", "type", "dt", "table", "part_date", "through", "final")
        return type(self)(**{name: getattr(self, name) for name in named})

    def failed(self, error: TaskError) -> Self:
        """Return the task as `error` leaves it; after a lost answer it is not known whether it was published."""
        return self.changed(
            outcome="failed",
            reason=error.reason,
            message=error.message,
            place=error.place,
            published="unknown" if error.reason == "publish_unknown" else "no",
        )

    @property
    def ask(self) -> FigureRequest:
        """The figure that this task of `game_metric` asks for."""
        assert self.game_cd is not None
        assert self.type is not None
        assert self.dt is not None
        assert self.through is not None
        return FigureRequest(self.game_cd, self.type, self.dt, date.fromisoformat(self.through), bool(self.final))

    @property
    def succeeded(self) -> bool:
        """Whether it counts as a success, as `is_success` says."""
        return is_success(self.outcome, self.published)

    @property
    def held(self) -> bool:
        """Whether it is implausible and waits for its release."""
        return self.outcome == "suspect" and self.published == "no"

    def as_recorded(self) -> dict[str, Any]:
        """Return the entry of `tasks[]` in run.json."""
        named = ("game_cd", "type", "dt") if self.pipeline == "game_metric" else ("table", "part_date", "inputs")
        fields = ("through", "final", "value", "rows", "outcome", "reason", "message", "place", "attempt", "published")
        return {
            **{name: getattr(self, name) for name in ("id", "pipeline", *named, *fields)},
            "counts": {name: getattr(self, name) for name in COUNTS if getattr(self, name) is not None},
        }


_NAMES = frozenset(field.name for field in fields(Task))


def _values(column: pa.ChunkedArray) -> Iterable[Any]:
    """Return what a column holds, as Python has it: the quickest way to it of its type."""
    if column.null_count == len(column):
        return repeat(None, len(column))
    values: list[Any] = column.to_numpy().tolist() if pa.types.is_string(column.type) else column.to_pylist()
    return values
