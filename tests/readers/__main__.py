"""Ask every reader for every table in both forms, on HDFS, and print what came: `python -m tests.readers`.

It needs Java 17, and Java 24 for Trino. The table stands in docs/operations/hive.md.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from bigmama_nb.warehouse import Warehouse
from tests.publishing import Settings
from tests.readers import asked as readers
from tests.readers.asked import COPIES, SERVERS, Asked, Rows, exported
from tests.readers.tables import filled, publish
from tests.services.hdfs import hdfs
from tests.services.hive2 import CannotReadError
from tests.services.hive3 import metastore3
from tests.services.hive4 import metastore4

FORMS: dict[str, tuple[Literal["zstd", "snappy"], Literal["int64", "int96"]]] = {
    "zstd, INT64": ("zstd", "int64"),
    "snappy, INT96": ("snappy", "int96"),
}


def cell(read: Callable[[], Rows], expected: Rows) -> str:
    """Return what a cell says: equal, or in a word what else."""
    try:
        found = read()
    except CannotReadError:
        return "cannot read"
    if found == expected:
        return "equal"
    differing = sum(one != other for one, other in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
    return f"{differing} of {len(expected)} rows differ"


def lines(folder: Path) -> Iterator[str]:
    """Yield the table's lines: a reader, a form and all tables each."""
    names = [one.table.name for one in filled("any")]
    yield "| reader | files | " + " | ".join(f"`{name}`" for name in names) + " |"
    yield "| --- " * (len(names) + 2) + "|"
    for form in FORMS:
        asked = published(form, metastore4().uri, folder)
        for name, read in {"Hive 2.3.9": readers.by_hive2, **SERVERS, "Trino 476": readers.by_trino}.items():
            yield _line(name, form, [partial(read, one) for one in asked], asked)
        copies = [exported(one, folder / form) for one in asked]
        for name, opened in COPIES.items():
            reads = [partial(opened, one, copy) for one, copy in zip(asked, copies, strict=True)]
            yield _line(f"`export`, then {name}", form, reads, asked)
        by_hive3 = published(form, metastore3().uri, folder)
        for name, read in {"Hive 2.3.9": readers.by_hive2, "`sql`": readers.by_sql}.items():
            yield _line(f"metastore 3.1.3, then {name}", form, [partial(read, one) for one in by_hive3], by_hive3)


def published(form: str, metastore: str, folder: Path) -> list[Asked]:
    """Publish every table to HDFS and a metastore, in a database of its own."""
    compression, timestamp = FORMS[form]
    database = f"readers_{secrets.token_hex(4)}"
    settings = Settings(
        f"{hdfs().uri}/{database}", metastore, database=database, compression=compression, timestamp=timestamp
    )
    tables = filled(database)
    with Warehouse.open(settings) as warehouse:
        publish(warehouse, tables, folder)
    return [Asked(settings, one) for one in tables]


def _line(name: str, form: str, reads: Sequence[Callable[[], Rows]], asked: Sequence[Asked]) -> str:
    found = [cell(read, one.expected) for read, one in zip(reads, asked, strict=True)]
    return f"| {name} | {form} | " + " | ".join(found) + " |"


def main() -> None:
    """Print the table as it grows."""
    with tempfile.TemporaryDirectory() as folder:
        for line in lines(Path(folder)):
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
