"""One figure as the profile describes it: which documents, which day they belong to, what is read or computed.

Source of every rule here: docs/spec/profile.md, "Keys".
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile.messages import Section, refuse

COMPARISONS = ("$in", "$gt", "$gte", "$lt", "$lte", "$ne", "$exists")
CONNECTIVES = ("$and", "$or")
WEEK_OR_MONTH = ("week", "month")


def _path(text: str) -> str:
    if not text or any(not part or part.startswith("$") for part in text.split(".")):
        raise refuse(f"is {text!r}; expected a field or a dotted path such as 'customer.id'")
    return text


def _match(document: dict[str, Any]) -> dict[str, Any]:
    for key, condition in document.items():
        if not isinstance(key, str):
            raise refuse(f"has the key {key!r}; expected a string (quote it)")
        if key in CONNECTIVES:
            if not isinstance(condition, list) or not condition:
                raise refuse(f"has {key} with {condition!r}; expected a list of filters")
            for part in condition:
                if not isinstance(part, dict):
                    raise refuse(f"has {key} with {part!r}; expected a filter such as {{type: wau}}")
                _match(part)
        elif key.startswith("$"):
            raise refuse(_unknown_operator(key))
        else:
            _condition(key, condition)
    return document


def _condition(key: str, condition: object) -> None:
    if isinstance(condition, dict) and any(str(name).startswith("$") for name in condition):
        for operator, operand in condition.items():
            if operator not in COMPARISONS:
                raise refuse(_unknown_operator(str(operator)))
            if operator == "$in" and not isinstance(operand, list):
                raise refuse(f"has {key}: {{$in: {operand!r}}}; expected a list")
            if operator == "$exists" and not isinstance(operand, bool):
                raise refuse(f"has {key}: {{$exists: {operand!r}}}; expected true or false")
            _comparable(key, operand)
    else:
        _comparable(key, condition)


def _comparable(key: str, operand: object) -> None:
    for value in operand if isinstance(operand, list) else [operand]:
        if isinstance(value, dt.datetime):
            if value.tzinfo is None:
                raise refuse(f"compares {key} with {value}; an instant needs its zone, as in 2024-05-01T00:00:00+09:00")
        elif isinstance(value, dt.date):
            raise refuse(f"compares {key} with the bare date {value}; quote it if the documents hold a string")


def _unknown_operator(operator: str) -> str:
    known = ", ".join((*COMPARISONS, *CONNECTIVES))
    return (
        f"uses {operator}; the operators are equality, {known}.{did_you_mean(operator, (*COMPARISONS, *CONNECTIVES))}"
    )


def _true(count: bool) -> bool:
    if not count:
        raise refuse("is false; expected true")
    return count


def _zero(empty: int) -> int:
    if empty != 0:
        raise refuse(f"is {empty}; expected 0")
    return empty


FieldPath = Annotated[str, AfterValidator(_path)]
Filter = Annotated[dict[str, Any], AfterValidator(_match)]


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

    @model_validator(mode="after")
    def _together(self) -> Metric:
        if not self.value.computed:
            for key in ("empty", "ready", "trailing_days"):
                if getattr(self, key) is not None:
                    raise refuse(f"has {key} with value {{field}}; {key} is only for computed values")
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
