"""Every storage that the behaviour suite runs over, each against the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bigmama_nb.storage import Storage, open_storage


@pytest.fixture(params=["local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """Return a storage and a location in it that holds nothing."""
    root = str(tmp_path / "root")
    return open_storage(root, {}), root
