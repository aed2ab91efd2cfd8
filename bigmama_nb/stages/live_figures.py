"""What the notebooks show of live viewing: aggregates of the files that an attempt built, and the published KPIs.

No viewer's row leaves this module. What computes tables is loaded only where there are some.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bigmama_nb.reports.shown import Html, aligned
from bigmama_nb.runs import artifacts
from bigmama_nb.runs.task import Task
from bigmama_nb.stages.context import StageContext
from bigmama_nb.tables import DAILY, KPI
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.storage import open_storage
from bigmama_nb.warehouse.version import Staged

EDGES_S = (0, 60, 300, 600, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200)
"""Where the bins of the watch time begin, in seconds; the last has no end."""

_COUNTS = {
    "lives": "lives",
    "joint_lives": "joint lives",
    "viewers": "viewers",
    "members": "members",
    "fc_viewers": "fan club viewers",
    "comm_viewers": "community viewers",
    "peak_viewers": "peak viewers",
}


def minutes(here: StageContext) -> pd.DataFrame:
    """Return the viewers of the newest built date's lives by minute.

    Returns:
        part_date string, post_id string, datetime string (KST minute), peak_viewers int64, end_viewers int64,
        known bool (the log that was read covers the minute); each live once, no rows where nothing was built.
    """
    columns = {"post_id": "str", "datetime": "str", "peak_viewers": "int64", "end_viewers": "int64"}
    task, rows = _of_hosts(here, "stats_wv_d_live_play_min", columns)
    through = "" if task is None else str(task.through)
    return rows.assign(known=rows["datetime"].str[:10] <= through)


def watch_time(here: StageContext) -> pd.DataFrame:
    """Return how long the viewers of the newest built date's lives watched, a viewer once for each live it joined.

    Returns:
        part_date string, from_seconds int64, to_seconds Int64 (null: no end), viewers int64: one row a bin.
    """
    task = _newest(here)
    counts = np.zeros(len(EDGES_S), dtype=np.int64)
    if task is not None:
        for batch in _batches(here, task, "wv_live_play", ["u_sum_play_time", "u_join_first", "guest_joint_seq"]):
            own = batch.filter(pc.field("u_join_first") == 1).filter(pc.field("guest_joint_seq") == 0)
            bins = np.searchsorted(EDGES_S, own.column(0).to_numpy(zero_copy_only=False), side="right") - 1
            counts += np.bincount(bins, minlength=len(EDGES_S))
    return pd.DataFrame(
        {
            "part_date": pd.Series(["" if task is None else str(task.part_date)] * len(EDGES_S), dtype="str"),
            "from_seconds": pd.Series(EDGES_S, dtype="int64"),
            "to_seconds": pd.Series([*EDGES_S[1:], pd.NA], dtype="Int64"),
            "viewers": counts,
        }
    )


def audiences(here: StageContext) -> pd.DataFrame:
    """Return who the viewers of the newest built date's lives were.

    Returns:
        part_date string, post_id string, viewers, members, guest_viewers, fc_viewers, comm_viewers, peak_viewers
        int64; one row a live, no rows where nothing was built.
    """
    counts = ("viewers", "members", "guest_viewers", "fc_viewers", "comm_viewers", "peak_viewers")
    return _of_hosts(here, "stats_wv_d_live_play", {"post_id": "str", **dict.fromkeys(counts, "int64")})[1]


def kpis(here: StageContext) -> Html:
    """Return the KPIs of the newest published part_date as readers see them; nothing where there is none.

    Returns:
        A table, a line an artist, the most viewers first: the counts, each by what it is called.
    """
    settings = here.profile.live_play
    if settings is None:
        return Html("", "")
    from bigmama_nb.tables.registry import live_contracts
    from bigmama_nb.warehouse.query import views

    table = live_contracts(settings.database)[KPI].full_name
    with Warehouse.open(here.warehouse) as warehouse:
        partitions = warehouse.catalog.current(table) if warehouse.catalog.entry(table) else {}
        newest = max((name.partition("=")[2] for name in partitions), default=None)
        if newest is None:
            return Html("", "")
        with contextlib.closing(views(warehouse)) as connection:
            found = connection.execute(
                f"SELECT we_art_id, {', '.join(_COUNTS)}, play_seconds // 3600 AS hours_watched FROM {table} "
                "WHERE part_date = ? ORDER BY viewers DESC, we_art_id",
                [newest],
            ).fetchall()
    heads = [newest, *_COUNTS.values(), "hours watched"]
    texts = [[f"artist {artist}", *(f"{count:,}" for count in counts)] for artist, *counts in found]
    says = "Viewers, members and fan club viewers are distinct over the artist's lives of the day."
    html = [f"<h3>The newest date in numbers</h3><p>{says}</p>"]
    html.append('<div class="wide" tabindex="0"><table class="figures"><thead><tr>')
    html += [*(f"<th>{head}</th>" for head in heads), "</tr></thead><tbody>"]
    for name, *cells in texts:
        html += [
            f'<tr><th style="text-align:left">{name}</th>',
            *(f'<td class="n">{cell}</td>' for cell in cells),
            "</tr>",
        ]
    html.append("</tbody></table></div>")
    return Html("".join(html), aligned([heads, *texts]))


def _newest(here: StageContext) -> Task | None:
    """Return a task of the newest date whose files are there."""
    if not artifacts.exists(here.run_dir, artifacts.BUILT):
        return None
    from bigmama_nb.stages.live_play import live_folder

    built = [
        task
        for task in artifacts.read_tasks(here.run_dir, artifacts.BUILT)
        if task.table in DAILY and task.outcome in ("ok", "suspect")
        if live_folder(here.run_dir, str(task.part_date)).is_dir()
    ]
    return max(built, key=lambda task: str(task.part_date), default=None)


def _files(here: StageContext, task: Task, table: str) -> list[Path]:
    content = _content(here, task, table)
    assert not isinstance(content, Staged)
    return content


def _content(here: StageContext, task: Task, table: str) -> Staged | list[Path]:
    from bigmama_nb.live_play.engine import content_of
    from bigmama_nb.stages.live_play import live_folder

    return content_of(live_folder(here.run_dir, str(task.part_date)) / table)


def _batches(here: StageContext, task: Task, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Return columns of a table's files some rows at a time, from wherever they wait."""
    content = _content(here, task, table)
    if isinstance(content, Staged):
        storage = open_storage(here.warehouse.uri, here.warehouse.storage_options)
        for stored in storage.list(content.location):
            yield from pq.ParquetFile(storage.open(stored.location)).iter_batches(columns=columns)
        return
    for path in content:
        yield from pq.ParquetFile(path).iter_batches(columns=columns)


def _of_hosts(here: StageContext, table: str, columns: dict[str, str]) -> tuple[Task | None, pd.DataFrame]:
    """Return a roll-up's rows of the hosts: each live once, whoever its guests are."""
    task = _newest(here)
    if task is None:
        empty = pd.DataFrame(columns=["part_date", *columns]).astype({"part_date": "str", **columns})
        return None, empty
    # Imported where it is used: a report without live viewing reads none.
    import pyarrow.dataset as ds

    files = ds.dataset(_files(here, task, table), format="parquet")
    rows: pa.Table = files.to_table(columns=list(columns), filter=pc.field("guest_joint_seq") == 0)
    frame: pd.DataFrame = rows.to_pandas()
    frame.insert(0, "part_date", str(task.part_date))
    return task, frame.astype({"part_date": "str", **columns})
