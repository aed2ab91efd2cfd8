"""Republishing: the figures of a run go to another warehouse, and no source is asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from bigmama_nb.errors import UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.runs import archive, artifacts
from bigmama_nb.runs.attempt import Say
from bigmama_nb.runs.outcome import succeeded
from bigmama_nb.runs.plan import Grid, Request
from bigmama_nb.runs.record import Json
from bigmama_nb.runs.run import Options, publish_figures
from bigmama_nb.runs.signals import Stop
from bigmama_nb.runs.task import Task, recorded


def republish(profile: Profile, name: str, options: Options, say: Say, stop: Stop) -> Json:
    """Publish a run's figures to the warehouse of `profile`, as a run of its own in that profile's archive.

    Args:
        profile: says where to publish and where to record it.
        name: a run in the profile's archive, or the folder of a run in another archive.

    Returns:
        The new run's record, which names the run that the figures come from.

    Raises:
        UsageError: there is no such run, or it has no figures of games.
        StorageError: its figures are no longer there, or the archive cannot be written.
    """
    run_dir = _run_dir(profile, name)
    data = archive.read(run_dir.parent.parent, run_dir.name)
    figures = _figures(run_dir, data)
    left = [entry["id"] for entry in data["tasks"] if entry["pipeline"] != "game_metric"]
    if left:
        say(f"{len(left):,} partitions of live viewing are left alone; 'run --pipelines live_play' builds them there.")
    if not figures:
        raise UsageError(f"{run_dir.name} published no figure of a game. Nothing was done.")
    first, last = date.fromisoformat(data["from"]), date.fromisoformat(data["to"])
    request = Request(data["from"], data["to"], tuple(data["games"]), tuple(data["metrics"]))
    grid = Grid(first, last, ("game_metric",), tuple(figures))
    return publish_figures(profile, grid, request, options, say, stop, verb="republish", note={"of": run_dir.name})


def _run_dir(profile: Profile, name: str) -> Path:
    folder = Path(name)
    if (folder / "run.json").is_file():
        return folder.absolute()
    root = Path(profile.archive.uri)
    return root / "runs" / archive.find(root, name)


def _figures(run_dir: Path, data: Json) -> list[Task]:
    """Return the tasks that were published, with their figures and where those were read."""
    handed: dict[int, dict[str, Task]] = {}
    found = []
    for task, entry in zip(recorded(data), data["tasks"], strict=True):
        if task.pipeline != "game_metric" or not succeeded(entry):
            continue
        attempt = entry["attempt"]
        if attempt not in handed:
            tasks = artifacts.read_tasks(run_dir / str(attempt), artifacts.NORMALIZED)
            handed[attempt] = {one.id: one for one in tasks}
        found.append(replace(handed[attempt][task.id], outcome="ok", message=None, published="no"))
    return found
