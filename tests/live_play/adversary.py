"""Source rows made to collide: coarse clocks, tiny domains, every edge of docs/spec/wv_live_play.md at once."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import Any

from tests.live_play.oracle import JOIN, LEAVE, Row, answer

DAY = dt.date(2024, 5, 1)
UTC = dt.UTC
US = dt.timedelta(microseconds=1)

SUSPICIOUS_DATETIMES = [
    "2024-05-01",
    "2024-05-01 20:00",
    "2024-05-01T20:00:00",
    "2024-05-01 20:00:00Z",
    "2024-05-01 20:00:00+09",
    "2024-05-01 20:00:00.",
    "2024-05-01 20:00:00.1234567",
    "2024-05-01 20:00:00,5",
    "2024-02-30 20:00:00",
    "2023-02-29 20:00:00",
    "2024-05-01 24:00:00",
    "2024-05-01 20:60:00",
    "2024-05-01 20:00:60",
    "0000-05-01 20:00:00",
    "12024-05-01 20:00:00",
    " 2024-05-01 20:00:00",
    "2024-05-01 20:00:00 ",
    "2024-05-01 20:00:00\n",
    "2024-5-1 20:00:00",
    "٢٠٢٤-05-01 20:00:00",
    "2024-05-01 20:00:00 BC",
    "infinity",
    "epoch",
    "",
    "null",
]


@dataclass
class World:
    """One data set and what it is built with."""

    sources: dict[str, list[Row]]
    part_date: dt.date
    log_end: dt.date
    options: dict[str, Any]


def world(seed: int) -> World:
    """Return the data set of a seed."""
    r = random.Random(seed)
    # How coarse this world's clock is: the coarser, the more collides.
    grain = r.choice([1, 1, 500_000, 1_000_000, 20_000_000, 60_000_000, 60_000_000, 1_800_000_000])
    # The edges of this world's lives, which every other time likes to hit.
    edges: list[dt.datetime] = []
    far = r.random() < 0.12
    long_lives = r.random() < 0.1

    def near(at: dt.datetime) -> dt.datetime:
        at += r.choice([0, 0, 0, 1, -1, 2, -3, 7, 60, -60, 4000]) * grain * US
        return at + r.choice([0, 0, 0, 0, 1, -1]) * US

    midnight = dt.datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - dt.timedelta(hours=9)
    users = [f"u{n}" for n in range(r.randint(1, 4))] + (["d0", "é", "𝔘"] if r.random() < 0.3 else [])
    devices = [f"d{n}" for n in range(r.randint(1, 3))] + r.choice([[], ["u0", ""], ["D", "e"]])
    posts = ["p0", "p1", "p10", "P2", "'q", "ü", "\U0001f3a4", "\uffee"][: r.choice([1, 1, 2, 3, 4, 8])]
    arts = [1, 2, 3][: r.randint(1, 3)]
    comms = [10, 11][: r.randint(1, 2)]
    platforms = [None, "ios", "android", "", "웹"][: r.randint(1, 5)]
    systems = [None, "17", "IOS", "a"][: r.randint(1, 4)]
    countries = [None, "KR", "US", "", "kr"][: r.randint(1, 5)]

    if r.random() < 0.5:
        # Alike enough that events of one minute fall into one row, and others between them.
        platforms, systems, countries = platforms[:2], systems[:1], countries[:1]
    lives: list[dict[str, Any]] = []
    for post in posts:
        start = midnight + r.choice([0, 1, 12 * 3600, 20 * 3600, 86_399]) * dt.timedelta(seconds=1)
        start += r.choice([0, 0, grain, -grain, 1, 999_999, 30_000_000]) * US
        if r.random() < 0.1:
            start += r.choice([-1, 1]) * dt.timedelta(days=1)
        length = r.choice([0, 1, grain, 5 * grain, 60_000_000, 3_600_000_000, 3_599_999_999, 7_200_000_001, -grain])
        if long_lives:
            length = r.choice([86_400_000_000, 2 * 86_400_000_000, 2 * 86_400_000_000 + 1])
        end = None if r.random() < 0.2 else start + min(length, 3 * 86_400_000_000) * US
        edges += [start, *([end] if end else [])]
        lives.append(
            {
                "post_id": post,
                "video_id": r.choice([None, "v1", "v2", ""]),
                "we_art_id": r.choice(arts),
                "comm_id": r.choice(comms),
                "status": r.choice(["END", "LIVE", "", "CANCELED", "canceled"]) if r.random() < 0.3 else "END",
                "is_from_vlive": 0 if r.random() < 0.92 else r.choice([1, 2, -1]),
                "is_fc_only": r.choice([None, 0, 1]),
                "start_dt": start,
                "end_dt": end,
            }
        )
    edges += [midnight, midnight + dt.timedelta(days=1)]
    edges += [live["start_dt"] + dt.timedelta(hours=1) for live in lives[:2]]

    # A few instants that everybody meets at, beside those that only lie near an edge.
    pool = [near(r.choice(edges)) for _ in range(r.randint(2, 8))]

    def moment() -> dt.datetime:
        return r.choice(pool) if r.random() < 0.6 else near(r.choice(edges))

    def written(at: dt.datetime) -> str:
        wall = at.astimezone(UTC).replace(tzinfo=None) + dt.timedelta(hours=9)
        text = wall.strftime("%Y-%m-%d %H:%M:%S")
        fraction = f"{wall.microsecond:06}"
        stripped = fraction.rstrip("0")
        least = max(len(stripped), 0)
        digits = r.choice([least, 6, r.randint(least, 6)])
        return text + (f".{fraction[:digits]}" if digits else "")

    bad = r.random() < 0.5
    log: list[Row] = []
    dates = [DAY + dt.timedelta(days=d) for d in (-2, -1, 0, 1, 2)]
    for _ in range(r.choice([0, 4, 30, 60, 100, 160])):
        at = moment()
        text: str | None = written(at)
        if far and r.random() < 0.3:
            text = r.choice(
                ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1582-10-10 12:00:00", "2200-02-28 23:59:59.5"]
            )
        if bad and r.random() < 0.1:
            text = r.choice([None, *SUSPICIOUS_DATETIMES])
        kst_day = (at + dt.timedelta(hours=9)).date()
        row = {
            "date_id": (kst_day if kst_day in dates and r.random() < 0.9 else r.choice(dates)).isoformat(),
            "datetime": text,
            "url": r.choice([JOIN, LEAVE])
            if r.random() < 0.94
            else r.choice(["/video/v1.0/joined", "/video/v1.0/JOIN", ""]),
            "post_id": r.choice(posts) if r.random() < 0.92 else r.choice([None, "nowhere", "P0"]),
            "video_id": r.choice([None, "v1", "v2", "V", ""]),
            "user_id_fill": r.choice([*users, *users, None, ""]),
            "device_id": None if bad and r.random() < 0.05 else r.choice(devices),
            "platform": r.choice(platforms),
            "os": r.choice(systems),
            "gcc": r.choice(countries),
        }
        log.append(row)
        while r.random() < 0.25:
            copy = dict(row)
            if r.random() < 0.3:
                copy["video_id"] = r.choice([None, "v0", "v1"])
            if r.random() < 0.3:
                copy["date_id"] = r.choice(dates).isoformat()
            if r.random() < 0.3 and copy["datetime"] and "." in copy["datetime"] and len(copy["datetime"]) < 26:
                copy["datetime"] += "0"
            if r.random() < 0.2 and not copy["user_id_fill"]:
                copy["user_id_fill"] = r.choice([None, ""])
            log.append(copy)
    r.shuffle(log)
    joint = [
        {
            "post_id": r.choice([*posts, "nowhere"]),
            "we_art_id": r.choice(arts),
            "comm_id": r.choice(comms),
            "joined_dt": moment(),
        }
        for _ in range(r.choice([0, 2, 6, 10]))
    ]
    members = [None, 1, 1, 2, 2, 9_007_199_254_740_993]
    user_rows = [
        {"wv_user_id": user, "we_member_id": r.choice(members), "joined_dt": moment()}
        for user in users
        if r.random() < 0.7
    ]
    updates = [
        {
            "wv_user_id": r.choice([*users, "other"]),
            "we_art_id": r.choice([*arts, *arts, 9]),
            "action": r.choice(["JOIN", "LEAVE"]),
            "updated_dt": r.choice([moment(), moment(), midnight - dt.timedelta(days=500 * r.randint(1, 40))]),
        }
        for _ in range(r.choice([0, 6, 20, 40]))
    ]
    orders = [
        {
            "we_member_id": r.choice([1, 1, 2, 2, 3, 9_007_199_254_740_993]),
            "we_art_id": r.choice([*arts, *arts, 9]),
            "start_dt": r.choice([moment(), r.choice(edges)]),
            "end_dt": r.choice([None, moment(), r.choice(lives)["start_dt"]]),
            "ord_status": r.choice(["PAID", "PAID", "PAID", "", "PAYMENT_FAILED"]),
            "is_cx_by_restore": r.choice([0, 0, 0, 1, 2]),
        }
        for _ in range(r.choice([0, 8, 24]))
    ]
    sources: dict[str, list[Row]] = {
        "wv_server_log_base": log,
        "wv_live": lives,
        "wv_live_joint_history": joint,
        "user_user": user_rows,
        "wv_comm_user_update": updates,
        "ws_fc_user_history": orders,
    }
    if r.random() < 0.5:
        _spoil(r, sources)
    if r.random() < 0.04 and user_rows:
        user_rows.append(dict(r.choice(user_rows), joined_dt=None))
    if r.random() < 0.04:
        lives.append(dict(r.choice(lives), status=None))
    log_end = r.choice([DAY, DAY, DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)])
    options: dict[str, Any] = {
        "before": r.choice([1, 1, 1, 0, 2]),
        "after": r.choice([1, 1, 1, 0, 2]),
        "share": 1.0 if r.random() < 0.9 else r.choice([0.0, 0.001, 0.1, 0.5, 0.25]),
        "max_days": 2 if long_lives else 30,
    }
    return World(sources, DAY, log_end, options)


def _spoil(r: random.Random, sources: dict[str, list[Row]]) -> None:
    """Make some rows of the small sources unusable."""
    for name, rows in sources.items():
        if name == "wv_server_log_base" or r.random() < 0.5:
            continue
        for row in rows:
            if r.random() < 0.15:
                row[r.choice(list(row))] = None
            if name == "wv_comm_user_update" and r.random() < 0.15:
                row["action"] = r.choice(["join", "", "KICK\"'\\", "가입"])


def together(seeds: list[int]) -> World:
    """Return many data sets as one, apart from each other by their ids, built with the options of the first.

    A build costs the same whether it holds one or ten. Worlds that a build would refuse are for `world` alone.
    """
    r = random.Random(seeds[0])
    options: dict[str, Any] = {
        "before": r.choice([1, 1, 1, 0, 2]),
        "after": r.choice([1, 1, 1, 0, 2]),
        "share": 1.0,
        "max_days": 30,
    }
    log_end = DAY + dt.timedelta(days=r.choice([0, 1, 1, 2]))
    every: dict[str, list[Row]] = {}
    for seed in seeds:
        own = world(seed)
        for source, key in (("wv_live", "post_id"), ("user_user", "wv_user_id")):
            seen: set[str] = set()
            rows = own.sources[source]
            kept = [row for row in rows if row[key] is None or not (row[key] in seen or seen.add(row[key]))]  # type: ignore[func-returns-value]
            own.sources[source] = kept
        told = answer(own.sources, DAY, log_end, dt.datetime(2024, 5, 3, tzinfo=UTC), **options)
        if told.failed:
            continue
        for source, rows in own.sources.items():
            every.setdefault(source, []).extend(_apart(seed, row) for row in rows)
    r.shuffle(every["wv_server_log_base"])
    return World(every, DAY, log_end, options)


def _apart(seed: int, row: Row) -> Row:
    """Return a row with ids of its data set's own; an empty user stays empty."""
    apart = dict(row)
    for name in ("post_id", "user_id_fill", "wv_user_id", "device_id"):
        if apart.get(name) or (name == "device_id" and apart.get(name) == ""):
            apart[name] = f"{seed}:{apart[name]}"
    for name, distance in (("we_art_id", 10), ("comm_id", 100), ("we_member_id", 100)):
        if apart.get(name) is not None:
            apart[name] += seed % 100_000 * distance
    return apart
