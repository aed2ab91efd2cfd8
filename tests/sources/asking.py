"""Asks of the tests: a profile written as a user would write it, read back, and extracted."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import bson
from ruamel.yaml import YAML

from bigmama_nb import periods, profile
from bigmama_nb.profile import Profile
from bigmama_nb.sources import Source
from bigmama_nb.sources.dump import Dump
from bigmama_nb.sources.extract import Extraction, extract
from bigmama_nb.sources.mongo import Mongo
from bigmama_nb.sources.outcome import Outcome

Documents = Sequence[Mapping[str, Any]]


def write_dump(folder: Path, database: str, collections: Mapping[str, Documents], *, packed: bool = False) -> None:
    """Write documents as mongodump does."""
    (folder / database).mkdir(parents=True, exist_ok=True)
    for name, documents in collections.items():
        content = b"".join(map(bson.encode, documents))
        if packed:
            (folder / database / f"{name}.bson.gz").write_bytes(gzip.compress(content))
        else:
            (folder / database / f"{name}.bson").write_bytes(content)


def a_profile(folder: Path, **sections: Any) -> Profile:
    """Write a profile with these sections and read it."""
    path = folder / "profile.yaml"
    plain = {
        "timezone": "Asia/Seoul",
        "warehouse": {"uri": "warehouse"},
        "archive": {"uri": "archive"},
        **sections,
    }
    with path.open("w") as file:
        YAML().dump(plain, file)
    return profile.read(path)


def ask(read: Profile, first: date, last: date | None = None, **options: Any) -> Extraction:
    """Extract what the days ask for."""
    return extract(read, periods.asks(read, first, last or first), run_id="20240502T020304Z-1a2b3c", **options)


def connecting(live: type[Mongo] = Mongo, dump: type[Dump] = Dump, **options: Any) -> Callable[..., Source]:
    """Return what connects `extract` to clusters: to live ones as `live` with `options`, to dumps as `dump`."""

    def connect(profile: Profile, cluster: str, **given: Any) -> Source:
        settings = profile.clusters[cluster]
        if settings.dump is not None:
            return dump(cluster, settings.dump, profile.zone, check=given["check"])
        return live(cluster, settings, profile.zone, **given, **options)

    return connect


def by_task(extraction: Extraction) -> dict[str, Outcome]:
    """The outcomes by their tasks' names."""
    return {outcome.task: outcome for outcome in extraction.outcomes}


def said(outcome: Outcome) -> int | str:
    """An outcome in short: the value, `not_ready`, or the reason class."""
    if outcome.outcome == "ok":
        assert type(outcome.value) is int
        assert outcome.reason is None
        return outcome.value
    assert outcome.value is None
    assert outcome.message
    return outcome.reason or outcome.outcome
