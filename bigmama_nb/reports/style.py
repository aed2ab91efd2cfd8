"""What every chart shares: how it shows itself in a notebook, its colours, its type, and names that can be drawn."""

from __future__ import annotations

import functools
import io
from collections.abc import Collection
from typing import Any

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

INK = "#1b2a33"
QUIET = "#66757f"
FAINT = "#e3e8eb"
ACCENT = "#0072b2"
PAST = "#a9b6be"

# Okabe and Ito's colours, which people with any colour vision tell apart; what is well is pale, so that the rest stands
# out. https://jfly.uni-koeln.de/color/
OUTCOME_COLOURS = {
    "ok": "#bfe0d4",
    "suspect": "#f0b429",
    "not_ready": "#56b4e9",
    "failed": "#c8431b",
    "skipped": "#9aa5ac",
}

_HANGUL = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "NanumGothic",
    "NanumBarunGothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
)


class Chart(Figure):
    """A figure that shows itself in a notebook, without pyplot and its global state, the same bytes each time."""

    def __init__(self, says: str, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=96, facecolor="white")
        FigureCanvasAgg(self)
        self.says = says

    def __repr__(self) -> str:
        return f"<Chart: {self.says}>"

    __str__ = __repr__

    def png(self, dpi: int = 120) -> bytes:
        """Return the picture; no version and no time stand in its bytes."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        width, height = self.get_size_inches()
        return self.png(), {"width": round(width * 96), "height": round(height * 96)}


@functools.cache
def fonts() -> tuple[str, ...]:
    """Return the families that texts are drawn in: the one that comes with matplotlib, then one with Hangul if any."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in _HANGUL if name in installed][:1])


@functools.cache
def _drawable() -> frozenset[int]:
    found: set[int] = set()
    for family in fonts():
        found |= set(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    return frozenset(found)


def drawable(text: str | None, otherwise: str, signs: Collection[int] | None = None) -> str:
    """Return `text` where every character of it can be drawn, else `otherwise`: a code reads better than boxes.

    `signs` are the characters that can be drawn, by number; those of the fonts that are here where none are given.
    """
    line = " ".join((text or "").split())
    known = _drawable() if signs is None else signs
    return line if line and all(ord(character) in known for character in line) else otherwise


def shortened(text: str, characters: int) -> str:
    """Return `text`, cut to at most `characters` with an ellipsis."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def write(where: Any, x: float, y: float, text: str, *, size: float = 8, **properties: Any) -> Text:
    """Write `text` on a figure or axes as it is: `$` begins no formula, and no setting of matplotlib's changes it."""
    properties = {"color": INK, "family": list(fonts()), "parse_math": False, **properties}
    drawn: Text = where.text(x, y, text, fontsize=size, **properties)
    return drawn


def compact(level: float) -> str:
    """Return a number as an axis says it: 1.5M, 200k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(level) >= size:
            return f"{level / size:,g}{unit}"
    return f"{level:,g}"


def bare(axes: Any) -> None:
    """Take frame, ticks and tick labels off the axes."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
