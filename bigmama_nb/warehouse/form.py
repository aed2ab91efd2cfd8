"""In which form a table's files are written, and that a table has one: who reads one partition reads all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pyarrow.parquet as pq

from bigmama_nb.errors import PARTITION_STAYS, ContractError, StorageError, with_state
from bigmama_nb.parquet import Form
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer, data_files
from bigmama_nb.warehouse.storage.protocol import Storage, name_of
from bigmama_nb.warehouse.version import Version, readable


def form_of(storage: Storage, pointer: Pointer) -> Form | None:
    """Return the form of a version's first file; None where there is no file, or nothing in it."""
    for location in data_files(pointer, storage)[:1]:
        with storage.open(location) as source, readable(location):
            footer = pq.ParquetFile(source).metadata
        if footer.num_row_groups:
            columns = [footer.row_group(0).column(n) for n in range(footer.num_columns)]
            logical = [footer.schema.column(n).logical_type.type for n in range(footer.num_columns)]
            stamps = [
                column.physical_type.lower()
                for column, kind in zip(columns, logical, strict=True)
                if kind == "TIMESTAMP" or column.physical_type == "INT96"
            ]
            return Form(columns[0].compression.lower(), stamps[0] if stamps else None)
    return None


def standing_form(warehouse: Warehouse, pointers: Sequence[Pointer]) -> tuple[str, Form] | None:
    """Return a partition of `pointers` that this program wrote, with its form: a table has one.

    One that is damaged, or that somebody wrote over, says nothing: whoever reads or brings its rows is told of it.
    """
    for pointer in pointers:
        if pointer.run is None:
            continue
        with contextlib.suppress(StorageError):
            found = form_of(warehouse.storage, pointer) if _has_its_size(warehouse.storage, pointer) else None
            if found is not None:
                return pointer.partition, found
    return None


def _has_its_size(storage: Storage, pointer: Pointer) -> bool:
    if pointer.files is None:
        return True
    there = {name_of(one.location): one.bytes for one in storage.list(pointer.location)}
    return sum(there.get(name, 0) for name in pointer.files) == pointer.bytes


def require_one_form(warehouse: Warehouse, table: str, versions: Sequence[Version]) -> None:
    """Raise ContractError where `versions`, which are to become current, stand in another form than the other rows.

    Partitions that others wrote and nobody has published since count for nothing.
    """
    moving = {version.record.partition for version in versions}
    found = standing_form(warehouse, [version.pointer() for version in versions])
    if found is None:
        return
    others = warehouse.catalog.current(table).values()
    stands = standing_form(warehouse, [one for one in reversed(list(others)) if one.partition not in moving])
    if stands is not None and not stands[1].agrees(found[1]):
        raise ContractError(
            with_state(
                f"{table} {found[0]} is written in {found[1]}, and {stands[0]} stands in {stands[1]}: a table has one "
                "form, for a reader of the one may not read the other",
                PARTITION_STAYS,
                "'run_all.py republish --form' rewrites the tables as warehouse.readers, compression and timestamp "
                "say; or set those back",
            ),
            place=table,
        )


def other_form(warehouse: Warehouse, table: str) -> str | None:
    """Return what is to be done where a table stands in another form than the profile asks for, else None."""
    stands = standing_form(warehouse, list(warehouse.catalog.current(table).values()))
    asked = Form.of(warehouse.settings)
    if stands is None or stands[1].agrees(asked):
        return None
    return (
        f"{table} stands in {stands[1]}, and the profile asks for {asked}; 'run_all.py republish --form' rewrites it. "
        "Until then a run publishes nothing there."
    )
