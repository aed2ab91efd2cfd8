"""One small day by hand, which a test bends at one place."""

from __future__ import annotations

import copy
import datetime as dt
from pathlib import Path
from typing import Any

from bigmama_nb.engines import Engine
from bigmama_nb.live_play import Built, Options, build
from tests.live_play.oracle import JOIN, LEAVE, Row
from tests.live_play.warehouse import RUN_TIMESTAMP, write_sources

DAY = dt.date(2024, 5, 1)
NEXT = dt.date(2024, 5, 2)


def at(text: str) -> dt.datetime:
    """Return a KST text as an instant."""
    return dt.datetime.fromisoformat(f"{text}+09:00").astimezone(dt.UTC)


def request(text: str | None, url: str = JOIN, **changes: Any) -> Row:
    """Return a row of the log."""
    row = {
        "date_id": "2024-05-01",
        "datetime": text,
        "url": url,
        "post_id": "p1",
        "video_id": "v1",
        "user_id_fill": "u1",
        "device_id": "d1",
        "platform": "ios",
        "os": "17",
        "gcc": "KR",
    }
    return row | changes


def live(post_id: str = "p1", **changes: Any) -> Row:
    """Return a row of wv_live: from 20:00 to 21:00."""
    row = {
        "post_id": post_id,
        "video_id": "v1",
        "we_art_id": 1,
        "comm_id": 10,
        "status": "END",
        "is_from_vlive": 0,
        "is_fc_only": 0,
        "start_dt": at("2024-05-01 20:00:00"),
        "end_dt": at("2024-05-01 21:00:00"),
    }
    return row | changes


def day() -> dict[str, list[Row]]:
    """Return six sources: one live, two users and a guest."""
    return copy.deepcopy(
        {
            "wv_server_log_base": [
                request("2024-05-01 20:10:00"),
                request("2024-05-01 20:40:00", LEAVE),
                request("2024-05-01 20:30:00.5", user_id_fill="u2", device_id="d2", gcc="US"),
                request("2024-05-01 20:50:00", user_id_fill=None, device_id="d3", gcc=None),
            ],
            "wv_live": [live()],
            "wv_live_joint_history": [],
            "user_user": [
                {"wv_user_id": "u1", "we_member_id": 7, "joined_dt": at("2024-05-01 20:05:00")},
                {"wv_user_id": "u2", "we_member_id": None, "joined_dt": at("2020-01-01 00:00:00")},
            ],
            "wv_comm_user_update": [
                {
                    "wv_user_id": "u1",
                    "we_art_id": 1,
                    "action": "JOIN",
                    "updated_dt": at("2024-05-01 20:06:00"),
                }
            ],
            "ws_fc_user_history": [],
        }
    )


def build_day(
    engine: Engine,
    folder: Path,
    sources: dict[str, list[Row]],
    *,
    part_date: dt.date = DAY,
    log_end: dt.date = DAY,
    dates: tuple[str, ...] = ("2024-05-01",),
    options: Options | None = None,
) -> Built:
    """Write sources and build a part_date of them into `folder/out`."""
    written = write_sources(folder / "sources", sources, dates)
    return build(
        engine,
        written,
        part_date,
        log_end=log_end,
        run_timestamp=RUN_TIMESTAMP,
        out=folder / "out",
        options=options,
    )
