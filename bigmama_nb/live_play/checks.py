"""Checks after a build, on what was written: read back, never taken from what was meant."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

from bigmama_nb.contract import Table
from bigmama_nb.engines import Engine
from bigmama_nb.errors import ContractError
from bigmama_nb.live_play.outcome import Counts, TableFiles
from bigmama_nb.tables import (
    stats_wv_d_live_play,
    stats_wv_d_live_play_min,
    stats_wv_h_live_play,
    wv_live_play,
    wv_live_play_rejects,
)
from bigmama_nb.tables.live_sources import SERVER_LOG

KEPT = "Nothing was published and the published partition stays"
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
        metadata = pq.read_metadata(path)
        contract.require(pq.read_schema(path), place=str(path))
        found += metadata.num_rows
    if found != files.rows:
        raise ContractError(
            f"{place}: {found} rows stand in the files of {contract.full_name}, {files.rows} were written. {KEPT}; "
            f"look at the disk and run again.",
            place=contract.full_name,
        )
    table = engine.read([str(path) for path in files.paths], f"written_{contract.name}")
    warnings = []
    for check in contract.checks:
        broken = int(engine.arrow(check.violations(table).count().as_table())[0][0].as_py())
        if not broken:
            continue
        says = f"{place}: check {check.name} of {contract.full_name}: {check.says}; {broken} rows break it"
        if check.grade == "fail":
            raise ContractError(
                f"{says}. {KEPT}; compare the sources with the check in tables/{contract.name}.py.",
                place=contract.full_name,
            )
        warnings.append(says)
    return "; ".join(warnings) or None


def after_build(
    engine: Engine, part_date: str, database: str, written: Mapping[str, TableFiles], counts: Counts
) -> str | None:
    """Check every table of a part_date, and what they say of one another and of the log.

    Returns:
        What checks graded `warn` found, or None.

    Raises:
        ContractError: naming the check.
    """
    place = f"wv_live_play {part_date}"
    warnings = [run(engine, place, m.contract(database), written[m.CONTRACT.name]) for m in OF_A_DAY]
    log = counts.sources[SERVER_LOG.name]
    told = counts.joins + counts.leaves + counts.duplicates + log.rejected
    if told != log.delivered:
        raise ContractError(
            f"{place}: {counts.joins} joins, {counts.leaves} leaves, {counts.duplicates} duplicates and {log.rejected} "
            f"rejects make {told}; the log delivered {log.delivered} rows of the counted lives. {KEPT}; a source "
            f"changed while it was read, or this is a fault of the package: run again, then report it.",
            place=SERVER_LOG.full_name,
        )
    _reconciled(engine, place, written)
    return "; ".join(warning for warning in warnings if warning) or None


def _reconciled(engine: Engine, place: str, written: Mapping[str, TableFiles]) -> None:
    """Refuse a day whose roll-up and rows, which are computed apart, do not add up to the same."""
    play = engine.read([str(path) for path in written[wv_live_play.CONTRACT.name].paths], "written_wv_live_play")
    first = _.u_join_first == 1
    from_rows = engine.arrow(
        play.group_by("post_id", "guest_joint_seq").agg(
            joins=_.join_cnt.sum().cast("int64"),
            leaves=_.leave_cnt.sum().cast("int64"),
            play_seconds=first.ifelse(_.u_sum_play_time, 0).sum().cast("int64"),
        )
    )
    daily = pa.concat_tables(pq.read_table(path) for path in written[stats_wv_d_live_play.CONTRACT.name].paths).select(
        ["post_id", "guest_joint_seq", "viewers", "joins", "leaves", "play_seconds"]
    )
    said = {(r["post_id"], r["guest_joint_seq"]): r for r in from_rows.to_pylist()}
    for row in daily.to_pylist():
        key = (row["post_id"], row["guest_joint_seq"])
        own = said.pop(key, {"joins": 0, "leaves": 0, "play_seconds": 0})
        for name in ("joins", "leaves", "play_seconds"):
            if own[name] != row[name]:
                raise _unequal(place, key, name, own[name], row[name])
    for key, own in said.items():
        raise _unequal(place, key, "joins", own["joins"], None)


def _unequal(place: str, key: tuple[str, int], name: str, rows: int, daily: int | None) -> ContractError:
    return ContractError(
        f"{place}: post_id {key[0]!r}, guest_joint_seq {key[1]}: the rows hold {name} {rows}, the daily roll-up "
        f"{daily}. {KEPT}; this is a fault of the package, please report it.",
        place=stats_wv_d_live_play.CONTRACT.full_name,
    )
