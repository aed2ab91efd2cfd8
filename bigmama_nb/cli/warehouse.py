"""The verbs on the warehouse and its tables: sql, export, who-wrote, rollback, recover, ddl, docs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from bigmama_nb.cli import VerbResult, load, verb
from bigmama_nb.cli.operation import show_on_site
from bigmama_nb.errors import NOTHING_DONE, StorageError, UsageError, did_you_mean, how_many


@verb("sql", example="sql \"select * from game_metric where game_cd = 'lw' order by dt\"")
@click.argument("query")
def sql(profile: str | None, query: str) -> VerbResult:
    """Ask the warehouse in SQL: one view a table, as it is at this moment."""
    from bigmama_nb.runs.show import table
    from bigmama_nb.tables.registry import contracts
    from bigmama_nb.warehouse import Warehouse
    from bigmama_nb.warehouse.query import sql as ask

    read = load(profile)
    with Warehouse.open(read.warehouse) as warehouse:
        columns, rows = ask(warehouse, query, expected=contracts(read))
    plain = [[_plain(cell) for cell in row] for row in rows]
    return VerbResult({"columns": columns, "rows": plain}, table(plain, columns))


@verb("export", example="export game_metric /data/game_metric")
@click.argument("table")
@click.argument("folder")
def export(profile: str | None, table: str, folder: str) -> VerbResult:
    """Write a plain copy of a table, all columns in its files, into a new folder."""
    from bigmama_nb.warehouse import Warehouse
    from bigmama_nb.warehouse.query import export as copy

    with Warehouse.open(load(profile).warehouse) as warehouse:
        files = copy(warehouse, table, Path(folder))
    return VerbResult({"path": str(Path(folder))}, f"{how_many(len(files), 'file')} in {Path(folder)}")


@verb("who-wrote", example="who-wrote game_metric dt=20240501")
@click.argument("table")
@click.argument("partition")
def who_wrote(profile: str | None, table: str, partition: str) -> VerbResult:
    """Say for each key of a partition which run wrote it, how far it counts, and from where."""
    from bigmama_nb.runs import show
    from bigmama_nb.warehouse import Warehouse
    from bigmama_nb.warehouse.query import who_wrote as ask

    with Warehouse.open(load(profile).warehouse) as warehouse:
        found = ask(warehouse, table, partition)
    rows = [
        {
            "key": "/".join(key),
            "run": origin.run,
            "attempt": origin.attempt,
            "through": origin.through.isoformat(),
            "final": origin.final,
            "source": origin.source,
            "notebook": origin.notebook,
        }
        for key, origin in found.items()
    ]
    heads = ("key", "run", "attempt", "through", "final", "source", "notebook")
    return VerbResult(rows, show.table([[row[head] for head in heads] for row in rows], heads))


@verb("rollback", example="rollback game_metric dt=20240501")
@click.argument("table")
@click.argument("partition")
@click.argument("version", required=False)
@click.option("--reason", help="Why; the run's record keeps it.")
def rollback(profile: str | None, table: str, partition: str, version: str | None, reason: str | None) -> VerbResult:
    """Point a partition at an earlier version of it: VERSION, or the one before."""
    from bigmama_nb.runs.changes import rollback as point_back
    from bigmama_nb.runs.services import utc_now

    read = load(profile)
    stands = point_back(read, table, partition, version, reason, utc_now())
    show_on_site(read)
    who = f"'run_all.py who-wrote {stands.table} {stands.partition}'"
    text = f"{stands.table} {stands.partition} is {stands.version} again; {who} says what it holds."
    return VerbResult({"text": text}, text)


@verb("recover", example="recover --plan")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be pointed where.")
@click.option("--reason", help="Why; the run's record keeps it.")
def recover(profile: str | None, only_plan: bool, reason: str | None) -> VerbResult:
    """Point every partition at its newest whole version, where the catalog is lost or points at damage.

    Exit status: 0 every partition is whole, 3 some have no whole version left, 1 none has.
    """
    from bigmama_nb.runs.changes import recover as point_again
    from bigmama_nb.runs.services import utc_now
    from bigmama_nb.runs.show import table

    read = load(profile)
    found = point_again(read, reason, utc_now(), only_plan=only_plan)
    if not only_plan:
        show_on_site(read)
    damaged = [one for one in found if one.became == "damaged"]
    heads = ("table", "partition", "became", "version", "before")
    shown = [vars(one) for one in found if one.became != "kept"]
    lines = [table([[row[head] for head in heads] for row in shown], heads)] if shown else []
    changed = len(found) - len(damaged) - sum(one.became == "kept" for one in found)
    lines.append(
        f"{changed:,} of {how_many(len(found), 'partition')} {'would be' if only_plan else 'were'} pointed anew."
    )
    if damaged:
        lines.append(
            f"{len(damaged):,} have no whole version left: a run that brings all rows of the day makes one; else put "
            "their files back from a backup."
        )
    status = 0 if not damaged else 3 if len(damaged) < len(found) else 1
    return VerbResult([{head: vars(one)[head] for head in heads} for one in found], "\n".join(lines), status)


@verb("ddl", example="ddl game_metric")
@click.argument("table")
@click.option("--views", "kst", is_flag=True, help="Print views instead, which show instants as text in Seoul's time.")
def ddl(profile: str | None, table: str, kst: bool) -> VerbResult:
    """Print a table's Hive DDL, comments included, or views of it that every reader shows alike."""
    from bigmama_nb.tables.registry import contracts
    from bigmama_nb.tables.views import views
    from bigmama_nb.warehouse.storage.protocol import join

    read = load(profile)
    known = contracts(read)
    found = [contract for contract in known if table in (contract.name, contract.full_name)]
    if not found:
        names = [contract.name for contract in known]
        raise UsageError(
            f"{table!r} is no table; tables are {', '.join(names)}.{did_you_mean(table, names)}", state=NOTHING_DONE
        )
    if kst:
        text = views(found[0], read.warehouse.timestamp)
    else:
        text = found[0].ddl(join(read.warehouse.uri, f"{found[0].database}.db", found[0].name))
    return VerbResult({"text": text}, text)


@verb("docs", example="docs")
@click.argument("folder", required=False)
def docs(profile: str | None, folder: str | None) -> VerbResult:
    """Write the tables' pages from their contracts, and the page of errors, into FOLDER; else into docs, here."""
    from bigmama_nb import reasons
    from bigmama_nb.project import INSTALLED, ROOT
    from bigmama_nb.tables.docs import pages
    from bigmama_nb.tables.registry import contracts

    target = Path(folder) if folder is not None else (Path.cwd() if INSTALLED else ROOT) / "docs"
    written = pages(contracts(load(profile))) | {"errors.md": reasons.page()}
    try:
        for name, text in written.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{error.filename}: a page cannot be written ({error.strerror}). Pages before it are written; make room or "
            "mend the folder's rights, then run it again.",
            place=str(error.filename),
        ) from None
    return VerbResult({"path": str(target)}, f"{how_many(len(written), 'page')} in {target}")


def _plain(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | int | bool) or (isinstance(cell, float) and math.isfinite(cell)):
        return cell
    return str(cell)
