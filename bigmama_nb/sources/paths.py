"""Whether what a metric reads is in its collection at all: a name that matches nothing is a mistake, not a zero.

Each path of a metric must be in some document, and with a BSON type that its constant can equal or be compared with;
a match must let some document through before a zero is published for it. `may_be_absent` names the exceptions.
Source of the rules: docs/spec/values_and_reasons.md, "What a value may be".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bson import DBRef

from bigmama_nb.errors import Reason, SourceError, nearest
from bigmama_nb.profile import Metric, Ready
from bigmama_nb.profile.match import CONNECTIVES, NUMBERS, is_operators
from bigmama_nb.sources.dating import EXPECTED_TYPES
from bigmama_nb.sources.filters import candidates, compiled, is_index, with_day
from bigmama_nb.sources.values import MISSING, bson_type, shown

Document = Mapping[str, Any]

SAMPLE: Final = 100
"""So many documents are looked at for the names and types that a message offers."""
CONSTANTS: Final = frozenset({*NUMBERS, "string", "bool", "date", "object", "array", "null"})
"""The BSON types that a profile's constants can have."""
_DEEP: Final = 6
_OFFERED: Final = 4


@dataclass(frozen=True)
class Need:
    """Something that some document must have, before the metric says anything.

    `types` are the BSON types that will do at `path`, none where any does; `match` is a whole filter that some document
    must pass, with a `path` for a value there. `constant` is what the documents are compared with, in words.
    """

    path: str
    types: tuple[str, ...] = ()
    constant: str = ""
    match: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def reason(self) -> Reason:
        """The reason class of a task whose collection does not have it."""
        return "match_unknown" if not self.path else "type_unknown" if self.types else "path_unknown"

    @property
    def filter(self) -> dict[str, Any]:
        """The filter of documents that have it."""
        if self.match is not None:
            return dict(self.match)
        return {self.path: {"$type": list(self.types)} if self.types else {"$exists": True}}

    def test(self) -> Callable[[Document], bool]:
        """Return the function that says whether a document has it."""
        if self.match is not None:
            return compiled(self.match)
        parts = self.path.split(".")
        if not self.types:
            return lambda document: any(value is not MISSING for value in candidates(document, parts))
        types = frozenset(self.types)
        return lambda document: any(
            value is not MISSING and bson_type(value) in types for value in candidates(document, parts)
        )


def needs(metric: Metric) -> list[Need]:
    """Return what some document of the metric's collection must have, paths before types."""
    excused = set(metric.may_be_absent)
    paths = dict.fromkeys(Need(_named_part(path)) for path in metric.paths if path not in excused)
    types = [need for need in _compared(metric.match) if need.path not in excused]
    if metric.date.field not in excused:
        types.append(Need(metric.date.field, tuple(sorted(EXPECTED_TYPES[metric.date.as_])), "date"))
    matched = []
    if metric.match and metric.empty is not None and not excused.intersection(_match_paths(metric.match)):
        matched.append(Need("", match=metric.match))
    counted = metric.value.count_distinct
    if counted is not None and counted not in excused:
        holds = {counted: {"$ne": None}}
        matched.append(Need(counted, match={"$and": [metric.match, holds]} if metric.match else holds))
    return [*paths, *dict.fromkeys(types), *matched]


def ready_needs(ready: Ready, dt_: str) -> list[Need]:
    """Return what some document of a `ready` must have, asked for the day of `dt_`."""
    excused = set(ready.may_be_absent)
    match = with_day(ready.match, dt_)
    paths = [Need(_named_part(path)) for path in _match_paths(match) if path not in excused]
    return list(dict.fromkeys([*paths, *(need for need in _compared(match) if need.path not in excused)]))


def _named_part(path: str) -> str:
    """Return a path up to the number of an array's element, which need not be there."""
    parts = path.split(".")
    end = next((number for number, part in enumerate(parts) if number and is_index(part)), len(parts))
    return ".".join(parts[:end])


def _match_paths(match: Mapping[str, Any]) -> Iterator[str]:
    for key, condition in match.items():
        if key in CONNECTIVES:
            for part in condition:
                yield from _match_paths(part)
        else:
            yield key


def _compared(match: Mapping[str, Any]) -> Iterator[Need]:
    for key, condition in match.items():
        if key in CONNECTIVES:
            for part in condition:
                yield from _compared(part)
        else:
            yield from _of_condition(key, condition if is_operators(condition) else {"$eq": condition})


def _of_condition(path: str, condition: Mapping[str, Any]) -> Iterator[Need]:
    for operator, operand in condition.items():
        if operator == "$not":
            yield from _of_condition(path, operand)
        elif operator == "$regex":
            yield Need(path, ("string",), f"the pattern {shown(operand)}")
        elif operator not in ("$exists", "$type"):
            # Each type of a list by itself: a constant that can equal nothing would leave documents out without a word.
            of_types: dict[tuple[str, ...], list[Any]] = {}
            for constant in operand if operator in ("$in", "$nin") else [operand]:
                of_types.setdefault(_types_of(constant), []).append(constant)
            for types, constants in of_types.items():
                # null equals an absent field, so that it can equal any.
                if types:
                    words = ", ".join(f"{_written(one)} ({_named(one)})" for one in constants[:3])
                    yield Need(path, tuple(sorted(types)), words)


def _types_of(constant: object) -> tuple[str, ...]:
    if constant is None:
        return ()
    if isinstance(constant, bool):
        return ("bool",)
    if isinstance(constant, int | float):
        return NUMBERS
    if isinstance(constant, str):
        return ("string",)
    if isinstance(constant, dt.datetime):
        return ("date",)
    return ("array",) if isinstance(constant, list) else ("object",)


def _written(constant: object) -> str:
    """Return a constant as a message shows it; a boolean as the profile writes it."""
    if isinstance(constant, bool):
        return str(constant).lower()
    return shown(constant.astimezone(dt.UTC).replace(tzinfo=None) if isinstance(constant, dt.datetime) else constant)


def _named(constant: object) -> str:
    types = _types_of(constant)
    return "number" if types == NUMBERS else types[0]


class Lookup:
    """What of some needs no document of a collection has shown yet."""

    def __init__(self, needed: Sequence[Need]) -> None:
        self.missing: dict[Need, Callable[[Document], bool]] = {need: need.test() for need in needed}
        self.no_document = True
        self._held: dict[str, tuple[int, set[str]]] = {}
        self._known: dict[str, set[str]] = {}
        self._sampled = 0

    def take(self, documents: Sequence[Document]) -> None:
        """Look whether these documents have what is missing."""
        if not documents:
            return
        self.no_document = False
        for need, test in list(self.missing.items()):
            if any(map(test, documents)):
                del self.missing[need]
        if self.missing:
            self._remember(documents)

    def _remember(self, documents: Sequence[Document]) -> None:
        for document in documents[: max(0, SAMPLE - self._sampled)]:
            for path, name in _paths(document):
                self._known.setdefault(path, set()).add(name)
            self._sampled += 1
        for need in self.missing:
            if need.types:
                self.hold(need.path, documents)

    def hold(self, path: str, documents: Sequence[Document], *, anew: bool = False) -> None:
        """Remember the types that the first documents which have the path hold there."""
        parts = path.split(".")
        count, types = (0, set()) if anew else self._held.get(path, (0, set()))
        for document in documents:
            if count >= SAMPLE:
                break
            found = {bson_type(value) for value in candidates(document, parts) if value is not MISSING}
            if found:
                count, types = count + 1, types | found
        self._held[path] = count, types

    def know(self, documents: Sequence[Document]) -> None:
        """Take these documents, and no others, for the names that a message offers."""
        self._known.clear()
        self._sampled = 0
        self._remember(documents)

    def merge(self, other: Lookup) -> None:
        """Take over what another lookup of the same metric has seen."""
        self.missing = {need: test for need, test in self.missing.items() if need in other.missing}
        self.no_document = self.no_document and other.no_document

    @property
    def unknown(self) -> Need | None:
        """The first path or type that no document has; None where there are all."""
        return next((need for need in self.missing if need.match is None), None)

    @property
    def unmatched(self) -> Need | None:
        """The match, where no document of the collection passes it."""
        return next((need for need in self.missing if not need.path), None)

    @property
    def valueless(self) -> Need | None:
        """The value to be counted, where no document that passes the match holds one."""
        return next((need for need in self.missing if need.path and need.match is not None), None)

    def of_ready(self, ready: Ready, need: Need, *, place: str) -> SourceError:
        """Return the error of a `ready` whose collection does not have what its match needs."""
        held = ", ".join(sorted(self._held.get(need.path, (0, set()))[1])) or "another type"
        if need.types:
            found = (
                f"ready.match compares {ready.collection}.{need.path} with {need.constant}, but it only holds {held}, "
                "which is never equal nor greater or less; write the constant as the documents hold it ($dt is a "
                f"string), or name {need.path} in ready.may_be_absent where it is rare"
            )
        else:
            found = (
                f"{ready.collection}.{need.path}, which ready.match names, is in no document; "
                f"{self._nearest(need.path)}. Correct the path, or name it in ready.may_be_absent where it is new or "
                "rare"
            )
        return SourceError(need.reason, found, place=place)

    def refusal(self, metric: Metric, need: Need) -> SourceError:
        """Return the error of a metric whose collection does not have what it needs."""
        where = f"{metric.collection}.{need.path}"
        if need.path and need.match is not None:
            passing = " that passes the metric's match" if metric.match else ""
            found = (
                f"no document of {metric.collection}{passing} holds a value at {where}, whatever its date: it is null "
                "or absent, and a zero would say nothing; correct the path, or name it in may_be_absent where it is "
                "rare"
            )
        elif need.match is not None:
            excuse = ", ".join(dict.fromkeys(_match_paths(need.match)))
            found = (
                f"no document of {metric.collection} passes the metric's match, whatever its date: a zero would say "
                f"nothing; correct its constants, or name {excuse} in may_be_absent where such documents are rare"
            )
        elif not need.types:
            found = (
                f"{where} is in no document; {self._nearest(need.path)}. Correct the path, or name it in may_be_absent "
                "where it is new or rare"
            )
        else:
            types = self._held.get(need.path, (0, set()))[1]
            held = ", ".join(sorted(types)) or "another type"
            # Extended JSON of other types than dates is no constant of a profile.
            advice = (
                "write the constant as the documents hold it, a date as {$date: …}"
                if not types or types & CONSTANTS
                else "no constant of a profile is of that type, so name a path that holds a string, a number or a date"
            )
            if need.constant == "date":
                expected = " or ".join(name for name in need.types if name != "long")
                found = (
                    f"{where} is read as {metric.date.as_}, so it should be {expected}, but it only holds {held}; "
                    "correct date.field or date.as"
                )
            else:
                found = (
                    f"the match compares {where} with {need.constant}, but it only holds {held}, which is never equal "
                    f"nor greater or less; {advice}"
                )
            found += f", or name {need.path} in may_be_absent where it is rare"
        return SourceError(need.reason, found)

    def _nearest(self, path: str) -> str:
        names = sorted(self._known)
        near = nearest(path, names, _OFFERED) or names[: 2 * _OFFERED]
        offered = ", ".join(f"{name} ({', '.join(sorted(self._known[name]))})" for name in near)
        return f"the nearest there are: {offered}" if offered else "there are no others"


def _paths(document: Document, before: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        path = f"{before}{name}"
        yield path, bson_type(value)
        if depth < _DEEP:
            for part in value if isinstance(value, list) else [value]:
                inner = part.as_doc() if isinstance(part, DBRef) else part
                if isinstance(inner, Mapping):
                    yield from _paths(inner, f"{path}.", depth + 1)
