"""The page of a table, as a data catalog shows a mart: what it is, how it is made, and what changed it last."""

from __future__ import annotations

from bigmama_nb.profile import Profile
from bigmama_nb.site import index
from bigmama_nb.site.pages import Writer, file_name
from bigmama_nb.tables.contract import Table
from bigmama_nb.tables.registry import contracts

PARTITIONS = 60
CHANGES = 40


def write(writer: Writer, found: index.Index, profile: Profile) -> None:
    """Write `tables/<database>.<table>.html` of every table that the profile has, and `tables/index.html`."""
    every = contracts(profile)
    last = {}
    for table in every:
        moved = found.rows(
            """select p.partition, p.version, p.rows, p.bytes, r.run_id, r.ended_at, r.verb from published p
               join run r on r.no = p.run where p.name = ? and r.scratch = 0
               order by r.started_at desc, p.partition desc limit ?""",
            (table.full_name, PARTITIONS),
        )
        last[table.full_name] = moved[0] if moved else None
        made_by = found.rows(
            """select coalesce(r.git, 'unknown') code, count(*) partitions, count(distinct p.run) runs,
                      min(r.started_at) since, max(r.started_at) until from published p join run r on r.no = p.run
               where p.name = ? and r.scratch = 0 group by r.git order by until desc limit ?""",
            (table.full_name, CHANGES),
        )
        notebooks = (
            ("10_extract", "20_normalize", "40_write_parquet.game_metric")
            if table.name in ("game_metric", "game_metric_status")
            else ("30_live_play", "40_write_parquet.wv_live_play")
        )
        writer.page(
            f"tables/{file_name(table.full_name)}.html",
            "table.html",
            table=table,
            moved=moved,
            made_by=made_by,
            owner=_owner(profile, table),
            limit=PARTITIONS,
            notebooks=notebooks,
            ddl=table.ddl(f"{profile.warehouse.uri}/{table.database}.db/{table.name}"),
            known={one.full_name for one in every},
        )
    writer.page("tables/index.html", "tables.html", tables=every, last=last)


def _owner(profile: Profile, table: Table) -> str | None:
    if table.database == profile.warehouse.database and table.name.startswith("game_metric"):
        return profile.warehouse.owner
    return profile.live_play.owner if profile.live_play is not None else None
