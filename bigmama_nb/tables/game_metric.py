"""`bigmama.game_metric`: every game's numbers in one table, one partition a day."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from bigmama_nb.errors import NOTHING_PUBLISHED, ContractError, with_state
from bigmama_nb.tables.contract import Column, Notice, Table

CONTRACT = Table(
    database="bigmama",
    name="game_metric",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("type", "string", "metric: wau, mau or any other that the profile names", nullable=False),
        Column("value", "bigint", "the figure, exact", nullable=False),
        Column(
            "dt",
            "string",
            "day YYYYMMDD that the figure is filed under: the day, the week's Monday or the month's first",
            nullable=False,
        ),
    ),
    partition="dt",
    key=("game_cd", "type"),
    comment="Metrics of every game, one row for each game, metric and dt",
    notice=Notice(
        level="figures",
        purpose="answers how many users a game had, and each other figure of the profile, alike for all games",
        update="merged by key: a run replaces the rows that it brings and keeps all others of the day",
        steps=(
            "10_extract asks each game's collection once for all its metrics",
            "20_normalize checks the figures against the contract and against their own history",
            "40_write_parquet merges them into their days",
        ),
        mind=(
            "A week stands under its Monday and a month under its first: join days by the period that the metric has",
            "A running week or month grows each day; the lineage's `final` says whether it is whole",
            "A row that is not there is no zero: game_metric_status says why",
        ),
    ),
)


def require(rows: pa.Table) -> None:
    """Check figures that are to be published: game_cd, dt, type strings and value int64, no null, one row a key.

    Raises:
        ContractError: naming what is wrong; nothing was published.
    """
    CONTRACT.require(
        rows.select(CONTRACT.arrow_schema(with_partition=True).names).schema, place="20_normalize", with_partition=True
    )
    for name in rows.column_names:
        if rows[name].null_count:
            raise ContractError(
                with_state(f"{CONTRACT.name}: {rows[name].null_count} rows have no {name}", NOTHING_PUBLISHED)
            )
    keys = rows.group_by([CONTRACT.partition, *CONTRACT.key]).aggregate([("value", "count")])
    twice = keys.filter(pc.greater(keys["value_count"], 1))
    if twice.num_rows:
        first = twice.slice(0, 1).to_pylist()[0]
        raise ContractError(
            with_state(
                f"{CONTRACT.name}: {twice.num_rows} keys stand twice, "
                f"{first['game_cd']}/{first['type']}/{first['dt']} among them; expected one row a key",
                NOTHING_PUBLISHED,
            )
        )
