"""The archive as tables: runs list, show, diff and verify; and what tends it: runs prune and runs site."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from bigmama_nb.cli import VerbResult, load, verb, verbs
from bigmama_nb.cli.operation import show_on_site
from bigmama_nb.cli.streams import say
from bigmama_nb.errors import StorageError, how_many, printable

_LISTED = {
    "run_id": "run_id", "status": "status", "exit_status": "exit_status", "started_at": "started_at",
    "ended_at": "ended_at", "from": "date_from", "to": "date_to",
}  # fmt: skip
"""The JSON of `runs list`, and the index's columns for it."""


@verbs.group("runs")
def runs() -> None:
    """The archive as tables."""


@verb("list", runs, example="runs list")
def list_runs(profile: str | None) -> VerbResult:
    """List the recorded runs, latest first."""
    from bigmama_nb.runs import show
    from bigmama_nb.site import index

    folder = Path(load(profile).archive.uri)
    with index.opened(folder) as found:
        recorded = found.runs()[::-1]
    for run in recorded:
        if run["why"] is not None:
            say(run["why"])
    listed = [{name: run[column] for name, column in _LISTED.items()} for run in recorded]
    rows = [
        (run["run_id"], run["status"], run["exit_status"], show.at(run["started_at"]), show.at(run["ended_at"]),
         run["from"], run["to"])
        for run in listed
    ]  # fmt: skip
    heads = ("run", "status", "exit", "started (UTC)", "ended (UTC)", "from", "to")
    return VerbResult(listed, show.table(rows, heads) if rows else f"{folder}: no run is recorded here.")


@verb("prune", runs, example="runs prune --plan")
@click.option("--plan", "only_plan", is_flag=True, help="Only list what would be dropped.")
@click.option("--reason", help="Why; the run's record keeps it.")
def prune_runs(profile: str | None, only_plan: bool, reason: str | None) -> VerbResult:
    """Drop runs older than keep_days, and superseded files past their grace; never what a current row came from."""
    from bigmama_nb.runs.prune import prune

    read = load(profile)
    dropped = [f"{one.kind} {one.name}" for one in prune(read, datetime.now(UTC), only_plan=only_plan, reason=reason)]
    if dropped and not only_plan:
        show_on_site(read)
    text = "\n".join([*dropped, f"{len(dropped):,} {'to drop' if only_plan else 'dropped'}."])
    return VerbResult([{"task": name, "action": "drop"} for name in dropped] if only_plan else {"text": text}, text)


@verb("site", runs, example="runs site")
def build_site(profile: str | None) -> VerbResult:
    """Build the review site again from the records: archive/index.html and all that it leads to."""
    from bigmama_nb.site.build import build

    read = load(profile)
    front = Path(read.archive.uri) / "index.html"
    try:
        built = build(read, everything=True)
    except OSError as error:
        raise StorageError(
            f"{read.archive.uri}: the review site cannot be written ({error}). Records and figures are as they were; "
            "make room or mend the folder's rights, then run 'run_all.py runs site' again.",
            place=read.archive.uri,
        ) from None
    return VerbResult({"path": str(front)}, f"{front}: {how_many(built.runs, 'run')}.")


@verb("show", runs, example="runs show latest")
@click.argument("run_name", metavar="RUN")
def show_run(profile: str | None, run_name: str) -> VerbResult:
    """Show a run: its outcome, what failed and why, its attempts, notebooks and load."""
    from bigmama_nb.runs import archive, show
    from bigmama_nb.site import index

    folder = Path(load(profile).archive.uri)
    run = archive.read(folder, index.find(folder, run_name))
    return VerbResult(run.as_json(), show.shown(run, str(folder)))


@verb("diff", runs, example="runs diff previous latest")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--notebook", metavar="STAGE", help="Compare this stage's notebooks cell by cell; nbdime does it.")
def diff_runs(profile: str | None, first: str, second: str, notebook: str | None) -> VerbResult:
    """Show what differs between two runs: tasks, values, causes, durations, profile and code. Exit 1 where they differ.

    A run is named by its id, latest, latest-ok, or previous: the run before the other of its profile and pipelines.
    """
    from bigmama_nb.runs import diff

    folder = Path(load(profile).archive.uri)
    a, b = diff.pair(folder, first, second)
    heading = f"{a.run_id} … {b.run_id}"
    if notebook is not None:
        text = diff.notebooks(folder, a, b, notebook)
        return VerbResult({"text": text}, text or f"{heading}: {notebook} is the same.", int(bool(text)))
    found = diff.differences(a, b)
    lines = [heading, *(printable(str(one)) for one in found)] if found else [f"{heading}: the same."]
    return VerbResult([one.as_json() for one in found], "\n".join(lines), int(bool(found)))


@verb("verify", runs, example="runs verify latest")
@click.argument("run_name", metavar="RUN", required=False)
def verify_runs(profile: str | None, run_name: str | None) -> VerbResult:
    """Compare every archived file of RUN, or of all runs, with the checksum that the run recorded.

    Exit status: 0 all are as they were, 1 one is changed, missing or has no readable record.
    """
    from bigmama_nb.runs import archive
    from bigmama_nb.runs.evidence import verify

    folder = Path(load(profile).archive.uri)
    ids = archive.run_ids(folder) if run_name is None else [archive.find(folder, run_name)]
    found = [one for run_id in ids for one in verify(folder, run_id)]
    bad = [one for one in found if not one.ok]
    lines = [one.message for one in bad]
    files = f"{how_many(len(found), 'file')} of {how_many(len(ids), 'run')}"
    lines.append(f"{len(found) - len(bad):,} of {files} are as they were archived.")
    data = [{"run_id": one.run_id, "path": one.path, "ok": one.ok, "message": one.message} for one in found]
    return VerbResult(data, "\n".join(lines), 1 if bad else 0)
