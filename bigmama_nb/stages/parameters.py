"""What a notebook is given, whoever gives it: a run, papermill by hand, a person who changes a cell.

A text for a list of names and a whole number for a day are what papermill's command line makes of `-p games lw,bns` and
`-p date_from 20240501`; they are understood. All else that is of another type is refused by its name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from bigmama_nb.executor.parameters import mistyped, refusal, require_injected


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",")) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else value


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and re.fullmatch(r"\d{8}", str(value)) else value


def _instant(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat() if text else text
    except OverflowError as error:
        raise ValueError(str(error)) from None


def _path(text: str) -> str:
    # One that cannot be a path: a NUL in it, bytes that are no text, a part that no file system takes.
    if "\0" in text or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError
    return text


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Day = Annotated[str, BeforeValidator(_day)]

_EXPECTED = {
    "profile": "a text that is a file's path",
    "run_dir": "a text that is a folder's path",
    "games": "names, such as ['lw', 'bns'] or 'lw,bns'",
    "metrics": "names, such as ['wau', 'mau'] or 'wau,mau'",
    "date_from": "a day, such as '2024-05-01'",
    "date_to": "a day, such as '2024-05-01'",
    "run_timestamp": "an instant, such as '2024-05-02T02:03:04Z'",
}


class StageParameters(BaseModel):
    """The parameters that every notebook has, by the names that `begin` has for them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    profile: Annotated[str, AfterValidator(_path)]
    games: Names
    metrics: Names
    date_from: Day
    date_to: Day
    run_dir: Annotated[str, AfterValidator(_path)]
    run_id: Annotated[str, AfterValidator(_path)]
    attempt: int
    run_timestamp: Annotated[str, AfterValidator(_instant)]
    scratch: bool
    allow_empty: bool
    release: bool

    @property
    def timestamp(self) -> datetime:
        """The run's instant; now where none is given."""
        return datetime.fromisoformat(self.run_timestamp) if self.run_timestamp else datetime.now(UTC)


def checked(notebook: str, given: Mapping[str, Any]) -> StageParameters:
    """Return a notebook's parameters, checked, and look for those that papermill gave it and it does not have.

    Raises:
        UsageError: every refusal, one a line: which parameter, what it is, what was expected.
    """
    require_injected(notebook, _cells(), understood=given.keys())
    try:
        return StageParameters(**given)
    except ValidationError as error:
        wrong = dict.fromkeys(str(item["loc"][0]) for item in error.errors())
        raise refusal(notebook, [mistyped(name, given[name], _expected(name)) for name in wrong]) from None


def _expected(name: str) -> str:
    kinds = {str: "a text", int: "a whole number", bool: "true or false"}
    return _EXPECTED.get(name) or kinds[StageParameters.model_fields[name].annotation]  # type: ignore[index]


def _cells() -> list[str]:
    """Return the sources of the cells that this kernel ran, this one last; none outside a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return [] if shell is None else list(shell.history_manager.input_hist_raw)
