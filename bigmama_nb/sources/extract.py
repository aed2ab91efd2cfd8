"""All games at once: one outcome for each figure asked for, and never an exception for a game's failure.

Each cluster is asked by `max_concurrency` threads, whatever the number of games. At `extract_deadline_s` the result is
returned as it stands: what is not done by then is `failed: deadline`, and the threads that still wait are left behind.

Source of the rules: docs/spec/profile.md; docs/spec/runs_and_archive.md, "Stages and attempts".
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from bigmama_nb.errors import Reason, SourceError
from bigmama_nb.periods import FigureRequest
from bigmama_nb.profile import Profile
from bigmama_nb.sources import Input, Load, Source, filters, outcome
from bigmama_nb.sources.dump import Dump
from bigmama_nb.sources.outcome import Outcome
from bigmama_nb.sources.scan import Question, Scan, throughs


@dataclass(frozen=True)
class Extraction:
    """What came of it: one outcome for each ask, in the asks' order; the load by cluster; the files read."""

    outcomes: list[Outcome]
    load: list[Load]
    inputs: list[Input]


@dataclass(frozen=True)
class Job:
    """One collection, and all that is asked of it, by whichever games."""

    cluster: str
    database: str
    collection: str
    questions: tuple[Question, ...]

    @property
    def asks(self) -> list[FigureRequest]:
        return [ask for question in self.questions for ask in question.asks]

    @property
    def source(self) -> str:
        return f"{self.cluster}/{self.database}.{self.collection}"

    def by_game(self) -> list[Job]:
        """Return a job for each game."""
        games = dict.fromkeys(question.game_cd for question in self.questions)
        return [
            replace(self, questions=tuple(one for one in self.questions if one.game_cd == game_cd)) for game_cd in games
        ]


@dataclass(frozen=True)
class Answer:
    """One outcome for each ask of a job, in any order; the scans of those questions that were asked.

    `error` is why the collection could not be read; there are no scans then.
    """

    outcomes: list[Outcome]
    scans: list[Scan]
    error: SourceError | None = None


_OF_ALL: Final[frozenset[Reason]] = frozenset({"source_missing", "unreachable", "auth", "tls", "deadline"})
"""What is wrong with a cluster or a collection, whatever is asked of it."""


class _StoppedError(Exception):
    """The deadline has passed; nobody waits for this thread any more."""


def open_source(
    profile: Profile,
    cluster: str,
    *,
    comment: str,
    check: Callable[[], None],
    stopped: threading.Event,
    deadline: float,
) -> Source:
    """Return a cluster's source; nothing is connected yet.

    `comment` goes with each query, `check` is called between two pieces of work and raises where the work is to end,
    `stopped` ends a pause early, `deadline` is of `time.monotonic()`.
    """
    settings = profile.clusters[cluster]
    if settings.dump is not None:
        return Dump(cluster, settings.dump, profile.zone, check=check)
    # Imported here: a run over dumps alone does without the driver.
    from bigmama_nb.sources.mongo import Mongo

    return Mongo(cluster, settings, profile.zone, comment=comment, check=check, stopped=stopped, deadline=deadline)


def extract(
    profile: Profile,
    asks: Sequence[FigureRequest],
    *,
    run_id: str,
    attempt: int = 1,
    progress: Callable[[Outcome], None] | None = None,
    connect: Callable[..., Source] = open_source,
) -> Extraction:
    """Ask every game for its figures.

    Args:
        profile: says where the games are and what the metrics read.
        asks: what to ask for, as `periods.asks` gives it; an attempt that waits asks only for what was `not_ready`.
        run_id, attempt: named in each query's comment, so that a cluster's operator can tell who asks.
        progress: called with each outcome as it comes, in this thread.
        connect: gives a cluster's source, called as `open_source` is.

    Returns:
        The outcomes, `ok`, `not_ready` or `failed`: exactly one for each of `asks`, in their order.
    """
    deadline = time.monotonic() + profile.extract_deadline_s
    stopped = threading.Event()
    jobs = _jobs(profile, asks)
    done: queue.SimpleQueue[list[Outcome]] = queue.SimpleQueue()
    sources: dict[str, Source] = {}

    def check() -> None:
        if stopped.is_set():
            raise _StoppedError

    for cluster, some in jobs.items():
        sources[cluster] = connect(
            profile, cluster, comment=f"{run_id}-{attempt}", check=check, stopped=stopped, deadline=deadline
        )
        _start(cluster, sources[cluster], some, done, _threads(profile, cluster, len(some)), stopped)

    found: dict[FigureRequest, Outcome] = {}
    wanted = set(asks)
    while len(found) < len(wanted):
        try:
            some_outcomes = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        for one in some_outcomes:
            found[one.ask] = one
            if progress is not None:
                progress(one)
    stopped.set()
    for one in _late(profile, jobs, found):
        found[one.ask] = one
        if progress is not None:
            progress(one)
    load = [source.load() for source in sources.values()]
    inputs = [input_ for source in sources.values() for input_ in source.inputs()]
    for source in sources.values():
        # Closing can wait for a server that does not answer.
        threading.Thread(target=source.close, daemon=True).start()
    return Extraction([found[ask] for ask in asks], load, list(dict.fromkeys(inputs)))


def _jobs(profile: Profile, asks: Iterable[FigureRequest]) -> dict[str, list[Job]]:
    """Return the jobs by cluster: one for each collection, so that one pass answers all metrics of all games in it."""
    by_metric: dict[tuple[str, str], list[FigureRequest]] = {}
    for ask in dict.fromkeys(asks):
        by_metric.setdefault((ask.game_cd, ask.type), []).append(ask)
    by_collection: dict[tuple[str, str, str], list[Question]] = {}
    for (game_cd, type_), some in by_metric.items():
        metric, game = profile.pairs[game_cd, type_], profile.games[game_cd]
        key = game.cluster, game.database, metric.collection
        by_collection.setdefault(key, []).append(Question(game_cd, type_, metric, tuple(some)))
    jobs: dict[str, list[Job]] = {}
    for (cluster, database, collection), questions in by_collection.items():
        jobs.setdefault(cluster, []).append(Job(cluster, database, collection, tuple(questions)))
    return jobs


def _threads(profile: Profile, cluster: str, jobs: int) -> int:
    settings = profile.clusters[cluster]
    # A dump is decoded, not waited for: more threads than processors only wait for each other.
    most = settings.max_concurrency if settings.dump is None else min(settings.max_concurrency, os.cpu_count() or 1)
    return min(most, jobs)


def _start(
    cluster: str,
    source: Source,
    jobs: Sequence[Job],
    done: queue.SimpleQueue[list[Outcome]],
    threads: int,
    stopped: threading.Event,
) -> None:
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        while not stopped.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            alone = job.by_game() if len(job.by_game()) > 1 else []
            try:
                answer = answered(source, job)
                if answer.error is None or answer.error.reason in _OF_ALL or not alone:
                    done.put(answer.outcomes)
                    continue
            except _StoppedError:
                return
            except Exception as error:
                # A mistake of ours costs the game that it met, not the others; the trace is for who corrects it.
                logging.getLogger(__name__).exception("%s", job.source)
                unexpected = SourceError("stage_died", f"{job.source}: unexpected {type(error).__name__}: {error}")
                if not alone:
                    done.put([outcome.refused(ask, unexpected, source=job.source) for ask in job.asks])
            # What is wrong may be so for one of the games: each is asked for by itself.
            for one in alone:
                waiting.put(one)

    for number in range(threads):
        # Daemons, so that a thread that waits for a dead server keeps neither this call nor the process.
        threading.Thread(target=work, name=f"extract {cluster} {number}", daemon=True).start()


def answered(source: Source, job: Job) -> Answer:
    """Return what a source says of a job: an outcome for each of its asks, whatever happens."""
    outcomes: list[Outcome] = []
    scans: list[Scan] = []
    loaded: list[Question] = []
    ready: dict[str, set[date] | SourceError] = {}
    for question in job.questions:
        try:
            filters.compiled(question.metric.match)
        except SourceError as error:
            outcomes += [outcome.refused(ask, error, source=job.source) for ask in question.asks]
            continue
        if question.metric.ready is None:
            loaded.append(question)
            continue
        days = _ready_days(source, job, question, ready)
        if isinstance(days, SourceError):
            outcomes += [outcome.refused(ask, days, source=job.source) for ask in question.asks]
            continue
        outcomes += [
            outcome.unready(ask, question, database=job.database, source=job.source)
            for ask in question.asks
            if ask.through not in days
        ]
        asks = tuple(ask for ask in question.asks if ask.through in days)
        if asks:
            loaded.append(replace(question, asks=asks))
    if loaded:
        try:
            scans = source.scan(job.database, job.collection, loaded)
        except SourceError as error:
            outcomes += [outcome.refused(ask, error, source=job.source) for question in loaded for ask in question.asks]
            return Answer(outcomes, [], error)
    for one in scans:
        outcomes += outcome.of_scan(one, database=job.database, source=job.source)
    return Answer(outcomes, scans)


def _ready_days(
    source: Source, job: Job, question: Question, known: dict[str, set[date] | SourceError]
) -> set[date] | SourceError:
    ready = question.metric.ready
    assert ready is not None
    key = ready.model_dump_json()
    if key not in known:
        days = throughs(one for one in job.questions if one.metric.ready == ready)
        try:
            known[key] = source.ready_days(job.database, ready, days)
        except SourceError as error:
            known[key] = error
    return known[key]


def _late(profile: Profile, jobs: dict[str, list[Job]], found: dict[FigureRequest, Outcome]) -> list[Outcome]:
    late = []
    for some in jobs.values():
        for job in some:
            error = SourceError(
                "deadline",
                f"{job.source} was not done within extract_deadline_s = {profile.extract_deadline_s} s, "
                "and is not waited for any longer",
                place=f"{job.database}.{job.collection}",
            )
            late += [outcome.refused(ask, error, source=job.source) for ask in job.asks if ask not in found]
    return late
