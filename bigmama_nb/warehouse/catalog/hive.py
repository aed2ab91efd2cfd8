"""A Hive Metastore as catalog: ordinary external tables, whose partitions' locations are moved.

Source of the rules: docs/spec/publishing.md, "Catalogs".
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from thrift.Thrift import TException

from bigmama_nb.errors import (
    NOTHING_MOVED,
    READERS_SEE_BEFORE,
    CatalogError,
    CommitConflictError,
    PublishUnknownError,
    TaskError,
    with_state,
)
from bigmama_nb.tables import DAILY, KPI, MONTH, game_metric, game_metric_status
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse.catalog.hive_lock import MetastoreLock
from bigmama_nb.warehouse.catalog.hive_objects import MARK, HiveObjects, partition_name
from bigmama_nb.warehouse.catalog.protocol import (
    Entry,
    Lock,
    Move,
    Observer,
    Pointer,
    named,
    refuse_other_columns,
    unobserved,
)
from bigmama_nb.warehouse.catalog.thrift import Connection, LostAnswerError, first_line, ttypes

NAMES = (game_metric.CONTRACT.name, game_metric_status.CONTRACT.name, *sorted(DAILY), KPI, MONTH)
UNFINISHED = "__recovering"
"""What a table's name ends in that recovery makes, until it has its partitions."""
SETTLING_TRIES = 3
CREATE_WAIT_S = 120
BEATEN = (ttypes.AlreadyExistsException, ttypes.NoSuchObjectException)
"""What a metastore says to an order where another run was faster."""


class HiveCatalog:
    """The metastore at `thrift://host:port`. Options: those of `thrift.Connection`, and

    `heartbeat_s` (60) and `stale_lock_s` (300): how often a held lock says that it lives, and after how long a silence
    another run takes it over; `s3_scheme` (s3a): what Hadoop calls the bucket of a warehouse at `s3://`.
    """

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._connection = Connection(uri, options)
        self._options = options
        self._objects = HiveObjects(str(options.get("s3_scheme", "s3a")), str(options.get("user", "bigmama-nb")))
        self._renewing = False
        self._unfinished: dict[str, str] = {}
        """By full name what a table is called until its recovery is done."""
        self.uri = uri

    def is_lost(self) -> bool:
        """Return False: a metastore that answers is there; what it lost are tables and partitions."""
        return False

    def renew(self) -> None:
        """Make tables that are missing under a name of their own until `renewed`: readers see all of one or none."""
        self._renewing = True

    def renewed(self) -> None:
        """Give the tables that were made since `renew` their names."""
        for full_name, unfinished in self._unfinished.items():
            database, name = full_name.split(".")
            made = self._table(full_name)
            made.tableName = name
            made.parameters = {**made.parameters, MARK: "1"}
            self._altered(f"{full_name} could not be taken into use", database, unfinished.split(".")[1], made)
        self._renewing = False
        self._unfinished.clear()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ensure(self, table: Table, location: str) -> Entry:
        """Create database and external table where they are missing, and return the table as it stands.

        A table that others made keeps the location it has; ours gets a mark, by which readers find it.
        """
        known = self._table(table.full_name)
        if known is None:
            # One at a time: a metastore whose create_database fails, as another was faster, deletes the folder.
            creating = MetastoreLock(
                self._connection, self._options, f"{table.database}.@", "bigmama-nb create", CREATE_WAIT_S
            )
            with creating:
                known = self._table(table.full_name)
                if known is None:
                    if self._renewing:
                        self._unfinished[table.full_name] = f"{table.full_name}{UNFINISHED}"
                        # What a recovery left that was killed.
                        self.drop(f"{table.full_name}{UNFINISHED}")
                    self._create(table, location)
                    known = self._table(table.full_name)
            assert known is not None
        entry = self._objects.entry(known)
        refuse_other_columns(entry, table)
        if MARK not in (known.parameters or {}) and table.full_name not in self._unfinished:
            marked = copy.deepcopy(known)
            marked.parameters = {**(known.parameters or {}), MARK: "1"}
            self._altered(f"{table.full_name} could not be marked as ours", table.database, table.name, marked)
        return entry

    def _altered(self, what: str, database: str, name: str, table: Any) -> None:
        context = ttypes.EnvironmentContext({"DO_NOT_UPDATE_STATS": "true"})
        self._order(what, lambda client: client.alter_table_with_environment_context(database, name, table, context))

    def tables(self) -> list[Entry]:
        """Return every table that a publish has made or adopted, or may adopt by its name, sorted by name.

        One that `ddl` or somebody else made has no mark until rows are published to it.
        """
        # Not "=": where a parameter's value is a CLOB (schematool's Derby, Oracle) that is an error of the database.
        mark = f'hive_filter_field_params__{MARK} LIKE "1"'

        def found(client: Any) -> list[Any]:
            return [
                _asked_table(client, database, name)
                for database in client.get_all_databases()
                for name in {
                    *client.get_table_names_by_filter(database, mark, -1),
                    *client.get_tables(database, "|".join(NAMES)),
                }
            ]

        return sorted((self._objects.entry(one) for one in self._question(found)), key=lambda entry: entry.full_name)

    def entry(self, full_name: str) -> Entry | None:
        """Return one table, or None."""
        known = self._table(full_name)
        return None if known is None else self._objects.entry(known)

    def drop(self, full_name: str) -> None:
        """Forget a table; its files stay."""
        database, name = full_name.split(".")
        if self._table(full_name) is not None:
            self._order(f"{full_name} could not be dropped", lambda client: client.drop_table(database, name, False))

    def current(self, full_name: str, partitions: Collection[str] | None = None) -> dict[str, Pointer]:
        """Return the pointers of `partitions` (None: all), sorted by partition."""
        known = self._table(full_name)
        if known is None or (partitions is not None and not partitions):
            return {}
        found = [self._objects.pointer(known, one) for one in self._partitions(full_name, partitions)]
        return {pointer.partition: pointer for pointer in sorted(found, key=lambda pointer: pointer.partition)}

    def lock(self, full_name: str, holder: str, wait_s: float) -> AbstractContextManager[Lock]:
        """Hold the table's lock, with a heartbeat; a dead holder's lock is taken over."""
        return MetastoreLock(self._connection, self._options, full_name, holder, wait_s)

    def move(self, tables: Mapping[str, Sequence[Move]], locks: Mapping[str, Lock], at: Observer = unobserved) -> None:
        """Move table by table: alter the partitions that exist in one call, then add the new ones in one call."""
        moved: set[tuple[str, str]] = set()
        for name, moves in sorted(tables.items()):
            if not moves:
                continue
            try:
                self._move(name, moves, locks[name], at)
            except TaskError as error:
                error.moved |= moved
                raise
            moved.update((name, move.pointer.partition) for move in moves)

    def _move(self, full_name: str, moves: Sequence[Move], lock: Lock, at: Observer) -> None:
        table = self._table(full_name)
        where = f"{full_name} {named([move.pointer.partition for move in moves])}"
        if table is None:
            raise CatalogError(
                with_state(f"{where}: the table is gone from {self.uri}", NOTHING_MOVED), place=full_name
            )
        standing = {
            partition_name(table, one): one
            for one in self._partitions(full_name, [move.pointer.partition for move in moves])
        }
        at("moving")
        if not lock.held():
            raise CommitConflictError(with_state(f"{where}: the table's lock was lost before the move", NOTHING_MOVED))
        for move in moves:
            found = standing.get(move.pointer.partition)
            stands = None if found is None else self._objects.inside(found.sd.location)
            expected = None if move.expected is None else move.expected.location
            if stands != expected:
                raise CommitConflictError(
                    with_state(
                        f"{full_name} {move.pointer.partition}: points at {stands}, expected {expected}", NOTHING_MOVED
                    )
                )
        existing = [move.pointer for move in moves if move.expected is not None]
        new = [move.pointer for move in moves if move.expected is None]
        moved: set[str] = set()
        if existing:
            altered = [self._objects.partition(table, pointer, standing[pointer.partition]) for pointer in existing]
            self._forget_column_statistics(table, existing)
            self._settled(
                full_name,
                existing,
                moved,
                lambda client: client.alter_partitions_with_environment_context(
                    table.dbName, table.tableName, altered, ttypes.EnvironmentContext({"DO_NOT_UPDATE_STATS": "true"})
                ),
            )
            at("moved existing")
        if new:
            added = [self._objects.partition(table, pointer, None) for pointer in new]
            self._settled(full_name, new, moved, lambda client: client.add_partitions(added))
            at("moved new")
        at("moved")

    def _settled(self, full_name: str, pointers: Sequence[Pointer], moved: set[str], order: Any) -> None:
        """Send an order that moves `pointers`, and find out what became of it; add what moved to `moved`."""
        names = [pointer.partition for pointer in pointers]
        where = f"{full_name} {named(names)}"
        try:
            self._connection.tell(order)
        except CatalogError as error:
            error.moved = frozenset((full_name, one) for one in moved)
            raise
        except (LostAnswerError, TException) as error:
            stands = self._locations(full_name, names)
            if stands is not None and all(stands.get(one.partition) == one.location for one in pointers):
                moved.update(names)
                return
            if isinstance(error, LostAnswerError) or stands is None:
                unknown = PublishUnknownError(
                    with_state(
                        f"{where}: the files are in place, but the metastore {self.uri} did not answer "
                        f"({first_line(error)})",
                        "Files are kept: Hive may already point at them",
                        "'run_all.py repair latest' is safe to repeat",
                    ),
                    place=full_name,
                )
                unknown.moved = frozenset((full_name, one) for one in moved)
                raise unknown from error
            kind = CommitConflictError if isinstance(error, BEATEN) else CatalogError
            refused = kind(
                with_state(
                    f"{where}: the metastore {self.uri} refused to move it: {first_line(error)}",
                    f"{named(sorted(moved))} moved before" if moved else NOTHING_MOVED,
                    "run 'run_all.py repair latest' once that is mended",
                ),
                place=full_name,
            )
            refused.moved = frozenset((full_name, one) for one in moved)
            raise refused from error
        moved.update(names)

    def _locations(self, full_name: str, partitions: Sequence[str]) -> dict[str, str] | None:
        """Return where partitions point, or None where the metastore does not say."""
        for _ in range(SETTLING_TRIES):
            try:
                return {name: pointer.location for name, pointer in self.current(full_name, partitions).items()}
            except CatalogError:
                time.sleep(0.2)
        return None

    def _create(self, table: Table, location: str) -> None:
        if table.database not in self._question(lambda client: client.get_all_databases()):
            self._order(
                f"database {table.database} could not be created",
                lambda client: client.create_database(self._objects.database(table, location)),
                fine=ttypes.AlreadyExistsException,
            )
        made = self._objects.table(table, location)
        if table.full_name in self._unfinished:
            made.tableName = self._unfinished[table.full_name].split(".")[1]
            # Found by its mark it would be shown.
            del made.parameters[MARK]
        self._order(
            f"{table.full_name} could not be created",
            lambda client: client.create_table(made),
            fine=ttypes.AlreadyExistsException,
        )

    def _forget_column_statistics(self, table: Any, pointers: Sequence[Pointer]) -> None:
        columns = [field.name for field in table.sd.cols]
        names = [pointer.partition for pointer in pointers]
        asked = ttypes.PartitionsStatsRequest(
            dbName=table.dbName, tblName=table.tableName, colNames=columns, partNames=names
        )
        found = self._question(lambda client: client.get_partitions_statistics_req(asked).partStats) or {}
        for partition, statistics in found.items():
            for one in statistics:
                self._order(
                    f"{table.dbName}.{table.tableName} {partition}: its column statistics could not be dropped",
                    lambda client, partition=partition, column=one.colName: client.delete_partition_column_statistics(
                        table.dbName, table.tableName, partition, column, "hive"
                    ),
                    fine=ttypes.NoSuchObjectException,
                )

    def _table(self, full_name: str) -> Any:
        database, name = self._unfinished.get(full_name, full_name).split(".")

        def found(client: Any) -> Any:
            try:
                return _asked_table(client, database, name)
            except ttypes.NoSuchObjectException:
                return None

        return self._question(found)

    def _partitions(self, full_name: str, partitions: Collection[str] | None) -> list[Any]:
        database, name = self._unfinished.get(full_name, full_name).split(".")
        if partitions is None:
            return list(self._question(lambda client: client.get_partitions(database, name, -1)))
        asked = list(partitions)
        return list(self._question(lambda client: client.get_partitions_by_names(database, name, asked)))

    def _question(self, question: Any) -> Any:
        try:
            return self._connection.ask(question)
        except TException as error:
            raise CatalogError(
                with_state(f"the metastore {self.uri} refused a question: {first_line(error)}", READERS_SEE_BEFORE),
                place=self.uri,
            ) from error

    def _order(self, what: str, order: Any, *, fine: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
        """Send an order that moves no pointer; `fine` are refusals that leave things as they are meant."""
        try:
            self._connection.tell(order)
        except fine:
            return
        except (LostAnswerError, TException) as error:
            raise CatalogError(
                with_state(
                    f"{what}: the metastore {self.uri} says {first_line(error)}",
                    READERS_SEE_BEFORE,
                    "run 'run_all.py repair latest' once that is mended",
                ),
                place=self.uri,
            ) from error


def _asked_table(client: Any, database: str, name: str) -> Any:
    """Ask for a table by the call that metastores from 2.3 to 4.0 know: `get_table` is gone in 4."""
    return client.get_table_req(ttypes.GetTableRequest(dbName=database, tblName=name)).table
