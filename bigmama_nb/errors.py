"""Every exception of the package, under one base; imports nothing of ours.

A message says where, what was found and what was expected, what state is left behind, and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, get_args

Reason = Literal[
    # the data
    "wrong_type",
    "not_integral",
    "overflow",
    "null_value",
    "missing_field",
    "duplicate_documents",
    "date_type_mismatch",
    "bad_date",
    "array_path",
    "path_unknown",
    "type_unknown",
    "match_unknown",
    # the source
    "source_missing",
    "source_corrupt",
    "unreachable",
    "auth",
    "tls",
    "query_timeout",
    "query_refused",
    "deadline",
    # checks
    "contract",
    "rejected_share",
    "duplicate_key",
    "live_too_long",
    # publishing
    "locked",
    "storage",
    "catalog",
    "publish_unknown",
    # the stage
    "stage_died",
    "timeout",
]
"""Why a task failed: a closed list (docs/spec/values_and_reasons.md, "Reason classes")."""

REASONS: tuple[str, ...] = get_args(Reason)


PARTITION_STAYS = "Nothing was published and the published partition stays"
NOTHING_READ = "Nothing was read and the published partition stays"
NOTHING_RUN = "Nothing was run"
NOTHING_DONE = "Nothing was done"
NOTHING_CHANGED = "Nothing was changed"
NOTHING_PUBLISHED = "Nothing was published"
NOTHING_MOVED = "Nothing was moved"
READERS_SEE_BEFORE = "Readers see what stood before; nothing was moved"
PLEASE_REPORT = "this is a fault of the package, please report it"


def with_state(found: str, state: str, step: str | None = None) -> str:
    """Return what was found as a sentence, and behind it what state is left and what to do: the end of every message.

    Args:
        found, state, step: without the point at their end.
    """
    said = found if found.endswith((".", "?", "?)")) else f"{found}."
    return f"{said} {state}; {step}." if step else f"{said} {state}."


def explain(where: str, found: str, *, step: str, expected: str | None = None, state: str = PARTITION_STAYS) -> str:
    """Return a message in the order of all: where, what was found, what was expected, what state is left; what to do.

    Args:
        found, expected, state, step: without the points between them.
    """
    return with_state(f"{where}: {found}{f'; expected {expected}' if expected else ''}", state, step)


class BigmamaError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(BigmamaError):
    """The command or the profile is wrong; nothing was run (exit status 2). The message says so behind what was found.

    Each of `found` is one line; they, `state` and `step` are without the point at their end.
    """

    def __init__(self, *found: str, state: str = NOTHING_RUN, step: str | None = None) -> None:
        super().__init__("\n".join(with_state(one, state, step) for one in found))
        self.found = found

    def _render_traceback_(self) -> list[str]:
        # IPython shows this where it would show a trace: who gave a wrong parameter wants the sentence.
        # https://ipython.readthedocs.io/en/stable/config/integrating.html#custom-exception-tracebacks
        return str(self).splitlines()


class ProfileError(UsageError):
    """The profile is not what docs/spec/profile.md describes."""


class TaskError(BigmamaError):
    """A task cannot be done; carries its reason class and the exact place."""

    moved: frozenset[tuple[str, str]] = frozenset()
    """(table, partition) of each pointer that had certainly moved when a move of several stopped."""
    published: tuple[Any, ...] = ()
    """The `publish.Published` of those partitions."""
    failures: Mapping[str, TaskError] = MappingProxyType({})
    """Of a publish that could not build some partitions, each one's own error; all others were published."""

    def __init__(self, reason: Reason, message: str, *, place: str | None = None) -> None:
        # It is shown in one line wherever it goes, and what a server or a file is called is a part of it.
        self.message = printable(message)
        super().__init__(self.message)
        self.reason: Reason = reason
        self.place = None if place is None else printable(place)


class SourceError(TaskError):
    """A source, or what stands in it, cannot be used."""


class ContractError(TaskError):
    """A table is not what its contract says: a column is missing or has another type, or a check fails."""

    def __init__(self, message: str, *, reason: Reason = "contract", place: str | None = None) -> None:
        super().__init__(reason, message, place=place)


class StorageError(TaskError):
    """Files could not be written, read or verified; what readers see is as before."""

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__("storage", message, place=place)


class DamagedError(StorageError):
    """A partition's files are not what was published; the message names what mends it."""


class RecordError(StorageError):
    """The archive could not be written in the midst of a run; says what is published, and with which exit status."""

    def __init__(self, message: str, *, exit_status: int, place: str | None = None) -> None:
        super().__init__(message, place=place)
        self.exit_status = exit_status


class CatalogError(TaskError):
    """The catalog refused or did not hold what was expected; the pointer is as before."""

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__("catalog", message, place=place)


class CommitConflictError(CatalogError):
    """A partition no longer points at the version that rows were carried over from, or the lock is lost."""


class LockedError(TaskError):
    """Another run held the table's lock for longer than `warehouse.lock_wait_s`."""

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__("locked", message, place=place)


class PublishUnknownError(TaskError):
    """The pointer may or may not have moved: the answer was lost. No file may be deleted after this."""

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__("publish_unknown", message, place=place)


def printable(text: str) -> str:
    """Return a text of one line that a terminal, JSON and UTF-8 can hold: what is not printable stands as an escape.

    Names from a server or a file system may clear a screen, forge a line, or be no characters at all.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(text: str) -> str:
    """Return a text of several lines with everything escaped that is not printable, but for line ends and tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def how_many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with what is counted: `1 file`, `2,000 files`; `plural` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def nearest(found: str, names: Sequence[str], count: int) -> list[str]:
    """Return at most so many of `names` that are near, the nearest first: those of another case before all others."""
    cased = [name for name in names if name.casefold() == found.casefold() and name != found]
    others = difflib.get_close_matches(found, names, n=count, cutoff=0.6)
    return list(dict.fromkeys([*cased, *others]))[:count]


def did_you_mean(found: object, names: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the nearest of `names`, or an empty string where none is near."""
    near = nearest(str(found), list(names), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
