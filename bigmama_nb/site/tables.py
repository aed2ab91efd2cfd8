"""The page of a table, as a data catalog shows a mart: what it is, how it is made, and what changed it last."""

from __future__ import annotations

from bigmama_nb.profile import Profile
from bigmama_nb.site import index
from bigmama_nb.site.pages import Writer, file_name
from bigmama_nb.tables.registry import contracts

PARTITIONS = 60


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
        notebooks = (
            ("10_extract", "20_normalize", "40_write_parquet")
            if table.name == "game_metric"
            else ("30_live_play", "40_write_parquet")
        )
        writer.page(
            f"tables/{file_name(table.full_name)}.html",
            "table.html",
            table=table,
            moved=moved,
            limit=PARTITIONS,
            notebooks=notebooks,
            ddl=table.ddl(f"{profile.warehouse.uri}/{table.database}.db/{table.name}"),
            known={one.full_name for one in every},
        )
    writer.page("tables/index.html", "tables.html", tables=every, last=last)
