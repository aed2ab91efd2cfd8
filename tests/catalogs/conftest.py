"""Every catalog that the behaviour suite runs over, each against the real thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigmama_nb.catalogs import open_catalog
from bigmama_nb.storage.local import LocalStorage
from tests.catalogs.kit import Opener


@pytest.fixture(params=["sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Return what opens one more client of a catalog that holds nothing, and the folder of its warehouse."""
    root = str(tmp_path / "warehouse")
    opener = Opener(lambda: open_catalog(root, None, {}, LocalStorage()), root, database="bigmama")
    yield opener
    opener.close()
