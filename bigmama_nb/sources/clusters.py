"""Work at several clusters at once, none of which can keep the others or the caller waiting."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from bigmama_nb.profile import Profile
from bigmama_nb.sources import Source
from bigmama_nb.sources.extract import open_source

T = TypeVar("T")


class _StoppedError(Exception):
    """The deadline has passed; nobody waits for this thread any more."""


def at_each(
    profile: Profile, clusters: Sequence[str], work: Callable[[str, Source], T], *, comment: str
) -> dict[str, T | Exception]:
    """Return what `work` returns for each cluster, or what it raised.

    A cluster that is not done within `extract_deadline_s` is missing. `comment` goes with each query.
    """
    deadline = time.monotonic() + profile.extract_deadline_s
    stopped = threading.Event()
    done: queue.SimpleQueue[tuple[str, T | Exception]] = queue.SimpleQueue()

    def check() -> None:
        if stopped.is_set():
            raise _StoppedError

    def at(cluster: str) -> None:
        source = open_source(profile, cluster, comment=comment, check=check, stopped=stopped, deadline=deadline)
        try:
            done.put((cluster, work(cluster, source)))
        except _StoppedError:
            return
        except Exception as error:
            # A mistake of ours costs the cluster that it met, not the others; the trace is for who corrects it.
            logging.getLogger(__name__).exception("%s", cluster)
            done.put((cluster, error))
        finally:
            source.close()

    for cluster in clusters:
        threading.Thread(target=at, args=(cluster,), name=f"{comment} {cluster}", daemon=True).start()
    found: dict[str, T | Exception] = {}
    while len(found) < len(clusters):
        try:
            cluster, result = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[cluster] = result
    stopped.set()
    return found
