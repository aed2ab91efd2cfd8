"""The pictures: deterministic, legible at every size, and drawn from any text without a warning."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from bigmama_nb.reports import outcome_grid, style
from bigmama_nb.reports.picture import Picture
from bigmama_nb.reports.shown import OUTCOME_MARKS
from bigmama_nb.reports.style import OUTCOME_COLOURS

DAYS = [f"{date(2024, 2, 2) + timedelta(days=n):%Y%m%d}" for n in range(90)]


def grid(
    games: int, days: list[str], metrics: list[str], ill: dict[tuple[str, str, str], str] | None = None
) -> pd.DataFrame:
    rows = []
    for number in range(games):
        for metric in metrics:
            for dt in days:
                outcome = (ill or {}).get((f"g{number:03d}", metric, dt), "ok")
                rows.append((f"g{number:03d}", metric, dt, outcome, None, None, "yes" if outcome == "ok" else "no"))
    return pd.DataFrame(rows, columns=["game_cd", "type", "dt", "outcome", "reason", "message", "published"])


def points(line: Line2D) -> int:
    """How many points a line is drawn through."""
    return np.size(line.get_xdata(orig=False))


def parts(picture: Picture, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture.svg()).findall(f"{{http://www.w3.org/2000/svg}}{name}")


def texts(picture: Picture) -> list[str]:
    return [str(text.text) for text in parts(picture, "text")]


def cells(picture: Picture) -> Counter[str]:
    """Count the cells of the grid by outcome, without those of the legend, of which each outcome has one."""
    names = {colour: outcome for outcome, colour in OUTCOME_COLOURS.items()}
    found: Counter[str] = Counter()
    for path in parts(picture, "path"):
        found[names.get(path.attrib["fill"], "not asked")] += path.attrib["d"].count("M")
    return Counter({name: count - (name != "not asked") for name, count in found.items()})


ILL = {
    ("g001", "wau", "20240501"): "failed",
    ("g001", "revenue", "20240501"): "suspect",
    ("g002", "wau", "20240501"): "not_ready",
    ("g003", "wau", "20240430"): "skipped",
}


def test_every_task_has_a_cell_of_its_outcome() -> None:
    """12 games × 90 days × 2 metrics: 2,160 cells, and one for each thing that went wrong."""
    chart = outcome_grid(grid(12, DAYS, ["wau", "revenue"], ILL))
    assert cells(chart) == {"ok": 2156, "failed": 1, "suspect": 1, "not_ready": 1, "skipped": 1}
    assert {"ok 2,156", "failed 1", "suspect 1", "not ready 1", "skipped 1"} <= set(texts(chart))


def test_pair_that_was_not_asked_is_empty() -> None:
    """An empty cell is neither good nor bad."""
    found = grid(3, DAYS, ["wau", "revenue"])
    found = found[(found["game_cd"] != "g001") | (found["dt"] != "20240501")]
    assert cells(outcome_grid(found)) == {"ok": 538, "not asked": 2}


def test_one_day_of_three_hundred_games_stays_legible() -> None:
    """Every game has its line of text, in columns, on a page that a screen can show."""
    chart = outcome_grid(grid(300, ["20240501"], ["wau", "mau", "revenue"], ILL))
    width, height = chart.width, chart.height
    assert {f"g{number:03d}" for number in range(300)} <= set(texts(chart))
    assert width < 16
    assert height < 16
    assert sum(cells(chart).values()) == 900


def test_many_games_over_many_days_share_a_line_when_all_is_well() -> None:
    """What went wrong is not lost among 300 lines of green."""
    chart = outcome_grid(grid(300, DAYS, ["wau", "revenue"], ILL))
    assert {"297 games: all ok", "g001", "g002", "g003"} <= set(texts(chart))
    assert "g004" not in texts(chart)
    assert cells(chart)["failed"] == 1


def test_two_years_of_days_go_on_below() -> None:
    """No panel is wider than the page."""
    days = [f"{date(2023, 1, 1) + timedelta(days=n):%Y%m%d}" for n in range(730)]
    chart = outcome_grid(grid(2, days, ["wau"]))
    assert chart.width < 16
    assert texts(chart).count("wau, continued") >= 6
    assert cells(chart) == {"ok": 1460}


def test_title_is_the_run_in_a_sentence() -> None:
    """Unless another is given."""
    found = grid(2, ["20240501"], ["wau"])
    assert outcome_grid(found).says == "2 of 2 figures published"
    assert "May" in texts(outcome_grid(found, title="May"))


def test_no_task_no_cell() -> None:
    """An empty grid is a picture that says so."""
    chart = outcome_grid(grid(0, [], []))
    assert "Nothing was asked for" in texts(chart)
    assert chart.png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name",
    ["리니지W", "$\\frac{1}$", "a\nb\tc", "", "<b>&amp;</b>", "\x00", "🎮", "x" * 500, "אבג", "%s {0} \\"],
)
def test_any_name_is_drawn_without_a_warning(name: str) -> None:
    """A name that no font can draw gives way to the code; `$` begins no formula. Warnings are errors here."""
    names = {"g000": name}
    assert outcome_grid(grid(1, ["20240501"], ["wau"]), names=names).png()


def test_name_that_cannot_be_drawn_gives_way_to_the_code() -> None:
    """A row of boxes tells nobody which game it is."""
    signs = set(map(ord, "Lineage W"))
    assert style.drawable("Lineage W", "lw", signs) == "Lineage W"
    assert style.drawable("리니지W", "lw", signs) == "lw"
    assert style.drawable(None, "lw", signs) == "lw"


def test_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    """In another process, too: no version, no time, no hash order stands in the picture."""
    code = (
        "import hashlib; from tests.reports.test_charts import *; "
        "print(hashlib.sha256(outcome_grid(grid(5, DAYS, ['wau'], ILL)).png()).hexdigest())"
    )
    root = Path(__file__).parent.parent.parent
    ran = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert ran[0] == ran[1]
    assert len(ran[0]) == 65


def test_notebook_shows_the_picture_at_its_size() -> None:
    """A chart displays itself as PNG, sharp on a dense screen, and as words in a diff."""
    chart = outcome_grid(grid(12, DAYS, ["wau"], ILL))
    png, metadata = chart._repr_png_()
    height, width = matplotlib.image.imread(io.BytesIO(png)).shape[:2]
    assert (metadata["width"], metadata["height"]) == (
        pytest.approx(width * 96 / 120, abs=1),
        pytest.approx(height * 96 / 120, abs=1),
    )
    assert repr(chart) == f"<Chart: {chart.says}>"


def test_outcomes_differ_for_the_colour_blind() -> None:
    """In grey, too: failed is darkest by far, ok lightest, and each of the others has its mark."""

    def grey(colour: str) -> float:
        red, green, blue = matplotlib.colors.to_rgb(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    shades = {outcome: grey(colour) for outcome, colour in OUTCOME_COLOURS.items()}
    assert max(shades, key=shades.__getitem__) == "ok"
    assert shades["failed"] < min(shade for outcome, shade in shades.items() if outcome != "failed") - 0.1
    assert len(set(OUTCOME_MARKS.values())) == len(OUTCOME_COLOURS)
