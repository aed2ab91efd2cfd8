"""The roll-ups: of a day from the buckets' parts, of month and KPI from published partitions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from bigmama_nb.engines import Engine, Use
from bigmama_nb.errors import TaskError
from bigmama_nb.live_play import table_checks
from bigmama_nb.live_play.buckets import ROW_BYTES, BucketTables
from bigmama_nb.live_play.labels import Labels
from bigmama_nb.live_play.parquet_writer import PartWriter
from bigmama_nb.live_play.result import Built, Options, TableFiles
from bigmama_nb.tables import (
    stats_we_t_kpi,
    stats_wv_d_live_play,
    stats_wv_d_live_play_min,
    stats_wv_h_live_play,
    stats_wv_m_video_copyright,
    wv_live_play,
)
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.live import concurrency, viewers
from bigmama_nb.tables.live.events import SLICES
from bigmama_nb.tables.live.time import HOUR, MINUTE


class DayParts:
    """What the day's roll-ups add up, bucket by bucket."""

    def __init__(self, engine: Engine, lives: ir.Table, everybody: ir.Table, options: Options, *, count: int) -> None:
        self._engine, self._lives, self._everybody, self._options = engine, lives, everybody, options
        self._parts: dict[str, list[ir.Table]] = {}
        self._names: list[str] = []
        self._count, self._open = count, set(range(count))
        """Lives whose stretches are not known yet."""
        self._sliced: dict[int, list[ir.Table]] = {}

    def add(self, bucket: BucketTables) -> None:
        """Keep a bucket's sums, and when its viewers came and went."""
        lives = self._lives
        own_pieces = viewers.own_pieces(bucket.spans, bucket.shared, lives)
        all_pieces = self._engine.keep(own_pieces.union(bucket.pieces, distinct=False), "all_pieces")
        pieces = concurrency.started(all_pieces, lives)
        parts = {
            "viewers": stats_wv_d_live_play.viewer_counts(bucket.described, bucket.names),
            "clicks": stats_wv_d_live_play.row_counts(bucket.rows),
            "late": stats_wv_d_live_play.late_counts(bucket.rows, bucket.described, bucket.work.packing),
            "facts": stats_wv_d_live_play.fact_counts(bucket.facts),
            "marks": stats_wv_d_live_play.mark_counts(bucket.described),
            "minutes": concurrency.touched(pieces, MINUTE, from_start=False),
            "hours": concurrency.touched(pieces, HOUR, from_start=True),
            "minute_clicks": concurrency.clicks(bucket.spans, lives),
        }
        for name, expression in parts.items():
            self._part(name, expression)
        changes = concurrency.changes(all_pieces)
        own = bucket.bucket
        if own.whole:
            self._add_segments(changes, range(own.first_live, own.last_live + 1))
        else:
            kept = self._keep(changes, f"changes_{own.number}", "once")
            self._sliced.setdefault(own.first_live, []).append(kept)
        self._engine.forget("all_pieces")

    def clicks(self) -> tuple[int, int]:
        """Return all joins and leaves, each event once."""
        if "clicks" not in self._parts:
            return 0, 0
        sums = self._engine.arrow(
            self._union("clicks").agg(joins=_.joins.sum().cast("int64"), leaves=_.leaves.sum().cast("int64"))
        )
        return sums["joins"][0].as_py() or 0, sums["leaves"][0].as_py() or 0

    def marks(self) -> dict[str, dict[str, int]]:
        """Return by post_id what `mark_counts` says of the live."""
        if "marks" not in self._parts:
            return {}
        sums = concurrency.summed(self._union("marks"), "live_no")
        names = self._lives.select("post_id", l_live_no="live_no")
        found = self._engine.arrow(sums.join(names, [("live_no", "l_live_no")]).drop("live_no", "l_live_no"))
        return {row.pop("post_id"): row for row in found.to_pylist()}

    def write(self, out: Path, labels: Labels) -> dict[str, TableFiles]:
        """Write the day, hour and minute roll-ups and return their files."""
        engine, lives, everybody = self._engine, self._lives, self._everybody
        if not self._parts:
            empty = [stats_wv_d_live_play, stats_wv_h_live_play, stats_wv_d_live_play_min]
            return {
                m.CONTRACT.name: write_table(m.CONTRACT.in_database(self._options.database), out, None, self._options)
                for m in empty
            }
        self._add_segments_of_the_rest()
        levels = self._keep(concurrency.levels(self._union("segments")), "levels")
        summed = concurrency.summed
        clicks = self._keep(summed(self._union("minute_clicks"), "live_no", "minute_no", "hour_no"), "all_clicks")
        daily = stats_wv_d_live_play.daily(
            everybody,
            summed(self._union("viewers"), "live_no"),
            summed(self._union("clicks"), "live_no"),
            summed(self._union("late"), "live_no"),
            summed(self._union("facts"), "live_no", "we_art_id"),
            stats_wv_d_live_play.peaks(levels),
        )
        hourly = stats_wv_h_live_play.hourly(
            everybody, lives, summed(self._union("hours"), "live_no", "bucket_no"), clicks, levels
        )
        by_minute = stats_wv_d_live_play_min.by_minute(
            everybody, lives, summed(self._union("minutes"), "live_no", "bucket_no"), clicks, levels
        )
        written = {}
        for module, expression, order in (
            (stats_wv_d_live_play, daily, ["participant_no"]),
            (stats_wv_h_live_play, hourly, ["participant_no", "live_hour"]),
            (stats_wv_d_live_play_min, by_minute, ["participant_no", "minute_no"]),
        ):
            contract = module.CONTRACT.in_database(self._options.database)
            coded = engine.arrow(expression).sort_by([(name, "ascending") for name in order])
            if "peak_minute_no" in coded.column_names:
                coded = coded.append_column("peak_datetime", labels.minute_text(coded["peak_minute_no"]))
            written[contract.name] = write_table(contract, out, labels.rows(contract, coded), self._options)
        return written

    def forget(self) -> None:
        """Drop everything that was kept."""
        self._engine.forget(*self._names)
        self._names, self._parts = [], {}

    def _add_segments(self, changes: ir.Table | None, own: Collection[int]) -> None:
        """Add the stretches of the lives in `own`, of which `changes` holds every change."""
        lives = self._lives
        if len(own) < self._count:
            lives = lives.filter(lives.live_no.isin(list(own)))
        self._open.difference_update(own)
        everything = concurrency.marks(lives)
        if changes is not None:
            everything = changes.union(everything, distinct=False)
        placed = concurrency.placed(everything, lives)
        running = self._engine.running(placed, "running", value="change", group=concurrency.STRETCH, by="at_us")
        self._part("segments", concurrency.segments(running))
        self._engine.forget("running")

    def _add_segments_of_the_rest(self) -> None:
        """Add the stretches of lives that were built in slices, and of those that nobody watched."""
        for live_no, parts in self._sliced.items():
            self._add_segments(_all(parts), [live_no])
        if self._open:
            self._add_segments(None, sorted(self._open))

    def _part(self, name: str, expression: ir.Table) -> None:
        parts = self._parts.setdefault(name, [])
        parts.append(self._keep(expression, f"part_{name}_{len(parts)}", "once"))

    def _union(self, name: str) -> ir.Table:
        return _all(self._parts[name])

    def _keep(self, expression: ir.Table, name: str, use: Use = "often") -> ir.Table:
        self._names.append(name)
        return self._engine.keep(expression, name, use)


def _all(tables: Sequence[ir.Table]) -> ir.Table:
    return tables[0] if len(tables) == 1 else ibis.union(*tables, distinct=False)


def write_table(contract: Table, out: Path, rows: pa.Table | None, options: Options) -> TableFiles:
    """Write a small table whole; None or no rows: one file without rows."""
    return PartWriter(contract, out, options).whole([rows] if rows is not None and rows.num_rows else [])


def build_month(
    engine: Engine, part_month: str, play: Sequence[Path | str], *, out: Path, options: Options | None = None
) -> Built:
    """Build `stats_wv_m_video_copyright` of one month.

    Args:
        part_month: `YYYY-MM`.
        play: the published files of `wv_live_play` of every part_date of the month.
        out: a folder of this build's own.

    Returns:
        The outcome, and one table's files.
    """
    module = stats_wv_m_video_copyright

    def rows(table: ir.Table, sums: ir.Table) -> ir.Table:
        return module.monthly(sums, module.live_counts(table))

    return _period(engine, part_month, module.CONTRACT, play, module.viewer_sums, rows, out, options)


def build_kpi(
    engine: Engine,
    part_date: str,
    play: Sequence[Path | str],
    daily: Sequence[Path | str],
    *,
    out: Path,
    options: Options | None = None,
) -> Built:
    """Build `stats_we_t_kpi` of one part_date.

    Args:
        part_date: `YYYY-MM-DD`.
        play: the published files of `wv_live_play` of that part_date.
        daily: the published files of `stats_wv_d_live_play` of that part_date.
        out: a folder of this build's own.

    Returns:
        The outcome, and one table's files.
    """
    module = stats_we_t_kpi

    def rows(_: ir.Table, counts: ir.Table) -> ir.Table:
        return module.kpi(module.live_counts(_published(engine, stats_wv_d_live_play.CONTRACT, daily)), counts)

    both = play if daily else ()
    return _period(engine, part_date, module.CONTRACT, both, module.viewer_counts, rows, out, options)


def _published(engine: Engine, contract: Table, files: Sequence[Path | str]) -> ir.Table:
    return engine.read([str(file) for file in files], f"published_{contract.name}", contract.arrow_schema())


def _by_slices(engine: Engine, play: ir.Table, part: Callable[[ir.Table], ir.Table]) -> list[ir.Table]:
    """Return `slice_<n>`, a part of every viewer slice, as few at a time as memory asks for."""
    turns = 1
    if engine.executors is None:
        rows = int(engine.arrow(play.count().as_table())[0][0].as_py())
        turns = min(max(-(-rows * ROW_BYTES // engine.memory_limit), 1), SLICES)
    kept = []
    for turn in range(turns):
        some = play if turns == 1 else stats_wv_m_video_copyright.of_slice(play, turn, turns)
        kept.append(engine.keep(part(some), f"slice_{turn}", "once"))
    return kept


def _ordered(found: pa.Table, contract: Table) -> pa.Table:
    schema = contract.arrow_schema()
    columns = [found.column(field.name).cast(field.type) for field in schema]
    rows = pa.table(columns, schema=schema)
    return rows.sort_by([(name, "ascending") for name in contract.key])


def _period(
    engine: Engine,
    partition: str,
    table_of: Table,
    play: Sequence[Path | str],
    part: Callable[[ir.Table], ir.Table],
    rows: Callable[[ir.Table, ir.Table], ir.Table],
    out: Path,
    options: Options | None,
) -> Built:
    """Build a partition of what published files of `wv_live_play` add up to; of no files it has no rows.

    Args:
        part: what is added up of some viewers' rows.
        rows: the partition's rows, of the whole table and of all parts.
    """
    options = options or Options()
    contract = table_of.in_database(options.database)
    try:
        found = None
        if play:
            table = _published(engine, wv_live_play.CONTRACT, play)
            parts = _by_slices(engine, table, part)
            found = _ordered(engine.arrow(rows(table, _all(parts))), contract)
            engine.forget(*(f"slice_{turn}" for turn in range(len(parts))))
        files = write_table(contract, out, found, options)
        warnings = table_checks.run(engine, f"{contract.name} {partition}", contract, files)
    except TaskError as error:
        return Built(partition, "failed", reason=error.reason, message=error.message, place=error.place)
    return Built(
        partition, "suspect" if warnings else "ok", tables={contract.name: files}, final=False, message=warnings
    )
