"""Executed notebooks as pages: the banner first, code folded, outputs open, and no script."""

from __future__ import annotations

import functools
import re
from html import escape
from typing import Any
from urllib.parse import quote

import nbformat
from markupsafe import Markup

from bigmama_nb.executor.seal import word
from bigmama_nb.site.compiled import keep_compiled
from bigmama_nb.site.pages import Writer, clean

NOTEBOOK, REPORT = "notebook.html.j2", "report.html.j2"
# Both in one environment, which compiles the templates of nbconvert that they build on once.
_NOTEBOOK = """
{%- extends 'basic/index.html.j2' -%}
{% block any_cell %}
{% set outcome = cell.metadata['outcome'] %}
<section class="c-{{ outcome | replace(' ', '-') | e }}">
{% if outcome not in ('ok', 'never ran', 'running') %}<p class="marked">This cell ended the notebook.</p>{% endif %}
{{ super() }}
</section>
{% endblock any_cell %}
{% block input_group %}<details><summary>Code</summary>{{ super() }}</details>{% endblock input_group %}
"""
_REPORT = """
{%- extends 'basic/index.html.j2' -%}
{% block any_cell %}<section>{{ super() }}</section>{% endblock any_cell %}
{% block input_group %}{% endblock input_group %}
"""
_KINDS = ("text/html", "text/plain", "text/markdown")
_TAGS = set(
    re.findall(
        r"\w+",
        "a abbr b blockquote br caption code col colgroup dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li ol p "
        "pre s samp small span strong sub sup svg path circle table tbody td tfoot th thead tr u ul",
    )
)
_ATTRIBUTES = {
    "*": {"class", "id"}, "a": {"title", "href"}, "img": {"alt", "src", "width"},
    "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"},
    "svg": {"role", "aria-label", "viewBox", "width", "height", "fill"},
    "path": {"d", "stroke", "stroke-width", "stroke-linecap"}, "circle": {"cx", "cy", "r", "fill"},
}  # fmt: skip
"""An SVG is its lines and dots; without texts, styles and links nothing in it can be misread as something else."""
_PROTOCOLS = {"http", "https", "mailto", "data"}
_LINK = re.compile(r"(?i)(?:https?:|mailto:|[#/.\w][^:]*$)")
_MAGIC = re.compile("[%!?]")
"""Where none of these stands, IPython's language is Python's, and the rules of seven further ones are not compiled."""
SVG, PNG = "image/svg+xml", "image/png"
_TOO_LONG = 50_000_000
UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError)
"""What reading a file that is no notebook raises."""


def write(writer: Writer, run_id: str, attempt: int, stem: str) -> None:
    """Write the page of a run's executed notebook beside it; one that cannot be read has a page that says so."""
    folder = f"runs/{run_id}/{attempt}"
    path = writer.root / folder / f"{stem}.ipynb"
    metadata: dict[str, Any] = {}
    try:
        if path.stat().st_size > _TOO_LONG:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        body, metadata = rendered(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        body = Markup("<p>The notebook cannot be shown: {}</p>").format(clean(error)[:500])
    writer.page(
        f"{folder}/{stem}.html",
        "notebook.html",
        run_id=run_id,
        attempt=attempt,
        stem=stem,
        body=body,
        about=metadata,
    )


def rendered(text: str) -> tuple[Markup, dict[str, Any]]:
    """Return the cells of a notebook as HTML, and what its seal says."""
    notebook = nbformat.reads(text, as_version=4)
    said = dict(word(notebook))
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)
        cell.metadata["outcome"] = said.get("cells", {}).get(cell.get("id"), "ok")
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if tamed(output)]
    return exported(notebook, NOTEBOOK), said


def exported(notebook: Any, template: str) -> Markup:
    """Return a notebook as HTML by `NOTEBOOK` or `REPORT`; its outputs are sanitized."""
    exporter = _exporter()
    exporter.template_file = template
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r"<th([^>]*)>\s*</th>", r"<td\1></td>", body)
    body = re.sub(r"<img(?![^>]*\salt=)", '<img alt="A picture that nobody described"', body)
    # What may be wider than a phone scrolls within itself, and the keyboard must get there.
    body = re.sub(r"<(table|pre)\b", r'<\1 tabindex="0"', body)
    # nbconvert has sanitized what came from the notebook, and no script of its may run.
    return Markup(body)


def as_picture(address: str, says: str, kind: str = "picture", width: int | None = None) -> str:
    """Return a picture as an image, which runs no script whatever stands in it."""
    size = f' width="{width}"' if width else ""
    return f'<img class="{kind}" alt="{escape(says)}"{size} src="{address}">'


def svg_address(svg: str | list[str]) -> str:
    """Return an SVG as the address of an image."""
    return f"data:{SVG},{quote(''.join(svg))}"


def tamed(output: Any) -> bool:
    """Leave of an output what a page can show, and return whether that is anything."""
    data = output.get("data", {})
    if "text/html" not in data and (SVG in data or PNG in data):
        address = svg_address(data[SVG]) if SVG in data else f"data:{PNG};base64,{''.join(data[PNG].split())}"
        width = output.get("metadata", {}).get(PNG, {}).get("width")
        data["text/html"] = as_picture(address, "".join(data.get("text/plain", "")), width=width)
    for kind in [kind for kind in data if kind not in _KINDS]:
        del data[kind]
    if "text/html" in data:
        # pandas' own style of a table, which the page has for all.
        html = "".join(data["text/html"])
        data["text/html"] = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.S)
    for key in ("text", "evalue", "ename"):
        if key in output:
            output[key] = "".join(output[key])
    return "data" not in output or bool(data)


def _sanitized(html: Any) -> str:
    import nh3

    return nh3.clean(
        str(html), tags=_TAGS, attributes=_ATTRIBUTES, attribute_filter=_kept, url_schemes=_PROTOCOLS, link_rel=None
    )


def _kept(tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute that may stay, else None."""
    if name == "src":
        return value if value.startswith("data:image/") else None
    if name == "href":
        return value if _LINK.match(value) else None
    if name == "id":
        return value if value.startswith("metric-") else None
    return value


@functools.cache
def _exporter() -> Any:
    import nbconvert
    from jinja2 import DictLoader
    from nbconvert import exporters
    from nbconvert.filters import highlight, widgetsdatatypefilter

    whole: Any = exporters.HTMLExporter
    plain: Any = exporters.TemplateExporter
    highlighted: Any = highlight.Highlight2HTML
    of_widgets: Any = widgetsdatatypefilter.WidgetsDataTypeFilter

    class Exporter(whole):  # type: ignore[misc]
        def from_notebook_node(self, notebook: Any, resources: Any = None, **how: Any) -> Any:
            """Convert as nbconvert does, which then reads all that it wrote again, for pictures without a text."""
            code = (cell.source for cell in notebook.cells if cell.cell_type == "code")
            lexer = "ipython3" if any(map(_MAGIC.search, code)) else "python3"
            self.register_filter("highlight_code", highlighted(pygments_lexer=lexer, parent=self))
            kinds = of_widgets(notebook_metadata=self._nb_metadata, parent=self)
            self.register_filter("filter_data_type", kinds)
            return plain.from_notebook_node(self, notebook, resources, **how)

        def _validate_preprocessor(self, notebook: Any, preprocessor: Any) -> None:
            """Believe each of a dozen steps that what it leaves is a notebook still, as what was read is."""

    exporter = Exporter(
        template_name="basic",
        extra_loaders=[DictLoader({NOTEBOOK: _NOTEBOOK, REPORT: _REPORT})],
        template_file=NOTEBOOK,
    )
    exporter.sanitize_html = True
    exporter.register_filter("clean_html", _sanitized)
    exporter.exclude_anchor_links = True
    keep_compiled(exporter.environment, __file__, nbconvert.__version__)
    return exporter
