"""The verb check: reads the profile, the notebooks' parameters and the connections, and runs nothing."""

from __future__ import annotations

from bigmama_nb.command import Done, verb
from bigmama_nb.profile import load


@verb("check", example="check --profile parameters/production.yaml")
def check(profile: str | None) -> Done:
    """Read the profile, the notebooks' parameters and the connections, and run nothing.

    Exit status: 0 all is well, 1 a connection fails, 2 the profile or a notebook is wrong.
    """
    from bigmama_nb.runs.check import findings

    read = load(profile)
    found = findings(read)
    bad = [one for one in found if not one.ok]
    lines = [f"{'ok    ' if one.ok else 'FAILED'}  {one.name}: {one.message}" for one in found]
    lines.append(f"{len(found) - len(bad)} of {len(found)} checks passed. Nothing was run.")
    data = [{"name": one.name, "ok": one.ok, "message": one.message} for one in found]
    return Done(data, "\n".join(lines), 1 if bad else 0)
