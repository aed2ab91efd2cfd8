"""From the log to what each device did in a live.

The steps read beside docs/spec/wv_live_play.md, "Which rows count" and "Play time".

Instants are int64 microseconds since the build's `Packing.base_us`, never before it. A live is a number, `live_no`, in
the order of `post_id`; a device in a live is `device_no`, in the order of live, viewer's hash, viewer and device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.sources import JOIN_URL, LEAVE_URL, LIVE, SERVER_LOG, usable
from bigmama_nb.tables.live.time import (
    DAY,
    DAY_ONE,
    MINUTE,
    instant_us,
    kst_text_us,
    whole,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

PACKED_BITS = 62
"""What an instant and the traits may take of a packed event, beside its sign and whether it is a join."""

NEAR_DAYS = 400
"""Times that far from the day, before or after, are looked for in the log by their text alone."""

SLICES = 256
"""Viewers stand in the tables by a hash, whose first bits are the slice: buckets of slices may be built one by one."""

DEVICE_ORDER = ("viewer_hash", "viewer_id", "device_id")
"""The order of a live's devices."""


def flag(condition: ir.BooleanValue) -> ir.IntegerValue:
    """Return 1 or 0, and 0 for null."""
    return condition.fill_null(False).cast("int32")


@dataclass(frozen=True)
class Packing:
    """How one event is held in a device's list, so that sorting the list puts the events in order.

    An event orders by instant, leaves before joins, then traits. Packed, it is one int64: less memory, and it sorts
    as a number. Where a time lies too far from the day, or traits are too many, it is a struct.
    """

    base_us: int
    traits_bits: int
    packed: bool

    @classmethod
    def of(cls, first_us: int, last_us: int, traits: int) -> Packing:
        """Return the packing for events from `first_us`, a midnight, through `last_us`, of so many traits."""
        bits = max(traits - 1, 1).bit_length()
        if (last_us - first_us).bit_length() + bits <= PACKED_BITS:
            return cls(first_us, bits, True)
        return cls(DAY_ONE, bits, False)

    def event(self, us: ir.IntegerValue, joins: ir.BooleanValue, traits: ir.IntegerValue) -> Any:
        """Return the event as it stands in a list."""
        joins = joins.cast("int64")
        if self.packed:
            return (us * 2 + joins) * (1 << self.traits_bits) + traits
        return ibis.struct({"us": us, "joins": joins, "traits": traits.cast("int64")})

    def us(self, event: Any) -> ir.IntegerValue:
        """Return the event's instant."""
        return event >> (self.traits_bits + 1) if self.packed else event["us"]

    def joins(self, event: Any) -> ir.BooleanValue:
        """Return whether the event is a join."""
        return ((event >> self.traits_bits) & 1 if self.packed else event["joins"]) == 1

    def traits(self, event: Any) -> ir.IntegerValue:
        """Return the event's number of traits."""
        return event & ((1 << self.traits_bits) - 1) if self.packed else event["traits"]

    def row_key(self, minute_no: ir.IntegerValue, late: ir.BooleanValue, traits: ir.IntegerValue) -> ir.IntegerValue:
        """Return what tells a device's rows apart, in their order: minute, lateness, traits."""
        return (minute_no * 2 + flag(late).cast("int64")) * (1 << self.traits_bits) + traits

    def is_late(self, row_key: Any) -> Any:
        """Return the lateness in a row key, 0 or 1, also of numpy's."""
        return (row_key >> self.traits_bits) & 1

    def minute_no(self, row_key: Any) -> Any:
        """Return the minute in a row key, also of numpy's."""
        return row_key >> (self.traits_bits + 1)

    def row_traits(self, row_key: Any) -> Any:
        """Return the traits in a row key, also of numpy's."""
        return row_key & ((1 << self.traits_bits) - 1)

    def ranked(self, us: ir.IntegerValue, rank: ir.IntegerValue) -> Any:
        """Return a value that orders by instant and then by rank; null where the instant is."""
        if self.packed:
            return us * (1 << self.traits_bits) + rank
        return ibis.cases((us.notnull(), ibis.struct({"us": us, "rank": rank.cast("int64")})))

    def ranked_us(self, value: Any) -> ir.IntegerValue:
        """Return the instant of a ranked value."""
        return value >> self.traits_bits if self.packed else value["us"]


def near_us(day_start_us: int) -> tuple[int, int]:
    """Return the first midnight and the last instant that are near to a day, microseconds since 1970."""
    return day_start_us - NEAR_DAYS * DAY, day_start_us + NEAR_DAYS * DAY - 1


def counted_lives(wv_live: ir.Table, day_start_us: int, base_us: int) -> ir.Table:
    """Return the lives of rule 1, numbered.

    Returns:
        live_no int32, post_id, video_id, we_art_id, comm_id, is_fc_only, start_dt, end_dt as in the source;
        start_us and end_us int64.
    """
    starts = instant_us(wv_live.start_dt)
    lives = wv_live.filter(
        usable(LIVE, wv_live),
        wv_live.is_from_vlive == 0,
        wv_live.status != "CANCELED",
        starts >= day_start_us,
        starts < day_start_us + DAY,
    )
    return lives.select(
        live_no=ibis.row_number().over(order_by=ibis.asc("post_id")).cast("int32"),
        post_id=_.post_id,
        video_id=_.video_id,
        we_art_id=_.we_art_id.cast("int32"),
        comm_id=_.comm_id.cast("int32"),
        is_fc_only=ibis.coalesce(_.is_fc_only, 0).cast("int32"),
        start_dt=_.start_dt.cast("timestamp('UTC')"),
        end_dt=_.end_dt.cast("timestamp('UTC')"),
        start_us=instant_us(_.start_dt, base_us),
        end_us=instant_us(_.end_dt, base_us),
    )


def participants(lives: ir.Table, joint: ir.Table) -> ir.Table:
    """Return the host and the guests of each live ("Rows"); `joint` holds usable rows only.

    Returns:
        live_no, we_art_id, comm_id, guest_joint_seq, is_joint_live, all int32; one row a participant.
    """
    host = lives.select("live_no", "we_art_id", "comm_id", guest_joint_seq=ibis.literal(0, "int32"))
    came = joint.join(lives.select("post_id", "live_no"), "post_id").select(
        live_no=_.live_no,
        we_art_id=_.we_art_id.cast("int32"),
        comm_id=_.comm_id.cast("int32"),
        joined_us=instant_us(_.joined_dt),
    )
    guests = (
        came.anti_join(host, ["live_no", "we_art_id", "comm_id"])
        .group_by("live_no", "we_art_id", "comm_id")
        .agg(first_us=_.joined_us.min())
    )
    nth = ibis.row_number().over(
        group_by="live_no", order_by=[ibis.asc("first_us"), ibis.asc("we_art_id"), ibis.asc("comm_id")]
    )
    everybody = host.union(
        guests.select("live_no", "we_art_id", "comm_id", guest_joint_seq=(nth + 1).cast("int32")), distinct=False
    )
    return everybody.mutate(is_joint_live=flag(_.guest_joint_seq.max().over(group_by="live_no") > 0))


def joins_and_leaves(log: ir.Table) -> ir.Table:
    """Return the log's joins and leaves (rule 2); `log` holds the dates that are read."""
    return log.filter(log.url.isin([JOIN_URL, LEAVE_URL]))


def survey(log: ir.Table, near: tuple[str, str]) -> ir.Table:
    """Return what was delivered for each live.

    Returns:
        post_id, url, platform, os, ctry_code; delivered int64 rows; rejected int64 of them that cannot be used;
        far int64 of the others whose datetime lies outside `near`, two texts.
    """
    rows = joins_and_leaves(log)
    judged = rows.mutate(good=usable(SERVER_LOG, rows), ctry_code=rows.gcc)
    return judged.group_by("post_id", "url", "platform", "os", "ctry_code").agg(
        delivered=_.count(),
        rejected=(~_.good).cast("int64").sum(),
        far=(_.good & outside(judged, near)).cast("int64").sum(),
    )


def outside(rows: ir.Table, near: tuple[str, str]) -> ir.BooleanValue:
    """Return whether a row's datetime lies outside two texts; a text orders as its time."""
    return ((rows.datetime < near[0]) | (rows.datetime > near[1])).fill_null(False)


def far_times(rows: ir.Table, near: tuple[str, str]) -> ir.Table:
    """Return the first and the last instant of usable rows outside `near`: first_us, last_us, since 1970."""
    far = rows.filter(outside(rows, near))
    return far.agg(first_us=kst_text_us(far.datetime).min(), last_us=kst_text_us(far.datetime).max())


def of_lives(log: ir.Table, posts: Sequence[str], *, rejects: bool) -> ir.Table:
    """Return the usable joins and leaves of the lives in `posts`; `rejects` says whether there are any to leave out.

    The lives are a literal list: as a join they would make some engines build on the log.
    """
    rows = joins_and_leaves(log).filter(_.post_id.isin(list(posts)))
    return rows.filter(usable(SERVER_LOG, rows)) if rejects else rows


def late_facts(rows: ir.Table, base_us: int) -> ir.Table:
    """Return what only the log knows of lives without an end or a video.

    Returns:
        post_id, last_us int64 (the live's last event), log_video_id (the smallest that any copy carries).
    """
    return rows.group_by("post_id").agg(
        last_us=kst_text_us(_.datetime, base_us).max(),
        log_video_id=_.video_id.min(),
    )


def timed_lives(lives: ir.Table, facts: ir.Table | None) -> ir.Table:
    """Return the lives with `tmp_end_us`, and the log's `video_id` where they have none ("Times of a live")."""
    if facts is None:
        return lives.mutate(tmp_end_us=ibis.greatest(ibis.coalesce(_.end_us, _.start_us), _.start_us))
    known = lives.left_join(facts.rename(facts_post_id="post_id"), [("post_id", "facts_post_id")])
    known = known.mutate(
        video_id=ibis.coalesce(_.video_id, _.log_video_id),
        tmp_end_us=ibis.greatest(ibis.coalesce(_.end_us, _.last_us, _.start_us), _.start_us),
    )
    return known.drop("facts_post_id", "last_us", "log_video_id")


def traits(surveyed: ir.Table) -> ir.Table:
    """Number what an event's platform, os and country may be; `surveyed` holds the `survey` of the counted lives.

    Returns:
        platform, os, ctry_code; traits int32, in their order with nulls first, so that the largest is what a last
        leave's tie asks for; rank int32, in their order with nulls last, so that the smallest is a first join's.
    """
    distinct = surveyed.filter(_.delivered > _.rejected).select("platform", "os", "ctry_code").distinct()
    columns = ("platform", "os", "ctry_code")
    nulls_first = [ibis.asc(column, nulls_first=True) for column in columns]
    nulls_last = [ibis.asc(column, nulls_first=False) for column in columns]
    return distinct.mutate(
        traits=ibis.row_number().over(order_by=nulls_first).cast("int32"),
        rank=ibis.row_number().over(order_by=nulls_last).cast("int32"),
    )


def viewer_hash(viewer_id: ir.StringValue, device_id: ir.StringValue) -> ir.IntegerValue:
    """Return an int64 for the viewer, the engine's hash; a guest is the device."""
    return ibis.coalesce(viewer_id, device_id).hash()


def viewer_slice(hashed: ir.IntegerValue) -> ir.IntegerValue:
    """Return the slice of a `viewer_hash`, 0 to 255, which rises with it."""
    return ((hashed >> 56) + SLICES // 2).cast("int32")


def events(rows: ir.Table, lives: ir.Table, known_traits: ir.Table, packing: Packing) -> ir.Table:
    """Return one row for each usable row of the log, duplicates included.

    Returns:
        live_no int32, viewer_id string (null for a guest), device_id string, event as packed.
    """
    # By name in both operands: the traits' joins are null-safe, since a null is a value of its own.
    trait = known_traits.select("traits", t_platform="platform", t_os="os", t_ctry_code="ctry_code")
    joined = rows.join(
        trait,
        [
            rows.platform.identical_to(trait.t_platform),
            rows.os.identical_to(trait.t_os),
            rows.gcc.identical_to(trait.t_ctry_code),
        ],
    ).join(lives.select("live_no", live_post_id="post_id"), [("post_id", "live_post_id")])
    return joined.select(
        live_no=_.live_no,
        viewer_id=_.user_id_fill.nullif(""),
        device_id=_.device_id,
        event=packing.event(kst_text_us(_.datetime, packing.base_us), _.url == JOIN_URL, _.traits),
    )


def devices(all_events: ir.Table) -> ir.Table:
    """Fold the events to one row for each device of a viewer in a live, its events a sorted list.

    Returns:
        live_no, viewer_id, device_id, events.
    """
    # No event is null, and to leave out those that are would cost as much as half of sorting them.
    folded = all_events.group_by("live_no", "viewer_id", "device_id").agg(events=_.event.collect(include_null=True))
    return folded.mutate(events=_.events.sort())


def ordered(folded: ir.Table) -> ir.Table:
    """Return the devices with viewer_hash and slice, for `Engine.numbered`: a number first sorts faster than ids do."""
    hashed = folded.mutate(viewer_hash=viewer_hash(folded.viewer_id, folded.device_id))
    return hashed.mutate(slice=viewer_slice(hashed.viewer_hash))


def numbered(placed: ir.Table) -> ir.Table:
    """Return the devices with their number; `placed` holds `ordered` as `Engine.numbered` returns it.

    Returns:
        live_no, viewer_id, device_id, events; device_no int64 (live_no x 2^32 + its place); after_own and before_own
        boolean: the device before, or after, is the same user's.
    """
    return placed.select(
        "live_no",
        "viewer_id",
        "device_id",
        "events",
        "after_own",
        "before_own",
        device_no=_.live_no.cast("int64") * (1 << 32) + _.place,
    )


def shared_viewers(all_devices: ir.Table, piece: Any) -> ir.Table:
    """Return the devices of viewers who used several: device_no, viewer_no int64 (the viewer's first device).

    Args:
        piece: a deferred value that all devices of a viewer have in common; each piece is worked on by itself.
    """
    several = all_devices.filter(_.after_own | _.before_own).mutate(
        opens=ibis.cases((~_.after_own, _.device_no)).cast("int64")
    )
    return several.select(
        "device_no",
        viewer_no=_.opens.max().over(group_by=piece, order_by=ibis.asc("device_no"), rows=(None, 0)),
    )


def spans(pairs: ir.Table, lives: ir.Table, packing: Packing) -> ir.Table:
    """Return the events with the time that each opens, clipped to the live window ("Play time").

    Args:
        pairs: live_no, device_no, event and next_event, the same device's next in order or null.

    Returns:
        live_no, device_no, us, joins; row_key: minute, lateness and traits as packed; counts int32: 0 for a delivery
        that is followed by its like, else 1; play_us int64: how long the device plays, from `us` or the live's start,
        whatever is later; shares boolean: the device's next event is of the same minute.
    """
    window = lives.select("start_us", "end_us", "tmp_end_us", window_live_no="live_no")
    timed = pairs.join(window, [("live_no", "window_live_no")])
    timed = timed.mutate(us=packing.us(_.event), joins=packing.joins(_.event), next_us=packing.us(_.next_event))
    until = ibis.least(ibis.coalesce(_.next_us, _.tmp_end_us), _.tmp_end_us)
    timed = timed.mutate(play_us=ibis.ifelse(_.joins, ibis.greatest(until - ibis.greatest(_.us, _.start_us), 0), 0))
    timed = timed.mutate(minute_no=whole(_.us, MINUTE))
    return timed.select(
        "live_no",
        "device_no",
        "us",
        "joins",
        "play_us",
        row_key=packing.row_key(_.minute_no, _.us >= _.end_us, packing.traits(_.event)),
        counts=ibis.ifelse((_.event == _.next_event).fill_null(False), 0, 1),
        shares=(_.next_us < (_.minute_no + 1) * MINUTE).fill_null(False),
    )
