"""The verb that hands a run's report on: report."""

from __future__ import annotations

from pathlib import Path

import click

from bigmama_nb.cli import VerbResult, load, verb
from bigmama_nb.errors import StorageError, UsageError, with_state


@verb("report", example="report latest --to out/report.html")
@click.argument("run_name", metavar="RUN", default="latest")
@click.option("--to", "target", metavar="FILE", required=True, help="Where the page is written; one there is replaced.")
def report(profile: str | None, run_name: str, target: str) -> VerbResult:
    """Write RUN's report as one file, which needs no network: to look at, to send, to print."""
    from bigmama_nb.runs import archive
    from bigmama_nb.runs.record import REPORT
    from bigmama_nb.site import notebooks, pages, report

    found = load(profile)
    root = Path(found.archive.uri)
    run_id = archive.find(root, run_name)
    books = [book for one in archive.read(root, run_id).attempts for book in one.notebooks if book.stage == REPORT]
    done = [book.path for book in books if book.outcome == "ok" and book.path]
    if not done:
        ended = f"its {REPORT} ended {books[-1].outcome}" if books else f"it came to no {REPORT}"
        raise UsageError(
            f"{run_id} has no report: {ended}",
            state="Nothing was written",
            step=f"'run_all.py repair {run_id}' makes one",
        )
    source, path = root / "runs" / run_id / done[-1], Path(target)
    try:
        text = report.page(source.read_text(encoding="utf-8"), pages.Writer(root, found.zone))
    except notebooks.UNREADABLE as error:
        raise StorageError(
            with_state(
                f"{source}: the report cannot be read ({error})",
                "Nothing was written",
                f"'run_all.py runs verify {run_id}' says which files are as they were",
            ),
            place=str(source),
        ) from None
    try:
        pages.replace(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(
            f"{path}: the report cannot be written ({error.strerror}). The run and its archive are as they were; name "
            "a file in a folder that you may write.",
            place=str(path),
        ) from None
    return VerbResult({"run_id": run_id, "path": str(path)}, f"{path}: the report of {run_id}.")
