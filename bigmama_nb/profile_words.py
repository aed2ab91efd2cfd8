"""The words of a refused profile: from what the validation found to what its writer can mend."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from bigmama_nb.errors import did_you_mean

_EXPECTED = {
    "string_type": "a string (quote it)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "date_type": "a date as YYYY-MM-DD",
    "date_from_datetime_inexact": "a date as YYYY-MM-DD",
}


def refusals(error: ValidationError, model: type[BaseModel], document: Any, *, at: str = "") -> list[str]:
    """Return one sentence for each thing that `error` found wrong: key path, what was found, what was expected."""
    return [_sentence(dict(item), model, document, at) for item in error.errors(include_url=False)]


def _sentence(item: dict[str, Any], model: type[BaseModel], document: Any, at: str) -> str:
    location = [str(part) for part in item["loc"] if part != "[key]"]
    path = ".".join([*([at] if at else []), *location])
    kind, context, found = item["type"], item.get("ctx", {}), item["input"]
    if kind == "extra_forbidden":
        known = _keys(model, location[:-1])
        parent = ".".join([*([at] if at else []), *location[:-1]]) or "the profile"
        return (
            f"{parent} has the unknown key {location[-1]!r}; "
            f"keys are {', '.join(known)}.{did_you_mean(location[-1], known)}"
        )
    if kind == "missing":
        return f"{path} is missing; it is required"
    if kind == "profile":
        return f"{path or 'the profile'} {context['message']}"
    if kind == "literal_error":
        expected = context["expected"]
        return f"{path} is {_shown(found)}; expected {expected}.{did_you_mean(found, _literals(expected))}"
    if kind in _EXPECTED:
        what = "is the key" if "[key]" in item["loc"] else "is"
        return f"{path} {what} {_shown(found)}; expected {_EXPECTED[kind]}"
    message = item["msg"]
    return f"{path} is {_shown(found)}; {message[0].lower()}{message[1:]}"


def _literals(expected: str) -> list[str]:
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _shown(found: object) -> str:
    if isinstance(found, str) and "://" in found and "@" in found:
        return "a URI (not shown: it may hold a secret)"
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _keys(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that the model at `location` below `model` knows, as the profile writes them."""
    here: Any = model
    for part in location:
        here = _below(here, part)
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _below(here: Any, part: str) -> Any:
    if isinstance(here, type) and issubclass(here, BaseModel):
        for name, field in here.model_fields.items():
            if part in (name, field.alias):
                return _unwrapped(field.annotation)
        return None
    arguments = typing.get_args(here)
    return _unwrapped(arguments[1]) if typing.get_origin(here) is dict and len(arguments) == 2 else None


def _unwrapped(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation
