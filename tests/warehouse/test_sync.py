"""Before a pointer moves, everything that it will name is on disk: a power cut takes nothing from readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.publish import Replacement, publish_keyed, publish_whole, retract
from bigmama_nb.warehouse.rewrite import rewrite
from bigmama_nb.warehouse.storage.protocol import SEAL, Storage
from tests.publishing import METRIC, PLAY, Settings, author, brought, plays

DAY = "dt=20240501"
PLAYED = "part_date=2024-05-01"


class Witness:
    """A storage that notes which folders got a file since they were synced last."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.unsynced: set[str] = set()
        self.sealed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def put(self, location: str, content: bytes | Path) -> None:
        folder, _, name = location.rpartition("/")
        self._storage.put(location, content)
        self.unsynced.add(folder)
        self.sealed += name == SEAL

    def sync(self, folders: Any) -> None:
        folders = list(folders)
        self._storage.sync(folders)
        self.unsynced -= set(folders)


def merge(warehouse: Warehouse) -> None:
    publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 6, "bns/wau": 7})}, author(2))


def take_out(warehouse: Warehouse) -> None:
    retract(warehouse, METRIC, DAY, [("lw", "wau")], author(2))


def replace_whole(warehouse: Warehouse) -> None:
    part = Replacement(PLAY, PLAYED, plays(3), date(2024, 5, 1), True, "weverse")
    publish_whole(warehouse, [part, replace(part, table=replace(PLAY, name="wv_rejects"))], author(2))


def in_another_form(warehouse: Warehouse) -> None:
    rewrite(replace(warehouse, settings=Settings(warehouse.settings.uri, compression="snappy")), METRIC, author(2))


@pytest.mark.parametrize("change", [merge, take_out, replace_whole, in_another_form])
def test_a_version_and_its_record_are_synced_before_the_pointer_moves(
    tmp_path: Path, change: Callable[[Warehouse], None]
) -> None:
    """No folder that was written to, its closing record included, is left unsynced at the move."""
    seen: list[tuple[int, set[str]]] = []

    def at(step: str) -> None:
        if step == "moving":
            seen.append((witness.sealed, set(witness.unsynced)))

    with Warehouse.open(Settings(str(tmp_path))) as opened:
        publish_keyed(opened, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
        witness = Witness(opened.storage)
        change(replace(opened, storage=witness, at=at))
    assert seen
    assert [unsynced for sealed, unsynced in seen if sealed] == [set()] * len(seen)
