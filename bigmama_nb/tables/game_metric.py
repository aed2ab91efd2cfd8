"""`bigmama.game_metric`: every game's numbers in one table, one partition a day."""

from __future__ import annotations

from dataclasses import replace

from bigmama_nb.contract import Column, Table

CONTRACT = Table(
    database="bigmama",
    name="game_metric",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("type", "string", "metric: wau, mau or any other that the profile names", nullable=False),
        Column("value", "bigint", "the figure, exact", nullable=False),
        Column("dt", "string", "day YYYYMMDD that the figure is filed under: the day, the week's Monday or the month's first", nullable=False),
    ),
    partition="dt",
    key=("game_cd", "type"),
    comment="Metrics of every game, one row for each game, metric and dt",
)


def contract(database: str) -> Table:
    """Return the table's contract in the profile's `warehouse.database`."""
    return replace(CONTRACT, database=database)
