"""What is SQLite's own: a folder that moves, is read-only, full, broken, or left by a killed writer."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bigmama_nb.errors import CatalogError, CommitConflictError, LockedError, UsageError
from bigmama_nb.warehouse.catalog import open_catalog
from bigmama_nb.warehouse.catalog.protocol import Move
from bigmama_nb.warehouse.catalog.sqlite import SqliteCatalog
from bigmama_nb.warehouse.storage.local import LocalStorage
from tests.publishing import METRIC, REPO, read_only
from tests.warehouse.catalog.kit import Opener

V1 = "20240502T020304Z-000001-1"


@pytest.fixture
def moved(tmp_path: Path) -> tuple[Path, Opener]:
    """Return a warehouse's folder whose catalog has one partition."""
    root = tmp_path / "warehouse"
    opener = Opener(lambda: SqliteCatalog(str(root)), str(root), database="bigmama")
    catalog, _ = opener.ensured()
    opener.move(catalog, Move(opener.pointer("dt=20240501", V1), None))
    return root, opener


def test_a_folder_may_be_moved_as_a_whole(moved: tuple[Path, Opener], tmp_path: Path) -> None:
    """Locations follow the folder, for they are kept relative to it."""
    root, _ = moved
    shutil.copytree(root, tmp_path / "copy")
    (pointer,) = SqliteCatalog(str(tmp_path / "copy")).current(METRIC.full_name).values()
    assert pointer.location == str(tmp_path / "copy" / "bigmama.db/game_metric/.runs/dt=20240501" / V1)


def test_a_read_only_folder_is_read_and_refuses_a_move(moved: tuple[Path, Opener]) -> None:
    """Readers need no right to write; a writer learns which folder, and that nothing was moved."""
    root, opener = moved
    before = SqliteCatalog(str(root)).current(METRIC.full_name)
    with read_only(root):
        assert SqliteCatalog(str(root)).current(METRIC.full_name) == before
        with pytest.raises(CatalogError, match=r"cannot lock .*warehouse/\.locks.*Read-only.*Nothing was published"):
            opener.move(SqliteCatalog(str(root)), Move(opener.pointer("dt=20240501", V1), None))


def test_a_broken_catalog_is_named(moved: tuple[Path, Opener]) -> None:
    """A file that is no SQLite database is reported with its path and what to look at."""
    root, _ = moved
    (root / "catalog.db").write_bytes(b"nothing of the kind" * 500)
    with pytest.raises(CatalogError, match=r"cannot read the catalog .*catalog\.db: file is not a database"):
        SqliteCatalog(str(root)).current(METRIC.full_name)


def test_a_catalog_of_another_format_is_refused(moved: tuple[Path, Opener]) -> None:
    """A later version's catalog is left alone."""
    root, _ = moved
    with closing(sqlite3.connect(root / "catalog.db")) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(CatalogError, match="has format 7, expected 1"):
        SqliteCatalog(str(root)).current(METRIC.full_name)


def test_a_lock_file_that_was_removed_is_a_lock_lost(moved: tuple[Path, Opener]) -> None:
    """Who cleans up `.locks` lets a second holder in; the first one notices before it moves."""
    root, opener = moved
    catalog = opener()
    with catalog.lock(METRIC.full_name, "bigmama-nb a", 1) as lock:
        shutil.rmtree(root / ".locks")
        assert not lock.held()
        with pytest.raises(CommitConflictError, match="lock was lost"):
            catalog.move({METRIC.full_name: [Move(opener.pointer("dt=20240502", V1), None)]}, {METRIC.full_name: lock})
    assert list(catalog.current(METRIC.full_name)) == ["dt=20240501"]


def test_a_killed_holder_lets_go_of_the_lock(moved: tuple[Path, Opener]) -> None:
    """The kernel frees the lock of a process that got SIGKILL, so nobody takes anything over."""
    root, opener = moved
    holds = (
        "import sys, signal; from bigmama_nb.warehouse.catalog.sqlite import SqliteCatalog\n"
        "with SqliteCatalog(sys.argv[1]).lock('bigmama.game_metric', 'bigmama-nb dead', 1):\n"
        "    print('held', flush=True); signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", holds, str(root)], stdout=subprocess.PIPE, cwd=REPO) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(LockedError, match=f"bigmama-nb dead .process {holder.pid}."),
            opener().lock(METRIC.full_name, "bigmama-nb x", 0),
        ):
            pass
        holder.kill()
        holder.wait()
        with opener().lock(METRIC.full_name, "bigmama-nb x", 0) as lock:
            assert lock.held()


def test_a_writer_killed_inside_the_transaction_leaves_the_old_pointers(moved: tuple[Path, Opener]) -> None:
    """Its journal is rolled back by the first one who reads."""
    root, opener = moved
    dies = (
        "import sys, os, signal; from bigmama_nb.warehouse.catalog.sqlite import SqliteCatalog\n"
        "from tests.warehouse.catalog.kit import Opener\n"
        "from bigmama_nb.warehouse.catalog.protocol import Move\n"
        "root = sys.argv[1]; catalog = SqliteCatalog(root)\n"
        "opener = Opener(lambda: catalog, root, database='bigmama')\n"
        "def at(step):\n"
        "    if step == 'moved, not committed':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "name = 'bigmama.game_metric'\n"
        "with catalog.lock(name, 'bigmama-nb x', 1) as lock:\n"
        "    new = [opener.pointer(f'dt=20250{n:03d}', '20240502T020304Z-000002-1') for n in range(900)]\n"
        "    catalog.move({name: [Move(pointer, None) for pointer in new]}, {name: lock}, at)\n"
    )
    before = opener().current(METRIC.full_name)
    died = subprocess.run([sys.executable, "-c", dies, str(root)], check=False, cwd=REPO)
    assert died.returncode == -9
    assert opener().current(METRIC.full_name) == before
    opener.move(opener(), Move(opener.pointer("dt=20240502", V1), None))
    assert list(opener().current(METRIC.full_name)) == ["dt=20240501", "dt=20240502"]


def test_a_warehouse_on_a_cluster_needs_a_metastore() -> None:
    """The SQLite catalog is refused for anything but a folder, with the setting to make."""

    class Elsewhere(LocalStorage):
        scheme = "hdfs"

    with pytest.raises(UsageError, match=r"hdfs://n/x.*Set warehouse\.metastore to thrift://"):
        open_catalog("hdfs://n/x", None, {}, Elsewhere())


def test_a_writer_that_stopped_in_its_transaction_is_named(moved: tuple[Path, Opener]) -> None:
    """The reader waits, and then says what holds the catalog, that nothing is lost, and what to do."""
    root, opener = moved
    with closing(sqlite3.connect(root / "catalog.db", isolation_level=None)) as stopped:
        stopped.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            CatalogError, match=r"held by a writer for 0\.05 s: it stopped .*Nothing was changed; continue or end that"
        ):
            SqliteCatalog(str(root), busy_timeout_s=0.05).current(METRIC.full_name)
        stopped.execute("ROLLBACK")
    assert opener().current(METRIC.full_name)


def test_a_commit_is_on_disk_when_it_is_told(moved: tuple[Path, Opener]) -> None:
    """SQLite syncs as fully as it can: a power cut after the answer must not take the pointer back."""
    root, opener = moved
    opened: list[sqlite3.Connection] = []

    class Watched(SqliteCatalog):
        def _connected(self, mode: str) -> sqlite3.Connection:
            opened.append(super()._connected(mode))
            return opened[-1]

    seen: dict[str, int] = {}

    def at(step: str) -> None:
        if step == "moved, not committed":
            seen[step] = opened[-1].execute("PRAGMA synchronous").fetchone()[0]

    catalog = Watched(str(root))
    with catalog.lock(METRIC.full_name, "bigmama-nb x", 1) as lock:
        catalog.move({METRIC.full_name: [Move(opener.pointer("dt=20240502", V1), None)]}, {METRIC.full_name: lock}, at)
    assert seen == {"moved, not committed": 2}
