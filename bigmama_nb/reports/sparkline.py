"""A line of figures as small as a word, which stands in a table: an SVG that needs no page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 120, 24
POINTS = 120
_LINE, _ILL, _SUSPECT = "#2f86c1", "#d55e00", "#d55e00"
_CALM = 0.3


def sparkline(
    values: Sequence[int | None], says: str, *, missing: Sequence[int] = (), suspect: Sequence[int] = ()
) -> str:
    """Return the figures as an SVG element; a picture of its own for each would take a browser a minute in all.

    The scale does not begin at zero and spans at least 30 % of the highest figure, so that a calm game looks calm.

    Args:
        values: by period, None where there is none: the line is broken there.
        says: what it shows, for who cannot see it.
        missing: places whose figure was asked for and did not come, marked below the line.
        suspect: places whose figure is suspect.
    """
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0, 1)
    spare = max(0.0, _CALM * max(abs(low), abs(high)) - (high - low)) / 2
    bottom, span = low - spare, (high - low + 2 * spare) or 1
    across = WIDTH - 6
    step = across / max(len(values) - 1, 1)

    def x(place: int) -> str:
        return f"{3 + place * step:.4g}"

    def y(value: int) -> str:
        return f"{HEIGHT - 5 - (value - bottom) / span * (HEIGHT - 9):.3g}"

    path, goes_on = [], False
    for place, value in _thinned(values):
        if value is not None:
            # A figure between two gaps is a line of no length, which its round ends make a dot.
            path.append(f"L{x(place)} {y(value)}" if goes_on else f"M{x(place)} {y(value)}h0")
        goes_on = value is not None
    marks = "".join(f"M{x(place)} {HEIGHT - 3}v3" for place in missing)
    dots = "".join(
        f'<circle cx="{x(place)}" cy="{y(value)}" r="2.5" fill="{_SUSPECT}"></circle>'
        for place in suspect
        if (value := values[place]) is not None
    )
    last = next((place for place in range(len(values) - 1, -1, -1) if values[place] is not None), None)
    end = "" if last is None else f'<circle cx="{x(last)}" cy="{y(values[last] or 0)}" r="2" fill="{_LINE}"></circle>'
    return (
        f'<svg class="spark" role="img" aria-label="{escape(says)}" width="{WIDTH}" height="{HEIGHT}" fill="none" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}"><path stroke="{_LINE}" stroke-width="1.5" stroke-linecap="round" '
        f'd="{"".join(path)}"></path>'
        + (f'<path stroke="{_ILL}" stroke-width="1.5" d="{marks}"></path>' if marks else "")
        + f"{end}{dots}</svg>"
    )


def _thinned(values: Sequence[int | None]) -> list[tuple[int, int | None]]:
    """Return at most some `POINTS` places: of each stretch the lowest and the highest, so that no peak is lost."""
    places = list(enumerate(values))
    if len(places) <= POINTS:
        return places
    every = -(-len(places) * 2 // POINTS)
    found: list[tuple[int, int | None]] = []
    for at in range(0, len(places), every):
        stretch = places[at : at + every]
        known = [(value, place) for place, value in stretch if value is not None]
        if len(known) < len(stretch):
            found.append(next(one for one in stretch if one[1] is None))
        ends = {min(known), max(known)} if known else set()
        found += sorted(((place, value) for value, place in ends), key=lambda one: one[0])
    return found
