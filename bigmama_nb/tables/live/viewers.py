"""From spans to what viewers did and were: rows of a minute, play time, first and last, facts of users.

Steps of `wv_live_play`; see `live_events` for the numbers and instants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bigmama_nb.tables.deferred import _, ibis
from bigmama_nb.tables.live.events import Packing, flag
from bigmama_nb.tables.live.time import SECOND, instant_us, whole

if TYPE_CHECKING:
    import ibis.expr.types as ir


def shared_minutes(all_spans: ir.Table, packing: Packing) -> ir.Table:
    """Return the minutes in which a device has several events: shared_device_no, shared_minute_no."""
    several = all_spans.filter(_.shares)
    return several.select(shared_device_no="device_no", shared_minute_no=packing.minute_no(several.row_key)).distinct()


def minute_rows(all_spans: ir.Table, shared: ir.Table, known_traits: ir.Table, packing: Packing) -> ir.Table:
    """Return the table's rows before participants.

    Most events are alone in their minute and are a row as they stand; only the others are grouped.

    Args:
        shared: `shared_minutes`.

    Returns:
        device_no, row_key; join_cnt and leave_cnt int32, play_us int64; first_join and last_leave: the row's, ranked
        by instant and traits, null where it has none.
    """
    placed = all_spans.mutate(minute_no=packing.minute_no(_.row_key))
    same = [("device_no", "shared_device_no"), ("minute_no", "shared_minute_no")]
    numbers: dict[str, Any] = {
        "join_cnt": ibis.ifelse(_.joins, _.counts, 0),
        "leave_cnt": ibis.ifelse(_.joins, 0, _.counts),
        "first_us": ibis.cases((_.joins, _.us)),
        "last_us": ibis.cases((~_.joins, _.us)),
    }
    alone = placed.anti_join(shared, same).select("device_no", "row_key", "play_us", **numbers)
    together = placed.semi_join(shared, same).select("device_no", "row_key", "play_us", **numbers)
    grouped = together.group_by("device_no", "row_key").agg(
        play_us=_.play_us.sum().cast("int64"),
        join_cnt=_.join_cnt.sum().cast("int32"),
        leave_cnt=_.leave_cnt.sum().cast("int32"),
        first_us=_.first_us.min(),
        last_us=_.last_us.max(),
    )
    rows = grouped.union(alone.cast(grouped.schema()), distinct=False).mutate(traits=packing.row_traits(_.row_key))
    ranks = known_traits.select("rank", rank_traits="traits")
    ranked = rows.join(ranks, [("traits", "rank_traits")])
    return ranked.select(
        "device_no",
        "row_key",
        "join_cnt",
        "leave_cnt",
        "play_us",
        first_join=packing.ranked(_.first_us, _.rank),
        last_leave=packing.ranked(_.last_us, _.traits),
    )


def device_sums(rows: ir.Table) -> ir.Table:
    """Return each device's first join, last leave and play time: device_no, d_first, d_last, d_us int64."""
    return rows.group_by("device_no").agg(
        d_first=_.first_join.min(),
        d_last=_.last_leave.max(),
        d_us=_.play_us.sum().cast("int64"),
    )


def shared_pieces(all_spans: ir.Table, shared: ir.Table, lives: ir.Table) -> ir.Table:
    """Return when each viewer of several devices played: time on two devices at once is there once.

    Returns:
        live_no, viewer_no; from_us and to_us, not overlapping within a viewer; seen_us: where the viewer's piece
        before ended, null for the first.
    """
    own = shared.select("viewer_no", shared_device_no="device_no")
    of_viewer = _playing(all_spans.join(own, [("device_no", "shared_device_no")]), lives)
    until_now = _.to_us.max().over(group_by="viewer_no", order_by=ibis.asc("from_us"), rows=(None, -1))
    covered = of_viewer.select("live_no", "viewer_no", "from_us", "to_us", seen_us=until_now)
    new = covered.mutate(from_us=ibis.greatest(_.from_us, ibis.coalesce(_.seen_us, _.from_us)))
    return new.filter(_.to_us > _.from_us)


def own_pieces(all_spans: ir.Table, shared: ir.Table, lives: ir.Table) -> ir.Table:
    """Return when each viewer of one device played, as `shared_pieces`: one device's spans do not overlap."""
    alone = all_spans.anti_join(shared, "device_no").mutate(viewer_no=_.device_no)
    before = _.to_us.lag().over(group_by="viewer_no", order_by=ibis.asc("from_us"))
    return _playing(alone, lives).select("live_no", "viewer_no", "from_us", "to_us", seen_us=before)


def _playing(some_spans: ir.Table, lives: ir.Table) -> ir.Table:
    start = lives.select("start_us", start_live_no="live_no")
    begun = some_spans.filter(_.play_us > 0).join(start, [("live_no", "start_live_no")])
    begun = begun.mutate(from_us=ibis.greatest(_.us, _.start_us))
    return begun.select("live_no", "viewer_no", "from_us", to_us=_.from_us + _.play_us)


def shared_sums(pieces: ir.Table) -> ir.Table:
    """Return the play time of viewers who used several devices: viewer_no, u_us int64; no row where it is 0."""
    return pieces.group_by("viewer_no").agg(u_us=(_.to_us - _.from_us).sum().cast("int64"))


def shared_firsts(shared: ir.Table, sums: ir.Table, packing: Packing) -> ir.Table:
    """Return which device of several holds the viewer's first join, and which the last leave.

    Ties go by device_id, in whose order device_no stands.

    Returns:
        device_no, holds_first boolean, holds_last boolean.
    """
    known = sums.join(shared.rename(shared_device_no="device_no"), [("device_no", "shared_device_no")])
    timed = known.select(
        "viewer_no", "device_no", first_us=packing.ranked_us(_.d_first), last_us=packing.ranked_us(_.d_last)
    )

    def leads(*order: Any) -> ir.BooleanValue:
        return ibis.row_number().over(group_by="viewer_no", order_by=list(order)) == 0

    return timed.select(
        "device_no",
        holds_first=leads(ibis.asc("first_us", nulls_first=False), ibis.asc("device_no")),
        holds_last=leads(ibis.desc("last_us", nulls_first=False), ibis.desc("device_no")),
    )


def users(all_devices: ir.Table, user: ir.Table, lives: ir.Table, base_us: int) -> ir.Table:
    """Return the users among the viewers; `user` holds usable rows only.

    Returns:
        viewer_no, live_no, wv_user_id, start_us, tmp_end_us; known boolean: the user stands in the source;
        we_member_id; is_first_wv_join int32.
    """
    leading = all_devices.filter(_.viewer_id.notnull() & ~_.after_own).select(
        "live_no", viewer_no="device_no", wv_user_id="viewer_id"
    )
    account = user.select(
        user_id="wv_user_id", we_member_id=_.we_member_id.cast("int64"), joined_us=instant_us(_.joined_dt, base_us)
    )
    window = lives.select("start_us", "tmp_end_us", window_live_no="live_no")
    known = account.join(leading, [("user_id", "wv_user_id")]).select(
        "viewer_no", "live_no", "we_member_id", "joined_us"
    )
    timed = known.join(window, [("live_no", "window_live_no")])
    return timed.select(
        "viewer_no",
        "live_no",
        "we_member_id",
        is_first_wv_join=flag(_.joined_us.between(_.start_us, _.tmp_end_us)),
    )


def windows_of_artists(everybody: ir.Table, lives: ir.Table) -> ir.Table:
    """Return each artist of each live with the live window: artist_live_no, artist_id, start_us, tmp_end_us."""
    artists = everybody.select(artist_live_no="live_no", artist_id="we_art_id").distinct()
    window = lives.select("start_us", "tmp_end_us", window_live_no="live_no")
    return artists.join(window, [("artist_live_no", "window_live_no")]).drop("window_live_no")


def community_facts(leading: ir.Table, updates: ir.Table, artists: ir.Table, base_us: int) -> ir.Table:
    """Return what the community's updates say of a user: `is_first_comm_join`, `is_comm_join`, `is_comm_user`.

    Args:
        leading: viewer_no, live_no, viewer_id of the users among the viewers.
        updates: usable rows of the source only.
        artists: `windows_of_artists`; updates of no artist in it are left out before users are looked for.

    Returns:
        viewer_no, we_art_id and the three flags, int32; no row where there is no update.
    """
    change = updates.select(
        user_id="wv_user_id",
        we_art_id=_.we_art_id.cast("int32"),
        at_us=instant_us(_.updated_dt, base_us),
        leaves=(_.action == "LEAVE").cast("int64"),
    )
    of_any = change.semi_join(artists, [("we_art_id", "artist_id")])
    of_viewers = of_any.join(leading, [("user_id", "viewer_id")])
    own = of_viewers.join(artists, [("live_no", "artist_live_no"), ("we_art_id", "artist_id")])
    joins = _.leaves == 0
    known = own.group_by("viewer_no", "we_art_id", "start_us", "tmp_end_us").agg(
        first_us=ibis.cases((joins, _.at_us)).min(),
        joined=flag(joins & _.at_us.between(_.start_us, _.tmp_end_us)).max(),
        # Of two at one instant the leave is the newer.
        newest=ibis.cases((_.at_us <= _.tmp_end_us, _.at_us * 2 + _.leaves)).max(),
    )
    return known.select(
        "viewer_no",
        "we_art_id",
        is_first_comm_join=flag(_.first_us.between(_.start_us, _.tmp_end_us)),
        is_comm_join=_.joined.cast("int32"),
        is_comm_user=flag(_.newest % 2 == 0),
        is_fc=ibis.literal(0, "int32"),
    )


def fan_club_facts(members: ir.Table, orders: ir.Table, artists: ir.Table, base_us: int) -> ir.Table:
    """Return who holds a membership that overlaps the live window (rule 5, `is_fc`).

    Args:
        members: viewer_no, live_no, we_member_id, not null.
        orders: usable rows of the source only.
        artists: `windows_of_artists`.

    Returns:
        the columns of `community_facts`, one row for each that overlaps.
    """
    paid = orders.filter(_.ord_status != "PAYMENT_FAILED", _.is_cx_by_restore == 0).select(
        member_id=_.we_member_id.cast("int64"),
        we_art_id=_.we_art_id.cast("int32"),
        fc_start_us=instant_us(_.start_dt, base_us),
        fc_end_us=instant_us(_.end_dt, base_us),
    )
    of_any = paid.semi_join(artists, [("we_art_id", "artist_id")])
    of_members = of_any.join(members, [("member_id", "we_member_id")])
    held = of_members.join(artists, [("live_no", "artist_live_no"), ("we_art_id", "artist_id")])
    overlaps = held.filter(
        _.fc_start_us <= _.tmp_end_us, (_.fc_end_us.isnull() | (_.fc_end_us > _.start_us)).fill_null(False)
    )
    zero = ibis.literal(0, "int32")
    return overlaps.select(
        "viewer_no",
        "we_art_id",
        is_first_comm_join=zero,
        is_comm_join=zero,
        is_comm_user=zero,
        is_fc=ibis.literal(1, "int32"),
    )


def facts(community: ir.Table, fan_club: ir.Table) -> ir.Table:
    """Return viewer_no, we_art_id and the four flags; no row where all would be 0 for want of a source row."""
    return (
        community.union(fan_club, distinct=False)
        .group_by("viewer_no", "we_art_id")
        .agg(
            is_first_comm_join=_.is_first_comm_join.max(),
            is_comm_join=_.is_comm_join.max(),
            is_comm_user=_.is_comm_user.max(),
            is_fc=_.is_fc.max(),
        )
    )


def described_devices(
    sums: ir.Table, shared: ir.Table, firsts: ir.Table, played: ir.Table, known_users: ir.Table
) -> ir.Table:
    """Return one row for each device with all numbers that are the device's or its viewer's.

    Returns:
        device_no, viewer_no, live_no, several (the viewer has other devices too), leads (this is the first of them),
        we_member_id, is_first_wv_join, d_first, d_last, holds_first, holds_last, d_sum_play_time, u_sum_play_time.
    """
    own = shared.select("viewer_no", shared_device_no="device_no")
    device = sums.left_join(own, [("device_no", "shared_device_no")])
    device = device.mutate(several=_.viewer_no.notnull(), viewer_no=ibis.coalesce(_.viewer_no, _.device_no))
    device = device.left_join(firsts.rename(firsts_device_no="device_no"), [("device_no", "firsts_device_no")])
    device = device.left_join(played.rename(played_viewer_no="viewer_no"), [("viewer_no", "played_viewer_no")])
    account = known_users.select("we_member_id", "is_first_wv_join", user_viewer_no="viewer_no")
    device = device.left_join(account, [("viewer_no", "user_viewer_no")])
    u_us = ibis.ifelse(_.several, ibis.coalesce(_.u_us, 0), _.d_us)
    return device.select(
        "device_no",
        "viewer_no",
        "several",
        "we_member_id",
        "d_first",
        "d_last",
        live_no=(_.device_no >> 32).cast("int32"),
        leads=_.viewer_no == _.device_no,
        is_first_wv_join=ibis.coalesce(_.is_first_wv_join, 0),
        holds_first=ibis.coalesce(_.holds_first, True),
        holds_last=ibis.coalesce(_.holds_last, True),
        d_sum_play_time=whole(_.d_us, SECOND),
        u_sum_play_time=whole(u_us, SECOND),
    )


def named(described: ir.Table, names: ir.Table) -> ir.Table:
    """Return `described_devices` with the viewer_id and device_id of `names`: ids of dozens of bytes come last."""
    own = names.select("viewer_id", "device_id", named_device_no="device_no")
    return described.join(own, [("device_no", "named_device_no")]).drop("named_device_no")
