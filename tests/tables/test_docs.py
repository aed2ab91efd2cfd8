"""The tables' pages: current, and true to their contracts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bigmama_nb.cli import main
from bigmama_nb.profile import load
from bigmama_nb.project import SAMPLE
from bigmama_nb.tables.contract import Check, Column, Table
from bigmama_nb.tables.docs import page, pages
from bigmama_nb.tables.registry import contracts
from tests.publishing import read_only

DOCS = Path(__file__).parents[2] / "docs"

TABLE = Table(
    database="shop",
    name="orders_daily",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("orders", "bigint", "paid | open, the customer's too"),
        Column("dt", "string", "day YYYYMMDD", nullable=False),
    ),
    partition="dt",
    key=("game_cd",),
    comment="Orders of a game's day",
    upstream=("lw.orders",),
    downstream=("shop.orders_monthly",),
    checks=(Check("positive", "warn", "no count is negative", lambda table: table),),
)


def test_the_committed_pages_are_those_of_the_contracts() -> None:
    """No page is behind its contract, none is missing, and none is of a table that is no more."""
    written = pages(contracts(load(SAMPLE)))
    committed = {
        str(path.relative_to(DOCS)): path.read_text(encoding="utf-8")
        for path in [DOCS / "tables.md", *(DOCS / "tables").iterdir()]
    }
    assert written == committed, "run 'python run_all.py docs'"


def test_a_page_says_all_that_its_contract_says() -> None:
    """Columns with types, comments and nulls, key, partition, checks with grades, neighbours, the DDL."""
    lines = page(TABLE).splitlines()

    assert lines[0] == "# shop.orders_daily"
    assert "| `game_cd` | string | never | code of the game |" in lines
    assert "| `orders` | bigint | yes | paid \\| open, the customer's too |" in lines
    assert "| `positive` | warn | no count is negative |" in lines
    assert "- **Partition**: `dt`, day YYYYMMDD" in lines
    assert "- **Key** within a partition: `game_cd`" in lines
    assert "- **Made from**: `lw.orders`" in lines
    assert "- **Used by**: [shop.orders_monthly](orders_monthly.md)" in lines
    assert "LOCATION '<warehouse.uri>/shop.db/orders_daily'" in lines


def test_every_table_has_its_ddl(capsys: pytest.CaptureFixture[str]) -> None:
    """`ddl` knows each table of the pages, by its name and with its database, and names the warehouse's folder."""
    profile = load(SAMPLE)
    for table in contracts(profile):
        for name in (table.name, table.full_name):
            with pytest.raises(SystemExit) as ended:
                main(["ddl", name, "--profile", str(SAMPLE), "--json"])
            text = json.loads(capsys.readouterr().out)["data"]["text"]
            assert ended.value.code == 0
            assert text.startswith(f"CREATE EXTERNAL TABLE `{table.database}`.`{table.name}` (")
            assert f"LOCATION '{profile.warehouse.uri}/{table.database}.db/{table.name}'" in text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1; the message names the file, the cause, what is left and what to do."""
    with read_only(tmp_path), pytest.raises(SystemExit) as ended:
        main(["docs", str(tmp_path / "docs"), "--profile", str(SAMPLE)])
    err = capsys.readouterr().err

    assert ended.value.code == 1
    assert err.startswith(f"{tmp_path}/docs: a page cannot be written (")
    assert err.endswith("Pages before it are written; make room or mend the folder's rights, then run it again.\n")
