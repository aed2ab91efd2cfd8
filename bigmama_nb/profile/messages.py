"""The words of a refused profile: from what the validation found to what its writer can mend."""

from __future__ import annotations

import datetime as dt
import re
import types
import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile.uris import without_passwords

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "date_type": "a date as YYYY-MM-DD, not quoted",
    "invalid_key": "a string",
}
_MAY_BE_SECRET = ("_env", "_options", "notify", "conf")
SECRET = "a value that is not shown (it may be a secret)"


def refuse(message: str) -> PydanticCustomError:
    """Return the error for a validator to raise; `message` goes after the key path."""
    return PydanticCustomError("profile", "{message}", {"message": message})


class Section(BaseModel):
    """A part of the profile: no unknown key, no conversion, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def refusals(error: ValidationError, model: type[BaseModel], document: Any, *, at: str = "") -> list[str]:
    """Return one sentence for each thing that `error` found wrong: key path, what was found, what was expected."""
    return [_sentence(dict(item), model, document, at) for item in error.errors(include_url=False)]


def _sentence(item: dict[str, Any], model: type[BaseModel], document: Any, at: str) -> str:
    kind, context, found = item["type"], item.get("ctx", {}), item["input"]
    is_key = "[key]" in item["loc"] or kind == "invalid_key"
    location = [str(part) for part in item["loc"] if part != "[key]"]
    if is_key:
        location = location[:-1]
    path = ".".join([*([at] if at else []), *location])
    where = f"{path or 'the profile'} has the key" if is_key else f"{path} is"
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
        message = str(context["message"])
        return f"{where} {message.removeprefix('is ')}" if is_key else f"{path or 'the profile'} {message}"
    if kind == "literal_error":
        expected = context["expected"].replace("True", "true")
        return f"{path} is {_shown(found)}; expected {expected}.{did_you_mean(found, _literals(expected))}"
    shown = SECRET if any(part.endswith(_MAY_BE_SECRET) for part in location) else _shown(found)
    if kind in _EXPECTED:
        # YAML reads 2024, true and 2024-05-01 as something else than text.
        quoted = (
            " (quote it)"
            if _EXPECTED[kind] == "a string" and not isinstance(found, dict | list | types.NoneType)
            else ""
        )
        return f"{where} {shown}; expected {_EXPECTED[kind]}{quoted}"
    return f"{where} {shown}; {re.sub('^[A-Z][a-z]+ should', 'it should', item['msg'])}"


def _literals(expected: str) -> list[str]:
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _shown(found: object) -> str:
    if found is None or isinstance(found, bool):
        return "null" if found is None else str(found).lower()
    text = str(found) if isinstance(found, dt.date) else repr(found)
    if text != without_passwords(text):
        return SECRET
    return text if len(text) <= 80 else f"{text[:79]}…"


def named(found: object) -> str:
    """Return what YAML calls the kind of thing that `found` is."""
    return {"NoneType": "nothing", "list": "a list", "str": "a string"}.get(type(found).__name__, f"{found!r}")


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
