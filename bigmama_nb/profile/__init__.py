"""The profile: one YAML file that says what a run does, as typed, frozen models.

Source of every rule here: parameters.md, "The profile".
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bigmama_nb.errors import ProfileError, did_you_mean
from bigmama_nb.profile.messages import Section, named, refusals, refuse, without_secrets
from bigmama_nb.profile.metric import (
    Filter,
    Metric,
    MetricDate,
    MetricValue,
    Positive,
    Ready,
)

__all__ = [
    "ROOT",
    "SAMPLE",
    "Archive",
    "Checks",
    "Cluster",
    "Dates",
    "Engine",
    "Filter",
    "Game",
    "LivePlay",
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

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "parameters" / "sample.yaml"
VARIABLE = "BIGMAMA_PROFILE"
"""The variable that names the profile where nothing else does."""


def _name(text: str) -> str:
    # A name stands in task ids, paths and query comments: lw/wau/20240501.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise refuse(f"is {text!r}; expected letters, digits, '_', '-' or '.', beginning with a letter or digit")
    return text


def _variable(text: str) -> str:
    # The value is never shown: what stands here by mistake is often the secret itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise refuse("is not the name of an environment variable (its value is not shown: it may be a secret)")
    return text


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(text, sorted(zoneinfo.available_timezones()))
        raise refuse(f"is {text!r}; expected a name of the tz database such as 'Asia/Seoul'.{hint}") from None
    return text


def _database(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise refuse(f"is {text!r}; expected lower-case letters, digits and '_', beginning with a letter")
    return text


def _size(text: str) -> str:
    if not re.fullmatch(r"(?i)\d+(\.\d+)?\s*[KMGT]i?B", text):
        raise refuse(f"is {text!r}; expected a size such as '4GB'")
    return text


def _place(text: str) -> str:
    if re.search(r"://[^/@\s]*:[^/@\s]*@", text):
        raise refuse(
            f"is {without_secrets(text)!r}; a password never stands in a file: name its variable in the options"
        )
    return text


def _no_secrets(options: Mapping[str, Any], *, by_name: bool) -> None:
    for key in options:
        if re.search(r"secret|password|token|access[._-]?key", key, re.I) and not (by_name and key.endswith("_env")):
            instead = f"name its variable as {key + '_env'!r}" if by_name else "give it in Spark's own configuration"
            raise refuse(f"holds {key!r}; a secret never stands in a file: {instead}")


Name = Annotated[str, AfterValidator(_name)]
Variable = Annotated[str, AfterValidator(_variable)]
Whole = Annotated[int, Field(ge=0)]
Database = Annotated[str, AfterValidator(_database)]
Size = Annotated[str, AfterValidator(_size)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_place)]


class Dates(Section):
    """The days asked for where the command names none."""

    from_: dt.date = Field(alias="from")
    to: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Dates:
        if self.from_ > self.to:
            raise refuse(f"runs from {self.from_} to {self.to}; expected from <= to")
        return self


class WarehouseSettings(Section):
    """Where tables are published."""

    uri: Place
    metastore: Place | None = None
    database: Database = "bigmama"
    grace_hours: Whole = 24
    lock_wait_s: Whole = 600
    metastore_options: dict[str, Any] = Field(default_factory=dict)
    storage_options: dict[str, Any] = Field(default_factory=dict)
    timestamp: Literal["int64", "int96"] = "int64"

    @model_validator(mode="after")
    def _reachable(self) -> WarehouseSettings:
        scheme = self.uri.partition("://")[0] if "://" in self.uri else "file"
        if scheme not in ("file", "hdfs", "s3"):
            raise refuse(f"has the uri {self.uri!r}; expected a folder, hdfs://… or s3://…")
        if scheme != "file" and self.metastore is None:
            raise refuse(
                f"lies on {scheme}:// without a metastore; the SQLite catalog serves a folder on one machine only"
            )
        if self.metastore is not None and not re.match(r"thrift://[^/\s]+:\d+", self.metastore):
            raise refuse(f"has the metastore {self.metastore!r}; expected thrift://host:9083")
        return self

    @model_validator(mode="after")
    def _by_variable(self) -> WarehouseSettings:
        _no_secrets(self.storage_options, by_name=True)
        _no_secrets(self.metastore_options, by_name=True)
        return self


class Archive(Section):
    """Where executed notebooks, records and the review site are kept."""

    uri: Place
    keep_days: Whole = 400

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
    max_staleness_s: Annotated[int, Field(ge=90)] | None = 90
    max_time_ms: Positive = 30_000
    max_concurrency: Positive = 4
    retries: Whole = 3

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


class Game(Section):
    """A game: where its documents are, and which metrics it has."""

    name: str | None = None
    cluster: str
    database: Annotated[str, Field(min_length=1)]
    metrics: list[str] | None = None
    override: dict[str, dict[str, Any]] = Field(default_factory=dict)


class LiveSources(Section):
    """Where the six sources of wv_live_play are."""

    uri: Place | None = None
    catalog: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> LiveSources:
        if (self.uri is None) == (self.catalog is None):
            raise refuse("needs exactly one of uri and catalog")
        return self


class LivePlay(Section):
    """The live-viewing job."""

    sources: LiveSources
    dates: Dates | None = None
    database: Database = "we_mart"
    log_days_before: Whole = 1
    log_days_after: Whole = 1
    max_rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    max_live_days: Positive = 30


class Engine(Section):
    """What builds the live-viewing tables."""

    kind: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: Size = "4GB"
    master: str | None = None
    remote: str | None = None
    conf: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _together(self) -> Engine:
        if self.kind == "duckdb" and (self.master or self.remote or self.conf):
            raise refuse("is duckdb with master, remote or conf, which only kind spark can use")
        if self.kind == "spark" and (self.master is None) == (self.remote is None):
            raise refuse("is spark and needs exactly one of master and remote")
        _no_secrets(self.conf, by_name=False)
        return self


class Checks(Section):
    """What becomes of a figure that is implausible against its own history."""

    on_suspect: Literal["warn", "hold"] = "warn"


class Profile(Section):
    """All of a profile; paths are absolute."""

    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Seoul"
    dates: Dates | None = None
    warehouse: WarehouseSettings
    archive: Archive
    clusters: dict[Name, Cluster] = Field(default_factory=dict)
    games: dict[Name, Game] = Field(default_factory=dict)
    metrics: dict[Name, Metric] = Field(default_factory=dict)
    stage_timeout_s: Positive = 3600
    extract_deadline_s: Positive = 600
    live_play: LivePlay | None = None
    engine: Engine = Engine()
    checks: Checks = Checks()
    notify: list[Variable] = Field(default_factory=list)

    @model_validator(mode="after")
    def _catalog_needs_spark(self) -> Profile:
        if self.live_play is not None and self.live_play.sources.catalog is not None and self.engine.kind != "spark":
            raise refuse(
                f"has live_play.sources.catalog with engine {self.engine.kind}; only kind spark reads a catalog"
            )
        return self

    _path: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")
    _pairs: Mapping[tuple[str, str], Metric] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that this profile was read from."""
        return self._path

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
        return SAMPLE
    if not str(found).strip():
        raise ProfileError(
            f"{named_by} is empty; expected a profile's file, or none at all for the sample. Nothing was run; is a "
            "variable of the shell not set?"
        )
    return Path(found)


def load(path: str | Path | None = None) -> Profile:
    """Return the profile that `find` finds, read; raises ProfileError."""
    return read(find(path))


def read(path: str | Path) -> Profile:
    """Read and validate a profile.

    Returns:
        The profile with its defaults, relative paths made absolute from the profile's folder.

    Raises:
        ProfileError: the file is missing, is not YAML, or breaks a rule of parameters.md; every refusal is named,
            one a line, with the file, the key path, what was found and what was expected.
    """
    path = Path(path).expanduser().absolute()
    try:
        content = path.read_bytes()
    except OSError as error:
        near = did_you_mean(path.name, sorted(one.name for one in path.parent.glob("*.yaml")))
        raise ProfileError(
            f"{path}: the profile cannot be read ({error.strerror}).{near} It is named by --profile, else by "
            "BIGMAMA_PROFILE, else it is parameters/sample.yaml. Nothing was run."
        ) from None
    document = _yaml(path, content)
    problems = _dangling(document)
    try:
        profile = Profile.model_validate(_absolute(document, path.parent), by_name=False)
    except ValidationError as error:
        raise ProfileError(_said(path.name, refusals(error, Profile, document) + problems)) from None
    pairs, broken = _configured(profile)
    if problems or broken:
        raise ProfileError(_said(path.name, problems + broken))
    profile._path, profile._sha256 = path, hashlib.sha256(content).hexdigest()
    profile._pairs = MappingProxyType(pairs)
    return profile


def _said(file: str, problems: Sequence[str]) -> str:
    return "\n".join(
        f"{file}: {problem.rstrip('.')}. Nothing was run."
        if not problem.endswith("?")
        else f"{file}: {problem} Nothing was run."
        for problem in problems
    )


def _yaml(path: Path, content: bytes) -> dict[str, Any]:
    # YAML 1.2 with duplicate keys refused: PyYAML keeps the last of two games in silence and reads `no` as False.
    try:
        document = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path.name}: byte {error.start} is not UTF-8. Nothing was run.") from None
    except YAMLError as error:
        place, problem = "", str(error).splitlines()[0]
        if isinstance(error, MarkedYAMLError):
            mark = error.problem_mark
            place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark is not None else ""
            # Of a duplicate key the parser shows both values, and one may be a secret.
            problem = (error.problem or problem).splitlines()[0].partition('" with value')[0]
            problem += '"' if problem.startswith("found duplicate key") else ""
        raise ProfileError(f"{path.name}:{place} not valid YAML ({problem}). Nothing was run.") from None
    except ValueError as error:  # 2024-02-30 has the form of a date, and the parser makes one of it
        raise ProfileError(f"{path.name}: a value is no date ({error}). Nothing was run.") from None
    if not isinstance(document, dict):
        raise ProfileError(
            f"{path.name}: found {named(document)}; expected a mapping with warehouse, archive, …. Nothing was run."
        )
    return document


def _absolute(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    def resolved(section: object, key: str) -> None:
        if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
            text = section[key].removeprefix("file://")
            if "://" not in text:
                section[key] = str(Path(folder, Path(text).expanduser()).resolve())

    clusters = document.get("clusters")
    live_play = document.get("live_play")
    resolved(document.get("warehouse"), "uri")
    resolved(document.get("archive"), "uri")
    for cluster in clusters.values() if isinstance(clusters, dict) else ():
        resolved(cluster, "dump")
    if isinstance(live_play, dict):
        resolved(live_play.get("sources"), "uri")
    return document


def _dangling(document: dict[str, Any]) -> list[str]:
    """Name what refers to a cluster or metric that the profile does not have."""

    def section(name: str) -> dict[str, Any]:
        found = document.get(name)
        return found if isinstance(found, dict) else {}

    problems = []
    clusters, metrics = [*map(str, section("clusters"))], [*map(str, section("metrics"))]
    for game_cd, game in section("games").items():
        if not isinstance(game, dict):
            continue
        cluster = game.get("cluster")
        if isinstance(cluster, str) and cluster not in clusters:
            problems.append(
                f"games.{game_cd}.cluster is {cluster!r}; clusters are {', '.join(clusters) or 'none'}."
                f"{did_you_mean(cluster, clusters)}"
            )
        for key, kind in (("metrics", list), ("override", dict)):
            for name in game[key] if isinstance(game.get(key), kind) else ():
                if isinstance(name, str) and name not in metrics:
                    problems.append(
                        f"games.{game_cd}.{key} names {name!r}; metrics are {', '.join(metrics) or 'none'}."
                        f"{did_you_mean(name, metrics)}"
                    )
    return problems


def _configured(profile: Profile) -> tuple[dict[tuple[str, str], Metric], list[str]]:
    pairs: dict[tuple[str, str], Metric] = {}
    problems: list[str] = []
    for game_cd, game in profile.games.items():
        for type_, metric in profile.metrics.items():
            if game.metrics is not None and type_ not in game.metrics:
                continue
            override = game.override.get(type_)
            if override is None:
                pairs[game_cd, type_] = metric
                continue
            plain = metric.model_dump(by_alias=True, exclude_unset=True) | override
            try:
                pairs[game_cd, type_] = Metric.model_validate(plain, by_name=False)
            except ValidationError as error:
                at = f"games.{game_cd}.override.{type_}"
                problems += refusals(error, Metric, plain, at=at)
    return pairs, problems
