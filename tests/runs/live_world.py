"""A small world of lives for the tests of runs: one live a day at midnight, a hundred viewers, and what they come to.

Every figure can be counted by hand: viewer k joins at 23:40:00 + k s and leaves at 00:10:00 + k s of the next day,
while the live lasts from 23:30 to 00:30. So a date whose log ends at midnight misses every leave.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bigmama_nb.engines import Engine
from bigmama_nb.profile import load
from bigmama_nb.stages.context import StageContext
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import data_files
from tests.live_play.warehouse import SCHEMAS, write_file
from tests.runs.world import PROFILE, World

DAYS = [date(2024, 4, 30), date(2024, 5, 1), date(2024, 5, 2)]
LATER = date(2024, 5, 3)
JOINT = date(2024, 5, 1)
"""The day whose live has a guest: artist 2 beside the host, artist 1."""
DAY = "2024-05-01"
VIEWERS, USERS, MEMBERS = 100, 98, 96
DAILY = {
    "wv_live_play",
    "wv_live_play_rejects",
    "stats_wv_d_live_play",
    "stats_wv_h_live_play",
    "stats_wv_d_live_play_min",
}
LIVE = PROFILE + "live_play:\n  sources: {uri: weverse}\n  dates: {from: 2024-05-01, to: 2024-05-01}\n"


def post(day: date) -> str:
    return f"live-{day:%m%d}"


def tasks(*days: str) -> set[str]:
    """Return the ids of the tasks of these dates, their KPIs and months."""
    of_days = {f"{table}/{day}" for day in days for table in DAILY | {"stats_we_t_kpi"}}
    return of_days | {f"stats_wv_m_video_copyright/{day[:7]}" for day in days}


def counted(day: date, *, whole_log: bool) -> dict[str, int]:
    """Return what `stats_wv_d_live_play` says of the day's live, by the world's making."""
    return {
        "viewers": VIEWERS,
        "guest_viewers": VIEWERS - USERS,
        "members": MEMBERS,
        "joins": VIEWERS,
        "leaves": VIEWERS if whole_log else 0,
        # From the join for half an hour; without its leave to the live's end, 50 minutes after the first join.
        "play_seconds": 1800 * VIEWERS if whole_log else sum(3000 - k for k in range(VIEWERS)),
        "peak_viewers": VIEWERS,
    }


@dataclass
class LiveWorld(World):
    """The games of `World` and the lives, in a folder."""

    text: str = LIVE

    def use(self, engine: Engine) -> None:
        """Have live viewing built on an engine that is there."""

        def prepare(here: StageContext) -> None:
            here.engine = lambda profile: nullcontext(engine)

        self.prepare = prepare

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in SCHEMAS:
            if name != "wv_server_log_base":
                self.heal_source(name)
        for day in DAYS[:2]:
            self.log(day)

    def live(self, *arguments: str) -> dict[str, Any]:
        """Run live viewing alone."""
        return self.command("run", "--pipelines", "live_play", *arguments)

    def folder_of(self, source: str) -> Path:
        return self.folder / "weverse" / source

    def file(self, source: str) -> Path:
        return self.folder_of(source) / "part-0.parquet"

    def log_folder(self, day: date) -> Path:
        return self.folder_of("wv_server_log_base") / f"date_id={day}"

    def heal_source(self, name: str) -> None:
        """Write a source as it should be."""
        write_file(self.folder_of(name), name, _rows(name))

    def log(self, day: date, *, malformed: int = 0) -> None:
        """Write a date of the log; of its joins some can bear a time that there is not."""
        rows = [
            *requests("join", day, datetime.combine(day, datetime.min.time()) + timedelta(hours=23, minutes=40)),
            *requests(
                "leave", day - timedelta(days=1), datetime.combine(day, datetime.min.time()) + timedelta(minutes=10)
            ),
            {**next(requests("join", day, datetime.combine(day, datetime.min.time()))), "post_id": "elsewhere"},
        ]
        for row in rows[:malformed]:
            row["datetime"] = f"{day} 25:00:00"
        write_file(self.log_folder(day), "wv_server_log_base", rows)

    def drop_log(self, day: date) -> None:
        """Take a date of the log away."""
        shutil.rmtree(self.log_folder(day))

    def change(self, source: str, table: pa.Table) -> None:
        """Write a source as this table."""
        pq.write_table(table, self.file(source))

    def by_day(self) -> dict[tuple[str, int], dict[str, int]]:
        """Return what readers see in the roll-up by day: by part_date and guest_joint_seq."""
        names = list(counted(JOINT, whole_log=True))
        query = f"select part_date, guest_joint_seq, {', '.join(names)} from we_mart.stats_wv_d_live_play"
        found = self.command("sql", query)["data"]["rows"]
        return {(day, seq): dict(zip(names, rest, strict=True)) for day, seq, *rest in found}

    def published(self) -> dict[str, bytes]:
        """Return every file that the catalog points at, by table, partition and place."""
        with Warehouse.open(load(self.profile).warehouse) as warehouse:
            return {
                f"{entry.name}/{partition}/{n}": warehouse.storage.read(location)
                for entry in warehouse.catalog.tables()
                for partition, pointer in warehouse.catalog.current(entry.full_name).items()
                for n, location in enumerate(data_files(pointer, warehouse.storage))
            }

    def exported(self) -> dict[str, bytes]:
        """Return every file of a plain copy of each table, by table and path."""
        files: dict[str, bytes] = {}
        with tempfile.TemporaryDirectory() as folder:
            for table in sorted(DAILY | {"stats_we_t_kpi", "stats_wv_m_video_copyright"}):
                export = Path(folder) / table
                assert self.command("export", table, str(export))["exit_status"] == 0
                files |= {str(path.relative_to(folder)): path.read_bytes() for path in export.rglob("*.parquet")}
        return files


def outcomes(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return by task its outcome, and whether it is published."""
    return {task["id"]: (task["outcome"], task["published"]) for task in answer["data"]["tasks"]}


def only(answer: dict[str, Any], table: str = "wv_live_play") -> dict[str, Any]:
    """Return the one task of a table."""
    (task,) = [task for task in answer["data"]["tasks"] if task.get("table") == table]
    return dict(task)


def requests(verb: str, day: date, first: datetime) -> Iterator[dict[str, Any]]:
    """Return the joins or leaves of a day's live, one each second from `first` (KST)."""
    for k in range(VIEWERS):
        yield {
            "datetime": f"{first + timedelta(seconds=k)}",
            "url": f"/video/v1.0/{verb}",
            "post_id": post(day),
            "video_id": None,
            "user_id_fill": f"u{k:02}" if k < USERS else None,
            "device_id": f"d{k:02}",
            "platform": "ios" if k % 2 else "android",
            "os": None,
            "gcc": "KR" if k % 3 else "JP",
        }


def _rows(name: str) -> list[dict[str, Any]]:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    if name == "wv_live":
        return [
            {"post_id": post(day), "video_id": f"v-{day:%m%d}", "we_art_id": 1, "comm_id": 101, "status": "END",
             "is_from_vlive": 0, "is_fc_only": None, "start_dt": start, "end_dt": start + timedelta(hours=1)}
            for day in DAYS
            # 23:30 in Seoul.
            for start in [datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)]
        ]  # fmt: skip
    if name == "wv_live_joint_history":
        return [{"post_id": post(JOINT), "we_art_id": 2, "comm_id": 102, "joined_dt": long_ago}]
    if name == "user_user":
        return [
            {"wv_user_id": f"u{k:02}", "we_member_id": 1000 + k if k < MEMBERS else None, "joined_dt": long_ago}
            for k in range(USERS)
        ]
    if name == "wv_comm_user_update":
        return [{"wv_user_id": f"u{k:02}", "we_art_id": 1, "action": "JOIN", "updated_dt": long_ago} for k in range(10)]
    assert name == "ws_fc_user_history"
    return [
        {"we_member_id": 1000 + k, "we_art_id": 1, "start_dt": long_ago, "end_dt": None, "ord_status": "PAID",
         "is_cx_by_restore": 0}
        for k in range(5)
    ]  # fmt: skip
