"""What a benchmark found, as docs/benchmarks.md shows it: tables and a plot, with the versions that were measured."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import vl_convert

from benchmarks.measure import REPO, machine

DOCS = REPO / "docs"
MEASURED = ("duckdb", "pandas", "polars", "pyarrow", "pymongo", "papermill")


@dataclass(frozen=True)
class Plot:
    """Bars: of each group one for every subject."""

    says: str
    """What is shown, in words; also the name of the axis."""
    groups: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Result:
    """What one benchmark found: Markdown, and a plot of it. A benchmark's `main` returns it."""

    name: str
    markdown: str
    plot: Plot | None = None


def versions() -> str:
    """Return what was measured, and on what machine."""
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in MEASURED)
    return f"{machine()}; {found}."


def write(result: Result, docs: Path = DOCS) -> None:
    """Put a result between its marks in benchmarks.md, in place of the one before, and its plot beside it.

    Raises:
        ValueError: the page has no such marks; nothing was written.
    """
    page = docs / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- measured: {result.name} -->", f"<!-- end of {result.name} -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if place.search(text) is None:
        raise ValueError(
            f"{page} has no lines {begin!r} and {end!r}, between which the result would stand. It was printed only."
        )
    parts = [begin, result.markdown.strip()]
    if result.plot is not None:
        picture = docs / "images" / f"bench-{result.name}.svg"
        picture.write_text(_drawn(result.plot), encoding="utf-8")
        parts.append(f"![{result.plot.says}](images/{picture.name})")
    parts += [f"Measured with {versions()}", end]
    page.write_text(place.sub(lambda _: "\n\n".join(parts), text, count=1), encoding="utf-8")


def _drawn(plot: Plot) -> str:
    values = [
        {"group": group, "subject": subject, "value": value}
        for group, subjects in plot.groups.items()
        for subject, value in subjects.items()
    ]
    group = {"field": "group", "type": "nominal", "sort": None, "title": None, "axis": {"labelAngle": 0}}
    subject = {"field": "subject", "type": "nominal", "sort": None, "title": None}
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": plot.says,
        "background": "white",
        "data": {"values": values},
        "width": {"step": 22},
        "height": 220,
        "mark": {"type": "bar"},
        "encoding": {
            "x": group,
            "xOffset": subject,
            "y": {"field": "value", "type": "quantitative", "title": plot.says},
            "color": subject,
        },
    }
    return str(vl_convert.vegalite_to_svg(spec)) + "\n"
