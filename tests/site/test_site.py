"""When the review site is made, and what it costs a run where it cannot be."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import vl_convert

from bigmama_nb import profile as profiles
from bigmama_nb.site import causes, index, listing
from bigmama_nb.site.build import Built, build
from bigmama_nb.site.pages import Writer
from tests.runs.world import CLUSTERS, World
from tests.site.test_index import FIRST, SECOND, THIRD, record, task


def profile(folder: Path) -> profiles.Profile:
    """Return a profile of one game, with its archive in `folder`."""
    path = folder / "profile.yaml"
    path.write_text(
        "warehouse: {uri: warehouse}\narchive: {uri: archive}\nclusters: {east: {dump: dumps}}\n"
        "games: {aa: {cluster: east, database: aa}}\n"
        "metrics: {wau: {collection: daily, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day}}\n",
        encoding="utf-8",
    )
    return profiles.read(path)


def test_every_run_ends_on_the_site(world: World) -> None:
    """A run that fails, its repair, and a retraction are each on the front page when they end."""
    site = world.folder / "archive" / "index.html"
    world.break_("bb")
    run_id = world.command("run")["data"]["run_id"]
    text = site.read_text(encoding="utf-8")
    assert f"runs/{run_id}/index.html#cause-" in text
    assert f"repair {run_id} --profile" in text
    world.heal("bb")
    world.command("repair", run_id)
    assert "the newest word on every task is a success" in site.read_text(encoding="utf-8")
    world.command("retract", "aa", "wau", "20240501", "--reason", "counted <twice>")
    assert ">retract<" in site.read_text(encoding="utf-8").replace("<bdi>", ">").replace("</bdi>", "<")
    assert "counted &lt;twice&gt;" in (site.parent / "games" / "aa.html").read_text(encoding="utf-8")


def test_a_site_that_cannot_be_built_is_a_warning(world: World) -> None:
    """It changes neither the exit status nor a figure; `runs site` says what is wrong, and mends it after."""
    (world.folder / "archive").mkdir()
    (world.folder / "archive" / "assets").write_text("in the way", encoding="utf-8")
    assert world.command("run")["exit_status"] == 0
    assert "the review site could not be brought up to date" in world.said
    assert f"'run_all.py runs site --profile {world.profile}' builds it again" in world.said
    answer = world.command("runs", "site")
    assert answer["exit_status"] == 1
    assert "the review site cannot be written" in answer["error"]["message"]
    (world.folder / "archive" / "assets").unlink()
    answer = world.command("runs", "site")
    assert answer["exit_status"] == 0
    assert Path(answer["data"]["path"]).is_file()


def test_only_what_changed_is_made(tmp_path: Path) -> None:
    """A second build makes no run's page; a changed record makes its own only; `everything` makes all."""
    told = profile(tmp_path)
    archive = tmp_path / "archive"
    record(archive, FIRST, [task("aa", "20240501")])
    record(archive, SECOND, [task("aa", "20240502")])
    assert build(told) == Built(2, 0)
    assert build(told) == Built(0, 0)
    path = record(archive, FIRST, [task("aa", "20240501", "failed")], "partial")
    assert build(told) == Built(1, 0)
    assert (path.with_name("index.html")).stat().st_mtime_ns == path.stat().st_mtime_ns
    assert build(told, everything=True) == Built(2, 0)


def test_pages_of_what_is_gone_go_too(tmp_path: Path) -> None:
    """A run that was dropped takes its game's page along where no other run has the game."""
    told = profile(tmp_path)
    archive = tmp_path / "archive"
    record(archive, FIRST, [task("zz", "20240501")])
    record(archive, SECOND, [task("aa", "20240502")])
    build(told)
    assert (archive / "games" / "zz.html").is_file()
    shutil.rmtree(archive / "runs" / FIRST)
    build(told)
    assert [page.name for page in (archive / "games").iterdir()] == ["aa.html"]
    assert FIRST not in (archive / "index.html").read_text(encoding="utf-8")


def many(archive: Path, run_ids: list[str]) -> list[dict[str, Any]]:
    """Return the index's rows of as many runs as one that is recorded, oldest first."""
    record(archive, FIRST, [task("aa", "20240501")])
    with index.opened(archive) as found:
        (row,) = found.runs(names=True)
    return [{**row, "run_id": run_id} for run_id in run_ids]


def test_beyond_the_newest_runs_each_month_has_a_page(tmp_path: Path) -> None:
    """Every run is on its month's page; a new run makes its month's page anew only; a dropped month's page goes."""
    of = {
        month: [f"{month.replace('-', '')}01T020304Z-{number:06x}" for number in range(count)]
        for month, count in (("2024-03", 2), ("2024-04", 1), ("2024-05", listing.NEWEST))
    }
    archive = tmp_path / "archive"
    rows = many(archive, [run_id for runs in of.values() for run_id in runs])
    writer = Writer(archive, profile(tmp_path).zone)
    everybody = {row["run_id"] for row in rows}
    listing.write(writer, rows, everybody)
    pages = {month: archive / "months" / f"{month}.html" for month in of}
    listed = {
        month: re.findall(r'href="../runs/([^/]+)/index.html"', page.read_text()) for month, page in pages.items()
    }
    assert listed == {month: runs[::-1] for month, runs in of.items()}
    newest = (archive / "runs.html").read_text()
    assert re.findall(r'href="runs/([^/]+)/index.html"', newest) == of["2024-05"][::-1]
    assert re.findall(r'href="months/([^/]+).html"', newest) == ["2024-05", "2024-04", "2024-03"]

    before = {month: page.stat().st_ino for month, page in pages.items()}
    listing.write(writer, [*rows, {**rows[-1], "run_id": "20240502T020304Z-000000"}], everybody)
    assert [month for month, page in pages.items() if page.stat().st_ino != before[month]] == ["2024-05"]

    listing.write(writer, rows[2:], everybody)
    assert sorted(page.stem for page in (archive / "months").iterdir()) == ["2024-04", "2024-05"]
    assert "2024-03" not in pages["2024-04"].read_text()
    listing.write(writer, rows[3:], everybody)
    assert list((archive / "months").iterdir()) == []


def test_an_unreadable_record_stands_among_the_problems(tmp_path: Path) -> None:
    """One broken record stops no page, and the front page names it."""
    told = profile(tmp_path)
    archive = tmp_path / "archive"
    record(archive, FIRST, [task("aa", "20240501")])
    record(archive, SECOND, []).write_text("{", encoding="utf-8")
    build(told)
    front = (archive / "index.html").read_text(encoding="utf-8")
    assert "unreadable" in front
    assert "cannot be read" in front


def test_two_builds_at_once_leave_whole_pages(tmp_path: Path) -> None:
    """Builders wait for each other, and no draft is left."""
    told = profile(tmp_path)
    archive = tmp_path / "archive"
    for run_id in (FIRST, SECOND, THIRD):
        record(archive, run_id, [task("aa", "20240501")])
    threads = [threading.Thread(target=build, args=(told,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    front = (archive / "index.html").read_text(encoding="utf-8")
    assert all(run_id in front for run_id in (FIRST, SECOND, THIRD))
    assert front.rstrip().endswith("</html>")
    assert list(archive.rglob("*.tmp")) == []


def test_the_chart_library_is_that_of_the_pinned_package() -> None:
    """`make vega` makes just this file again, and the licences of what is in it stand beside it."""
    assets = resources.files("bigmama_nb.site") / "assets"
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert (assets / "vega.js").read_text(encoding="utf-8") == bundle
    told = (assets / "vega.LICENSES.txt").read_text(encoding="utf-8")
    assert f"Vega {vl_convert.get_vega_version()}" in told
    assert f"Vega-Embed {vl_convert.get_vega_embed_version()}" in told
    assert f"Vega-Lite {vl_convert.get_vegalite_versions()[-1]}" in told


def test_tasks_of_one_cause_are_one_problem() -> None:
    """Names and numbers do not make causes; another reason does."""
    told = [
        {"pipeline": "game_metric", "name": name, "type": "wau", "day": day, "outcome": "failed", "run_id": FIRST,
         "reason": reason, "message": f"{name} wau {day}: no answer", "last_good": day - 1, "times": 1}
        for name, day, reason in (("aa", 20240501, "auth"), ("bb", 20240502, "auth"), ("cc", 20240502, "tls"))
    ]  # fmt: skip
    found = causes.grouped(told)
    assert [(one.reason, one.names, one.days, one.last_good) for one in found] == [
        ("auth", ["aa", "bb"], (20240501, 20240502), 20240500),
        ("tls", ["cc"], (20240502, 20240502), 20240501),
    ]


def test_runs_list_says_what_the_records_say(world: World) -> None:
    """The verb answers from the index, which is as new as the records; a broken one is named and hides no other."""
    run_id = world.command("run")["data"]["run_id"]
    path = world.folder / "archive" / "runs" / run_id / "run.json"
    assert [run["run_id"] for run in world.command("runs", "list")["data"]] == [run_id]
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"status": "failed", "exit_status": 1}), encoding="utf-8")
    assert [run["status"] for run in world.command("runs", "list")["data"]] == ["failed"]
    path.write_text("{", encoding="utf-8")
    os.utime(path)
    assert [run["status"] for run in world.command("runs", "list")["data"]] == ["unreadable"]
    assert str(path) in world.said


def test_the_page_of_values_says_what_a_figure_left_out(world: World) -> None:
    """Beside its value: when it is published, when it is suspect, and when a later attempt of the day fails."""
    buyers = "collection: buyers, date: {field: dt, as: yyyymmdd}, value: {count_distinct: who}, period: day"
    world.write_profile(("metrics:\n", f"metrics:\n  buyers: {{{buyers}, checks: {{max: 5}}}}\n"))
    page = world.folder / "archive" / "games" / "aa.html"
    several = {"20240430": 2, "20240501": 9}
    documents = [
        {"_id": f"{dt}-{n}", "dt": dt, "who": who}
        for dt, count in several.items()
        for n, who in enumerate([*range(count), None, None])
    ]
    for game in CLUSTERS:
        world.write(game, "buyers", documents)
    few = "counted without 2 of 4 documents, in which buyers.who holds no value (2 null)"
    many = "counted without 2 of 11 documents, in which buyers.who holds no value (2 null)"
    arguments = ("run", "--games", "aa", "--metrics", "buyers", "--from", "2024-04-30", "--to", "2024-05-01")
    assert world.command(*arguments)["exit_status"] == 0
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert few in text
    assert many in text
    assert "suspect" in text

    world.dump("aa", "buyers").write_bytes(b"cut")
    assert world.command(*arguments)["exit_status"] == 1
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "source_corrupt" in text
    assert few in text
    assert many in text
