"""One part_date, from the sources to files of `wv_live_play`, its rejects and the day, hour and minute roll-ups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from bigmama_nb.engines import Engine
from bigmama_nb.errors import NOTHING_READ, TaskError, explain
from bigmama_nb.live_play import buckets, distributed_writer, source_checks, table_checks
from bigmama_nb.live_play.dates import is_final, log_dates
from bigmama_nb.live_play.labels import LIVE_COLUMNS, Labels
from bigmama_nb.live_play.numbers import array_of, numbers_of
from bigmama_nb.live_play.parquet_writer import PartWriter
from bigmama_nb.live_play.result import (
    Built,
    Counts,
    Options,
    Place,
    SourceCount,
    TableFiles,
)
from bigmama_nb.live_play.rollups import DayParts
from bigmama_nb.live_play.sources import LogSources
from bigmama_nb.tables import wv_live_play, wv_live_play_rejects
from bigmama_nb.tables.live import events
from bigmama_nb.tables.live.events import Packing
from bigmama_nb.tables.live.sources import JOINT_HISTORY, LIVE, SERVER_LOG
from bigmama_nb.tables.live.time import kst_midnight_us
from bigmama_nb.warehouse.storage.local import LocalStorage


def build(
    engine: Engine,
    sources: LogSources,
    part_date: dt.date,
    *,
    log_end: dt.date,
    run_timestamp: dt.datetime,
    out: Path,
    options: Options | None = None,
    places: Mapping[str, Place] | None = None,
) -> Built:
    """Build every table of one part_date into `out/<table>/part-*.parquet`.

    Args:
        engine: where it is computed.
        sources: the six sources.
        part_date: KST date of the lives' start.
        log_end: the last date of the log that may be read (`Due.log_end`).
        run_timestamp: an aware datetime, the same for all of a run.
        out: a folder of this build's own; what stands there after a failure is nobody's.
        options: what the profile says.
        places: with an engine of a cluster the new folders, by table, that its executors write `wv_live_play` and its
            rejects into; `out` then holds the roll-ups only.

    Returns:
        The outcome, never an exception for what sources and checks can do: `not_ready` where a wanted date of the log
        is not there (nothing was read), `failed` with its reason class, else `ok` or `suspect` with the files.
    """
    options = options or Options()
    work = _Build(engine, sources, part_date, log_end, run_timestamp, out, options, places or {})
    pool = pa.default_memory_pool()
    # Arrow's own takes more than it is asked for, and the system clears it all before it is used.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        waits = work.waits_for()
        if waits is not None:
            return Built(part_date.isoformat(), "not_ready", message=waits, place=sources.place(SERVER_LOG))
        return work.run()
    except TaskError as error:
        return Built(
            part_date.isoformat(),
            "failed",
            counts=work.counts,
            reason=error.reason,
            message=error.message,
            place=error.place,
        )
    finally:
        engine.forget_all()
        pa.set_memory_pool(pool)


@dataclass
class _Build:
    """The state of one build, so that its steps read one after another."""

    engine: Engine
    sources: LogSources
    day: dt.date
    log_end: dt.date
    run_timestamp: dt.datetime
    out: Path
    options: Options
    places: Mapping[str, Place]
    counts: Counts = field(default_factory=Counts)
    inputs: str | None = None
    files: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        self.part_date = self.day.isoformat()
        self.day_start_us = kst_midnight_us(self.day)
        days = self.options.log_days_before, self.options.log_days_after
        self.earlier, self.wanted = log_dates(self.day, self.log_end, *days)

    def waits_for(self) -> str | None:
        """Return why the log is not ready, or None."""
        self.sources.require(SERVER_LOG)
        missing = [day.isoformat() for day in self.wanted if not self.sources.has_log(day)]
        if not missing:
            under_way = self.sources.under_way([*self.earlier, *self.wanted])
            return under_way and explain(
                f"wv_live_play {self.part_date}",
                under_way,
                state=NOTHING_READ,
                step="run again once it is whole, or take away what a killed writer left",
            )
        newest = self.sources.newest_log(self.wanted[-1])
        return explain(
            f"wv_live_play {self.part_date}",
            f"wv_server_log_base has no partition date_id={', '.join(missing)}; the newest is {newest or 'none'}",
            state=NOTHING_READ,
            step="run again once it is there",
        )

    def run(self) -> Built:
        """Look at the sources, then build and write."""
        delivered = self.sources.delivered(self.engine, [*self.earlier, *self.wanted])
        tables, self.inputs, self.files = delivered.tables, delivered.inputs, delivered.files
        source_checks.require_unique(self.engine, self.part_date, tables)
        sources = source_checks.small_source_counts(self.engine, tables)
        self.counts = Counts(sources=sources)
        wv_live = tables[LIVE.name]
        # Which lives first, their times after: how events are packed depends on what the log holds.
        counted = events.counted_lives(wv_live, self.day_start_us, 0)
        unknown = counted.end_dt.isnull() | counted.video_id.isnull()
        found = self.engine.arrow(counted.select("live_no", "post_id", unknown=unknown).order_by("live_no"))
        posts = found["post_id"].to_pylist()
        log = tables[SERVER_LOG.name]
        survey = source_checks.survey_log(self.engine, log, wv_live, posts, self.day_start_us)
        sources = {SERVER_LOG.name: SourceCount(survey.rows, survey.rejected), **sources}
        self.counts = Counts(
            sources=sources, unmatched_joins=survey.unmatched_joins, unmatched_leaves=survey.unmatched_leaves
        )
        source_checks.require_shares(self.part_date, sources, self.options)
        asked = found.filter(found["unknown"])["post_id"].to_pylist()
        return self._written(tables, posts, asked, survey, sources)

    def _written(
        self,
        tables: Mapping[str, ir.Table],
        posts: list[str],
        asked: list[str],
        survey: source_checks.LogSurvey,
        sources: Mapping[str, SourceCount],
    ) -> Built:
        """Build and write the lives in `posts`; of those in `asked` only the log knows the end or the video."""
        engine, options = self.engine, self.options
        log = tables[SERVER_LOG.name]
        rows = events.of_lives(log, posts or [""], rejects=survey.rejected > 0)
        traits = engine.keep(events.traits(survey.counted), "traits", "small")
        engine.forget("log_survey")
        traits_table = engine.arrow(traits.order_by("traits"))
        packing = Packing.of(survey.first_us, survey.last_us, traits_table.num_rows)
        lives = self._lives(tables[LIVE.name], rows, asked, packing)
        lives_table = engine.arrow(lives.order_by("live_no"))
        source_checks.require_short(self.part_date, lives_table, options)
        clean = source_checks.only_usable(tables, sources)
        everybody_table = self._everybody(lives, clean[JOINT_HISTORY.name])
        everybody = engine.table(everybody_table, "everybody")
        described_table = _described(everybody_table, lives_table, packing)
        labels = Labels(self.run_timestamp, packing.base_us, described_table, traits_table)
        plan = buckets.plan(
            [
                (row["live_no"], survey.delivered.get(row["post_id"], 0))
                for row in lives_table.select(["live_no", "post_id"]).to_pylist()
            ],
            engine.memory_limit,
        )
        parts = DayParts(engine, lives, everybody, options, count=lives_table.num_rows)
        written: dict[str, TableFiles] = {}
        duplicates = 0
        people = engine.table(_people(everybody_table), "people_of_lives")
        step = buckets.BucketWork(engine, clean, lives, everybody, people, traits, packing)
        made = buckets.each(step, rows, plan)
        if engine.executors is not None:
            computed = list(made)
            meanings = distributed_writer.Meanings(described_table, traits, packing, self.run_timestamp)
            contract = wv_live_play.CONTRACT.in_database(options.database)
            for bucket in computed:
                duplicates += bucket.duplicates
                parts.add(bucket)
            written[contract.name] = distributed_writer.play(
                engine.executors, contract, computed, meanings, self._place(contract.name), self.options
            )
        else:
            written[wv_live_play.CONTRACT.name], duplicates = self._streamed(made, parts, labels)
        written[wv_live_play_rejects.CONTRACT.name] = self._rejects(tables, log, posts, sources)
        written |= parts.write(self.out, labels)
        joins, leaves = parts.clicks()
        self.counts = Counts(
            sources=sources,
            unmatched_joins=survey.unmatched_joins,
            unmatched_leaves=survey.unmatched_leaves,
            joins=joins,
            leaves=leaves,
            duplicates=duplicates,
            lives=len(posts),
            viewer_buckets=len(plan),
        )
        warnings = table_checks.after_build(
            engine, self.part_date, options.database, written, self.counts, parts.marks()
        )
        engine.forget("lives", "traits", "everybody", "people_of_lives")
        parts.forget()
        return Built(
            self.part_date,
            "suspect" if warnings else "ok",
            tables=written,
            counts=self.counts,
            final=is_final(self.day, self.log_end, options.log_days_after),
            through=self.wanted[-1],
            inputs=self.inputs,
            files=self.files,
            message=warnings,
        )

    def _lives(self, wv_live: ir.Table, rows: ir.Table, asked: list[str], packing: Packing) -> ir.Table:
        facts = events.late_facts(rows.filter(rows.post_id.isin(asked)), packing.base_us) if asked else None
        lives = events.counted_lives(wv_live, self.day_start_us, packing.base_us)
        return self.engine.keep(events.timed_lives(lives, facts), "lives", "small")

    def _everybody(self, lives: ir.Table, joint: ir.Table) -> pa.Table:
        found = self.engine.arrow(events.participants(lives, joint).order_by("live_no", "guest_joint_seq"))
        return found.append_column("participant_no", array_of(np.arange(found.num_rows, dtype=np.int32)))

    def _streamed(
        self, made: Iterator[buckets.BucketTables], parts: DayParts, labels: Labels
    ) -> tuple[TableFiles, int]:
        """Write the table bucket by bucket as its rows come back; return the files and how many were duplicates."""
        duplicates = 0

        def batches() -> Iterator[pa.Table]:
            nonlocal duplicates
            for bucket in made:
                duplicates += bucket.duplicates
                parts.add(bucket)
                yield from bucket.coded()
                bucket.forget()

        writer = PartWriter(wv_live_play.CONTRACT.in_database(self.options.database), self.out, self.options)
        files = writer.whole(batches(), lambda group: labels.rows(wv_live_play.CONTRACT, group))
        return files, duplicates

    def _place(self, name: str) -> Place:
        """Return where executors write a table: in the folder of this build, where nothing else is said."""
        return self.places.get(name) or Place(str((self.out / name).absolute()), LocalStorage())

    def _rejects(
        self, tables: Mapping[str, Any], log: ir.Table, posts: list[str], sources: Mapping[str, SourceCount]
    ) -> TableFiles:
        contract = wv_live_play_rejects.CONTRACT.in_database(self.options.database)
        if self.engine.executors is not None:
            broken = source_checks.broken_rows(tables, log, posts, sources)
            counts = {name: count.rejected for name, count in sources.items()}
            return distributed_writer.rejects(
                self.engine.executors, contract, broken, counts, self._place(contract.name), self.options
            )
        found = source_checks.rejects(self.engine, tables, log, posts, sources)
        schema = contract.arrow_schema()
        return PartWriter(contract, self.out, self.options).whole(found, lambda group: group.cast(schema))


def _people(everybody: pa.Table) -> pa.Table:
    """Return each live's participants as a list in order: joins do not promise one."""
    lives, first = np.unique(numbers_of(everybody["live_no"]), return_index=True)
    person = [everybody[name].combine_chunks() for name in ("participant_no", "we_art_id")]
    people = pa.StructArray.from_arrays(person, ["participant_no", "we_art_id"])
    ends = array_of(np.append(first, everybody.num_rows).astype(np.int32))
    return pa.table({"live_no": array_of(lives), "people": pa.ListArray.from_arrays(ends, people)})


def _described(everybody: pa.Table, lives: pa.Table, packing: Packing) -> pa.Table:
    """Return the participants with the columns of their live, `tmp_end_dt` as an instant."""
    end = array_of(numbers_of(lives["tmp_end_us"]) + packing.base_us)
    timed = lives.append_column("tmp_end_dt", end.cast(pa.timestamp("us", tz="UTC")))
    # Lives stand in the order of live_no, which counts from 0.
    own = timed.take(everybody["live_no"])
    for name in LIVE_COLUMNS:
        everybody = everybody.append_column(name, own[name])
    return everybody
