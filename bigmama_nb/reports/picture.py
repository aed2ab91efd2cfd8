"""A picture made of rectangles and texts, which shows itself in a notebook.

Matplotlib takes longer to import than such a picture takes to draw, which is two fifths of what a report costs.
"""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

from bigmama_nb.reports.style import INK

PIXELS_AN_INCH = 96
_POINTS_AN_INCH = 72
_GAP = 0.01
"""Inches between two rectangles."""
_ANCHORS = {"left": "start", "center": "middle", "right": "end"}
# Where a line's foot is, in parts of its size below the place: at half its capitals, or at its top.
_FEET = {"center": 0.36, "top": 0.93}


class Picture:
    """What is drawn on it, in inches from the left and from the top; the same bytes each time."""

    def __init__(self, says: str, width: float, height: float) -> None:
        self.says = says
        self.width, self.height = width, height
        self._drawn: list[str] = []

    def __repr__(self) -> str:
        return f"<Chart: {self.says}>"

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        color: str = INK,
        ha: str = "left",
        va: str = "center",
        weight: str = "normal",
        style: str = "normal",
    ) -> None:
        """Write a line as it is; `size` in points."""
        inches = size / _POINTS_AN_INCH
        font = f'font-size="{inches:.4f}" font-weight="{weight}" font-style="{style}" text-anchor="{_ANCHORS[ha]}"'
        self._drawn.append(
            f'<text x="{x:.3f}" y="{y + _FEET[va] * inches:.3f}" fill="{color}" {font}>{escape(text)}</text>'
        )

    def rectangles(
        self, places: Sequence[tuple[float, float, float, float]], colour: str, *, edge: str | None = None
    ) -> None:
        """Draw rectangles of one colour: left, top, width and height of each; without `edge` a gap stands around each.

        Gaps are what is not painted: to draw an edge around each of a year's figures would take seconds.
        """
        gap, stroke = (_GAP, "") if edge is None else (0.0, f' stroke="{edge}" stroke-width="{_GAP}"')
        path = "".join(
            f"M{x + gap / 2:.3f} {y + gap / 2:.3f}h{width - gap:.3f}v{height - gap:.3f}h{gap - width:.3f}z"
            for x, y, width, height in places
        )
        # Edges on whole pixels: smoothed ones take three times as long, and look no better.
        self._drawn.append(f'<path shape-rendering="crispEdges" fill="{colour}"{stroke} d="{path}"/>')

    def svg(self) -> str:
        """Return the picture as SVG."""
        width, height = self.width * PIXELS_AN_INCH, self.height * PIXELS_AN_INCH
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {self.width:.3f} {self.height:.3f}" preserveAspectRatio="none" '
            f'font-family="DejaVu Sans" xml:space="preserve">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self._drawn)}</svg>'
        )

    def png(self, dpi: int = 120) -> bytes:
        """Return the picture as PNG."""
        _with_own_font()
        # Its scale is of the picture's own pixels where those are 72 an inch.
        drawn = vl_convert.svg_to_png(self.svg(), scale=dpi / PIXELS_AN_INCH, ppi=_POINTS_AN_INCH)
        packed = io.BytesIO()
        # It hardly packs what it drew: a year of figures had ten times the bytes.
        Image.open(io.BytesIO(drawn)).convert("RGB").save(packed, "PNG")
        return packed.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        return self.png(), {
            "width": round(self.width * PIXELS_AN_INCH),
            "height": round(self.height * PIXELS_AN_INCH),
        }


@functools.cache
def _with_own_font() -> None:
    """Let texts be drawn in the font that comes with matplotlib, whatever is installed here."""
    found = importlib.util.find_spec("matplotlib")
    for folder in (found and found.submodule_search_locations) or ():
        vl_convert.register_font_directory(str(Path(folder) / "mpl-data" / "fonts" / "ttf"))
