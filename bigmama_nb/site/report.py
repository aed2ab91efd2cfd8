"""An executed 50_report as one page for who decides by it: a file that needs no network, without code and receipts.

Charts can be used where scripts run, and are pictures elsewhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

import nbformat
from markupsafe import Markup

from bigmama_nb.executor.seal import BANNER, word
from bigmama_nb.reports.shown import VEGA_LITE as MIME
from bigmama_nb.site import notebooks, pages

STEM = "50_report"
HIDDEN = {BANNER, "parameters", "injected-parameters", "remove-cell"}
"""Tags of the cells that the page leaves out: the run's, and what Jupyter Book leaves out, too."""
_SCRIPTS = ("vega.js", "charts.js")


@dataclass(frozen=True)
class _Script:
    """A script that stands in the page, and the checksum by which the page's policy allows just that."""

    text: Markup
    sha256: str


def page(text: str, at: pages.Writer) -> str:
    """Return the executed notebook `text` as a page; times are in the zone of `at`.

    Raises:
        notebooks.UNREADABLE: it is no notebook.
    """
    notebook = nbformat.reads(text, as_version=4)
    about = word(notebook)
    charts: list[Any] = []
    kept = []
    for cell in notebook.cells:
        if not HIDDEN.isdisjoint(cell.metadata.get("tags", ())):
            continue
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _shown(output, charts)]
            if not cell.outputs:
                continue
        kept.append(cell)
    notebook.cells = kept
    body = notebooks.exported(notebook, notebooks.REPORT)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
    title = unescape(re.sub(r"<[^>]+>", "", heading[1])) if heading else "Report"
    style = Markup(pages.asset_text("site.css"))
    drawn = Markup(_CHART.sub(lambda found: _place(found, charts), body))
    scripts = _scripts() if charts else ()
    return pages.render(
        "report.html",
        licenses=pages.asset_text("vega.LICENSES.txt") if charts else "",
        body=drawn, charts=charts, title=title.strip(), about=about, style=style, scripts=scripts,
        at=at.at, zone=at.zone.key,
    )  # fmt: skip


def write(writer: pages.Writer, run_id: str, attempt: int, stem: str) -> None:
    """Write the page of a run's report beside its notebook; one that cannot be read has a page that says so."""
    folder = f"runs/{run_id}/{attempt}"
    try:
        text = page((writer.root / folder / f"{stem}.ipynb").read_text(encoding="utf-8"), writer)
    except notebooks.UNREADABLE:
        notebooks.write(writer, run_id, attempt, stem)
    else:
        writer.write(f"{folder}/{stem}.html", text)


def _shown(output: Any, charts: list[Any]) -> bool:
    """Make of a chart its picture, by which its place is known; return whether there is anything to show."""
    data = output.get("data", {})
    if MIME in data and notebooks.SVG in data:
        says = str(data[MIME].get("description", ""))
        data["text/html"] = notebooks.as_picture(
            notebooks.svg_address(data[notebooks.SVG]), says, f"chart-{len(charts)}"
        )
        charts.append(data[MIME])
    return notebooks.tamed(output)


_CHART = re.compile(r'<img\b[^>]*\bclass="chart-(\d+)"[^>]*>')


def _place(found: re.Match[str], charts: Sequence[Mapping[str, Any]]) -> str:
    """Return where a chart is drawn, and until then, or on paper, its picture and what that shows."""
    if int(found[1]) >= len(charts):
        return found[0]
    says = escape(str(charts[int(found[1])].get("description", "")))
    return f'<div class="chart" data-chart="chart-{found[1]}"></div>{found[0]}<p class="says small">{says}</p>'


@functools.cache
def _scripts() -> tuple[_Script, ...]:
    # An element ends at the first end tag, whatever a script's strings mean by it.
    texts = [pages.asset_text(name).replace("</script", "<\\/script") for name in _SCRIPTS]
    return tuple(
        _Script(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()) for text in texts
    )
