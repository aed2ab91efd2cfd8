"""The embedded catalog: SQLite in `<warehouse>/catalog.db`, locks in `<warehouse>/.locks`.

The journal is a rollback journal: WAL needs shared memory, which breaks readers on a read-only folder or a network.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from bigmama_nb.errors import (
    NOTHING_CHANGED,
    NOTHING_DONE,
    NOTHING_MOVED,
    READERS_SEE_BEFORE,
    CatalogError,
    CommitConflictError,
    PublishUnknownError,
    with_state,
)
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse.catalog.file_lock import file_lock
from bigmama_nb.warehouse.catalog.protocol import (
    Entry,
    Lock,
    Move,
    Observer,
    Pointer,
    columns_of,
    named,
    refuse_other_columns,
    unobserved,
)
from bigmama_nb.warehouse.storage.protocol import SEAL, local_path

BUSY_TIMEOUT_S = 60.0
FORMAT = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (
    full_name TEXT PRIMARY KEY, "database" TEXT NOT NULL, name TEXT NOT NULL, columns TEXT NOT NULL,
    "partition" TEXT NOT NULL, location TEXT NOT NULL, comment TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS partitions (
    full_name TEXT NOT NULL REFERENCES tables, "partition" TEXT NOT NULL, location TEXT NOT NULL, files TEXT NOT NULL,
    "rows" INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, run TEXT NOT NULL, attempt INTEGER NOT NULL,
    moved_at TEXT NOT NULL, PRIMARY KEY (full_name, "partition")
) STRICT, WITHOUT ROWID;
"""


class SqliteCatalog:
    """The catalog of one folder on one machine. Locations are kept relative, so the folder may be moved as a whole."""

    def __init__(self, uri: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """`busy_timeout_s` is how long another's transaction is waited for."""
        self._busy_timeout_s = busy_timeout_s
        self._root = local_path(uri).rstrip("/")
        self.path = Path(self._root) / "catalog.db"
        self._renewing = False

    def close(self) -> None:
        """Nothing stays open between calls: a connection that idles would hold nothing anybody needs."""

    def is_lost(self) -> bool:
        """Return whether `catalog.db` is gone, empty or no whole database, though versions stand beside it."""
        return not self._is_whole() and self._any_version() is not None

    def renew(self) -> None:
        """Make the catalog anew; a file that is no whole database is kept as `catalog.db.damaged`.

        Until `renewed` it has no format, and everybody else takes it for lost: a recovery may be killed midway.
        """
        if self._format_of_whole() is None and self.path.exists() and self.path.stat().st_size:
            self.path.replace(self.path.with_name("catalog.db.damaged"))
        self._renewing = True
        with self._writing("the catalog could not be made anew") as connection:
            connection.execute("PRAGMA user_version = 0")

    def renewed(self) -> None:
        """Take a catalog that was made anew into use."""
        self._renewing = False
        with self._writing("the catalog could not be made anew", lost=True):
            pass

    def _is_whole(self) -> bool:
        return bool(self._format_of_whole())

    def _format_of_whole(self) -> int | None:
        """Return the format of a whole database, 0 where it has none yet, and None where it is no whole database."""
        try:
            with contextlib.closing(self._connected("rw")) as connection:
                made: int = connection.execute("PRAGMA user_version").fetchone()[0]
                return made if connection.execute("PRAGMA quick_check").fetchone()[0] == "ok" else None
        except sqlite3.DatabaseError as error:
            if self.path.exists() and isinstance(error, sqlite3.OperationalError):
                raise self._unreadable(error) from error
            return None

    def _any_version(self) -> Path | None:
        return next(Path(self._root).glob(f"*.db/*/.runs/*/*/{SEAL}"), None)

    def _refuse_lost(self) -> None:
        version = self._any_version()
        if version is not None:
            state = "is gone"
            if self.path.exists():
                state = "was not recovered to its end" if self.path.stat().st_size else "is empty"
            raise CatalogError(
                with_state(
                    f"the catalog {self.path} {state}, but versions stand beside it "
                    f"({version.parent.relative_to(self._root)})",
                    NOTHING_DONE,
                    "put it back, or 'run_all.py recover': it points every partition at its newest whole version again",
                ),
                place=str(self.path),
            )

    def ensure(self, table: Table, location: str) -> Entry:
        """Create folder, catalog and table where they are missing, and return the table as it stands."""
        known = self.entry(table.full_name)
        if known is None:
            with self._writing(f"{table.full_name}: the table could not be created") as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO tables VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        table.full_name,
                        table.database,
                        table.name,
                        json.dumps(columns_of(table.file_columns)),
                        json.dumps(columns_of([table.column(table.partition)])[0]),
                        self._relative(location),
                        table.comment,
                    ),
                )
            known = self.entry(table.full_name)
            assert known is not None
        refuse_other_columns(known, table)
        return known

    def tables(self) -> list[Entry]:
        """Return every table, sorted by name."""
        with self._reading() as connection:
            if connection is None:
                return []
            return [self._entry(row) for row in connection.execute("SELECT * FROM tables ORDER BY full_name")]

    def entry(self, full_name: str) -> Entry | None:
        """Return one table, or None."""
        return next((entry for entry in self.tables() if entry.full_name == full_name), None)

    def current(self, full_name: str, partitions: Collection[str] | None = None) -> dict[str, Pointer]:
        """Return the pointers of `partitions` (None: all), sorted by partition."""
        with self._reading() as connection:
            if connection is None:
                return {}
            if partitions is not None and len(partitions) < 100:
                marks = ", ".join("?" * len(partitions))
                rows = connection.execute(
                    f'SELECT * FROM partitions WHERE full_name = ? AND "partition" IN ({marks}) ORDER BY "partition"',
                    (full_name, *partitions),
                ).fetchall()
            else:
                rows = connection.execute(
                    'SELECT * FROM partitions WHERE full_name = ? ORDER BY "partition"', (full_name,)
                ).fetchall()
        wanted = None if partitions is None else set(partitions)
        return {row["partition"]: self._pointer(row) for row in rows if wanted is None or row["partition"] in wanted}

    def lock(self, full_name: str, holder: str, wait_s: float) -> AbstractContextManager[Lock]:
        """Hold the table's lock file; the kernel lets go of it when the process dies."""
        return file_lock(Path(self._root) / ".locks" / full_name, full_name, holder, wait_s)

    def move(self, tables: Mapping[str, Sequence[Move]], locks: Mapping[str, Lock], at: Observer = unobserved) -> None:
        """Move every pointer of every table in one transaction, so all of them or none."""
        moves = {name: those for name, those in tables.items() if those}
        if not moves:
            return
        where = "; ".join(f"{name} {named([one.pointer.partition for one in those])}" for name, those in moves.items())
        with self._writing(f"{where}: the catalog could not be moved") as connection:
            at("moving")
            for name, those in moves.items():
                if not locks[name].held():
                    raise CommitConflictError(
                        with_state(f"{name}: the table's lock was lost before the move", NOTHING_MOVED)
                    )
                for move in those:
                    self._point(connection, name, move)
            at("moved, not committed")
        at("moved")

    def _point(self, connection: sqlite3.Connection, full_name: str, move: Move) -> None:
        pointer = move.pointer
        row = connection.execute(
            'SELECT location FROM partitions WHERE full_name = ? AND "partition" = ?', (full_name, pointer.partition)
        ).fetchone()
        found = None if row is None else self._absolute(row["location"])
        expected = None if move.expected is None else move.expected.location
        if found != expected:
            raise CommitConflictError(
                with_state(f"{full_name} {pointer.partition}: points at {found}, expected {expected}", NOTHING_MOVED)
            )
        assert pointer.moved_at is not None
        connection.execute(
            "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                full_name,
                pointer.partition,
                self._relative(pointer.location),
                json.dumps(pointer.files),
                pointer.rows,
                pointer.bytes,
                pointer.sha256,
                pointer.run,
                pointer.attempt,
                pointer.moved_at.isoformat(),
            ),
        )

    def drop(self, full_name: str) -> None:
        """Forget a table and its partitions; files stay."""
        if self.entry(full_name) is not None:
            with self._writing(f"{full_name}: the table could not be dropped") as connection:
                connection.execute("DELETE FROM partitions WHERE full_name = ?", (full_name,))
                connection.execute("DELETE FROM tables WHERE full_name = ?", (full_name,))

    def _relative(self, location: str) -> str:
        path = local_path(location)
        return path.removeprefix(self._root + "/")

    def _absolute(self, location: str) -> str:
        return location if location.startswith("/") else f"{self._root}/{location}"

    def _entry(self, row: sqlite3.Row) -> Entry:
        return Entry(
            database=row["database"],
            name=row["name"],
            columns=tuple((name, kind, comment) for name, kind, comment in json.loads(row["columns"])),
            partition=tuple(json.loads(row["partition"])),
            location=self._absolute(row["location"]),
            comment=row["comment"],
        )

    def _pointer(self, row: sqlite3.Row) -> Pointer:
        return Pointer(
            partition=row["partition"],
            location=self._absolute(row["location"]),
            files=tuple(json.loads(row["files"])),
            rows=row["rows"],
            bytes=row["bytes"],
            sha256=row["sha256"],
            run=row["run"],
            attempt=row["attempt"],
            moved_at=datetime.fromisoformat(row["moved_at"]),
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Yield a connection to read by, or None where there is no catalog yet."""
        if not self.path.exists():
            self._refuse_lost()
            yield None
            return
        try:
            # Not "ro": a reader that comes after a killed writer has to roll its journal back. SQLite falls back to
            # reading alone where the file is write-protected.
            with contextlib.closing(self._connected("rw")) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0 and not self._renewing:
                    # Its first writer died, or works still, before the schema was committed: no version is there yet.
                    self._refuse_lost()
                    yield None
                    return
                if version:
                    self._refuse_other_format(version)
                yield connection
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> CatalogError:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return CatalogError(
                with_state(
                    f"the catalog {self.path} was held by a writer for {self._busy_timeout_s:g} s: it stopped in the "
                    "midst of a commit, which takes milliseconds",
                    NOTHING_CHANGED,
                    "continue or end that process ('fuser' on the file names it): what it had not committed is "
                    "taken back then, and nothing is lost",
                ),
                place=str(self.path),
            )
        return CatalogError(
            with_state(
                f"cannot read the catalog {self.path}: {error}",
                NOTHING_CHANGED,
                "look at the file and its folder's permissions; 'sqlite3 catalog.db \"pragma integrity_check\"' says "
                "whether it is whole, and 'run_all.py recover' makes it anew if it is not",
            ),
            place=str(self.path),
        )

    @contextlib.contextmanager
    def _writing(self, what: str, *, lost: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction that holds the write lock; commit where the block ends well."""
        committing = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connected("rwc")) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    version = connection.execute("PRAGMA user_version").fetchone()[0]
                    if version == 0:
                        if not (lost or self._renewing):
                            self._refuse_lost()
                        for statement in SCHEMA.split(";"):
                            connection.execute(statement)
                        if not self._renewing:
                            connection.execute(f"PRAGMA user_version = {FORMAT}")
                    else:
                        self._refuse_other_format(version)
                    yield connection
                    committing = True
                    connection.execute("COMMIT")
                    committing = False
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                        committing = False
                    raise
        except (sqlite3.Error, OSError) as error:
            if committing:
                raise PublishUnknownError(
                    with_state(
                        f"{what}, or was: {error} while {self.path} committed",
                        "Files are kept: the catalog may already point at them",
                        "'run_all.py repair latest' is safe to repeat",
                    ),
                    place=str(self.path),
                ) from error
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CatalogError(
                with_state(
                    f"{what}: {self.path}: {reason}",
                    READERS_SEE_BEFORE,
                    "free or unlock the warehouse folder, then 'run_all.py repair latest'",
                ),
                place=str(self.path),
            ) from error

    def _connected(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=self._busy_timeout_s, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        return connection

    def _refuse_other_format(self, version: int) -> None:
        if version != FORMAT:
            raise CatalogError(
                with_state(
                    f"the catalog {self.path} has format {version}, expected {FORMAT}: another version of bigmama-nb "
                    "made it",
                    NOTHING_CHANGED,
                    "use that version",
                ),
                place=str(self.path),
            )
