"""The queries for a figure's documents, as they are typed into mongosh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from bigmama_nb.sources import mongo_filters
from bigmama_nb.sources.scan import Question, Scanner

EXACT_IN_JAVASCRIPT: Final = 2**53


def queries(question: Question, zone: ZoneInfo, database: str) -> list[str]:
    """Return the queries that bring what the question's only ask counts: one, or one for each 31 days."""
    metric = question.metric
    (scan,) = Scanner([question], zone).scans
    collection = f"db.getSiblingDB({json.dumps(database)}).getCollection({json.dumps(metric.collection)})"

    def dated(begin: Any, end: Any, *more: dict[str, Any]) -> dict[str, Any]:
        between = mongo_filters.between(scan.dating, metric.date.field, begin, end)
        return mongo_filters.both(metric.match, between, *more)

    if metric.value.kind == "count":
        typed = mongo_filters.of_expected_types(scan.dating, metric.date.field)
        match = dated(*scan.span(question.asks[0]), typed)
        return [f"{collection}.aggregate({_js([{'$match': match}, {'$group': {'_id': None, 'n': {'$sum': 1}}}])})"]
    fields = _js(mongo_filters.projection([question]))
    spans = mongo_filters.spans([scan])
    return [f"{collection}.find({_js(dated(begin, end))}, {fields})" for begin, end in spans]


def _js(value: Any) -> str:
    """Return a value in JavaScript, exactly."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {_js(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_js, value)) + "]"
    if isinstance(value, datetime):
        instant = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return f'ISODate("{instant.isoformat(timespec="milliseconds")}Z")'
    if isinstance(value, int) and abs(value) > EXACT_IN_JAVASCRIPT:
        return f'NumberLong("{value}")'
    return json.dumps(value)
