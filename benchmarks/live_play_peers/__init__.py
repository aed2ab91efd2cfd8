"""The table of `we_mart.wv_live_play` as one writes it by hand, and the floor; each a command of its own.

`python -m benchmarks.live_play_peers.NAME SOURCES OUT`: reads the sources of `bigmama_nb.sample.live`, writes one
Parquet file. On those sources they give the rows that the package gives, which `python -m benchmarks live_play`
compares first. They take the shortcut of not looking for rows that cannot be used.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

DAY = dt.date(2024, 5, 1)
RUN_TIMESTAMP = dt.datetime(2024, 5, 2, tzinfo=dt.UTC)
DATES = ("2024-04-30", "2024-05-01")
JOIN, LEAVE = "/video/v1.0/join", "/video/v1.0/leave"
KST_US = 32_400_000_000
DAY_START_US = int(dt.datetime(2024, 5, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000 - KST_US
DAY_US = 86_400_000_000
# Not from the contract: a peer does not pay for our imports.
COLUMNS = (
    *("run_timestamp", "date_id", "hour", "minute", "datetime", "we_member_id", "wv_user_id", "device_id", "platform"),
    *("os", "ctry_code", "post_id", "video_id", "start_dt", "end_dt", "tmp_end_dt", "we_art_id", "comm_id"),
    *("is_fc_only", "is_joint_live", "is_join", "is_leave", "u_join_first", "u_leave_last", "d_join_first"),
    *("d_leave_last", "is_late", "join_cnt", "leave_cnt", "u_sum_play_time", "d_sum_play_time", "is_first_wv_join"),
    *("is_first_comm_join", "is_comm_join", "is_comm_user", "is_fc", "guest_joint_seq"),
)


def log_files(sources: Path) -> list[str]:
    """Return the log's files of the dates that the day reads."""
    return [
        str(path)
        for date in DATES
        for path in sorted((sources / "wv_server_log_base" / f"date_id={date}").glob("*.parquet"))
    ]
