"""DuckDB for Ibis: one process, bounded memory, UTC."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler

from bigmama_nb.engines import Use, size
from bigmama_nb.errors import PLEASE_REPORT, ContractError, SourceError, StorageError, explain


class _Compiler(DuckDBCompiler):  # type: ignore[misc]  # Ibis is not typed here
    def visit_FloorDivide(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        # As `spark_sql` has it, and a quarter of the time.
        return sge.IntDiv(this=sge.paren(left, copy=False), expression=sge.paren(right, copy=False))


_COMPILER = _Compiler()

OUT_OF_ORDER = "rows do not lie as they were sorted"
"""What a statement says that counts on their order and looks at it."""


class DuckDBEngine:
    """DuckDB in memory, with what does not fit in a scratch folder of its own.

    Args:
        memory_limit: what DuckDB may hold, as `4GB` or bytes.
        threads: how many it may use; by default all cores that this process may run on.
        scratch: where the scratch folder is made; by default the system's.
    """

    def __init__(self, memory_limit: str | int = "4GB", *, threads: int | None = None, scratch: Path | None = None):
        self._limit = size(memory_limit)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._folder = Path(tempfile.mkdtemp(prefix="live_play-", dir=scratch))
        self._compiled: dict[Any, str] = {}
        connection = duckdb.connect()
        for setting, value in {
            "TimeZone": "UTC",
            "memory_limit": f"{self._limit}B",
            "threads": self._threads,
            "temp_directory": str(self._folder / "temp"),
            # The order in which rows leave is what the files are written in; the writer checks it.
            "preserve_insertion_order": True,
            # By default each thread holds half a million rows, and a spill of fifty million cost 1.7 times as much.
            "partitioned_write_flush_threshold": 131_072,
            "autoinstall_known_extensions": False,
        }.items():
            connection.execute(f"SET {setting} = ?", [value])
        connection.execute("CREATE TEMP MACRO unix_micros(instant) AS epoch_us(instant)")
        with contextlib.suppress(duckdb.InvalidInputException):
            # Refused in a kernel without ipywidgets, where there is no bar anyway.
            connection.execute("SET enable_progress_bar = false")
        self._duckdb = connection

    @property
    def memory_limit(self) -> int:
        """Bytes that DuckDB may hold."""
        return self._limit

    @property
    def executors(self) -> None:
        """None: rows come back to this process, which writes them."""

    def read(self, paths: Sequence[str], name: str, schema: pa.Schema) -> ir.Table:
        """Return the columns of `schema` of Parquet files, typed as they are."""
        return self._files(paths, name, ", ".join(f'"{column}"' for column in schema.names))

    def table(self, rows: pa.Table, name: str) -> ir.Table:
        """Return a small Arrow table as one of DuckDB's, copied."""
        self._duckdb.register("incoming", rows)
        self._duckdb.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM incoming")
        self._duckdb.unregister("incoming")
        return self._named(name)

    def keep(self, expression: ir.Table, name: str, use: Use = "often") -> ir.Table:
        """Compute an expression into a temporary table, which goes to disk where memory is short."""
        # Ibis's create_table(overwrite=True) depends on the sqlglot version.
        self._run(f"CREATE OR REPLACE TEMP TABLE {name} AS {self._typed(expression)}")
        return ibis.table(expression.schema(), name=name)

    def keep_sorted(self, expression: ir.Table, name: str, by: Sequence[str]) -> ir.Table:
        """Compute an expression into a temporary table whose rows lie in order."""
        return self.keep(expression.order_by(list(by)), name)

    def stretch(self, kept: ir.Table, name: str, by: str, first: int, end: int) -> ir.Table:
        """Say what a view of this name is of: an expression on it need not be built and compiled again."""
        self._run(
            f"CREATE OR REPLACE TEMP VIEW {name} AS FROM ({self._typed(kept)}) WHERE {by} >= {first} AND {by} < {end}"
        )
        return ibis.table(kept.schema(), name=name)

    def forget(self, *names: str) -> None:
        """Drop temporary tables and what was spilled under these names."""
        for name in names:
            self._duckdb.execute(f"DROP TABLE IF EXISTS {name}")
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def forget_all(self) -> None:
        """Drop every temporary table and what was spilled."""
        tables = self._duckdb.sql("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
        self.forget(*(str(name) for (name,) in tables))

    def pairs(self, devices: ir.Table) -> ir.Table:
        """Unnest each device's events beside the same list without its first; DuckDB fills the last with null."""
        return devices.select(
            "live_no", "device_no", event=devices.events.unnest(), next_event=devices.events[1:].unnest()
        )

    def numbered(self, rows: ir.Table, name: str, *, group: str, piece: str, by: Sequence[str], same: str) -> ir.Table:
        """Sort all rows once, and number them by where they lie: a window of each group costs more."""
        kept = self.keep(rows.drop(piece).order_by([ibis.asc(key, nulls_first=False) for key in (group, *by)]), name)

        def beside(way: str, key: str, sign: str) -> str:
            return f"{group} = {way}({group}) OVER () AND {key} {sign} {way}({key}) OVER ()"

        falls = f"{group} < lag({group}) OVER () OR {beside('lag', by[0], '<')}"
        self._run(
            f"CREATE OR REPLACE TEMP VIEW {name}_numbered AS SELECT {', '.join(kept.columns)}, rowid AS place, "
            f"CASE WHEN rowid <> row_number() OVER () - 1 OR {falls} THEN error('{OUT_OF_ORDER}') "
            f"ELSE COALESCE({beside('lag', same, '=')}, FALSE) END AS after_own, "
            f"COALESCE({beside('lead', same, '=')}, FALSE) AS before_own FROM {name}"
        )
        schema = {**kept.schema(), "place": "int64", "after_own": "boolean", "before_own": "boolean"}
        return ibis.table(schema, name=f"{name}_numbered")

    def running(self, rows: ir.Table, name: str, *, value: str, group: Sequence[str], by: str) -> ir.Table:
        """Add up over all rows as they pass in order, a third of what a window of each group costs."""
        # As a table its numbers' ranges are known, and sorting packs them: a third of the time.
        self.keep(rows, name)
        passing = [f"{way}({key}) OVER () AS {way}_{key}" for way in ("lag", "lead") for key in group]
        goes_on = {way: " AND ".join(f"{key} = {way}_{key}" for key in group) for way in ("lag", "lead")}
        self._run(
            f"CREATE OR REPLACE TEMP VIEW {name}_summed AS SELECT {', '.join(rows.columns)}, "
            f"CASE WHEN {goes_on['lag']} THEN NULL ELSE summed - added END AS before, "
            f"CASE WHEN {goes_on['lead']} AND following < {by} THEN error('{OUT_OF_ORDER}') "
            f"WHEN {goes_on['lead']} AND following = {by} THEN NULL ELSE summed END AS until "
            f"FROM (SELECT *, CAST({value} AS BIGINT) AS added, "
            f"CAST(sum({value}) OVER (ROWS UNBOUNDED PRECEDING) AS BIGINT) AS summed, "
            f"{', '.join(passing)}, lead({by}) OVER () AS following "
            f"FROM (FROM {name} ORDER BY {', '.join(group)}, {by}))"
        )
        return ibis.table({**rows.schema(), "before": "int64", "until": "int64"}, name=f"{name}_summed")

    def spill(self, expression: ir.Table, name: str, by: str) -> dict[int, ir.Table]:
        """Write an expression's rows into one folder for each value of `by`."""
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        self._run(
            f"COPY ({self._typed(expression)}) TO {_quoted(str(folder))} "
            f"(FORMAT parquet, PARTITION_BY ({by}), COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1, "
            f"ROW_GROUP_SIZE 20480)"
        )
        written = {}
        for part in sorted(folder.glob(f"{by}=*")):
            files = [str(path) for path in sorted(part.glob("*.parquet"))]
            number = int(part.name.removeprefix(f"{by}="))
            written[number] = self._files(files, f"{name}_{number}")
        return written

    @contextlib.contextmanager
    def as_written(self) -> Iterator[None]:
        """Keep the optimizer from reordering joins: it would build on the log, and read it with one thread."""
        self._duckdb.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        try:
            yield
        finally:
            self._duckdb.execute("SET disabled_optimizers = ''")

    @contextlib.contextmanager
    def in_order(self) -> Iterator[None]:
        """Use one thread: two would mix the rows, `preserve_insertion_order` or not."""
        with self.as_written():
            self._duckdb.execute("SET threads = 1")
            try:
                yield
            finally:
                self._duckdb.execute("SET threads = ?", [self._threads])

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Return an expression's rows, with DuckDB's types."""
        with _refusals():
            return self._duckdb.sql(self._typed(expression)).to_arrow_table()

    def close(self) -> None:
        """Close the connection and remove the scratch folder."""
        self._duckdb.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _files(self, paths: Sequence[str], name: str, columns: str = "*") -> ir.Table:
        files = ", ".join(_quoted(_literal(path)) for path in paths)
        # A path may hold words with "=", which are no columns.
        self._run(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {columns} "
            f"FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true)"
        )
        return self._named(name)

    def _run(self, sql: str) -> None:
        with _refusals():
            self._duckdb.execute(sql)

    def _named(self, name: str) -> ir.Table:
        # Ibis's own look at a table goes through a call that DuckDB 2 warns of.
        schema = self._duckdb.sql(f"FROM {name} LIMIT 0").to_arrow_table().schema
        return ibis.table(ibis.Schema.from_pyarrow(schema), name=name)

    def _typed(self, expression: ir.Table) -> str:
        """Return the SQL of an expression with numbers of the types that Ibis declares.

        Ibis leaves out casts that it believes redundant, and DuckDB sums bigints to HUGEINT.
        """
        key = expression.op()
        if len(self._compiled) > 512:
            self._compiled.clear()
        if key in self._compiled:
            # A build asks the same of every bucket and day, and compiling costs more than a small answer.
            return self._compiled[key]
        sql = _select(expression)
        casts = [f'CAST("{name}" AS {number}) AS "{name}"' for name, number in _numbers(expression)]
        self._compiled[key] = f"SELECT * REPLACE ({', '.join(casts)}) FROM ({sql})" if casts else sql
        return self._compiled[key]


def _select(expression: ir.Table) -> str:
    """Return the SQL of an expression, a subquery for each step: DuckDB joins them in no time, and Ibis takes some."""
    sql = ibis.options.sql
    fuses, sql.fuse_selects = sql.fuse_selects, False
    try:
        return str(_COMPILER.to_sqlglot(expression).sql(dialect=_COMPILER.dialect, copy=False))
    finally:
        sql.fuse_selects = fuses


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Say what DuckDB refuses for want of room or for a damaged file as errors of ours; anything else is a fault."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            explain(
                "DuckDB",
                f"engine.memory_limit does not do ({_first_line(error)})",
                step="raise the limit, or make room where DuckDB spills",
            ),
            place="engine.memory_limit",
        ) from error
    except duckdb.Error as error:
        if OUT_OF_ORDER in str(error):
            raise ContractError(explain("DuckDB", OUT_OF_ORDER, step=PLEASE_REPORT), place="engine") from error
        if "No space left" in str(error):
            raise StorageError(
                explain("DuckDB", f"no room left to spill ({_first_line(error)})", step="make room and run again"),
                place="engine",
            ) from error
        if isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
            raise SourceError(
                "source_corrupt",
                explain("DuckDB", f"a file cannot be read ({_first_line(error)})", step="write the file again"),
            ) from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


_NUMBERS = {"int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE"}


def _numbers(expression: ir.Table) -> list[tuple[str, str]]:
    typed = [(name, str(dtype.copy(nullable=True))) for name, dtype in expression.schema().items()]
    return [(name, _NUMBERS[dtype]) for name, dtype in typed if dtype in _NUMBERS]


def _literal(path: str) -> str:
    """Return a path as DuckDB reads it: nothing in it is a pattern."""
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
