"""Whole runs over live clusters: the same table as from a dump, byte for byte, and the truth where clusters fail."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import CodecOptions
from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from ruamel.yaml import YAML

from bigmama_nb.sample.games import generate
from tests.services import free_port
from tests.services.certificates import self_signed
from tests.services.mongo import MongoServer, ferretdb, mongo_java_server
from tests.services.proxy import Proxy, Swallowing
from tests.sources.asking import write_dump
from tests.sources.holders import can_hold

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "mongodump"
QUICK = "serverSelectionTimeoutMS=1000&connectTimeoutMS=1000"
AS_IT_IS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MongoServer]]:
    """FerretDB, and mongo-java-server for the kinds of values that FerretDB cannot hold."""
    folder = tmp_path_factory.mktemp("servers")
    with ferretdb(folder) as ferret, mongo_java_server(folder) as java:
        yield {"ferretdb": ferret, "mongo_java_server": java}


def run(profile: dict[str, Any], folder: Path, *options: str, env: dict[str, str] | None = None) -> tuple[dict, str]:
    """Run this profile as a user would; the answer of --json, and everything that was put out or archived."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "profile.yaml"
    with path.open("w") as file:
        YAML().dump({**profile, "warehouse": {"uri": "warehouse"}, "archive": {"uri": "archive"}}, file)
    command = [sys.executable, "run_all.py", "run", "--json", "--profile", str(path), *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})})
    answer = json.loads(ran.stdout)
    assert answer["exit_status"] == ran.returncode, ran.stderr
    archived = (
        file.read_text() for file in (folder / "archive").rglob("*") if file.suffix in (".json", ".jsonl", ".ipynb")
    )
    return answer, "\n".join((ran.stdout, ran.stderr, *archived))


def tables(answer: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """What was published, by partition: rows and checksums of the files."""
    return {
        f"{one['table']} {one['partition']}": [(file["rows"], file["sha256"]) for file in one["files"]]
        for one in answer["data"]["published"]
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
    with MongoClient(servers[name].uri) as client:
        for collection, documents in collections.items():
            client[dump.name].create_collection(collection)
            for begin in range(0, len(documents), 5000):
                client[dump.name][collection].insert_many(documents[begin : begin + 5000])
    return name


def live_clusters(servers: dict[str, MongoServer]) -> tuple[dict[str, Any], dict[str, str]]:
    """The servers as clusters of a profile, and the variables that hold their URIs."""
    env = {f"BIGMAMA_{name.upper()}_URI": f"{server.uri}?{QUICK}" for name, server in servers.items()}
    return {name: {"uri_env": f"BIGMAMA_{name.upper()}_URI"} for name in servers}, env


def sample(name: str) -> dict[str, Any]:
    plain = YAML(typ="safe").load(ROOT / "parameters" / name)
    return {key: plain[key] for key in ("timezone", "games", "metrics")}


def test_the_sample_gives_the_same_table_from_live_clusters(tmp_path, servers):
    """The sample's documents on real servers: every published file equals the dump's, byte for byte."""
    generate(tmp_path / "dumps")
    plain = sample("sample.yaml")
    dumps = {cluster: {"dump": str(tmp_path / "dumps" / cluster)} for cluster in ("ncmc2", "ncmc3")}
    days = ("--from", "2024-04-29", "--to", "2024-05-01")
    from_dump, _ = run({**plain, "clusters": dumps}, tmp_path / "from_dump", *days)
    clusters, env = live_clusters(servers)
    held: dict[str, list[str]] = {}
    games = {}
    for game_cd, game in plain["games"].items():
        cluster = loaded(tmp_path / "dumps" / game["cluster"] / game["database"], servers)
        games[game_cd] = {**game, "cluster": cluster}
        held.setdefault(cluster, []).append(game_cd)
    assert len(held["ferretdb"]) > len(held.get("mongo_java_server", ()))
    from_live, _ = run({**plain, "games": games, "clusters": clusters}, tmp_path / "from_live", *days, env=env)
    assert (from_dump["exit_status"], from_live["exit_status"]) == (0, 0)
    assert tables(from_dump) == tables(from_live)
    assert len(tables(from_live)) >= 4
    load = {one["cluster"]: one for one in from_live["data"]["load"]}
    assert all(load[cluster]["queries"] > 0 and load[cluster]["bytes"] > 0 for cluster in held)


def test_real_dumps_give_the_same_table_from_ferretdb(tmp_path, servers):
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
    clusters, env = live_clusters({"ferretdb": servers["ferretdb"]})
    answers = []
    for name, profile, more in [
        ("dump", {"clusters": {"c": {"dump": str(REAL)}}, "games": of("c")}, {}),
        ("live", {"clusters": clusters, "games": of("ferretdb")}, env),
    ]:
        answers.append(
            run({**plain, **profile}, tmp_path / name, "--from", "2017-05-01", "--to", "2017-05-14", env=more)[0]
        )
    dump, live = answers
    assert tables(dump) == tables(live)
    assert len(tables(live)) == 14
    said = [
        {task["id"]: (task["outcome"], task["value"], task["reason"]) for task in one["data"]["tasks"]}
        for one in answers
    ]
    assert said[0] == said[1]


def test_the_trouble_of_live_clusters_is_told_and_the_rest_is_published(tmp_path, servers):
    """A cluster of each kind of trouble, a game each, and one that is well: record, exit status, messages and table.

    Down, silent, refusing the login, TLS only, without the database, too slow, cut within each answer, with a string
    for a number, without a document yet: each costs its own game; no output and no archived file tells a password.
    """
    stats = {"collection": "stats", "date": {"field": "dt", "as": "yyyymmdd"}, "value": {"field": "v"}, "period": "day"}
    good, text, late = (
        [{"_id": 1, "dt": "20240501", "v": 5}],
        [{"_id": 1, "dt": "20240501", "v": "5"}],
        [{"dt": "20240430", "v": 5}],
    )
    ferret = servers["ferretdb"]
    with MongoClient(ferret.uri) as client:
        for database, documents in [("well", good), ("text", text), ("late", late), ("cut", good), ("slow", good)]:
            client[database].stats.insert_many([dict(one) for one in documents])
    write_dump(tmp_path / "dump", "dumped", {"stats": good})
    certificate = self_signed(tmp_path, "server")
    with (
        Swallowing() as silent,
        Proxy(ferret.port) as cut,
        Swallowing() as slow,
        ferretdb(tmp_path / "tls", certificate=certificate) as secured,
    ):
        cut.cut_after = 20
        login = "reader:s3cr3t%2Fp%40ss@"
        uris = {
            "well": ferret.uri,
            "down": f"mongodb://{login}127.0.0.1:{free_port()}/",
            "silent": f"mongodb://127.0.0.1:{silent.port}/",
            "login": f"mongodb://{login}127.0.0.1:{ferret.port}/",
            "tls": secured.uri,
            "cut": cut.uri,
            "slow": f"mongodb://127.0.0.1:{slow.port}/?serverSelectionTimeoutMS=60000",
        }
        env = {f"BIGMAMA_T_{name.upper()}": uri if "?" in uri else f"{uri}?{QUICK}" for name, uri in uris.items()}
        of_game = {"text": "well", "late": "well", "missing": "well"}
        games = {name: {"cluster": of_game.get(name, name), "database": name} for name in [*uris, *of_game]}
        profile = {
            "clusters": {
                "d": {"dump": str(tmp_path / "dump")},
                **{name: {"uri_env": f"BIGMAMA_T_{name.upper()}", "retries": 1} for name in uris},
            },
            "games": {**games, "dumped": {"cluster": "d", "database": "dumped"}},
            "metrics": {"wau": stats},
            "extract_deadline_s": 12,
        }
        answer, output = run(profile, tmp_path / "run", "--date", "2024-05-01", env=env)
    assert answer["exit_status"] == 3
    assert answer["data"]["status"] == "partial"
    tasks = {task["id"].split("/")[0]: task for task in answer["data"]["tasks"]}
    assert {name: task["value"] or task["reason"] or task["outcome"] for name, task in tasks.items()} == {
        "well": 5,
        "dumped": 5,
        "down": "unreachable",
        "silent": "unreachable",
        "login": "auth",
        "tls": "tls",
        "cut": "unreachable",
        "slow": "deadline",
        "text": "wrong_type",
        "late": "not_ready",
        "missing": "source_missing",
    }
    for name, task in tasks.items():
        if task["outcome"] != "ok":
            assert task["message"].startswith(f"{name} wau 20240501: ")
            assert "Other games are not affected; run 'run_all.py repair latest'" in task["message"]
            assert task["published"] == "no"
    assert sum(rows for files in tables(answer).values() for rows, _ in files) == 2
    assert "s3cr3t" not in output
