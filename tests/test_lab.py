"""JupyterLab in a real browser: who opens a notebook changes its parameters, runs all of it and sees what it shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.runs.world import REPO, World
from tests.site.test_browser import ARGUMENTS, CHROMIUM

PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with a run in its archive, and the notebooks beside it."""
    world = World(tmp_path_factory.mktemp("lab") / "project")
    assert world.real("run")["exit_status"] == 0
    shutil.copytree(REPO / "notebooks", world.folder / "notebooks")
    return world


@pytest.fixture(scope="module")
def lab(project: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JupyterLab on the project, as `make lab` starts it, on a free port."""
    runtime = tmp_path_factory.mktemp("runtime")
    # As an installation has them, whatever the environment was installed with.
    for file, place in (
        ("lab.json", "jupyter_server_config.d"),
        ("lab_settings.json", "labconfig/default_setting_overrides.d"),
    ):
        (runtime / "installed" / place).mkdir(parents=True)
        shutil.copy(REPO / "bigmama_nb" / file, runtime / "installed" / place / "bigmama_nb.json")
    environment = {
        **os.environ, "BIGMAMA_PROFILE": str(project.profile), "PYTHONPATH": str(REPO),
        "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_PATH": str(runtime / "installed"),
        "JUPYTER_CONFIG_DIR": str(runtime / "config"), "JUPYTERLAB_SETTINGS_DIR": str(runtime / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(runtime / "workspaces"), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    words = ["-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token="]
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        yield _address(server, runtime)
        server.terminate()


def _address(server: subprocess.Popen[bytes], runtime: Path) -> str:
    """Return where the server answers, once it does."""
    while server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(file.read_text(encoding="utf-8"))["url"]).replace("localhost", "127.0.0.1")
                with urllib.request.urlopen(f"{url}api/status", timeout=5):
                    return url
            except (OSError, ValueError, KeyError):
                pass
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab ended with {server.returncode}")


@pytest.fixture
def page(lab: str) -> Iterator[Page]:
    """A page that asks nobody but the server. Its addresses end in `?reset`: no tab of an earlier page comes back."""
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        context = browser.new_context(viewport={"width": 1400, "height": 1600})
        context.set_default_timeout(PATIENCE_MS)
        context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        yield context.new_page()
        browser.close()


def edit(page: Page, cell_holds: str, before: str, after: str) -> None:
    """Replace a text in the code cell that holds `cell_holds`, as somebody who types does it."""
    line = page.locator(".jp-CodeCell .cm-line", has_text=cell_holds).first
    line.scroll_into_view_if_needed()
    text = line.inner_text()
    assert before in text
    line.click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.insert_text(text.replace(before, after))


def run_all(page: Page) -> None:
    """Choose Run > Run All Cells, and wait until the last cell was run; what earlier runs left is cleared before."""
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.get_by_role("menuitem", name="Clear Outputs of All Cells").click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell .jp-InputArea-prompt").last
    expect(last).to_have_text(re.compile(r"\[\d+\]"), timeout=PATIENCE_MS)


@pytest.mark.long
def test_who_changes_the_games_and_runs_all_sees_their_chart(page: Page, lab: str) -> None:
    """50_report of one game: its chart can be used, and the other games' names are not there."""
    page.goto(f"{lab}lab/tree/notebooks/50_report.ipynb?reset")
    page.locator(".jp-CodeCell").first.wait_for()
    edit(page, "games: list", "[]", '["aa"]')
    run_all(page)
    page.locator(".jp-OutputArea .vega-embed svg, .jp-OutputArea .vega-embed canvas").first.wait_for()
    row = page.locator("table.figures tr", has=page.locator("th", has_text="Game A")).first
    expect(row).to_contain_text("1,002")
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


@pytest.mark.long
def test_an_archived_notebook_is_run_again_for_another_day(page: Page, lab: str, project: World) -> None:
    """Its days changed where the run put them, it asks for that day, in scratch: the archive's tables stay."""
    before = project.files()
    run_id = next((project.folder / "archive" / "runs").glob("2*")).name
    page.goto(f"{lab}lab/tree/archive/runs/{run_id}/1/50_report.ipynb?reset")
    page.locator(".jp-CodeCell").first.wait_for()
    edit(page, 'date_from = "', "2024-04-28", "2024-04-30")
    edit(page, 'date_to = "', "2024-05-02", "2024-04-30")
    run_all(page)
    expect(page.locator(".jp-OutputArea h1")).to_have_text("Report of 30 April 2024")
    assert project.files() == before


@pytest.mark.long
def test_the_archives_front_page_is_a_click_away(page: Page, lab: str, project: World) -> None:
    """From JupyterLab's top bar to the front page, and from there by its links to the run and its notebook."""
    run_id = next((project.folder / "archive" / "runs").glob("2*")).name
    page.goto(f"{lab}lab/tree/notebooks?reset")
    with page.context.expect_page() as opened:
        page.get_by_text("The archive's front page").click()
    front = opened.value
    expect(front.get_by_role("heading", level=1)).to_have_text("Is everything there?")
    # Its own style and script came along.
    expect(front.locator("time").first).to_contain_text("ago")
    assert front.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
    front.get_by_role("link", name=run_id).first.click()
    front.get_by_role("link", name=re.compile("10_extract")).first.click()
    expect(front).to_have_title(f"10_extract of {run_id} · bigmama-nb")
    front.get_by_role("link", name="Runs", exact=True).click()
    front.get_by_label("status").select_option("ok")
    assert front.url == f"{lab}archive/runs.html#status=ok"
