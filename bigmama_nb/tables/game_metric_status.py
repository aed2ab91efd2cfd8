"""`bigmama.game_metric_status`: what became of every figure that a run asked for, one partition a day."""

from __future__ import annotations

from bigmama_nb.tables.contract import Column, Notice, Table

RETRACTED = "retracted: "
"""How the message of a figure begins that was taken out on purpose; its outcome is `ok`."""

CONTRACT = Table(
    database="bigmama",
    name="game_metric_status",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("type", "string", "metric: wau, mau or any other that the profile names", nullable=False),
        Column("outcome", "string", "ok, suspect, not_ready, failed or skipped", nullable=False),
        Column("reason", "string", "why it failed: a reason class"),
        Column("message", "string", "what was found, what was expected, the next step; empty where all is well"),
        Column("run_id", "string", "the run that asked last", nullable=False),
        Column("updated_dt", "timestamp", "when this became known, UTC", nullable=False),
        Column("dt", "string", "day YYYYMMDD, as in game_metric", nullable=False),
    ),
    partition="dt",
    key=("game_cd", "type"),
    comment="What became of every figure of game_metric that a run asked for last, and why where there is no row",
    notice=Notice(
        level="status",
        purpose="tells who may not see the archive why a figure is not there, or is older than expected",
        update="merged by key: a run replaces the rows that it brings and keeps all others of the day",
        steps=(
            "40_write_parquet moves it together with the figures",
            "The run's end tells what that stage could not",
        ),
        mind=(
            "Join by (game_cd, type, dt), from here to game_metric: the figure may be missing",
            "It is the word of the run that asked last; the row that stands may be an earlier run's",
            "A failed outcome beside a row means that the row is of before",
        ),
    ),
)
