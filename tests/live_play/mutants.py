"""Every rule of the tables broken once: what the tests must not let pass.

A mutant is one piece of source replaced. Comparison with the oracle must see it, built in some `buckets`; or, where a
rule is about an edge of its own, the test of that name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGES = (
    "bigmama_nb.engines.duckdb",
    "bigmama_nb.tables",
    "bigmama_nb.live_play",
    "tests.live_play.equality",
    "tests.live_play.warehouse",
    "tests.live_play.small",
    "tests.live_play.test_refusals",
)


@dataclass(frozen=True)
class Mutant:
    """`old` in `module` became `new`, which breaks `rule`."""

    rule: str
    module: str
    old: str
    new: str
    buckets: int = 1
    test: str = ""


MUTANTS = (
    Mutant("lives of VLIVE do not count", "bigmama_nb.tables.live.events", "wv_live.is_from_vlive == 0,", ""),
    Mutant("canceled lives do not count", "bigmama_nb.tables.live.events", 'wv_live.status != "CANCELED",', ""),
    Mutant(
        "a day begins at its first instant",
        "bigmama_nb.tables.live.events",
        "starts >= day_start_us",
        "starts > day_start_us",
    ),
    Mutant(
        "a day ends before the next",
        "bigmama_nb.tables.live.events",
        "starts < day_start_us + DAY",
        "starts <= day_start_us + DAY",
    ),
    Mutant(
        "is_fc_only is never null", "bigmama_nb.tables.live.events", "ibis.coalesce(_.is_fc_only, 0)", "_.is_fc_only"
    ),
    Mutant(
        "a guest is any pair but the host's",
        "bigmama_nb.tables.live.events",
        '.anti_join(host, ["live_no", "we_art_id", "comm_id"])',
        "",
    ),
    Mutant(
        "a guest may be of the host's artist",
        "bigmama_nb.tables.live.events",
        '.anti_join(host, ["live_no", "we_art_id", "comm_id"])',
        '.anti_join(host, ["live_no", "we_art_id"])',
    ),
    Mutant(
        "guests come in the order of their first joined_dt",
        "bigmama_nb.tables.live.events",
        "first_us=_.joined_us.min()",
        "first_us=_.joined_us.max()",
    ),
    Mutant(
        "guests of one instant come by artist",
        "bigmama_nb.tables.live.events",
        'ibis.asc("first_us"), ibis.asc("we_art_id")',
        'ibis.asc("first_us"), ibis.desc("we_art_id")',
    ),
    Mutant(
        "guests of one artist come by community",
        "bigmama_nb.tables.live.events",
        'ibis.asc("we_art_id"), ibis.asc("comm_id")]',
        'ibis.asc("we_art_id"), ibis.desc("comm_id")]',
    ),
    Mutant(
        "a leave is an event",
        "bigmama_nb.tables.live.events",
        "log.url.isin([JOIN_URL, LEAVE_URL])",
        "log.url.isin([JOIN_URL])",
    ),
    Mutant(
        "the video is the smallest",
        "bigmama_nb.tables.live.events",
        "log_video_id=_.video_id.min()",
        "log_video_id=_.video_id.max()",
    ),
    Mutant(
        "the live's own video goes first",
        "bigmama_nb.tables.live.events",
        "ibis.coalesce(_.video_id, _.log_video_id)",
        "ibis.coalesce(_.log_video_id, _.video_id)",
    ),
    Mutant(
        "a running live ends at its last event",
        "bigmama_nb.tables.live.events",
        "_.end_us, _.last_us, _.start_us",
        "_.end_us, _.start_us",
    ),
    Mutant(
        "no live ends before its start",
        "bigmama_nb.tables.live.events",
        "ibis.greatest(ibis.coalesce(_.end_us, _.last_us, _.start_us), _.start_us)",
        "ibis.coalesce(_.end_us, _.last_us, _.start_us)",
    ),
    Mutant(
        "of a last leave's traits nulls come last",
        "bigmama_nb.tables.live.events",
        "ibis.asc(column, nulls_first=True)",
        "ibis.asc(column, nulls_first=False)",
    ),
    Mutant(
        "of a first join's traits nulls come last",
        "bigmama_nb.tables.live.events",
        "ibis.asc(column, nulls_first=False) for",
        "ibis.asc(column, nulls_first=True) for",
    ),
    Mutant(
        "a null platform is a value",
        "bigmama_nb.tables.live.events",
        "rows.platform.identical_to(trait.t_platform)",
        "rows.platform == trait.t_platform",
    ),
    Mutant("an empty user is a guest", "bigmama_nb.tables.live.events", '_.user_id_fill.nullif("")', "_.user_id_fill"),
    Mutant(
        "a leave comes before a join",
        "bigmama_nb.tables.live.events",
        "_.url == JOIN_URL, _.traits",
        "_.url == LEAVE_URL, _.traits",
    ),
    Mutant("events are in order", "bigmama_nb.tables.live.events", "_.events.sort()", "_.events"),
    Mutant(
        "viewers are apart from each other",
        "bigmama_nb.live_play.buckets",
        'same="viewer_id"',
        'same="live_no"',
    ),
    Mutant(
        "a viewer's devices are in the order of their ids",
        "bigmama_nb.tables.live.events",
        '("viewer_hash", "viewer_id", "device_id")',
        '("viewer_hash", "viewer_id")',
    ),
    Mutant(
        "a span ends where the live does",
        "bigmama_nb.tables.live.events",
        "ibis.least(ibis.coalesce(_.next_us, _.tmp_end_us), _.tmp_end_us)",
        "ibis.coalesce(_.next_us, _.tmp_end_us)",
    ),
    Mutant(
        "a span begins where the live does",
        "bigmama_nb.tables.live.events",
        "until - ibis.greatest(_.us, _.start_us)",
        "until - _.us",
    ),
    Mutant(
        "the last span ends with the live",
        "bigmama_nb.tables.live.events",
        "ibis.coalesce(_.next_us, _.tmp_end_us)",
        "ibis.coalesce(_.next_us, _.us)",
    ),
    Mutant(
        "only a join opens a span that counts",
        "bigmama_nb.tables.live.events",
        "play_us=ibis.ifelse(_.joins,",
        "play_us=ibis.ifelse(_.joins | True,",
    ),
    Mutant("late is at the end, too", "bigmama_nb.tables.live.events", "_.us >= _.end_us", "_.us > _.end_us"),
    Mutant(
        "late goes by end_dt, not tmp_end_dt",
        "bigmama_nb.tables.live.events",
        "_.us >= _.end_us",
        "_.us >= _.tmp_end_us",
    ),
    Mutant(
        "a delivery again is no event",
        "bigmama_nb.tables.live.events",
        "ibis.ifelse((_.event == _.next_event).fill_null(False), 0, 1)",
        "ibis.ifelse((_.event == _.next_event).fill_null(False), 1, 1)",
    ),
    Mutant(
        "events of one minute are one row",
        "bigmama_nb.tables.live.events",
        "(_.next_us < (_.minute_no + 1) * MINUTE)",
        "(_.next_us < 0)",
    ),
    Mutant(
        "duplicates count once in a row",
        "bigmama_nb.tables.live.viewers",
        "ibis.ifelse(_.joins, _.counts, 0),",
        "ibis.ifelse(_.joins, 1, 0),",
    ),
    Mutant(
        "the first join of a row is its earliest",
        "bigmama_nb.tables.live.viewers",
        "first_us=_.first_us.min()",
        "first_us=_.first_us.max()",
    ),
    Mutant(
        "the last leave of a row is its latest",
        "bigmama_nb.tables.live.viewers",
        "last_us=_.last_us.max()",
        "last_us=_.last_us.min()",
    ),
    Mutant(
        "a first join's tie goes by rank",
        "bigmama_nb.tables.live.viewers",
        "packing.ranked(_.first_us, _.rank)",
        "packing.ranked(_.first_us, _.traits)",
    ),
    Mutant(
        "a last leave's tie goes by traits",
        "bigmama_nb.tables.live.viewers",
        "packing.ranked(_.last_us, _.traits)",
        "packing.ranked(_.last_us, _.rank)",
    ),
    Mutant(
        "a device's first join is its earliest",
        "bigmama_nb.tables.live.viewers",
        "d_first=_.first_join.min()",
        "d_first=_.first_join.max()",
    ),
    Mutant(
        "a device's last leave is its latest",
        "bigmama_nb.tables.live.viewers",
        "d_last=_.last_leave.max()",
        "d_last=_.last_leave.min()",
    ),
    Mutant(
        "time on two devices counts once",
        "bigmama_nb.tables.live.viewers",
        "ibis.greatest(_.from_us, ibis.coalesce(_.seen_us, _.from_us))",
        "_.from_us",
    ),
    Mutant(
        "spans are clipped to the start in the union",
        "bigmama_nb.tables.live.viewers",
        "from_us=ibis.greatest(_.us, _.start_us)",
        "from_us=_.us",
    ),
    Mutant(
        "of two devices the earlier joined first",
        "bigmama_nb.tables.live.viewers",
        'ibis.asc("first_us", nulls_first=False), ibis.asc("device_no")',
        'ibis.desc("first_us", nulls_first=False), ibis.asc("device_no")',
    ),
    Mutant(
        "a device without a join is not first",
        "bigmama_nb.tables.live.viewers",
        'ibis.asc("first_us", nulls_first=False)',
        'ibis.asc("first_us", nulls_first=True)',
    ),
    Mutant(
        "a first join's tie goes to the smaller device",
        "bigmama_nb.tables.live.viewers",
        'nulls_first=False), ibis.asc("device_no")',
        'nulls_first=False), ibis.desc("device_no")',
    ),
    Mutant(
        "a last leave's tie goes to the larger device",
        "bigmama_nb.tables.live.viewers",
        'nulls_first=False), ibis.desc("device_no")',
        'nulls_first=False), ibis.asc("device_no")',
    ),
    Mutant(
        "joining at the window's edge is in it",
        "bigmama_nb.tables.live.viewers",
        "flag(_.joined_us.between(_.start_us, _.tmp_end_us))",
        "flag((_.joined_us > _.start_us) & (_.joined_us < _.tmp_end_us))",
    ),
    Mutant(
        "the first JOIN ever is the earliest",
        "bigmama_nb.tables.live.viewers",
        "first_us=ibis.cases((joins, _.at_us)).min()",
        "first_us=ibis.cases((joins, _.at_us)).max()",
    ),
    Mutant("a LEAVE is no JOIN", "bigmama_nb.tables.live.viewers", "joins = _.leaves == 0", "joins = _.leaves >= 0"),
    Mutant(
        "any JOIN in the window counts",
        "bigmama_nb.tables.live.viewers",
        "flag(joins & _.at_us.between(_.start_us, _.tmp_end_us)).max()",
        "flag(joins & _.at_us.between(_.start_us, _.tmp_end_us)).min()",
    ),
    Mutant(
        "updates count to the end of the live",
        "bigmama_nb.tables.live.viewers",
        "(_.at_us <= _.tmp_end_us, ",
        "(_.at_us < _.tmp_end_us, ",
    ),
    Mutant(
        "updates after the live do not count",
        "bigmama_nb.tables.live.viewers",
        "(_.at_us <= _.tmp_end_us, ",
        "(_.at_us <= _.tmp_end_us + 10**15, ",
    ),
    Mutant(
        "of two at one instant the LEAVE is newer",
        "bigmama_nb.tables.live.viewers",
        "_.at_us * 2 + _.leaves)).max()",
        "_.at_us * 2 + 1 - _.leaves)).max()",
    ),
    Mutant(
        "updates of another artist do not count",
        "bigmama_nb.tables.wv_live_play",
        '[("viewer_no", "fact_viewer_no"), ("art_id", "fact_art_id")]',
        '[("viewer_no", "fact_viewer_no")]',
    ),
    Mutant(
        "facts are of the live's artists",
        "bigmama_nb.tables.live.viewers",
        '[("live_no", "artist_live_no"), ("we_art_id", "artist_id")]',
        '[("we_art_id", "artist_id")]',
    ),
    Mutant(
        "a failed payment is no membership",
        "bigmama_nb.tables.live.viewers",
        'orders.filter(_.ord_status != "PAYMENT_FAILED", _',
        "orders.filter(_",
    ),
    Mutant("a restored order is no membership", "bigmama_nb.tables.live.viewers", ", _.is_cx_by_restore == 0)", ")"),
    Mutant(
        "a membership may begin as the live ends",
        "bigmama_nb.tables.live.viewers",
        "_.fc_start_us <= _.tmp_end_us",
        "_.fc_start_us < _.tmp_end_us",
    ),
    Mutant(
        "a membership that ends as the live starts is over",
        "bigmama_nb.tables.live.viewers",
        "_.fc_end_us > _.start_us",
        "_.fc_end_us >= _.start_us",
    ),
    Mutant("a membership without end has not ended", "bigmama_nb.tables.live.viewers", "_.fc_end_us.isnull() | ", ""),
    Mutant(
        "u_sum_play_time of one device is the device's",
        "bigmama_nb.tables.live.viewers",
        "u_us = ibis.ifelse(_.several, ibis.coalesce(_.u_us, 0), _.d_us)",
        "u_us = _.d_us",
    ),
    Mutant(
        "a sum is floored once",
        "bigmama_nb.tables.live.viewers",
        "d_sum_play_time=whole(_.d_us, SECOND)",
        "d_sum_play_time=whole(_.d_us + SECOND - 1, SECOND)",
    ),
    Mutant(
        "a datetime must be a real date's",
        "bigmama_nb.tables.live.sources",
        '& datetime.try_cast("timestamp").notnull()',
        "",
    ),
    Mutant(
        "a device is needed",
        "bigmama_nb.tables.live.sources",
        'rules.append((value.isnull(), ibis.literal("device_id is null")))',
        "pass",
    ),
    Mutant(
        "an action is JOIN or LEAVE",
        "bigmama_nb.tables.live.sources",
        'value.notin(["JOIN", "LEAVE"])',
        'value.notin(["JOIN", "LEAVE", ""])',
    ),
    Mutant(
        "a column may not be null",
        "bigmama_nb.tables.live.sources",
        "if not column.nullable:",
        "if not column.nullable and column.name != 'updated_dt':",
    ),
    Mutant(
        "the first reason in the columns' order is told",
        "bigmama_nb.tables.live.sources",
        "for column in source.columns:",
        "for column in reversed(source.columns):",
    ),
    Mutant("a fraction has six digits at most", "bigmama_nb.tables.live.time", "{{1,6}}", "{{1,7}}"),
    Mutant("a datetime ends where it ends", "bigmama_nb.tables.live.time", '?\\z"', '?"'),
    Mutant("a day has no 25th hour", "bigmama_nb.tables.live.time", "(?:[01][0-9]|2[0-3])", "(?:[0-9][0-9])"),
    Mutant("there is no year 0", "bigmama_nb.tables.live.time", "|000[1-9])", "|000[0-9])"),
    Mutant("KST is nine hours ahead", "bigmama_nb.tables.live.time", "KST = 9 * HOUR", "KST = 8 * HOUR"),
    Mutant(
        "a viewer counts once in a bucket",
        "bigmama_nb.tables.live.concurrency",
        "new=(_.seen_no < _.first_no)",
        "new=(_.seen_no <= _.first_no)",
    ),
    Mutant(
        "a span does not hold its last instant",
        "bigmama_nb.tables.live.concurrency",
        "whole(until_us - 1 - start_us, unit)",
        "whole(until_us - start_us, unit)",
    ),
    Mutant(
        "hours count from the start",
        "bigmama_nb.tables.live.concurrency",
        "start: Any = _.start_us if from_start else 0",
        "start: Any = 0",
    ),
    Mutant(
        "play in a bucket ends with it",
        "bigmama_nb.tables.live.concurrency",
        "ibis.least(_.to_us, (_.first_no + 1) * unit + start)",
        "_.to_us",
    ),
    Mutant(
        "clicks outside the window are in no bucket",
        "bigmama_nb.tables.live.concurrency",
        "known.filter(_.us.between(_.start_us, _.tmp_end_us))",
        "known",
    ),
    Mutant(
        "the window holds both its ends",
        "bigmama_nb.tables.live.concurrency",
        "known.filter(_.us.between(_.start_us, _.tmp_end_us))",
        "known.filter(_.us >= _.start_us, _.us < _.tmp_end_us)",
    ),
    Mutant(
        "the last minute is one, too",
        "bigmama_nb.tables.live.concurrency",
        "ibis.range(first, last + 1, 1)",
        "ibis.range(first, last, 1)",
    ),
    Mutant(
        "an hour has a row for its last instant",
        "bigmama_nb.tables.live.concurrency",
        'ibis.range(ibis.literal(0, "int64"), last + 1, 1)',
        'ibis.range(ibis.literal(0, "int64"), last, 1)',
    ),
    Mutant(
        "what happens at one instant is one change",
        "bigmama_nb.engines.duckdb",
        "THEN NULL ELSE summed END",
        "THEN summed ELSE summed END",
    ),
    Mutant(
        "who watched before a minute is counted in it",
        "bigmama_nb.tables.live.concurrency",
        "peak=_.end - _.change + _.top",
        "peak=_.top",
    ),
    Mutant(
        "a stretch's count begins at 0",
        "bigmama_nb.tables.live.concurrency",
        "_.until.max() - _.before.max()",
        "_.until.max()",
    ),
    Mutant(
        "a minute begins with those who watched",
        "bigmama_nb.tables.live.concurrency",
        "ibis.greatest(_.minute_no * MINUTE, _.start_us), change=zero",
        "ibis.greatest(_.minute_no * MINUTE + 1, _.start_us), change=zero",
    ),
    Mutant(
        "who is there for all of a bucket plays all of it",
        "bigmama_nb.tables.live.concurrency",
        "(_.inside - _.came_in) * unit",
        "(_.inside - _.came_in) * 0",
    ),
    Mutant(
        "who came in is a viewer", "bigmama_nb.tables.live.concurrency", "viewers=_.new + _.inside", "viewers=_.new"
    ),
    Mutant(
        "a guest viewer has no user",
        "bigmama_nb.tables.stats_wv_d_live_play",
        "names.filter(_.viewer_id.isnull())",
        "names.filter(_.viewer_id.notnull())",
    ),
    Mutant(
        "viewers count once, not by device",
        "bigmama_nb.tables.stats_wv_d_live_play",
        "described.filter(_.leads)",
        "described",
    ),
    Mutant(
        "late viewers joined late",
        "bigmama_nb.tables.stats_wv_d_live_play",
        "packing.is_late(_.row_key) == 1, _.join_cnt > 0)",
        "packing.is_late(_.row_key) == 1)",
    ),
    Mutant(
        "late viewers count once",
        "bigmama_nb.tables.stats_wv_d_live_play",
        '.select("live_no", "viewer_no").distinct()',
        '.select("live_no", "viewer_no")',
    ),
    Mutant(
        "a peak is dated when it was first reached",
        "bigmama_nb.tables.stats_wv_d_live_play",
        "_.minute_no)).min()",
        "_.minute_no)).max()",
    ),
    Mutant(
        "no peak where nobody played",
        "bigmama_nb.tables.stats_wv_d_live_play",
        "(_.peak == _.peak_viewers) & (_.peak_viewers > 0)",
        "_.peak == _.peak_viewers",
    ),
    Mutant(
        "a minute ends with its later stretch",
        "bigmama_nb.tables.stats_wv_d_live_play_min",
        "last_hour_no=_.hour_no.max()",
        "last_hour_no=_.hour_no.min()",
    ),
    Mutant(
        "a hour's peak is the highest of its minutes",
        "bigmama_nb.tables.stats_wv_h_live_play",
        "peak_viewers=_.peak.max()",
        "peak_viewers=_.peak.min()",
    ),
    Mutant(
        "a first join goes to the device that holds it",
        "bigmama_nb.tables.wv_live_play",
        "u_join_first=ibis.ifelse(_.holds_first, d_join_first, 0)",
        "u_join_first=d_join_first",
    ),
    Mutant(
        "a viewer without a user is the device",
        "bigmama_nb.tables.wv_live_play",
        "ibis.cases((table.wv_user_id.isnull(), table.device_id))",
        "ibis.cases((table.wv_user_id.isnull(), '')) ",
    ),
    Mutant(
        "a view is a first join",
        "bigmama_nb.tables.stats_wv_m_video_copyright",
        'views=_.u_join_first.cast("int64").sum()',
        'views=_.is_join.cast("int64").sum()',
    ),
    Mutant(
        "a viewer's time is of the first join's country",
        "bigmama_nb.tables.stats_wv_m_video_copyright",
        "_.u_join_first == 1",
        "_.is_join == 1",
    ),
    Mutant(
        "lives of a country are distinct",
        "bigmama_nb.tables.stats_wv_m_video_copyright",
        '.select(*KEY, "post_id").distinct()',
        '.select(*KEY, "post_id")',
    ),
    Mutant(
        "an artist that stands twice counts once",
        "bigmama_nb.tables.stats_we_t_kpi",
        "known.filter(_.guest_joint_seq == _.own_seq)",
        "known",
    ),
    Mutant(
        "a joint live has a guest",
        "bigmama_nb.tables.stats_we_t_kpi",
        '_.guest_joint_seq.max().over(group_by="post_id") > 0',
        "_.guest_joint_seq > 0",
    ),
    Mutant(
        "the largest peak of any one live",
        "bigmama_nb.tables.stats_we_t_kpi",
        "peak_viewers=_.peak_viewers.max()",
        "peak_viewers=_.peak_viewers.sum()",
    ),
    Mutant(
        "a flag of any live counts",
        "bigmama_nb.tables.stats_we_t_kpi",
        "is_comm_user=_.is_comm_user.max()",
        "is_comm_user=_.is_comm_user.min()",
    ),
    Mutant("the log reaches back", "bigmama_nb.live_play.dates", "range(before, 0, -1)", "range(before - 1, 0, -1)"),
    Mutant(
        "the log ends with the run's days",
        "bigmama_nb.live_play.dates",
        "last = min(part_date + dt.timedelta(days=after), log_end)",
        "last = part_date + dt.timedelta(days=after)",
    ),
    Mutant(
        "final is when the whole log is in it",
        "bigmama_nb.live_play.dates",
        "return log_end >= part_date",
        "return log_end > part_date",
    ),
    Mutant(
        "exactly the share passes",
        "bigmama_nb.live_play.source_checks",
        "count.rejected > limit * count.delivered",
        "count.rejected >= limit * count.delivered",
        test="test_exactly_the_share_passes",
    ),
    Mutant(
        "a key that stands twice fails",
        "bigmama_nb.live_play.source_checks",
        "_.times > 1",
        "_.times > 2",
        test="test_a_post_that_stands_twice_fails",
    ),
    Mutant(
        "exactly max_live_days passes",
        "bigmama_nb.live_play.source_checks",
        "> limit\n",
        ">= limit\n",
        test="test_a_live_that_lasts_too_long_is_named",
    ),
    Mutant(
        "unmatched have no usable live",
        "bigmama_nb.live_play.source_checks",
        "wv_live.filter(usable(LIVE, wv_live))",
        "wv_live",
    ),
    Mutant(
        "a viewer's devices stay together",
        "bigmama_nb.live_play.buckets",
        "events.viewer_hash(_.viewer_id, _.device_id)",
        "events.viewer_hash(_.device_id, _.device_id)",
        buckets=40,
    ),
    Mutant(
        "a live built in slices has one count of viewers",
        "bigmama_nb.live_play.rollups",
        "if own.whole:",
        "if own:",
        buckets=40,
    ),
    Mutant(
        "a live that nobody watched has its hours and minutes, however many buckets",
        "bigmama_nb.live_play.rollups",
        "if self._open:",
        "if None:",
        buckets=40,
    ),
    Mutant(
        "a bucket's stretches are those of its own lives",
        "bigmama_nb.live_play.rollups",
        "if len(own) < self._count:",
        "if None:",
        buckets=3,
    ),
    Mutant(
        "what cannot be used is left out of every source",
        "bigmama_nb.live_play.source_checks",
        "        if counts[source.name].rejected\n",
        "        if not counts[source.name].rejected\n",
    ),
    Mutant(
        "every bucket's duplicates are counted",
        "bigmama_nb.live_play.build",
        "duplicates += bucket.duplicates",
        "duplicates = bucket.duplicates",
        buckets=3,
    ),
)


class _Mutating(MetaPathFinder, Loader):
    """Imports the package as it is, but for one piece of one module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        self._origin = spec.origin
        spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        assert self._origin is not None
        with open(self._origin) as file:
            source = file.read()
        assert self._mutant.old in source, f"{self._mutant.module} no longer holds {self._mutant.old!r}"
        exec(compile(source.replace(self._mutant.old, self._mutant.new), self._origin, "exec"), module.__dict__)


@contextmanager
def alive(mutant: Mutant) -> Iterator[Any]:
    """Import the package with the mutant in it, and give the module that tests it; the true modules come back after."""
    true = {name: module for name, module in sys.modules.items() if name.startswith(PACKAGES)}
    finder = _Mutating(mutant)
    for name in true:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("tests.live_play.test_refusals" if mutant.test else "tests.live_play.equality")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(PACKAGES)]:
            del sys.modules[name]
        sys.modules.update(true)
