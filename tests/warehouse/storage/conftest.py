"""Every storage that the behaviour suite runs over, each against the real thing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.protocol import Storage

OPENED: dict[str, Storage] = {}


@pytest.fixture(params=["local", "hdfs", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Storage, str]:
    """Return a storage and a location in it that holds nothing."""
    name = f"{request.param}-{uuid.uuid4().hex}"
    if request.param == "local":
        return open_storage(str(tmp_path), {}), str(tmp_path / name)
    uri, options = _hdfs() if request.param == "hdfs" else _s3(monkeypatch)
    if request.param not in OPENED:
        OPENED[request.param] = open_storage(uri, options)
    return OPENED[request.param], f"{uri}/{name}"


def _hdfs() -> tuple[str, dict[str, Any]]:
    from tests.services.hdfs import hdfs

    return hdfs().uri, {}


def _s3(monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    from tests.services.s3 import BUCKET, credentials, s3

    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}", {"endpoint": s3().endpoint, "region": "us-east-1"}
