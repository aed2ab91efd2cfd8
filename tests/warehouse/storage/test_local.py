"""What can go wrong with a folder on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigmama_nb.errors import StorageError
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.local import LocalStorage
from tests.publishing import FULL, read_only, small_disk


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    """Writing more than fits says which file and that no space is left."""
    with small_disk(tmp_path, kibibytes=64) as disk, pytest.raises(StorageError, match=rf"big: ({FULL})"):
        LocalStorage().put(str(disk / "big"), b"x" * 200_000)


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    """Writing into a read-only file system, and deleting from it, names the location."""
    (tmp_path / "there").write_bytes(b"1")
    with read_only(tmp_path):
        with pytest.raises(StorageError, match=r"cannot write .*new: (Read-only|Permission)"):
            LocalStorage().put(str(tmp_path / "new"), b"1")
        with pytest.raises(StorageError, match=r"cannot delete .*: (Read-only|Permission)"):
            LocalStorage().delete(str(tmp_path))
    assert (tmp_path / "there").read_bytes() == b"1"


def test_a_file_uri_names_the_same_file(tmp_path: Path) -> None:
    """`/x`, `file:/x` and `file:///x` are one location, blanks and all."""
    storage = open_storage(f"file://{tmp_path}", {})
    storage.put(str(tmp_path / "a b"), b"1")
    assert storage.read(f"file:{tmp_path}/a%20b") == storage.read(f"file://{tmp_path}/a%20b") == b"1"
