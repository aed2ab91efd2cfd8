"""The profile: one YAML file that says what a run does, as typed, frozen models.

Source of every rule here: docs/spec/profile.md, "Keys".
"""

from __future__ import annotations

import hashlib
import os
import zoneinfo
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from bigmama_nb.errors import ProfileError, printable
from bigmama_nb.profile.document import absolute, content_of, parsed, resolve_paths
from bigmama_nb.profile.messages import Section, refusals, refuse
from bigmama_nb.profile.metric import (
    Filter,
    Metric,
    MetricDate,
    MetricValue,
    Names,
    Ready,
)
from bigmama_nb.profile.pairs import Game, configured, dangling
from bigmama_nb.profile.types import (
    FIRST_DAY,
    Address,
    Database,
    Day,
    FileName,
    Name,
    Place,
    Size,
    Variable,
    Zone,
    is_metastore,
    refuse_secrets,
)
from bigmama_nb.profile.uris import without_passwords
from bigmama_nb.project import sample_profile

__all__ = [
    "FIRST_DAY",
    "Archive",
    "Checks",
    "Cluster",
    "Dates",
    "Engine",
    "Filter",
    "Game",
    "LivePlay",
    "LiveReady",
    "LiveSources",
    "Metric",
    "MetricDate",
    "MetricValue",
    "Profile",
    "Ready",
    "WarehouseSettings",
    "find",
    "load",
    "read",
]

VARIABLE = "BIGMAMA_PROFILE"
"""The variable that names the profile where nothing else does."""

Told = Literal["failed", "partial", "suspect", "recovered"]


class Dates(Section):
    """The days asked for where the command names none."""

    from_: Day = Field(alias="from")
    to: Day

    @model_validator(mode="after")
    def _in_order(self) -> Dates:
        if self.from_ > self.to:
            raise refuse(f"runs from {self.from_} to {self.to}; expected from <= to")
        return self


FOR_OLD_HIVE = {"compression": "snappy", "timestamp": "int96"}
"""What files must be like for Hive 2 and 3: their Parquet knows no zstd, their SerDe no INT64 timestamps."""


def _old(readers: Sequence[Any]) -> list[Any]:
    return [reader for reader in readers if reader in ("hive2", "hive3")]


class WarehouseSettings(Section):
    """Where tables are published."""

    uri: Place
    metastore: Place | None = None
    database: Database = "bigmama"
    owner: str | None = None
    grace_hours: Annotated[int, Field(ge=0, le=87_600)] = 24
    lock_wait_s: Annotated[int, Field(ge=0, le=86_400)] = 600
    metastore_options: dict[str, Any] = Field(default_factory=dict)
    storage_options: dict[str, Any] = Field(default_factory=dict)
    readers: list[Literal["hive2", "hive3", "hive4", "spark", "trino"]] = Field(default_factory=list)
    compression: Literal["zstd", "snappy", "gzip"] = "zstd"
    timestamp: Literal["int64", "int96"] = "int64"

    @model_validator(mode="before")
    @classmethod
    def _by_readers(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("readers"), list):
            return given
        return {**(FOR_OLD_HIVE if _old(given["readers"]) else {}), **given}

    @model_validator(mode="after")
    def _readable(self) -> WarehouseSettings:
        for reader in _old(self.readers):
            if self.compression == "zstd":
                raise refuse(f"has the reader {reader!r}, which reads no zstd; expected compression snappy or gzip")
            if self.timestamp != FOR_OLD_HIVE["timestamp"]:
                raise refuse(f"has the reader {reader!r}, which reads no int64 timestamps; expected timestamp int96")
        return self

    @model_validator(mode="after")
    def _reachable(self) -> WarehouseSettings:
        scheme = self.uri.partition("://")[0] if "://" in self.uri else "file"
        if scheme not in ("file", "hdfs", "s3"):
            raise refuse(f"has the uri {self.uri!r}; expected a folder, hdfs://… or s3://…")
        if scheme != "file" and self.metastore is None:
            raise refuse(
                f"lies on {scheme}:// without a metastore; the SQLite catalog serves a folder on one machine only"
            )
        if self.metastore is not None and not is_metastore(self.metastore):
            raise refuse(f"has the metastore {self.metastore!r}; expected thrift://host:9083")
        return self

    @model_validator(mode="after")
    def _by_variable(self) -> WarehouseSettings:
        refuse_secrets(self.storage_options, by_name=True)
        refuse_secrets(self.metastore_options, by_name=True)
        return self


class Archive(Section):
    """Where executed notebooks, records and the review site are kept."""

    uri: Place
    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 400
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None

    @model_validator(mode="after")
    def _folder(self) -> Archive:
        if "://" in self.uri:
            raise refuse(f"has the uri {self.uri!r}; expected a folder")
        return self


class Cluster(Section):
    """Where a game's collections are: a mongodump folder, or a MongoDB cluster by the variable that holds its URI."""

    dump: Annotated[str, Field(min_length=1)] | None = None
    uri_env: Variable | None = None
    read_preference: Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"] = (
        "secondaryPreferred"
    )
    max_staleness_s: Annotated[int, Field(ge=90, le=86_400)] | None = 90
    max_time_ms: Annotated[int, Field(ge=1, le=86_400_000)] = 30_000
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 4
    retries: Annotated[int, Field(ge=0, le=100)] = 3

    @model_validator(mode="after")
    def _one_of(self) -> Cluster:
        if (self.dump is None) == (self.uri_env is None):
            raise refuse("needs exactly one of dump (a mongodump folder) and uri_env (the name of a variable)")
        if self.dump is not None and "://" in self.dump:
            raise refuse(
                "has a URI as its dump (not shown: it may hold a secret); expected a mongodump folder. "
                "Put a MongoDB URI into a variable and name it in uri_env"
            )
        if self.dump is not None and len(self.model_fields_set - {"dump", "max_concurrency"}):
            extra = ", ".join(sorted(self.model_fields_set - {"dump", "max_concurrency"}))
            raise refuse(f"has a dump and {extra}, which only a cluster with uri_env can use")
        return self


class LiveSources(Section):
    """Where the six sources of wv_live_play are."""

    uri: Place | None = None
    catalog: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> LiveSources:
        if (self.uri is None) == (self.catalog is None):
            raise refuse("needs exactly one of uri and catalog")
        return self


class LiveReady(Section):
    """What says that a date of the log is whole."""

    file: FileName


class LivePlay(Section):
    """The live-viewing job."""

    sources: LiveSources
    ready: LiveReady | None = None
    dates: Dates | None = None
    database: Database = "we_mart"
    owner: str | None = None
    log_days_before: Annotated[int, Field(ge=0, le=366)] = 1
    log_days_after: Annotated[int, Field(ge=0, le=366)] = 1
    max_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    max_live_days: Annotated[int, Field(ge=1, le=366)] = 30

    @model_validator(mode="after")
    def _files_only(self) -> LivePlay:
        if self.ready is not None and self.sources.uri is None:
            raise refuse("has ready.file with sources.catalog; only folders of a uri hold a file")
        return self


class Engine(Section):
    """What builds the live-viewing tables."""

    kind: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: Size = "4GB"
    master: Address | None = None
    remote: Address | None = None
    conf: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _together(self) -> Engine:
        if self.kind == "duckdb" and (self.master or self.remote or self.conf):
            raise refuse("is duckdb with master, remote or conf, which only kind spark can use")
        if self.kind == "spark" and (self.master is None) == (self.remote is None):
            raise refuse("is spark and needs exactly one of master and remote")
        refuse_secrets(self.conf, by_name=False)
        return self


class Checks(Section):
    """What becomes of a figure that is implausible against its own history."""

    on_suspect: Literal["warn", "hold"] = "warn"


class Profile(Section):
    """All of a profile; paths are absolute."""

    timezone: Zone = "Asia/Seoul"
    dates: Dates | None = None
    warehouse: WarehouseSettings
    archive: Archive
    clusters: dict[Name, Cluster] = Field(default_factory=dict)
    games: dict[Name, Game] = Field(default_factory=dict)
    groups: dict[Name, Names] = Field(default_factory=dict)
    metrics: dict[Name, Metric] = Field(default_factory=dict)
    stage_timeout_s: Annotated[int, Field(ge=1, le=604_800)] = 3600
    extract_deadline_s: Annotated[int, Field(ge=1, le=604_800)] = 600
    live_play: LivePlay | None = None
    engine: Engine = Engine()
    checks: Checks = Checks()
    notify: list[Variable] = Field(default_factory=list)
    notify_on: list[Told] = Field(default_factory=lambda: list(get_args(Told)))
    metrics_textfile: Place | None = None

    @model_validator(mode="after")
    def _catalog_needs_spark(self) -> Profile:
        if self.live_play is not None and self.live_play.sources.catalog is not None and self.engine.kind != "spark":
            raise refuse(
                f"has live_play.sources.catalog with engine {self.engine.kind}; only kind spark reads a catalog"
            )
        return self

    _path: Path = PrivateAttr(default=Path())
    _content: bytes = PrivateAttr(default=b"")
    _sha256: str = PrivateAttr(default="")
    _pairs: Mapping[tuple[str, str], Metric] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that this profile was read from."""
        return self._path

    @property
    def content(self) -> bytes:
        """That file's bytes, as they were read."""
        return self._content

    @property
    def sha256(self) -> str:
        """The checksum of that file's bytes."""
        return self._sha256

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The zone in which days, weeks and months are cut."""
        return zoneinfo.ZoneInfo(self.timezone)

    @property
    def pairs(self) -> Mapping[tuple[str, str], Metric]:
        """Every configured (game_cd, type) with its metric, overrides applied, in the profile's order."""
        return self._pairs

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The pipelines that this profile configures: `game_metric`, `live_play`."""
        configured = (("game_metric", bool(self.games)), ("live_play", self.live_play is not None))
        return tuple(name for name, is_there in configured if is_there)


def find(path: str | Path | None = None) -> Path:
    """Return the profile's file: `path`, else what `BIGMAMA_PROFILE` names, else the sample.

    Raises:
        ProfileError: the path or the variable is given and empty; which profile was meant is not known.
    """
    named_by, found = (
        ("the profile's path", path) if path is not None else ("BIGMAMA_PROFILE", os.environ.get(VARIABLE))
    )
    if found is None:
        return sample_profile()
    if not str(found).strip():
        raise ProfileError(
            f"{named_by} is empty; expected a profile's file, or none at all for the sample",
            step="is a variable of the shell not set?",
        )
    return Path(found)


def load(path: str | Path | None = None) -> Profile:
    """Return the profile that `find` finds, read; raises ProfileError."""
    return read(find(path))


def read(path: str | Path, content: bytes | None = None) -> Profile:
    """Read and validate a profile.

    Args:
        path: the file.
        content: its bytes where they are known already, as a run keeps them; then the file is not opened.

    Returns:
        The profile with its defaults, relative paths made absolute from the profile's folder.

    Raises:
        ProfileError: the file is missing, is not YAML, or breaks a rule of docs/spec/profile.md; every refusal is
            named, one a line, with the file, the key path, what was found and what was expected.
    """
    path = absolute(path)
    content = content_of(path) if content is None else content
    document = parsed(path, content)
    problems = [*resolve_paths(document, path.parent), *dangling(document)]
    try:
        profile = Profile.model_validate(document, by_name=False)
    except ValidationError as error:
        raise _refused(path.name, refusals(error, Profile, document) + problems) from None
    pairs, broken = configured(profile.games, profile.groups, profile.metrics)
    if problems or broken:
        raise _refused(path.name, problems + broken)
    profile._path, profile._content, profile._sha256 = path, content, hashlib.sha256(content).hexdigest()
    profile._pairs = MappingProxyType(pairs)
    return profile


def _refused(file: str, problems: Sequence[str]) -> ProfileError:
    # A URI in the place of a name would be shown with its password.
    return ProfileError(*(f"{printable(file)}: {without_passwords(problem).rstrip('.')}" for problem in problems))
