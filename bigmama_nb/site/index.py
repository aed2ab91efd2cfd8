"""An index of the archive beside its records, so that nobody reads a year of run.json to see the newest run.

It is derived: missing, damaged, of another version or behind its records it is made again; where it cannot be written
it is made in memory. Readers see every record as it stands, since each is compared by its file's time and size.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigmama_nb.errors import NOTHING_DONE, UsageError, how_many
from bigmama_nb.runs import archive as archives
from bigmama_nb.runs.record import shown_status
from bigmama_nb.site import records

NAME = "index.sqlite"
VERSION = 2
BATCH = 200
BUSY_S = 30.0
CACHE_KB = 262_144
"""A night's tasks stand all over the index, which is ordered by game and metric; used as far as it is needed."""

_SCHEMA = """
create table run(
    no integer primary key, run_id text not null unique, mtime integer, size integer, why text, verb text,
    status text, exit_status integer, started_at text, ended_at text, heartbeat_at text, date_from text, date_to text,
    pipelines text, profile_path text, profile_sha256 text, git text, scratch integer, attempts integer,
    tasks integer, published integer, ill integer, names text);
create table series(
    no integer primary key, pipeline text, name text, type text, unique(pipeline, name, type));
create table task(
    series integer, day integer, run integer, attempt integer, at integer, outcome text, published text, ill integer,
    value integer, rows integer, through text, final integer, primary key(series, day, run)) without rowid;
create index task_run on task(run);
create index task_ill on task(series, day) where ill = 1;
create table newest(
    series integer, day integer, run integer, attempt integer, at integer, outcome text, published text, ill integer,
    primary key(series, day)) without rowid;
create index newest_day on newest(day);
create index newest_ill on newest(series, day) where ill = 1;
create index newest_run on newest(run);
create table told(
    run integer, series integer, day integer, reason text, message text, place text,
    primary key(run, series, day)) without rowid;
create table published(run integer, name text, partition text, version text, rows integer, bytes integer);
create index published_name on published(name, run);
create index published_run on published(run);
create table notebook(run integer, attempt integer, stem text, outcome text, seconds real);
create index notebook_run on notebook(run);
"""
_OF_NEWEST = "series, day, run, attempt, at, outcome, published, ill"
"""The table `newest` holds the last word on every day: to look for it among all took minutes in a large archive."""

RunRow = dict[str, Any]


class Index:
    """The index, open and up to date; made by `opened`."""

    def __init__(self, connection: sqlite3.Connection, root: Path) -> None:
        connection.row_factory = sqlite3.Row
        self._connection = connection
        self._root = root

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return what a query finds, each row by its columns' names."""
        return [dict(row) for row in self._connection.execute(sql, parameters)]

    def runs(self, *, names: bool = False) -> list[RunRow]:
        """Return every run, oldest first, with its status as readers see it; an unreadable one with `why`.

        With `names` each has those of its games and metrics, which are most of a run's bytes.
        """
        columns = [row["name"] for row in self.rows("pragma table_info(run)") if names or row["name"] != "names"]
        found = {row["run_id"]: row for row in self.rows(f"select {', '.join(columns)} from run")}
        now = datetime.now(UTC)
        for row in found.values():
            row["status"] = shown_status(row["status"], row["run_id"], row["heartbeat_at"], now)
            row["pipelines"] = json.loads(row["pipelines"])
        return [found[run_id] for run_id in archives.in_order(self._root, list(found))]

    def problems(self) -> list[dict[str, Any]]:
        """Return every task whose newest outcome is no success, with the run that says so and what it told."""
        return self.rows(
            """select s.pipeline, s.name, s.type, t.day, t.attempt, t.outcome, r.run_id, r.profile_path,
                    coalesce(d.reason, '') reason, coalesce(d.message, '') message, coalesce(d.place, '') place,
                    (select max(g.day) from task g where g.series = t.series and g.ill = 0 and g.published = 'yes')
                        last_good,
                    (select count(*) from task g where g.series = t.series and g.day = t.day and g.ill = 1) times
                from newest t join series s on s.no = t.series join run r on r.no = t.run
                left join told d on d.run = t.run and d.series = t.series and d.day = t.day
                where t.ill = 1 order by s.pipeline, s.name, s.type, t.day"""
        )

    def newest(self, since: int) -> list[dict[str, Any]]:
        """Return the newest word on every day from `since`: pipeline, name, type, day, outcome, published, run_id."""
        return self.rows(
            """select s.pipeline, s.name, s.type, t.day, t.outcome, t.published, t.ill, r.run_id
                from newest t join series s on s.no = t.series join run r on r.no = t.run
                where t.day >= ? and s.pipeline <> 'tables'""",
            (since,),
        )

    def history(self, pipeline: str, name: str, days: int) -> list[dict[str, Any]]:
        """Return every word on the newest `days` of a game's metrics, or of a table; newest day and word first."""
        found = []
        for series in self.rows("select no, type from series where pipeline = ? and name = ?", (pipeline, name)):
            newest = self.rows(
                "select distinct day from task where series = ? order by day desc limit ?", (series["no"], days)
            )
            if newest:
                found += self.rows(
                    """select ? type, t.*, r.run_id, r.verb, coalesce(d.reason, '') reason,
                            coalesce(d.message, '') message
                        from task t join run r on r.no = t.run
                        left join told d on d.run = t.run and d.series = t.series and d.day = t.day
                        where t.series = ? and t.day >= ? order by t.day desc, t.at desc, t.run desc""",
                    (series["type"], series["no"], newest[-1]["day"]),
                )
        return found


@contextmanager
def opened(archive: Path) -> Iterator[Index]:
    """Open the index of an archive, brought up to its records; closed at the end.

    Raises:
        OSError: the index cannot be made, not even in memory, or cannot be read.
    """
    try:
        with contextlib.closing(_up_to_date(archive)) as connection:
            yield Index(connection, archive)
    except sqlite3.Error as error:
        raise OSError(f"{archive / NAME}: {error}") from error


def find(archive: Path, name: str) -> str:
    """Return the id of the run that `name` names, as `runs.archive.find`; `latest-ok` from the index.

    Raises:
        UsageError: no run or several runs are named so.
    """
    if name != "latest-ok":
        return archives.find(archive, name)
    with opened(archive) as index:
        runs = index.runs()
    if not runs:
        return archives.find(archive, name)
    for run in reversed(runs):
        if run["status"] == "ok":
            return str(run["run_id"])
    raise UsageError(f"{archive}: none of {how_many(len(runs), 'run')} is ok", state=NOTHING_DONE)


def _up_to_date(archive: Path) -> sqlite3.Connection:
    path = archive / NAME
    if not (archive / "runs").is_dir():
        return _made(":memory:", archive)
    try:
        return _made(path, archive)
    except sqlite3.OperationalError:
        # Read-only, full, or held by another process for too long.
        return _made(":memory:", archive)
    except sqlite3.DatabaseError:
        # Damaged: nothing is lost by it.
        with contextlib.suppress(OSError):
            path.unlink()
    try:
        return _made(path, archive)
    except sqlite3.DatabaseError:
        return _made(":memory:", archive)


def _made(path: Path | str, archive: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        # A power cut may cost the index, which is then made again.
        connection.execute("pragma synchronous = off")
        connection.execute(f"pragma cache_size = -{CACHE_KB}")
        if connection.execute("pragma user_version").fetchone()[0] != VERSION:
            _begin_anew(connection)
        _refresh(connection, archive)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_anew(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        # Another process may have done it while this one waited.
        if connection.execute("pragma user_version").fetchone()[0] == VERSION:
            return
        for (name,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            connection.execute(f'drop table "{name}"')
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _refresh(connection: sqlite3.Connection, archive: Path) -> None:
    on_disk = _on_disk(archive / "runs")
    known = {run_id: (mtime, size) for run_id, mtime, size in connection.execute("select run_id, mtime, size from run")}
    gone = sorted(known.keys() - on_disk.keys())
    changed = sorted(run_id for run_id, stamp in on_disk.items() if known.get(run_id) != stamp)
    for start in range(0, len(gone) + len(changed), BATCH):
        with _transaction(connection):
            for run_id in (gone + changed)[start : start + BATCH]:
                _forget(connection, run_id)
                if run_id in on_disk:
                    _add(connection, archive, run_id)


def _on_disk(runs: Path) -> dict[str, tuple[int, int]]:
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(runs):
            if archives.RUN_ID.fullmatch(entry.name) and (stamp := _stamp(entry.path)) is not None:
                found[entry.name] = stamp
    return found


def _stamp(folder: str | Path) -> tuple[int, int] | None:
    """Return when a run's record was written and its size; zeros where it was lost, None where there never was one."""
    try:
        of = os.stat(f"{folder}/run.json")
    except OSError:
        return (0, 0) if archives.was_recorded(Path(folder)) else None
    return of.st_mtime_ns, of.st_size


def _forget(connection: sqlite3.Connection, run_id: str) -> None:
    found = connection.execute("select no from run where run_id = ?", (run_id,)).fetchone()
    if found is not None:
        connection.execute("delete from run where no = ?", found)
        said = connection.execute("select series, day from newest where run = ?", found).fetchall()
        for table in ("task", "newest", "told", "published", "notebook"):
            connection.execute(f"delete from {table} where run = ?", found)
        connection.executemany(
            f"insert into newest select {_OF_NEWEST} from task where series = ? and day = ? "
            "order by at desc, run desc limit 1",
            said,
        )


def _add(connection: sqlite3.Connection, archive: Path, run_id: str) -> None:
    folder = archive / "runs" / run_id
    # Before it is read: what is written in between is then seen as a change.
    stamp = _stamp(folder)
    if stamp is None:
        return
    try:
        data = records.load(folder / "run.json")
        _add_readable(connection, run_id, stamp, data)
    except (
        records.UnreadableError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        OverflowError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        _forget(connection, run_id)
        connection.execute(
            "insert into run(run_id, mtime, size, why, status, pipelines, scratch, attempts, tasks, published, ill, "
            "names) values (?, ?, ?, ?, 'unreadable', '[]', 0, 0, 0, 0, 0, '[[], []]')",
            (run_id, *stamp, re.sub(r"\s+", " ", str(error))),
        )


def _add_readable(connection: sqlite3.Connection, run_id: str, stamp: tuple[int, int], data: dict[str, Any]) -> None:
    tasks = list(records.tasks(data))
    attempts = data["attempts"]
    names = [sorted({task.name for task in tasks}), sorted({task.type for task in tasks if task.type})]
    cursor = connection.execute(
        "insert into run values (null, ?, ?, ?, null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            *stamp,
            data.get("verb", "run"),
            data["status"],
            data.get("exit_status"),
            attempts[0]["started_at"] if attempts else None,
            attempts[-1]["ended_at"] if attempts else None,
            attempts[-1]["heartbeat_at"] if attempts else None,
            data.get("from"),
            data.get("to"),
            json.dumps(data["pipelines"]),
            data["profile"]["path"],
            data["profile"].get("sha256"),
            (data.get("environment") or {}).get("git"),
            int(bool(data.get("scratch"))),
            len(attempts),
            len(data["tasks"]),
            sum(task.published == "yes" for task in tasks),
            sum(task.ill for task in tasks),
            json.dumps(names),
        ),
    )
    run = cursor.lastrowid
    for attempt in attempts:
        connection.executemany(
            "insert into notebook values (?, ?, ?, ?, ?)",
            [
                (run, attempt["n"], records.stem(book), book["outcome"], book["seconds"])
                for book in attempt["notebooks"]
                if book["path"]
            ],
        )
    if data.get("scratch"):
        # What is tried out in a scratch warehouse is nobody's figure.
        return
    series = {(task.pipeline, task.name, task.type) for task in tasks}
    connection.executemany("insert or ignore into series values (null, ?, ?, ?)", sorted(series))
    number = {
        key: connection.execute("select no from series where pipeline = ? and name = ? and type = ?", key).fetchone()[0]
        for key in series
    }
    of = [(number[task.pipeline, task.name, task.type], task) for task in tasks]
    connection.executemany(
        "insert or replace into task values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                no,
                one.day,
                run,
                one.attempt,
                one.at,
                one.outcome,
                one.published,
                int(one.ill),
                one.value,
                one.rows,
                one.through,
                one.final,
            )
            for no, one in of
        ],
    )
    connection.execute(
        f"insert into newest select {_OF_NEWEST} from task where run = ? on conflict(series, day) do update set "
        "run = excluded.run, attempt = excluded.attempt, at = excluded.at, outcome = excluded.outcome, "
        "published = excluded.published, ill = excluded.ill where (excluded.at, excluded.run) > (at, run)",
        (run,),
    )
    connection.executemany(
        "insert or replace into told values (?, ?, ?, ?, ?, ?)",
        [(run, no, one.day, one.reason, one.message, one.place) for no, one in of if one.message or one.reason],
    )
    connection.executemany(
        "insert into published values (?, ?, ?, ?, ?, ?)",
        [
            (
                run,
                one["table"],
                one["partition"],
                one["version"],
                sum(file["rows"] for file in one["files"]),
                sum(file["bytes"] for file in one["files"]),
            )
            for one in data["published"]
        ],
    )
