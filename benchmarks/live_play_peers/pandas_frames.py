"""Hand-written pandas: everything in memory, strings as codes in their order, sorts and group-bys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.live_play_peers import COLUMNS, DAY_START_US, DAY_US, JOIN, KST_US, LEAVE, RUN_TIMESTAMP, log_files

TRAITS = ["platform", "os", "ctry_code"]
DEVICE = ["live_no", "user", "device"]
VIEWER = ["live_no", "user", "guest"]
FAR = 1 << 62


def us(values: pa.ChunkedArray) -> Any:
    """Return timestamps as microseconds, FAR for null."""
    return pc.fill_null(values.cast(pa.int64()), FAR).to_numpy()


def codes(values: pa.ChunkedArray) -> tuple[Any, Any]:
    """Return strings as numbers in their order, -1 for null, and the strings."""
    encoded = values.combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return np.where(places < 0, -1, rank[places] if len(rank) else -1), encoded.dictionary.take(pa.array(order))


def changes(frame: pd.DataFrame, keys: list[str]) -> Any:
    """Return where a sorted frame's key is another than in the row before."""
    changed = np.ones(len(frame), bool)
    if len(frame):
        changed[1:] = np.logical_or.reduce([frame[k].to_numpy()[1:] != frame[k].to_numpy()[:-1] for k in keys])
    return changed


def marked(rows: pd.DataFrame, keys: list[str], counted: str, at: str, ties: list[str], *, last: bool) -> Any:
    """Return 1 on the row of each key that comes first, or last; nulls last."""
    own = rows.loc[rows[counted] > 0, [*keys, at, *ties]]
    if not last:
        own = own.assign(**{name: own[name].where(own[name] >= 0, FAR) for name in ties})
    extra = [at, *[name for name in ties if name not in keys]]
    own = own.sort_values([*keys, *extra], ascending=[True] * len(keys) + [not last] * len(extra))
    marks = np.zeros(len(rows), np.int32)
    marks[own.index[changes(own, keys)]] = 1
    return marks


def table(sources: Path) -> pa.Table:
    """Return the table."""

    def source(name: str) -> pa.Table:
        return pq.read_table(sources / name)

    every = source("wv_live")
    start = us(every["start_dt"])
    counted = (every["is_from_vlive"].to_numpy() == 0) & (every["status"].to_numpy() != "CANCELED")
    lives = every.filter(pa.array(counted & (start >= DAY_START_US) & (start < DAY_START_US + DAY_US)))
    start_us, end_us = us(lives["start_dt"]), us(lives["end_dt"])
    log = ds.dataset(log_files(sources)).to_table(
        filter=ds.field("url").isin([JOIN, LEAVE]) & ds.field("post_id").isin(lives["post_id"].combine_chunks())
    )
    named: dict[str, Any] = {}
    columns: dict[str, Any] = {"live_no": pc.index_in(log["post_id"], lives["post_id"]).to_numpy()}
    user_id = pc.if_else(pc.equal(log["user_id_fill"], ""), None, log["user_id_fill"])
    for name, values in (
        ("user", user_id),
        ("device", log["device_id"]),
        ("platform", log["platform"]),
        ("os", log["os"]),
        ("ctry_code", log["gcc"]),
        ("video", log["video_id"]),
    ):
        columns[name], named[name] = codes(values)
    columns["joins"] = (log["url"].to_numpy() == JOIN).astype(np.int64)
    columns["us"] = log["datetime"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() - KST_US
    events = pd.DataFrame(columns)
    del log, columns, user_id
    logged = events.groupby("live_no").us.max().reindex(range(len(start_us))).fillna(0).to_numpy().astype(np.int64)
    tmp_end_us = np.maximum(np.where(end_us == FAR, logged, end_us), start_us)
    video = events[events.video >= 0].groupby("live_no").video.min().reindex(range(len(start_us)))
    video_id = pc.coalesce(
        lives["video_id"], named["video"].take(pa.array(video.to_numpy(), from_pandas=True).cast(pa.int64()))
    )
    events = events.drop(columns="video").sort_values([*DEVICE, "us", "joins", *TRAITS])
    events = events[changes(events, [*DEVICE, "us", "joins", *TRAITS])].reset_index(drop=True)
    live = events.live_no.to_numpy()
    next_us = np.append(np.where(changes(events, DEVICE)[1:], FAR, events.us.to_numpy()[1:]), FAR)
    events["guest"] = np.where(events.user < 0, events.device, -1)
    events["from_us"] = np.maximum(events.us, start_us[live])
    events["to_us"] = np.where(events.joins == 1, np.minimum(next_us, tmp_end_us[live]), 0)
    events["d_us"] = np.maximum(events.to_us - events.from_us, 0)
    events["is_late"] = (events.us >= end_us[live]).astype(np.int32)
    events["minute_no"] = events.us // 60_000_000
    events["leaves"] = 1 - events.joins
    events["first_us"] = np.where(events.joins == 1, events.us, FAR)
    events["last_us"] = np.where(events.joins == 0, events.us, -FAR)
    rows = events.groupby([*DEVICE, "guest", *TRAITS, "minute_no", "is_late"], sort=False, as_index=False).agg(
        join_cnt=("joins", "sum"), leave_cnt=("leaves", "sum"), first_us=("first_us", "min"), last_us=("last_us", "max")
    )
    rows["d_join_first"] = marked(rows, DEVICE, "join_cnt", "first_us", TRAITS, last=False)
    rows["u_join_first"] = marked(rows, VIEWER, "join_cnt", "first_us", ["device", *TRAITS], last=False)
    rows["d_leave_last"] = marked(rows, DEVICE, "leave_cnt", "last_us", TRAITS, last=True)
    rows["u_leave_last"] = marked(rows, VIEWER, "leave_cnt", "last_us", ["device", *TRAITS], last=True)
    played = events.loc[events.d_us > 0, [*DEVICE, "guest", "from_us", "to_us", "d_us"]]
    rows = rows.merge(played.groupby(DEVICE, as_index=False).d_us.sum(), on=DEVICE, how="left")
    played = played.sort_values([*VIEWER, "from_us"])
    seen = played.groupby(VIEWER).to_us.cummax().shift(fill_value=0).to_numpy()
    begin = np.maximum(played.from_us, np.where(changes(played, VIEWER), 0, seen))
    played["u_us"] = np.maximum(played.to_us - begin, 0)
    rows = rows.merge(played.groupby(VIEWER, as_index=False).u_us.sum(), on=VIEWER, how="left")
    people = participants(source("wv_live_joint_history"), lives)
    viewers = rows.loc[rows.user >= 0, ["live_no", "user"]].drop_duplicates()
    facts = facts_of(source, viewers, people, named["user"], start_us, tmp_end_us)
    full = rows.merge(people, on="live_no").merge(facts, on=["live_no", "user", "we_art_id"], how="left")
    return written(full, named, lives.set_column(1, "video_id", video_id), tmp_end_us)


def participants(joint: pa.Table, lives: pa.Table) -> pd.DataFrame:
    """Return the hosts and guests of each live."""
    host = lives.select(["post_id", "we_art_id", "comm_id"]).to_pandas()
    host["live_no"] = np.arange(len(host))
    came = joint.to_pandas().merge(host[["post_id", "live_no"]], on="post_id")
    key = ["live_no", "we_art_id", "comm_id"]
    came = came.groupby(key, as_index=False).joined_dt.min()
    came = came.merge(host[key], on=key, how="left", indicator=True).query("_merge == 'left_only'")
    came = came.sort_values(["live_no", "joined_dt", "we_art_id", "comm_id"])
    came["guest_joint_seq"] = came.groupby("live_no").cumcount() + 1
    people = pd.concat([host[key].assign(guest_joint_seq=0), came[[*key, "guest_joint_seq"]]])
    people["is_joint_live"] = (people.groupby("live_no").guest_joint_seq.transform("max") > 0).astype(np.int32)
    return people


def facts_of(
    source: Any, viewers: pd.DataFrame, people: pd.DataFrame, users: pa.Array, start_us: Any, tmp_end_us: Any
) -> pd.DataFrame:
    """Return what each user was to each participant's artist."""

    def known(name: str) -> pa.Table:
        found = source(name)
        user = pc.index_in(found["wv_user_id"], users)
        return found.append_column("user", user).filter(pc.is_valid(user))

    user = known("user_user")
    account = pd.DataFrame(
        {
            "user": user["user"].to_numpy(),
            "member": pc.fill_null(user["we_member_id"], -1).to_numpy(),
            "joined_us": us(user["joined_dt"]),
        }
    )
    who = viewers.merge(account, on="user", how="left")
    who = who.merge(people[["live_no", "we_art_id"]].drop_duplicates(), on="live_no")
    who["start_us"], who["tmp_end_us"] = start_us[who.live_no], tmp_end_us[who.live_no]
    who["member"] = who.member.fillna(-1).astype(np.int64)
    key = ["live_no", "user", "we_art_id"]
    update = known("wv_comm_user_update")
    changed = pd.DataFrame(
        {
            "user": update["user"].to_numpy(),
            "we_art_id": update["we_art_id"].to_numpy(),
            "leaves": (update["action"].to_numpy() == "LEAVE").astype(np.int64),
            "at": us(update["updated_dt"]),
        }
    )
    own = who.merge(changed, on=["user", "we_art_id"])
    own["first_us"] = np.where(own.leaves == 0, own["at"], FAR)
    own["is_comm_join"] = ((own.leaves == 0) & own["at"].between(own.start_us, own.tmp_end_us)).astype(np.int32)
    own["newest"] = np.where(own["at"] <= own.tmp_end_us, own["at"] * 2 + own.leaves, 1)
    own = own.groupby(key, as_index=False).agg(
        first_us=("first_us", "min"), is_comm_join=("is_comm_join", "max"), newest=("newest", "max")
    )
    order = source("ws_fc_user_history")
    paid = pc.and_(pc.not_equal(order["ord_status"], "PAYMENT_FAILED"), pc.equal(order["is_cx_by_restore"], 0))
    order = order.filter(paid)
    held = pd.DataFrame(
        {
            "member": order["we_member_id"].to_numpy(),
            "we_art_id": order["we_art_id"].to_numpy(),
            "fc_start": us(order["start_dt"]),
            "fc_end": us(order["end_dt"]),
        }
    )
    held = who[who.member >= 0].merge(held, on=["member", "we_art_id"])
    held = held.loc[(held.fc_start <= held.tmp_end_us) & (held.fc_end > held.start_us), key].drop_duplicates()
    who = who.merge(own, on=key, how="left").merge(held.assign(is_fc=1), on=key, how="left")
    who["is_first_wv_join"] = who.joined_us.between(who.start_us, who.tmp_end_us)
    who["is_first_comm_join"] = who.first_us.between(who.start_us, who.tmp_end_us)
    who["is_comm_user"] = who.newest.fillna(1).astype(np.int64) % 2 == 0
    return who.drop(columns=["joined_us", "start_us", "tmp_end_us", "first_us", "newest"])


def written(full: pd.DataFrame, named: dict[str, Any], lives: pa.Table, tmp_end_us: Any) -> pa.Table:
    """Return the rows with their strings."""
    of_live = lives.take(pa.array(full.live_no))
    minutes, place = np.unique(full.minute_no.to_numpy(), return_inverse=True)
    kst = pd.Series(pd.to_datetime(minutes * 60_000_000 + KST_US, unit="us"))
    stamp = pa.timestamp("us", "UTC")

    def named_as(name: str) -> pa.Array:
        number = full[name].to_numpy()
        return named[name].take(pa.array(number, mask=number < 0))

    def of_minute(form: str) -> pa.Array:
        return pa.array(kst.dt.strftime(form), pa.string()).take(pa.array(place))

    member = full.member.fillna(-1).to_numpy().astype(np.int64)
    made = {
        "run_timestamp": pa.repeat(pa.scalar(RUN_TIMESTAMP, stamp), len(full)),
        "date_id": of_minute("%Y-%m-%d"),
        "hour": of_minute("%H"),
        "minute": of_minute("%M").cast(pa.int32()),
        "datetime": of_minute("%Y-%m-%d %H:%M:00"),
        "we_member_id": pa.array(member, mask=member < 0),
        "wv_user_id": named_as("user"),
        "device_id": named_as("device"),
        **{name: named_as(name) for name in TRAITS},
        **{name: of_live[name] for name in ("post_id", "video_id", "start_dt", "end_dt")},
        "tmp_end_dt": pa.array(tmp_end_us[full.live_no]).cast(stamp),
        "is_fc_only": pc.fill_null(of_live["is_fc_only"], 0),
        "is_join": pa.array((full.join_cnt > 0).astype(np.int32)),
        "is_leave": pa.array((full.leave_cnt > 0).astype(np.int32)),
        "u_sum_play_time": pa.array(full.u_us.fillna(0).astype(np.int64) // 1_000_000),
        "d_sum_play_time": pa.array(full.d_us.fillna(0).astype(np.int64) // 1_000_000),
        "join_cnt": pa.array(full.join_cnt),
        "leave_cnt": pa.array(full.leave_cnt),
    }
    for name in COLUMNS:
        if name not in made:
            made[name] = pa.array(full[name].fillna(0).astype(np.int32))
    return pa.table({name: made[name] for name in COLUMNS})


def main() -> None:
    """Write the table."""
    pq.write_table(table(Path(sys.argv[1])), sys.argv[2])


if __name__ == "__main__":
    main()
