"""Invented logs of live broadcasts: a dozen lives for the sample, up to a hundred million rows for benchmarks.

Starts and lengths of lives follow 11,544 real streams of 2023 and 2024; audiences come in a curve that rises and
falls, on one device or several, as users or guests, and players lose some leaves and send some requests twice.
The same arguments give the same rows, and the same bytes for the same versions of numpy and DuckDB.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.tables.live.time import (
    DAY,
    HOUR,
    KST,
    MINUTE,
    SECOND,
    kst_midnight_us,
)

VERSION = 1
"""Raised with every change of the rows."""

FIRST = dt.date(2024, 4, 29)
LAST = dt.date(2024, 5, 1)
"""The days whose lives the sample holds; its log has the day before too, and no day after."""

ROWS_A_DAY = 200_000
CHUNK = 1_000_000

# Minutes that real streams lasted, at each tenth of them up to nine tenths; the longest tenth runs for days.
_MINUTES = (16, 190, 274, 376, 491, 629, 756, 990, 1310, 1440)
# Starts by KST hour, of a thousand.
_STARTS = (26, 19, 10, 7, 6, 8, 14, 12, 18, 35, 61, 59, 60, 64, 88, 86, 80, 58, 49, 44, 53, 58, 50, 34)
_COUNTRIES = ("KR", "JP", "US", "CN", "TH", "ID", "PH", "TW", "MX", "BR", "VN", "FR", "DE", "GB", "IN", "SA", "", None)
_PLATFORMS = (("ios", "17.4"), ("ios", "16.7"), ("android", "14"), ("android", "13"), ("web", "Windows"), ("web", None))
_URLS = ("/video/v1.0/join", "/video/v1.0/leave", "/video/v1.0/heartbeat")

Ints = npt.NDArray[np.int64]
Generator = np.random.Generator


@dataclass(frozen=True)
class _Lives:
    """A day's lives, one element each."""

    post_id: list[str]
    start_us: Ints
    end_us: Ints
    artist: Ints
    weight: npt.NDArray[np.float64]
    table: pa.Table
    joint: pa.Table


def generate(
    folder: Path,
    days: Sequence[dt.date] | None = None,
    *,
    rows_a_day: int = ROWS_A_DAY,
    lives_a_day: int = 12,
    seed: int = 20240501,
) -> Path:
    """Write the six sources of `wv_live_play` into `folder/<table>/…`, memory bounded whatever the rows.

    Args:
        folder: where the sources' folders are made.
        days: KST dates of the lives' start, without a gap; by default the sample's.
        rows_a_day: rows of the log for each day, other requests included.
        lives_a_day: lives that count each day; a few canceled ones and ones of VLIVE come on top.
        seed: another seed, other rows.

    Returns:
        `folder`. The log holds the dates from the day before the first to the last of `days`; what was sent later is
        not there yet, as on the morning of a daily run.
    """
    days = list(days or [FIRST + dt.timedelta(days=ahead) for ahead in range((LAST - FIRST).days + 1)])
    random = np.random.default_rng(seed)
    users = max(rows_a_day // 4, 100)
    every = [_lives(random, day, lives_a_day) for day in days]
    artists = int(max(int(lives.artist.max()) for lives in every))
    _write(folder / "wv_live", pa.concat_tables(lives.table for lives in every))
    _write(folder / "wv_live_joint_history", pa.concat_tables(lives.joint for lives in every))
    with tempfile.TemporaryDirectory(prefix="sample-live-") as scratch, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET threads = 1")
        connection.execute("SET temp_directory = ?", [scratch])
        _users(connection, folder, random, users, artists, kst_midnight_us(days[0]), len(days))
        part = 0
        dates = [days[0] - dt.timedelta(days=1), *days]
        for lives in every:
            left = rows_a_day
            while left > 0:
                size = min(left, CHUNK)
                part = _log(connection, folder, dates, part, _requests(random, lives, users, size))
                left -= size
    return folder


def _lives(random: Generator, day: dt.date, count: int) -> _Lives:
    canceled, vlive = 1 + count // 20, 1 + count // 20
    total = count + canceled + vlive
    hour = random.choice(24, size=total, p=np.array(_STARTS) / sum(_STARTS))
    start = kst_midnight_us(day) + hour * HOUR + random.integers(0, HOUR // SECOND, total) * SECOND
    start += random.integers(0, SECOND, total)
    minutes = np.interp(random.random(total) * 0.95, np.linspace(0, 0.9, len(_MINUTES)), _MINUTES)
    end = start + (minutes * MINUTE).astype(np.int64)
    # A few of a dozen cross midnight by their length; one more waits for it.
    start[0] = kst_midnight_us(day) + random.integers(0, 5 * MINUTE)
    artist = random.integers(1, max(count, 3), total)
    weight = 1 / np.arange(1, total + 1) ** 0.9
    random.shuffle(weight)
    post = [f"{day:%y%m%d}-{nth:04}" for nth in range(total)]
    runs = random.random(total) < 0.06
    status = ["END"] * count + ["CANCELED"] * canceled + ["END"] * vlive
    table = pa.table(
        {
            "post_id": post,
            "video_id": pa.array([None if nth % 11 == 5 else f"v{p}" for nth, p in enumerate(post)], pa.string()),
            "we_art_id": pa.array(artist, pa.int32()),
            "comm_id": pa.array(artist + 100, pa.int32()),
            "status": status,
            "is_from_vlive": pa.array([int(nth >= count + canceled) for nth in range(total)], pa.int32()),
            "is_fc_only": pa.array([None if nth % 7 == 3 else int(nth % 5 == 2) for nth in range(total)], pa.int32()),
            "start_dt": _instants(start),
            "end_dt": _instants([None if run else int(at) for run, at in zip(runs, end, strict=True)]),
        }
    )
    guests = [(nth, guest) for nth in range(0, count, 6) for guest in range(1, 2 + nth // 6 % 3)]
    joint = pa.table(
        {
            "post_id": pa.array([post[nth] for nth, _ in guests], pa.string()),
            "we_art_id": pa.array([int(artist[nth]) % count + guest for nth, guest in guests], pa.int32()),
            "comm_id": pa.array([int(artist[nth]) % count + guest + 100 for nth, guest in guests], pa.int32()),
            "joined_dt": _instants([int(start[nth]) + guest * MINUTE for nth, guest in guests]),
        }
    )
    return _Lives(post, start, end, artist, weight / weight.sum(), table, joint)


def _requests(random: Generator, lives: _Lives, users: int, size: int) -> dict[str, Any]:
    """Return about `size` rows as numbers; cut to exactly `size` in time's order."""
    sessions = size // 2 + 1
    live = random.choice(len(lives.post_id), size=sessions, p=lives.weight)
    length = lives.end_us[live] - lives.start_us[live]
    # One in three is a further session of the viewer before.
    viewer = np.maximum.accumulate(np.where(random.random(sessions) < 0.68, np.arange(sessions), 0))
    live = live[viewer]
    user = (users * random.random(sessions) ** 1.4).astype(np.int64)[viewer]
    # Who follows an artist is in its lives again and again.
    user = (user + lives.artist[live] * (users // 29 + 1)) % users
    guest = (random.random(sessions) < 0.14)[viewer]
    second = random.random(sessions) < 0.06
    device = user * 4 + np.where(guest, 2, 0) + np.where(second & ~guest, 1, 0)
    arrives = random.beta(1.1, 3.2, sessions) * length - random.exponential(2 * MINUTE, sessions)
    joins = lives.start_us[live] + arrives.astype(np.int64)
    leaves = joins + random.exponential(np.minimum(length / 3, 35 * MINUTE)).astype(np.int64) + SECOND
    # Most stay to the end at the longest, and leave within a minute of it.
    over = leaves > lives.end_us[live]
    closing = lives.end_us[live] + random.exponential(20 * SECOND, sessions).astype(np.int64)
    leaves = np.where(over & (random.random(sessions) < 0.85), np.maximum(closing, joins + SECOND), leaves)
    at = np.concatenate([joins, leaves])
    url = np.repeat([0, 1], sessions)
    row = np.tile(np.arange(sessions), 2)
    # Lost leaves and a few lost joins became other requests; some requests arrive twice.
    chance = random.random(len(at))
    url = np.where((url == 1) & (chance < 0.05) | (url == 0) & (chance < 0.01) | (chance > 0.97), 2, url)
    twice = random.random(len(at)) < 0.03
    source = np.where(twice, np.maximum(np.arange(len(at)) - 1, 0), np.arange(len(at)))
    at, url, row = at[source] // 1000 * 1000, url[source], row[source]
    order = np.argsort(at, kind="stable")[:size]
    at, url, row = at[order], url[order], row[order]
    return {
        "at": at,
        "url": url,
        "live": live[row],
        "user": np.where(guest, -1, user)[row],
        "device": device[row],
        "posts": lives.post_id,
    }


def _log(
    connection: duckdb.DuckDBPyConnection, folder: Path, dates: list[dt.date], part: int, rows: dict[str, Any]
) -> int:
    """Write a chunk into the partitions of its dates; what was sent after the last of them is left out."""
    day_of = (rows["at"] + KST) // DAY
    posts = pa.array(rows["posts"])
    for day in dates:
        number = (kst_midnight_us(day) + KST) // DAY
        own = np.flatnonzero(day_of == number)
        target = folder / "wv_server_log_base" / f"date_id={day.isoformat()}"
        target.mkdir(parents=True, exist_ok=True)
        file = target / f"part-{part:05}.parquet"
        if not len(own):
            continue
        device = rows["device"][own]
        chunk = pa.table(
            {
                "at": pa.array(rows["at"][own] + KST),
                "url": pa.array(_URLS).take(pa.array(rows["url"][own])),
                "post_id": posts.take(pa.array(rows["live"][own])),
                "user_no": pa.array(rows["user"][own]),
                "device_no": pa.array(device),
                "platform": pa.array([p for p, _ in _PLATFORMS]).take(pa.array(_of(device, 11, len(_PLATFORMS)))),
                "os": pa.array([o for _, o in _PLATFORMS], pa.string()).take(
                    pa.array(_of(device, 11, len(_PLATFORMS)))
                ),
                "gcc": pa.array(_COUNTRIES, pa.string()).take(pa.array(_country(device // 4))),
            }
        )
        connection.register("chunk", chunk)
        connection.execute(
            f"""COPY (
                SELECT strftime(make_timestamp("at"), '%Y-%m-%d %H:%M:%S.%g') AS datetime, url, post_id,
                    CASE WHEN device_no % 5 > 0 THEN 'v' || post_id END AS video_id,
                    CASE WHEN user_no >= 0 THEN {_user("user_no")}
                        WHEN device_no % 3 = 0 THEN '' END AS user_id_fill,
                    {_device("device_no")} AS device_id, platform, os, gcc
                FROM chunk) TO '{str(file).replace("'", "''")}' (FORMAT parquet, COMPRESSION zstd)"""
        )
        connection.unregister("chunk")
    return part + 1


def _users(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    random: Generator,
    users: int,
    artists: int,
    first_us: int,
    days: int,
) -> None:
    """Write who the users are: 85 of 100 have an account, 67 joined communities, 11 a fan club."""
    for name in ("user_user", "wv_comm_user_update", "ws_fc_user_history"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for part, start in enumerate(range(0, users, CHUNK)):
        number = np.arange(start, min(start + CHUNK, users))
        new = random.random(len(number)) < 0.01
        joined = first_us - random.integers(DAY, 1500 * DAY, len(number))
        joined = np.where(new, first_us + random.integers(0, days * DAY, len(number)), joined)
        member = np.where(number % 20 < 17, number + 10_000_000, -1)
        _numbered(
            connection,
            folder / "user_user" / f"part-{part:05}.parquet",
            {"no": number, "member": member, "us": joined},
            f"{_user('no')} AS wv_user_id, CASE WHEN member >= 0 THEN member END AS we_member_id, {_AT} AS joined_dt",
        )
        follows = number[number % 3 > 0]
        follows = np.repeat(follows, 1 + follows % 3)
        again = random.random(len(follows)) < 0.12
        updated = first_us - random.integers(DAY, 1000 * DAY, len(follows))
        updated = np.where(
            random.random(len(follows)) < 0.02, first_us + random.integers(0, DAY, len(follows)), updated
        )
        followed = random.integers(1, artists + 1, len(follows))
        _numbered(
            connection,
            folder / "wv_comm_user_update" / f"part-{part:05}.parquet",
            {
                "no": np.concatenate([follows, follows[again]]),
                "art": np.concatenate([followed, followed[again]]),
                "leaves": np.concatenate([np.zeros(len(follows), np.int64), np.ones(int(again.sum()), np.int64)]),
                "us": np.concatenate([updated, updated[again] + 30 * DAY]),
            },
            f"{_user('no')} AS wv_user_id, art::INTEGER AS we_art_id, "
            f"CASE WHEN leaves = 1 THEN 'LEAVE' ELSE 'JOIN' END AS action, {_AT} AS updated_dt",
        )
        paying = number[number % 9 == 0]
        begins = first_us - random.integers(0, 500 * DAY, len(paying))
        _numbered(
            connection,
            folder / "ws_fc_user_history" / f"part-{part:05}.parquet",
            {
                "no": paying + 10_000_000,
                "art": random.integers(1, artists + 1, len(paying)),
                "us": begins,
                "until": begins + 365 * DAY,
                "fate": random.integers(0, 100, len(paying)),
            },
            f"no AS we_member_id, art::INTEGER AS we_art_id, {_AT} AS start_dt, "
            f"CASE WHEN fate > 2 THEN make_timestamp(until)::TIMESTAMPTZ END AS end_dt, "
            f"CASE WHEN fate > 95 THEN 'PAYMENT_FAILED' ELSE 'PAID' END AS ord_status, "
            f"(fate > 92 AND fate <= 95)::INTEGER AS is_cx_by_restore",
        )


_AT = "make_timestamp(us)::TIMESTAMPTZ"


def _user(number: str) -> str:
    return f"left(md5('u' || {number}), 20)"


def _device(number: str) -> str:
    return f"left(md5('d' || {number}), 32)"


def _of(numbers: Ints, factor: int, count: int) -> Ints:
    """Return a fixed choice of `count` for each number."""
    return (numbers * factor + numbers // 7) % count


def _country(user: Ints) -> Ints:
    """Return a country for each user: the first ones are the frequent ones."""
    spread = (user * 2_654_435_761 % 10_007) / 10_007
    chosen: Ints = (spread**2 * len(_COUNTRIES)).astype(np.int64)
    return chosen


def _instants(microseconds: Any) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _write(folder: Path, table: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "part-00000.parquet", store_schema=False)


def _numbered(connection: duckdb.DuckDBPyConnection, file: Path, columns: dict[str, Ints], select: str) -> None:
    connection.register("chunk", pa.table({name: pa.array(values) for name, values in columns.items()}))
    connection.execute(
        f"COPY (SELECT {select} FROM chunk) TO '{str(file).replace(chr(39), chr(39) * 2)}' "
        f"(FORMAT parquet, COMPRESSION zstd)"
    )
    connection.unregister("chunk")
