"""What 50_report shows of the tables, as their readers see them, and of what became of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from bigmama_nb.periods import day_of, dt_of, last_day
from bigmama_nb.profile.metric import WEEK_OR_MONTH
from bigmama_nb.reports import Html
from bigmama_nb.reports.overview import at_a_glance, completeness, day_said
from bigmama_nb.reports.section import Section, Topic, sections
from bigmama_nb.reports.section_shown import Sections
from bigmama_nb.stages.context import StageContext
from bigmama_nb.stages.game_metric import game_names, outcomes
from bigmama_nb.tables import KPI, game_metric, game_metric_status
from bigmama_nb.tables.game_metric_status import RETRACTED
from bigmama_nb.tables.registry import live_contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import lineage
from bigmama_nb.warehouse.query import rows_that_can_be_read

BACK = timedelta(days=400)
"""How far back figures are read: what is shown, and what the oldest of it is compared with."""
_FIGURES = {"game_cd": "str", "type": "str", "dt": "str", "value": "int64", "through": "str", "final": "bool"}
_KPIS = {
    "viewers": ("Viewers", "viewers", "Distinct viewers over the artist's lives of the day."),
    "fc_viewers": ("Fan club viewers", "viewers", "Those of them who are in the artist's fan club."),
    "peak_viewers": ("Peak viewers", "viewers", "Most viewers at once of any one live."),
    "hours_watched": (
        "Hours watched",
        "hours",
        "Whole hours that were watched of the artist's lives, as host or guest.",
    ),
    "lives": ("Lives", "lives", "Lives in which the artist is host or guest."),
}


@dataclass(frozen=True)
class Report:
    """A report's parts, each of which shows itself in a notebook."""

    day: str
    """The newest day of which figures were asked, `YYYY-MM-DD`; empty where none were."""
    metric_sections: tuple[Section, ...]
    live_sections: tuple[Section, ...]
    completeness: tuple[Html, ...]

    def header(self) -> Html:
        """Return of which day the figures are and whether they are complete, and each metric in a line."""
        said = day_said(day_of(self.day)) if self.day else "nothing"
        title = Html(f"<h1>Report of {said}</h1>", f"Report of {said}")
        parts = [title, *self.completeness, *([at_a_glance(self.metric_sections)] if self.metric_sections else [])]
        return Html("".join(part.html for part in parts), "\n\n".join(part.text for part in parts))

    def metrics(self) -> Sections:
        """Return a section for each metric: every game with its value, changes and course."""
        return Sections(self.metric_sections, "The profile configures no metric of a game.")

    def live_viewing(self) -> Sections:
        """Return a section for each KPI of live viewing: every artist with its value, changes and course."""
        return Sections(
            self.live_sections, "There is no live viewing: none is configured, or no date is published yet."
        )


def report(here: StageContext) -> Report:
    """Return the report of the tables as readers see them now; outside a run they are made in scratch first.

    Raises:
        UsageError: a parameter names what the profile does not have.
        CatalogError, StorageError: the warehouse cannot be read.
    """
    tasks = outcomes(here)
    of_games = tasks[tasks["pipeline"] == "game_metric"]
    of_lives = tasks[tasks["pipeline"] != "game_metric"]
    with Warehouse.open(here.warehouse) as warehouse:
        figures = _figures(here, warehouse, of_games)
        told = _told(here, warehouse, figures, of_games)
        kpis = _kpis(here, warehouse)
    names = game_names(here)
    metric_sections = sections(
        figures, _topics(here, figures), pairs=here.profile.pairs, names=names, outcomes=of_games, told=told
    )
    days = [*of_games["through"].tolist(), *of_lives["part_date"].str.slice(0, 10).tolist()]
    return Report(
        max((day for day in days if len(day) == len("2024-05-01")), default=""),
        tuple(metric_sections),
        tuple(_live_sections(kpis, of_lives)),
        tuple(_completeness(of_games, of_lives, names)),
    )


# Games


def _topics(here: StageContext, figures: pd.DataFrame) -> list[Topic]:
    configured = [
        Topic(name, metric.title or name, metric.period, metric.unit, metric.description, metric.additive)
        for name, metric in here.profile.metrics.items()
    ]
    others = sorted({*figures["type"].tolist()} - {*here.profile.metrics})
    gone = "The profile does not name this metric any more."
    return [*configured, *(Topic(name, name, "day", description=gone) for name in others)]


def _figures(here: StageContext, warehouse: Warehouse, asked: pd.DataFrame) -> pd.DataFrame:
    table = game_metric.CONTRACT.in_database(here.warehouse.database).full_name
    if warehouse.catalog.entry(table) is None:
        return _frame([])
    newest = max(
        [*asked["dt"].tolist(), *(name.partition("=")[2] for name in warehouse.catalog.current(table))], default=""
    )
    if not newest:
        return _frame([])
    first = min([dt_of(day_of(newest) - BACK), *asked["dt"].tolist()])
    # A damaged day costs its own figures; to publish it says what is wrong with it.
    rows = rows_that_can_be_read(warehouse, f"SELECT game_cd, type, dt, value FROM {table} WHERE dt >= '{first}'")
    periods = {name: metric.period for name, metric in here.profile.metrics.items()}
    long = {type_ for type_, period in periods.items() if period in WEEK_OR_MONTH}
    by_whom = lineage(warehouse, table, {f"dt={dt}" for _, type_, dt, _ in rows if type_ in long})
    found = []
    for game_cd, type_, dt, value in rows:
        wrote = by_whom.get(f"dt={dt}", {}).get((game_cd, type_)) if type_ in long else None
        if wrote is None:
            end = last_day(day_of(dt), periods.get(type_, "day"))
            found.append((game_cd, type_, dt, value, end.isoformat(), True))
        else:
            found.append((game_cd, type_, dt, value, wrote.through.isoformat(), wrote.final))
    return _frame(found)


def _told(here: StageContext, warehouse: Warehouse, figures: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Return what earlier runs told of figures that are not simply there, in the days that figures are of."""
    columns = ["game_cd", "type", "dt", "outcome"]
    table = game_metric_status.CONTRACT.in_database(here.warehouse.database).full_name
    if figures.empty or warehouse.catalog.entry(table) is None:
        return pd.DataFrame(columns=columns)
    rows = rows_that_can_be_read(
        warehouse,
        f"""
        SELECT game_cd, type, dt, CASE outcome WHEN 'ok' THEN 'retracted' ELSE outcome END FROM {table}
        WHERE dt BETWEEN '{figures["dt"].min()}' AND '{figures["dt"].max()}'
          AND (outcome <> 'ok' OR message LIKE '{RETRACTED}%')
        """,
    )
    ours = set(zip(*(asked[name].tolist() for name in ("game_cd", "type", "dt")), strict=True))
    lines = {*here.profile.pairs, *zip(figures["game_cd"].tolist(), figures["type"].tolist(), strict=True)}
    kept = [row for row in rows if row[:3] not in ours and row[:2] in lines]
    return pd.DataFrame(kept, columns=columns)


def _frame(rows: Iterable[tuple[str, str, str, int, str, bool]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(_FIGURES)).astype(_FIGURES)


# Live viewing


def _kpis(here: StageContext, warehouse: Warehouse) -> pd.DataFrame:
    """Return the KPIs as figures: the artist's id as game_cd, the KPI as type, the part_date as dt."""
    settings = here.profile.live_play
    table = "" if settings is None else live_contracts(settings.database)[KPI].full_name
    partitions = warehouse.catalog.current(table) if table and warehouse.catalog.entry(table) else {}
    newest = max((name.partition("=")[2] for name in partitions), default=None)
    if newest is None:
        return _frame([])
    first = (day_of(newest) - BACK).isoformat()
    counts = ", ".join("play_seconds // 3600" if name == "hours_watched" else name for name in _KPIS)
    rows = rows_that_can_be_read(
        warehouse, f"SELECT we_art_id, part_date, {counts} FROM {table} WHERE part_date >= '{first}'"
    )
    by_whom = lineage(warehouse, table, {f"part_date={row[1]}" for row in rows})
    found = []
    for artist, part_date, *values in rows:
        wrote = by_whom.get(f"part_date={part_date}", {}).get((part_date,))
        through, final = (part_date, True) if wrote is None else (wrote.through.isoformat(), wrote.final)
        dt = part_date.replace("-", "")
        found += [(str(artist), kpi, dt, value, through, final) for kpi, value in zip(_KPIS, values, strict=True)]
    return _frame(found)


def _live_sections(kpis: pd.DataFrame, tasks: pd.DataFrame) -> list[Section]:
    artists = sorted({*kpis["game_cd"]}, key=int)
    own = tasks[tasks["table"] == KPI]
    # What became of a date's table became of every artist's figures in it.
    of_each = pd.DataFrame(
        [
            (artist, kpi, part_date.replace("-", ""), outcome)
            for part_date, outcome in zip(own["part_date"], own["outcome"], strict=True)
            for artist in artists
            for kpi in _KPIS
        ],
        columns=["game_cd", "type", "dt", "outcome"],
    )
    topics = [
        Topic(kpi, title, "day", unit, description, of="artist", absent="no live")
        for kpi, (title, unit, description) in _KPIS.items()
    ]
    pairs = [(artist, kpi) for artist in artists for kpi in _KPIS]
    names = {artist: f"artist {artist}" for artist in artists}
    return sections(kpis, topics, pairs=pairs, names=names, outcomes=of_each)


# The head


def _completeness(of_games: pd.DataFrame, of_lives: pd.DataFrame, names: dict[str, str]) -> Iterable[Html]:
    columns = ["outcome", "published", "final"]
    if len(of_games):
        tasks = of_games[columns].assign(name=of_games["game_cd"], of=of_games["type"], day=of_games["through"])
        yield completeness(tasks, names, what="Game metrics", noun="figure")
    dates = of_lives[of_lives["part_date"].str.len() == len("2024-05-01")]
    if len(dates):
        tasks = dates[columns].assign(name=dates["table"], of="", day=dates["part_date"])
        yield completeness(tasks, {}, what="Live viewing", noun="table")
    if not len(of_games) and not len(dates):
        yield Html("<p>Nothing was asked for.</p>", "Nothing was asked for.")
