"""The review site in a real browser: what a person gets to, by mouse and by keyboard, on a desk and on a phone."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from bigmama_nb import profile as profiles
from bigmama_nb.site import listing
from bigmama_nb.site.build import build
from bigmama_nb.site.pages import Writer
from tests.runs.live_world import LiveWorld
from tests.runs.world import World
from tests.site.test_index import FIRST, HOSTILE, record, task
from tests.site.test_site import many

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not Path(CHROMIUM).exists() and not os.environ.get("CI"):
    pytest.skip("there is no Chromium here", allow_module_level=True)

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PHONE = {"width": 360, "height": 740}
PAPER: ViewportSize = {"width": 718, "height": 1045}
"""What a printer leaves of A4, in CSS pixels."""
LONG = json.dumps(HOSTILE + "x" * 10_000)
"""A game's name and owner as a profile's YAML may hold them."""


@dataclass
class Site:
    """A world's archive after a run with trouble."""

    world: World

    @property
    def root(self) -> Path:
        return self.world.folder / "archive"

    def url(self, path: str = "index.html") -> str:
        return (self.root / path).as_uri()

    def run_id(self) -> str:
        return next(self.root.glob("runs/2*")).name


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A run of three games and a date of lives as its users do it: one game's dumps end in the midst of a document."""
    world = LiveWorld(tmp_path_factory.mktemp("site") / "world")
    world.break_("bb")
    assert world.real("run")["exit_status"] == 3
    return Site(world)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test by any error in it, and that may ask nothing of a network."""
    context = browser.new_context()
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
    )
    yield opened
    context.close()
    assert wrong == []


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def go(page: Page, site: Site, path: str) -> None:
    """Open a page of the site; one that leads on to another is followed there."""
    page.goto(site.url(path))
    page.wait_for_url(lambda url: "/latest/" not in url)


def pages(site: Site) -> list[str]:
    """Return a page of every kind."""
    run = f"runs/{site.run_id()}"
    return [
        "index.html", "runs.html", f"{run}/index.html", f"{run}/1/10_extract.html", f"{run}/1/50_report.html",
        "games/aa.html", "games/bb.html", "tables/index.html", "tables/bigmama.game_metric.html",
        "tables/bigmama.game_metric_status.html", "tables/we_mart.wv_live_play.html", "lives/2024-05-01.html",
        f"{run}/1/30_live_play.html", "latest/50_report.html",
    ]  # fmt: skip


def test_two_clicks_lead_to_the_cell_that_failed(page: Page, site: Site) -> None:
    """From the front page a problem leads to its cause in the run, and that to the notebook's cell."""
    page.goto(site.url())
    page.locator(".problem h3 a").first.click()
    page.locator(".problem:target a.to-cell").click()
    assert page.url.endswith("1/10_extract.html#cell-id=failures")
    assert "bb" in page.locator("[id='cell-id=failures']").inner_text()


def test_the_keyboard_leads_there_too(page: Page, site: Site) -> None:
    """Tab and Enter alone reach the cell."""
    page.goto(site.url())
    for wanted in (".problem h3 a", ".problem:target a.to-cell"):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
                break
        with page.expect_navigation():
            page.keyboard.press("Enter")
    assert page.url.endswith("1/10_extract.html#cell-id=failures")


def test_a_value_leads_to_its_notebook(page: Page, site: Site) -> None:
    """From a run's grid one gets to the value, and from there to the notebook that read it."""
    page.goto(site.url(f"runs/{site.run_id()}/index.html"))
    page.get_by_label("aa/wau/20240501: ok").click()
    row = page.locator("tr:target")
    assert "1,001" in row.inner_text()
    row.get_by_role("link", name="the notebook").click()
    assert page.url.endswith("/1/10_extract.html")


def test_a_date_of_lives_shows_what_the_world_holds(page: Page, site: Site) -> None:
    """The joint live's hundred viewers and their play time stand on the date's page; no viewer's id does."""
    page.goto(site.url("lives/2024-05-01.html"))
    text = page.locator("main").inner_text()
    assert "live-0501" in text
    assert "100" in page.locator("tr", has_text="live-0501").first.inner_text()
    assert not re.search(r"\b[ud]\d\d\b", text)


def test_a_table_says_what_it_is_for_and_who_made_it(page: Page, site: Site) -> None:
    """Level, notice, pipeline and the code that published it stand on its page, and its notebooks are a click away."""
    page.goto(site.url("tables/bigmama.game_metric_status.html"))
    for heading in ("Basic info", "Notice", "Columns", "Pipeline", "Change history", "Newest partitions"):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    assert page.get_by_role("region", name="Change history").locator("tbody tr").count() == 1
    page.get_by_role("link", name="40_write_parquet.game_metric").click()
    page.wait_for_url("**/40_write_parquet.game_metric.html")


def test_the_front_page_says_how_long_ago_a_run_ended(page: Page, site: Site) -> None:
    """Which only the reader's clock knows; the instant stands beside it."""
    page.goto(site.url())
    said = page.locator("table").first.locator("time").first.inner_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \((in )?\d+ minutes?( ago)?\)", said)


def test_charts_are_drawn_from_one_local_file(page: Page, site: Site) -> None:
    """A game's page draws each metric beside its table, under a policy that evaluates no text."""
    page.goto(site.url("games/aa.html"))
    page.locator(".chart svg").first.wait_for()
    assert page.locator(".chart svg").count() == page.locator("[data-chart]").count() > 0
    assert page.locator("table").count() >= page.locator("[data-chart]").count()


def test_an_archived_report_is_one_file(page: Page, site: Site, tmp_path: Path) -> None:
    """Copied elsewhere it asks nothing of anybody: its charts are drawn, and no code and no receipt is in it."""
    alone = tmp_path / "report.html"
    alone.write_bytes((site.root / f"runs/{site.run_id()}/1/50_report.html").read_bytes())
    page.goto(alone.as_uri())
    page.locator(".chart svg").first.wait_for()
    assert page.title() == "Report of 2 May 2024 · bigmama-nb"
    assert "Game metrics of 2 May 2024 – not complete" in page.locator(".ill").inner_text()
    assert "Failed: Game B" in page.locator(".ill").inner_text()
    rows = page.locator("table.figures").nth(1).locator("tbody tr")
    assert [row.locator("th").inner_text() for row in rows.all()] == ["Game C", "Game A", "Game B"]
    assert "3,002" in rows.nth(0).inner_text()
    assert page.locator(".spark").count() > 0
    text = page.locator("body").inner_text()
    assert "How the run went" in text
    for hidden in ("stages.begin", "receipt", "**Reads**", "scrapbook"):
        assert hidden not in page.content()
    assert text.index("Weekly" if "Weekly" in text else "wau") < text.index("How the run went")
    assert not page.locator("img[class^=chart-]").first.is_visible()


def test_a_report_lets_one_choose_the_game(page: Page, site: Site) -> None:
    """The chart shows the largest at first, then who is chosen."""
    page.goto(site.url(f"runs/{site.run_id()}/1/50_report.html"))
    drawn = page.locator(".chart").first
    drawn.locator("svg").wait_for()
    before = drawn.locator("svg").inner_html()
    drawn.locator("select").select_option(label="Game A")
    page.wait_for_function("before => document.querySelector('.chart svg').innerHTML !== before", arg=before)


def test_a_chart_has_the_same_days_everywhere(browser: Browser, site: Site) -> None:
    """A day is a date, not an instant: it is the same one for a reader in another zone."""
    said: dict[str, set[str]] = {}
    for zone in ("UTC", "America/Los_Angeles", "Asia/Seoul"):
        context = browser.new_context(timezone_id=zone)
        page = context.new_page()
        for path in (f"runs/{site.run_id()}/1/50_report.html", "games/aa.html"):
            page.goto(site.url(path))
            page.locator(".chart svg").first.wait_for()
            said.setdefault(path, set()).add(page.locator(".chart svg").first.text_content() or "")
        context.close()
    assert [len(texts) for texts in said.values()] == [1, 1]


def test_without_scripts_a_report_has_pictures(browser: Browser, site: Site) -> None:
    """Who runs none sees the charts as they first stand, of which game they are, and every table."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url(f"runs/{site.run_id()}/1/50_report.html"))
    picture = page.locator("img[class^=chart-]").first
    assert picture.is_visible()
    box = picture.bounding_box()
    assert box is not None
    assert box["height"] > 100
    assert page.locator("img[class^=chart-] + .says").first.inner_text() == "wau of Game C"
    context.close()


def test_a_printed_report_is_whole(page: Page, site: Site) -> None:
    """No column leaves the paper, and a chart says whose course it is."""
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    page.goto(site.url(f"runs/{site.run_id()}/1/50_report.html"))
    page.locator(".chart svg").first.wait_for()
    boxes = [table.bounding_box() for table in page.locator("table.figures").all()]
    assert boxes
    assert [box for box in boxes if box is None or box["x"] + box["width"] > PAPER["width"]] == []
    expect(page.locator(".chart select").first).to_be_visible()


def test_the_filter_stands_in_the_address(page: Page, site: Site, tmp_path: Path) -> None:
    """Runs are filtered by game, and who is sent the address sees the same."""
    root = archive(tmp_path, ["aa"])
    record(root, "20240502T020304Z-1a2b3c", [task("bb", "20240502")])
    build(profiles.read(tmp_path / "profile.yaml"))
    page.goto((root / "runs.html").as_uri())
    page.get_by_label("game or table").select_option("bb")
    assert page.locator("#runs tr[data-n]:visible").count() == 1
    assert page.url.endswith("#game=bb")
    page.goto("about:blank")
    page.goto((root / "runs.html").as_uri() + "#game=bb")
    assert page.locator("#runs tr[data-n]:visible").count() == 1
    assert "20240502T020304Z" in page.locator("#runs tr[data-n]:visible").inner_text()


def test_a_filter_goes_along_to_the_months(page: Page, tmp_path: Path) -> None:
    """By keyboard too; a month that has no run of the chosen game shows none, not all of its runs."""
    root = archive(tmp_path, ["aa"])
    run_ids = ["20240304T020304Z-1a2b3c", *(f"20240405T020304Z-{number:06x}" for number in range(listing.NEWEST))]
    rows = many(root, run_ids)
    other = {**rows[0], "names": json.dumps([["bb"], ["wau"]])}
    writer = Writer(root, profiles.read(tmp_path / "profile.yaml").zone)
    writer.assets()
    listing.write(writer, [other, *rows[1:-1], {**other, "run_id": run_ids[-1]}], run_ids)
    page.goto((root / "runs.html").as_uri())
    page.get_by_label("game or table").select_option("bb")
    expect(page.get_by_role("status")).to_have_text("1 of the newest 500 runs, of 501 in all")
    page.locator("summary").press("Enter")
    page.get_by_role("link", name="2024-03").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs of 2024-03")
    expect(page.get_by_role("status")).to_have_text("1 run")
    assert page.url.endswith("months/2024-03.html#game=bb")
    assert page.locator("#runs tr[data-n]:visible a").get_attribute("href") == f"../runs/{run_ids[0]}/index.html"
    page.goto((root / "months" / "2024-03.html").as_uri() + "#game=aa")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("0 runs")


def test_no_page_scrolls_sideways_on_a_phone(page: Page, site: Site) -> None:
    """At phone width every page fits; wide tables scroll within themselves."""
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in pages(site):
        go(page, site, path)
        assert (path, False) == (path, scrolls_sideways(page))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, site: Site, scheme: Any) -> None:
    """Every kind of page is accessible, light and dark; dark is dark."""
    # The pages' policy would refuse what axe-core puts into them.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    for path in pages(site):
        go(page, site, path)
        assert (path, []) == (path, violations(page))
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    context.close()


def archive(folder: Path, games: list[str]) -> Path:
    """Write a profile with an archive of one run of these games, and return the archive."""
    (folder / "profile.yaml").write_text(
        "warehouse: {uri: warehouse}\narchive: {uri: archive}\nclusters: {east: {dump: dumps}}\n"
        f"games: {{aa: {{name: {LONG}, owner: {LONG}, cluster: east, database: aa}}}}\n"
        "metrics: {wau: {collection: daily, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day}}\n",
        encoding="utf-8",
    )
    record(folder / "archive", FIRST, [task(game, "20240501") for game in games])
    return folder / "archive"


def test_hostile_texts_are_texts(page: Page, site: Site, tmp_path: Path) -> None:
    """Markup, colours, direction marks and ten thousand characters execute nothing and break no layout."""
    hostile = HOSTILE + "x" * 10_000
    root = archive(tmp_path, ["aa"])
    ill = task("aa", "20240502", "failed", message=hostile, place=hostile)
    odd = task(HOSTILE, "20240502", "failed", message=hostile, reason=HOSTILE, type=HOSTILE)
    record(
        root, "20240502T020304Z-1a2b3c", [ill, odd], "partial", profile={"path": hostile, "sha256": "1"},
        games=[hostile], metrics=[HOSTILE], reason=hostile, pipelines=["game_metric", HOSTILE], status_error=hostile,
    )  # fmt: skip
    build(profiles.read(tmp_path / "profile.yaml"))
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    made = sorted(root.rglob("*.html"))
    assert len(made) > 10
    for path in made:
        assert "<script>document" not in path.read_text(encoding="utf-8")
        if path.parent.name == "latest":
            continue
        page.goto(path.as_uri())
        assert page.title() != "owned"
        assert (path.name, False) == (path.name, scrolls_sideways(page))
        assert page.locator("img[src=x]").count() == 0


def test_after_the_repair_all_is_well(page: Page, site: Site) -> None:
    """Mended and repaired, the front page has no problem, and the run shows both attempts side by side."""
    site.world.heal("bb")
    assert site.world.real("repair", "latest")["exit_status"] == 0
    page.goto(site.url())
    assert page.locator(".problem").count() == 0
    assert "None" in page.locator(".well").inner_text()
    page.get_by_role("link", name=site.run_id()).first.click()
    assert page.get_by_role("heading", name="Attempt 1").is_visible()
    assert page.get_by_role("heading", name="Attempt 2").is_visible()
    page.goto(site.url("games/bb.html"))
    assert "attempt 2" in page.locator("#wau-20240501").inner_text()
