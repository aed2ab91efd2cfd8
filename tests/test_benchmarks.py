"""What a benchmark found stands in docs/benchmarks.md where its marks are, and nothing else of the page changes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import names
from benchmarks.measure import REPO
from benchmarks.results import Plot, Result, write

PAGE = "# Benchmarks\n\nBefore.\n\n<!-- measured: {0} -->\n\nold\n\n<!-- end of {0} -->\n\nAfter: \\1.\n"


def test_a_result_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Its table, its plot and the versions stand between its marks, however often it is written."""
    (tmp_path / "images").mkdir()
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE.format("speed"), encoding="utf-8")
    plot = Plot("seconds", {"small": {"ours": 1.0, "theirs": 2.0}, "large": {"ours": 3.0}})

    for figure in ("first", r"second \1"):
        write(Result("speed", f"| a |\n| --- |\n| {figure} |", plot), tmp_path)

    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n\nBefore.\n\n<!-- measured: speed -->\n\n| a |\n| --- |\n| second \\1 |\n")
    assert text.endswith("<!-- end of speed -->\n\nAfter: \\1.\n")
    assert "old" not in text
    assert "first" not in text
    assert "duckdb" in text
    assert "![seconds](images/bench-speed.svg)" in text
    drawn = ElementTree.parse(tmp_path / "images" / "bench-speed.svg")
    assert {"ours", "theirs", "small", "large"} <= set(drawn.getroot().itertext())


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    """The error names the page and the marks."""
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE.format("speed"), encoding="utf-8")

    with pytest.raises(ValueError, match=r"benchmarks\.md has no lines '<!-- measured: size -->'"):
        write(Result("size", "new"), tmp_path)

    assert page.read_text(encoding="utf-8") == PAGE.format("speed")


def test_every_benchmark_is_named_by_its_module() -> None:
    """`python -m benchmarks` finds them, and the page has a place for what each finds."""
    assert {"archive", "extract", "figure", "live_play", "runs", "spark", "year"} == set(names())
    page = (REPO / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- measured: (\w+) -->", page)) == set(names())
