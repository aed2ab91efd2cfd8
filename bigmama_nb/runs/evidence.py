"""The archive as evidence: an attempt's files cannot be written any more, and each is compared with its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bigmama_nb.errors import UsageError
from bigmama_nb.runs import archive
from bigmama_nb.runs.record import ArchivedFile

READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True)
class Verified:
    """One archived file, whether it is as the run left it, and what was found."""

    run_id: str
    path: str
    ok: bool
    message: str


def keep(attempt_dir: Path) -> list[ArchivedFile]:
    """Make an ended attempt's files read-only; return each with its checksum.

    An editor that saves by itself then cannot change them.
    """
    kept = []
    for path in sorted(attempt_dir.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            with contextlib.suppress(OSError):
                path.chmod(path.stat().st_mode & READ_ONLY)
            kept.append(ArchivedFile(path=path.relative_to(attempt_dir.parent).as_posix(), sha256=_sha256(path)))
    return kept


def verify(root: Path, run_id: str) -> Iterator[Verified]:
    """Compare every file of a run with its recorded checksum; a record that cannot be read is the one finding."""
    folder = root / "runs" / run_id
    try:
        run = archive.read(root, run_id)
    except UsageError as error:
        yield Verified(run_id, "run.json", False, str(error))
        return
    for attempt in run.attempts:
        recorded = {one.path: one.sha256 for one in attempt.files}
        recorded |= {book.path: book.sha256 for book in attempt.notebooks if book.path and book.sha256}
        for path, sha256 in recorded.items():
            yield _compared(run_id, folder, path, sha256)


def _compared(run_id: str, folder: Path, path: str, sha256: str) -> Verified:
    place = folder / path
    try:
        found = _sha256(place)
    except OSError as error:
        return Verified(run_id, path, False, f"{place}: cannot be read ({error.strerror}); the run archived it.")
    if found == sha256:
        return Verified(run_id, path, True, f"{place}: as it was archived.")
    return Verified(
        run_id, path, False, f"{place}: changed since it was archived (sha256 {found[:12]}…, recorded {sha256[:12]}…)."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
