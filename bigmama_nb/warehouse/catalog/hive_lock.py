"""A lock in a Hive Metastore: waited for, kept alive, and taken over from who died.

It is no lock on the table itself: an exclusive one would make Hive's own queries wait for a publish, and a publish for
them. `SHOW LOCKS` of all shows it, as `<table>@publish` with the holder's run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from thrift.Thrift import TException

from bigmama_nb.errors import NOTHING_PUBLISHED, CatalogError, LockedError, with_state
from bigmama_nb.warehouse.catalog.thrift import Connection, LostAnswerError, first_line, ttypes

OURS = "bigmama-nb "
TOKEN = " #"
TRIES = 5
PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5)
TURN_S = 0.1
"""How long one waits for each that stands before it until it looks again."""

LONGEST_TURN_S = 1.0


class MetastoreLock:
    """The lock of one table; entering waits for it."""

    def __init__(
        self, connection: Connection, options: Mapping[str, Any], full_name: str, holder: str, wait_s: float
    ) -> None:
        self._connection = connection
        self._options = options
        self._full_name = full_name
        self._database, table = full_name.split(".")
        self._name = f"{table}@publish"
        self._holder = holder
        # Which request a lock in the metastore is of: one whose answer was lost is known by it.
        self._agent = f"{holder}{TOKEN}{uuid.uuid4().hex[:8]}"
        self._wait_s = wait_s
        self._stale_s = float(options.get("stale_lock_s", 300))
        self._id: int | None = None
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self.takeovers = 0

    def __enter__(self) -> MetastoreLock:
        deadline = time.monotonic() + self._wait_s
        try:
            state = self._requested()
            # While it waits too: one that has waited for long must not look dead to the others.
            self._beating = threading.Thread(target=self._beat, name=f"heartbeat {self._full_name}", daemon=True)
            self._beating.start()
            pauses = iter(PAUSES_S)
            while state != ttypes.LockState.ACQUIRED:
                # First come, first served: who is not the first only looks at the queue. Asking for the lock costs a
                # metastore more, and where its database is Derby it may wait then for others who wait for it.
                ahead = self._ahead() if state == ttypes.LockState.WAITING else 0
                if not ahead:
                    state = self._state()
                if state != ttypes.LockState.ACQUIRED:
                    self._pause(deadline, min(ahead * TURN_S, LONGEST_TURN_S) or next(pauses, PAUSES_S[-1]))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _pause(self, deadline: float, pause_s: float) -> None:
        if time.monotonic() >= deadline:
            raise LockedError(
                with_state(
                    f"{self._full_name}: {self._holders()} held its lock for longer than lock_wait_s "
                    f"({self._wait_s:g} s)",
                    NOTHING_PUBLISHED,
                    "run again when it is done",
                ),
                place=self._full_name,
            )
        time.sleep(pause_s)

    def held(self) -> bool:
        """Ask the metastore whether the lock is ours still."""
        return self._heartbeat(self._connection)

    def _requested(self) -> int:
        """Ask for the lock and return its state."""
        component = ttypes.LockComponent(
            type=ttypes.LockType.EXCLUSIVE,
            level=ttypes.LockLevel.TABLE,
            dbname=self._database,
            tablename=self._name,
            operationType=ttypes.DataOperationType.NO_TXN,
        )
        request = ttypes.LockRequest(
            component=[component],
            user=str(self._options.get("user") or os.environ.get("USER") or "bigmama-nb"),
            hostname=socket.gethostname(),
            agentInfo=self._agent,
        )
        for left in reversed(range(TRIES)):
            try:
                answer = self._connection.tell(lambda client: client.lock(request))
                self._id = answer.lockid
                return int(answer.state)
            except (LostAnswerError, TException) as error:
                # Many at once are a deadlock in some databases. What was asked for may stand in the queue none the
                # less, before all that is asked for later.
                standing = self._standing()
                if standing is not None:
                    self._id = standing.lockid
                    return int(standing.state)
                if not left:
                    raise self._refused(error) from error
                time.sleep(PAUSES_S[-1])
        raise AssertionError("unreachable")

    def _standing(self) -> Any:
        """Return the lock that was asked for without an answer, or None."""
        with contextlib.suppress(TException):
            return next((one for one in self._locks() if one.agentInfo == self._agent), None)
        return None

    def _state(self) -> int:
        """Return the state of the lock asked for; asking keeps it alive, and asks anew where it is gone."""
        asked = ttypes.CheckLockRequest(lockid=self._id)
        try:
            return int(self._connection.ask(lambda client: client.check_lock(asked)).state)
        except TException as error:
            # One that was just taken from us is an internal error in some versions, not NoSuchLockException.
            if self._lost(error):
                return self._requested()
            return int(ttypes.LockState.NOT_ACQUIRED)

    def _lost(self, error: TException) -> bool:
        if isinstance(error, ttypes.NoSuchLockException):
            return True
        with contextlib.suppress(TException):
            return self._id not in [one.lockid for one in self._locks()]
        return False

    def _locks(self) -> list[Any]:
        """Return every lock of this table's publishes, held or waited for."""
        asked = ttypes.ShowLocksRequest(dbname=self._database, tablename=self._name)
        found = self._connection.ask(lambda client: client.show_locks(asked)).locks or []
        # Metastores before 3.0 return the locks of all.
        return [one for one in found if (one.dbname, one.tablename) == (self._database, self._name)]

    def _ahead(self) -> int:
        """Return how many stand before us; one where the metastore cannot tell now."""
        try:
            return self._take_over()
        except TException:
            return 1

    def _take_over(self) -> int:
        """Unlock ours whose holders have not been heard of: a metastore may never do it by itself.

        Returns:
            How many stand before us; 0 too where our own is gone.
        """
        locks = self._locks()
        # By the metastore's clock, which wrote our own heartbeat lately; ours may go wrong by more than minutes.
        own = next((one for one in locks if one.lockid == self._id), None)
        if own is None:
            return 0
        before = [one for one in locks if one.lockid < own.lockid]
        for one in before:
            silent_s = (own.lastheartbeat - one.lastheartbeat) / 1000
            # One of the same token was asked for, its answer lost, and came in after it was looked for.
            stale = str(one.agentInfo).startswith(OURS) and silent_s > self._stale_s
            if stale or one.agentInfo == self._agent:
                with contextlib.suppress(ttypes.NoSuchLockException):
                    self._told(lambda client, lock=one.lockid: client.unlock(ttypes.UnlockRequest(lockid=lock)))
                    self.takeovers += stale
        return len(before)

    def _holders(self) -> str:
        held: list[Any] = []
        with contextlib.suppress(TException):
            held = [one for one in self._locks() if one.state == ttypes.LockState.ACQUIRED]
        names = (str(one.agentInfo).partition(TOKEN)[0] + f" (on {one.hostname})" for one in held)
        return ", ".join(names) or "another run"

    def _end(self) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        self._let_go()

    def _beat(self) -> None:
        # A connection of its own: the holder's is busy as long as it asks something big.
        connection = Connection(self._connection.uri, self._options)
        try:
            while not self._stop.wait(float(self._options.get("heartbeat_s", 60))):
                # One that fails is no loss of the lock: the holder asks before it moves.
                with contextlib.suppress(CatalogError):
                    self._heartbeat(connection)
        finally:
            connection.close()

    def _heartbeat(self, connection: Connection) -> bool:
        beat = ttypes.HeartbeatRequest(lockid=self._id)
        try:
            connection.ask(lambda client: client.heartbeat(beat))
        except (ttypes.NoSuchLockException, ttypes.NoSuchTxnException, ttypes.TxnAbortedException):
            return False
        except TException as error:
            raise self._refused(error) from error
        return True

    def _let_go(self) -> None:
        lock, self._id = self._id, None
        if lock is None:
            return
        for left in reversed(range(TRIES)):
            try:
                self._connection.tell(lambda client: client.unlock(ttypes.UnlockRequest(lockid=lock)))
                return
            except (ttypes.NoSuchLockException, CatalogError):
                return  # it is gone; or the metastore is, and silence says it in `stale_lock_s`
            except (LostAnswerError, TException):
                if left:
                    time.sleep(PAUSES_S[-1])

    def _told(self, order: Any) -> Any:
        try:
            return self._connection.tell(order)
        except (ttypes.NoSuchLockException, ttypes.TxnOpenException):
            raise
        except (LostAnswerError, TException) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> CatalogError:
        return CatalogError(
            with_state(
                f"{self._full_name}: the metastore {self._connection.uri} gives no lock: {first_line(error)}",
                NOTHING_PUBLISHED,
                "its lock tables have to be there (hive.support.concurrency, schematool); run again then",
            ),
            place=self._full_name,
        )
