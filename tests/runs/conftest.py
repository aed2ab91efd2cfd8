"""A small world for each test of runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import World, in_process


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Three games, and the command in this process."""
    with in_process(monkeypatch, World(tmp_path / "world")) as made:
        yield made


@pytest.fixture
def real_world(tmp_path: Path) -> World:
    """Three games, and the command as its users run it."""
    return World(tmp_path / "world")
