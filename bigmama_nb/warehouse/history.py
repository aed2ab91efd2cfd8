"""The versions of partitions that stand in the storage, whatever the catalog points at, and which came after which.

A version is sealed by its lineage record. Two further marks stand beside it: `_held` says that it waits for its
release, `_committed-<instant>` that a pointer was moved to it again, by a release or a rollback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from bigmama_nb.errors import StorageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.lineage import Record, in_context, read_record
from bigmama_nb.warehouse.storage.protocol import SEAL, Stored, join, name_of
from bigmama_nb.warehouse.version import HELD, RUNS, Version, checksum, require_whole

COMMITTED = "_committed-"
STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class StoredVersion:
    """The folder of a version with all that stands in it."""

    warehouse: Warehouse
    table: str
    partition: str
    location: str
    files: tuple[Stored, ...]

    @property
    def name(self) -> str:
        """The version's name: `<run id>-<attempt>`."""
        return name_of(self.location)

    @property
    def sealed(self) -> bool:
        """Whether it was staged to its end."""
        return SEAL in self._names

    @property
    def held(self) -> bool:
        """Whether it waits for its release."""
        return HELD in self._names and not self._stamps

    @property
    def bytes(self) -> int:
        """How much room its files take."""
        return sum(file.bytes for file in self.files)

    @property
    def modified(self) -> datetime:
        """When its youngest file was written."""
        return max(file.modified for file in self.files)

    @cached_property
    def record(self) -> Record | None:
        """Its lineage record; None where there is none that can be read."""
        with contextlib.suppress(StorageError):
            return read_record(self.warehouse.storage, self.location) if self.sealed else None
        return None

    @property
    def order(self) -> tuple[str, str, int, int]:
        """What sorts the versions of a partition by when each was committed last; equal instants go by name."""
        run, attempt, again = _parts(self.name)
        sealed = self.record.sealed_at if self.record else None
        stamp = run[:15] if sealed is None else sealed.astimezone(UTC).strftime(STAMP)
        return max([stamp, *self._stamps]), run, attempt, again

    @property
    def _names(self) -> set[str]:
        return {name_of(file.location) for file in self.files}

    @property
    def _stamps(self) -> list[str]:
        return [name.removeprefix(COMMITTED) for name in self._names if name.startswith(COMMITTED)]


def stored_versions(
    warehouse: Warehouse, table: str, location: str, partition: str | None = None
) -> list[StoredVersion]:
    """Return the versions below the folder of a table, of one partition or (None) of all, sorted by location.

    Raises:
        StorageError: the storage cannot be read.
    """
    folder = join(location, RUNS)
    found: dict[tuple[str, str], list[Stored]] = {}
    for stored in warehouse.storage.list(folder if partition is None else join(folder, partition)):
        # Deeper than a version's files lies what a killed engine was about to write.
        of_partition, version = stored.location.rpartition(f"/{RUNS}/")[2].split("/")[:2]
        found.setdefault((of_partition, version), []).append(stored)
    return [
        StoredVersion(warehouse, table, name, join(folder, name, version), tuple(files))
        for (name, version), files in sorted(found.items())
    ]


def opened(warehouse: Warehouse, location: str) -> Version:
    """Return the version that stands at `location`, read back whole.

    Raises:
        StorageError: a file is missing, short or another than was published; or the record is.
    """
    version = Version(location, read_record(warehouse.storage, location))
    require_whole(warehouse, version)
    record = version.record
    with in_context(record.table, record.partition):
        for file in record.files:
            found = checksum(warehouse.storage, join(location, file.path))
            if found != file.sha256:
                raise StorageError(
                    f"{join(location, file.path)} has sha256 {found}, was published with {file.sha256}", place=location
                )
    return version


def newest_whole(warehouse: Warehouse, versions: list[StoredVersion]) -> Iterator[Version]:
    """Yield the versions that a pointer may stand at, the one that was committed last first; each is read back whole.

    What is held, not sealed or damaged is left out.
    """
    for stored in sorted(versions, key=lambda one: one.order, reverse=True):
        if stored.sealed and not stored.held:
            with contextlib.suppress(StorageError):
                yield opened(warehouse, stored.location)


def note_commit(warehouse: Warehouse, version: Version) -> None:
    """Say beside a version that stood before that a pointer was moved to it now, so that its order is known."""
    place = join(version.location, f"{COMMITTED}{warehouse.clock().astimezone(UTC).strftime(STAMP)}")
    # The pointer has moved by now; without the mark it is only a lost catalog that would be recovered to a later one.
    with contextlib.suppress(StorageError):
        warehouse.storage.put(place, f"{version.record.version}\n".encode())


def _parts(version: str) -> tuple[str, int, int]:
    name, _, again = version.partition(".")
    run, _, attempt = name.rpartition("-")
    if not (run and attempt.isdigit() and (again.isdigit() or not again)):
        return version, 0, 0
    return run, int(attempt), int(again or 1)
