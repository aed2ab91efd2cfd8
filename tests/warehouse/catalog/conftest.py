"""Every catalog that the behaviour suite runs over, each against the real thing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigmama_nb.warehouse.catalog import open_catalog
from bigmama_nb.warehouse.storage.local import LocalStorage
from tests.warehouse.catalog.kit import Opener


@pytest.fixture(params=["sqlite", "hive", "hive3", "hive4", pytest.param("mariadb", marks=pytest.mark.long)])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Return what opens one more client of a catalog that holds nothing of ours, and the folder of its warehouse."""
    metastore = None
    if request.param == "hive":
        from tests.services.hive import metastore as shared

        metastore = shared().uri
    if request.param == "hive3":
        from tests.services.hive3 import metastore3

        metastore = metastore3().uri
    if request.param == "hive4":
        from tests.services.hive4 import metastore4

        metastore = metastore4().uri
    if request.param == "mariadb":
        from tests.services.mariadb import shared_metastore

        metastore = shared_metastore().uri
    root = str(tmp_path / "warehouse")
    opener = Opener(
        lambda: open_catalog(root, metastore, {}, LocalStorage()),
        root,
        database=f"test_{uuid.uuid4().hex[:12]}",
        metastore=metastore,
    )
    yield opener
    opener.close()
