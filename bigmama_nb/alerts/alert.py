"""Alerts: a run that ends other than well is told to people, and once when what was broken is well again.

Apprise knows the addresses: a profile names the variables that hold them, as they may be secrets.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable

import apprise
import tenacity
from filelock import Timeout

from bigmama_nb.alerts.history import History, learned, series
from bigmama_nb.errors import shown
from bigmama_nb.executor.redact import Redactor, addresses_in
from bigmama_nb.profile import Profile
from bigmama_nb.profile.uris import unescaped_address
from bigmama_nb.project import as_called
from bigmama_nb.runs.record import RunRecord

TRIES = 3
SHOWN = 12
"""How many series an alert names in a line."""


def send(profile: Profile, run: RunRecord, digest: str, pause: Callable[[float], None]) -> list[str]:
    """Send what a run's end calls for, and return the warnings, such as an address that does not answer.

    Args:
        run: the run's record.
        digest: the run in words, as `runs show` gives it.
        pause: rests for so many seconds between two tries.
    """
    unsent = []
    try:
        history, mended = learned(profile, run)
    except (OSError, Timeout) as error:
        reason = getattr(error, "strerror", None) or str(error)
        unsent.append(
            f"What alerts remember cannot be written to {profile.archive.uri}: {reason}. The run is as it is."
        )
        history, mended = History(), []
    kind = _kind(run, history, mended)
    if kind is None or kind not in profile.notify_on:
        return unsent
    title, body = _message(profile, run, digest, kind, history, mended)
    redactor = Redactor.of(profile)
    title, body = (as_called(shown(redactor.text(text)[0]), profile.path) for text in (title, body))
    with warnings.catch_warnings():
        # Apprise's plugins import a module that Python is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        return unsent + [why for name in profile.notify if (why := _sent(name, title, body, pause)) is not None]


def _kind(run: RunRecord, history: History, mended: list[str]) -> str | None:
    """Return what people are to be told of: failed, partial, suspect or recovered; None on a night that is well."""
    if run.status != "ok":
        return run.status
    if any(task.outcome == "suspect" for task in run.tasks):
        return "suspect"
    # Told once: when the last day of a series that was broken is well.
    names = {name.rpartition("/")[0] for name in mended}
    return "recovered" if names and not names & set(history.broken) else None


def _message(
    profile: Profile, run: RunRecord, digest: str, kind: str, history: History, mended: list[str]
) -> tuple[str, str]:
    through = run.last if run.first == run.last else f"{run.first} … {run.last}"
    title = f"bigmama-nb {kind}: {profile.path.stem}, {through}"
    lines = [digest]
    if kind == "recovered":
        lines = [f"Well again: {_names(mended)}.", digest]
    lines += _since(sorted({series(task) for task in run.tasks if not task.succeeded}), history)
    if profile.archive.url is not None:
        lines.append(f"{profile.archive.url.rstrip('/')}/runs/{run.run_id}/index.html")
    return title, "\n".join(lines)


def _since(names: list[str], history: History) -> list[str]:
    """Return since when they are open, in a line for all that are so since the same day: a night's trouble is one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name in names:
        alike.setdefault((history.since(name) or "now", history.good.get(name, "unknown")), []).append(name)
    return [f"Open since {since}, last good day {good}: {_names(own)}" for (since, good), own in sorted(alike.items())]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def _sent(variable: str, title: str, body: str, pause: Callable[[float], None]) -> str | None:
    """Send to one address and return why that could not be done, without the address."""
    address = os.environ.get(variable)
    if not address:
        return f"The variable {variable}, which should hold an address to notify, is not set. Nobody was told."
    odd = next((sign for one in addresses_in(address) if (sign := unescaped_address(one)) is not None), None)
    if odd is not None:
        return (
            f"The variable {variable} holds an address with {odd!r} where it has another meaning (not shown): a part "
            "of its password would be taken for a host. In a user or a password '@' is written as %40, '/' as %2F, "
            "':' as %3A. Nobody was told, and no host was asked for."
        )
    # Its log repeats addresses, with their tokens.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    target = apprise.Apprise()
    if not target.add(address):
        return f"The variable {variable} holds no address that Apprise knows (not shown). Nobody was told."
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda sent: not sent),
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=0.5, max=5),
        sleep=pause,
        retry_error_callback=lambda _: False,
    )
    if not retrying(lambda: bool(target.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))):
        return f"The address in {variable} did not take the alert in {TRIES} tries. The run is as it is."
    return None
