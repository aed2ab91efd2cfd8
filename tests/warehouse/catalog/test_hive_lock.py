"""Whose locks a metastore's lock takes over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from thrift.Thrift import TApplicationException

from bigmama_nb.errors import CatalogError, LockedError
from bigmama_nb.warehouse.catalog.hive_lock import MetastoreLock
from bigmama_nb.warehouse.catalog.thrift import LostAnswerError, ttypes


class Metastore:
    """A metastore before 3.0, which shows the locks of all tables, whatever is asked."""

    uri = "thrift://test:9083"

    def __init__(self) -> None:
        self.unlocked: list[int] = []
        self.locks = [
            lock(1, "bigmama", "other@publish", silent_s=999),
            lock(2, "elsewhere", "game_metric@publish", silent_s=999),
            lock(3, "bigmama", "game_metric@publish", silent_s=999),
            lock(4, "bigmama", "game_metric@publish", silent_s=999, agent="hive_20240502"),
            lock(5, "bigmama", "game_metric@publish", silent_s=2),
            lock(6, "bigmama", "game_metric@publish", silent_s=0),
        ]

    def ask(self, question: Any) -> Any:
        return question(self)

    tell = ask

    def show_locks(self, asked: Any) -> Any:
        return SimpleNamespace(locks=self.locks)

    def unlock(self, asked: Any) -> None:
        self.unlocked.append(asked.lockid)


def lock(lockid: int, database: str, table: str, *, silent_s: int, agent: str = "bigmama-nb x") -> Any:
    beat = 1_000_000 - silent_s * 1000
    return SimpleNamespace(
        lockid=lockid, dbname=database, tablename=table, agentInfo=agent, lastheartbeat=beat, state=1
    )


def test_only_dead_locks_of_this_table_are_taken_over() -> None:
    """Those of other tables, other databases, other programs and of who lives are left alone, and not waited for."""
    metastore: Any = Metastore()
    ours = MetastoreLock(metastore, {"stale_lock_s": 300}, "bigmama.game_metric", "bigmama-nb x", 1)
    ours._id = 6
    assert ours._take_over() == 3
    assert (metastore.unlocked, ours.takeovers) == ([3], 1)


class Queue:
    """A metastore's queue of one table; `fails` holds what the next calls of a method end with."""

    uri = "thrift://test:9083"

    def __init__(self, **fails: list[Exception]) -> None:
        self.fails = fails
        self.locks: list[Any] = []

    def ask(self, question: Any) -> Any:
        return question(self)

    tell = ask

    def _end(self, method: str) -> None:
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    def lock(self, request: Any) -> Any:
        state = ttypes.LockState.WAITING if self.locks else ttypes.LockState.ACQUIRED
        new = lock(len(self.locks) + 1, "bigmama", "game_metric@publish", silent_s=0, agent=request.agentInfo)
        new.state, new.hostname = state, request.hostname
        self.locks.append(new)
        self._end("lock")
        return SimpleNamespace(lockid=new.lockid, state=state)

    def check_lock(self, asked: Any) -> Any:
        self._end("check_lock")
        (own,) = [one for one in self.locks if one.lockid == asked.lockid]
        own.state = ttypes.LockState.ACQUIRED if self.locks[0] is own else ttypes.LockState.WAITING
        return own

    def show_locks(self, asked: Any) -> Any:
        self._end("show_locks")
        return SimpleNamespace(locks=list(self.locks))

    def unlock(self, asked: Any) -> None:
        self._end("unlock")
        self.locks = [one for one in self.locks if one.lockid != asked.lockid]


class Client(MetastoreLock):
    """A lock whose heart does not beat: it has no metastore to connect to."""

    def _beat(self) -> None:
        pass


def opened(queue: Any, wait_s: float = 10) -> MetastoreLock:
    return Client(queue, {}, "bigmama.game_metric", "bigmama-nb x", wait_s)


@pytest.mark.parametrize("error", [LostAnswerError("timed out"), TApplicationException(message="a deadlock")])
def test_a_lock_whose_answer_was_lost_is_found_in_the_queue(error: Exception) -> None:
    """It stands before whatever is asked for later: asked for twice, its holder would wait for itself."""
    queue = Queue(lock=[error])
    with opened(queue):
        assert [one.state for one in queue.locks] == [ttypes.LockState.ACQUIRED]
    assert queue.locks == []


def test_a_lock_that_came_in_after_it_was_asked_for_again_is_given_back() -> None:
    """Its holder does not wait for it, and nobody took it over."""
    queue = Queue()
    ours = opened(queue)
    ours._requested()
    with ours:
        assert [one.lockid for one in queue.locks] == [2]
    assert (queue.locks, ours.takeovers) == ([], 0)


def test_a_lock_that_could_not_be_given_back_is_given_back_again() -> None:
    """Else every other run waits until it counts as dead."""
    queue = Queue(unlock=[LostAnswerError("timed out"), TApplicationException(message="a deadlock")])
    with opened(queue):
        pass
    assert queue.locks == []


def test_a_queue_that_cannot_be_shown_is_looked_at_again() -> None:
    """A metastore that shows no locks for a moment ends no run."""
    queue = Queue()
    first, second = opened(queue), opened(queue)
    with first:
        assert second._requested() == ttypes.LockState.WAITING
        queue.fails = {"show_locks": [TApplicationException(message="Internal error")], "check_lock": []}
        unshown, shown = second._ahead(), second._ahead()
        assert (unshown, shown) == (1, 1)
    assert second._ahead() == 0


def test_who_waits_too_long_is_told_who_holds_it() -> None:
    """By its run, without what tells its requests apart; where the queue cannot be shown, as another run."""
    queue = Queue()
    with opened(queue):
        with (
            pytest.raises(LockedError, match=r"^bigmama.game_metric: bigmama-nb x \(on [^#]*\) held its lock"),
            opened(queue, 0),
        ):
            pass
        queue.fails = {"show_locks": [TApplicationException(message="Internal error")] * 2}
        with pytest.raises(LockedError, match="another run held its lock"), opened(queue, 0):
            pass


def test_a_metastore_that_gives_no_lock_is_an_error() -> None:
    """After several tries, with what it said."""
    queue: Any = Queue(lock=[], show_locks=[])
    queue.lock = lambda request: (_ for _ in ()).throw(TApplicationException(message="no lock tables"))
    with pytest.raises(CatalogError, match="gives no lock: TApplicationException: no lock tables"), opened(queue):
        pass
