"""One figure as the profile describes it: which documents, which day they belong to, what is read or computed.

Source of every rule here: docs/spec/profile.md, "Keys".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile import match as filters
from bigmama_nb.profile.messages import Section, refuse

WEEK_OR_MONTH = ("week", "month")
WORDS = ("title", "unit", "description", "additive")
"""The keys that say what a metric is: the same for every game."""


def _path(text: str) -> str:
    if not text or any(not part or part.startswith("$") for part in text.split(".")):
        raise refuse(f"is {text!r}; expected a field or a dotted path such as 'customer.id'")
    return text


def _true(count: bool) -> bool:
    if not count:
        raise refuse("is false; expected true")
    return count


def _zero(empty: int) -> int:
    if empty != 0:
        raise refuse(f"is {empty}; expected 0")
    return empty


def _words(text: str) -> str:
    words = " ".join(text.split())  # a text folded by YAML ends with a line end
    if not words or not words.isprintable():
        raise refuse(f"is {text!r}; expected words")
    return words


def _each_once(names: list[str]) -> list[str]:
    if not names:
        raise refuse("is empty; expected at least one name")
    for name in names:
        if names.count(name) > 1:
            raise refuse(f"names {name!r} twice")
    return names


def _refuse_unread(excused: list[str], paths: list[str], reader: str) -> None:
    for path in excused:
        if path not in paths:
            known = ", ".join(paths) or "none"
            raise refuse(
                f"has may_be_absent with {path!r}, which {reader} does not read; its paths are {known}."
                f"{did_you_mean(path, paths)}"
            )


Names = Annotated[list[str], AfterValidator(_each_once)]
"""Games, or groups of them."""
FieldPath = Annotated[str, AfterValidator(_path)]
Label = Annotated[str, Field(max_length=80), AfterValidator(_words)]
Filter = Annotated[dict[str, Any], AfterValidator(filters.checked)]


class MetricDate(Section):
    """The field that dates a document, and how."""

    field: FieldPath
    as_: Literal["yyyymmdd", "yyyymm", "iso_date", "date", "epoch_s", "epoch_ms"] = Field(alias="as")
    other_types: Literal["fail", "ignore"] = "fail"


class MetricValue(Section):
    """What is read or computed: exactly one of the kinds."""

    field: FieldPath | None = None
    sum: FieldPath | None = None
    max: FieldPath | None = None
    count: Annotated[bool, AfterValidator(_true)] | None = None
    count_distinct: FieldPath | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> MetricValue:
        if len([kind for kind in type(self).model_fields if getattr(self, kind) is not None]) != 1:
            raise refuse("needs exactly one of field, sum, max, count: true and count_distinct")
        return self

    @property
    def kind(self) -> Literal["field", "sum", "max", "count", "count_distinct"]:
        """Which of the kinds this value is."""
        for kind in ("field", "sum", "max", "count", "count_distinct"):
            if getattr(self, kind) is not None:
                return kind
        raise AssertionError("validated to have one")

    @property
    def path(self) -> str | None:
        """The dotted path that is read; None for `count`."""
        return None if self.kind == "count" else str(getattr(self, self.kind))

    @property
    def computed(self) -> bool:
        """Whether the figure is computed from documents rather than read from one."""
        return self.kind != "field"


class Ready(Section):
    """The document that says that a day is loaded; `$dt` in its match is the day as YYYYMMDD."""

    collection: Annotated[str, Field(min_length=1)]
    match: Filter
    may_be_absent: list[FieldPath] = Field(default_factory=list)

    @model_validator(mode="after")
    def _absent_of_the_match(self) -> Ready:
        _refuse_unread(self.may_be_absent, filters.paths(self.match), "its match")
        return self


class MetricChecks(Section):
    """What the metric's figures are to be like; a figure that is not is `suspect`."""

    min: int | None = None
    max: int | None = None
    max_change_percent: Annotated[float, Field(gt=0, le=1e9)] | None = None
    like: Literal["weekday", "previous"] = "weekday"

    @model_validator(mode="after")
    def _in_order(self) -> MetricChecks:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise refuse(f"has min {self.min} and max {self.max}; expected min <= max")
        return self


class Metric(Section):
    """One figure: which documents, which day they belong to, what is read or computed, for which period."""

    collection: Annotated[str, Field(min_length=1)]
    match: Filter = Field(default_factory=dict)
    date: MetricDate
    value: MetricValue
    period: Literal["day", "week", "month"]
    due: Literal["daily", "period_end"] | None = None
    trailing_days: Annotated[int, Field(ge=1, le=3_660)] | None = None
    empty: Annotated[int, AfterValidator(_zero)] | None = None
    ready: Ready | None = None
    scale: Annotated[int, Field(ge=1, le=9)] | None = None
    may_be_absent: list[FieldPath] = Field(default_factory=list)
    checks: MetricChecks | None = None
    title: Label | None = None
    unit: Label | None = None
    description: Annotated[str, Field(max_length=500), AfterValidator(_words)] | None = None
    additive: bool = False
    games: Names | None = None
    except_: Names | None = Field(default=None, alias="except")
    override: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _together(self) -> Metric:
        if not self.value.computed:
            for key in ("empty", "ready", "trailing_days"):
                if getattr(self, key) is not None:
                    raise refuse(f"has {key} with value {{field}}; {key} is only for computed values")
        if self.scale is not None and self.value.kind not in ("field", "sum", "max"):
            raise refuse(f"has scale with value {{{self.value.kind}}}; scale is only for field, sum and max")
        _refuse_unread(self.may_be_absent, self.paths, "the metric")
        if self.trailing_days is not None and self.period != "day":
            raise refuse(f"has trailing_days with period {self.period}; trailing_days is only for period day")
        if self.date.as_ == "yyyymm" and self.period != "month":
            raise refuse(f"has date.as yyyymm with period {self.period}; a date without a day has no {self.period}")
        return self

    @property
    def due_at(self) -> Literal["daily", "period_end"]:
        """When the pair is asked for: `due`, or its default."""
        if self.due is not None:
            return self.due
        return "period_end" if not self.value.computed and self.period in WEEK_OR_MONTH else "daily"

    @property
    def paths(self) -> list[str]:
        """Every path that the metric reads: of its match, its date and its value."""
        value = [] if self.value.path is None else [self.value.path]
        return list(dict.fromkeys([*filters.paths(self.match), self.date.field, *value]))

    @property
    def factor(self) -> int:
        """What a value is multiplied by, to be published in whole units: 100 with `scale: 2`."""
        return int(10 ** (self.scale or 0))
