"""Where a warehouse's files stand: put, open, list, delete. A local folder, HDFS or S3 answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bigmama_nb.errors import UsageError, did_you_mean
from bigmama_nb.warehouse.storage.protocol import Storage


def open_storage(uri: str, options: Mapping[str, Any]) -> Storage:
    """Return the storage that `warehouse.uri` names.

    Raises:
        UsageError: the URI's scheme is not one of `file`, `hdfs`, `s3`.
        StorageError: the storage cannot be reached with `options`.
    """
    scheme = urlsplit(uri).scheme or "file"
    if scheme == "file":
        from bigmama_nb.warehouse.storage.local import LocalStorage

        return LocalStorage()
    if scheme == "hdfs":
        from bigmama_nb.warehouse.storage.hdfs import HdfsStorage

        return HdfsStorage(uri, options)
    if scheme == "s3":
        from bigmama_nb.warehouse.storage.s3 import S3Storage

        return S3Storage(uri, options)
    raise UsageError(
        f"warehouse.uri is {uri!r}: its scheme is {scheme!r}; schemes are file, hdfs, "
        f"s3.{did_you_mean(scheme, ['file', 'hdfs', 's3'])}"
    )
