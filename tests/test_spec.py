"""The specification is in the project: what a docstring points to is there, and says what the code's lists say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bigmama_nb.errors import REASONS
from bigmama_nb.tables.live.sources import SOURCES

REPO = Path(__file__).parent.parent
MODULES = sorted(path for room in ("bigmama_nb", "tests", "benchmarks") for path in (REPO / room).rglob("*.py"))
PAGE = r"[\w/]+\.md"


def pointers(module: Path) -> list[tuple[str, str | None]]:
    """Return what a module's text points to: a page, and a heading of it where one is named."""
    text = re.sub(r"\s*\n\s*#?\s*", " ", module.read_text("utf-8"))
    found: list[tuple[str, str | None]] = []
    for page, rest in re.findall(rf'\b(docs/{PAGE})((?:,? (?:and )?"[A-Z][^"]+")*)', text):
        found += [(page, heading) for heading in re.findall(r'"([^"]+)"', rest)] or [(page, None)]
    return found


def headings(page: str) -> set[str]:
    """Return the headings of a page."""
    return set(re.findall(r"^#+ (.+)$", (REPO / page).read_text("utf-8"), flags=re.MULTILINE))


def test_every_pointer_leads_to_a_page_and_its_heading() -> None:
    """Whoever follows a docstring's source finds the page, and the heading that it names in it."""
    lost = []
    count = 0
    for module in MODULES:
        if module == Path(__file__):
            continue
        for page, heading in pointers(module):
            count += 1
            if not (REPO / page).is_file() or (heading is not None and heading not in headings(page)):
                lost.append(f"{module.relative_to(REPO)}: {page}, {heading}")
    assert lost == []
    assert count > 40


def test_no_docstring_names_a_page_without_its_folder() -> None:
    """`publishing.md` alone is a page that nobody finds: pointers name docs/spec/publishing.md."""
    pages = {page.name for page in (REPO / "docs/spec").glob("*.md")} - {"wv_live_play.md"}
    old = {"parameters.md", "runs.md", "lessons.md"}
    bare = [
        f"{module.relative_to(REPO)}: {name}"
        for module in MODULES
        if module != Path(__file__)
        for name in re.findall(rf"(?<![\w/])({PAGE})", module.read_text("utf-8"))
        if name in pages | old
    ]
    assert bare == []


def test_the_reason_classes_are_those_of_the_code() -> None:
    """The specification's closed list and the code's are one."""
    page = (REPO / "docs/spec/values_and_reasons.md").read_text("utf-8").partition("## Reason classes")[2]
    assert sorted(re.findall(r"`([a-z_]+)`(?!\.)", page.partition("| --- |")[2])) == sorted(REASONS)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_of_live_viewing_has_the_columns_of_its_contract(source: object) -> None:
    """Columns, their order, and which may be null stand in the specification as in the contract."""
    from bigmama_nb.tables.contract import Table

    assert isinstance(source, Table)
    page = (REPO / "docs/spec/wv_live_play.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(source.full_name)}` \| (.+) \|$", page, flags=re.MULTILINE)
    written = [(name, bool(mark)) for name, mark in re.findall(r"`(\w+)`(\?)?", row)]
    assert written == [(column.name, column.nullable) for column in source.columns]
