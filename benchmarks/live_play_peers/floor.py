"""No table, but what any of them must do: scan the log, sort it by live, viewer, device and time, write 9 columns."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks.live_play_peers import JOIN, LEAVE, log_files


def main() -> None:
    """Write the sorted log."""
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute(f"SET temp_directory = '{out.parent}/spill'")
        connection.execute(
            f"""COPY (
                select post_id, user_id_fill, device_id, datetime, url, video_id, platform, os, gcc
                from read_parquet({log_files(sources)}, hive_partitioning = false)
                where url in ('{JOIN}', '{LEAVE}') and post_id in (
                    select post_id from read_parquet('{sources}/wv_live/*.parquet')
                    where is_from_vlive = 0 and status <> 'CANCELED')
                order by post_id, user_id_fill, device_id, datetime) TO '{out}' (FORMAT parquet)"""
        )


if __name__ == "__main__":
    main()
