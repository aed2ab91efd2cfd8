"""What holds a test's documents: a mongodump folder, or a real server."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from bson import Decimal128, MaxKey, MinKey, Regex, Timestamp
from bson.code import Code
from pymongo import MongoClient

from tests.services.mongo import MongoServer
from tests.sources.asking import Documents, write_dump

SERVERS = ("ferretdb", "mongo_java_server", "mongo_java_server_indexed")
SOURCES = ("dump", "dump.gz", *SERVERS)


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


class ServerHolder:
    """A real server that speaks MongoDB's protocol, with an index on every path where `indexed`."""

    def __init__(self, server: MongoServer, variable: str, *, indexed: bool = False) -> None:
        self.server = server
        self._indexed = indexed
        self._numbers = itertools.count()
        self._last = ""
        self.client = MongoClient[dict[str, Any]](server.uri)
        os.environ[variable] = f"{server.uri}?serverSelectionTimeoutMS=5000"
        self.settings = {"uri_env": variable, "retries": 0}

    def hold(self, collections: Mapping[str, Documents]) -> str:
        database = f"db{next(self._numbers)}"
        if self._last:
            self.client.drop_database(self._last)
        self._last = database
        for name, documents in collections.items():
            self.client[database].create_collection(name)
            if documents:
                # insert_many would add an _id to the test's own documents.
                self.client[database][name].insert_many([dict(document) for document in documents])
            if self._indexed:
                for path in {path for document in documents for path in _paths(document)} - {"_id"}:
                    self.client[database][name].create_index(path)
        return database


def _paths(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in document.items():
        yield prefix + name
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")


def can_hold(source: str, value: Any) -> bool:
    """Whether a source can hold a value at all."""
    if source != "ferretdb":
        return True
    if isinstance(value, Mapping):
        return all(can_hold(source, part) for part in value.values())
    if isinstance(value, list | tuple):
        if any(isinstance(part, list) for part in value):
            return False
        return all(can_hold(source, part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return not isinstance(value, Decimal128 | MinKey | MaxKey | Code | Timestamp | Regex)
