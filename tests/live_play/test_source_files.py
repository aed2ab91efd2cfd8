"""Which files are data, whatever they are called and wherever below a source's folder they lie."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigmama_nb.engines import Engine
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.errors import SourceError
from bigmama_nb.live_play import Built, Sources, build
from bigmama_nb.live_play.source_files import changed, look, told
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.local import LocalStorage
from bigmama_nb.warehouse.storage.protocol import Storage
from tests.live_play.small import DAY, NEXT, day
from tests.live_play.warehouse import RUN_TIMESTAMP, read_rows, write_sources
from tests.services.hdfs import hdfs
from tests.services.s3 import BUCKET, credentials, s3

NAMES = (
    "000000_0",
    "part-0.parq",
    "part-0.PARQUET",
    "00001-2-uuid",
    "HIVE_UNION_SUBDIR_1/000000_0",
    "hour=20/part-0.parquet",
    "os=web/gcc=XX/post_id=p9/url=u/datetime=now/date_id=2001-01-01/part-0.parquet",
    "a[1]?*.snappy.parquet",
    "q'uo te%20#.parquet",
)
LOG = "wv_server_log_base/date_id=2024-05-01"


def built(engine: Engine, sources: Sources, out: Path) -> Built:
    return build(engine, sources, DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=out)


def rows(one: Built) -> list[tuple[object, ...]]:
    assert one.outcome == "ok", one.message
    return sorted(read_rows(one, "wv_live_play", "2024-05-01"), key=repr)


def scattered(root: Path, folder: Path) -> Path:
    """Write the small day below `folder/os=ios/…`, every row of the log in a file of its own name."""
    shutil.rmtree(folder, ignore_errors=True)
    write_sources(root, day(), ["2024-05-01"])
    shutil.copytree(root, folder)
    log = pa.concat_tables(pq.read_table(path, partitioning=None) for path in sorted((root / LOG).iterdir()))
    shutil.rmtree(folder / LOG)
    for nth, name in enumerate(NAMES):
        path = folder / LOG / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(log.slice(nth, 1) if nth < log.num_rows else log.slice(0, 0), path)
    # The others too, below a folder that looks like a column, and under Hive's names.
    for name in ("wv_live", "user_user"):
        (folder / name / "we_art_id=77").mkdir()
        (folder / name / "part-0.parquet").rename(folder / name / "we_art_id=77" / "000000_0")
    return folder


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest, duck: DuckDBEngine) -> Engine:
    return duck if request.param == "duckdb" else request.getfixturevalue("spark")


@pytest.mark.parametrize("first", [0, 3, 5])
def test_every_file_is_data_however_it_is_named(engine: Engine, first: int, tmp_path: Path) -> None:
    """Hive's and Spark's names, other suffixes and folders below give the same rows; no path replaces a column."""
    plain = tmp_path / "plain"
    folder = scattered(plain, tmp_path / "os=ios" / "datetime=1" / "sources")
    names = NAMES[first:] + NAMES[:first]
    for nth, name in enumerate(NAMES):
        (folder / LOG / name).rename(tmp_path / f"{nth}")
    for nth, name in enumerate(names):
        (tmp_path / f"{nth}").rename(folder / LOG / name)
    expected = rows(built(engine, Sources(plain), tmp_path / "expected"))
    assert rows(built(engine, Sources(folder), tmp_path / "out")) == expected


def stored(kind: str) -> tuple[str, Storage]:
    root, options = hdfs().uri, {}
    if kind == "s3":
        root, options = f"s3://{BUCKET}", {"endpoint": s3().endpoint, "region": "us-east-1"}
    uri = f"{root}/os=web-{uuid.uuid4().hex}"
    return uri, open_storage(uri, options)


@pytest.mark.parametrize("kind", ["hdfs", "s3"])
def test_a_storage_lists_the_same_files(
    kind: str, duck: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On HDFS and S3 the same names are data, a hidden one is not, and what is under way is seen."""
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    folder = scattered(tmp_path / "plain", tmp_path / "sources")
    uri, storage = stored(kind)
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put(f"{uri}/{path.relative_to(folder)}", path)
    sources = Sources(uri, storage, ready="_SUCCESS")
    found = look(storage, f"{uri}/{LOG}")
    assert {one.location.removeprefix(f"{uri}/{LOG}/") for one in found.data} == set(NAMES)
    assert sources.inputs([DAY])["2024-05-01"].startswith(f"{len(NAMES)} files, ")
    assert sources.under_way([DAY]) == "wv_server_log_base date_id=2024-05-01 has no _SUCCESS yet"
    for other in ("date_id=20240501", "DATE_ID=2024-05-01"):
        storage.put(f"{uri}/wv_server_log_base/{other}/part-0", b"PAR1")
        with pytest.raises(SourceError, match=f"{other} holds files of 2024-05-01"):
            sources.delivered(duck, [DAY])
        storage.delete(f"{uri}/wv_server_log_base/{other}")
    storage.put(f"{uri}/{LOG}/_SUCCESS", b"")
    assert sources.under_way([DAY]) is None
    storage.put(f"{uri}/{LOG}/late", b"PAR1 and no end")
    assert sources.under_way([DAY]) == "wv_server_log_base date_id=2024-05-01 is still being written (late)"
    storage.put(f"{uri}/{LOG}/_temporary/0/part-1", b"PAR1")
    assert "(_temporary/0/part-1)" in str(sources.under_way([DAY]))


def copying(log: Path) -> None:
    (log / "part-9.parquet._COPYING_").write_bytes(b"PAR1 half of it")


def half(log: Path) -> None:
    whole = (log / "part-0.parquet").read_bytes()
    (log / "part-9").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (lambda log: (log / "_temporary").mkdir(), "_temporary"),
        (lambda log: (log / ".hive-staging_hive_1").mkdir(), ".hive-staging_hive_1"),
        (copying, "part-9.parquet._COPYING_"),
        (half, "part-9"),
        (lambda log: (log / "000000_0").write_bytes(b""), "000000_0"),
    ],
)
def test_what_is_still_being_written_is_not_ready(
    duck: DuckDBEngine, spoil: Callable[[Path], None], path: str, tmp_path: Path
) -> None:
    """A writer's own folder, an unfinished upload: the date waits, and what says so is named."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    spoil(tmp_path / "sources" / LOG)
    one = built(duck, sources, tmp_path / "out")
    assert one.outcome == "not_ready"
    assert one.message == (
        f"wv_live_play 2024-05-01: wv_server_log_base date_id=2024-05-01 is still being written ({path}). Nothing was "
        "read and the published partition stays; run again once it is whole, or take away what a killed writer left."
    )


def test_another_source_under_way_is_waited_for(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Half of the users is no less wrong than half of the log."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    (tmp_path / "sources/user_user/_temporary/0").mkdir(parents=True)
    one = built(duck, sources, tmp_path / "out")
    assert one.outcome == "not_ready"
    assert "user_user is still being written (_temporary)" in str(one.message)


def test_a_date_of_the_log_is_ready_when_its_file_says_so(duck: DuckDBEngine, tmp_path: Path) -> None:
    """With `ready` a date whose files are there is waited for until the file is; the file is no data by any name."""
    write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    sources = Sources(tmp_path / "sources", ready="DONE")
    waits = built(duck, sources, tmp_path / "out")
    assert waits.outcome == "not_ready"
    assert "wv_server_log_base date_id=2024-05-01 has no DONE yet" in str(waits.message)
    (tmp_path / "sources" / LOG / "DONE").write_text("yes")
    assert built(duck, sources, tmp_path / "out").outcome == "ok"


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "date_id=20240501",
            "DATE_ID=2024-05-01",
            "date_id=2024%2D05%2D01",
            "date_id=2024-05-01 ",
            "date_id=2024.05.01",
        ),
        *("date_id='2024-05-01'", "date_id=2024-05-01 00%3A00%3A00", "date_id=2024-05-01T00:00:00Z"),
        "os=ios/date_id=2024-05-01",
    ],
)
def test_a_date_in_a_folder_of_another_spelling_is_refused_by_name(
    duck: DuckDBEngine, tmp_path: Path, name: str, alone: bool
) -> None:
    """What lies beside a date's own folder, or instead of it, is half of its log or all: no success, and no wait."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    other = tmp_path / "sources/wv_server_log_base" / name
    other.parent.mkdir(exist_ok=True)
    shutil.copytree(tmp_path / "sources" / LOG, other)
    if alone:
        shutil.rmtree(tmp_path / "sources" / LOG)
    one = built(duck, sources, tmp_path / "out")
    assert (one.outcome, one.reason) == ("failed", "source_corrupt")
    assert f"{name} holds files of 2024-05-01, and only those below date_id=2024-05-01 are its log" in str(one.message)
    for path in other.iterdir():
        path.unlink()
    assert built(duck, sources, tmp_path / "again").outcome == ("not_ready" if alone else "ok")


@pytest.mark.parametrize(
    "name", ["date_id=2024-05-01.bak", "date_id=20240502", "_date_id=20240501", "date_id=2024-05-011"]
)
def test_another_folder_beside_a_dates_is_none_of_its_log(duck: DuckDBEngine, tmp_path: Path, name: str) -> None:
    """A copy, another date and what is hidden cost no date its rows."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    shutil.copytree(tmp_path / "sources" / LOG, tmp_path / "sources/wv_server_log_base" / name)
    assert built(duck, sources, tmp_path / "out").outcome == "ok"


def test_a_file_that_is_no_parquet_is_refused_by_name(engine: Engine, tmp_path: Path) -> None:
    """A visible file is never passed over: its date fails, naming it."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    readme = tmp_path / "sources" / LOG / "README.txt"
    readme.write_text("the log of a day")
    one = built(engine, sources, tmp_path / "out")
    assert (one.outcome, one.reason, one.place) == ("failed", "source_corrupt", str(readme))
    assert "every file whose name begins with neither '.' nor '_' is data" in str(one.message)


def test_hidden_files_are_writers_own(duck: DuckDBEngine, tmp_path: Path) -> None:
    """Checksums, markers and folders with a dot or an underscore in front are passed over, whatever is in them."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    log = tmp_path / "sources" / LOG
    for name in (".part-0.parquet.crc", "_SUCCESS", "_metadata", "_delta_log/0.json"):
        (log / name).parent.mkdir(exist_ok=True)
        (log / name).write_text("no Parquet")
    assert built(duck, sources, tmp_path / "out").outcome == "ok"


def test_a_folder_that_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    """What cannot be listed is not an empty folder: the place is named."""
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Exception, match=r"gone: cannot be looked at \(No such file or directory\)") as told_:
        look(LocalStorage(), str(tmp_path))
    assert getattr(told_.value, "reason", None) == "unreachable"


def test_what_no_engine_can_read_is_refused_by_name(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A pipe would be waited for, and a name that is not UTF-8 be no text in a message; hidden ones are passed over."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    log = tmp_path / "sources" / LOG
    os.mkfifo(log / ".being-written")
    assert built(duck, sources, tmp_path / "out").outcome == "ok"
    os.mkfifo(log / "part-9.parquet")
    one = built(duck, sources, tmp_path / "out2")
    assert (one.outcome, one.reason, one.place) == ("failed", "source_corrupt", str(log / "part-9.parquet"))
    assert "part-9.parquet: is no file: a pipe, a socket or a device. Nothing was published" in str(one.message)
    (log / "part-9.parquet").unlink()
    shutil.copy(os.fsencode(next(log.rglob("*.parquet"))), os.fsencode(log) + b"/\xb0\xa1.parquet")
    one = built(duck, sources, tmp_path / "out3")
    assert (one.outcome, one.reason) == ("failed", "source_corrupt")
    assert r"\udcb0\udca1.parquet: has a name that is not UTF-8. Nothing was published" in str(one.message)


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        ({"a": "1 files, 5 bytes"}, {"a": "1 files, 5 bytes"}, None),
        ({"a": "1 files, 5 bytes"}, {"a": "1 files, 6 bytes"}, "a was 1 files, 5 bytes and is 1 files, 6 bytes"),
        ({"a": "0 files"}, {"a": "1 files, 6 bytes"}, "a was 0 files and is 1 files, 6 bytes"),
        ({"a": "1 files, 5 bytes", "b": "x"}, {"a": "0 files", "b": "y"}, None),
        ({}, {"a": "1 files, 5 bytes"}, None),
    ],
)
def test_a_log_that_is_gone_is_no_change(then: Mapping[str, str], now: Mapping[str, str], says: str | None) -> None:
    """More, less or other files are a change; none are not, since what was built of them could not be built now."""
    assert changed(told(then), now) == says


def test_the_inputs_are_those_that_were_read(duck: DuckDBEngine, spark: SparkEngine, tmp_path: Path) -> None:
    """A build says count, size and time of what each date of the log held, also of a date that is not there."""
    sources = write_sources(tmp_path / "sources", day(), ["2024-05-01"])
    one = built(duck, sources, tmp_path / "out")
    files = list((tmp_path / "sources" / LOG).iterdir())
    size = sum(path.stat().st_size for path in files)
    assert str(one.inputs).startswith(f"2024-04-30: 0 files; 2024-05-01: 2 files, {size} bytes, newest 20")
    assert changed(one.inputs, sources.inputs([DAY, NEXT])) is None
    assert built(spark, sources, tmp_path / "on-spark").inputs == one.inputs
