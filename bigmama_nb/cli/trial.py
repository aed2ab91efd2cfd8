"""The verb try: what a metric comes to in a game on a day, and why; publishes nothing and records no run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bigmama_nb.cli import VerbResult, load, names, verb
from bigmama_nb.errors import NOTHING_PUBLISHED, UsageError, did_you_mean, how_many
from bigmama_nb.profile import Profile
from bigmama_nb.project import without_run

if TYPE_CHECKING:
    from bigmama_nb.sources.trial import Trial


@verb("try", example="try wau --games lw --date 2024-05-01")
@click.argument("metric")
@click.option("--games", callback=names, help="Comma-separated codes; else every game that has the metric.")
@click.option("--date", metavar="DAY", help="A day of the period, YYYY-MM-DD; else the last that a run asks for.")
def try_(profile: str | None, metric: str, games: tuple[str, ...], date: str | None) -> VerbResult:
    """Compute METRIC for one day and say how: documents counted and refused, fields with their types, the query.

    Nothing is published and no run is recorded. Exit status: 0 every value is there, 3 some are, 1 none is,
    2 the command or the profile is wrong.
    """
    from bigmama_nb.periods import days_asked
    from bigmama_nb.sample import prepare
    from bigmama_nb.sources.trial import tried

    read = load(profile)
    _, day = days_asked(read, date, date, now=datetime.now(UTC))
    asked = _games(read, metric, games)
    prepare(read)
    found = tried(read, metric, asked, day)
    done = sum(one.outcome.outcome == "ok" for one in found)
    text = "\n\n".join([*map(_text, found), f"{NOTHING_PUBLISHED}, and no run is recorded."])
    return VerbResult([_data(one) for one in found], text, 0 if done == len(found) else 3 if done else 1)


def _games(read: Profile, metric: str, games: Sequence[str]) -> list[str]:
    from bigmama_nb.periods import chosen

    if metric not in read.metrics:
        known = ", ".join(read.metrics) or "none"
        raise UsageError(f"METRIC is {metric!r}; metrics are {known}.{did_you_mean(metric, read.metrics)}")
    having = [game_cd for game_cd, type_ in read.pairs if type_ == metric]
    asked = chosen("games", games, list(read.games)) if games else having
    for game_cd in asked:
        if game_cd not in having:
            raise UsageError(
                f"--games names {game_cd!r}, which has no metric {metric!r}; games that have it are "
                f"{', '.join(having) or 'none'}"
            )
    if not asked:
        raise UsageError(f"No game has the metric {metric!r}", step=f"see 'games' in {read.path.name}")
    return asked


def _text(one: Trial) -> str:
    from bigmama_nb.sources import outcome

    days = f"{one.first}" if one.first == one.last else f"{one.first} to {one.last}"
    due = "" if one.due else ", which a run asks for on the period's last day only"
    unit = f" {one.unit}" if one.unit and one.outcome.outcome == "ok" else ""
    found = without_run(outcome.finding(one.outcome))
    lines = [f"{outcome.task(one.outcome.ask)}: {found}{unit}", f"  days       {days}{due}"]
    if one.sight is not None:
        lines.append(
            f"  documents  {one.sight.dated:,} dated then, {one.sight.counted:,} of them pass the match"
            f"{_counts('; of the match ', one.odd_dates)}"
        )
    else:
        unseen = "" if one.unseen is None or one.unseen.rstrip(".") == found else f": {one.unseen}"
        lines.append(f"  documents  could not be looked at{unseen}")
    lines.append(
        f"  values     {one.used:,} used, {sum(one.refused.values()):,} refused{_counts(': ', one.refused)}"
        f"{_counts('; left out ', one.left_out)}"
    )
    kind = {
        "counted": "of the day and the match",
        "dated": "dated then, not of the match",
        "matched": "of the match, of other days",
    }
    for example in one.examples:
        assert one.sight is not None
        fields = " · ".join(f"{shown.path} {shown.type} {shown.value}".rstrip() for shown in example)
        lines.append(f"  such as    {fields} ({kind.get(one.sight.kind, 'of other days, not of the match')})")
    lines += [f"  query      {query}" for query in one.queries]
    lines.append(
        f"  took       {one.seconds:.2f} s; {one.load.cluster} gave {how_many(one.load.documents, 'document')}, "
        f"{one.load.bytes:,} bytes, asked by {how_many(one.load.queries, 'query', 'queries')}"
    )
    return "\n".join(lines)


def _counts(before: str, counts: Any) -> str:
    return before + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) if counts else ""


def _data(one: Trial) -> dict[str, Any]:
    ask, sight = one.outcome.ask, one.sight
    return {
        "task": one.outcome.task,
        "game_cd": ask.game_cd,
        "type": ask.type,
        "dt": ask.dt,
        "from": str(one.first),
        "to": str(one.last),
        "due": one.due,
        "outcome": one.outcome.outcome,
        "value": one.outcome.value,
        "unit": one.unit,
        "reason": one.outcome.reason,
        "message": one.outcome.message and without_run(one.outcome.message),
        "documents": None if sight is None else {"dated": sight.dated, "matched": sight.counted},
        "unseen": one.unseen,
        "values": {"used": one.used, "refused": one.refused, "left_out": one.left_out},
        "odd_dates": one.odd_dates,
        "examples": [[vars(shown) for shown in example] for example in one.examples],
        "examples_are": sight.kind if sight is not None and one.examples else None,
        "queries": one.queries,
        "seconds": round(one.seconds, 3),
        "load": vars(one.load),
    }
