"""What every chart shares: its colours, its type, and names that can be drawn."""

from __future__ import annotations

import functools
from collections.abc import Collection

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


@functools.cache
def fonts() -> tuple[str, ...]:
    """Return the families that texts are drawn in: the one that comes with matplotlib, then one with Hangul if any."""
    from matplotlib import font_manager  # it takes a fifth of a second

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in _HANGUL if name in installed][:1])


@functools.cache
def _drawable() -> frozenset[int]:
    from matplotlib import font_manager

    found: set[int] = set()
    for family in fonts():
        found |= set(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    return frozenset(found)


def drawable(text: str | None, otherwise: str, signs: Collection[int] | None = None) -> str:
    """Return `text` where every character of it can be drawn, else `otherwise`: a code reads better than boxes.

    `signs` are the characters that can be drawn, by number; those of the fonts that are here where none are given.
    """
    line = " ".join((text or "").split())
    if signs is None and line.isascii() and line.isprintable():
        return line or otherwise
    known = _drawable() if signs is None else signs
    return line if line and all(ord(character) in known for character in line) else otherwise


def shortened(text: str, characters: int) -> str:
    """Return `text`, cut to at most `characters` with an ellipsis."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def compact(level: float) -> str:
    """Return a number as an axis says it: 1.5M, 200k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(level) >= size:
            return f"{level / size:,g}{unit}"
    return f"{level:,g}"
