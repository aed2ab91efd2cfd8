"""Whole runs over live clusters: the same table as from a dump, byte for byte, and each game as it comes.

Every trouble of a cluster: test_live_trouble.py.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import CodecOptions
from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from ruamel.yaml import YAML

from bigmama_nb.runs.services import Services
from bigmama_nb.sample.games import generate
from tests.runs.world import World, in_process
from tests.services.mongo import MongoServer, ferretdb, mongo_java_server
from tests.services.proxy import Proxy
from tests.sources.holders import can_hold

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "mongodump"
AS_IT_IS = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MongoServer]]:
    """FerretDB, and mongo-java-server for the kinds of values that FerretDB cannot hold."""
    folder = tmp_path_factory.mktemp("servers")
    with ferretdb(folder) as ferret, mongo_java_server(folder) as java:
        yield {"ferretdb": ferret, "mongo_java_server": java}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, profile: str | dict[str, Any], *options: str) -> dict[str, Any]:
    """Run a profile that stands in a folder; return the answer of --json."""
    if isinstance(profile, dict):
        folder.mkdir(parents=True)
        with (folder / "dumped.yaml").open("w") as file:
            YAML().dump({**profile, "warehouse": {"uri": "warehouse"}, "archive": {"uri": "archive"}}, file)
        profile = (folder / "dumped.yaml").read_text(encoding="utf-8")
    with in_process(monkeypatch, World(folder, profile)) as world:
        return world.command("run", *options)


def tables(answer: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """What was published of the figures, by partition: rows and checksums; rows of the status table name their run."""
    return {
        f"{one['table']} {one['partition']}": [(file["rows"], file["sha256"]) for file in one["files"]]
        for one in answer["data"]["published"]
        if not one["table"].endswith("game_metric_status")
    }


def loaded(dump: Path, servers: dict[str, MongoServer]) -> str:
    """Load a database's dump into the first server that can hold it; return that server's name."""
    collections = {}
    for path in sorted(dump.glob("*.bson*")):
        if path.suffix in (".bson", ".gz"):
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            collections[path.name.split(".")[0]] = bson.decode_all(content, AS_IT_IS)
    able = (name for name in servers if all(can_hold(name, one) for some in collections.values() for one in some))
    name = next(able)
    with MongoClient[dict[str, Any]](servers[name].uri) as client:
        for collection, documents in collections.items():
            client[dump.name].create_collection(collection)
            for begin in range(0, len(documents), 5000):
                client[dump.name][collection].insert_many(documents[begin : begin + 5000])
    return name


def parameters(name: str) -> str:
    """A profile that comes with the project."""
    return (ROOT / "parameters" / name).read_text(encoding="utf-8")


def test_the_sample_gives_the_same_table_from_live_clusters(
    tmp_path: Path, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """parameters/live.yaml over the sample's documents: every published file equals the dump's, byte for byte.

    One game has values that FerretDB cannot hold: it stands on a third cluster.
    """
    dumps = tmp_path / "out" / "sample" / "mongodump"
    generate(dumps)
    held = {path.name: loaded(path, servers) for path in sorted(dumps.glob("*/*"))}
    assert [game for game, server in held.items() if server != "ferretdb"] == ["bns2"]
    plain, clusters = parameters("live.yaml"), "\nclusters:\n"
    java = "  java: {uri_env: BIGMAMA_JAVA_URI}\n"
    moved = plain.replace("cluster: ncmc3, database: bns2", "cluster: java, database: bns2").replace(
        clusters, clusters + java
    )
    for name, server in {"ncmc2": "ferretdb", "ncmc3": "ferretdb", "java": "mongo_java_server"}.items():
        monkeypatch.setenv(f"BIGMAMA_{name.upper()}_URI", servers[server].uri)
    from_live = run(tmp_path / "live", monkeypatch, moved)
    days = ("--from", "2024-04-29", "--to", "2024-05-01", "--pipelines", "game_metric")
    from_dump = run(tmp_path / "parameters", monkeypatch, parameters("sample.yaml"), *days)
    assert (from_dump["exit_status"], from_live["exit_status"]) == (0, 0)
    assert tables(from_dump) == tables(from_live)
    assert len(tables(from_live)) >= 4
    load = {one["cluster"]: one for one in from_live["data"]["load"]}
    assert load.keys() == {"ncmc2", "ncmc3", "java"}
    assert all(one["queries"] > 0 and one["bytes"] > 0 for one in load.values())


def test_real_dumps_give_the_same_table_from_ferretdb(
    tmp_path: Path, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders and Northwind, made by others: the same files from FerretDB as from the dump."""
    if not REAL.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the real mongodumps are not there", pytrace=False)
        pytest.skip("the real mongodumps are not there: ../shared/data/mongodump beside the checkout")
    orders = {"collection": "orders", "date": {"field": "orderDate", "as": "date"}}
    customers = {**orders, "value": {"count_distinct": "customerId"}}
    northwind = {"collection": "Orders", "date": {"field": "OrderDate", "as": "date"}, "period": "month"}
    games = {"ord": "sample_OrderExample", "nw": "sample_Northwind"}
    of_games = {"ord": ["dau", "d7", "mau", "orders"], "nw": ["customers", "freight"]}
    plain = {
        "timezone": "Asia/Seoul",
        "metrics": {
            "dau": {**customers, "period": "day"},
            "d7": {**customers, "period": "day", "trailing_days": 7},
            "mau": {**customers, "period": "month"},
            "orders": {**orders, "value": {"count": True}, "period": "day"},
            "customers": {**northwind, "value": {"count_distinct": "Customer.Id"}},
            "freight": {**northwind, "value": {"sum": "Freight"}},
        },
    }

    def of(cluster: str) -> dict[str, Any]:
        return {
            game: {"cluster": cluster, "database": database, "metrics": of_games[game]}
            for game, database in games.items()
        }

    assert {loaded(REAL / database, servers) for database in games.values()} == {"ferretdb"}
    monkeypatch.setenv("BIGMAMA_FERRETDB_URI", servers["ferretdb"].uri)
    days = ("--from", "2017-05-01", "--to", "2017-05-14")
    dump, live = (
        run(tmp_path / name, monkeypatch, {**plain, "clusters": {"c": cluster}, "games": of("c")}, *days)
        for name, cluster in [("dump", {"dump": str(REAL)}), ("live", {"uri_env": "BIGMAMA_FERRETDB_URI"})]
    )
    assert tables(dump) == tables(live)
    assert len(tables(live)) == 14
    said = [
        {task["id"]: (task["outcome"], task["value"], task["reason"]) for task in one["data"]["tasks"]}
        for one in (dump, live)
    ]
    assert said[0] == said[1]


WAITING = """
timezone: Asia/Seoul
warehouse: {uri: warehouse}
archive: {uri: archive}
clusters: {live: {uri_env: BIGMAMA_WAITING_URI}}
games:
  early: {cluster: live, database: early}
  late: {cluster: live, database: late}
  later: {cluster: live, database: later}
  never: {cluster: live, database: never}
metrics:
  wau:
    collection: stats
    date: {field: dt, as: yyyymmdd}
    value: {field: value}
    period: day
  buyers:
    collection: orders
    date: {field: at, as: date}
    value: {count_distinct: customer}
    period: day
    ready: {collection: batch_log, match: {job: orders, dt: $dt}}
"""


def test_waiting_publishes_each_game_of_a_live_cluster_as_it_comes(
    tmp_path: Path, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--wait-until` asks a real server again: what arrives between two polls is published by an attempt of its own.

    Of `buyers` the documents alone do not count: the marker that says they are loaded comes a poll later. What has not
    come by then stays not_ready, a poll costs few queries, and no document while the marker is missing.
    """
    noon = datetime(2024, 5, 1, 3, tzinfo=UTC)
    with MongoClient[dict[str, Any]](servers["ferretdb"].uri) as client, Proxy(servers["ferretdb"].port) as proxy:

        def stats(game: str) -> None:
            client[game].stats.insert_one({"dt": "20240501", "value": 5})

        def orders(game: str) -> None:
            client[game].orders.insert_many([{"at": noon, "customer": n % 7} for n in range(20)])

        def marker(game: str) -> None:
            client[game].batch_log.insert_one({"job": "orders", "dt": "20240501"})

        for game in ("early", "late", "later", "never"):
            for collection in ("stats", "orders", "batch_log"):
                client[game].create_collection(collection)
        for come in (stats, orders, marker):
            come("early")
        # What happens before each poll; after the last one the time is over.
        arrivals = iter(
            [
                [(stats, "late"), (orders, "late"), (orders, "later")],
                [(marker, "late")],
                [],
                [(stats, "later"), (marker, "later")],
            ]
        )
        polls: list[tuple[int, int]] = []
        over = False
        ask = Services().extract

        def extract(profile: Any, asks: Any, **names: Any) -> Any:
            nonlocal over
            for come, game in next(arrivals):
                come(game)
            before = sum(proxy.commands.values())
            found = ask(profile, asks, **names)
            polls.append((len(asks), sum(proxy.commands.values()) - before))
            over = len(polls) == 4
            return found

        monkeypatch.setenv("BIGMAMA_WAITING_URI", proxy.uri)
        with in_process(monkeypatch, World(tmp_path / "world", WAITING)) as world:
            world.services = replace(
                world.services,
                extract=extract,
                rest=lambda *_: None,
                clock=lambda: datetime(2098 if over else 2024, 5, 2, tzinfo=UTC),
            )
            answer = world.command("run", "--date", "2024-05-01", "--wait-until", "23:59")
            rows = world.rows()
    assert answer["exit_status"] == 3
    found = {
        task["id"].removesuffix("/20240501"): (task["outcome"], task["attempt"]) for task in answer["data"]["tasks"]
    }
    assert found == {
        "early/wau": ("ok", 1),
        "early/buyers": ("ok", 1),
        "late/wau": ("ok", 2),
        "late/buyers": ("ok", 3),
        "later/wau": ("ok", 4),
        "later/buyers": ("ok", 4),
        "never/wau": ("not_ready", 1),
        "never/buyers": ("not_ready", 1),
    }
    assert len(answer["data"]["attempts"]) == 4
    figures = {"wau": 5, "buyers": 7}
    assert rows == {
        (game, type_, "20240501"): value for game in ("early", "late", "later") for type_, value in figures.items()
    }
    assert [asked for asked, _ in polls] == [6, 5, 4, 4]
    # In the third poll nothing had come.
    idle = polls[2][1]
    assert 4 <= idle <= 4 * 8
    comments = {comment.split()[1] for comment in proxy.comments if comment.startswith("bigmama-nb ")}
    assert len(comments) == 4, comments
