"""The lists of runs: the newest on one page, and, where there are more, those of each month on a page of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from bigmama_nb.site import index
from bigmama_nb.site.pages import Writer, drop_others

NEWEST = 500
"""How many runs the first page has: ten thousand lines take a browser seconds."""
_HEAD_BYTES = 2_000


def write(writer: Writer, runs: Sequence[index.RunRow], has_page: Collection[str], *, everything: bool = False) -> None:
    """Write `runs.html`, and of the months those that changed; `everything`: all of them. Runs come oldest first."""
    newest_first = runs[::-1]
    split = len(runs) > NEWEST
    months = {month: list(own) for month, own in groupby(newest_first, _month_of)} if split else {}
    drop_others(writer.root / "months", {writer.root / _path(month) for month in months})
    years = {year: list(own) for year, own in groupby(months, lambda month: month[:4])}
    _page(writer, "runs.html", newest_first[:NEWEST], has_page, years=years, count=len(runs))
    order = list(months)
    for place, (month, own) in enumerate(months.items()):
        beside = {
            "earlier": order[place + 1] if place + 1 < len(order) else None,
            "later": order[place - 1] if place else None,
        }
        state = _state(own, has_page, beside)
        if everything or not _is_of(writer, _path(month), state):
            _page(writer, _path(month), own, has_page, month=month, beside=beside, state=state)


def _path(month: str) -> str:
    return f"months/{month}.html"


def _month_of(run: index.RunRow) -> str:
    text = str(run["run_id"])
    return f"{text[:4]}-{text[4:6]}"


def _day_of(run: index.RunRow) -> str:
    return f"{_month_of(run)}-{str(run['run_id'])[6:8]}"


def _state(runs: Sequence[index.RunRow], has_page: Collection[str], beside: dict[str, Any]) -> str:
    """Return what a month's page is made of, in short."""
    of = [(run["run_id"], run["mtime"], run["size"], run["status"], run["run_id"] in has_page) for run in runs]
    return hashlib.sha256(json.dumps([of, beside]).encode()).hexdigest()


def _is_of(writer: Writer, path: str, state: str) -> bool:
    try:
        with (writer.root / path).open("rb") as page:
            return state.encode() in page.read(_HEAD_BYTES)
    except OSError:
        return False


def _page(writer: Writer, path: str, runs: Sequence[index.RunRow], has_page: Collection[str], **values: Any) -> None:
    sets: dict[str, int] = {}
    listed = [{**run, "names": sets.setdefault(run["names"], len(sets))} for run in runs]
    names = [json.loads(text) for text in sets]
    writer.page(
        path,
        "runs.html",
        runs=listed,
        by_day=[(day, list(group)) for day, group in groupby(listed, _day_of)],
        has_page=has_page,
        sets=names,
        games=sorted({name for both in names for name in both[0]}),
        metrics=sorted({name for both in names for name in both[1]}),
        statuses=sorted({run["status"] for run in runs}),
        pipelines=sorted({name for run in runs for name in run["pipelines"]}),
        **values,
    )
