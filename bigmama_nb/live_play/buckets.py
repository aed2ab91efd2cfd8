"""Viewer buckets: the log's rows in parts that fit in memory, each built by itself.

Once the lives are known, nothing in the table looks beyond one viewer in one live. A bucket is a run of lives, or a
run of viewer slices of a live that is too big; their order is the order of the rows, whatever their number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis import _

from bigmama_nb.engines import PIECE_BITS, Engine
from bigmama_nb.errors import PLEASE_REPORT, ContractError, explain
from bigmama_nb.live_play.labels import Numbers
from bigmama_nb.live_play.numbers import array_of, numbers_of
from bigmama_nb.tables import wv_live_play
from bigmama_nb.tables.live import events, viewers
from bigmama_nb.tables.live.events import SLICES, Packing
from bigmama_nb.tables.live.sources import COMM_USER_UPDATE, FC_USER_HISTORY, USER

ROW_BYTES = 320
"""What a row of the log may take in memory while its bucket is built: 1.7 times what was measured at ten million rows.

Of what takes more DuckDB writes some to disk: a bucket that had 60 bytes a row was built too, with 1.4 times the CPU.
"""

STRETCH = 100_000
"""Devices whose rows are joined at once: up to a million DuckDB's joins keep the order of the left side."""

RUNS = 1_000
"""Runs of rows up to which they are put in order as slices."""

ORDER = ("device_no", "row_key", "participant_no")


@dataclass(frozen=True)
class Bucket:
    """Lives `first_live` through `last_live`, or of one live the viewer slices from `first_slice` up to `end_slice`."""

    number: int
    first_live: int
    last_live: int
    first_slice: int = 0
    end_slice: int = SLICES

    @property
    def whole(self) -> bool:
        """Whether all viewers of its lives are in it."""
        return self.first_slice == 0 and self.end_slice == SLICES


def plan(lives: Sequence[tuple[int, int]], memory_limit: int) -> list[Bucket]:
    """Return the buckets for lives (number, rows delivered) in their order, so that each fits into `memory_limit`.

    They are as few as may be, and of so many the largest is as small as may be.
    """
    room = max(memory_limit // ROW_BYTES, 1)
    fewest = len(_cut(lives, room, room))
    largest = max((rows for _live, rows in lives if rows <= room), default=0)
    even = bisect_left(range(room), True, lo=largest, hi=room, key=lambda most: len(_cut(lives, room, most)) <= fewest)
    return _cut(lives, room, even)


def _cut(lives: Sequence[tuple[int, int]], room: int, most: int) -> list[Bucket]:
    """Return the buckets where a live of more than `room` rows is cut, and whole ones are together up to `most`."""
    found: list[Bucket] = []
    first: int | None = None
    held = 0

    def close(last: int) -> None:
        nonlocal first, held
        if first is not None:
            found.append(Bucket(len(found), first, last))
        first, held = None, 0

    for number, rows in lives:
        if held + rows > most:
            close(number - 1)
        if rows > room:
            parts = min(-(-rows // room), SLICES)
            edges = [part * SLICES // parts for part in range(parts + 1)]
            for start, end in pairwise(edges):
                found.append(Bucket(len(found), number, number, start, end))
            continue
        first = number if first is None else first
        held += rows
    if lives:
        close(lives[-1][0])
    return found


@dataclass(frozen=True)
class BucketWork:
    """What every bucket needs."""

    engine: Engine
    sources: Mapping[str, ir.Table]
    """What can be used of each, the log apart."""

    lives: ir.Table
    everybody: ir.Table
    participants: ir.Table
    traits: ir.Table
    packing: Packing


@dataclass(frozen=True)
class BucketTables:
    """A bucket's kept tables, until `forget`."""

    work: BucketWork
    bucket: Bucket
    spans: ir.Table
    rows: ir.Table
    names: ir.Table
    described: ir.Table
    shared: ir.Table
    pieces: ir.Table
    """Of viewers of several devices."""

    facts: ir.Table
    duplicates: int

    def coded(self) -> Iterator[pa.Table]:
        """Return the table's rows in order, with numbers for strings (`wv_live_play.live_play`).

        Raises:
            ContractError: the engine gave one twice.
        """
        engine, work = self.work.engine, self.work
        ordered = engine.keep_sorted(self.rows.drop("play_us"), "rows_in_order", ORDER[:2])
        engine.forget("rows")
        before: tuple[int, ...] = ()
        expression = None
        with engine.in_order():
            for first, end in self._stretches():
                rows, described, names = (
                    engine.stretch(table, name, ORDER[0], first, end)
                    for table, name in (
                        (ordered, "stretch_rows"),
                        (self.described, "stretch_described"),
                        (self.names.select("device_no", *wv_live_play.NAMES), "stretch_names"),
                    )
                )
                if expression is None:
                    expression = wv_live_play.live_play(rows, described, work.participants, self.facts)
                found = engine.arrow(expression)
                if found.num_rows:
                    found, before = in_order(found, before)
                    require_single_marks(found)
                    yield _unpacked(_named(found, engine.arrow(names)), work.packing)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Return ranges of device_no, each of some `STRETCH` devices: what a join gives back at once."""
        lives = self.described.group_by("live_no").agg(first=_.device_no.min(), devices=_.count())
        begin = held = end = 0
        for live in self.work.engine.arrow(lives.order_by("live_no")).to_pylist():
            end = live["first"] + live["devices"]
            for cut in range(live["first"] + STRETCH, end, STRETCH):
                yield begin, cut
                begin, held = cut, 0
            held += live["devices"] % STRETCH
            if held >= STRETCH:
                yield begin, end
                begin, held = end, 0
        if end > begin:
            yield begin, end

    def forget(self) -> None:
        """Drop the bucket's tables."""
        self.work.engine.forget("spans", "rows", "names", "described", "shared", "pieces", "facts", "rows_in_order")


def in_order(found: pa.Table, before: tuple[int, ...]) -> tuple[pa.Table, tuple[int, ...]]:
    """Return rows with keys that rise one by one from `before`, and the last key.

    A join may give back another order than its left side's: DuckDB's sometimes gives back a run of rows late.

    Raises:
        ContractError: a key stands twice, or not after `before`.
    """
    rises = _rises(found)
    if not rises:
        found = _by_runs(found)
        rises = _rises(found)
    if not rises:
        found = found.sort_by([(name, "ascending") for name in ORDER])
        rises = _rises(found)
    first, last = (tuple(int(found[name][at].as_py()) for name in ORDER) for at in (0, found.num_rows - 1))
    if not rises or (before and first <= before):
        raise ContractError(
            explain("wv_live_play", "the engine gave a row twice, or out of turn", step=PLEASE_REPORT),
            place="wv_live_play",
        )
    return found, last


def require_single_marks(found: pa.Table) -> None:
    """Refuse a viewer with two first joins or two last leaves for one participant.

    Raises:
        ContractError: there is one.
    """
    for mark in ("u_join_first", "u_leave_last"):
        marked = np.flatnonzero(numbers_of(found.column(mark)))
        viewers = numbers_of(found.column("viewer_no"))[marked]
        own = viewers * (1 << 10) + numbers_of(found.column("participant_no"))[marked] % (1 << 10)
        # A viewer's devices are neighbours, so that one mark each is in order already.
        if (own[1:] <= own[:-1]).any():
            own = np.sort(own)
        if (own[1:] == own[:-1]).any():
            raise ContractError(
                explain("wv_live_play", f"a viewer has {mark} on two rows of one participant", step=PLEASE_REPORT),
                place="wv_live_play",
            )


def _named(found: pa.Table, names: pa.Table) -> pa.Table:
    """Return rows in order of their device with its ids, of which each is copied once for a row, here.

    Raises:
        ContractError: the devices of the rows are not those of `names`.
    """
    of_rows, of_names = (numbers_of(table.column("device_no")) for table in (found, names))
    order = np.argsort(of_names, kind="stable")
    begins = np.flatnonzero(np.diff(of_rows, prepend=-1))
    if not np.array_equal(of_rows[begins], of_names[order]):
        raise ContractError(
            explain("wv_live_play", "the engine gave rows of other devices than there are", step=PLEASE_REPORT),
            place="wv_live_play",
        )
    places = array_of(np.repeat(order, np.diff(begins, append=len(of_rows))))
    for name, column in wv_live_play.NAMES.items():
        found = found.append_column(column, names.column(name).combine_chunks().take(places))
    return found


def _by_runs(found: pa.Table) -> pa.Table:
    """Return the rows in the order of their devices: where they come in a few runs, as slices that nobody copies."""
    order = np.argsort(numbers_of(found.column("device_no")), kind="stable")
    starts = np.flatnonzero(np.diff(order, prepend=-2) != 1)
    if len(starts) > RUNS:
        return found
    ends = np.append(starts[1:], len(order))
    return pa.concat_tables(found.slice(order[start], end - start) for start, end in zip(starts, ends, strict=True))


def _rises(found: pa.Table) -> bool:
    keys: list[Numbers] = [numbers_of(found.column(name)).astype(np.int64, copy=False) for name in ORDER]
    rises = np.zeros(max(found.num_rows - 1, 0), dtype=bool)
    for key in reversed(keys):
        rises = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rises)
    return bool(rises.all())


def _unpacked(found: pa.Table, packing: Packing) -> pa.Table:
    """Return rows with the row key taken apart."""
    keys = numbers_of(found.column("row_key"))
    parts = {
        "minute_no": packing.minute_no(keys),
        "is_late": packing.is_late(keys).astype(np.int32),
        "traits": packing.row_traits(keys),
    }
    table = found.drop_columns(["row_key", "device_no", "viewer_no"])
    for name, values in parts.items():
        table = table.append_column(name, array_of(values))
    return table


def each(work: BucketWork, rows: ir.Table, buckets: Sequence[Bucket]) -> Iterator[BucketTables]:
    """Return each bucket's tables, computed when asked for; the log is read once."""
    engine = work.engine
    if not buckets:
        return
    moves = events.events(rows, work.lives, work.traits, work.packing)
    if len(buckets) == 1:
        yield _computed(work, buckets[0], moves)
        return
    with engine.as_written():
        parts = engine.spill(_apart(work, moves, buckets), "apart", "bucket")
    for bucket in buckets:
        if bucket.number in parts:
            yield _computed(work, bucket, parts[bucket.number])
    engine.forget("apart")


def _apart(work: BucketWork, moves: ir.Table, buckets: Sequence[Bucket]) -> ir.Table:
    """Return the events with the number of their bucket."""
    by_live: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        for live_no in range(bucket.first_live, bucket.last_live + 1):
            by_live.setdefault(live_no, []).append(bucket)
    starts = work.engine.table(
        pa.table(
            {
                "bucket_live_no": pa.array(list(by_live), pa.int32()),
                "first_bucket": pa.array([own[0].number for own in by_live.values()], pa.int32()),
                "own_buckets": pa.array([len(own) for own in by_live.values()], pa.int32()),
            }
        ),
        "bucket_of_live",
    )
    placed = moves.join(starts, [("live_no", "bucket_live_no")])
    # Slice s of n buckets lies in bucket floor(((s + 1) * n - 1) / 256), as `plan` cuts them.
    nth = ((events.viewer_slice(events.viewer_hash(_.viewer_id, _.device_id)) + 1) * _.own_buckets - 1) >> 8
    # Few lives are cut, and to hash a viewer costs as much as to read the row.
    nth = ibis.ifelse(_.own_buckets > 1, nth, 0).cast("int32")
    return placed.select("live_no", "viewer_id", "device_id", "event", bucket=_.first_bucket + nth)


def _computed(work: BucketWork, bucket: Bucket, moves: ir.Table) -> BucketTables:
    engine, packing, lives = work.engine, work.packing, work.lives
    piece = _.live_no if engine.executors is None else _.device_no >> PIECE_BITS
    with engine.as_written():
        folded = engine.keep(events.devices(moves), "folded", "once")
        placed = engine.numbered(
            events.ordered(folded), "devices", group="live_no", piece="slice", by=events.DEVICE_ORDER, same="viewer_id"
        )
        engine.forget("folded")
        devices = events.numbered(placed)
        spans = engine.keep(events.spans(engine.pairs(devices), lives, packing), "spans")
        names = engine.keep(devices.drop("events"), "names", "once")
        engine.forget("devices")
        shared = engine.keep(events.shared_viewers(names, piece), "shared")
        busy = engine.keep(viewers.shared_minutes(spans, packing), "busy", "once")
        rows = engine.keep(viewers.minute_rows(spans, busy, work.traits, packing), "rows")
        engine.forget("busy")
        sums = engine.keep(viewers.device_sums(rows), "sums", "once")
        pieces = engine.keep(viewers.shared_pieces(spans, shared, lives), "pieces")
        played = engine.keep(viewers.shared_sums(pieces), "played", "once")
        firsts = engine.keep(viewers.shared_firsts(shared, sums, packing), "firsts", "once")
        users = engine.keep(viewers.users(names, work.sources[USER.name], lives, packing.base_us), "users")
        facts = _facts(work, bucket, names, users)
        described = engine.keep(viewers.described_devices(sums, shared, firsts, played, users), "described")
        lost = engine.arrow(spans.agg(duplicates=(1 - spans["counts"]).cast("int64").sum().coalesce(0)))
    engine.forget("sums", "played", "firsts", "users")
    duplicates = int(lost["duplicates"][0].as_py())
    return BucketTables(work, bucket, spans, rows, names, described, shared, pieces, facts, duplicates)


def _facts(work: BucketWork, bucket: Bucket, names: ir.Table, users: ir.Table) -> ir.Table:
    engine, base_us = work.engine, work.packing.base_us
    leading = names.filter(names.viewer_id.notnull() & ~names.after_own).select(
        "viewer_id", "live_no", viewer_no="device_no"
    )
    members = users.filter(users.we_member_id.notnull()).select("viewer_no", "live_no", "we_member_id")
    # What is told of artists of other buckets' lives is nobody's here, and is most of it.
    own = work.lives.filter(work.lives.live_no.between(bucket.first_live, bucket.last_live))
    artists = engine.keep(viewers.windows_of_artists(work.everybody, own), "artists", "small")
    community = engine.keep(
        viewers.community_facts(leading, work.sources[COMM_USER_UPDATE.name], artists, base_us), "community", "once"
    )
    fan_club = engine.keep(
        viewers.fan_club_facts(members, work.sources[FC_USER_HISTORY.name], artists, base_us), "fan_club", "once"
    )
    known = engine.keep(viewers.facts(community, fan_club), "facts")
    engine.forget("artists", "community", "fan_club")
    return known
