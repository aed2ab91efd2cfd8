"""What the verbs that publish share: who is spoken to meanwhile, and what the finished run comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bigmama_nb.cli import VerbResult
from bigmama_nb.cli.progress import speaking
from bigmama_nb.cli.streams import say
from bigmama_nb.executor.spared_imports import arrow_without_pandas
from bigmama_nb.profile import Profile

if TYPE_CHECKING:
    from bigmama_nb.runs.record import RunRecord
    from bigmama_nb.runs.services import Operator, Services
    from bigmama_nb.runs.signals import Stop


@contextmanager
def operated(profile: Profile) -> Iterator[Operator]:
    """Give who is spoken to and may end the work, for as long as it lasts."""
    from bigmama_nb.runs.services import Operator
    from bigmama_nb.runs.signals import stopped_by_signals

    arrow_without_pandas()
    with stopped_by_signals() as stop, speaking() as say:
        yield Operator(say, stop, services(), lambda run, why: _broke_off(run, profile, why))


def services() -> Services:
    """Return what this command works with: what `main` was given, else the real things."""
    from bigmama_nb.runs.services import Services

    return click.get_current_context().find_object(Services) or Services()


def finished(run: RunRecord, profile: Profile) -> VerbResult:
    """Return what a run comes to, shown on the review site and told to those whom the profile alerts."""
    status = run.exit_status
    assert status is not None
    error = None
    if status == 75:
        locked = next(task for task in run.tasks if task.reason == "locked")
        error = {"reason": "locked", "message": str(locked.message)}
    show_on_site(profile)
    return VerbResult(run.as_json(), _told(run, profile), status, error)


def all_finished(runs: Sequence[RunRecord], profile: Profile, stop: Stop) -> VerbResult:
    """Return what several runs come to, shown and told as one is, and the exit status of all their tasks together."""
    from bigmama_nb.runs.record import exit_status

    show_on_site(profile)
    status = exit_status([task for run in runs for task in run.tasks], stop.signum)
    if status == 0:
        status = max((run.exit_status or 0 for run in runs), default=0)
    text = "\n\n".join(_told(run, profile) for run in runs)
    return VerbResult([run.as_json() for run in runs], text or "Nothing is open.", status)


def _broke_off(run: RunRecord, profile: Profile, why: BaseException) -> None:
    """Show and tell of a run that an error ended; where its record could not say so, the error does."""
    show_on_site(profile)
    if run.status != "running":
        _told(run, profile)
    else:
        well = any(task.published == "yes" for task in run.tasks)
        _tell(run.model_copy(update={"status": "partial" if well else "failed"}), profile, str(why))


def _told(run: RunRecord, profile: Profile) -> str:
    """Return a run in words, told to those whom the profile alerts."""
    from bigmama_nb.runs import show

    digest = show.summary(run, profile.archive.uri)
    _tell(run, profile, digest)
    return digest


def _tell(run: RunRecord, profile: Profile, digest: str) -> None:
    from bigmama_nb.alerts import after_run

    for warning in after_run(profile, run, digest, services().pause):
        say(warning)


def show_on_site(profile: Profile) -> None:
    """Bring the review site up to the records; that it cannot be is a warning and changes nothing of the run."""
    try:
        from bigmama_nb.site.build import build

        built = build(profile)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        say(
            f"{profile.archive.uri}: the review site could not be brought up to date ({why}). Records, figures and "
            "the pages before are as they were; 'run_all.py runs site' builds it again."
        )
    else:
        if built.left:
            say(f"{built.left:,} older runs have no page yet; 'run_all.py runs site' builds them.")
