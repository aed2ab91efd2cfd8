"""What a run tells outside of its archive: an alert to people, and a textfile of metrics to Prometheus.

Neither ever changes what a run comes to: what cannot be sent or written is a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bigmama_nb.executor.redact import Redactor
from bigmama_nb.profile import Profile
from bigmama_nb.runs.record import RunRecord


def after_run(profile: Profile, run: RunRecord, digest: str, pause: Callable[[float], None] = time.sleep) -> list[str]:
    """Send the alerts that a run's end calls for and write the metrics, and return what could not be done, in words.

    Args:
        run: the run's record.
        digest: the run in words, as `runs show` gives it.
        pause: rests for so many seconds between two tries.
    """
    if run.scratch:
        return []
    try:
        return _told(profile, run, digest, pause)
    except Exception as error:
        # A library's mistake, or ours, is no reason for a run that ended to end otherwise.
        said, _ = Redactor.of(profile).text(f"{type(error).__name__}: {error}")
        return [f"Alerts or metrics broke off ({said}). The run is as it is."]


def _told(profile: Profile, run: RunRecord, digest: str, pause: Callable[[float], None]) -> list[str]:
    warnings = []
    if profile.notify:
        # Imported where it is used: most profiles notify nobody.
        from bigmama_nb.alerts.alert import send

        warnings += send(profile, run, digest, pause)
    if profile.metrics_textfile is not None:
        from bigmama_nb.alerts.metrics import write

        warnings += write(profile, run)
    return warnings
