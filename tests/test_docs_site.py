"""The pages of docs as a site: built strictly, opened from a folder in a real browser, and no network is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Request, sync_playwright

from tests.site.test_browser import ARGUMENTS, CHROMIUM

REPO = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it: a link or an anchor that leads nowhere breaks it off."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_is_there_and_fetches_nothing(site: Path) -> None:
    """A page of docs is a page of the site, and what pages and styles load is in the folder."""
    pages = {path.relative_to(REPO / "docs").with_suffix(".html") for path in (REPO / "docs").rglob("*.md")}
    assert {page for page in pages if not (site / page).is_file()} == set()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'\bsrc="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//[^"]*"', text) == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//|@import", style.read_text(encoding="utf-8")) == [], style


def test_it_is_read_and_searched_from_a_folder(site: Path) -> None:
    """By a double click: the tour's pictures are shown, the search finds a reason, nothing is fetched."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()
        page.on("request", note)
        page.goto((site / "tour.html").as_uri())
        pictures = page.locator("article img")
        assert pictures.count() >= 3
        for number in range(pictures.count()):
            assert pictures.nth(number).evaluate("one => one.complete && one.naturalWidth > 100")
        page.locator("input[name=query]").fill("publish_unknown")
        first = page.locator(".md-search-result__link").first
        first.wait_for(state="attached")
        assert "errors.html" in " ".join(
            page.locator(".md-search-result__link").evaluate_all("all => all.map(one => one.href)")
        )
        browser.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob", "about"}
