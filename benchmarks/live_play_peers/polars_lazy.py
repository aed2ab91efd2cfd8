"""Hand-written Polars: lazy frames, the streaming engine, intermediates collected where they are used again."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
from polars import col

from benchmarks.live_play_peers import COLUMNS, DAY_START_US, DAY_US, JOIN, KST_US, LEAVE, RUN_TIMESTAMP, log_files

TRAITS = ["platform", "os", "ctry_code"]
DEVICE = ["post_id", "wv_user_id", "device_id"]
VIEWER = ["post_id", "wv_user_id", "guest_id"]


def us(name: str) -> pl.Expr:
    """Return a timestamp as microseconds."""
    return col(name).dt.epoch("us")


def kept(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Compute a frame once."""
    return frame.collect(engine="streaming").lazy()


def first_of(frame: pl.LazyFrame, keys: list[str], when: pl.Expr, order: list[str], *, last: bool) -> pl.LazyFrame:
    """Return the row of each key that comes first, or last, in order; nulls last."""
    own = frame.filter(when).sort(order, descending=last, nulls_last=True)
    return own.unique(keys, keep="first", maintain_order=True).select(*DEVICE, *TRAITS, "minute_no", "is_late")


def table(sources: Path) -> pl.LazyFrame:
    """Return the table."""

    def source(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(f"{sources}/{name}/*.parquet")

    lives = source("wv_live").filter(
        col("is_from_vlive") == 0,
        col("status") != "CANCELED",
        us("start_dt").is_between(DAY_START_US, DAY_START_US + DAY_US, closed="left"),
    )
    at = col("datetime").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us").dt.epoch("us") - KST_US
    delivered = kept(
        pl.scan_parquet(log_files(sources), hive_partitioning=False)
        .filter(col("url").is_in([JOIN, LEAVE]))
        .join(lives.select("post_id"), on="post_id", how="semi")
        .select(
            "post_id",
            "device_id",
            "platform",
            "os",
            "video_id",
            wv_user_id=pl.when(col("user_id_fill") != "").then("user_id_fill"),
            ctry_code="gcc",
            joins=(col("url") == JOIN).cast(pl.Int64),
            us=at,
        )
    )
    logged = delivered.group_by("post_id").agg(last_us=col("us").max(), log_video_id=col("video_id").min())
    lives = kept(
        lives.join(logged, on="post_id", how="left").with_columns(
            video_id=pl.coalesce("video_id", "log_video_id"),
            is_fc_only=col("is_fc_only").fill_null(0),
            start_us=us("start_dt"),
            end_us=us("end_dt"),
            tmp_end_us=pl.max_horizontal(pl.coalesce(us("end_dt"), "last_us", us("start_dt")), us("start_dt")),
        )
    )
    host = lives.select("post_id", "we_art_id", "comm_id", guest_joint_seq=pl.lit(0, pl.Int32))
    guests = (
        source("wv_live_joint_history")
        .join(host, on="post_id", how="semi")
        .join(host, on=["post_id", "we_art_id", "comm_id"], how="anti")
        .group_by("post_id", "we_art_id", "comm_id")
        .agg(col("joined_dt").min())
        .sort("post_id", "joined_dt", "we_art_id", "comm_id")
        .with_columns(guest_joint_seq=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("post_id"))
        .drop("joined_dt")
    )
    participants = kept(
        pl.concat([host, guests]).with_columns(
            is_joint_live=(col("guest_joint_seq").max().over("post_id") > 0).cast(pl.Int32)
        )
    )
    window = lives.select("post_id", "start_us", "end_us", "tmp_end_us")
    events = delivered.drop("video_id").unique()
    next_us = pl.when(pl.all_horizontal(col(k).eq_missing(col(k).shift(-1)) for k in DEVICE)).then(col("us").shift(-1))
    spans = kept(
        events.sort(*DEVICE, "us", "joins")
        .with_columns(next_us=next_us)
        .join(window, on="post_id")
        .with_columns(
            guest_id=pl.when(col("wv_user_id").is_null()).then("device_id"),
            from_us=pl.max_horizontal("us", "start_us"),
            to_us=pl.when(col("joins") == 1)
            .then(pl.min_horizontal(pl.coalesce("next_us", "tmp_end_us"), "tmp_end_us"))
            .otherwise("start_us"),
            is_late=(col("us") >= col("end_us")).fill_null(False).cast(pl.Int32),
            minute_no=col("us") // 60_000_000,
        )
    )
    rows = kept(
        spans.group_by(*DEVICE, "guest_id", *TRAITS, "minute_no", "is_late").agg(
            join_cnt=col("joins").sum(),
            leave_cnt=(1 - col("joins")).sum(),
            first_us=col("us").filter(col("joins") == 1).min(),
            last_us=col("us").filter(col("joins") == 0).max(),
        )
    )
    played = spans.filter(col("to_us") > col("from_us"))
    by_device = played.group_by(DEVICE).agg(d_us=(col("to_us") - col("from_us")).sum())
    seen = pl.when(pl.all_horizontal(col(k).eq_missing(col(k).shift(1)) for k in VIEWER)).then(
        col("to_us").cum_max().over(VIEWER).shift(1)
    )
    by_viewer = (
        played.sort(*VIEWER, "from_us")
        .with_columns(seen_us=seen)
        .with_columns(begin=pl.max_horizontal("from_us", "seen_us"))
        .group_by(VIEWER)
        .agg(u_us=pl.max_horizontal(col("to_us") - col("begin"), 0).sum())
    )
    joined, left = col("join_cnt") > 0, col("leave_cnt") > 0
    marks = {
        "d_join_first": first_of(rows, DEVICE, joined, ["first_us", *TRAITS], last=False),
        "u_join_first": first_of(rows, VIEWER, joined, ["first_us", "device_id", *TRAITS], last=False),
        "d_leave_last": first_of(rows, DEVICE, left, ["last_us", *TRAITS], last=True),
        "u_leave_last": first_of(rows, VIEWER, left, ["last_us", "device_id", *TRAITS], last=True),
    }
    for name, mark in marks.items():
        key = [*DEVICE, *TRAITS, "minute_no", "is_late"]
        rows = rows.join(mark.with_columns(pl.lit(1, pl.Int32).alias(name)), on=key, how="left", nulls_equal=True)
    rows = rows.join(by_device, on=DEVICE, how="left", nulls_equal=True)
    rows = rows.join(by_viewer, on=VIEWER, how="left", nulls_equal=True)
    facts = facts_of(source, spans, lives, participants)
    full = (
        rows.join(lives.drop("we_art_id", "comm_id"), on="post_id")
        .join(participants, on="post_id")
        .join(facts, on=["post_id", "wv_user_id", "we_art_id"], how="left")
    )
    kst = (col("minute_no") * 60_000_000 + KST_US).cast(pl.Datetime("us"))
    flags = ["is_first_wv_join", "is_first_comm_join", "is_comm_join", "is_comm_user", "is_fc"]
    return full.with_columns(
        run_timestamp=pl.lit(RUN_TIMESTAMP).cast(pl.Datetime("us", "UTC")),
        date_id=kst.dt.strftime("%Y-%m-%d"),
        hour=kst.dt.strftime("%H"),
        minute=kst.dt.minute().cast(pl.Int32),
        datetime=kst.dt.strftime("%Y-%m-%d %H:%M:00"),
        tmp_end_dt=col("tmp_end_us").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        is_join=joined.cast(pl.Int32),
        is_leave=left.cast(pl.Int32),
        u_sum_play_time=col("u_us").fill_null(0) // 1_000_000,
        d_sum_play_time=col("d_us").fill_null(0) // 1_000_000,
        **{name: col(name).fill_null(0).cast(pl.Int32) for name in [*marks, *flags]},
    ).select(COLUMNS)


def facts_of(source: object, spans: pl.LazyFrame, lives: pl.LazyFrame, participants: pl.LazyFrame) -> pl.LazyFrame:
    """Return what each user was to each participant's artist."""
    key = ["post_id", "wv_user_id", "we_art_id"]
    who = kept(
        spans.filter(col("wv_user_id").is_not_null())
        .select("post_id", "wv_user_id")
        .unique()
        .join(source("user_user"), on="wv_user_id", how="left")  # type: ignore[operator]
        .join(lives.select("post_id", "start_us", "tmp_end_us"), on="post_id")
        .join(participants.select("post_id", "we_art_id").unique(), on="post_id")
    )

    def inside(at: pl.Expr) -> pl.Expr:
        return at.is_between(col("start_us"), col("tmp_end_us"))

    joins, at = col("action") == "JOIN", us("updated_dt")
    community = (
        who.join(source("wv_comm_user_update"), on=["wv_user_id", "we_art_id"])  # type: ignore[operator]
        .group_by(key)
        .agg(
            first_us=at.filter(joins).min(),
            is_comm_join=(joins & inside(at)).any(),
            newest=(at * 2 + (~joins).cast(pl.Int64)).filter(at <= col("tmp_end_us")).max(),
        )
    )
    fan_club = (
        who.join(source("ws_fc_user_history"), on=["we_member_id", "we_art_id"])  # type: ignore[operator]
        .filter(
            col("ord_status") != "PAYMENT_FAILED",
            col("is_cx_by_restore") == 0,
            us("start_dt") <= col("tmp_end_us"),
            col("end_dt").is_null() | (us("end_dt") > col("start_us")),
        )
        .select(*key, is_fc=pl.lit(1))
        .unique()
    )
    return (
        who.join(community, on=key, how="left")
        .join(fan_club, on=key, how="left")
        .select(
            *key,
            "we_member_id",
            "is_comm_join",
            "is_fc",
            is_first_wv_join=inside(us("joined_dt")),
            is_first_comm_join=inside(col("first_us")),
            is_comm_user=col("newest") % 2 == 0,
        )
    )


def main() -> None:
    """Write the table."""
    table(Path(sys.argv[1])).sink_parquet(sys.argv[2], engine="streaming")


if __name__ == "__main__":
    main()
