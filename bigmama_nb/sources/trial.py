"""One figure, tried: its value, what was counted and refused on the way, and nothing published.

What is asked of the source is what a run asks, by the same code. Source of what is shown, and of what is masked:
docs/spec/profile.md, "Trying a metric".
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from bigmama_nb.errors import SourceError
from bigmama_nb.periods import request_of, window
from bigmama_nb.profile import Metric, Profile
from bigmama_nb.sources import Load, Source, mongo_shell, outcome
from bigmama_nb.sources.aggregates import GRAVITY, Distinct, Document
from bigmama_nb.sources.clusters import at_each
from bigmama_nb.sources.extract import Answer, Job, answered
from bigmama_nb.sources.outcome import Outcome
from bigmama_nb.sources.scan import Question, Scan
from bigmama_nb.sources.sight import Sight
from bigmama_nb.sources.values import (
    MISSING,
    ThroughArray,
    ValueRefusedError,
    bson_type,
    identity,
    integer,
    lookup,
    shown,
)

EXAMPLES: Final = 3
MASKED: Final = "•••"
_IDENTITY: Final = re.compile(
    r"ids?|[ug]?uid|oid|key|token|session|user|member|viewer|customer|player|person|account|device"
    r"|name|nick|nickname|e?mail|phone|mobile|ip|address"
)
_PLAIN_WIDTH: Final = 40


@dataclass(frozen=True)
class Shown:
    """A field of a document: its path, its BSON type (`missing` where it is not there), and its value or the mask."""

    path: str
    type: str
    value: str


@dataclass(frozen=True)
class Trial:
    """What came of one figure, and how.

    `first` and `last` are the days whose documents count, both included; `due` is whether a run of the day asks for the
    figure. `refused` and `left_out` say how many values
    were not used, by reason and by kind; `odd_dates` how many documents of the match have no usable date, by why.
    `sight` is None where the collection could not be looked at; `unseen` then says why. `load` is what the answer cost,
    without the look.
    """

    outcome: Outcome
    first: date
    last: date
    due: bool
    unit: str | None
    sight: Sight | None
    unseen: str | None
    used: int
    refused: Mapping[str, int]
    left_out: Mapping[str, int]
    odd_dates: Mapping[str, int]
    examples: Sequence[Sequence[Shown]]
    queries: Sequence[str]
    seconds: float
    load: Load


def tried(profile: Profile, type_: str, games: Sequence[str], day: date) -> list[Trial]:
    """Return the trial of a metric in each of the games, for the period that holds `day`, counted through that day.

    Clusters are asked at once, the games of one cluster one after the other; what is not done within
    `extract_deadline_s` is `failed: deadline`.
    """
    jobs: dict[str, list[Job]] = {}
    for game_cd in games:
        metric, game = profile.pairs[game_cd, type_], profile.games[game_cd]
        question = Question(game_cd, type_, metric, (request_of(game_cd, type_, metric, day),))
        jobs.setdefault(game.cluster, []).append(Job(game.cluster, game.database, metric.collection, (question,)))
    done: dict[str, Trial] = {}

    def at(cluster: str, source: Source) -> None:
        for job in jobs[cluster]:
            trial = _trial(profile, source, job)
            done[trial.outcome.ask.game_cd] = trial

    broken = at_each(profile, list(jobs), at, comment="try")
    for cluster, some in jobs.items():
        for job in some:
            game_cd = job.questions[0].game_cd
            if game_cd not in done:
                done[game_cd] = _undone(profile, job, broken.get(cluster))
    return [done[game_cd] for game_cd in games]


def _trial(profile: Profile, source: Source, job: Job) -> Trial:
    question = job.questions[0]
    before, begun = source.load(), time.monotonic()
    answer = answered(source, job)
    seconds, after = time.monotonic() - begun, source.load()
    sight, unseen = None, None
    try:
        sight = source.sight(job.database, job.collection, question)
    except SourceError as error:
        unseen = f"{error.reason}: {error.message}"
    load = Load(
        job.cluster,
        after.queries - before.queries,
        after.documents - before.documents,
        after.bytes - before.bytes,
    )
    return _of(profile, job, answer, sight, unseen, seconds, load)


def _of(
    profile: Profile, job: Job, answer: Answer, sight: Sight | None, unseen: str | None, seconds: float, load: Load
) -> Trial:
    question = job.questions[0]
    metric, ask = question.metric, question.asks[0]
    one = answer.outcomes[0]
    values = _Values() if not answer.scans else _values(answer.scans[0], one)
    examples = [] if sight is None else _refused_first(metric, sight.examples)[:EXAMPLES]
    return Trial(
        one,
        *window(metric, ask),
        metric.due_at == "daily" or ask.final,
        metric.unit,
        sight,
        unseen,
        values.used,
        values.refused,
        values.left_out,
        {} if not answer.scans else _odd_dates(answer.scans[0]),
        [_fields(metric, document) for document in examples],
        mongo_shell.queries(question, profile.zone, job.database),
        seconds,
        load,
    )


def _undone(profile: Profile, job: Job, broken: Exception | None) -> Trial:
    late = f"{job.source} was not done within extract_deadline_s = {profile.extract_deadline_s} s"
    error = SourceError("deadline", late)
    if broken is not None:
        error = SourceError("stage_died", f"{job.source}: unexpected {type(broken).__name__}: {broken}")
    one = outcome.refused(job.asks[0], error, source=job.source)
    return _of(profile, job, Answer([one], [], error), None, None, 0.0, Load(job.cluster, 0, 0, 0))


@dataclass
class _Values:
    used: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def _values(scan: Scan, one: Outcome) -> _Values:
    """Return what became of the values in the documents that the figure counts."""
    aggregate = scan.aggregate(one.ask)
    if not scan.question.metric.value.computed:
        of_value = one.reason in (*GRAVITY, "duplicate_documents")
        refused = {str(one.reason): aggregate.documents} if of_value and aggregate.documents else {}
    else:
        refused = {str(reason): count for reason, count in sorted(aggregate.problems.count.items())}
    left_out = dict(sorted(aggregate.left_out.items())) if isinstance(aggregate, Distinct) else {}
    used = aggregate.documents - sum(refused.values()) - sum(left_out.values())
    return _Values(used, refused, left_out)


def _odd_dates(scan: Scan) -> dict[str, int]:
    found = Counter({"undated": scan.undated, "bad_date": scan.bad_dates})
    found.update({f"of type {name}": count for name, count in scan.other_types.items()})
    return {why: count for why, count in sorted(found.items()) if count}


def _refused_first(metric: Metric, documents: Sequence[Document]) -> list[Document]:
    return sorted(documents, key=lambda document: _usable(metric, document))


def _usable(metric: Metric, document: Document) -> bool:
    if metric.value.path is None:
        return True
    value = lookup(document, metric.value.path.split("."))
    try:
        if metric.value.kind == "count_distinct":
            identity(value)
        else:
            integer(value, metric.factor)
    except ValueRefusedError:
        return False
    return True


def _fields(metric: Metric, document: Document) -> list[Shown]:
    """Return the fields of a document that the metric reads, and no other."""
    return [_field(metric, path, lookup(document, path.split("."))) for path in metric.paths]


def _field(metric: Metric, path: str, value: Any) -> Shown:
    if value is MISSING:
        return Shown(path, "missing", "")
    if isinstance(value, ThroughArray):
        return Shown(path, "array", f"{value.prefix} is one")
    kind = bson_type(value)
    if isinstance(value, list | dict):
        return Shown(path, kind, f"of {len(value)}")
    return Shown(path, kind, MASKED if _tells_who(metric, path, kind, value) else shown(value, width=_PLAIN_WIDTH))


def _tells_who(metric: Metric, path: str, kind: str, value: Any) -> bool:
    """Return whether a value may tell who somebody is; the metric's own numbers, dates and what is short do not."""
    plain = kind in ("int", "long", "double", "decimal", "bool", "null", "date") and not isinstance(value, DatetimeMS)
    text = kind == "string" and len(value) <= _PLAIN_WIDTH and not re.search(r"@|\d{6}|[0-9a-fA-F]{8}", value)
    if path == metric.date.field:
        return kind not in ("int", "long", "double", "decimal", "bool", "null", "date", "string")
    if path == metric.value.path:
        return metric.value.kind == "count_distinct" or not (plain or text)
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path)
    return any(_IDENTITY.fullmatch(word.lower()) for word in words) or not (plain or text)
