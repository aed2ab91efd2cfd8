"""Part files whose bytes depend on the rows alone: fixed row groups, cut by size, one writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb import parquet
from bigmama_nb.errors import StorageError, explain
from bigmama_nb.live_play.result import Options, TableFiles
from bigmama_nb.parquet import Form
from bigmama_nb.tables.contract import Table

ROW_GROUP = 262_144
FILE_BYTES = 256_000_000


class PartWriter:
    """Writes a table's rows, in the order given, into `part-0.parquet` and so on.

    Nothing counts as written before `close`; a failed write leaves files that only the caller's folder knows of. They
    wait here for the publish, which syncs what it takes.
    """

    def __init__(self, table: Table, folder: Path, options: Options, *, file_bytes: int = FILE_BYTES) -> None:
        self._table = table
        self._form = Form.of(options)
        self._folder = folder / table.name
        self._file_bytes = file_bytes
        self._paths: list[Path] = []
        self._rows = 0
        self._sink: pa.NativeFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._folder.mkdir(parents=True, exist_ok=True)

    def whole(
        self, batches: Iterable[pa.Table], rows: Callable[[pa.Table], pa.Table] = lambda group: group
    ) -> TableFiles:
        """Write all batches and return the files; `rows` makes the table's rows of what is to be one row group.

        Raises:
            StorageError: the disk refused.
        """
        try:
            for group in self._groups(batches):
                self.write(rows(group))
            return self.close()
        finally:
            self._abandon()

    def _groups(self, batches: Iterable[pa.Table]) -> Iterable[pa.Table]:
        """Return the batches as tables of exactly one row group each, but for the last."""
        waiting: list[pa.Table] = []
        held = 0
        for batch in batches:
            waiting.append(batch)
            held += batch.num_rows
            while held >= ROW_GROUP:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, ROW_GROUP)
                rest = whole.slice(ROW_GROUP)
                waiting, held = [rest] if rest.num_rows else [], rest.num_rows
        if waiting:
            yield pa.concat_tables(waiting)

    def write(self, group: pa.Table) -> None:
        """Write one row group; strings may be dictionaries.

        Raises:
            StorageError: the disk refused.
        """
        try:
            if self._writer is None or self._sink is None:
                self._open(group.schema)
            assert self._writer is not None
            assert self._sink is not None
            self._writer.write_table(group, row_group_size=max(group.num_rows, 1))
            self._rows += group.num_rows
            if self._sink.tell() >= self._file_bytes:
                self._close()
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> TableFiles:
        """Finish the last file and return what was written: one file without rows, where there were none."""
        try:
            if not self._paths:
                self._open(self._table.arrow_schema())
            self._close()
        except OSError as error:
            raise self._refused(error) from error
        return TableFiles(tuple(self._paths), self._rows)

    def _abandon(self) -> None:
        """Let go of an open file without finishing it: an unfinished one has no footer, and nobody can read it."""
        if self._writer is not None:
            # Else it would write a footer when it is collected: a valid file, and a short one.
            self._writer.is_open = False
        if self._sink is not None:
            self._sink.close()
        self._sink = self._writer = None

    def _open(self, schema: pa.Schema) -> None:
        path = self._folder / parquet.part_name(len(self._paths))
        self._paths.append(path)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = parquet.writer(self._sink, schema, self._form, quick=True)

    def _close(self) -> None:
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.close()
        self._sink = self._writer = None

    def _refused(self, error: OSError) -> StorageError:
        self._abandon()
        return StorageError(
            explain(
                self._table.full_name,
                f"{self._folder} could not be written ({error})",
                step="make room there and run again",
            ),
            place=str(self._folder),
        )
