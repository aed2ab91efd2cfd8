"""The page of a game: every metric's history as a chart and a table, each value with the run that wrote it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup, escape

from bigmama_nb.periods import Period
from bigmama_nb.profile import Profile
from bigmama_nb.project import repair_command
from bigmama_nb.reports.changes import month_before
from bigmama_nb.reports.timeline import axis, spec
from bigmama_nb.site import causes, index
from bigmama_nb.site.pages import Writer, day, drop_others, file_name, sign

DAYS = 400
_BACK = (("day", 1), ("week", 7), ("month", 0))


def touched(found: index.Index, runs: Sequence[int]) -> set[str]:
    """Return the games that these runs have a word on."""
    return {
        row["name"]
        for run in runs
        for row in found.rows(
            "select distinct s.name from task t join series s on s.no = t.series where t.run = ? and s.pipeline = "
            "'game_metric'",
            (run,),
        )
    }


def write(writer: Writer, found: index.Index, profile: Profile, names: Collection[str] | None) -> None:
    """Write `games/<code>.html` of these games (None: of all), and drop those of games that no run has."""
    every = [
        row["name"]
        for row in found.rows(
            "select distinct name from series where pipeline = 'game_metric' and exists (select 1 from task t where "
            "t.series = series.no) order by name"
        )
    ]
    drop_others(writer.root / "games", {writer.root / "games" / f"{file_name(one)}.html" for one in every})
    wanted = [one for one in every if names is None or one in names]
    problems = found.problems() if wanted else []
    for code in wanted:
        own = [one for one in problems if one["pipeline"] == "game_metric" and one["name"] == code]
        _game(writer, found, profile, code, own)


def _game(writer: Writer, found: index.Index, profile: Profile, code: str, problems: list[dict[str, Any]]) -> None:
    metrics: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for word in found.history("game_metric", code, DAYS):
        metrics.setdefault(word["type"], {}).setdefault(word["day"], []).append(word)
    configured = profile.games.get(code)
    shown = []
    for type_, by_day in metrics.items():
        metric = profile.pairs.get((code, type_))
        values = {number: _value(words) for number, words in by_day.items()}
        good = {number: one["value"] for number, one in values.items() if one and one["value"] is not None}
        shown.append(
            {
                "type": type_,
                "days": by_day,
                "values": values,
                "plain": {number: _plain(type_, words) for number, words in by_day.items()},
                "changes": _changes(good),
                "newest": max(good, default=None),
                "collection": metric and f"{configured.database if configured else ''}.{metric.collection}",
                "chart": _chart(by_day, good, metric.period if metric else "day", f"{type_} of {code}")
                if len(good) > 1
                else None,
            }
        )
    writer.page(
        f"games/{file_name(code)}.html",
        "game.html",
        code=code,
        title=configured.name if configured else None,
        metrics=shown,
        problems=causes.grouped(problems),
        repair=repair_command,
        limit=DAYS,
    )


def _plain(type_: str, words: Sequence[dict[str, Any]]) -> Markup | None:
    """Return the line of a day whose one word is that it was published, None of any other day.

    Nearly all days are such, and a game has a thousand: a template took most of a night's end for them.
    """
    word = words[0]
    if len(words) > 1 or word["message"] or word["reason"] or word["verb"] == "retract":
        return None
    if word["published"] != "yes" or word["value"] is None:
        return None
    return Markup(
        _LINE.format(
            anchor=f"{file_name(type_)}-{word['day']}",
            day=day(word["day"]),
            outcome=sign(word["outcome"]),
            through=escape(word["through"] or "unknown"),
            final=", not final" if word["final"] == 0 else "",
            value=word["value"],
            run_id=word["run_id"],
            attempt=word["attempt"],
        )
    )


_LINE = (
    '<tr id="{anchor}"><th scope="row">{day}</th><td class="n">{value:,}</td><td>{outcome}</td>'
    '<td><a href="../runs/{run_id}/{attempt}/10_extract.html">the notebook</a>, '
    '<a href="../runs/{run_id}/index.html">{run_id}</a>, attempt {attempt}</td><td>{through}{final}</td>'
    "<td>none</td></tr>"
)


def _value(words: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the newest word that readers of the table see: published, or taken out."""
    return next((word for word in words if word["published"] == "yes"), None)


def _changes(good: dict[int, int]) -> list[tuple[str, int | None, float | None]]:
    """Return the newest value's change to those a day, a week and a month before: name, that value, percent."""
    if not good:
        return []
    last = date.fromisoformat(str(max(good)))
    found = []
    for name, days in _BACK:
        then = last - timedelta(days=days) if days else month_before(last)
        before = good.get(int(f"{then:%Y%m%d}"))
        percent = None if not before else 100 * (good[int(f"{last:%Y%m%d}")] - before) / before
        found.append((name, before, percent))
    return found


def _chart(by_day: dict[int, list[dict[str, Any]]], good: dict[int, int], period: Period, says: str) -> dict[str, Any]:
    """Return the Vega-Lite chart of values by time; suspect ones and those that are not there are marked."""
    points = [
        {"day": day(number), "value": good.get(number), "outcome": words[0]["outcome"]}
        for number, words in sorted(by_day.items())
    ]
    named = axis([date.fromisoformat(str(number)) for number in sorted(by_day)], period)
    return spec(period, says, {"name": "points"}, height=180, params=named, datasets={"points": points})
