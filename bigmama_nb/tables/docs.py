"""The tables' pages, as Markdown that a repository shows: nothing stands in them that a contract does not say."""

from __future__ import annotations

from collections.abc import Sequence

from bigmama_nb.tables.contract import Table

WAREHOUSE = "<warehouse.uri>"
"""Stands in the pages for the folder, which every profile names for itself."""

MADE = (
    "Made from the contracts in `bigmama_nb/tables` by `python run_all.py docs`; a page that is behind its contract\n"
    "fails the tests. The databases are those of the sample's profile: `warehouse.database` and\n"
    "`live_play.database` name them."
)
CHECKED = (
    "Made of the written files before readers see them. A check that does not hold and is graded `fail` publishes\n"
    "nothing; graded `warn` it makes the task `suspect`."
)


def page(table: Table) -> str:
    """Return a table's page: what it holds, key, columns, checks, where it comes from and goes to, its DDL."""
    parts = [
        f"# {table.full_name}",
        f"{table.comment}.",
        _facts(table),
        *_notice(table),
        "## Columns",
        _grid(
            ("column", "type", "null", "what it says"),
            [
                (f"`{column.name}`", column.type, "yes" if column.nullable else "never", column.comment)
                for column in table.columns
            ],
        ),
    ]
    if table.checks:
        parts += [
            "## Checks",
            CHECKED,
            _grid(
                ("check", "grade", "what must be true"),
                [(f"`{check.name}`", check.grade, check.says) for check in table.checks],
            ),
        ]
    parts += ["## DDL", f"```sql\n{table.ddl(f'{WAREHOUSE}/{table.database}.db/{table.name}').rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def index(tables: Sequence[Table]) -> str:
    """Return the page that names them all."""
    parts = [
        "# Tables",
        MADE,
        _grid(
            ("table", "partition", "what it holds"),
            [
                (f"[{table.full_name}](tables/{table.name}.md)", f"`{table.partition}`", table.comment)
                for table in tables
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def pages(tables: Sequence[Table]) -> dict[str, str]:
    """Return every page by its path below `docs`: `tables.md` and `tables/<table>.md`."""
    return {"tables.md": index(tables)} | {f"tables/{table.name}.md": page(table) for table in tables}


def _notice(table: Table) -> list[str]:
    if table.notice is None:
        return []
    steps = "\n".join(f"{n}. {step}." for n, step in enumerate(table.notice.steps, 1))
    mind = "\n".join(f"- {one}." for one in table.notice.mind)
    return ["## How it is made", f"{table.notice.update.capitalize()}.", steps, "## What to mind", mind]


def _facts(table: Table) -> str:
    partition = table.column(table.partition)
    facts = [] if table.notice is None else [f"- **Level**: {table.notice.level}. It {table.notice.purpose}"]
    facts += [f"- **Partition**: `{partition.name}`, {partition.comment}"]
    if table.key:
        facts.append(f"- **Key** within a partition: {', '.join(f'`{name}`' for name in table.key)}")
    if table.upstream:
        facts.append(f"- **Made from**: {', '.join(f'`{name}`' for name in table.upstream)}")
    if table.downstream:
        links = [f"[{name}]({name.rpartition('.')[2]}.md)" for name in table.downstream]
        facts.append(f"- **Used by**: {', '.join(links)}")
    return "\n".join(facts)


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
