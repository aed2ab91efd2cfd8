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

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bigmama_nb.errors import ProfileError, did_you_mean
from bigmama_nb.profile_words import refusals

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "parameters" / "sample.yaml"

COMPARISONS = ("$in", "$gt", "$gte", "$lt", "$lte", "$ne", "$exists")
CONNECTIVES = ("$and", "$or")
WEEK_OR_MONTH = ("week", "month")


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("profile", "{message}", {"message": message})


def _name(text: str) -> str:
    # A name stands in task ids, paths and query comments: lw/wau/20240501.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise _refuse(f"is {text!r}; expected letters, digits, '_', '-' or '.', beginning with a letter or digit")
    return text


def _path(text: str) -> str:
    if not text or any(not part or part.startswith("$") for part in text.split(".")):
        raise _refuse(f"is {text!r}; expected a field or a dotted path such as 'customer.id'")
    return text


def _variable(text: str) -> str:
    # The value is never shown: what stands here by mistake is often the secret itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise _refuse("is not the name of an environment variable (its value is not shown: it may be a secret)")
    return text


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(text, zoneinfo.available_timezones())
        raise _refuse(f"is {text!r}; expected a name of the tz database such as 'Asia/Seoul'.{hint}") from None
    return text


def _match(document: dict[str, Any]) -> dict[str, Any]:
    for key, condition in document.items():
        if key in CONNECTIVES:
            if not isinstance(condition, list) or not condition:
                raise _refuse(f"has {key} with {condition!r}; expected a list of filters")
            for part in condition:
                if not isinstance(part, dict):
                    raise _refuse(f"has {key} with {part!r}; expected a filter such as {{type: wau}}")
                _match(part)
        elif key.startswith("$"):
            raise _refuse(_unknown_operator(key))
        else:
            _condition(key, condition)
    return document


def _condition(key: str, condition: object) -> None:
    if isinstance(condition, dict) and any(str(name).startswith("$") for name in condition):
        for operator, operand in condition.items():
            if operator not in COMPARISONS:
                raise _refuse(_unknown_operator(str(operator)))
            if operator == "$in" and not isinstance(operand, list):
                raise _refuse(f"has {key}: {{$in: {operand!r}}}; expected a list")
            if operator == "$exists" and not isinstance(operand, bool):
                raise _refuse(f"has {key}: {{$exists: {operand!r}}}; expected true or false")
            _comparable(key, operand)
    else:
        _comparable(key, condition)


def _comparable(key: str, operand: object) -> None:
    for value in operand if isinstance(operand, list) else [operand]:
        if isinstance(value, dt.datetime):
            if value.tzinfo is None:
                raise _refuse(
                    f"compares {key} with {value}; an instant needs its zone, as in 2024-05-01T00:00:00+09:00"
                )
        elif isinstance(value, dt.date):
            raise _refuse(f"compares {key} with the bare date {value}; quote it if the documents hold a string")


def _unknown_operator(operator: str) -> str:
    known = ", ".join((*COMPARISONS, *CONNECTIVES))
    return (
        f"uses {operator}; the operators are equality, {known}.{did_you_mean(operator, (*COMPARISONS, *CONNECTIVES))}"
    )


Name = Annotated[str, AfterValidator(_name)]
FieldPath = Annotated[str, AfterValidator(_path)]
Variable = Annotated[str, AfterValidator(_variable)]
Filter = Annotated[dict[str, Any], AfterValidator(_match)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Dates(_Model):
    """The days asked for where the command names none."""

    from_: dt.date = Field(alias="from")
    to: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Dates:
        if self.from_ > self.to:
            raise _refuse(f"runs from {self.from_} to {self.to}; expected from <= to")
        return self


class Warehouse(_Model):
    """Where tables are published."""

    uri: str
    metastore: str | None = None
    database: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "bigmama"
    grace_hours: Whole = 24
    lock_wait_s: Whole = 600
    metastore_options: dict[str, Any] = {}
    storage_options: dict[str, Any] = {}
    timestamp: Literal["int64", "int96"] = "int64"

    @model_validator(mode="after")
    def _reachable(self) -> Warehouse:
        scheme = self.uri.partition("://")[0] if "://" in self.uri else "file"
        if scheme not in ("file", "hdfs", "s3"):
            raise _refuse(f"has the uri {_unsecret(self.uri)!r}; expected a folder, hdfs://… or s3://…")
        if scheme != "file" and self.metastore is None:
            raise _refuse(
                f"lies on {scheme}:// without a metastore; the SQLite catalog serves a folder on one machine only"
            )
        if self.metastore is not None and not re.match(r"thrift://[^/\s]+:\d+", self.metastore):
            raise _refuse(f"has the metastore {_unsecret(self.metastore)!r}; expected thrift://host:9083")
        return self

    @model_validator(mode="after")
    def _no_secrets(self) -> Warehouse:
        for options in (self.storage_options, self.metastore_options):
            for key in options:
                if re.search(r"secret|password|token|access_key", key, re.I) and not key.endswith("_env"):
                    raise _refuse(
                        f"holds {key!r}; a secret never stands in a file: name its variable as {key + '_env'!r}"
                    )
        return self


class Archive(_Model):
    """Where executed notebooks, records and the review site are kept."""

    uri: str
    keep_days: Whole = 400

    @model_validator(mode="after")
    def _folder(self) -> Archive:
        if "://" in self.uri:
            raise _refuse(f"has the uri {_unsecret(self.uri)!r}; expected a folder")
        return self


class Cluster(_Model):
    """Where a game's collections are: a mongodump folder, or a MongoDB cluster by the variable that holds its URI."""

    dump: str | None = None
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
            raise _refuse("needs exactly one of dump (a mongodump folder) and uri_env (the name of a variable)")
        if self.dump is not None and len(self.model_fields_set - {"dump", "max_concurrency"}):
            extra = ", ".join(sorted(self.model_fields_set - {"dump", "max_concurrency"}))
            raise _refuse(f"has a dump and {extra}, which only a cluster with uri_env can use")
        return self


class MetricDate(_Model):
    """The field that dates a document, and how."""

    field: FieldPath
    as_: Literal["yyyymmdd", "yyyymm", "iso_date", "date", "epoch_s", "epoch_ms"] = Field(alias="as")
    other_types: Literal["fail", "ignore"] = "fail"


class MetricValue(_Model):
    """What is read or computed: exactly one of the kinds."""

    field: FieldPath | None = None
    sum: FieldPath | None = None
    max: FieldPath | None = None
    count: Literal[True] | None = None
    count_distinct: FieldPath | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> MetricValue:
        if len([kind for kind in type(self).model_fields if getattr(self, kind) is not None]) != 1:
            raise _refuse("needs exactly one of field, sum, max, count: true and count_distinct")
        return self

    @property
    def kind(self) -> Literal["field", "sum", "max", "count", "count_distinct"]:
        """Which of the kinds this value is."""
        for kind in ("field", "sum", "max", "count", "count_distinct"):
            if getattr(self, kind) is not None:
                return kind
        raise AssertionError("validated to have one")

    @property
    def path(self) -> str | None:
        """The dotted path that is read; None for `count`."""
        return None if self.kind == "count" else str(getattr(self, self.kind))

    @property
    def computed(self) -> bool:
        """Whether the figure is computed from documents rather than read from one."""
        return self.kind != "field"


class Ready(_Model):
    """The document that says that a day is loaded; `$dt` in its match is the day as YYYYMMDD."""

    collection: Annotated[str, Field(min_length=1)]
    match: Filter


class Metric(_Model):
    """One figure: which documents, which day they belong to, what is read or computed, for which period."""

    collection: Annotated[str, Field(min_length=1)]
    match: Filter = {}
    date: MetricDate
    value: MetricValue
    period: Literal["day", "week", "month"]
    due: Literal["daily", "period_end"] | None = None
    trailing_days: Positive | None = None
    empty: Literal[0] | None = None
    ready: Ready | None = None

    @model_validator(mode="after")
    def _together(self) -> Metric:
        if not self.value.computed:
            for key in ("empty", "ready", "trailing_days"):
                if getattr(self, key) is not None:
                    raise _refuse(f"has {key} with value {{field}}; {key} is only for computed values")
        if self.trailing_days is not None and self.period != "day":
            raise _refuse(f"has trailing_days with period {self.period}; trailing_days is only for period day")
        if self.date.as_ == "yyyymm" and self.period != "month":
            raise _refuse(f"has date.as yyyymm with period {self.period}; a date without a day has no {self.period}")
        return self

    @property
    def due_at(self) -> Literal["daily", "period_end"]:
        """When the pair is asked for: `due`, or its default."""
        if self.due is not None:
            return self.due
        return "period_end" if not self.value.computed and self.period in WEEK_OR_MONTH else "daily"


class Game(_Model):
    """A game: where its documents are, and which metrics it has."""

    name: str | None = None
    cluster: str
    database: Annotated[str, Field(min_length=1)]
    metrics: list[str] | None = None
    override: dict[str, dict[str, Any]] = {}


class LiveSources(_Model):
    """Where the six sources of wv_live_play are."""

    uri: str | None = None
    catalog: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> LiveSources:
        if (self.uri is None) == (self.catalog is None):
            raise _refuse("needs exactly one of uri and catalog")
        return self


class LivePlay(_Model):
    """The live-viewing job."""

    sources: LiveSources
    database: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "we_mart"
    log_days_before: Whole = 1
    log_days_after: Whole = 1
    max_rejected_share: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.001
    max_live_days: Positive = 30


class Engine(_Model):
    """What builds the live-viewing tables."""

    kind: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: Annotated[str, Field(pattern=r"(?i)^\d+(\.\d+)?\s*([KMGT]i?B|B)$")] = "4GB"
    master: str | None = None
    remote: str | None = None
    conf: dict[str, str] = {}

    @model_validator(mode="after")
    def _together(self) -> Engine:
        if self.kind == "duckdb" and (self.master or self.remote or self.conf):
            raise _refuse("is duckdb with master, remote or conf, which only kind spark can use")
        if self.kind == "spark" and (self.master is None) == (self.remote is None):
            raise _refuse("is spark and needs exactly one of master and remote")
        return self


class Checks(_Model):
    """What becomes of a figure that is implausible against its own history."""

    on_suspect: Literal["warn", "hold"] = "warn"


class Profile(_Model):
    """All of a profile; paths are absolute."""

    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Seoul"
    dates: Dates | None = None
    warehouse: Warehouse
    archive: Archive
    clusters: dict[Name, Cluster] = {}
    games: dict[Name, Game] = {}
    metrics: dict[Name, Metric] = {}
    stage_timeout_s: Positive = 3600
    extract_deadline_s: Positive = 600
    live_play: LivePlay | None = None
    engine: Engine = Engine()
    checks: Checks = Checks()
    notify: list[Variable] = []

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
    """Return the profile's file: `path`, else what `BIGMAMA_PROFILE` names, else the sample."""
    return Path(path or os.environ.get("BIGMAMA_PROFILE") or SAMPLE)


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
        raise ProfileError(f"{path}: cannot be read ({error.strerror}). Nothing was run.") from None
    document = _yaml(path, content)
    problems = _dangling(document)
    try:
        profile = Profile.model_validate(_absolute(document, path.parent))
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
            problem = (error.problem or problem).splitlines()[0]
        raise ProfileError(f"{path.name}:{place} not valid YAML ({problem}). Nothing was run.") from None
    if not isinstance(document, dict):
        raise ProfileError(
            f"{path.name}: found a {type(document).__name__}; expected a mapping with warehouse, archive, …. "
            "Nothing was run."
        )
    return document


def _absolute(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    def resolved(section: object, key: str) -> None:
        if isinstance(section, dict) and isinstance(section.get(key), str):
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
        for key in ("metrics", "override"):
            for name in game.get(key) or ():
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
                pairs[game_cd, type_] = Metric.model_validate(plain)
            except ValidationError as error:
                at = f"games.{game_cd}.override.{type_}"
                problems += refusals(error, Metric, plain, at=at)
    return pairs, problems


def _unsecret(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://•••@", text)
