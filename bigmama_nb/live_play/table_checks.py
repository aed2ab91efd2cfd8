"""Checks after a build, on what was written: read back, never taken from what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

from bigmama_nb.engines import Engine
from bigmama_nb.errors import PLEASE_REPORT, ContractError, explain
from bigmama_nb.live_play.result import Counts, TableFiles
from bigmama_nb.tables import (
    stats_wv_d_live_play,
    stats_wv_d_live_play_min,
    stats_wv_h_live_play,
    wv_live_play,
    wv_live_play_rejects,
)
from bigmama_nb.tables.contract import Check, Table
from bigmama_nb.tables.live.sources import SERVER_LOG

GROUPED_ROWS = 1_000_000
"""Up to so many rows, checks that group by strings run on what was written."""

OF_A_DAY = (
    wv_live_play,
    wv_live_play_rejects,
    stats_wv_d_live_play,
    stats_wv_h_live_play,
    stats_wv_d_live_play_min,
)


def run(engine: Engine, place: str, contract: Table, files: TableFiles) -> str | None:
    """Read a table's files back: rows, schema and the contract's checks.

    Returns:
        What checks graded `warn` found, or None.

    Raises:
        ContractError: rows or schema are not what was written, or a check graded `fail` found rows.
    """
    found = 0
    for path in files.paths:
        footer = pq.ParquetFile(files.opened(path))
        contract.require_file(footer, place=str(path))
        found += footer.metadata.num_rows
        footer.close()
    if found != files.rows:
        raise ContractError(
            explain(
                place,
                f"{found} rows stand in the files of {contract.full_name}, {files.rows} were written",
                step="look at the disk and run again",
            ),
            place=contract.full_name,
        )
    table = _read_back(engine, contract, files)
    warnings = []
    for check, broken in _broken(engine, contract, table, files.rows):
        says = f"check {check.name} of {contract.full_name}: {check.says}; {broken} rows break it"
        if check.grade == "fail":
            raise ContractError(
                explain(place, says, step=f"compare the sources with the check in tables/{contract.name}.py"),
                place=contract.full_name,
            )
        warnings.append(f"{place}: {says}")
    return "; ".join(warnings) or None


def _read_back(engine: Engine, contract: Table, files: TableFiles) -> ir.Table:
    return engine.read([str(path) for path in files.paths], f"written_{contract.name}", contract.arrow_schema())


def _broken(engine: Engine, contract: Table, table: ir.Table, rows: int) -> list[tuple[Check, int]]:
    """Return the checks that rows break, and how many.

    Checks of one row at a time share one pass over the table. Those of several rows together group by strings, which
    costs as much as the build: on a big table they are left to `buckets.in_order` and `_reconciled`, which know the
    same by numbers.
    """
    of_rows: dict[Check, ir.BooleanValue] = {}
    of_groups: list[Check] = []
    for check in contract.checks:
        operation = check.violations(table).op()
        if isinstance(operation, ops.Filter) and operation.parent == table.op():
            of_rows[check] = ibis.and_(*(predicate.to_expr() for predicate in operation.predicates))
        else:
            of_groups.append(check)
    counts = {f"check_{nth}": broken.cast("int64").sum() for nth, broken in enumerate(of_rows.values())}
    found = engine.arrow(table.agg(**counts)).to_pylist()[0] if counts else {}
    broken = [(check, int(count or 0)) for check, count in zip(of_rows, found.values(), strict=True)]
    if rows <= GROUPED_ROWS:
        for check in of_groups:
            count = engine.arrow(check.violations(table).count().as_table())[0][0].as_py()
            broken.append((check, int(count)))
    return [(check, count) for check, count in broken if count]


def after_build(
    engine: Engine,
    part_date: str,
    database: str,
    written: Mapping[str, TableFiles],
    counts: Counts,
    marks: Mapping[str, Mapping[str, int]],
) -> str | None:
    """Check every table of a part_date, and what they say of one another and of the log.

    Returns:
        What checks graded `warn` found, or None.

    Raises:
        ContractError: naming the check.
    """
    place = f"wv_live_play {part_date}"
    warnings = [run(engine, place, m.CONTRACT.in_database(database), written[m.CONTRACT.name]) for m in OF_A_DAY]
    log = counts.sources[SERVER_LOG.name]
    added = counts.joins + counts.leaves + counts.duplicates + log.rejected
    if added != log.delivered:
        raise ContractError(
            explain(
                place,
                f"{counts.joins} joins, {counts.leaves} leaves, {counts.duplicates} duplicates and {log.rejected} "
                f"rejects make {added}; the log delivered {log.delivered} rows of the counted lives",
                step="a source changed while it was read, or this is a fault of the package: run again, then report it",
            ),
            place=SERVER_LOG.full_name,
        )
    _reconciled(engine, place, written, marks)
    return "; ".join(warning for warning in warnings if warning) or None


def _reconciled(
    engine: Engine, place: str, written: Mapping[str, TableFiles], marks: Mapping[str, Mapping[str, int]]
) -> None:
    """Refuse rows that do not add up to the roll-up and to the viewers' marks, which are computed apart."""
    play = _read_back(engine, wv_live_play.CONTRACT, written[wv_live_play.CONTRACT.name])
    sums = ("u_join_first", "u_leave_last", "d_join_first", "d_leave_last")
    from_rows = engine.arrow(
        play.group_by("post_id", "guest_joint_seq").agg(
            joins=_.join_cnt.sum().cast("int64"),
            leaves=_.leave_cnt.sum().cast("int64"),
            play_seconds=(_.u_join_first == 1).ifelse(_.u_sum_play_time, 0).sum().cast("int64"),
            **{name: play[name].sum().cast("int64") for name in sums},
        )
    )
    daily = pa.concat_tables(_counts(path) for path in written[stats_wv_d_live_play.CONTRACT.name].paths)
    said = {(row["post_id"], row["guest_joint_seq"]): row for row in from_rows.to_pylist()}
    for row in daily.to_pylist():
        key = (row["post_id"], row["guest_joint_seq"])
        meant = {name: row[name] for name in ("joins", "leaves", "play_seconds")} | dict(marks.get(key[0], {}))
        own = said.pop(key, {}) | {"unequal": 0}
        for name, count in meant.items():
            if own.get(name, 0) != count:
                raise _unequal(place, key, name, own.get(name, 0), count)
    for key, own in said.items():
        raise _unequal(place, key, "joins", own["joins"], None)


def _counts(path: Path | str) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(["post_id", "guest_joint_seq", "joins", "leaves", "play_seconds"])


def _unequal(place: str, key: tuple[str, int], name: str, rows: int, meant: int | None) -> ContractError:
    return ContractError(
        explain(
            f"{place}: post_id {key[0]!r}, guest_joint_seq {key[1]}",
            f"the rows add up to {name} {rows}; counted apart it is {meant}",
            step=PLEASE_REPORT,
        ),
        place=wv_live_play.CONTRACT.full_name,
    )
