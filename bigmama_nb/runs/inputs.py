"""What a run read, and which of it is not what it was any more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from bigmama_nb.errors import StorageError
from bigmama_nb.profile import Profile
from bigmama_nb.project import ROOT
from bigmama_nb.runs.record import Json, RunRecord
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.protocol import Stored


def changed_inputs(profile: Profile, run: RunRecord) -> Iterator[str]:
    """Give the inputs of a run that are gone or not what they were, as its record names them.

    A file is known by its checksum; where the record has none, by its size and when it was changed.
    """
    elsewhere = _elsewhere(profile, [one["path"] for one in run.inputs if "://" in one["path"]])
    for one in run.inputs:
        same = _is_same(one, elsewhere.get(one["path"])) if "://" in one["path"] else _is_same_here(one)
        if not same:
            yield one["path"]


def _is_same_here(then: Json) -> bool:
    path = ROOT / then["path"]
    try:
        status = path.stat()
        if status.st_size != then["size"]:
            return False
        if "sha256" in then:
            with path.open("rb") as content:
                return bool(hashlib.file_digest(content, "sha256").hexdigest() == then["sha256"])
    except OSError:
        return False
    return datetime.fromtimestamp(status.st_mtime, UTC) == datetime.fromisoformat(then["modified"])


def _is_same(then: Json, now: Stored | None) -> bool:
    return now is not None and (now.bytes, now.modified.astimezone(UTC).isoformat()) == (then["size"], then["modified"])


def _elsewhere(profile: Profile, paths: list[str]) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        same = folder.partition("://")[0] == profile.warehouse.uri.partition("://")[0]
        try:
            listed = open_storage(folder, profile.warehouse.storage_options if same else {}).list(folder)
        except StorageError:
            continue
        found |= {one.location: one for one in listed}
    return found
