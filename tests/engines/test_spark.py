"""Opening Spark: what is refused before anything runs, and what is said when Spark fails."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines.spark import SAFE, SparkEngine
from bigmama_nb.engines.spark_errors import refusals
from bigmama_nb.errors import SourceError, TaskError, UsageError
from tests.services import free_port
from tests.services.spark import removed, small_spark


def opened(**arguments: object) -> SparkEngine:
    return SparkEngine(scratch="/nowhere", remove=removed, **arguments)  # type: ignore[arg-type]


def test_without_pyspark_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a usage error: nothing was run."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(
        UsageError, match=r"engine.kind is 'spark', and pyspark is not installed .*Nothing was run; "
    ) as told:
        opened(master="local[2]")
    assert str(told.value).endswith("'pip install 'bigmama-nb[spark]'' installs it.")


WITHOUT_GRPC = """
import socket, sys
sys.modules["grpc"] = None
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.errors import UsageError
with socket.create_server(("127.0.0.1", 0)) as server:
    try:
        SparkEngine(remote=f"sc://127.0.0.1:{server.getsockname()[1]}", scratch="/nowhere", remove=print)
    except UsageError as error:
        print(error)
"""


def test_without_grpc_connect_names_what_installs_it(tmp_path: Path) -> None:
    """pyspark alone is no client of Spark Connect."""
    script = tmp_path / "without_grpc.py"
    script.write_text(WITHOUT_GRPC)
    # In a process of its own: pyspark remembers what it found, and would miss grpc in every later test.
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert re.search(r"engine.remote asks for Spark Connect, .* is not installed .*'pip install", done.stdout)


@pytest.mark.parametrize("name", sorted(SAFE))
def test_what_the_tables_rest_on_is_not_configured_away(name: str) -> None:
    """The setting, its value and the one that is needed are named, and no session is opened."""
    with pytest.raises(UsageError, match=rf"^engine.conf sets {name} to 'other'; the tables rest on '{SAFE[name]}'"):
        opened(master="local[2]", conf={name: "other"})


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    """It is an error of the task, with what to look at."""
    with pytest.raises(SourceError, match=r"Spark Connect does not answer there .*look at engine.remote") as told:
        opened(remote=f"sc://127.0.0.1:{free_port()}", conf={}).close()
    assert told.value.reason == "unreachable"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    with small_spark(tmp_path_factory.mktemp("spark")) as engine:
        yield engine


def test_the_session_is_as_the_tables_need_it(spark: SparkEngine) -> None:
    """UTC, ANSI, strings for partitions, adaptive execution, microseconds."""
    assert {name: spark.session.conf.get(name) for name in SAFE} == SAFE
    with pytest.raises(Exception, match="ARITHMETIC_OVERFLOW"):
        spark.session.sql("SELECT 9223372036854775807 + 1").collect()


@pytest.mark.parametrize(
    ("timestamp", "compression", "physical"),
    [("int64", "zstd", "INT64"), ("int96", "snappy", "INT96"), ("int96", "gzip", "INT96")],
)
def test_files_are_written_in_the_form_asked_for(
    spark: SparkEngine,
    tmp_path: Path,
    timestamp: Literal["int64", "int96"],
    compression: Literal["zstd", "snappy", "gzip"],
    physical: str,
) -> None:
    """As Hive's own reader wants them, or as everything else does; the instant is the same."""
    instant = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    rows = pa.table({"seen_dt": pa.array([instant], pa.timestamp("us", tz="UTC")), "nth": pa.array([0], pa.int32())})
    own = {"master": "local[2]", "scratch": str(tmp_path / "scratch"), "remove": removed}
    with SparkEngine(**own, timestamp=timestamp, compression=compression) as engine:  # type: ignore[arg-type]
        table = engine.table(rows, "instants").mutate(turn=0)
        engine.write(table, str(tmp_path / "written"), files=1, nth="nth", by=("turn",))
    (path,) = (tmp_path / "written").glob("part-*.parquet")
    with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        assert file.schema.column(0).physical_type == physical
        assert file.metadata.row_group(0).column(0).compression == compression.upper()
        assert file.read()["seen_dt"].cast(pa.timestamp("us", tz="UTC")).to_pylist() == [instant]


def numbers(folder: Path) -> Path:
    """Write a Parquet file of one column."""
    path = folder / "numbers.parquet"
    pq.write_table(
        pa.table({"n": pa.array(range(100_000), pa.int64())}), path, compression="none", use_dictionary=False
    )
    return path


def spoil(path: Path) -> None:
    """Leave the footer whole, and break what it points at."""
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)


@pytest.mark.parametrize(("harm", "reason"), [(spoil, "source_corrupt"), (Path.unlink, "source_missing")])
def test_a_file_that_breaks_or_goes_while_it_is_read_is_named(
    spark: SparkEngine, tmp_path: Path, harm: Callable[[Path], None], reason: str
) -> None:
    """The task fails with the reason, and the message has the path."""
    path = numbers(tmp_path)
    rows = spark.read([str(path)], "numbers", pa.schema([("n", pa.int64())]))
    harm(path)
    with pytest.raises(SourceError, match=r"numbers\.parquet") as told:
        spark.arrow(rows.agg(total=rows.n.sum()))
    assert told.value.reason == reason


def test_a_fault_of_ours_is_no_task_that_failed(spark: SparkEngine) -> None:
    """A query that Spark does not understand goes through as it is."""
    with pytest.raises(Exception, match="UNRESOLVED_COLUMN") as told, refusals():
        spark.session.sql("SELECT nothing FROM RANGE(1)")
    assert not isinstance(told.value, TaskError)


OUT_OF_MEMORY = """
import sys
from pathlib import Path
from bigmama_nb.engines.spark_errors import refusals
from bigmama_nb.errors import StorageError
from tests.services.spark import small_spark
with small_spark(Path(sys.argv[1])) as engine:
    try:
        with refusals():
            engine.session.sql("SELECT sum(size(sequence(1, 300000000 + id))) FROM RANGE(2)").collect()
    except StorageError as error:
        sys.stdout.write(error.message)
"""


def test_memory_that_does_not_do_is_said(tmp_path: Path) -> None:
    """The task fails with `storage`, and the setting that helps is named; closing what died raises nothing."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "Spark: it ran out of memory" in done.stdout
    assert done.stdout.endswith("raise spark.executor.memory or -memoryOverhead.")
