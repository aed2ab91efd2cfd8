"""The review site: made of the records at the end of every run, only what changed, or all of it again.

The pages are derived: deleting them loses nothing. A run's page bears its record's time, by which it is known to be
up to date. One process at a time writes; each reads the records after it has its turn, so that two runs at once both
end up in the pages.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bigmama_nb.profile import Profile
from bigmama_nb.site import front, games, index, listing, lives, notebooks, report, run_page, tables
from bigmama_nb.site.pages import Writer, drop_others

OLDER_AT_ONCE = 20
"""How many runs without a page get one at the end of another run; `runs site` makes them all."""


@dataclass(frozen=True)
class Built:
    """What was made: how many runs' pages, and of how many runs there is none yet."""

    runs: int
    left: int


def build(profile: Profile, *, everything: bool = False) -> Built:
    """Bring the pages of a profile's archive up to its records; with `everything` make all of them again.

    Raises:
        OSError: the archive cannot be written, or its index not be made; pages that were made stand.
    """
    root = Path(profile.archive.uri)
    writer = Writer(root, profile.zone)
    with _one_at_a_time(root), index.opened(root) as found:
        writer.assets()
        runs = found.runs(names=True)
        behind = [run for run in runs if run["why"] is None and (everything or _is_behind(root, run))]
        now = behind if everything else behind[-OLDER_AT_ONCE:]
        for run in now:
            _run(writer, found, run)
        names = None if everything else games.touched(found, [run["no"] for run in now])
        games.write(writer, found, profile, names)
        lives.write(writer, found, profile, None if everything else [run["no"] for run in now])
        tables.write(writer, found, profile)
        has_page = {run["run_id"] for run in runs if _page(root, run).is_file()}
        front.write(writer, found, runs, has_page, profile)
        listing.write(writer, runs, has_page, everything=everything)
        _latest(writer, found)
        return Built(len(now), len(behind) - len(now))


def _run(writer: Writer, found: index.Index, run: index.RunRow) -> None:
    for book in found.rows("select attempt, stem, outcome from notebook where run = ?", (run["no"],)):
        # Of one that failed a page says where.
        is_report = book["stem"] == report.STEM and book["outcome"] == "ok"
        (report if is_report else notebooks).write(writer, run["run_id"], book["attempt"], book["stem"])
    run_page.write(writer, found, run)
    with contextlib.suppress(OSError):
        os.utime(_page(writer.root, run), ns=(run["mtime"], run["mtime"]))


def _page(root: Path, run: index.RunRow) -> Path:
    return root / "runs" / str(run["run_id"]) / "index.html"


def _is_behind(root: Path, run: index.RunRow) -> bool:
    if run["status"] in ("running", "abandoned"):
        return True
    try:
        return bool(_page(root, run).stat().st_mtime_ns != run["mtime"])
    except OSError:
        return True


def _latest(writer: Writer, found: index.Index) -> None:
    kept = set()
    for suffix, condition in (("", "and b.outcome = 'ok'"), (".newest", "")):
        for book in found.rows(
            f"""select b.stem, b.attempt, b.outcome, r.run_id, r.date_to, max(r.started_at || '/' || b.attempt)
                from notebook b join run r on r.no = b.run where r.scratch = 0 {condition} group by b.stem"""
        ):
            path = f"latest/{book['stem']}{suffix}.html"
            kept.add(writer.root / path)
            writer.page(path, "latest.html", book=book, is_good=not suffix)
    drop_others(writer.root / "latest", kept)


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".site.lock"):
        yield
