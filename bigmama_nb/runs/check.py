"""What can be known before a run: whether all that it needs is there, and answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from bigmama_nb.errors import SourceError, TaskError, how_many, printable
from bigmama_nb.executor.execute import check_parameters
from bigmama_nb.periods import days_asked, due_request
from bigmama_nb.profile import MetricValue, Profile
from bigmama_nb.project import notebooks_of
from bigmama_nb.runs import archive
from bigmama_nb.runs.attempt import parameters_of_run
from bigmama_nb.runs.evidence import verify
from bigmama_nb.sample import prepare
from bigmama_nb.sources import Source, outcome
from bigmama_nb.sources.clusters import at_each
from bigmama_nb.sources.extract import Job, answered
from bigmama_nb.sources.outcome import Outcome
from bigmama_nb.sources.scan import Question, Scan
from bigmama_nb.tables.registry import contracts
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.damage import damages
from bigmama_nb.warehouse.probe import require_kept_text, require_tables


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, whether it is as a run needs it, and what was found."""

    name: str
    ok: bool
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))
        object.__setattr__(self, "message", printable(self.message))


def findings(profile: Profile) -> list[Finding]:
    """Return what was found, in the order in which a run needs it.

    Raises:
        UsageError: a notebook does not take the parameters that a run gives it.
    """
    prepare(profile)
    games, pairs = how_many(len(profile.games), "game"), how_many(len(profile.pairs), "pair")
    read = f"{profile.path}: {games}, {pairs} of game and metric"
    found = [Finding("profile", True, read)]
    for stage, parameters in parameters_of_run(profile).items():
        check_parameters(notebooks_of(profile.path) / f"{stage}.ipynb", parameters)
        found.append(Finding(f"notebook {stage}", True, "takes a run's parameters"))
    found.append(_archive(Path(profile.archive.uri)))
    found.append(_archived(Path(profile.archive.uri)))
    found.append(_tried("warehouse", lambda: _warehouse(profile)))
    found += _files(profile)
    if found[-1].ok and profile.warehouse.metastore is not None:
        found.append(_tried("comments", lambda: _comments(profile)))
    found += check_sources(profile)
    return found


def _archive(folder: Path) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        return Finding("archive", False, f"{folder} cannot be made: {there} is a file; expected a folder")
    writable = os.access(there, os.W_OK)
    return Finding("archive", writable, f"{folder} can{'' if writable else 'not'} be written")


def _files(profile: Profile) -> list[Finding]:
    """Return what became of the tables' files: each is read, and its checksum compared with what was published."""
    try:
        with Warehouse.open(profile.warehouse) as warehouse:
            found = damages(warehouse)
    except TaskError as error:
        return [Finding("files", False, str(error))]
    if not found:
        return [Finding("files", True, "every current file is what was published")]
    return [Finding(f"files {one.table} {one.partition}", False, one.message) for one in found]


def _archived(folder: Path) -> Finding:
    ids = archive.run_ids(folder)
    files = [one for run_id in ids for one in verify(folder, run_id)]
    bad = [one.message for one in files if not one.ok]
    if not bad:
        return Finding(
            "archived files",
            True,
            f"{how_many(len(files), 'file')} of {how_many(len(ids), 'run')} are as they were archived",
        )
    more = f" and {len(bad) - 1:,} more; see 'run_all.py runs verify'" if len(bad) > 1 else ""
    return Finding("archived files", False, f"{bad[0]}{more}")


def _warehouse(profile: Profile) -> str:
    with Warehouse.open(profile.warehouse) as warehouse:
        tables = warehouse.tables()
        require_tables(warehouse, contracts(profile))
    return f"{profile.warehouse.uri}: {', '.join(table.full_name for table in tables) or 'no table yet'}"


def _comments(profile: Profile) -> str:
    with Warehouse.open(profile.warehouse) as warehouse:
        require_kept_text(warehouse, contracts(profile)[0])
    return f"{profile.warehouse.metastore} keeps comments in Korean; a scratch table was made and dropped"


def _tried(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except TaskError as error:
        return Finding(name, False, str(error))


def check_sources(profile: Profile, *, now: datetime | None = None) -> list[Finding]:
    """Return what was found of each cluster, of each game's collections (whether they are there, the newest date, and
    for a live cluster whether an index answers for the date), and of each pair: what its newest due figure comes to.

    All clusters are looked at at once, and none for longer than `extract_deadline_s`.
    """
    clusters = [name for name in profile.clusters if any(game.cluster == name for game in profile.games.values())]
    _, day = days_asked(profile, None, None, now=now or datetime.now(UTC))
    found = at_each(profile, clusters, lambda name, source: _looked_at(profile, name, source, day), comment="check")
    late = SourceError("deadline", f"was not done within extract_deadline_s = {profile.extract_deadline_s} s")
    return [one for cluster in clusters for one in _findings_of(cluster, found.get(cluster, late))]


def _findings_of(cluster: str, found: list[Finding] | Exception) -> list[Finding]:
    if isinstance(found, SourceError):
        return [Finding(f"cluster {cluster}", False, f"{cluster} {found.message}")]
    if isinstance(found, Exception):
        return [Finding(f"cluster {cluster}", False, f"unexpected {type(found).__name__}: {found}")]
    return found


def _looked_at(profile: Profile, cluster: str, source: Source, day: date) -> list[Finding]:
    try:
        found = [Finding(f"cluster {cluster}", True, source.reached())]
    except SourceError as error:
        return [Finding(f"cluster {cluster}", False, f"{error.reason}: {error.message}")]
    for game_cd, game in profile.games.items():
        if game.cluster != cluster:
            continue
        metrics = {type_: metric for (of_game, type_), metric in profile.pairs.items() if of_game == game_cd}
        by_collection: dict[str, list[Question]] = {}
        for type_, metric in metrics.items():
            question = Question(game_cd, type_, metric, (due_request(game_cd, type_, metric, day),))
            by_collection.setdefault(metric.collection, []).append(question)
        for collection, questions in by_collection.items():
            found += _collection(source, Job(cluster, game.database, collection, tuple(questions)))
        for name in dict.fromkeys(metric.ready.collection for metric in metrics.values() if metric.ready is not None):
            found.append(_ready(source, game_cd, game.database, name))
    return found


def _collection(source: Source, job: Job) -> list[Finding]:
    """Return what was found of a collection: a line for each date field, and one for each metric's newest figure."""
    name = f"{job.questions[0].game_cd} {job.database}.{job.collection}"
    plain: dict[tuple[str, str], Question] = {}
    for one in job.questions:
        of_date = one.metric.model_copy(update={"value": MetricValue(count=True), "match": {}, "ready": None})
        plain.setdefault((one.metric.date.field, one.metric.date.as_), Question(one.game_cd, "(dates)", of_date, ()))
    try:
        answer = answered(source, replace(job, questions=(*plain.values(), *job.questions)))
        if answer.error is not None:
            raise answer.error
        advice = {path: source.advice(job.database, job.collection, path) for path, _ in plain}
    except SourceError as error:
        return [Finding(name, False, f"{error.reason}: {error.message}")]
    scans = {id(scan.question): scan for scan in answer.scans}
    found = [_dates(name, scans[id(one)], advice[one.metric.date.field]) for one in plain.values()]
    by_type = {one.ask.type: one for one in answer.outcomes}
    return found + [_figure(by_type[one.type]) for one in job.questions]


def _figure(one: Outcome) -> Finding:
    said = f"{outcome.finding(one)} ({one.ask.dt} through {one.ask.through})"
    return Finding(f"{one.ask.game_cd} {one.ask.type}", one.outcome != "failed", said)


def _dates(name: str, scan: Scan, advice: str | None) -> Finding:
    found = f"by {scan.question.metric.date.field}, {outcome.newest(scan, scan.newest)}"
    if scan.undated:
        found += f"; {scan.undated} undated"
    undatable = outcome.undatable(scan)
    if undatable is not None:
        found += f"; {undatable.reason}: {undatable.message}"
    return Finding(name, undatable is None, found + (f"; {advice}" if advice else ""))


def _ready(source: Source, game_cd: str, database: str, collection: str) -> Finding:
    name = f"{game_cd} {database}.{collection}"
    try:
        there = collection in source.collections(database)
    except SourceError as error:
        return Finding(name, False, f"{error.reason}: {error.message}")
    return Finding(name, there, "is there" if there else f"source_missing: {database} has no such collection")
