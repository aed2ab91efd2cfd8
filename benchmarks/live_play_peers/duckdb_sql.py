"""Hand-written DuckDB SQL: one statement of readable steps, windows where one thinks of windows."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks.live_play_peers import DAY_START_US, DAY_US, JOIN, KST_US, LEAVE, RUN_TIMESTAMP, log_files


def sql(sources: Path) -> str:
    """Return the query."""

    def source(name: str) -> str:
        return f"read_parquet('{sources}/{name}/*.parquet')"

    return f"""
with lives0 as (
  select post_id, video_id, we_art_id, comm_id, coalesce(is_fc_only, 0) as is_fc_only, start_dt, end_dt,
    epoch_us(start_dt) as start_us, epoch_us(end_dt) as end_us
  from {source("wv_live")}
  where is_from_vlive = 0 and status <> 'CANCELED'
    and epoch_us(start_dt) >= {DAY_START_US} and epoch_us(start_dt) < {DAY_START_US + DAY_US}
), delivered as (
  select post_id, nullif(user_id_fill, '') as wv_user_id, device_id, platform, os, gcc as ctry_code,
    (url = '{JOIN}')::int as joins, epoch_us(datetime::timestamp) - {KST_US} as us, g.video_id
  from read_parquet({log_files(sources)}, hive_partitioning = false) g semi join lives0 using (post_id)
  where url in ('{JOIN}', '{LEAVE}')
), lives as (
  select l.* exclude (video_id), coalesce(l.video_id, e.video_id) as video_id,
    greatest(coalesce(end_us, last_us, start_us), start_us) as tmp_end_us
  from lives0 l left join (
    select post_id, max(us) as last_us, min(video_id) as video_id from delivered group by 1) e using (post_id)
), guests as (
  select post_id, j.we_art_id, j.comm_id, min(joined_dt) as first_dt
  from {source("wv_live_joint_history")} j join lives l using (post_id)
  where (j.we_art_id, j.comm_id) <> (l.we_art_id, l.comm_id) group by all
), everybody as (
  select post_id, we_art_id, comm_id, 0 as seq from lives union all
  select post_id, we_art_id, comm_id,
    row_number() over (partition by post_id order by first_dt, we_art_id, comm_id) from guests
), participants as (
  select *, (max(seq) over (partition by post_id) > 0)::int as is_joint_live from everybody
), events as (
  select distinct post_id, wv_user_id, device_id, platform, os, ctry_code, joins, us from delivered
), follows as (
  select *, case when wv_user_id is null then device_id end as guest_id,
    lead(us) over (partition by post_id, wv_user_id, device_id order by us, joins) as next_us
  from events
), spans as (
  select f.*, greatest(us, start_us) as from_us,
    case when joins = 1 then least(coalesce(next_us, tmp_end_us), tmp_end_us) else start_us end as to_us,
    coalesce(us >= end_us, false)::int as is_late
  from follows f join lives using (post_id)
), covered as (
  select *, max(case when to_us > from_us then to_us end) over (
    partition by post_id, wv_user_id, guest_id order by from_us rows between unbounded preceding and 1 preceding
  ) as seen_us
  from spans
), rows as (
  select post_id, wv_user_id, guest_id, device_id, platform, os, ctry_code, us // 60000000 as minute_no, is_late,
    sum(joins) as join_cnt, sum(1 - joins) as leave_cnt,
    min(case when joins = 1 then us end) as first_us, max(case when joins = 0 then us end) as last_us,
    sum(greatest(to_us - from_us, 0)) as d_us,
    sum(greatest(to_us - greatest(from_us, coalesce(seen_us, from_us)), 0)) as u_us
  from covered group by all
), marked as (
  select *,
    (join_cnt > 0 and row_number() over (partition by post_id, wv_user_id, device_id
      order by first_us nulls last, platform nulls last, os nulls last, ctry_code nulls last) = 1)::int as d_join_first,
    (leave_cnt > 0 and row_number() over (partition by post_id, wv_user_id, device_id
      order by last_us desc nulls last, platform desc nulls last, os desc nulls last, ctry_code desc nulls last) = 1
    )::int as d_leave_last,
    (join_cnt > 0 and row_number() over (partition by post_id, wv_user_id, guest_id
      order by first_us nulls last, device_id, platform nulls last, os nulls last, ctry_code nulls last) = 1
    )::int as u_join_first,
    (leave_cnt > 0 and row_number() over (partition by post_id, wv_user_id, guest_id
      order by last_us desc nulls last, device_id desc, platform desc nulls last, os desc nulls last,
        ctry_code desc nulls last) = 1)::int as u_leave_last,
    sum(d_us) over (partition by post_id, wv_user_id, device_id) // 1000000 as d_sum_play_time,
    sum(u_us) over (partition by post_id, wv_user_id, guest_id) // 1000000 as u_sum_play_time
  from rows
), viewers as (
  select distinct post_id, wv_user_id from rows where wv_user_id is not null
), who as (
  select v.*, we_member_id, epoch_us(joined_dt) as joined_us, start_us, tmp_end_us, p.we_art_id
  from viewers v left join {source("user_user")} u using (wv_user_id) join lives using (post_id)
    join (select distinct post_id, we_art_id from participants) p using (post_id)
), community as (
  select post_id, wv_user_id, w.we_art_id, min(case when action = 'JOIN' then epoch_us(updated_dt) end) as first_us,
    max((action = 'JOIN' and epoch_us(updated_dt) between start_us and tmp_end_us)::int) as is_comm_join,
    max(case when epoch_us(updated_dt) <= tmp_end_us
      then epoch_us(updated_dt) * 2 + (action = 'LEAVE')::int end) % 2 = 0 as is_comm_user
  from who w join {source("wv_comm_user_update")} using (wv_user_id, we_art_id) group by all
), fan_club as (
  select distinct post_id, wv_user_id, w.we_art_id
  from who w join {source("ws_fc_user_history")} f using (we_member_id, we_art_id)
  where ord_status <> 'PAYMENT_FAILED' and is_cx_by_restore = 0 and epoch_us(f.start_dt) <= tmp_end_us
    and (f.end_dt is null or epoch_us(f.end_dt) > start_us)
), facts as (
  select w.*, coalesce(joined_us between start_us and tmp_end_us, false)::int as is_first_wv_join,
    coalesce(first_us between start_us and tmp_end_us, false)::int as is_first_comm_join,
    coalesce(is_comm_join, 0) as is_comm_join, coalesce(is_comm_user, false)::int as is_comm_user,
    (f.post_id is not null)::int as is_fc
  from who w left join community using (post_id, wv_user_id, we_art_id)
    left join fan_club f using (post_id, wv_user_id, we_art_id)
)
select timestamptz '{RUN_TIMESTAMP}' as run_timestamp, strftime(kst, '%Y-%m-%d') as date_id,
  strftime(kst, '%H') as hour, minute(kst)::int as minute, strftime(kst, '%Y-%m-%d %H:%M:00') as datetime,
  x.we_member_id, m.wv_user_id, m.device_id, platform, os, ctry_code, m.post_id, l.video_id, l.start_dt, l.end_dt,
  make_timestamp(l.tmp_end_us)::timestamptz as tmp_end_dt, p.we_art_id, p.comm_id, l.is_fc_only, p.is_joint_live,
  (join_cnt > 0)::int as is_join, (leave_cnt > 0)::int as is_leave, u_join_first, u_leave_last, d_join_first,
  d_leave_last, is_late, join_cnt::bigint as join_cnt, leave_cnt::bigint as leave_cnt,
  u_sum_play_time::bigint as u_sum_play_time, d_sum_play_time::bigint as d_sum_play_time,
  coalesce(x.is_first_wv_join, 0) as is_first_wv_join, coalesce(x.is_first_comm_join, 0) as is_first_comm_join,
  coalesce(x.is_comm_join, 0) as is_comm_join, coalesce(x.is_comm_user, 0) as is_comm_user,
  coalesce(x.is_fc, 0) as is_fc, p.seq::int as guest_joint_seq
from (select *, make_timestamp((minute_no * 60 + 32400) * 1000000) as kst from marked) m
  join lives l using (post_id) join participants p using (post_id)
  left join facts x on x.post_id = m.post_id and x.wv_user_id = m.wv_user_id and x.we_art_id = p.we_art_id"""


def main() -> None:
    """Write the table."""
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    with duckdb.connect() as connection:
        connection.execute(
            "SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET enable_progress_bar = false"
        )
        connection.execute(f"SET temp_directory = '{out.parent}/spill'")
        connection.execute(f"COPY ({sql(sources)}) TO '{out}' (FORMAT parquet)")


if __name__ == "__main__":
    main()
