"""The engine that a profile names, the sources that it reads, and where its executors write.

Source of the rules: docs/spec/profile.md, "Keys"; docs/spec/publishing.md, "The protocol".
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigmama_nb.engines import Engine, size
from bigmama_nb.live_play.result import Built, Place
from bigmama_nb.live_play.sources import CatalogSources, LogSources, Sources
from bigmama_nb.parquet import part_number
from bigmama_nb.profile import Profile
from bigmama_nb.tables import WV_LIVE_PLAY
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import live_contracts
from bigmama_nb.warehouse import Settings, Warehouse
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.storage.protocol import join
from bigmama_nb.warehouse.version import RUNS, Staged, discard, new_location

BY_EXECUTORS = (WV_LIVE_PLAY, "wv_live_play_rejects")
"""The tables that executors write; the roll-ups are small."""
STAGED = "staged.json"
SCRATCH = ".spark"


@contextlib.contextmanager
def opened(profile: Profile) -> Iterator[Engine]:
    """Give the profile's engine.

    Raises:
        UsageError: pyspark is not installed, or `engine.conf` contradicts what the tables rest on.
        TaskError: the cluster does not answer.
    """
    engine = _opened(profile)
    try:
        yield engine
    finally:
        engine.close()


def _opened(profile: Profile) -> Engine:
    settings = profile.engine
    if settings.kind == "duckdb":
        from bigmama_nb.engines.duckdb import DuckDBEngine

        return DuckDBEngine(settings.memory_limit)
    from bigmama_nb.engines.spark import SparkEngine

    local = (settings.master or "").startswith("local")
    scratch, remove = _scratch(profile, local=local)
    return SparkEngine(
        master=settings.master,
        remote=settings.remote,
        conf=_hadoop(profile.warehouse, remote=settings.remote is not None) | settings.conf,
        scratch=scratch,
        remove=remove,
        driver_memory=size(settings.memory_limit) if local and "spark.driver.memory" not in settings.conf else None,
        timestamp=profile.warehouse.timestamp,
        compression=profile.warehouse.compression,
    )


def _scratch(profile: Profile, *, local: bool) -> tuple[str, Callable[[str], None]]:
    """Return a new folder that driver and executors reach, and what deletes it.

    In a warehouse it is a version's folder that nothing points at: what a killed driver leaves, `runs prune` collects.
    """
    if local:
        return tempfile.mkdtemp(prefix="live_play-"), lambda folder: shutil.rmtree(folder, ignore_errors=True)
    warehouse, database = profile.warehouse, profile.live_play.database if profile.live_play else "we_mart"
    storage = open_storage(warehouse.uri, warehouse.storage_options)
    table = join(warehouse.uri, f"{database}.db", WV_LIVE_PLAY)
    return join(table, RUNS, SCRATCH, uuid.uuid4().hex), lambda folder: discard(storage, folder)


def _hadoop(warehouse: Settings, *, remote: bool) -> dict[str, str]:
    """Return the warehouse's storage as Spark's configuration; a server of Spark Connect has its own."""
    options = warehouse.storage_options
    if remote:
        return {}
    if warehouse.uri.startswith("hdfs:"):
        return {f"spark.hadoop.{name}": str(value) for name, value in options.items() if "." in name}
    if not warehouse.uri.startswith("s3:"):
        return {}
    found = {"spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
    for ours, theirs in (("endpoint", "endpoint"), ("region", "endpoint.region")):
        if ours in options:
            found[f"spark.hadoop.fs.s3a.{theirs}"] = str(options[ours])
    if "endpoint" in options and not options.get("virtual_hosted_style_request"):
        found["spark.hadoop.fs.s3a.path.style.access"] = "true"
    for ours, theirs in (("access_key_id", "access.key"), ("secret_access_key", "secret.key")):
        if variable := options.get(f"{ours}_env"):
            found[f"spark.hadoop.fs.s3a.{theirs}"] = os.environ.get(variable, "")
    return found


def sources_of(profile: Profile, engine: Engine) -> LogSources:
    """Return the profile's six sources.

    Raises:
        UsageError, StorageError: their storage is not known, or does not answer.
    """
    assert profile.live_play is not None
    catalog = profile.live_play.sources.catalog
    if catalog is not None:
        assert engine.executors is not None
        return CatalogSources(catalog, engine.executors)
    return folders_of(profile)


def folders_of(profile: Profile) -> Sources:
    """Return the profile's six sources where they are folders, as `sources_of`; no engine is asked."""
    assert profile.live_play is not None
    settings = profile.live_play.sources
    ready = None if profile.live_play.ready is None else profile.live_play.ready.file
    assert settings.uri is not None
    if "://" not in settings.uri or settings.uri.startswith("file:"):
        return Sources(settings.uri.removeprefix("file://"), ready=ready)
    same = settings.uri.partition("://")[0] == profile.warehouse.uri.partition("://")[0]
    return Sources(settings.uri, open_storage(settings.uri, profile.warehouse.storage_options if same else {}), ready)


def named_sources(profile: Profile) -> str:
    """Return where the sources are, as the lineage names it."""
    assert profile.live_play is not None
    settings = profile.live_play.sources
    return settings.uri or f"catalog {settings.catalog}"


@dataclass(frozen=True)
class Staging:
    """The new folders of one part_date's versions, which executors write into."""

    places: Mapping[str, Place]

    @classmethod
    def of(cls, warehouse: Warehouse, database: str, day: str, version: str) -> Staging:
        """Return folders that were never written, for the tables in BY_EXECUTORS; nothing is made."""
        contracts = live_contracts(database)
        return cls(
            {name: Place(_new(warehouse, contracts[name], day, version), warehouse.storage) for name in BY_EXECUTORS}
        )

    def write_artifact(self, built: Built, folder: Path) -> None:
        """Say in `folder`, for the stage that publishes, what executors wrote; or delete it, where nothing is fine."""
        for name, place in self.places.items():
            if built.outcome not in ("ok", "suspect"):
                discard(place.storage, place.location)
                continue
            said: dict[str, Any] = {"location": place.location, "rows": built.tables[name].rows}
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / STAGED).write_text(json.dumps(said), encoding="utf-8")


def _new(warehouse: Warehouse, table: Table, day: str, version: str) -> str:
    entry = warehouse.catalog.entry(table.full_name)
    place = entry.location if entry else join(warehouse.settings.uri, f"{table.database}.db", table.name)
    return new_location(warehouse.storage, place, table.partition_name(day), version)


def content_of(folder: Path) -> Staged | list[Path]:
    """Return what was handed over of a table: the folder that executors wrote, or the files that wait here."""
    said = folder / STAGED
    if said.is_file():
        return Staged(json.loads(said.read_text(encoding="utf-8"))["location"])
    # By number: 'part-10' comes after 'part-9', as the rows do.
    numbered = {part_number(path.name): path for path in folder.glob("*")}
    return [numbered[n] for n in sorted(n for n in numbered if n is not None)]
