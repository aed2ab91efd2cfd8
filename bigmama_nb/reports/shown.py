"""What shows itself in a notebook without a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OUTCOME_MARKS = {"ok": "", "suspect": "?", "not_ready": "○", "failed": "×", "skipped": "–"}

VEGA_LITE = "application/vnd.vegalite.v5+json"
"""The kind of a chart that JupyterLab 4 draws: https://jupyterlab.readthedocs.io/en/stable/user/file_formats.html"""


@dataclass(frozen=True)
class Html:
    """A table for a notebook: HTML where it can be shown, plain text elsewhere."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of a table, the first its head, as lines whose columns stand below one another, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
