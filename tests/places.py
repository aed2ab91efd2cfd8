"""Every kind of warehouse that is published to, with a reader of its own.

The readers speak to SQLite, the metastore, HDFS and S3 by themselves; nothing of the package is between.
"""

from __future__ import annotations

import functools
import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.fs
import pyarrow.parquet as pq

from tests.publishing import METRIC, Settings, current_folder

NAMES = ("local+sqlite", "local+hive", "hdfs+hive", "s3+hive")

# A test's dead holders need no five minutes.
LOCKS = {"heartbeat_s": 0.1, "stale_lock_s": 1, "timeout_s": 60}


@dataclass(frozen=True)
class Place:
    """A warehouse of a test: its settings, and how its reader reads it."""

    name: str
    settings: Settings
    database: str
    files: Callable[[str], list[bytes]]
    folder: Callable[[str, str], str | None] = field(repr=False)

    def rows(self, partition: str, table: str = METRIC.name) -> dict[str, int] | None:
        """Return the metrics that a reader finds in a partition; None where there is no such partition."""
        location = self.folder(f"{self.database}.{table}", partition)
        if location is None:
            return None
        found: dict[str, int] = {}
        for content in self.files(location):
            for row in pq.ParquetFile(io.BytesIO(content)).read().to_pylist():
                key = f"{row['game_cd']}/{row['type']}"
                assert key not in found, f"{key} stands twice"
                found[key] = row["value"]
        return found

    def metric(self) -> Any:
        """Return the metrics' contract in this test's database."""
        return replace(METRIC, database=self.database)


def place(name: str, tmp_path: Path) -> Place:
    """Return a warehouse that holds nothing yet: one of NAMES."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    storage, catalog = name.split("+")
    root = str(tmp_path / "warehouse")
    options: dict[str, Any] = {}
    files = local_files
    if storage == "hdfs":
        from tests.services.hdfs import hdfs

        root = f"{hdfs().uri}/{database}"
        files = hdfs_files
    if storage == "s3":
        from tests.services.s3 import BUCKET, s3

        root = f"s3://{BUCKET}/{database}"
        options = {"endpoint": s3().endpoint, "region": "us-east-1"}
        files = s3_files
    settings = Settings(root, database=database, storage_options=options)
    if catalog == "sqlite":
        return Place(name, settings, database, files, lambda table, day: _sqlite_folder(Path(root), table, day))
    from tests.services.hive import metastore

    uri = metastore().uri
    settings = replace(settings, metastore=uri, metastore_options=dict(LOCKS))
    return Place(name, settings, database, files, lambda table, day: hive_folder(uri, table, day))


def _sqlite_folder(root: Path, table: str, partition: str) -> str | None:
    folder = current_folder(root, table, partition)
    return None if folder is None else str(folder)


def hive_partition(uri: str, table: str, partition: str) -> Any:
    """Return a partition as the metastore has it, or None."""
    from hive_metastore import ThriftHiveMetastore, ttypes
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.transport import TSocket, TTransport

    host, port = uri.removeprefix("thrift://").split(":")
    socket = TSocket.TSocket(host, int(port))
    socket.setTimeout(60_000)
    transport = TTransport.TBufferedTransport(socket)
    transport.open()
    try:
        client = ThriftHiveMetastore.Client(TBinaryProtocol(transport))
        return client.get_partition_by_name(*table.split("."), partition)
    except ttypes.NoSuchObjectException:
        return None
    finally:
        transport.close()


def hive_folder(uri: str, table: str, partition: str) -> str | None:
    """Return where the metastore's partition points, or None."""
    found = hive_partition(uri, table, partition)
    return None if found is None else str(found.sd.location)


def local_files(location: str) -> list[bytes]:
    """Return the data files of a folder."""
    return [path.read_bytes() for path in sorted(Path(location.removeprefix("file:")).glob("*.parquet"))]


@functools.cache
def _hdfs_client(authority: str) -> Any:
    from hdfs_native import Client

    return Client(f"hdfs://{authority}")


def hdfs_files(location: str) -> list[bytes]:
    """Return the data files of a folder in HDFS."""
    _, _, rest = location.partition("hdfs://")
    authority, _, path = rest.partition("/")
    client = _hdfs_client(authority)
    names = sorted(status.path for status in client.list_status(f"/{path}") if status.path.endswith(".parquet"))
    return [bytes(client.read(name).read()) for name in names]


def s3_files(location: str) -> list[bytes]:
    """Return the data objects below a prefix."""
    from tests.services.s3 import credentials, s3

    signed = credentials()
    bucket = pyarrow.fs.S3FileSystem(
        access_key=signed["AWS_ACCESS_KEY_ID"],
        secret_key=signed["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=s3().endpoint,
        region="us-east-1",
    )
    prefix = location.removeprefix("s3a://")
    found = bucket.get_file_info(pyarrow.fs.FileSelector(prefix))
    names = sorted(one.path for one in found if one.path.endswith(".parquet"))
    return [bucket.open_input_file(name).readall() for name in names]
