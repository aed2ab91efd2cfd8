"""How our tables and pointers stand in a Hive Metastore: its Thrift objects, made and read.

Source of the rules: docs/spec/publishing.md, "Catalogs".
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bigmama_nb.parquet import part_name
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse.catalog.protocol import Entry, Pointer, columns_of
from bigmama_nb.warehouse.catalog.thrift import ttypes
from bigmama_nb.warehouse.storage.protocol import name_of

MARK = "bigmama_nb"
"""The table parameter by which our tables are found among all others of a metastore."""

# Left behind they are wrong, and Hive answers count(*) from them.
STATISTICS = (
    "COLUMN_STATS_ACCURATE",
    "numRows",
    "rawDataSize",
    "numFiles",
    "numFilesErasureCoded",
    "totalSize",
    "STATS_GENERATED",
    "STATS_GENERATED_VIA_STATS_TASK",
    "transient_lastDdlTime",
)
SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"


class HiveObjects:
    """Makes a metastore's objects and reads them; asks no metastore. `s3_scheme` is what Hadoop calls a bucket."""

    def __init__(self, s3_scheme: str, owner: str) -> None:
        self._s3_scheme = s3_scheme
        self._owner = owner

    def database(self, table: Table, location: str) -> Any:
        """Return the database of a table that is to stand at `location`."""
        return ttypes.Database(
            name=table.database, description="", locationUri=self.outside(location.rsplit("/", 1)[0]), parameters={}
        )

    def table(self, table: Table, location: str) -> Any:
        """Return the external table of a contract, with our mark."""
        partition = table.column(table.partition)
        return ttypes.Table(
            dbName=table.database,
            tableName=table.name,
            owner=self._owner,
            createTime=int(time.time()),
            lastAccessTime=0,
            retention=0,
            sd=ttypes.StorageDescriptor(
                cols=_fields(columns_of(table.file_columns)),
                location=self.outside(location),
                inputFormat=INPUT,
                outputFormat=OUTPUT,
                compressed=False,
                numBuckets=-1,
                serdeInfo=ttypes.SerDeInfo(name=None, serializationLib=SERDE, parameters={"serialization.format": "1"}),
                bucketCols=[],
                sortCols=[],
                parameters={},
                skewedInfo=ttypes.SkewedInfo([], [], {}),
                storedAsSubDirectories=False,
            ),
            partitionKeys=_fields(columns_of([partition])),
            parameters={"EXTERNAL": "TRUE", "external.table.purge": "false", "comment": table.comment, MARK: "1"},
            tableType="EXTERNAL_TABLE",
        )

    def partition(self, table: Any, pointer: Pointer, standing: Any) -> Any:
        """Return the partition as it is to be, other people's parameters kept."""
        kept = {} if standing is None else dict(standing.parameters or {})
        parameters = {
            name: value
            for name, value in kept.items()
            if name not in STATISTICS and not name.startswith("spark.sql.statistics.")
        }
        assert pointer.moved_at is not None
        parameters |= {
            "numRows": str(pointer.rows),
            "numFiles": str(len(pointer.files or ())),
            "totalSize": str(pointer.bytes),
            # A metastore of 4 lists the folder and counts anew where one of its three figures is missing.
            "numFilesErasureCoded": "0",
            f"{MARK}.version": pointer.version,
            f"{MARK}.run": str(pointer.run),
            f"{MARK}.attempt": str(pointer.attempt),
            f"{MARK}.sha256": str(pointer.sha256),
            f"{MARK}.moved_at": pointer.moved_at.isoformat(),
        }
        described = copy.deepcopy(table.sd)
        described.location = self.outside(pointer.location)
        return ttypes.Partition(
            values=[pointer.partition.partition("=")[2]],
            dbName=table.dbName,
            tableName=table.tableName,
            createTime=int(time.time()) if standing is None else standing.createTime,
            lastAccessTime=0,
            sd=described,
            parameters=parameters,
        )

    def pointer(self, table: Any, partition: Any) -> Pointer:
        """Return what a partition points at; who altered its location by hand left only that."""
        location = self.inside(partition.sd.location)
        parameters = partition.parameters or {}
        name = partition_name(table, partition)
        # Our parameters are still there after an ALTER by hand: they describe another folder.
        if parameters.get(f"{MARK}.version") != name_of(location):
            return Pointer(partition=name, location=location)
        return Pointer(
            partition=name,
            location=location,
            files=tuple(part_name(n) for n in range(int(parameters["numFiles"]))),
            rows=int(parameters["numRows"]),
            bytes=int(parameters["totalSize"]),
            sha256=parameters[f"{MARK}.sha256"],
            run=parameters[f"{MARK}.run"],
            attempt=int(parameters[f"{MARK}.attempt"]),
            moved_at=datetime.fromisoformat(parameters[f"{MARK}.moved_at"]).astimezone(UTC),
        )

    def entry(self, table: Any) -> Entry:
        """Return a table as the metastore holds it."""
        keys = [(field.name, field.type, field.comment or "") for field in table.partitionKeys or ()]
        return Entry(
            database=table.dbName,
            name=table.tableName,
            columns=tuple((field.name, field.type, field.comment or "") for field in table.sd.cols),
            partition=keys[0] if len(keys) == 1 else (",".join(key[0] for key in keys) or "nothing", "", ""),
            location=self.inside(table.sd.location),
            comment=(table.parameters or {}).get("comment", ""),
            parameters=dict(table.parameters or {}),
        )

    def outside(self, location: str) -> str:
        """Return a location as Hadoop writes it."""
        if location.startswith("/"):
            return f"file:{location}"
        return f"{self._s3_scheme}://{location[5:]}" if location.startswith("s3://") else location

    def inside(self, location: str) -> str:
        """Return a location as we write it."""
        if location.startswith("file:"):
            return "/" + location.removeprefix("file:").lstrip("/")
        for scheme in ("s3a://", "s3n://"):
            if location.startswith(scheme):
                return f"s3://{location[len(scheme) :]}"
        return location


def partition_name(table: Any, partition: Any) -> str:
    """Return `dt=20240501` of a partition, as pointers name it."""
    keys = [field.name for field in table.partitionKeys]
    return "/".join(f"{key}={value}" for key, value in zip(keys, partition.values, strict=True))


def _fields(columns: Sequence[tuple[str, str, str]]) -> list[Any]:
    return [ttypes.FieldSchema(name, kind, comment) for name, kind, comment in columns]
