"""The grid: which tasks a run has, before anything is asked.

Source of the rules: runs.md, "The grid"; parameters.md, "What a day asks for".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bigmama_nb.errors import TaskError, UsageError, did_you_mean
from bigmama_nb.handover import Task
from bigmama_nb.lineage import lineage
from bigmama_nb.periods import asks, days_asked, lacking
from bigmama_nb.profile import Profile
from bigmama_nb.tables import game_metric
from bigmama_nb.warehouses import Settings, Warehouse

PIPELINES = ("game_metric", "live_play")


@dataclass(frozen=True)
class Wish:
    """What the command asks for; empty means all that the profile configures."""

    date_from: str | None = None
    date_to: str | None = None
    games: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    missing: bool = False


@dataclass(frozen=True)
class Grid:
    """The tasks of a run, and the days they come from; `warning` says what could not be looked up."""

    first: date
    last: date
    pipelines: tuple[str, ...]
    tasks: tuple[Task, ...]
    warning: str | None = None


def plan(profile: Profile, wish: Wish, *, warehouse: Settings | None = None, now: datetime | None = None) -> Grid:
    """Return the grid that `wish` asks for, with what is published in `warehouse` (the profile's) taken into account.

    Raises:
        UsageError: a name is not known, or a day is malformed or not yet over.
        TaskError: `missing` is asked and the warehouse cannot say what is there.
    """
    first, last = days_asked(profile, wish.date_from, wish.date_to, now=now or datetime.now(UTC))
    pipelines = _pipelines(profile, wish)
    tasks: list[Task] = []
    warning = None
    if "game_metric" in pipelines:
        # Names are checked before the warehouse is asked, so a slip of the pen costs nothing.
        asks(profile, first, last, games=wish.games, metrics=wish.metrics)
        published: dict[tuple[str, str, str], date] = {}
        try:
            published = published_throughs(warehouse or profile.warehouse)
        except TaskError as error:
            if wish.missing:
                raise
            warning = f"{error} What is published could not be looked up; newer rows are kept all the same."
        wanted = asks(profile, first, last, games=wish.games, metrics=wish.metrics, published=published)
        tasks += [Task.of_ask(ask) for ask in (lacking(wanted, published) if wish.missing else wanted)]
    return Grid(first, last, pipelines, tuple(tasks), warning)


def published_throughs(settings: Settings) -> dict[tuple[str, str, str], date]:
    """Return for each (game_cd, type, dt) that has a row the day it is counted through.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    table = game_metric.contract(settings.database)
    with Warehouse.open(settings) as warehouse:
        found = lineage(warehouse, table.full_name)
    return {
        (game_cd, type_, partition.partition("=")[2]): origin.through
        for partition, groups in found.items()
        for (game_cd, type_), origin in groups.items()
    }


def _pipelines(profile: Profile, wish: Wish) -> tuple[str, ...]:
    configured = profile.pipelines
    for name in wish.pipelines:
        if name not in PIPELINES:
            raise UsageError(
                f"--pipelines names {name!r}; pipelines are {', '.join(PIPELINES)}.{did_you_mean(name, PIPELINES)} "
                "Nothing was run."
            )
        if name not in configured:
            section = "games" if name == "game_metric" else "live_play"
            raise UsageError(
                f"--pipelines names {name!r}, which {profile.path.name} does not configure (it has no section "
                f"{section}). Nothing was run."
            )
    return wish.pipelines or configured


def named(tasks: Collection[Task], name: str) -> Task:
    """Return the task called `name`; raises UsageError, with the nearest name there is."""
    for task in tasks:
        if task.id == name:
            return task
    raise UsageError(
        f"{name!r} is no task of the run.{did_you_mean(name, [task.id for task in tasks])} Nothing was done."
    )
