"""A build of a data set where everything collides, compared with what plain Python makes of the text."""

from __future__ import annotations

from pathlib import Path

from bigmama_nb.engines import Engine
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.live_play import build, build_kpi, build_month
from bigmama_nb.live_play.buckets import ROW_BYTES
from tests.live_play import oracle
from tests.live_play.adversary import World
from tests.live_play.warehouse import RUN_TIMESTAMP, in_order, options, read_rows, write_world

TABLES = {
    "wv_live_play": "play",
    "wv_live_play_rejects": "rejects",
    "stats_wv_d_live_play": "daily",
    "stats_wv_h_live_play": "hourly",
    "stats_wv_d_live_play_min": "by_minute",
}


TOGETHER = 10
"""Data sets in a build."""


class Cramped(DuckDBEngine):
    """DuckDB that says it has room for a handful of rows, so that a small data set is built in many buckets."""

    rows = 0

    @property
    def memory_limit(self) -> int:
        return self.rows * ROW_BYTES if self.rows else super().memory_limit


def group(nth: int) -> list[int]:
    """Return the seeds of the data sets of a build."""
    return list(range(nth * TOGETHER, (nth + 1) * TOGETHER))


def assert_equal_to_oracle(engine: Engine, data: World, folder: Path, *, buckets: int = 1) -> str:
    """Build a data set in about so many buckets and compare every table; return what became of it."""
    if isinstance(engine, Cramped):
        engine.rows = max(len(data.sources["wv_server_log_base"]) // buckets, 2) if buckets > 1 else 0
    sources = write_world(folder / "sources", data)
    expected = oracle.answer(data.sources, data.part_date, data.log_end, RUN_TIMESTAMP, **data.options)
    built = build(
        engine,
        sources,
        data.part_date,
        log_end=data.log_end,
        run_timestamp=RUN_TIMESTAMP,
        out=folder / "out",
        options=options(data.options),
    )
    part_date = data.part_date.isoformat()
    if expected.failed:
        assert (built.outcome, built.reason) == ("failed", expected.failed), built.message
        assert not built.tables
        return expected.failed
    assert built.outcome == "ok", built.message
    assert expected.final == built.final
    for table, name in TABLES.items():
        assert in_order(getattr(expected, name)) == in_order(read_rows(built, table, part_date)), table
    assert {name: (expected.delivered[name], expected.rejected[name]) for name in expected.delivered} == {
        name: (count.delivered, count.rejected) for name, count in built.counts.sources.items()
    }
    assert (expected.unmatched_joins, expected.unmatched_leaves) == (
        built.counts.unmatched_joins,
        built.counts.unmatched_leaves,
    )
    play, daily = built.tables["wv_live_play"].paths, built.tables["stats_wv_d_live_play"].paths
    play_rows = [dict(zip(PLAY_COLUMNS, row, strict=True)) for row in expected.play]
    daily_rows = [dict(zip(DAILY_COLUMNS, row, strict=True)) for row in expected.daily]
    by_month = build_month(engine, "2024-05", play, out=folder / "month")
    assert in_order(oracle.month("2024-05", play_rows)) == in_order(
        read_rows(by_month, "stats_wv_m_video_copyright", "2024-05")
    )
    kpi = build_kpi(engine, part_date, play, daily, out=folder / "kpi")
    assert in_order(oracle.kpi(part_date, play_rows, daily_rows)) == in_order(
        read_rows(kpi, "stats_we_t_kpi", part_date)
    )
    return "ok"


PLAY_COLUMNS = [
    "run_timestamp",
    "part_date",
    "date_id",
    "hour",
    "minute",
    "datetime",
    "we_member_id",
    "wv_user_id",
    "device_id",
    "platform",
    "os",
    "ctry_code",
    "post_id",
    "video_id",
    "start_dt",
    "end_dt",
    "tmp_end_dt",
    "we_art_id",
    "comm_id",
    "is_fc_only",
    "is_joint_live",
    "is_join",
    "is_leave",
    "u_join_first",
    "u_leave_last",
    "d_join_first",
    "d_leave_last",
    "is_late",
    "join_cnt",
    "leave_cnt",
    "u_sum_play_time",
    "d_sum_play_time",
    "is_first_wv_join",
    "is_first_comm_join",
    "is_comm_join",
    "is_comm_user",
    "is_fc",
    "guest_joint_seq",
]
DAILY_COLUMNS = [
    "part_date",
    "post_id",
    "video_id",
    "we_art_id",
    "comm_id",
    "guest_joint_seq",
    "start_dt",
    "end_dt",
    "tmp_end_dt",
    "viewers",
    "guest_viewers",
    "members",
    "fc_viewers",
    "comm_viewers",
    "first_wv_joins",
    "first_comm_joins",
    "late_viewers",
    "joins",
    "leaves",
    "play_seconds",
    "peak_viewers",
    "avg_play_seconds",
    "peak_datetime",
]
