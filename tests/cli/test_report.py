"""The verb report: a run's report as one file to hand on."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from tests.runs.world import REPO, World


def archived(world: World) -> Path:
    """Make a run, and give it the committed 50_report with its outputs for its own; return that."""
    run_id = str(world.command("run", "--date", "2024-05-01")["data"]["run_id"])
    path = world.folder / "archive" / "runs" / run_id / "1" / "50_report.ipynb"
    path.write_bytes((REPO / "notebooks" / "50_report.ipynb").read_bytes())
    return path


def test_the_report_is_one_file_without_code(world: World, tmp_path: Path) -> None:
    """It names no other file and no address; figures are in it, code and receipt are not."""
    archived(world)
    target = tmp_path / "new" / "report.html"
    answer = world.command("report", "--to", str(target))
    assert answer["exit_status"] == 0
    assert answer["data"]["path"] == str(target)
    text = target.read_text(encoding="utf-8")
    page = text.partition('<script type="application/json"')[0]
    for word in ("<link", "<iframe", "http://", "https://", "stages.begin", "'stage': '50_report'"):
        assert word not in page, word
    assert '<script src="' not in text
    assert "<h1>Report of 1 May 2024</h1>" in page
    assert page.index("Weekly active users") < page.index("How the run went")


EVIL = (
    '<script>alert(1)</script><img src="https://example.org/x.png" onerror="alert(1)">',
    '<a href="javascript:alert(1)">a</a><a href="data:text/html,x">b</a><a href=" java&#10;script:alert(1)">c</a>',
    '<svg onload="alert(1)"><script>alert(1)</script><style>@import "https://example.org"</style></svg>',
    '<h3 id="chart-0">clobbers</h3><iframe src="x"></iframe><form action="https://example.org"></form>',
    '<meta http-equiv="refresh" content="0; url=https://example.org"><base href="https://example.org">',
)


class _Elements(HTMLParser):
    """Collects every start tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("evil", EVIL)
def test_what_stands_in_a_notebook_runs_nowhere(world: World, tmp_path: Path, evil: str) -> None:
    """Scripts, handlers, frames and addresses that an output brings are texts or gone."""
    path = archived(world)
    book = nbformat.read(path, as_version=4)
    shown = nbformat.v4.new_output("display_data", data={"text/html": evil})
    book.cells.append(nbformat.v4.new_code_cell("1", outputs=[shown]))
    nbformat.write(book, path)
    target = tmp_path / "report.html"
    assert world.command("report", "--to", str(target))["exit_status"] == 0
    body = target.read_text(encoding="utf-8").partition("<body>")[2].partition('<script type="application/json"')[0]
    elements = _Elements()
    elements.feed(body)
    for tag, attributes in elements.found:
        assert tag not in ("script", "style", "iframe", "form", "meta", "base")
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
        assert not (attributes.get("id") or "").startswith("chart-")


def test_a_run_without_a_report_is_refused(world: World, tmp_path: Path) -> None:
    """The message says how its notebook ended, and what makes one; nothing is written."""
    world.outcomes["50_report"] = "failed"
    run_id = world.command("run", "--date", "2024-05-01")["data"]["run_id"]
    answer = world.command("report", run_id, "--to", str(tmp_path / "report.html"))
    assert answer["exit_status"] == 2
    assert answer["error"]["message"] == (
        f"{run_id} has no report: its 50_report ended failed. Nothing was written; 'run_all.py repair {run_id} "
        f"--profile {world.profile}' makes one."
    )
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_is_no_notebook_is_refused(world: World, tmp_path: Path) -> None:
    """The file that cannot be read is named, and the verb that says which files are as they were."""
    path = archived(world)
    path.write_text("{", encoding="utf-8")
    answer = world.command("report", "--to", str(tmp_path / "report.html"))
    assert answer["exit_status"] == 1
    assert answer["error"]["message"].startswith(f"{path}: the report cannot be read (")
    assert "runs verify" in answer["error"]["message"]


def test_a_place_that_cannot_be_written_is_refused(world: World, tmp_path: Path) -> None:
    """A folder in place of the file: the message names it, and what is as it was."""
    archived(world)
    answer = world.command("report", "--to", str(tmp_path))
    assert answer["exit_status"] == 1
    assert answer["error"]["message"] == (
        f"{tmp_path}: the report cannot be written (Is a directory). The run and its archive are as they were; name a "
        "file in a folder that you may write."
    )


def test_the_page_of_the_archive_is_the_same_report(world: World, tmp_path: Path) -> None:
    """What `report` writes is what stands in the archive beside the notebook."""
    path = archived(world)
    assert world.command("runs", "site")["exit_status"] == 0
    target = tmp_path / "report.html"
    assert world.command("report", "--to", str(target))["exit_status"] == 0
    assert path.with_suffix(".html").read_text(encoding="utf-8") == target.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["cells"]
