"""The grid: which tasks a run has, before anything is asked.

Source of the rules: docs/spec/runs_and_archive.md, "The grid"; docs/spec/profile.md, "What a day asks for".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec

from bigmama_nb.errors import NOTHING_DONE, TaskError, UsageError, did_you_mean
from bigmama_nb.periods import asks, days_asked, lacking
from bigmama_nb.profile import Profile
from bigmama_nb.runs.task import Task
from bigmama_nb.tables import DAILY, KPI, MONTH, WV_LIVE_PLAY, game_metric
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.lineage import Provenance, Retraction, lineage, retractions

PIPELINES = ("game_metric", "live_play")


@dataclass(frozen=True)
class Request:
    """What the command asks for; empty means all that the profile configures."""

    date_from: str | None = None
    date_to: str | None = None
    games: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    missing: bool = False
    again: bool = False


@dataclass(frozen=True)
class Grid:
    """The tasks of a run, and the days they come from; `warning` says what could not be looked up.

    `retracted`: tasks that stay out, since their row was retracted and nobody asks for it by name and again.
    """

    first: date
    last: date
    pipelines: tuple[str, ...]
    tasks: tuple[Task, ...]
    warning: str | None = None
    retracted: Mapping[str, Retraction] = field(default_factory=dict)


def plan(profile: Profile, request: Request, *, warehouse: Settings | None = None, now: datetime | None = None) -> Grid:
    """Return the grid that `request` asks for; what `warehouse` (the profile's) holds is taken into account.

    Raises:
        UsageError: a name is not known, or a day is malformed or not yet over.
        TaskError: `missing` is asked and the warehouse cannot say what is there.
    """
    first, last = days_asked(profile, request.date_from, request.date_to, now=now or datetime.now(UTC))
    pipelines = pipelines_asked(profile, request)
    tasks: list[Task] = []
    warning = None
    out: dict[str, Retraction] = {}
    if "game_metric" in pipelines:
        # Names are checked before the warehouse is asked, so a slip of the pen costs nothing.
        asks(profile, first, last, games=request.games, metrics=request.metrics)
        published: dict[tuple[str, str, str], date] = {}
        try:
            published = published_throughs(warehouse or profile.warehouse)
            out = {} if request.again else retracted_tasks(warehouse or profile.warehouse)
        except TaskError as error:
            if request.missing:
                raise
            warning = f"{error} What is published could not be looked up; newer rows are kept all the same."
        wanted = asks(profile, first, last, games=request.games, metrics=request.metrics, published=published)
        tasks += [Task.of_request(ask) for ask in (lacking(wanted, published) if request.missing else wanted)]
        out = {task.id: out[task.id] for task in tasks if task.id in out}
        tasks = [task for task in tasks if task.id not in out]
    if "live_play" in pipelines:
        assert profile.live_play is not None
        dates = profile.live_play.dates
        begin, end = days_asked(profile, request.date_from, request.date_to, now=now or datetime.now(UTC), dates=dates)
        days = [begin + timedelta(days=ahead) for ahead in range((end - begin).days + 1)]
        live, said = _live_tasks(profile, days, warehouse or profile.warehouse, missing=request.missing)
        tasks += live
        warning = " ".join(filter(None, (warning, said))) or None
        if pipelines == ("live_play",):
            first, last = begin, end
    return Grid(first, last, pipelines, tuple(tasks), warning, out)


def _live_tasks(
    profile: Profile, days: Sequence[date], settings: Settings, *, missing: bool
) -> tuple[list[Task], str | None]:
    """Return the tasks of the live-viewing dates that are rebuilt, and of the KPI dates and months that they change.

    Beside them it is said which published dates are due again since their log has changed.

    Raises:
        CatalogError, StorageError: the warehouse cannot say which dates are final, so it is not known what is due.
    """
    # Imported where it is used: planning the games' metrics needs no engine.
    from bigmama_nb.live_play.dates import Published, due_dates, is_final, looked_at

    assert profile.live_play is not None
    database, after = profile.live_play.database, profile.live_play.log_days_after
    wanted = {name: f"{database}.{name}" for name in (*DAILY, KPI, MONTH)}
    with Warehouse.open(settings) as warehouse:
        stands = {
            name: {
                partition.partition("=")[2]: origin
                for partition, groups in lineage(warehouse, full_name).items()
                for origin in groups.values()
            }
            for name, full_name in wanted.items()
            if missing or name == WV_LIVE_PLAY
        }
    origins = {date.fromisoformat(day): one for day, one in stands[WV_LIVE_PLAY].items()}
    looked = looked_at(days)
    changed, warning = _changed_inputs(profile, {day: one for day, one in origins.items() if day in looked})
    published = {day: Published(one.final, day in changed) for day, one in origins.items()}
    due = due_dates(days, published.get, after)
    if missing:
        due = [
            one
            for one in due
            if one.part_date in changed
            or f"{one.part_date:%Y-%m}" not in stands[MONTH]
            or any(
                str(one.part_date) not in stands[name] or stands[name][str(one.part_date)].through < one.log_end
                for name in (*DAILY, KPI)
            )
        ]
    tasks = [
        _live_task(table, one.part_date.isoformat(), one.log_end, is_final(one.part_date, one.log_end, after))
        for one in due
        for table in (*DAILY, KPI)
    ]
    months = sorted({f"{one.part_date:%Y-%m}" for one in due})
    ends = {month: max(one.log_end for one in due if f"{one.part_date:%Y-%m}" == month) for month in months}
    why = {
        f"{WV_LIVE_PLAY}/{one.part_date}": f"wv_live_play {one.part_date}: the log has changed since it was read "
        f"({changed[one.part_date]}); the date is built again."
        for one in due
        if one.part_date in changed
    }
    tasks = [task.changed(message=why.get(task.id)) for task in tasks]
    tasks += [_live_task(MONTH, month, ends[month], False) for month in months]
    return tasks, " ".join(filter(None, (*why.values(), warning))) or None


def _changed_inputs(profile: Profile, published: Mapping[date, Provenance]) -> tuple[dict[date, str], str | None]:
    """Return which published dates were built of a log that is another one now, and how it differs.

    Where sources cannot be looked at, no date is due for it, and the second value says so. A catalog shows no files.
    """
    from bigmama_nb.live_play.dates import log_dates
    from bigmama_nb.live_play.engine import folders_of
    from bigmama_nb.live_play.source_files import changed

    settings = profile.live_play
    assert settings is not None
    known = {day: one for day, one in published.items() if one.inputs is not None}
    if settings.sources.uri is None or not known:
        return {}, None
    found: dict[date, str] = {}
    seen: dict[date, str] = {}
    try:
        sources = folders_of(profile)
        for day, one in known.items():
            earlier, wanted = log_dates(day, one.through, settings.log_days_before, settings.log_days_after)
            dates = [*earlier, *wanted]
            seen |= {date.fromisoformat(k): v for k, v in sources.inputs([d for d in dates if d not in seen]).items()}
            if difference := changed(one.inputs, {d.isoformat(): seen[d] for d in dates}):
                found[day] = difference
    except (TaskError, UsageError) as error:
        return {}, f"{error} Whether a final date's log has changed could not be looked up; none is due for it."
    return found, None


def _live_task(table: str, partition: str, through: date, final: bool) -> Task:
    return Task(
        id=f"{table}/{partition}",
        pipeline="live_play",
        table=table,
        part_date=partition,
        through=through.isoformat(),
        final=final,
    )


def made_of(tasks: Collection[Task], redone: Collection[Task]) -> list[Task]:
    """Return the tasks among `tasks` of the KPI dates and months that are made of what `redone` publishes."""
    days = {str(task.part_date) for task in redone if task.table in DAILY}
    return [
        task for task in tasks if task.table in (KPI, MONTH) if any(day.startswith(str(task.part_date)) for day in days)
    ]


def published_throughs(settings: Settings) -> dict[tuple[str, str, str], date]:
    """Return for each (game_cd, type, dt) that has a row the day it is counted through.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    table = game_metric.CONTRACT.in_database(settings.database)
    with Warehouse.open(settings) as warehouse:
        found = lineage(warehouse, table.full_name)
    return {
        (game_cd, type_, partition.partition("=")[2]): origin.through
        for partition, groups in found.items()
        for (game_cd, type_), origin in groups.items()
    }


def retracted_tasks(settings: Settings) -> dict[str, Retraction]:
    """Return by task what was retracted of the games' figures, and was not asked for again since.

    Raises:
        CatalogError, StorageError: the warehouse cannot be read.
    """
    table = game_metric.CONTRACT.in_database(settings.database)
    with Warehouse.open(settings) as warehouse:
        found = retractions(warehouse, table.full_name)
    return {
        f"{game_cd}/{type_}/{partition.partition('=')[2]}": one
        for partition, keys in found.items()
        for (game_cd, type_), one in keys.items()
    }


def pipelines_asked(profile: Profile, request: Request) -> tuple[str, ...]:
    """Return the pipelines of a run: those named; else those configured, without live viewing where names narrow it.

    Raises:
        UsageError: one is not known, not configured, or no engine of the profile can do it.
    """
    configured = profile.pipelines
    for name in request.pipelines:
        if name not in PIPELINES:
            raise UsageError(
                f"--pipelines names {name!r}; pipelines are {', '.join(PIPELINES)}.{did_you_mean(name, PIPELINES)}"
            )
        if name not in configured:
            section = "games" if name == "game_metric" else "live_play"
            raise UsageError(
                f"--pipelines names {name!r}, which {profile.path.name} does not configure (it has no section "
                f"{section})"
            )
    wanted = request.pipelines or (("game_metric",) if _narrowed(profile, request) else configured)
    if "live_play" in wanted:
        _require_engine(profile)
    return wanted


def _narrowed(profile: Profile, request: Request) -> bool:
    """Whether names of games or metrics are asked for, and not all: live viewing has none of them."""
    games, metrics = set(request.games), set(request.metrics)
    asked = (games and games != set(profile.games)) or (metrics and metrics != set(profile.metrics))
    return bool(profile.games) and bool(asked)


def _require_engine(profile: Profile) -> None:
    """Refuse before anything runs what no engine of the profile can do."""
    settings = profile.live_play
    kind, name = profile.engine.kind, profile.path.name
    if kind == "spark" and find_spec("pyspark") is None:
        raise UsageError(
            f"{name}: engine.kind is 'spark', and pyspark is not installed",
            step="'pip install 'bigmama-nb[spark]'' installs it",
        )
    if settings is not None and settings.sources.uri and kind == "duckdb" and "://" in settings.sources.uri:
        raise UsageError(
            f"{name}: live_play.sources.uri is {settings.sources.uri!r}; DuckDB builds from a folder of this machine",
            step="set engine.kind to spark",
        )


def named(tasks: Collection[Task], name: str) -> Task:
    """Return the task called `name`; raises UsageError, with the nearest name there is."""
    for task in tasks:
        if task.id == name:
            return task
    raise UsageError(
        f"{name!r} is no task of the run.{did_you_mean(name, [task.id for task in tasks])}", state=NOTHING_DONE
    )
