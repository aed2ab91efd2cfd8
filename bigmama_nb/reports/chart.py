"""A chart of matplotlib's that shows itself in a notebook, and how one writes on it."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from bigmama_nb.reports.style import INK, fonts


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


def write(where: Any, x: float, y: float, text: str, *, size: float = 8, **properties: Any) -> Text:
    """Write `text` on a figure or axes as it is: `$` begins no formula, and no setting of matplotlib's changes it."""
    properties = {"color": INK, "family": list(fonts()), "parse_math": False, **properties}
    drawn: Text = where.text(x, y, text, fontsize=size, **properties)
    return drawn


def bare(axes: Any) -> None:
    """Take frame, ticks and tick labels off the axes."""
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
