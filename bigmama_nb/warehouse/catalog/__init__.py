"""The catalog of a warehouse: which version of each partition is current, in SQLite or in a Hive Metastore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigmama_nb.errors import UsageError
from bigmama_nb.warehouse.catalog.protocol import Catalog
from bigmama_nb.warehouse.storage.protocol import Storage


def open_catalog(uri: str, metastore: str | None, options: Mapping[str, Any], storage: Storage) -> Catalog:
    """Return the catalog of the warehouse at `uri`.

    Raises:
        UsageError: a warehouse on HDFS or S3 without a metastore.
    """
    if metastore is None:
        if storage.scheme != "file":
            raise UsageError(
                f"warehouse.uri is {uri!r} and warehouse.metastore is null: the SQLite catalog serves a folder on one "
                "machine only. Set warehouse.metastore to thrift://host:9083"
            )
        from bigmama_nb.warehouse.catalog.sqlite import SqliteCatalog

        return SqliteCatalog(uri)
    from bigmama_nb.warehouse.catalog.hive import HiveCatalog

    return HiveCatalog(metastore, options)
