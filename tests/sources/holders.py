"""What holds a test's documents: a mongodump folder, or a real server."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from bson import Decimal128, MaxKey, MinKey, Regex, Timestamp
from bson.code import Code

from tests.sources.asking import Documents, write_dump

SOURCES = ("dump", "dump.gz")


class Holder(Protocol):
    """Holds databases for a test; `settings` is the cluster's section of a profile."""

    settings: dict[str, Any]

    def hold(self, collections: Mapping[str, Documents]) -> str:
        """Hold these collections in a new database and return its name."""


class DumpHolder:
    """A mongodump folder."""

    def __init__(self, folder: Path, *, packed: bool) -> None:
        self._folder = folder
        self._packed = packed
        self._numbers = itertools.count()
        self.settings = {"dump": str(folder)}

    def hold(self, collections: Mapping[str, Documents]) -> str:
        database = f"db{next(self._numbers)}"
        # A property test holds thousands.
        shutil.rmtree(self._folder, ignore_errors=True)
        write_dump(self._folder, database, collections, packed=self._packed)
        return database


def can_hold(source: str, value: Any) -> bool:
    """Whether a source can hold a value at all."""
    if source != "ferretdb":
        return True
    if isinstance(value, Mapping):
        return all(can_hold(source, part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(can_hold(source, part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return not isinstance(value, Decimal128 | MinKey | MaxKey | Code | Timestamp | Regex)
