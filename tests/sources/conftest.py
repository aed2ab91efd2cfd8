"""The sources that the behaviour suite runs over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.holders import DumpHolder, Holder


@pytest.fixture(scope="session")
def holders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What holds documents, by the source's name, started when first asked for."""
    started: dict[str, Any] = {}
    return started


@pytest.fixture
def holder(source: str, holders: dict[str, Holder], tmp_path_factory: pytest.TempPathFactory) -> Holder:
    """What holds the test's documents; `source` is the test's parameter."""
    if source not in holders:
        holders[source] = DumpHolder(tmp_path_factory.mktemp(source) / "dump", packed=source.endswith("gz"))
    return holders[source]
