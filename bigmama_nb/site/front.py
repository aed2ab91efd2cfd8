"""The front page."""

from __future__ import annotations

import functools
from collections.abc import Collection
from datetime import date, timedelta
from typing import Any

from bigmama_nb.profile import Profile
from bigmama_nb.project import repair_command
from bigmama_nb.site import causes, index
from bigmama_nb.site.pages import Writer

NEWEST_RUNS = 50
HEAT_DAYS = 90
_WORST = ("ok", "suspect", "skipped", "not_ready", "failed")
SHOWN = 40


def write(
    writer: Writer, found: index.Index, runs: list[index.RunRow], has_page: Collection[str], profile: Profile
) -> None:
    """Write `index.html`."""
    problems = causes.grouped(found.problems())
    stopped = [run for run in runs if run["status"] in ("abandoned", "unreadable")]
    writer.page(
        "index.html",
        "index.html",
        pipelines=_pipelines(found, runs),
        problems=problems[:SHOWN],
        more=problems[SHOWN:],
        stopped=stopped,
        heat=_heat(found),
        runs=runs[::-1][:NEWEST_RUNS],
        count=len(runs),
        has_page=has_page,
        repair=repair_command,
        owners=functools.partial(_owners, profile),
    )


def _owners(profile: Profile, cause: causes.Cause) -> list[str]:
    """Return who is asked about a problem, where the profile says so."""
    if cause.tasks[0]["pipeline"] == "game_metric":
        found = {profile.games[name].owner for name in cause.names if name in profile.games}
    else:
        found = {profile.live_play.owner} if profile.live_play is not None else set()
    return sorted(filter(None, found))


def _pipelines(found: index.Index, runs: list[index.RunRow]) -> list[dict[str, Any]]:
    lines = []
    for pipeline in sorted({name for run in runs for name in run["pipelines"]} - {"tables"}):
        last = [
            run for run in runs if pipeline in run["pipelines"] and not run["scratch"] and run["verb"] != "retract"
        ][-1:]
        if not last:
            continue
        counts = found.rows(
            """select count(*) tasks, coalesce(sum(t.published = 'yes'), 0) published from task t
               join series s on s.no = t.series where t.run = ? and s.pipeline = ?""",
            (last[0]["no"], pipeline),
        )[0]
        lines.append({"name": pipeline, "complete": _complete(found, pipeline), "run": last[0], **counts})
    return lines


def _complete(found: index.Index, pipeline: str) -> int | None:
    """Return the newest day of which every task's newest word is a success."""
    days = found.rows(
        """select distinct t.day from series s join task t on t.series = s.no
           where s.pipeline = ? and t.day > 9999999 and t.day >= (
               select max(n.day) from task n join series m on m.no = n.series where m.pipeline = ?) - 600
           order by t.day desc""",
        (pipeline, pipeline),
    )
    ill = {one["day"] for one in found.problems() if one["pipeline"] == pipeline}
    return next((one["day"] for one in days if one["day"] not in ill), None)


def _heat(found: index.Index) -> dict[str, Any] | None:
    top = found.rows("select max(day) day from task where day > 9999999")[0]["day"]
    if top is None:
        return None
    last = date.fromisoformat(f"{top}")
    # The newest first: where the page is too narrow for all it is them that one sees.
    span = [last - timedelta(days=back) for back in range(HEAT_DAYS)]
    cells: dict[str, dict[int, dict[str, Any]]] = {}
    for one in found.newest(int(f"{span[-1]:%Y%m%d}")):
        line = cells.setdefault(one["type"] or one["name"], {})
        before = line.get(one["day"])
        word = one["outcome"] if one["outcome"] in _WORST else "failed"
        if before is None or _WORST.index(word) > _WORST.index(before["outcome"]):
            line[one["day"]] = {"outcome": word, "run_id": one["run_id"], "count": 0}
        line[one["day"]]["count"] += 1
    days = [int(f"{one:%Y%m%d}") for one in span]
    with_any = [one for one in days if any(one in line for line in cells.values())]
    return {"days": with_any, "lines": dict(sorted(cells.items()))}
