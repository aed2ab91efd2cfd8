"""The documentation leads somewhere: every link to a file of the project has that file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_every_link_has_its_file(page: Path) -> None:
    """A link or a picture that is no web address names a file that stands there."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = [target for target in _LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_pages_link_at_all() -> None:
    """The test above looks at something."""
    assert sum(len(_LINK.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 10
