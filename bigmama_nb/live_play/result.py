"""What a build is told and what it answers: values, never exceptions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bigmama_nb.errors import Reason
from bigmama_nb.warehouse.storage.protocol import Storage


@dataclass(frozen=True)
class Options:
    """What the profile says of the job (docs/spec/profile.md, "Keys"), and of its files' form (`warehouse`)."""

    database: str = "we_mart"
    log_days_before: int = 1
    log_days_after: int = 1
    max_rejected_share: float = 0.001
    max_live_days: int = 30
    timestamp: Literal["int64", "int96"] = "int64"
    compression: Literal["zstd", "snappy", "gzip"] = "zstd"
    file_rows: int = 12_000_000
    """Rows of `wv_live_play` in a file that executors write: 150 MB at the sample's 13 bytes a row, twice as much where
    ids are random; of no profile."""


@dataclass(frozen=True)
class Place:
    """A new folder of a storage that the executors of an engine write into."""

    location: str
    storage: Storage


@dataclass(frozen=True)
class TableFiles:
    """A table's part files of one partition, in the order of its rows, and how many rows they hold.

    Where executors wrote them, `place` is their folder and the paths are locations in its storage.
    """

    paths: tuple[Path | str, ...]
    rows: int
    place: Place | None = None

    def opened(self, path: Path | str) -> Any:
        """Return a file for pyarrow to read."""
        return path if self.place is None else self.place.storage.open(str(path))


@dataclass(frozen=True)
class SourceCount:
    """Rows of one source: as delivered (of the log: joins and leaves of counted lives), and rejected."""

    delivered: int
    rejected: int


@dataclass(frozen=True)
class Counts:
    """What stands in the run's record beside the rows.

    `duplicates` are deliveries of an event beyond the first; unmatched joins and leaves have a `post_id` that is
    null or in no usable row of `wv_live`.
    """

    sources: Mapping[str, SourceCount] = field(default_factory=dict)
    unmatched_joins: int = 0
    unmatched_leaves: int = 0
    joins: int = 0
    leaves: int = 0
    duplicates: int = 0
    lives: int = 0
    viewer_buckets: int = 0

    @property
    def rejected(self) -> int:
        """Rejected rows of all sources."""
        return sum(count.rejected for count in self.sources.values())

    @property
    def rejected_share(self) -> float:
        """The largest share of any source."""
        return max((c.rejected / c.delivered for c in self.sources.values() if c.delivered), default=0.0)


@dataclass(frozen=True)
class Built:
    """What became of one partition.

    `tables` maps each table's name without database to its files, and is empty unless the outcome is `ok` or
    `suspect`. `through` is the last date of the log that is in it; `final` says that no later one is wanted, and
    `inputs` what the log's dates were (`source_files.told`), `files` every source's (`source_files.as_input`).
    """

    partition: str
    outcome: Literal["ok", "suspect", "not_ready", "failed"]
    tables: Mapping[str, TableFiles] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    final: bool = False
    through: dt.date | None = None
    inputs: str | None = None
    files: tuple[dict[str, Any], ...] = ()
    reason: Reason | None = None
    message: str | None = None
    place: str | None = None
