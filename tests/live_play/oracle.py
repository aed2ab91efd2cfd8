"""docs/spec/wv_live_play.md followed row by row in plain Python: what the tables must hold, computed another way.

Shares no code with the package. Rows are dicts, instants aware datetimes; quantities are found by looking at all rows
again, since that is how the text reads, but where that would take hours for a day of the sample.
"""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

UTC = dt.UTC
NINE = dt.timedelta(hours=9)
US = dt.timedelta(microseconds=1)
WALL_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001
Row = dict[str, Any]

COLUMNS = {
    "wv_server_log_base": [
        "date_id",
        "datetime",
        "url",
        "post_id",
        "video_id",
        "user_id_fill",
        "device_id",
        "platform",
        "os",
        "gcc",
    ],
    "wv_live": [
        "post_id",
        "video_id",
        "we_art_id",
        "comm_id",
        "status",
        "is_from_vlive",
        "is_fc_only",
        "start_dt",
        "end_dt",
    ],
    "wv_live_joint_history": ["post_id", "we_art_id", "comm_id", "joined_dt"],
    "user_user": ["wv_user_id", "we_member_id", "joined_dt"],
    "wv_comm_user_update": ["wv_user_id", "we_art_id", "action", "updated_dt"],
    "ws_fc_user_history": ["we_member_id", "we_art_id", "start_dt", "end_dt", "ord_status", "is_cx_by_restore"],
}
OR_NULL = {
    "wv_live": {"video_id", "is_fc_only", "end_dt"},
    "wv_live_joint_history": set(),
    "user_user": {"we_member_id"},
    "wv_comm_user_update": set(),
    "ws_fc_user_history": {"end_dt"},
}
JOIN, LEAVE = "/video/v1.0/join", "/video/v1.0/leave"


@dataclass
class Answer:
    """What a build must say and write; rows are tuples in the contract's order, the partition included."""

    failed: str | None = None
    final: bool = False
    play: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[tuple[Any, ...]] = field(default_factory=list)
    daily: list[tuple[Any, ...]] = field(default_factory=list)
    hourly: list[tuple[Any, ...]] = field(default_factory=list)
    by_minute: list[tuple[Any, ...]] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    unmatched_joins: int = 0
    unmatched_leaves: int = 0


def b(text: str) -> bytes:
    """Strings compare by their UTF-8 bytes."""
    return text.encode()


def parse(text: str | None) -> Instant | None:
    """The instant of a log `datetime`, or None where it does not parse."""
    if text is None or len(text) < 19:
        return None
    head, tail = text[:19], text[19:]
    for at, char in enumerate(head):
        wanted = {4: "-", 7: "-", 10: " ", 13: ":", 16: ":"}.get(at)
        if (char != wanted) if wanted else (char not in "0123456789"):
            return None
    micros = 0
    if tail:
        digits = tail[1:]
        if tail[0] != "." or not 1 <= len(digits) <= 6 or any(c not in "0123456789" for c in digits):
            return None
        micros = int(digits.ljust(6, "0"))
    try:
        year, month, day, hour, minute, second = (
            int(head[i:j]) for i, j in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
        )
        wall = dt.datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001
    except ValueError:
        return None
    return Instant.of_wall(wall)


class Instant(int):
    """Microseconds since 1970: datetime cannot hold KST's year 1 as UTC."""

    @classmethod
    def of_wall(cls, wall: dt.datetime) -> Instant:
        """The instant of a KST wall time."""
        return cls((wall - WALL_EPOCH - NINE) // US)

    @classmethod
    def of(cls, at: dt.datetime | None) -> Instant | None:
        """The instant of an aware datetime."""
        return None if at is None else cls.at(at)

    @classmethod
    def at(cls, at: dt.datetime) -> Instant:
        """The instant of an aware datetime that is there."""
        return cls((at - dt.datetime(1970, 1, 1, tzinfo=UTC)) // US)

    def wall(self) -> dt.datetime:
        """The KST wall time."""
        return WALL_EPOCH + NINE + int(self) * US


def minute_text(wall: dt.datetime) -> str:
    return f"{wall.year:04}-{wall.month:02}-{wall.day:02} {wall.hour:02}:{wall.minute:02}:00"


def day_text(day: dt.date) -> str:
    return f"{day.year:04}-{day.month:02}-{day.day:02}"


def as_json(source: str, row: Row) -> str:
    def plain(value: Any) -> Any:
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, dt.datetime) else value

    return json.dumps({name: plain(row[name]) for name in COLUMNS[source]}, ensure_ascii=False)


def reason(source: str, row: Row) -> str | None:
    """Why a row cannot be used, the first that applies in the order of the columns."""
    for name in COLUMNS[source]:
        if source == "wv_server_log_base":
            if name == "datetime" and parse(row[name]) is None:
                return "datetime does not parse"
            if name == "device_id" and row[name] is None:
                return "device_id is null"
            continue
        if row[name] is None and name not in OR_NULL[source]:
            return f"{name} is null"
        if name == "action" and row[name] not in ("JOIN", "LEAVE"):
            return f"action is {row[name]}"
    return None


def answer(
    sources: dict[str, list[Row]],
    part_date: dt.date,
    log_end: dt.date,
    run_timestamp: dt.datetime,
    *,
    before: int = 1,
    after: int = 1,
    share: float = 0.001,
    max_days: int = 30,
) -> Answer:
    """What a build of `part_date` must come to. `sources` maps each name to its rows; the log's carry `date_id`."""
    told = Answer(final=log_end >= part_date + dt.timedelta(days=after))
    last_date = min(part_date + dt.timedelta(days=after), log_end)
    first_date = part_date - dt.timedelta(days=before)
    log = [
        row
        for row in sources["wv_server_log_base"]
        if day_text(first_date) <= row["date_id"] <= day_text(last_date) and row["url"] in (JOIN, LEAVE)
    ]
    for source, key in (("wv_live", "post_id"), ("user_user", "wv_user_id")):
        keys = [row[key] for row in sources[source] if row[key] is not None]
        if len(keys) != len(set(keys)):
            told.failed = "duplicate_key"
            return told
    lives = [
        row
        for row in sources["wv_live"]
        if reason("wv_live", row) is None
        and row["is_from_vlive"] == 0
        and row["status"] != "CANCELED"
        and (row["start_dt"] + NINE).date() == part_date
    ]
    posts = {row["post_id"] for row in lives}
    known = {row["post_id"] for row in sources["wv_live"] if reason("wv_live", row) is None}
    told.unmatched_joins = sum(row["url"] == JOIN and row["post_id"] not in known for row in log)
    told.unmatched_leaves = sum(row["url"] == LEAVE and row["post_id"] not in known for row in log)
    of_source = {**sources, "wv_server_log_base": [row for row in log if row["post_id"] in posts]}
    good: dict[str, list[Row]] = {}
    for source, rows in of_source.items():
        reasons = [reason(source, row) for row in rows]
        good[source] = [row for row, why in zip(rows, reasons, strict=True) if why is None]
        for row, why in zip(rows, reasons, strict=True):
            if why is not None:
                told.rejects.append((day_text(part_date), source, why, as_json(source, row)))
        told.delivered[source] = len(rows)
        told.rejected[source] = len(rows) - len(good[source])
        if rows and Fraction(told.rejected[source], len(rows)) > Fraction(str(share)):
            told.failed = "rejected_share"
    if told.failed:
        return told
    for live in lives:
        copies = [row for row in good["wv_server_log_base"] if row["post_id"] == live["post_id"]]
        events = {
            (
                row["user_id_fill"] or None,
                row["device_id"],
                row["platform"],
                row["os"],
                row["gcc"],
                row["url"],
                parse(row["datetime"]),
            )
            for row in copies
        }
        _live(told, good, live, events, copies, part_date, run_timestamp, max_days)
    return told


def _live(
    told: Answer,
    good: dict[str, list[Row]],
    live: Row,
    events: set[Any],
    copies: list[Row],
    part_date: dt.date,
    run_timestamp: dt.datetime,
    max_days: int,
) -> None:
    start, end = Instant.of(live["start_dt"]), Instant.of(live["end_dt"])
    assert start is not None
    tmp_end = end
    if tmp_end is None:
        tmp_end = max((at for *_, at in events), default=start)
    tmp_end = Instant(max(tmp_end, start))
    if tmp_end - start > max_days * 86_400_000_000:
        told.failed = "live_too_long"
        return
    video = live["video_id"]
    if video is None:
        video = min((row["video_id"] for row in copies if row["video_id"] is not None), key=b, default=None)
    host = (live["we_art_id"], live["comm_id"])
    came: dict[tuple[int, int], dt.datetime] = {}
    for row in good["wv_live_joint_history"]:
        pair = (row["we_art_id"], row["comm_id"])
        if row["post_id"] == live["post_id"] and pair != host:
            came[pair] = min(came.get(pair, row["joined_dt"]), row["joined_dt"])
    guests = sorted(came, key=lambda pair: (came[pair], pair))
    everybody = [(*host, 0)] + [(*pair, 1 + nth) for nth, pair in enumerate(guests)]

    # A viewer is ("user", id) or ("guest", device); the two never collide.
    def viewer(event: Any) -> tuple[str, str]:
        return ("user", event[0]) if event[0] is not None else ("guest", event[1])

    by_device: dict[tuple[tuple[str, str], str], list[Any]] = defaultdict(list)
    for event in events:
        by_device[viewer(event), event[1]].append(event)
    spans: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    device_us: dict[tuple[tuple[str, str], str], int] = defaultdict(int)
    for (who, device), own in by_device.items():
        # At one instant a leave comes before a join.
        own.sort(key=lambda event: (event[6], event[5] == JOIN))
        for nth, event in enumerate(own):
            until = own[nth + 1][6] if nth + 1 < len(own) else tmp_end
            first, last = max(event[6], start), min(until, tmp_end)
            if event[5] == JOIN and last > first:
                spans[who].append((first, last))
                device_us[who, device] += last - first
    playing = {who: _union(pieces) for who, pieces in spans.items()}
    viewer_us = {who: sum(t - f for f, t in pieces) for who, pieces in playing.items()}
    users = {row["wv_user_id"]: row for row in good["user_user"]}
    updates_of: dict[Any, list[Row]] = defaultdict(list)
    for row in good["wv_comm_user_update"]:
        updates_of[row["wv_user_id"], row["we_art_id"]].append(row)
    orders_of: dict[Any, list[Row]] = defaultdict(list)
    for row in good["ws_fc_user_history"]:
        orders_of[row["we_member_id"], row["we_art_id"]].append(row)

    def window(at: dt.datetime) -> bool:
        return start <= Instant.at(at) <= tmp_end

    @cache
    def facts(who: tuple[str, str], art: int) -> tuple[int | None, int, int, int, int, int]:
        if who[0] == "guest":
            return None, 0, 0, 0, 0, 0
        user = users.get(who[1])
        member = user["we_member_id"] if user else None
        first_wv = int(user is not None and window(user["joined_dt"]))
        updates = updates_of[who[1], art]
        joins = [r["updated_dt"] for r in updates if r["action"] == "JOIN"]
        until = [r for r in updates if Instant.at(r["updated_dt"]) <= tmp_end]
        newest = max(until, key=lambda r: (r["updated_dt"], r["action"] == "LEAVE"), default=None)
        fc = any(
            r["ord_status"] != "PAYMENT_FAILED"
            and r["is_cx_by_restore"] == 0
            and Instant.at(r["start_dt"]) <= tmp_end
            and (r["end_dt"] is None or Instant.at(r["end_dt"]) > start)
            for r in orders_of[member, art]
        )
        return (
            member,
            first_wv,
            int(bool(joins) and window(min(joins))),
            int(any(window(at) for at in joins)),
            int(newest is not None and newest["action"] == "JOIN"),
            int(member is not None and fc),
        )

    def late(at: int) -> int:
        return int(end is not None and at >= end)

    def grain(event: Any) -> Any:
        device, platform, os, country, _, at = event[1:7]
        return viewer(event), device, platform, os, country, Instant(at // 60_000_000 * 60_000_000), late(at)

    # First join: earliest, then smallest; last leave: latest, then largest; nulls last in both.
    def smallest(event: Any) -> Any:
        return (event[6], *((text is None, b(text or "")) for text in event[1:5]))

    def largest(event: Any) -> Any:
        return (event[6], *((text is not None, b(text or "")) for text in event[1:5]))

    u_first: dict[Any, Any] = {}
    u_last: dict[Any, Any] = {}
    d_first: dict[Any, Any] = {}
    d_last: dict[Any, Any] = {}
    for event in events:
        who = viewer(event)
        if event[5] == JOIN:
            u_first[who] = min(u_first.get(who, event), event, key=smallest)
            d_first[who, event[1]] = min(d_first.get((who, event[1]), event), event, key=smallest)
        else:
            u_last[who] = max(u_last.get(who, event), event, key=largest)
            d_last[who, event[1]] = max(d_last.get((who, event[1]), event), event, key=largest)
    rows: dict[Any, list[Any]] = defaultdict(list)
    for event in events:
        rows[grain(event)].append(event)
    start_dt, end_dt = live["start_dt"], live["end_dt"]
    tmp_end_dt = dt.datetime(1970, 1, 1, tzinfo=UTC) + int(tmp_end) * US
    for art, comm, seq in everybody:
        for (who, device, platform, os, country, minute, is_late), own in rows.items():
            member, first_wv, first_comm, comm_join, comm_user, is_fc = facts(who, art)
            wall = minute.wall()
            joins = [event for event in own if event[5] == JOIN]
            leaves = [event for event in own if event[5] == LEAVE]
            told.play.append(
                (
                    run_timestamp,
                    day_text(part_date),
                    day_text(wall),
                    f"{wall.hour:02}",
                    wall.minute,
                    minute_text(wall),
                    member,
                    who[1] if who[0] == "user" else None,
                    device,
                    platform,
                    os,
                    country,
                    live["post_id"],
                    video,
                    start_dt,
                    end_dt,
                    tmp_end_dt,
                    art,
                    comm,
                    live["is_fc_only"] or 0,
                    int(bool(guests)),
                    int(bool(joins)),
                    int(bool(leaves)),
                    int(u_first.get(who) in own),
                    int(u_last.get(who) in own),
                    int(d_first.get((who, device)) in own),
                    int(d_last.get((who, device)) in own),
                    is_late,
                    len(joins),
                    len(leaves),
                    viewer_us.get(who, 0) // 1_000_000,
                    device_us.get((who, device), 0) // 1_000_000,
                    first_wv,
                    first_comm,
                    comm_join,
                    comm_user,
                    is_fc,
                    seq,
                )
            )
    _rollups(told, part_date, live, video, tmp_end_dt, everybody, events, viewer, facts, playing, viewer_us, late)


def _union(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Time on two devices at once counts once: overlapping or touching spans become one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pieces):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _between(times: list[int], first: int, end: int) -> int:
    return max(bisect_left(times, end) - bisect_left(times, first), 0)


class _Concurrent:
    """How many play at an instant: a span holds its first instant and not its last, and a viewer's never overlap."""

    def __init__(self, playing: dict[Any, list[tuple[int, int]]]) -> None:
        self._begun = sorted(first for own in playing.values() for first, _ in own)
        self._over = sorted(last for own in playing.values() for _, last in own)

    def __call__(self, at: int) -> int:
        return bisect_right(self._begun, at) - bisect_right(self._over, at)


def _rollups(
    told: Answer,
    part_date: dt.date,
    live: Row,
    video: str | None,
    tmp_end_dt: dt.datetime,
    everybody: list[tuple[int, int, int]],
    events: set[Any],
    viewer: Any,
    facts: Any,
    playing: dict[Any, list[tuple[int, int]]],
    viewer_us: dict[Any, int],
    late: Any,
) -> None:
    start, tmp_end = Instant.of(live["start_dt"]), Instant.of(tmp_end_dt)
    assert start is not None
    assert tmp_end is not None
    # The count rises only where a span begins, so these instants hold every peak.
    rises = sorted({first for own in playing.values() for first, _ in own})
    concurrent = _Concurrent(playing)
    day_peak = max((concurrent(at) for at in rises), default=0)
    reached = next((at for at in rises if concurrent(at) == day_peak), None)
    viewers = {viewer(event) for event in events}

    joined = sorted(event[6] for event in events if event[5] == JOIN)
    left = sorted(event[6] for event in events if event[5] == LEAVE)

    def bucket(first: int, end: int) -> tuple[int, int, int, int, int, int]:
        """Viewers, joins, leaves, microseconds, peak and watching at the last microsecond of a bucket."""
        met = {
            who: [(max(f, first), min(t, end)) for f, t in own if f < end and t > first] for who, own in playing.items()
        }
        instants = [first, *rises[bisect_left(rises, first) : bisect_left(rises, end)]]
        return (
            sum(bool(own) for own in met.values()),
            _between(joined, max(first, start), min(end, tmp_end + 1)),
            _between(left, max(first, start), min(end, tmp_end + 1)),
            sum(t - f for own in met.values() for f, t in own),
            max((concurrent(at) for at in instants), default=0),
            concurrent(end - 1),
        )

    hours = []
    nth = 0
    while start + nth * 3_600_000_000 <= tmp_end:
        hours.append(bucket(start + nth * 3_600_000_000, start + (nth + 1) * 3_600_000_000))
        nth += 1
    minutes = []
    minute = start // 60_000_000 * 60_000_000
    while minute <= tmp_end:
        minutes.append((minute_text(Instant(minute).wall()), *bucket(minute, minute + 60_000_000)))
        minute += 60_000_000
    for art, comm, seq in everybody:
        key = (day_text(part_date), live["post_id"], video, art, comm, seq)
        own = [facts(who, art) for who in viewers]
        seconds = sum(us // 1_000_000 for us in viewer_us.values())
        told.daily.append(
            (
                *key,
                live["start_dt"],
                live["end_dt"],
                tmp_end_dt,
                len(viewers),
                sum(who[0] == "guest" for who in viewers),
                sum(f[0] is not None for f in own),
                sum(f[5] for f in own),
                sum(f[4] for f in own),
                sum(f[1] for f in own),
                sum(f[2] for f in own),
                len({viewer(event) for event in events if event[5] == JOIN and late(event[6])}),
                sum(event[5] == JOIN for event in events),
                sum(event[5] == LEAVE for event in events),
                seconds,
                day_peak,
                seconds / len(viewers) if viewers else None,
                minute_text(Instant(reached).wall()) if reached is not None else None,
            )
        )
        for hour, (who, joins, leaves, us, peak, _end) in enumerate(hours):
            told.hourly.append((*key, hour, who, joins, leaves, us // 1_000_000, peak))
        for text, who, joins, leaves, us, peak, end in minutes:
            told.by_minute.append((*key, text, joins, leaves, us // 1_000_000, who, end, peak))


def month(part_month: str, play: list[Row]) -> list[tuple[Any, ...]]:
    """`stats_wv_m_video_copyright` from rows of the month's partitions."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in play:
        key = tuple(row[n] for n in ("video_id", "we_art_id", "comm_id", "guest_joint_seq", "ctry_code"))
        groups[key].append(row)
    return [
        (
            part_month,
            *key,
            len({row["post_id"] for row in rows}),
            len({_who(row) for row in rows}),
            sum(row["u_join_first"] for row in rows),
            sum(row["join_cnt"] for row in rows),
            sum(row["u_sum_play_time"] for row in rows if row["u_join_first"] == 1),
        )
        for key, rows in groups.items()
    ]


def _who(row: Row) -> tuple[str, str]:
    return ("guest", row["device_id"]) if row["wv_user_id"] is None else ("user", row["wv_user_id"])


def kpi(part_date: str, play: list[Row], daily: list[Row]) -> list[tuple[Any, ...]]:
    """`stats_we_t_kpi` from rows of one part_date."""
    found = []
    for art in {row["we_art_id"] for row in daily}:
        own: dict[str, Row] = {}
        for row in sorted(daily, key=lambda r: -r["guest_joint_seq"]):
            if row["we_art_id"] == art:
                own[row["post_id"]] = row
        joint = {row["post_id"] for row in daily if row["guest_joint_seq"] > 0}
        rows = [row for row in play if row["we_art_id"] == art]

        def distinct(name: str | None, rows: list[Row] = rows) -> int:
            return len({_who(row) for row in rows if name is None or row[name]})

        found.append(
            (
                part_date,
                art,
                len(own),
                len(own.keys() & joint),
                distinct(None),
                len({_who(row) for row in rows if row["we_member_id"] is not None}),
                distinct("is_fc"),
                distinct("is_comm_user"),
                distinct("is_first_wv_join"),
                distinct("is_first_comm_join"),
                sum(row["joins"] for row in own.values()),
                sum(row["play_seconds"] for row in own.values()),
                max(row["peak_viewers"] for row in own.values()),
            )
        )
    return found
