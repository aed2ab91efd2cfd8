"""Whether a catalog keeps what a run gives it, asked by the calls that a run uses, in a scratch table."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from bigmama_nb.errors import NOTHING_CHANGED, CatalogError, with_state
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.form import other_form
from bigmama_nb.warehouse.storage.protocol import join

KOREAN = "동시 시청자 수"


def require_tables(warehouse: Warehouse, tables: Sequence[Table]) -> None:
    """Ask for each table and its partitions as a run does, and compare their form with the profile's.

    Raises:
        CatalogError: the catalog does not answer, or a table stands in another form.
        StorageError: a current file cannot be read.
    """
    for table in tables:
        if warehouse.catalog.entry(table.full_name) is not None:
            problem = other_form(warehouse, table.full_name)
            if problem is not None:
                raise CatalogError(with_state(problem, NOTHING_CHANGED), place=table.full_name)


def require_kept_text(warehouse: Warehouse, table: Table) -> None:
    """Make a scratch table with a Korean comment beside `table`, read it back, and drop it again.

    Raises:
        CatalogError: the table cannot be made, or its comment reads back as something else.
    """
    columns = tuple(replace(column, comment=KOREAN) for column in table.columns)
    name = f"comment_check_{secrets.token_hex(4)}"
    scratch = replace(table, name=name, comment=KOREAN, columns=columns)
    location = join(warehouse.settings.uri, f"{table.database}.db", name)
    try:
        entry = warehouse.catalog.ensure(scratch, location)
        warehouse.catalog.current(scratch.full_name, [scratch.partition_name("check")])
    finally:
        warehouse.catalog.drop(scratch.full_name)
        warehouse.storage.delete(location)
    for what, found in [("a table's", entry.comment), ("a column's", entry.columns[0][2])]:
        if found != KOREAN:
            raise CatalogError(
                f"{warehouse.settings.metastore}: {what} comment {KOREAN!r} reads back as {found!r}: the metastore's "
                "database does not keep Korean. Tables and figures are not affected, their comments are. Make the "
                "columns COLUMNS_V2.COMMENT, PARTITION_KEYS.PKEY_COMMENT and TABLE_PARAMS.PARAM_VALUE utf8mb4 (MySQL, "
                "MariaDB), then run 'run_all.py check' again. The scratch table is dropped.",
                place=warehouse.settings.metastore,
            )
