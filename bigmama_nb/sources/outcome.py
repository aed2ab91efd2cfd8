"""What became of a task: exactly one outcome each, as a value and never as an exception.

A scan says what the documents hold; here that becomes one outcome for each ask, in words that a person can act on, the
same for every source. Source of the rules: docs/spec/runs_and_archive.md, "The grid"; docs/spec/profile.md,
"What a day asks for"; docs/spec/values_and_reasons.md, "What a value may be".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bigmama_nb.errors import Reason, SourceError, TaskError, how_many, printable
from bigmama_nb.periods import FigureRequest, day_of, dt_of, window
from bigmama_nb.profile import Metric
from bigmama_nb.sources.aggregates import GRAVITY, KEPT, Distinct, Problems, Single
from bigmama_nb.sources.filters import with_day
from bigmama_nb.sources.scan import Newest, Question, Scan
from bigmama_nb.sources.values import DOUBLE_EXACT, INT64_MAX, INT64_MIN, ValueRefusedError, shown

State = Literal["ok", "suspect", "not_ready", "failed", "skipped"]

OTHERS = "Other games are not affected"
ONCE_THERE = f"{OTHERS}; run 'run_all.py repair latest' once it is there."
ONCE_CORRECTED = f"Nothing is published for it. {OTHERS}; run 'run_all.py repair latest' once this is corrected."


@dataclass(frozen=True)
class Outcome:
    """What became of one figure.

    `value` is exact; `undated` counts the documents that belong to no period, `left_out` those of the period whose
    field `count_distinct` did not count, as it is null or absent; `message` says what a person needs,
    `place` where it is (database, collection, document).
    """

    ask: FigureRequest
    outcome: State
    value: int | None = None
    reason: Reason | None = None
    message: str | None = None
    place: str | None = None
    undated: int = 0
    left_out: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "place", "source"):
            text = getattr(self, name)
            if text is not None and not text.isprintable():
                object.__setattr__(self, name, printable(text))

    @property
    def task(self) -> str:
        """The task's name everywhere: `lw/wau/20240501`."""
        return "/".join(self.ask.key)


def ok(ask: FigureRequest, value: int, *, source: str, undated: int = 0) -> Outcome:
    """Return the outcome of a figure that was read exactly."""
    return Outcome(ask, "ok", value=value, source=source, undated=undated)


def not_ready(
    ask: FigureRequest, message: str, *, place: str | None = None, source: str = "", undated: int = 0
) -> Outcome:
    """Return the outcome of a figure that its source does not have yet."""
    return Outcome(ask, "not_ready", message=message, place=place, source=source, undated=undated)


def failed(ask: FigureRequest, error: TaskError, *, source: str = "", undated: int = 0) -> Outcome:
    """Return the outcome of a figure that could not be had, with the error's reason class, message and place."""
    return Outcome(
        ask, "failed", reason=error.reason, message=error.message, place=error.place, source=source, undated=undated
    )


def task(ask: FigureRequest) -> str:
    """Return how a message names an ask: `bns wau 20240501`."""
    return f"{ask.game_cd} {ask.type} {ask.dt}"


def finding(one: Outcome) -> str:
    """Return an outcome in words, without what a run leaves behind and what to do after it."""
    if one.message is None:
        return f"{one.value:,}"
    found = one.message.removeprefix(f"{task(one.ask)}: ")
    for more in (ONCE_CORRECTED, ONCE_THERE):
        found = found.removesuffix(more).rstrip()
    return f"{one.value:,}, {found}" if one.outcome == "ok" else f"{one.reason or one.outcome}: {found.rstrip('.')}"


def refused(ask: FigureRequest, error: SourceError, *, source: str) -> Outcome:
    """Return the outcome of an ask whose source, or a part of it, could not be used."""
    message = f"{task(ask)}: {_sentence(error.message)} {ONCE_CORRECTED}"
    return failed(ask, SourceError(error.reason, message, place=error.place), source=source)


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text.rstrip('.')}."


def unready(ask: FigureRequest, question: Question, *, database: str, source: str) -> Outcome:
    """Return the outcome of an ask whose `ready` document is not there."""
    ready = question.metric.ready
    assert ready is not None
    wanted = _yaml(with_day(ready.match, dt_of(ask.through)))
    message = (
        f"{task(ask)}: {ready.collection} has no document that matches {wanted}, so "
        f"{question.metric.collection} is not yet loaded through {ask.through}. {ONCE_THERE}"
    )
    return not_ready(ask, message, place=f"{database}.{ready.collection}", source=source)


def of_scan(scan: Scan, *, database: str, source: str) -> list[Outcome]:
    """Return what became of each ask of the scan's question."""
    return [_outcome(scan, ask, database, source) for ask in scan.question.asks]


def _outcome(scan: Scan, ask: FigureRequest, database: str, source: str) -> Outcome:
    metric = scan.question.metric
    place = f"{database}.{metric.collection}"

    def fail(error: SourceError) -> Outcome:
        message = f"{task(ask)}: {_sentence(error.message)} {ONCE_CORRECTED}"
        place_ = error.place or place
        return failed(ask, SourceError(error.reason, message, place=place_), source=source, undated=scan.undated)

    def wait(message: str) -> Outcome:
        message = f"{task(ask)}: {message}. {ONCE_THERE}"
        return not_ready(ask, message, place=place, source=source, undated=scan.undated)

    unreadable = undatable(scan)
    if unreadable is not None:
        return fail(unreadable)
    unknown = scan.lookup.unknown
    if unknown is not None and not scan.lookup.no_document:
        return fail(scan.lookup.refusal(metric, unknown))
    if metric.value.computed and metric.ready is None and not scan.loaded(ask):
        return wait(
            f"{metric.collection} is not yet loaded through {ask.through}: it has no document dated then or later; "
            f"{newest(scan, scan.newest)}"
        )
    aggregate = scan.aggregate(ask)
    if aggregate.documents == 0:
        if metric.empty is not None:
            missing = unknown or scan.lookup.unmatched
            if missing is not None:
                return fail(scan.lookup.refusal(metric, missing))
            return ok(ask, metric.empty, source=source, undated=scan.undated)
        return wait(_nothing(scan, ask))
    try:
        if isinstance(aggregate, Single):
            value = _single(scan, aggregate, place)
        else:
            _no_problems(scan, aggregate.problems, aggregate.documents)
            value = aggregate.result()
            valueless = scan.lookup.valueless
            if isinstance(aggregate, Distinct) and not value and valueless is not None:
                raise scan.lookup.refusal(metric, valueless)
            if not INT64_MIN <= value <= INT64_MAX:
                found = f"the {metric.value.kind} of {metric.collection}.{metric.value.path} is {value}, beyond int64"
                raise SourceError("overflow", found)
    except SourceError as error:
        return fail(error)
    counted = ok(ask, value, source=source, undated=scan.undated)
    return _with_left_out(counted, aggregate, metric) if isinstance(aggregate, Distinct) else counted


def _with_left_out(counted: Outcome, aggregate: Distinct, metric: Metric) -> Outcome:
    left_out = aggregate.left_out
    if not left_out:
        return counted
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
    message = (
        f"{task(counted.ask)}: counted without {left_out.total():,} of {how_many(aggregate.documents, 'document')}, "
        f"in which {metric.collection}.{metric.value.path} holds no value ({kinds})."
    )
    return replace(counted, left_out=left_out.total(), message=message)


def newest(scan: Scan, found: Newest) -> str:
    """Return the newest date in words."""
    if found.position is None:
        return "there is none with a date"
    return f"the newest is {scan.dating.shown(found.position, as_text=found.as_text)}"


def _nothing(scan: Scan, ask: FigureRequest) -> str:
    metric = scan.question.metric
    matching = f" and {_yaml(metric.match)}" if metric.match else ""
    first, last = window(metric, ask)
    if metric.value.computed:
        days = f"{first}" if first == last else f"{first} to {last}"
        return (
            f"{metric.collection} has no document dated {days}{matching} (with 'empty: 0' that would be 0); "
            f"{newest(scan, scan.newest)}"
        )
    latest = scan.newest_matching
    dating = scan.dating
    if dating.splits_a_day:
        wanted = f"dated {first}"
    else:
        as_text = latest.position is None or latest.as_text
        wanted = f"with {metric.date.field} = {dating.shown(dating.start(day_of(ask.dt)), as_text=as_text)}"
    return f"{metric.collection} has no document {wanted}{matching}; {newest(scan, latest)}"


def undatable(scan: Scan) -> SourceError | None:
    """Return why the question's documents cannot all be placed in a period."""
    metric = scan.question.metric
    field = f"{metric.collection}.{metric.date.field}"
    if scan.through_array is not None:
        return SourceError(
            "array_path",
            f"the date {field} leads through an array: {scan.through_array} is one; "
            "a date must be one value of a document",
        )
    if scan.other_types and metric.date.other_types == "fail":
        types = ", ".join(f"{count} of type {name}" for name, count in sorted(scan.other_types.items()))
        return SourceError(
            "date_type_mismatch",
            f"{field} is read as {metric.date.as_}, so it should be {scan.dating.expected}, but there are {types}; "
            "correct the documents or the metric's date.as, or leave such documents out with 'other_types: ignore'",
        )
    if scan.bad_dates:
        return SourceError(
            "bad_date",
            f"{field} is read as {metric.date.as_}, but in {how_many(scan.bad_dates, 'document')} it is no date, "
            f"such as {scan.bad_date}",
        )
    return None


def _single(scan: Scan, aggregate: Single, place: str) -> int:
    metric = scan.question.metric
    field = f"{metric.collection}.{metric.value.path}"
    if aggregate.documents > 1:
        more = " and more" if aggregate.documents > KEPT else ""
        raise SourceError(
            "duplicate_documents",
            f"{metric.collection} has {aggregate.documents} documents where one is expected: "
            f"_id = {', '.join(aggregate.ids)}{more}; tell them apart with the metric's match, or compute the value",
        )
    try:
        return aggregate.result()
    except ValueRefusedError as found:
        expected = f"at most {metric.scale} decimals" if metric.scale else "an integer"
        raise SourceError(
            found.reason,
            f"{field} is {found.found} in the document with _id = {aggregate.ids[0]}; expected {expected}",
            place=f"{place} _id={aggregate.ids[0]}",
        ) from None


def _no_problems(scan: Scan, problems: Problems, documents: int) -> None:
    if not problems.count:
        return
    metric = scan.question.metric
    reason = next(one for one in GRAVITY if problems.count[one])
    kinds = "; ".join(
        f"{problems.count[one]} {one} ({', '.join(sorted(problems.kinds[one]))})"
        for one in GRAVITY
        if problems.count[one]
    )
    number = f"a number of at most {metric.scale} decimals" if metric.scale else "an integer"
    expected = "a number, string or other scalar" if metric.value.kind == "count_distinct" else number
    raise SourceError(
        reason,
        f"{metric.value.kind} of {metric.collection}.{metric.value.path}: in {problems.count.total():,} of "
        f"{how_many(documents, 'document')} it is not {expected}: {kinds}; {_leave_out(scan, problems)}",
    )


def _leave_out(scan: Scan, problems: Problems) -> str:
    """Return the filter that leaves the refused values out, in the operators that a profile has."""
    metric = scan.question.metric
    path = metric.value.path
    assert path is not None
    if problems.count["array_path"]:
        return "a path through an array cannot be read; name a field outside of it"
    if metric.value.kind == "count_distinct":
        return "no match leaves out just these; correct the documents, or name a field that is always a scalar"
    if problems.count["overflow"]:
        return "no match leaves just these out; have the source write a smaller number"
    if problems.fractions:
        # What is a number is data: a filter that leaves it out would make a wrong figure of it.
        return f"no match leaves just these out; name a field that holds whole units{_smaller(metric)}"
    # A range holds for numbers only: it leaves out every other type, null and absent, NaN and the infinities.
    parts = [f"{path}: {{$gte: {-DOUBLE_EXACT}, $lte: {DOUBLE_EXACT}}}"]
    if "array" in problems.kinds.get("wrong_type", ()):
        parts.append(f"{path}.0: {{$exists: false}}")
    if len(parts) == 1:
        return f"this match leaves them out: {{{parts[0]}}}"
    return "this match leaves them out: {$and: [" + ", ".join(f"{{{part}}}" for part in parts) + "]}"


def _smaller(metric: Metric) -> str:
    return "" if metric.scale else ", or publish a smaller unit by 'scale: 2'"


def _yaml(match: object) -> str:
    if isinstance(match, dict):
        return "{" + ", ".join(f"{key}: {_yaml(value)}" for key, value in match.items()) + "}"
    if isinstance(match, list):
        return "[" + ", ".join(map(_yaml, match)) + "]"
    if isinstance(match, str):
        return match if match.isidentifier() else shown(match)
    return "null" if match is None else str(match).lower() if isinstance(match, bool) else str(match)
