"""The sources that the behaviour suite runs over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.mongo import ferretdb, mongo_java_server
from tests.sources.holders import DumpHolder, Holder, ServerHolder


@pytest.fixture(scope="session")
def holders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What holds documents, by the source's name, started when first asked for and stopped at the end."""
    started: dict[str, Any] = {}
    yield started
    for one in started.values():
        if isinstance(one, ServerHolder):
            one.client.close()
            one.server.stop()


@pytest.fixture
def holder(source: str, holders: dict[str, Holder], tmp_path_factory: pytest.TempPathFactory) -> Holder:
    """What holds the test's documents; `source` is the test's parameter."""
    if source not in holders:
        folder = tmp_path_factory.mktemp(source)
        if source.startswith("dump"):
            holders[source] = DumpHolder(folder / "dump", packed=source.endswith("gz"))
        else:
            start = ferretdb if source == "ferretdb" else mongo_java_server
            variable = f"BIGMAMA_TEST_{source.upper()}_URI"
            holders[source] = ServerHolder(start(folder), variable, indexed=source.endswith("_indexed"))
    return holders[source]
