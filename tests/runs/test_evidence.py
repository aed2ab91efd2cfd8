"""The archive is evidence: what a run left cannot be changed unnoticed, nor taken for what another execution left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from bigmama_nb.executor.seal import word
from tests.runs.world import World, expected


def run_dir(world: World, data: dict[str, Any]) -> Path:
    return world.folder / "archive" / "runs" / str(data["run_id"])


def test_archived_files_are_read_only_and_verified(real_world: World) -> None:
    """Notebooks, hand-overs, profile and log; a changed one and a missing one are named, and the check says so."""
    data = real_world.real("run", "--games", "aa")["data"]
    folder = run_dir(real_world, data)
    pages = ".html"  # made anew at any time
    files = [path for path in (folder / "1").rglob("*") if path.is_file() and path.suffix != pages]
    assert {path.stat().st_mode & 0o222 for path in files} == {0}
    assert {one["path"] for one in data["attempts"][0]["files"]} == {str(path.relative_to(folder)) for path in files}
    verified = real_world.command("runs", "verify")
    assert (verified["exit_status"], {one["ok"] for one in verified["data"]}) == (0, {True})
    assert len(verified["data"]) == len(files)

    report, log = folder / "1" / "50_report.ipynb", folder / "1" / "log.jsonl"
    report.chmod(0o644)
    report.write_text(report.read_text().replace("## Metrics", "## Figures"))
    log.unlink()
    verified = real_world.command("runs", "verify", "latest")
    assert verified["exit_status"] == 1
    bad = {one["path"]: one["message"] for one in verified["data"] if not one["ok"]}
    assert set(bad) == {"1/50_report.ipynb", "1/log.jsonl"}
    assert bad["1/50_report.ipynb"].startswith(f"{report}: changed since it was archived (sha256 ")
    assert bad["1/log.jsonl"] == f"{log}: cannot be read (No such file or directory); the run archived it."
    (finding,) = [one for one in real_world.command("check")["data"] if one["name"] == "archived files"]
    assert not finding["ok"]


def test_an_archived_notebook_executed_again_is_of_its_run_but_not_its_word(
    real_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one parameter of one's own it keeps the run's profile and the others, and carries no banner of the run."""
    monkeypatch.setenv("BIGMAMA_PROFILE", "")
    data = real_world.real("run", "--games", "aa", "--metrics", "wau")["data"]
    archived = run_dir(real_world, data) / "1" / "20_normalize.ipynb"
    assert f"run {data['run_id']}, attempt 1" in nbformat.read(archived, 4).cells[0].outputs[0].data["text/markdown"]
    mine = tmp_path / "mine.ipynb"
    day = {"date_from": "2024-04-30", "date_to": "2024-04-30"}
    papermill.execute_notebook(str(archived), str(mine), day, kernel_name="python3", progress_bar=False)

    text = mine.read_text()
    assert (word(nbformat.read(archived, 4))["run"], word(nbformat.read(mine, 4))) == (data["run_id"], {})
    assert "bigmama" not in nbformat.read(mine, 4).metadata
    assert f"run {data['run_id']}, attempt 1 ·" not in text
    assert "> **ok**" not in text
    scraps = [
        payload["data"]
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", [])
        for mime, payload in output.get("data", {}).items()
        if mime.startswith("application/scrapbook")
    ]
    assert scraps == [{"stage": "20_normalize", "tasks": {"ok": 1}}]
    assert len(real_world.rows()) == len([key for key in expected("aa") if key[1] == "wau"])
