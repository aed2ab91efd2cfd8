"""Whose locks a metastore's lock takes over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bigmama_nb.warehouse.catalog.hive_lock import MetastoreLock


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
