"""Write a table anew in another form: the same rows, the same lineage, all partitions moved together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from bigmama_nb import parquet
from bigmama_nb.errors import TaskError
from bigmama_nb.parquet import Form
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer
from bigmama_nb.warehouse.commit import Change, Published, commit, published
from bigmama_nb.warehouse.form import form_of
from bigmama_nb.warehouse.lineage import Record, Writer, in_context, records
from bigmama_nb.warehouse.storage.protocol import join, name_of
from bigmama_nb.warehouse.version import Version, discard, readable, seal, stage, verify


def rewrite(warehouse: Warehouse, table: Table, author: Writer) -> list[Published]:
    """Rewrite every partition of a table that stands in another form than the profile asks for.

    Who wrote which rows, and which were retracted, stays as it was. Readers see the old files until all new ones are
    read back, then the new ones.

    Returns:
        What became of each partition that was rewritten; none where the table stands as it is meant.

    Raises:
        LockedError, StorageError, CatalogError, PublishUnknownError: as a publish.
    """
    entry = warehouse.catalog.entry(table.full_name)
    if entry is None:
        return []

    def build() -> list[Change]:
        pointers = [one for one in warehouse.catalog.current(table.full_name).values() if one.run is not None]
        before = records(warehouse, table.full_name, pointers)
        changes: list[Change] = []
        try:
            for pointer in pointers:
                found = form_of(warehouse.storage, pointer)
                if found is not None and not found.agrees(Form.of(warehouse.settings)):
                    version = _staged(warehouse, table, entry, pointer, before, author)
                    changes.append(Change(published(warehouse, version, moved=True), version, pointer))
            warehouse.storage.sync(one.version.location for one in changes if one.version is not None)
        except TaskError:
            for one in changes:
                if one.version is not None:
                    discard(warehouse.storage, one.version.location)
            raise
        return changes

    return commit(warehouse, [table.full_name], author, build)


def _staged(
    warehouse: Warehouse, table: Table, entry: Entry, pointer: Pointer, before: Mapping[str, Record], author: Writer
) -> Version:
    record = before[pointer.partition]
    with tempfile.TemporaryDirectory(prefix="rewrite-") as folder, in_context(table.full_name, pointer.partition):
        paths = [
            _copied(warehouse, table, join(pointer.location, file.path), Path(folder) / name_of(file.path))
            for file in record.files
        ]
        version = stage(warehouse, entry, table, pointer.partition, paths, record.groups, author)
    try:
        verify(warehouse, table, version, rows=record.rows)
        told = replace(version, record=replace(version.record, retracted=record.retracted))
        return seal(warehouse, told, pointer)
    except TaskError:
        discard(warehouse.storage, version.location)
        raise


def _copied(warehouse: Warehouse, table: Table, location: str, target: Path) -> Path:
    """Write a file's row groups, one at a time, as they are meant now."""
    schema = table.arrow_schema()
    with warehouse.storage.open(location) as source, readable(location):
        file = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
        with parquet.writer(target, schema, Form.of(warehouse.settings)) as writer:
            for n in range(file.num_row_groups):
                group = file.read_row_group(n).cast(schema)
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
    return target
