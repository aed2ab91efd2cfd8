"""The verb check: reads the profile, the notebooks' parameters and the connections, and runs nothing."""

from __future__ import annotations

import click

from bigmama_nb.cli import VerbResult, load, verb
from bigmama_nb.errors import NOTHING_RUN
from bigmama_nb.project import without_run


@verb("check", example="check --profile parameters/production.yaml")
@click.option("--publish", is_flag=True, help="Also kill a writer at every step of publishing, in a scratch table.")
def check(profile: str | None, publish: bool) -> VerbResult:
    """Read the profile, the notebooks' parameters and the connections, and run nothing.

    Exit status: 0 all is well, 1 a connection fails, 2 the profile or a notebook is wrong.
    """
    from bigmama_nb.runs.check import findings

    read = load(profile)
    found = [(one.name, one.ok, without_run(one.message)) for one in findings(read)]
    if publish:
        from bigmama_nb.warehouse.crash_test import verify_publish

        found += [(one.name, one.ok, without_run(one.message)) for one in verify_publish(read.warehouse)]
    bad = [name for name, ok, _ in found if not ok]
    lines = [f"{'ok    ' if ok else 'FAILED'}  {name}: {message}" for name, ok, message in found]
    lines.append(f"{len(found) - len(bad)} of {len(found)} checks passed. {NOTHING_RUN}.")
    data = [{"name": name, "ok": ok, "message": message} for name, ok, message in found]
    return VerbResult(data, "\n".join(lines), 1 if bad else 0)
