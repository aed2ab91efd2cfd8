"""The review site of the trouble sample in a real browser: from what is open to the cell that tells of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from bigmama_nb.sample.games import generate
from tests.site.test_browser import PHONE, browser, page, scrolls_sideways, violations

__all__ = ["browser", "page"]

REPO = Path(__file__).resolve().parents[2]
CAUSES = {
    "source_corrupt": {"l2"},
    "wrong_type": {"bns"},
    "source_missing": {"h3", "tsm"},
    "not_ready": {"tl"},
}
"""What the sample's own profile says that is wrong with it, by reason or outcome."""


@dataclass
class Trouble:
    """The trouble sample in a folder of its own, and the command that reads it."""

    folder: Path

    @property
    def archive(self) -> Path:
        return self.folder / "out" / "archive-trouble"

    def command(self, *words: str) -> dict[str, Any]:
        profile = self.folder / "parameters" / "trouble.yaml"
        done = subprocess.run(
            [sys.executable, str(REPO / "run_all.py"), *words, "--profile", str(profile), "--json"],
            stdout=subprocess.PIPE,
            check=False,
        )
        return dict(json.loads(done.stdout))

    def url(self, path: str = "index.html") -> str:
        return (self.archive / path).as_uri()

    def run_id(self) -> str:
        return next(self.archive.glob("runs/2*")).name


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Trouble:
    """A night of the trouble sample, as its users run it."""
    made = Trouble(tmp_path_factory.mktemp("trouble"))
    (made.folder / "parameters").mkdir()
    text = (REPO / "parameters" / "sample-trouble.yaml").read_text(encoding="utf-8")
    # By another name, so that nothing makes the sample again where the test mends it.
    (made.folder / "parameters" / "trouble.yaml").write_text(text, encoding="utf-8")
    generate(made.folder / "out" / "sample-trouble" / "mongodump", trouble=True)
    assert made.command("run", "--date", "2024-05-01")["exit_status"] == 3
    return made


def problems(page: Page) -> dict[str, set[str]]:
    """Return the games of each open problem by its reason, as the front page shows them."""
    found: dict[str, set[str]] = {}
    for one in page.locator(".problem").all():
        reason = one.locator("h3 a").inner_text().partition(":")[0]
        games = one.locator("dd").first.inner_text()
        found.setdefault(reason, set()).update(game.strip() for game in games.split(","))
    return found


def at_its_cell(page: Page) -> str:
    """Return the text of the cell that the address names, which the page must show."""
    cell = page.url.partition("#")[2]
    place = page.locator(f"[id='{cell}']")
    assert place.is_visible()
    return place.inner_text()


def test_every_problem_is_two_clicks_from_its_cell(page: Page, trouble: Trouble) -> None:
    """What is open is what is wrong with the sample; each leads to its cause, and that to the cell that names it."""
    page.goto(trouble.url())
    assert problems(page) == CAUSES
    for n in range(page.locator(".problem").count()):
        page.goto(trouble.url())
        problem = page.locator(".problem").nth(n)
        games = problem.locator("dd").first.inner_text().split(", ")
        problem.locator("h3 a").click()
        page.locator(".problem:target a.to-cell").click()
        assert "/1/" in page.url
        assert games[0] in at_its_cell(page)


def test_the_keyboard_alone_gets_there(page: Page, trouble: Trouble) -> None:
    """Tab and Enter, from the front page to the cell."""
    page.goto(trouble.url())
    for wanted in (".problem h3 a", ".problem:target a.to-cell"):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
                break
        with page.expect_navigation():
            page.keyboard.press("Enter")
    assert any(game in at_its_cell(page) for games in CAUSES.values() for game in games)


def test_runs_are_filtered_by_game(page: Page, trouble: Trouble) -> None:
    """The one run has the game, and the filter stands in the address; another filter takes its place."""
    page.goto(trouble.url("runs.html"))
    page.get_by_label("game or table").select_option("l2")
    assert page.locator("#runs tr[data-n]:visible").count() == 1
    assert page.url.endswith("#game=l2")
    page.get_by_label("game or table").select_option("")
    page.get_by_label("status").select_option("partial")
    assert page.url.endswith("#status=partial")


def test_a_value_leads_to_the_notebook_that_read_it(page: Page, trouble: Trouble) -> None:
    """From the run's grid to the value in its game's page, and from there to the notebook."""
    page.goto(trouble.url(f"runs/{trouble.run_id()}/index.html"))
    page.get_by_label("lw/wau/20240501: ok").click()
    page.locator("tr:target").get_by_role("link", name="the notebook").click()
    assert page.url.endswith("/1/10_extract.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_is_accessible_and_fits_a_phone(browser: Browser, trouble: Trouble, scheme: Any) -> None:
    """axe-core finds nothing, light and dark; nothing scrolls sideways."""
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport=PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    run = f"runs/{trouble.run_id()}"
    for path in (
        "index.html", "runs.html", f"{run}/index.html", f"{run}/1/10_extract.html", f"{run}/1/20_normalize.html",
        f"{run}/1/40_write_parquet.game_metric.html", f"{run}/1/50_report.html", "games/lw.html", "games/l2.html",
        "tables/index.html", "tables/bigmama.game_metric.html", "latest/20_normalize.newest.html",
    ):  # fmt: skip
        page.goto(trouble.url(path))
        page.wait_for_url(lambda url: "/latest/" not in url)  # such a page leads on to a run's
        assert (path, [], False) == (path, violations(page), scrolls_sideways(page))
    context.close()


def test_mended_and_repaired_all_is_well(page: Page, trouble: Trouble) -> None:
    """The front page has no problem any more, and the run shows both attempts."""
    mended = generate(trouble.folder / "mended", trouble=False)
    # Without trouble the games of ncmc4 are on ncmc3.
    shutil.copytree(mended / "ncmc3", mended / "ncmc4")
    source = trouble.folder / "out" / "sample-trouble" / "mongodump"
    source.rename(trouble.folder / "before")
    mended.rename(source)
    answer = trouble.command("repair", "latest")
    assert [task["message"] for task in answer["data"]["tasks"] if task["outcome"] != "ok"] == []
    assert answer["exit_status"] == 0
    page.goto(trouble.url())
    assert page.locator(".problem").count() == 0
    assert "None" in page.locator(".well").inner_text()
    page.get_by_role("link", name=trouble.run_id()).first.click()
    assert page.get_by_role("heading", name="Attempt 1").is_visible()
    assert page.get_by_role("heading", name="Attempt 2").is_visible()
