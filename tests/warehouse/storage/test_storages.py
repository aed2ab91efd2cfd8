"""What a warehouse rests on, whichever storage holds it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.errors import StorageError
from bigmama_nb.warehouse.storage.protocol import Storage, join

Place = tuple[Storage, str]


def test_what_was_put_reads_back(place: Place) -> None:
    """The bytes that are read are those that were put, also an empty file."""
    storage, root = place
    for name, content in {"a/x": b"one", "a/empty": b"", "a/b/ö=1/y": bytes(range(256)) * 9000}.items():
        storage.put(join(root, name), content)
        assert content == storage.read(join(root, name))


def test_a_local_file_is_put_whole(place: Place, tmp_path: Path) -> None:
    """A big file reaches the storage byte for byte."""
    storage, root = place
    source = tmp_path / "source"
    source.write_bytes(b"0123456789abcdef" * 700_000)
    storage.put(join(root, "a/big"), source)
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    assert expected == hashlib.sha256(storage.read(join(root, "a/big"))).hexdigest()


def test_a_file_that_is_there_is_never_replaced(place: Place) -> None:
    """A second put to one location is refused by name, and the first one's bytes stay."""
    storage, root = place
    storage.put(join(root, "a/x"), b"first")
    with pytest.raises(StorageError, match="a/x"):
        storage.put(join(root, "a/x"), b"second")
    assert storage.read(join(root, "a/x")) == b"first"


def test_a_file_is_renamed_and_replaces_none(place: Place) -> None:
    """Its bytes stand under the new name only; a name that is taken is refused, and both files stay."""
    storage, root = place
    storage.put(join(root, "a/x"), b"first")
    storage.put(join(root, "a/y"), b"second")
    storage.rename(join(root, "a/x"), join(root, "a/z"))
    assert [stored.location for stored in storage.list(join(root, "a"))] == [join(root, "a/y"), join(root, "a/z")]
    with pytest.raises(StorageError, match="a/z"):
        storage.rename(join(root, "a/y"), join(root, "a/z"))
    assert [storage.read(join(root, f"a/{name}")) for name in "yz"] == [b"second", b"first"]


def test_a_missing_file_is_named(place: Place) -> None:
    """Reading or opening what is not there says which location it was."""
    storage, root = place
    with pytest.raises(StorageError, match="no/such"):
        storage.read(join(root, "no/such"))
    with pytest.raises(StorageError, match="no/such"):
        storage.open(join(root, "no/such")).read()


def test_listing_names_every_file_below_a_folder_and_no_other(place: Place) -> None:
    """A listing is sorted, absolute, goes into hidden folders, and takes no neighbour whose name begins alike."""
    storage, root = place
    for name in ("t/.runs/dt=1/v1/part-0.parquet", "t/.runs/dt=1/v1/_lineage.json", "t/.runs/dt=10/v1/part-0.parquet"):
        storage.put(join(root, name), b"123")
    listed = storage.list(join(root, "t/.runs/dt=1"))
    expected = [join(root, "t/.runs/dt=1/v1", name) for name in ("_lineage.json", "part-0.parquet")]
    assert expected == [stored.location for stored in listed]
    assert [stored.bytes for stored in listed] == [3, 3]
    assert len(storage.list(join(root, "t"))) == 3


def test_a_listing_says_when_a_file_was_written(place: Place) -> None:
    """The time is now, in UTC, within what two clocks differ."""
    storage, root = place
    storage.put(join(root, "a/x"), b"")
    (stored,) = storage.list(join(root, "a"))
    assert abs(datetime.now(UTC) - stored.modified) < timedelta(minutes=2)


def test_a_missing_folder_holds_nothing(place: Place) -> None:
    """Listing or deleting what is not there is no error."""
    storage, root = place
    assert storage.list(join(root, "nothing")) == []
    storage.delete(join(root, "nothing"))


def test_deleting_takes_a_folder_and_no_neighbour(place: Place) -> None:
    """After a delete all below the folder is gone, and a folder whose name begins alike is not."""
    storage, root = place
    for name in ("v/1/x", "v/1/deep/y", "v/10/x"):
        storage.put(join(root, name), b"1")
    storage.delete(join(root, "v/1"))
    assert [join(root, "v/10/x")] == [stored.location for stored in storage.list(join(root, "v"))]


def test_a_folder_can_be_synced(place: Place) -> None:
    """Syncing folders that hold something, or that are not there, is no error."""
    storage, root = place
    storage.put(join(root, "t/v/x"), b"1")
    storage.sync([join(root, "t/v"), join(root, "none")])
    assert storage.read(join(root, "t/v/x")) == b"1"


def test_an_open_file_can_be_read_out_of_order(place: Place) -> None:
    """pyarrow reads a footer and then single row groups from an open file."""
    storage, root = place
    rows = pa.table({"n": list(range(10_000))})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=1000)
    storage.put(join(root, "t/part-0.parquet"), sink.getvalue().to_pybytes())
    with storage.open(join(root, "t/part-0.parquet")) as source:
        file = pq.ParquetFile(source)
        assert file.metadata.num_row_groups == 10
        assert file.read_row_group(7)["n"].to_pylist() == list(range(7000, 8000))
