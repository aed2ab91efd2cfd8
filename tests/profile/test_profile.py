"""The profile: what it accepts, and the words in which it refuses."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bigmama_nb import profile
from bigmama_nb.errors import ProfileError, UsageError
from bigmama_nb.profile import Profile

PLACES = "warehouse: {uri: out/warehouse}\narchive: {uri: out/archive}\n"
GAME = (
    PLACES
    + "clusters: {ncmc2: {dump: dump}, ncmc3: {uri_env: BIGMAMA_NCMC3_URI}}\n"
    + "games: {lw: {cluster: ncmc2, database: lw}}\n"
)
PARAMETERS = Path(__file__).parents[2] / "parameters"
TOP_KEYS = (
    "timezone, dates, warehouse, archive, clusters, games, groups, metrics, stage_timeout_s, extract_deadline_s, "
    "live_play, engine, checks, notify, notify_on, metrics_textfile"
)
BARE = (
    "metrics.wau.match compares dt with the bare date 2024-05-01; an instant is written as "
    '{$date: "2024-05-01T00:00:00+09:00"}.'
)
OPERATORS = "the operators are equality, $in, $nin, $gt, $gte, $lt, $lte, $ne, $not, $exists, $type, $regex, $and, $or"


def metric(**keys: str) -> str:
    """Return a profile whose metric wau has `keys`, written as YAML, in place of its own."""
    own = {
        "collection": "mobile_index_daily",
        "date": "{field: dt, as: yyyymmdd}",
        "value": "{field: value}",
        "period": "day",
    }
    return GAME + "metrics: {wau: {" + ", ".join(f"{key}: {text}" for key, text in (own | keys).items()) + "}}\n"


def overridden(override: str, **keys: str) -> str:
    """Return a profile in which the game lw overrides its metrics."""
    return metric(**keys).replace("database: lw", f"database: lw, override: {override}")


def warehouse(keys: str) -> str:
    return PLACES.replace("uri: out/warehouse", keys)


def written(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Profile:
    return profile.read(written(folder, text))


def refused(folder: Path, text: str) -> list[str]:
    """Return the refusals of a profile, without the file's name and the closing "Nothing was run."."""
    with pytest.raises(ProfileError) as caught:
        read(folder, text)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("p.yaml:") and line.endswith(" Nothing was run.") for line in lines)
    return [line.removeprefix("p.yaml:").removesuffix(" Nothing was run.").strip() for line in lines]


REFUSALS: dict[str, tuple[str, str]] = {
    # the file
    "empty": ("", "found nothing; expected a mapping with warehouse, archive, …."),
    "list": ("[]", "found a list; expected a mapping with warehouse, archive, …."),
    "text": ("hello", "found a string; expected a mapping with warehouse, archive, …."),
    "unclosed": (
        "warehouse: [",
        "line 1, column 13: not valid YAML (expected the node content, but found '<stream end>').",
    ),
    "tab": (
        "a: 1\n\tb: 2",
        "line 2, column 1: not valid YAML (found character '\\t' that cannot start any token).",
    ),
    "duplicate key": (
        PLACES + "archive: {uri: x}\n",
        'line 3, column 1: not valid YAML (found duplicate key "archive").',
    ),
    "duplicate game": (
        GAME.replace("games: {", "games: {lw: {cluster: ncmc3, database: other}, "),
        'line 4, column 48: not valid YAML (found duplicate key "lw").',
    ),
    "duplicate key in an override": (
        overridden("{wau: {collection: a, collection: b}}"),
        'line 4, column 76: not valid YAML (found duplicate key "collection").',
    ),
    "two documents": (PLACES + "---\na: 1", "line 3, column 1: not valid YAML (but found another document)."),
    "python object": (
        PLACES + "x: !!python/object:os.system 1",
        (
            "line 3, column 4: not valid YAML (could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system')."
        ),
    ),
    # keys
    "missing": ("archive: {uri: x}", "warehouse is missing; it is required."),
    "missing below": (PLACES.replace("uri: out/archive", ""), "archive.uri is missing; it is required."),
    "unknown": (
        PLACES + "timezon: Asia/Seoul",
        f"the profile has the unknown key 'timezon'; keys are {TOP_KEYS}. Did you mean 'timezone'?",
    ),
    "unknown below": (
        warehouse("uri: a, grace_hour: 1"),
        (
            "warehouse has the unknown key 'grace_hour'; keys are uri, metastore, database, owner, grace_hours, "
            "lock_wait_s, metastore_options, storage_options, readers, compression, timestamp. Did you mean "
            "'grace_hours'?"
        ),
    ),
    "unknown far off": (PLACES + "zzz: 1", f"the profile has the unknown key 'zzz'; keys are {TOP_KEYS}."),
    "number as key": (PLACES + "5: 1", "the profile has the key 5; expected a string (quote it)."),
    "null as key": (PLACES + "null: 1", "the profile has the key null; expected a string."),
    "number as game": (GAME.replace("lw:", "2024:"), "games has the key 2024; expected a string (quote it)."),
    "boolean as game": (GAME.replace("lw:", "true:"), "games has the key true; expected a string (quote it)."),
    "null as game": (GAME.replace("lw:", "null:"), "games has the key null; expected a string."),
    "date as game": (
        GAME.replace("lw:", "2024-05-01:"),
        "games has the key 2024-05-01; expected a string (quote it).",
    ),
    "empty name": (
        GAME.replace("lw:", '"":'),
        "games has the key ''; expected letters, digits, '_', '-' or '.', beginning with a letter or digit.",
    ),
    "slash in a name": (
        PLACES + "clusters: {nc/2: {dump: d}}",
        "clusters has the key 'nc/2'; expected letters, digits, '_', '-' or '.', beginning with a letter or digit.",
    ),
    # kinds of value
    "number for text": (PLACES + "timezone: 9", "timezone is 9; expected a string (quote it)."),
    "null for text": (PLACES + "timezone: null", "timezone is null; expected a string."),
    "boolean for text": (
        GAME.replace("database: lw", "database: true"),
        "games.lw.database is true; expected a string (quote it).",
    ),
    "empty text": (
        GAME.replace("database: lw", 'database: ""'),
        "games.lw.database is ''; it should have at least 1 character.",
    ),
    **{
        f"database {name}": (
            GAME.replace("database: lw", f"database: '{name}'"),
            f"games.lw.database is {name!r}; expected a name of MongoDB's, without / \\ . $, a quote or a blank.",
        )
        for name in ("..", ".", "/tmp", "lw/", "a/../lw", "lw.stats", "$lw", " lw")
    },
    **{
        f"timezone {name}": (
            PLACES + f"timezone: {name}",
            f"timezone is {name!r}; expected a name of the tz database such as 'Asia/Seoul'.{near}",
        )
        for name, near in {
            "localtime": "",
            "Factory": "",
            "right/Asia/Seoul": " Did you mean 'Asia/Seoul'?",
            "asia/seoul": " Did you mean 'Asia/Seoul'?",
        }.items()
    },
    "zone that is no name": (
        PLACES + "timezone: Somewhere/Else",
        "timezone is 'Somewhere/Else'; expected a name of the tz database such as 'Asia/Seoul'.",
    ),
    "text for number": (PLACES + 'extract_deadline_s: "600"', "extract_deadline_s is '600'; expected a whole number."),
    "fraction for number": (
        warehouse("uri: a, grace_hours: 1.5"),
        "warehouse.grace_hours is 1.5; expected a whole number.",
    ),
    "boolean for number": (
        warehouse("uri: a, grace_hours: true"),
        "warehouse.grace_hours is true; expected a whole number.",
    ),
    "negative number": (
        warehouse("uri: a, grace_hours: -1"),
        "warehouse.grace_hours is -1; it should be greater than or equal to 0.",
    ),
    "zero seconds": (PLACES + "stage_timeout_s: 0", "stage_timeout_s is 0; it should be greater than or equal to 1."),
    "list for mapping": (PLACES + "clusters: [a]", "clusters is ['a']; expected a mapping."),
    "text for list": (
        metric().replace("database: lw", "database: lw, metrics: wau"),
        "games.lw.metrics is 'wau'; expected a list.",
    ),
    "number in list": (
        metric().replace("database: lw", "database: lw, metrics: [5]"),
        "games.lw.metrics.0 is 5; expected a string (quote it).",
    ),
    # zone and dates
    "zone": (
        PLACES + "timezone: Asia/Soul",
        "timezone is 'Asia/Soul'; expected a name of the tz database such as 'Asia/Seoul'. Did you mean 'Asia/Seoul'?",
    ),
    "zone that leaves its folder": (
        PLACES + "timezone: ../../etc/passwd",
        "timezone is '../../etc/passwd'; expected a name of the tz database such as 'Asia/Seoul'.",
    ),
    "dates backwards": (
        PLACES + "dates: {from: 2024-05-02, to: 2024-05-01}",
        "dates runs from 2024-05-02 to 2024-05-01; expected from <= to.",
    ),
    "quoted date": (
        PLACES + 'dates: {from: "2024-05-01", to: 2024-05-02}',
        "dates.from is '2024-05-01'; expected a date as YYYY-MM-DD, not quoted.",
    ),
    "number for date": (
        PLACES + "dates: {from: 20240501, to: 2024-05-02}",
        "dates.from is 20240501; expected a date as YYYY-MM-DD, not quoted.",
    ),
    "instant for date": (
        PLACES + "dates: {from: 2024-05-01, to: 2024-05-02 00:00:00}",
        "dates.to is 2024-05-02 00:00:00; expected a date as YYYY-MM-DD, not quoted.",
    ),
    "date that is none": (
        PLACES + "dates: {from: 2024-02-30, to: 2024-05-02}",
        "a value is not what it has the form of (day is out of range for month).",
    ),
    **{
        f"beyond a double {text}": (
            metric(match=f"{{a: {{$lt: {text}}}}}"),
            f"a value is not what it has the form of ({text} is beyond a double; an infinity is written .inf).",
        )
        for text in ("1e400", "-1e400", "1.5e+999")
    },
    "tag that does not fit": (
        metric(match="{a: !!int x}"),
        "a value is not what it has the form of (invalid literal for int() with base 10: 'x').",
    ),
    "one date": (PLACES + "dates: {to: 2024-05-02}", "dates.from is missing; it is required."),
    # warehouse and archive
    "empty folder": (warehouse('uri: ""'), "warehouse.uri is ''; it should have at least 1 character."),
    "unknown storage": (
        warehouse("uri: gs://bucket/prefix"),
        "warehouse has the uri 'gs://bucket/prefix'; expected a folder, hdfs://… or s3://….",
    ),
    "storage without metastore": (
        warehouse("uri: s3://bucket/prefix"),
        "warehouse lies on s3:// without a metastore; the SQLite catalog serves a folder on one machine only.",
    ),
    "metastore": (
        warehouse("uri: a, metastore: host:9083"),
        "warehouse has the metastore 'host:9083'; expected thrift://host:9083.",
    ),
    "database name": (
        warehouse("uri: a, database: Big-Mama"),
        "warehouse.database is 'Big-Mama'; expected lower-case letters, digits and '_', beginning with a letter.",
    ),
    "timestamp": (
        warehouse("uri: a, timestamp: int95"),
        "warehouse.timestamp is 'int95'; expected 'int64' or 'int96'. Did you mean 'int96'?",
    ),
    "old reader and zstd": (
        warehouse("uri: a, readers: [spark, hive3], compression: zstd"),
        "warehouse has the reader 'hive3', which reads no zstd; expected compression snappy or gzip.",
    ),
    "old reader and int64": (
        warehouse("uri: a, readers: [hive2], timestamp: int64"),
        "warehouse has the reader 'hive2', which reads no int64 timestamps; expected timestamp int96.",
    ),
    "unknown reader": (
        warehouse("uri: a, readers: [hive5]"),
        "warehouse.readers.0 is 'hive5'; expected 'hive2', 'hive3', 'hive4', 'spark' or 'trino'. Did you mean 'hive4'?",
    ),
    "archive elsewhere": (
        PLACES.replace("out/archive", "s3://bucket/archive"),
        "archive has the uri 's3://bucket/archive'; expected a folder.",
    ),
    # clusters
    "cluster without source": (
        PLACES + "clusters: {ncmc2: {}}",
        "clusters.ncmc2 needs exactly one of dump (a mongodump folder) and uri_env (the name of a variable).",
    ),
    "cluster with both": (
        PLACES + "clusters: {ncmc2: {dump: d, uri_env: X}}",
        "clusters.ncmc2 needs exactly one of dump (a mongodump folder) and uri_env (the name of a variable).",
    ),
    "dump with a server's keys": (
        PLACES + "clusters: {ncmc2: {dump: d, retries: 3, max_time_ms: 5}}",
        "clusters.ncmc2 has a dump and max_time_ms, retries, which only a cluster with uri_env can use.",
    ),
    "read preference": (
        PLACES + "clusters: {ncmc2: {uri_env: X, read_preference: secondry}}",
        (
            "clusters.ncmc2.read_preference is 'secondry'; expected 'primary', 'primaryPreferred', 'secondary', "
            "'secondaryPreferred' or 'nearest'. Did you mean 'secondary'?"
        ),
    ),
    "staleness": (
        PLACES + "clusters: {ncmc2: {uri_env: X, max_staleness_s: 10}}",
        "clusters.ncmc2.max_staleness_s is 10; it should be greater than or equal to 90.",
    ),
    "concurrency": (
        PLACES + "clusters: {ncmc2: {uri_env: X, max_concurrency: 0}}",
        "clusters.ncmc2.max_concurrency is 0; it should be greater than or equal to 1.",
    ),
    # games
    "cluster that is not there": (
        GAME.replace("cluster: ncmc2", "cluster: ncmc4"),
        "games.lw.cluster is 'ncmc4'; clusters are ncmc2, ncmc3. Did you mean 'ncmc3'?",
    ),
    "no clusters at all": (
        PLACES + "games: {lw: {cluster: ncmc2, database: lw}}",
        "games.lw.cluster is 'ncmc2'; clusters are none.",
    ),
    "metric that is not there": (
        metric().replace("database: lw", "database: lw, metrics: [wua]"),
        "games.lw.metrics names 'wua'; metrics are wau. Did you mean 'wau'?",
    ),
    # overrides
    "override of a metric that is not there": (
        overridden("{wua: {collection: x}}"),
        "games.lw.override names 'wua'; metrics are wau. Did you mean 'wau'?",
    ),
    "override as text": (
        overridden("{wau: l2m_index}"),
        "games.lw.override.wau is 'l2m_index'; expected a mapping.",
    ),
    "override as list": (overridden("[wau]"), "games.lw.override is ['wau']; expected a mapping."),
    "unknown key in an override": (
        overridden("{wau: {colection: x}}"),
        (
            "games.lw.override.wau has the unknown key 'colection'; keys are collection, match, date, value, "
            "period, due, "
            "trailing_days, empty, ready, scale, may_be_absent, checks, title, unit, description, additive, "
            "games, except, override. "
            "Did you mean 'collection'?"
        ),
    ),
    "words of a metric in an override": (
        overridden("{wau: {unit: users}}"),
        "games.lw.override.wau has unit, which is the same for every game; it stands in metrics.wau.",
    ),
    "title without a word": (metric(title="' '"), "metrics.wau.title is ' '; expected words."),
    "description with a control character": (
        metric(description='"a\\u0007b"'),
        "metrics.wau.description is 'a\\x07b'; expected words.",
    ),
    "additive as text": (metric(additive="'yes'"), "metrics.wau.additive is 'yes'; expected true or false."),
    "nested key of an override": (
        overridden("{wau: {date: {field: dt, as: yyyymd}}}"),
        (
            "games.lw.override.wau.date.as is 'yyyymd'; expected 'yyyymmdd', 'yyyymm', 'iso_date', 'date', "
            "'epoch_s' or "
            "'epoch_ms'. Did you mean 'yyyymmdd'?"
        ),
    ),
    "unknown nested key of an override": (
        overridden("{wau: {date: {field: dt, as: date, othertypes: fail}}}"),
        (
            "games.lw.override.wau.date has the unknown key 'othertypes'; keys are field, as, other_types. "
            "Did you mean 'other_types'?"
        ),
    ),
    "override replaces whole keys": (
        overridden("{wau: {date: {as: yyyymmdd}}}"),
        "games.lw.override.wau.date.field is missing; it is required.",
    ),
    "override that does not go with the rest": (
        overridden("{wau: {trailing_days: 7}}"),
        "games.lw.override.wau has trailing_days with value {field}; trailing_days is only for computed values.",
    ),
    "operator in an override": (
        overridden("{wau: {match: {a: {$nim: [x]}}}}"),
        f"games.lw.override.wau.match uses $nim; {OPERATORS}. Did you mean '$nin'?",
    ),
    # metrics
    "metric without period": (
        GAME + "metrics: {wau: {collection: c, date: {field: dt, as: date}, value: {count: true}}}",
        "metrics.wau.period is missing; it is required.",
    ),
    "period": (metric(period="year"), "metrics.wau.period is 'year'; expected 'day', 'week' or 'month'."),
    "due": (metric(due="weekly"), "metrics.wau.due is 'weekly'; expected 'daily' or 'period_end'."),
    "empty collection": (
        metric(collection='""'),
        "metrics.wau.collection is ''; it should have at least 1 character.",
    ),
    "empty path": (
        metric(date='{field: "", as: date}'),
        "metrics.wau.date.field is ''; expected a field or a dotted path such as 'customer.id'.",
    ),
    "path with a hole": (
        metric(value="{sum: a..b}"),
        "metrics.wau.value.sum is 'a..b'; expected a field or a dotted path such as 'customer.id'.",
    ),
    "path with an operator": (
        metric(value="{field: a.$b}"),
        "metrics.wau.value.field is 'a.$b'; expected a field or a dotted path such as 'customer.id'.",
    ),
    "date without as": (metric(date="{field: dt}"), "metrics.wau.date.as is missing; it is required."),
    "other types": (
        metric(date="{field: dt, as: date, other_types: drop}"),
        "metrics.wau.date.other_types is 'drop'; expected 'fail' or 'ignore'.",
    ),
    "no kind of value": (
        metric(value="{}"),
        "metrics.wau.value needs exactly one of field, sum, max, count: true and count_distinct.",
    ),
    "two kinds of value": (
        metric(value="{field: a, sum: b}"),
        "metrics.wau.value needs exactly one of field, sum, max, count: true and count_distinct.",
    ),
    "unknown kind of value": (
        metric(value="{summ: a}"),
        (
            "metrics.wau.value has the unknown key 'summ'; keys are field, sum, max, count, count_distinct. "
            "Did you mean 'sum'?"
        ),
    ),
    "value as text": (metric(value="value"), "metrics.wau.value is 'value'; expected a mapping."),
    "count of one": (metric(value="{count: 1}"), "metrics.wau.value.count is 1; expected true or false."),
    "count of nothing": (metric(value="{count: false}"), "metrics.wau.value.count is false; expected true."),
    "empty with field": (
        metric(empty="0"),
        "metrics.wau has empty with value {field}; empty is only for computed values.",
    ),
    "ready with field": (
        metric(ready="{collection: batch_log, match: {}}"),
        "metrics.wau has ready with value {field}; ready is only for computed values.",
    ),
    "trailing with field": (
        metric(trailing_days="7"),
        "metrics.wau has trailing_days with value {field}; trailing_days is only for computed values.",
    ),
    "empty of one": (metric(value="{sum: a}", empty="1"), "metrics.wau.empty is 1; expected 0."),
    "empty of false": (
        metric(value="{sum: a}", empty="false"),
        "metrics.wau.empty is false; expected a whole number.",
    ),
    "no trailing day": (
        metric(value="{sum: a}", trailing_days="0"),
        "metrics.wau.trailing_days is 0; it should be greater than or equal to 1.",
    ),
    "trailing week": (
        metric(value="{sum: a}", trailing_days="7", period="week"),
        "metrics.wau has trailing_days with period week; trailing_days is only for period day.",
    ),
    "month's date by day": (
        metric(date="{field: dt, as: yyyymm}"),
        "metrics.wau has date.as yyyymm with period day; a date without a day has no day.",
    ),
    "month's date by week": (
        metric(date="{field: dt, as: yyyymm}", value="{sum: a}", period="week"),
        "metrics.wau has date.as yyyymm with period week; a date without a day has no week.",
    ),
    "ready without match": (
        metric(value="{sum: a}", ready="{collection: batch_log}"),
        "metrics.wau.ready.match is missing; it is required.",
    ),
    "ready's operator": (
        metric(value="{sum: a}", ready="{collection: batch_log, match: {dt: {$nim: [a]}}}"),
        f"metrics.wau.ready.match uses $nim; {OPERATORS}. Did you mean '$nin'?",
    ),
    # match
    "operator": (
        metric(match="{type: {$nim: [a]}}"),
        f"metrics.wau.match uses $nim; {OPERATORS}. Did you mean '$nin'?",
    ),
    "connective": (metric(match="{$nor: [{a: 1}]}"), f"metrics.wau.match uses $nor; {OPERATORS}. Did you mean '$or'?"),
    "operator within a connective": (
        metric(match="{$or: [{$and: [{a: {$gtt: 1}}]}]}"),
        f"metrics.wau.match uses $gtt; {OPERATORS}. Did you mean '$gt'?",
    ),
    "connective of nothing": (
        metric(match="{$or: []}"),
        "metrics.wau.match has $or with []; expected a list of filters.",
    ),
    "connective of a mapping": (
        metric(match="{$or: {a: 1}}"),
        "metrics.wau.match has $or with {'a': 1}; expected a list of filters.",
    ),
    "connective of a number": (
        metric(match="{$and: [5]}"),
        "metrics.wau.match has $and with 5; expected a filter such as {type: wau}.",
    ),
    "number as field": (metric(match="{1: 2}"), "metrics.wau.match has the key 1; expected a string (quote it)."),
    "number as field within a connective": (
        metric(match="{$and: [{1: 2}]}"),
        "metrics.wau.match has the key 1; expected a string (quote it).",
    ),
    "$in of a scalar": (
        metric(match="{a: {$in: x}}"),
        "metrics.wau.match has a: {$in: 'x'}; expected a list of constants.",
    ),
    "$exists of a number": (
        metric(match="{a: {$exists: 1}}"),
        "metrics.wau.match has a: {$exists: 1}; expected true or false.",
    ),
    "bare date": (
        metric(match="{dt: 2024-05-01}"),
        BARE,
    ),
    "bare date in a list": (
        metric(match='{dt: {$in: ["2024-04-30", 2024-05-01]}}'),
        BARE,
    ),
    "instant without zone": (
        metric(match="{dt: {$gte: 2024-05-01T00:00:00}}"),
        (
            "metrics.wau.match compares dt with 2024-05-01 00:00:00; an instant needs its zone, as in "
            '{$date: "2024-05-01T00:00:00+09:00"}.'
        ),
    ),
    # live_play, engine, checks
    "live without sources": (PLACES + "live_play: {}", "live_play.sources is missing; it is required."),
    "live with two sources": (
        PLACES + "live_play: {sources: {uri: a, catalog: b}}",
        "live_play.sources needs exactly one of uri and catalog.",
    ),
    "ready file of a catalog": (
        PLACES + "live_play: {sources: {catalog: b}, ready: {file: _SUCCESS}}\nengine: {kind: spark, master: local}",
        "live_play has ready.file with sources.catalog; only folders of a uri hold a file.",
    ),
    "ready file in a folder": (
        PLACES + "live_play: {sources: {uri: a}, ready: {file: a/b}}",
        "live_play.ready.file is 'a/b'; expected the name of a file, without '/'.",
    ),
    "catalog without spark": (
        PLACES + "live_play: {sources: {catalog: wev_prod}}",
        "the profile has live_play.sources.catalog with engine duckdb; only kind spark reads a catalog.",
    ),
    "share above one": (
        PLACES + "live_play: {sources: {uri: a}, max_rejected_share: 2}",
        "live_play.max_rejected_share is 2; it should be less than or equal to 1.",
    ),
    "share as text": (
        PLACES + 'live_play: {sources: {uri: a}, max_rejected_share: "0.1"}',
        "live_play.max_rejected_share is '0.1'; expected a number.",
    ),
    "share that is no number": (
        PLACES + "live_play: {sources: {uri: a}, max_rejected_share: .nan}",
        "live_play.max_rejected_share is nan; it should be less than or equal to 1.",
    ),
    "engine": (
        PLACES + "engine: {kind: duck}",
        "engine.kind is 'duck'; expected 'duckdb' or 'spark'. Did you mean 'duckdb'?",
    ),
    "duckdb with spark's keys": (
        PLACES + "engine: {master: local}",
        "engine is duckdb with master, remote or conf, which only kind spark can use.",
    ),
    "spark from nowhere": (
        PLACES + "engine: {kind: spark}",
        "engine is spark and needs exactly one of master and remote.",
    ),
    "memory": (
        PLACES + "engine: {memory_limit: lots}",
        "engine.memory_limit is 'lots'; expected a size such as '4GB'.",
    ),
    "on_suspect": (PLACES + "checks: {on_suspect: hide}", "checks.on_suspect is 'hide'; expected 'warn' or 'hold'."),
}


@pytest.mark.parametrize(("text", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_names_place_found_and_expected(tmp_path: Path, text: str, expected: str) -> None:
    """A wrong profile is refused by one sentence: file, key path, what was found, what was expected, the near name."""
    assert [expected] == refused(tmp_path, text)


SECRETS = {
    "uri where a variable's name belongs": (
        PLACES + 'clusters: {a: {uri_env: "mongodb://user:hunter2@host"}}',
        "clusters.a.uri_env is not the name of an environment variable (its value is not shown: it may be a secret).",
    ),
    "a list of them": (
        PLACES + 'clusters: {a: {uri_env: ["hunter2"]}}',
        "clusters.a.uri_env is a value that is not shown (it may be a secret); expected a string.",
    ),
    "uri as a cluster": (
        PLACES + 'clusters: {a: "mongodb://user:hunter2@host"}',
        "clusters.a is a value that is not shown (it may be a secret); expected a mapping.",
    ),
    "uri as a dump": (
        PLACES + 'clusters: {a: {dump: "mongodb://user:hunter2@host"}}',
        (
            "clusters.a has a URI as its dump (not shown: it may hold a secret); expected a mongodump folder. "
            "Put a MongoDB URI into a variable and name it in uri_env."
        ),
    ),
    "uri in an unknown key": (
        PLACES + 'clusters: {a: {uri: "mongodb://user:hunter2@host", dump: d}}',
        (
            "clusters.a has the unknown key 'uri'; keys are dump, uri_env, read_preference, max_staleness_s, "
            "max_time_ms, "
            "max_concurrency, retries. Did you mean 'uri_env'?"
        ),
    ),
    "duplicate key": (
        PLACES + 'clusters: {a: {uri_env: "mongodb://u:hunter2@h", uri_env: "mongodb://u:hunter2@i"}}',
        'line 3, column 50: not valid YAML (found duplicate key "uri_env").',
    ),
    "warehouse": (
        warehouse("uri: s3://key:hunter2@bucket/prefix, metastore: 'thrift://host:9083'"),
        (
            "warehouse.uri is 's3://•••@bucket/prefix'; a password never stands in a file: name its variable in the "
            "options."
        ),
    ),
    "metastore": (
        warehouse("uri: a, metastore: 'thrift://user:hunter2@host:9083'"),
        (
            "warehouse.metastore is 'thrift://•••@host:9083'; a password never stands in a file: name its "
            "variable in the "
            "options."
        ),
    ),
    "live sources": (
        PLACES + "live_play: {sources: {uri: 's3://key:hunter2@bucket'}}",
        (
            "live_play.sources.uri is 's3://•••@bucket'; a password never stands in a file: name its variable in the "
            "options."
        ),
    ),
    "storage option": (
        warehouse("uri: a, storage_options: {secret_access_key: hunter2}"),
        (
            "warehouse holds 'secret_access_key'; a secret never stands in a file: name its variable as "
            "'secret_access_key_env'."
        ),
    ),
    "metastore option": (
        warehouse("uri: a, metastore_options: {PASSWORD: hunter2}"),
        "warehouse holds 'PASSWORD'; a secret never stands in a file: name its variable as 'PASSWORD_env'.",
    ),
    "options as text": (
        warehouse("uri: a, storage_options: hunter2"),
        "warehouse.storage_options is a value that is not shown (it may be a secret); expected a mapping.",
    ),
    "spark's configuration": (
        PLACES + "engine: {kind: spark, master: local, conf: {spark.hadoop.fs.s3a.secret.key: hunter2}}",
        (
            "engine holds 'spark.hadoop.fs.s3a.secret.key'; a secret never stands in a file: give it in Spark's own "
            "configuration."
        ),
    ),
    "address to notify": (
        PLACES + "notify: ['slack://hunter2/token']",
        "notify.0 is not the name of an environment variable (its value is not shown: it may be a secret).",
    ),
    "addresses to notify": (
        PLACES + "notify: hunter2",
        "notify is a value that is not shown (it may be a secret); expected a list.",
    ),
}


@pytest.mark.parametrize(("text", "expected"), SECRETS.values(), ids=SECRETS)
def test_secret_is_refused_and_never_shown(tmp_path: Path, text: str, expected: str) -> None:
    """What may be a secret is refused without being repeated: a terminal and a log are read by many."""
    found = refused(tmp_path, text)
    assert [expected] == found
    assert "hunter2" not in "".join(found)


def test_every_refusal_is_said_at_once(tmp_path: Path) -> None:
    """Who mends a profile learns of all that is wrong, one a line, in one go."""
    text = GAME.replace("cluster: ncmc2", "cluster: ncmc4") + "timezone: 9\nstage_timeout_s: 0\n"
    assert refused(tmp_path, text) == [
        "timezone is 9; expected a string (quote it).",
        "stage_timeout_s is 0; it should be greater than or equal to 1.",
        "games.lw.cluster is 'ncmc4'; clusters are ncmc2, ncmc3. Did you mean 'ncmc3'?",
    ]


def test_refusal_is_a_usage_error_with_the_whole_line(tmp_path: Path) -> None:
    """The line names the file first and says last that nothing was run; exit status 2 hangs on the class."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path, GAME.replace("cluster: ncmc2", "cluster: ncmc4"))
    expected = "p.yaml: games.lw.cluster is 'ncmc4'; clusters are ncmc2, ncmc3. Did you mean 'ncmc3'? Nothing was run."
    assert expected == str(caught.value)


def test_long_value_is_cut(tmp_path: Path) -> None:
    """A refusal stays one readable line, whatever was found."""
    assert [f"archive is '{'x' * 78}…; expected a mapping."] == refused(
        tmp_path, f"warehouse: {{uri: a}}\narchive: {'x' * 5000}"
    )


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path is said as it was looked for."""
    with pytest.raises(ProfileError) as caught:
        profile.read(tmp_path / "absent.yaml")
    assert (
        f"{tmp_path}/absent.yaml: the profile cannot be read (No such file or directory). It is named by --profile, "
        "else by BIGMAMA_PROFILE, else it is parameters/sample.yaml. Nothing was run."
    ) == str(caught.value)


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """The byte is named: an editor with another encoding is the usual cause."""
    (tmp_path / "p.yaml").write_bytes(PLACES.encode() + "# 리니지".encode("cp949"))
    with pytest.raises(ProfileError) as caught:
        profile.read(tmp_path / "p.yaml")
    assert f"p.yaml: byte {len(PLACES) + 2} is not UTF-8. Nothing was run." == str(caught.value)


def test_only_two_keys_are_required_and_the_rest_has_defaults(tmp_path: Path) -> None:
    """The defaults are those of docs/spec/profile.md."""
    found = read(tmp_path, PLACES)
    expected: dict[str, Any] = {
        "timezone": "Asia/Seoul",
        "dates": None,
        "warehouse": {
            "uri": str(tmp_path.resolve() / "out/warehouse"),
            "metastore": None,
            "database": "bigmama",
            "owner": None,
            "grace_hours": 24,
            "lock_wait_s": 600,
            "metastore_options": {},
            "storage_options": {},
            "readers": [],
            "compression": "zstd",
            "timestamp": "int64",
        },
        "archive": {"uri": str(tmp_path.resolve() / "out/archive"), "keep_days": 400, "url": None},
        "clusters": {},
        "games": {},
        "groups": {},
        "metrics": {},
        "stage_timeout_s": 3600,
        "extract_deadline_s": 600,
        "live_play": None,
        "engine": {"kind": "duckdb", "memory_limit": "4GB", "master": None, "remote": None, "conf": {}},
        "checks": {"on_suspect": "warn"},
        "notify": [],
        "notify_on": ["failed", "partial", "suspect", "recovered"],
        "metrics_textfile": None,
    }
    assert expected == found.model_dump()
    assert found.pipelines == ()


@pytest.mark.parametrize(
    ("keys", "form"),
    [
        ("readers: [hive4, spark, trino]", ("zstd", "int64")),
        ("readers: [hive4, hive2]", ("snappy", "int96")),
        ("readers: [hive3], compression: gzip", ("gzip", "int96")),
        ("compression: snappy", ("snappy", "int64")),
    ],
)
def test_readers_choose_compression_and_timestamps(tmp_path: Path, keys: str, form: tuple[str, str]) -> None:
    """What every reader named can read; where none is named, the two keys say it alone."""
    settings = read(tmp_path, warehouse(f"uri: a, {keys}")).warehouse
    assert (settings.compression, settings.timestamp) == form


def test_cluster_and_live_defaults(tmp_path: Path) -> None:
    """A cluster asks secondaries, gently; live_play reads a day before and after."""
    found = read(tmp_path, PLACES + "clusters: {a: {uri_env: A}}\nlive_play: {sources: {uri: in}}")
    assert found.clusters["a"].model_dump() == {
        "dump": None,
        "uri_env": "A",
        "read_preference": "secondaryPreferred",
        "max_staleness_s": 90,
        "max_time_ms": 30_000,
        "max_concurrency": 4,
        "retries": 3,
    }
    assert found.live_play is not None
    assert {
        "sources": {"uri": str(tmp_path.resolve() / "in"), "catalog": None},
        "ready": None,
        "database": "we_mart",
        "owner": None,
        "dates": None,
        "log_days_before": 1,
        "log_days_after": 1,
        "max_rejected_share": 0.001,
        "max_live_days": 30,
    } == found.live_play.model_dump()
    assert found.pipelines == ("live_play",)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("../out", "{above}/out"),
        ("/srv/out", "/srv/out"),
        ("file:///srv/out", "/srv/out"),
        ("out/../other", "{here}/other"),
        ("~/out", "{home}/out"),
    ],
)
def test_paths_start_at_the_profiles_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    """A relative path means the same from every working directory."""
    folder = tmp_path.resolve() / "parameters"
    folder.mkdir()
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/analyst")
    found = read(folder, f"warehouse: {{uri: {uri}}}\narchive: {{uri: {uri}}}\nclusters: {{a: {{dump: {uri}}}}}")
    path = expected.format(above=folder.parent, here=folder, home="/home/analyst")
    assert (path, path, path) == (found.warehouse.uri, found.archive.uri, found.clusters["a"].dump)


def test_uri_of_a_storage_stays_as_it_is(tmp_path: Path) -> None:
    """hdfs:// and s3:// are no paths of this machine."""
    found = read(tmp_path, warehouse("uri: 'hdfs://nn:8020/w', metastore: 'thrift://host:9083'"))
    assert found.warehouse.uri == "hdfs://nn:8020/w"


def test_yaml_is_read_as_1_2(tmp_path: Path) -> None:
    """A game may be called `no`: only `true` and `false` are booleans."""
    games = "{no: {cluster: ncmc2, database: a}, on: {cluster: ncmc2, database: b}, y: {cluster: ncmc2, database: c}}"
    found = read(tmp_path, PLACES + "clusters: {ncmc2: {dump: d}}\ngames: " + games)
    assert list(found.games) == ["no", "on", "y"]


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Windows editors put one at the beginning."""
    assert read(tmp_path, "\ufeff" + PLACES).timezone == "Asia/Seoul"


def test_profile_knows_its_file_and_checksum(tmp_path: Path) -> None:
    """The record of a run names both."""
    path = written(tmp_path, PLACES)
    found = profile.read(path)
    assert (path, hashlib.sha256(PLACES.encode()).hexdigest()) == (found.path, found.sha256)


def test_pairs_are_games_times_their_metrics_with_overrides_applied(tmp_path: Path) -> None:
    """An override replaces whole keys of the metric for that game alone; `metrics` leaves the others out."""
    found = read(
        tmp_path,
        PLACES
        + """
clusters: {ncmc2: {dump: d}}
games:
  lw: {cluster: ncmc2, database: lw}
  bns: {cluster: ncmc2, database: bns, metrics: [mau]}
  l2m: {cluster: ncmc2, database: l2m, override: {wau: {collection: l2m_index, match: {os: all}, period: week}}}
metrics:
  wau: {collection: daily, match: {type: wau}, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day}
  mau: {collection: monthly, date: {field: dt, as: yyyymm}, value: {field: value}, period: month}
""",
    )
    assert list(found.pairs) == [("lw", "wau"), ("lw", "mau"), ("bns", "mau"), ("l2m", "wau"), ("l2m", "mau")]
    assert {
        key: (pair.collection, pair.match, pair.period, pair.date.as_)
        for key, pair in found.pairs.items()
        if key in [("lw", "wau"), ("l2m", "wau"), ("l2m", "mau")]
    } == {
        ("lw", "wau"): ("daily", {"type": "wau"}, "day", "yyyymmdd"),
        ("l2m", "wau"): ("l2m_index", {"os": "all"}, "week", "yyyymmdd"),
        ("l2m", "mau"): ("monthly", {}, "month", "yyyymm"),
    }
    assert found.pipelines == ("game_metric",)


def test_override_may_take_a_key_away(tmp_path: Path) -> None:
    """null in an override is the key's absence."""
    found = read(tmp_path, overridden("{wau: {empty: null}}", value="{count: true}", empty="0"))
    assert found.metrics["wau"].empty == 0
    assert found.pairs["lw", "wau"].empty is None


@pytest.mark.parametrize(
    ("value", "kind", "path", "computed"),
    [
        ("{field: a.b}", "field", "a.b", False),
        ("{sum: a}", "sum", "a", True),
        ("{max: a}", "max", "a", True),
        ("{count: true}", "count", None, True),
        ("{count_distinct: a}", "count_distinct", "a", True),
    ],
)
def test_value_has_one_kind(tmp_path: Path, value: str, kind: str, path: str | None, computed: bool) -> None:
    """Each kind of value says what it reads, and whether it is computed."""
    found = read(tmp_path, metric(value=value)).metrics["wau"].value
    assert (kind, path, computed) == (found.kind, found.path, found.computed)


@pytest.mark.parametrize(
    ("value", "period", "due", "expected"),
    [
        ("{field: v}", "day", None, "daily"),
        ("{field: v}", "week", None, "period_end"),
        ("{field: v}", "month", None, "period_end"),
        ("{field: v}", "month", "daily", "daily"),
        ("{sum: v}", "day", None, "daily"),
        ("{sum: v}", "week", None, "daily"),
        ("{count: true}", "month", None, "daily"),
        ("{count: true}", "month", "period_end", "period_end"),
    ],
)
def test_due_is_as_given_else_the_period_end_of_a_read_figure(
    tmp_path: Path, value: str, period: str, due: str | None, expected: str
) -> None:
    """The default is period_end for {field} by week or month, else daily."""
    keys = {"due": due} if due else {}
    assert expected == read(tmp_path, metric(value=value, period=period, **keys)).metrics["wau"].due_at


@pytest.mark.parametrize(
    "match",
    [
        "{}",
        "{type: wau}",
        "{a: null, b: true, c: 1.5, d: {e: 1}, f: [1, 2]}",
        "{a: {$in: [1, x]}, b: {$gt: 1, $lte: 5}, c: {$gte: 1, $lt: 2}, d: {$ne: x}, e: {$exists: false}}",
        "{$and: [{a: 1}, {$or: [{b: 2}, {c: {$ne: 3}}]}]}",
    ],
)
def test_match_accepts_the_operators_of_both_sources(tmp_path: Path, match: str) -> None:
    """Equality, $in, comparisons, $ne, $exists, $and, $or, nested as one likes."""
    assert read(tmp_path, metric(match=match)).metrics["wau"].match is not None


def test_instant_in_a_match_keeps_its_zone(tmp_path: Path) -> None:
    """09:00 in Seoul is midnight UTC, not 09:00 UTC."""
    found = read(tmp_path, metric(match="{at: {$gte: 2024-05-01T09:00:00+09:00}}")).metrics["wau"].match
    assert dt.datetime(2024, 5, 1, tzinfo=dt.UTC) == found["at"]["$gte"]


def test_profile_cannot_be_changed(tmp_path: Path) -> None:
    """What was validated stays what it is."""
    found = read(tmp_path, metric())
    with pytest.raises(ValueError, match="frozen"):
        found.timezone = "UTC"
    with pytest.raises(TypeError):
        found.pairs["a", "b"] = found.metrics["wau"]  # type: ignore[index]


def test_profile_is_found_by_argument_then_variable_then_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """--profile, else BIGMAMA_PROFILE, else the sample."""
    monkeypatch.delenv("BIGMAMA_PROFILE", raising=False)
    assert profile.find() == PARAMETERS / "sample.yaml"
    monkeypatch.setenv("BIGMAMA_PROFILE", "/srv/p.yaml")
    assert Path("/srv/p.yaml") == profile.find()
    assert Path("other.yaml") == profile.find("other.yaml")


def test_an_empty_name_is_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument or a variable that is there and blank is a mistake; the sample was not meant."""
    with pytest.raises(ProfileError, match=r"^the profile's path is empty; expected a profile's file, or none at all"):
        profile.find("")
    monkeypatch.setenv("BIGMAMA_PROFILE", " ")
    with pytest.raises(ProfileError, match=r"^BIGMAMA_PROFILE is empty; .* Nothing was run; is a variable of the shel"):
        profile.load()


@pytest.mark.parametrize("name", sorted(path.name for path in PARAMETERS.glob("*.yaml")))
def test_profiles_that_come_with_the_project_are_valid(name: str) -> None:
    """Nobody starts from a file that is refused."""
    assert profile.read(PARAMETERS / name).pairs


def test_example_shows_every_key() -> None:
    """production.example.yaml is where one looks a key up: it has all of them, each with a comment."""
    text = (PARAMETERS / "production.example.yaml").read_text(encoding="utf-8")
    models: list[type[BaseModel]] = [
        profile.Profile,
        profile.Dates,
        profile.WarehouseSettings,
        profile.Archive,
        profile.Cluster,
        profile.Game,
        profile.Metric,
        profile.MetricDate,
        profile.MetricValue,
        profile.Ready,
        profile.LivePlay,
        profile.LiveSources,
        profile.Engine,
        profile.Checks,
    ]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert set() == {key for key in keys if f"{key}:" not in text}


def test_samples_name_their_ninety_days_and_keep_apart() -> None:
    """Both samples ask for 90 days, and the one with trouble never touches the other's tables."""
    plain, trouble = (profile.read(PARAMETERS / name) for name in ("sample.yaml", "sample-trouble.yaml"))
    for found in (plain, trouble):
        assert found.dates is not None
        assert (found.dates.to - found.dates.from_).days == 89
    assert plain.warehouse.uri != trouble.warehouse.uri
    assert plain.archive.uri != trouble.archive.uri
    assert plain.metrics == trouble.metrics
    assert list(plain.pairs) == list(trouble.pairs)


def test_instants_are_written_as_extended_json(tmp_path: Path) -> None:
    """Text with its zone, milliseconds and a long are one instant, within lists, $not and connectives too."""
    instant = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    for instant_text in (
        '{$date: "2024-05-01T09:00:00+09:00"}',
        '{$date: "2024-05-01T00:00:00Z"}',
        "{$date: 1714521600000}",
        '{$date: {$numberLong: "1714521600000"}}',
    ):
        text = (
            f"{{a: {instant_text}, $or: [{{b: {{$not: {{$gte: {instant_text}}}}}}}, {{c: {{$in: [{instant_text}]}}}}]}}"
        )
        found = read(tmp_path, metric(match=text)).metrics["wau"].match
        assert found == {"a": instant, "$or": [{"b": {"$not": {"$gte": instant}}}, {"c": {"$in": [instant]}}]}


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ('{a: {$date: "2024-05-01"}}', "compares a with {$date: '2024-05-01'}; expected an instant with its zone"),
        ('{a: {$date: "soon"}}', "compares a with {$date: 'soon'}; expected an instant with its zone"),
        ("{a: {$regex: KR}}", "has a: {$regex: 'KR'}; expected a pattern that begins with ^"),
        ("{a: {$regex: '^a|b'}}", "has a: {$regex: '^a|b'}; expected a pattern that begins with ^"),
        ("{a: {$regex: '^(?i)a'}}", "has a: {$regex: '^(?i)a'}; expected a pattern that begins with ^"),
        ("{a: {$regex: '^(a'}}", "has a: {$regex: '^(a'}; expected a pattern that begins with ^"),
        ("{a: {$type: text}}", "has a: {$type: 'text'}; types are number, double, string"),
        ("{a: {$not: 5}}", "has a: {$not: 5}; expected operators such as {$gt: 5}"),
        ("{a: {$nin: []}}", "has a: {$nin: []}; expected a list of constants"),
        ("{a: !!binary aGk=}", "compares a with binary data; expected a number, a string, true, false, null or"),
        ("{a: {$in: [!!set {b}]}}", "compares a with a set; expected a number"),
        (
            "{a: {$gte: {$date: 1714500000}}}",
            "compares a with {$date: 1714500000}, which is a date in seconds; $date counts milliseconds, so write 17",
        ),
        (
            '{a: {$in: [{$date: {$numberLong: "1714500000000000"}}]}}',
            "compares a with {$date: 1714500000000000}, which is",
        ),
    ],
)
def test_an_operand_that_cannot_be_is_refused_with_what_can(tmp_path: Path, match: str, said: str) -> None:
    """Of each operator the profile says what it takes."""
    (found,) = refused(tmp_path, metric(match=match))
    assert found.startswith(f"metrics.wau.match {said}")


def test_a_path_that_may_be_absent_is_one_that_the_metric_reads(tmp_path: Path) -> None:
    """A mistyped exception would excuse nothing, in silence; scale is for values that are numbers."""
    (found,) = refused(tmp_path, metric(match="{type: wau}", may_be_absent="[tpye]"))
    assert "has may_be_absent with 'tpye', which the metric does not read" in found
    assert "Did you mean 'type'?" in found
    (found,) = refused(tmp_path, metric(value="{count: true}", scale="2"))
    assert "has scale with value {count}; scale is only for field, sum and max" in found
