"""Spark for Ibis, by a master or by Spark Connect: the rows stay with the executors, which write the files.

Nothing here touches the JVM past PySpark's own calls, so a session of either kind serves.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import uuid
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from bigmama_nb.engines import PIECE_BITS, Use
from bigmama_nb.engines.spark_errors import refusals
from bigmama_nb.engines.spark_sql import pairs, quoted, sql
from bigmama_nb.errors import SourceError, UsageError, explain

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

INSTALL = "pip install 'bigmama-nb[spark]'"

TIMESTAMP_TYPE = "spark.sql.parquet.outputTimestampType"
TIMESTAMP_TYPES = {"int64": "TIMESTAMP_MICROS", "int96": "INT96"}
SAFE = {
    "spark.sql.session.timeZone": "UTC",
    # An overflow or a bad cast is an error, never a null or a wrong number.
    "spark.sql.ansi.enabled": "true",
    # part_date and date_id are strings.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    TIMESTAMP_TYPE: TIMESTAMP_TYPES["int64"],
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.caseSensitive": "true",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}
"""What every session is set to: the tables' meaning rests on it."""

QUIET = {
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}

CONNECT_PORT = 15002
CONNECT_WAIT_S = 10

ROW_GROUP_BYTES = 16 << 20
"""Small enough that a reader of one live skips most of a file."""


class SparkEngine:
    """A Spark session of its own.

    Args:
        master: `local[2]`, `yarn`, `spark://host:7077` …; this process is the driver.
        remote: a Spark Connect server, `sc://host:15002`. One of the two.
        conf: Spark's configuration, passed through.
        scratch: a new folder that driver and executors reach, for what is kept between steps.
        remove: deletes that folder with all that is in it.
        driver_memory: bytes for the driver's JVM, which with a local master is the executor too; null: Spark's own.
        timestamp: how instants are written in Parquet.

    Raises:
        UsageError: pyspark is not installed, or `conf` contradicts what the tables rest on.
        TaskError: the server does not answer.
    """

    def __init__(
        self,
        *,
        master: str | None = None,
        remote: str | None = None,
        conf: Mapping[str, str] | None = None,
        scratch: str,
        remove: Callable[[str], None],
        driver_memory: int | None = None,
        timestamp: Literal["int64", "int96"] = "int64",
        compression: Literal["zstd", "snappy", "gzip"] = "zstd",
    ) -> None:
        settings = dict(conf or {})
        _require_safe(settings)
        self._compression = compression
        self._scratch, self._remove, self._remote = scratch.rstrip("/"), remove, remote
        self._written: set[str] = set()
        self._count = 0
        with refusals():
            self._session, self._stops = _session(master, remote, settings, driver_memory)
            for name, value in (SAFE | {TIMESTAMP_TYPE: TIMESTAMP_TYPES[timestamp]}).items():
                self._session.conf.set(name, value)

    @property
    def session(self) -> SparkSession:
        """The session, for what a test or a benchmark asks of it."""
        return self._session

    @property
    def memory_limit(self) -> int:
        """No limit of ours: Spark cuts the work into tasks itself, and spills."""
        return sys.maxsize

    @property
    def executors(self) -> SparkEngine:
        """This engine: its executors write."""
        return self

    def read(self, paths: Sequence[str], name: str, schema: pa.Schema) -> ir.Table:
        """Return the columns of `schema` of Parquet files."""
        if not paths:
            return self.table(schema.empty_table(), name)
        # Without it every `key=value` in a path would be a column, and replace one of the files' own.
        reader = self._session.read.schema(_ddl(schema)).option("recursiveFileLookup", "true")
        with refusals():
            reader.parquet(*(_located(path) for path in paths)).createOrReplaceTempView(name)
        return ibis.table(ibis.Schema.from_pyarrow(schema), name=name)

    def table(self, rows: pa.Table, name: str) -> ir.Table:
        """Return a small Arrow table as a relation that every executor is sent whole."""
        # Spark says of what it returns that it cannot be null; tables that are united must say the same.
        rows = rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema]))
        with refusals():
            self._session.createDataFrame(rows).createOrReplaceTempView(name)
        return ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name)

    def keep(self, expression: ir.Table, name: str, use: Use = "often") -> ir.Table:
        """Return an expression as a table to build on.

        What several others are built on is written to the scratch folder: plans stay short, and a lost executor takes
        nothing with it that was finished.
        """
        if use == "small":
            return self.table(self.arrow(expression), name)
        with refusals():
            frame = self._session.sql(sql(expression))
            if use == "often":
                self._count += 1
                folder = f"{self._scratch}/{name}-{self._count}"
                self._written.add(folder)
                frame.write.option("compression", "zstd").parquet(_located(folder))
                frame = self._session.read.schema(frame.schema).parquet(_located(folder))
            frame.createOrReplaceTempView(name)
        return ibis.table(expression.schema(), name=name)

    def keep_sorted(self, expression: ir.Table, name: str, by: Sequence[str]) -> ir.Table:
        """Keep an expression's rows; Spark keeps no order but within what `write` writes."""
        return self.keep(expression, name)

    def stretch(self, kept: ir.Table, name: str, by: str, first: int, end: int) -> ir.Table:
        """Return the rows with `by` from `first` up to `end`."""
        return kept.filter(kept[by] >= first, kept[by] < end)

    def forget(self, *names: str) -> None:
        """Do nothing yet: views that are not computed may still read what was kept."""

    def forget_all(self) -> None:
        """Delete what was kept."""
        if self._written:
            self._remove(self._scratch)
            self._written.clear()

    def pairs(self, devices: ir.Table) -> ir.Table:
        """Explode each device's events beside the same list without its first; the last one's next is null."""
        view = f"pairs_{uuid.uuid4().hex}"
        kept = self.keep(devices.select("live_no", "device_no", "events"), f"{view}_of", "once")
        with refusals():
            self._session.sql(pairs(f"{view}_of")).createOrReplaceTempView(view)
        schema = kept.schema()
        event = schema["events"].value_type
        return ibis.table(
            {"live_no": schema["live_no"], "device_no": schema["device_no"], "event": event, "next_event": event},
            name=view,
        )

    def numbered(self, rows: ir.Table, name: str, *, group: str, piece: str, by: Sequence[str], same: str) -> ir.Table:
        """Number every piece of a group by itself: a group with half of all rows is 256 pieces of work and not one."""
        place: dict[str, Any] = {
            "group_by": [group, piece],
            "order_by": [ibis.asc(column, nulls_first=False) for column in by],
        }
        own = _[same]
        found = rows.mutate(
            place=_[piece].cast("int64") * (1 << PIECE_BITS) + ibis.row_number().over(**place),
            after_own=(own == own.lag().over(**place)).fill_null(False),
            before_own=(own == own.lead().over(**place)).fill_null(False),
        )
        return self.keep(found.drop(piece), name)

    def running(self, rows: ir.Table, name: str, *, value: str, group: Sequence[str], by: str) -> ir.Table:
        """Add up over a window of each group, by range: groups are parts of the work."""
        until = rows[value].sum().over(group_by=list(group), order_by=rows[by], range=(None, 0))
        return rows.mutate(before=ibis.literal(0, "int64"), until=until.cast("int64"))

    def spill(self, expression: ir.Table, name: str, by: str) -> dict[int, ir.Table]:
        """Return an expression's rows apart; never needed, since `memory_limit` is none."""
        kept = self.keep(expression, name)
        numbers = self.arrow(kept.select(by).distinct())[by].to_pylist()
        return {number: kept.filter(kept[by] == number) for number in sorted(numbers)}

    def as_written(self) -> contextlib.AbstractContextManager[None]:
        """Leave the order of joins to Spark, which knows the sizes."""
        return contextlib.nullcontext()

    def in_order(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: rows come in no order."""
        return contextlib.nullcontext()

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Return a small expression's rows."""
        with refusals():
            return self._session.sql(sql(expression)).toArrow()

    def write(self, expression: ir.Table, location: str, *, files: int, nth: str, by: Sequence[str]) -> None:
        """Write rows into `part-<nth>-….parquet`: a file's rows, their order and its bytes depend on the rows alone."""
        with refusals():
            frame: DataFrame = self._session.sql(sql(expression))
            apart = frame.repartitionById(files, nth) if files > 1 else frame.repartition(1)
            ordered = apart.sortWithinPartitions(*(quoted(name) for name in by)).drop(nth, *by)
            writer = ordered.write.option("compression", self._compression)
            for option, value in {
                "parquet.compression.codec.zstd.level": "1",
                "parquet.block.size": str(ROW_GROUP_BYTES),
                "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
            }.items():
                writer = writer.option(option, value)
            writer.parquet(_located(location))

    def catalog_table(self, full_name: str, schema: pa.Schema, name: str) -> ir.Table:
        """Return the columns of `schema` of a table in a catalog."""
        columns = ", ".join(f"CAST({quoted(f.name)} AS {_TYPES[f.type]}) AS {quoted(f.name)}" for f in schema)
        with refusals():
            self._session.sql(f"SELECT {columns} FROM {_dotted(full_name)}").createOrReplaceTempView(name)
        return ibis.table(ibis.Schema.from_pyarrow(schema), name=name)

    def catalog_schema(self, full_name: str) -> pa.Schema:
        """Return the columns of a table in a catalog, those of types that Arrow has no like for as null's."""
        from pyspark.errors import AnalysisException

        try:
            with refusals():
                found = self._session.table(_dotted(full_name)).schema
        except AnalysisException as error:
            raise SourceError(
                "source_missing",
                explain(
                    full_name,
                    f"Spark finds no such table ({str(error).splitlines()[0]})",
                    step="look at live_play.sources.catalog in the profile, and at spark.sql.catalog in engine.conf",
                ),
                place=full_name,
            ) from None
        known = {name: type_ for type_, name in _TYPES.items()}
        return pa.schema([(f.name, known.get(f.dataType.simpleString().upper(), pa.null())) for f in found])

    def catalog_values(self, full_name: str, partition: str, values: Collection[str]) -> set[str]:
        """Return those of `values` that are partitions: as the catalog lists them, or else as the rows have them."""
        from pyspark.errors import AnalysisException

        found = set()
        for value in values:
            where = f"{quoted(partition)} = '{value}'"
            try:
                with refusals():
                    listed = self._session.sql(f"SHOW PARTITIONS {_dotted(full_name)} PARTITION ({where})").collect()
            except AnalysisException:
                # A table format that keeps its partitions to itself: rows must say.
                with refusals():
                    listed = self._session.sql(f"SELECT 1 FROM {_dotted(full_name)} WHERE {where} LIMIT 1").collect()
            if listed:
                found.add(value)
        return found

    def close(self) -> None:
        """Delete what was kept, and end the session; an application that others had started goes on."""
        # One that is gone has ended by itself, and what is left in its folder goes with the versions' grace.
        with contextlib.suppress(Exception):
            self.forget_all()
        if self._stops:
            with contextlib.suppress(Exception):
                if self._remote is not None:
                    _probe(self._remote)
                self._session.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _session(
    master: str | None, remote: str | None, conf: dict[str, str], driver_memory: int | None
) -> tuple[SparkSession, bool]:
    """Return a session of our own, and whether closing the engine ends its application."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            f"engine.kind is 'spark', and pyspark is not installed ({error})", step=f"'{INSTALL}' installs it"
        ) from None
    if remote is not None:
        return _connected(remote, conf), True
    running = SparkSession.getActiveSession()
    if running is not None:
        session = running.newSession()
        for name, value in conf.items():
            # What an application was started with stays as it is.
            if session.conf.isModifiable(name):
                session.conf.set(name, value)
        return session, False
    assert master is not None
    local = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # Where executors are threads of the driver, one out of memory would end the JVM before it could say so.
        "spark.executor.killOnFatalError.depth": "0",
    }
    settings = QUIET | (local if master.startswith("local") else {})
    if driver_memory is not None:
        settings["spark.driver.memory"] = f"{driver_memory >> 20}m"
    builder = SparkSession.builder.master(master).appName("bigmama-nb")
    for name, value in (settings | conf).items():
        builder = builder.config(name, value)
    return builder.getOrCreate(), True


def _probe(remote: str) -> None:
    """Raise SourceError (unreachable) where nobody answers: Spark's own client would try for ten minutes."""
    place = urlsplit(remote.partition(";")[0])
    try:
        socket.create_connection((place.hostname or "", place.port or CONNECT_PORT), timeout=CONNECT_WAIT_S).close()
    except OSError as error:
        raise SourceError(
            "unreachable",
            explain(
                f"{place.hostname}:{place.port or CONNECT_PORT}",
                f"Spark Connect does not answer there ({error})",
                step="look at engine.remote, and at the server",
            ),
        ) from None


def _connected(remote: str, conf: Mapping[str, str]) -> SparkSession:
    """Return a new session of a Spark Connect server."""
    from pyspark.sql import SparkSession

    _probe(remote)
    try:
        with warnings.catch_warnings():
            # Of pandas 3, which nothing here hands to Spark.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            session = SparkSession.builder.remote(remote).create()
    except (ImportError, SystemExit) as error:
        # pyspark takes a program without a file for a doctest of its own, and ends it with success.
        why = str(error).splitlines()[0] if isinstance(error, ImportError) else "pyspark says on stderr what"
        raise UsageError(
            f"engine.remote asks for Spark Connect, and what it needs is not installed ({why})",
            step=f"'{INSTALL}' installs it",
        ) from None
    finally:
        # Else every process that this one starts, and its own later sessions, would be clients too.
        os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    for name, value in conf.items():
        session.conf.set(name, value)
    return session


def _require_safe(conf: Mapping[str, str]) -> None:
    for name, value in SAFE.items():
        if name in conf and conf[name].lower() != value.lower():
            raise UsageError(
                f"engine.conf sets {name} to {conf[name]!r}; the tables rest on {value!r}", step="take it out"
            )


_TYPES = {
    pa.string(): "STRING",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"{quoted(field.name)} {_TYPES[field.type]}" for field in schema)


def _dotted(full_name: str) -> str:
    return ".".join(quoted(part) for part in full_name.split("."))


def _located(path: str) -> str:
    """Return a path as Spark takes it: a local one is local whatever the cluster's file system, and nothing globs."""
    place = f"file://{path}" if path.startswith("/") else path
    return "".join(f"\\{letter}" if letter in "{}[]*?\\" else letter for letter in place)
