"""Which part_dates a run builds, with how much of the log, and whether that is all of it.

Source of the rules: docs/spec/wv_live_play.md, "Which rows count", rule 2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

WEEK = dt.timedelta(days=7)


@dataclass(frozen=True)
class Published:
    """A part_date that readers see; `final`: the whole log is in it; `changed`: its log is not what was read of it."""

    final: bool
    changed: bool = False


@dataclass(frozen=True)
class Due:
    """A part_date to build with the log up to `log_end`; `asked`: the run names it, else it is built again."""

    part_date: dt.date
    log_end: dt.date
    asked: bool


def due_dates(
    days: Iterable[dt.date], published: Callable[[dt.date], Published | None], log_days_after: int
) -> list[Due]:
    """Return what a run of `days` builds, in order: its days, and those of the week before any that are not final
    or whose log has changed.

    Each is built with the log up to the last of the days; one that is published final with its whole log again.
    """
    asked = sorted(set(days))
    if not asked:
        return []
    before = looked_at(asked) - set(asked)
    again = {day for day in before if (known := published(day)) is not None and (known.changed or not known.final)}
    due = []
    for day in sorted({*asked, *again}):
        whole_log = day + dt.timedelta(days=log_days_after)
        known = published(day)
        log_end = max(asked[-1], whole_log) if known is not None and known.final else asked[-1]
        due.append(Due(day, min(log_end, whole_log), asked=day in asked))
    return due


def looked_at(days: Iterable[dt.date]) -> set[dt.date]:
    """Return the dates that a run of `days` may build: these, and those of the week before any."""
    asked = set(days)
    return asked | {day - dt.timedelta(days=back) for day in asked for back in range(1, WEEK.days + 1)}


def log_dates(part_date: dt.date, log_end: dt.date, before: int, after: int) -> tuple[list[dt.date], list[dt.date]]:
    """Return the dates of the log that may be missing, and those that are wanted, in order."""
    earlier = [part_date - dt.timedelta(days=back) for back in range(before, 0, -1)]
    last = min(part_date + dt.timedelta(days=after), log_end)
    wanted = [part_date + dt.timedelta(days=ahead) for ahead in range((last - part_date).days + 1)]
    return earlier, wanted


def is_final(part_date: dt.date, log_end: dt.date, after: int) -> bool:
    """Return whether the log up to `log_end` is all that a part_date will ever read."""
    return log_end >= part_date + dt.timedelta(days=after)
