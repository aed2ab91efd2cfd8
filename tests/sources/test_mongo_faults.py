"""Every way a cluster can fail, made for real: it costs its own games, says why in a line, and tells no password."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from bigmama_nb.errors import SourceError
from bigmama_nb.runs.check import check_sources
from bigmama_nb.sources.extract import open_source
from bigmama_nb.sources.mongo import Mongo
from bigmama_nb.sources.mongo_client import REPLY
from tests.services import free_port, listens
from tests.services.certificates import self_signed
from tests.services.mongo import MongoServer, ferretdb, mongo_java_server
from tests.services.proxy import Proxy, Swallowing
from tests.sources.asking import a_profile, ask, by_task, connecting, said, write_dump

ROOT = Path(__file__).parents[2]
MAY_1 = date(2024, 5, 1)
DT = "20240501"
PASSWORD = "s3cr3t/p@ss"
QUOTED = "s3cr3t%2Fp%40ss"
WAU = {"collection": "stats", "date": {"field": "dt", "as": "yyyymmdd"}, "value": {"field": "v"}, "period": "day"}
SUM = {"collection": "orders", "date": {"field": "at", "as": "date"}, "value": {"sum": "v"}, "period": "day"}
ORDERS = 3000
QUICK = "serverSelectionTimeoutMS=700&connectTimeoutMS=700"

numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A FerretDB with one game's documents."""
    with ferretdb(tmp_path_factory.mktemp("ferretdb")) as started:
        fill(started)
        yield started


def noting(asked: list[dict[str, Any]]) -> Callable[[dict[str, Any]], bool]:
    """What a proxy watches commands by: each is noted, and none is held."""

    def note(command: dict[str, Any]) -> bool:
        asked.append(command)
        return False

    return note


def fill(server: MongoServer, databases: tuple[str, ...] = ("lw",), orders: int = ORDERS, **options: Any) -> None:
    noon = datetime(2024, 5, 1, 3, tzinfo=UTC)
    with MongoClient[dict[str, Any]](server.uri, **options) as client:
        for database in databases:
            client[database].stats.insert_many([{"_id": 1, "dt": DT, "v": 5}, {"_id": 2, "dt": "20240430", "v": 4}])
            client[database].orders.insert_many(
                [{"_id": n, "at": noon + timedelta(seconds=n), "v": 1, "note": "x" * 100} for n in range(orders)]
            )


def live(
    tmp_path: Path, uri: str, *, metrics: Any = None, games: Any = ("lw",), settings: Any = None, **sections: Any
) -> Any:
    """A profile of one live cluster, ncmc3, and beside it one game, `ok`, in a dump on ncmc2."""
    variable = f"BIGMAMA_TEST_FAULT_{next(numbers)}_URI"
    os.environ[variable] = uri
    write_dump(tmp_path / "dump", "ok", {"stats": [{"dt": DT, "v": 7}], "orders": []})
    return a_profile(
        tmp_path,
        clusters={
            "ncmc2": {"dump": "dump"},
            "ncmc3": {"uri_env": variable, "retries": 0, "max_staleness_s": None, **(settings or {})},
        },
        games={
            "ok": {"cluster": "ncmc2", "database": "ok", "metrics": ["wau"]},
            **{game: {"cluster": "ncmc3", "database": game} for game in games},
        },
        metrics=metrics or {"wau": WAU},
        **sections,
    )


def outcome(
    profile: Any, caplog: pytest.LogCaptureFixture, capfd: Any, *, reason: str, task: str = f"lw/wau/{DT}"
) -> Any:
    """The failed game's outcome, after it was asserted that only this game failed, and that nothing tells a secret."""
    with caplog.at_level(logging.DEBUG):
        extraction = ask(profile, MAY_1)
    found = by_task(extraction)
    assert said(found[f"ok/wau/{DT}"]) == 7
    failed = found[task]
    assert said(failed) == reason, failed.message
    output = "".join((*capfd.readouterr(), caplog.text, repr(extraction)))
    assert "s3cr3t" not in output
    assert "Other games are not affected; run 'run_all.py repair latest'" in str(failed.message)
    assert str(failed.message).count("\n") == 0
    return failed


def test_an_unset_variable(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A cluster whose variable is not set is unreachable, and the variable is named."""
    profile = live(tmp_path, "")
    failed = outcome(profile, caplog, capfd, reason="unreachable")
    assert (
        f"the variable {profile.clusters['ncmc3'].uri_env} that should hold the URI of ncmc3 is not set"
        in failed.message
    )


@pytest.mark.parametrize(
    "uri", [f"mongo://u:{QUOTED}@h/", f"mongodb://u:{PASSWORD}@h/", f"mongodb://u:{QUOTED}@h/?tls=perhaps", "x"]
)
def test_a_uri_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any, uri: Any) -> None:
    """A URI that cannot be used is unreachable, and not a word of it is shown."""
    failed = outcome(live(tmp_path, uri), caplog, capfd, reason="unreachable")
    assert "the URI of ncmc3 in the variable" in str(failed.message)
    assert "expected mongodb://user:password@host:port/?options" in str(failed.message)


@pytest.mark.parametrize("password", ["s3cr3t@HorseBattery9/x", "s3cr3t/x", "s3cr3t@x", "s3cr3t:x", "s3cr3t?x"])
def test_a_password_that_is_not_escaped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any, password: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part of it is taken for a host: nothing is asked, of a name server neither, and nothing is shown."""
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host))
    failed = outcome(
        live(tmp_path, f"mongodb://u:{password}@127.0.0.1:1/?{QUICK}"), caplog, capfd, reason="unreachable"
    )
    assert asked == []
    assert "horsebattery9" not in repr(failed).lower()
    assert "'@' is written as %40" in str(failed.message)
    assert "Nothing was asked" in str(failed.message)


def test_a_file_of_certificates_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A missing tlsCAFile is tls, and named."""
    profile = live(tmp_path, f"mongodb://u:{QUOTED}@127.0.0.1:1/?tls=true&tlsCAFile=/nowhere/ca.pem&{QUICK}")
    failed = outcome(profile, caplog, capfd, reason="tls")
    assert "names a file of certificates /nowhere/ca.pem that cannot be read" in str(failed.message)


def test_an_unknown_host(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A host that no name server knows is unreachable, and named."""
    profile = live(tmp_path, f"mongodb://u:{QUOTED}@nowhere.invalid:27017/?{QUICK}")
    failed = outcome(profile, caplog, capfd, reason="unreachable")
    assert "nowhere.invalid:27017" in str(failed.message)


def test_a_server_that_is_down(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A port that nobody listens on is unreachable, and named."""
    port = free_port()
    failed = outcome(live(tmp_path, f"mongodb://127.0.0.1:{port}/?{QUICK}"), caplog, capfd, reason="unreachable")
    assert f"127.0.0.1:{port}: [Errno 111] Connection refused" in str(failed.message)


def test_a_server_that_accepts_and_never_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """Silence is unreachable, after the time that the URI gives it."""
    with Swallowing() as silent:
        profile = live(tmp_path, f"mongodb://127.0.0.1:{silent.port}/?{QUICK}")
        failed = outcome(profile, caplog, capfd, reason="unreachable")
    assert f"127.0.0.1:{silent.port}: timed out" in str(failed.message)


def test_one_game_finds_out_for_all(tmp_path: Path, server: Any) -> None:
    """Once a cluster is known to be down, the other games do not wait for it one by one."""
    port = free_port()
    games = tuple(f"g{n}" for n in range(300))
    profile = live(
        tmp_path, f"mongodb://127.0.0.1:{port}/?{QUICK}", games=games, extract_deadline_s=20, settings={"retries": 1}
    )
    found = by_task(ask(profile, MAY_1))
    assert {"unreachable"} == {said(one) for task, one in found.items() if not task.startswith("ok/")}


def test_a_login_that_is_refused(tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A refused user is auth, tried once and not again: retries lock accounts."""
    with Proxy(server.port) as proxy:
        profile = live(
            tmp_path,
            f"mongodb://reader:{QUOTED}@127.0.0.1:{proxy.port}/?{QUICK}",
            games=("lw", "bns"),
            settings={"retries": 5, "max_concurrency": 1},
        )
        failed = outcome(profile, caplog, capfd, reason="auth")
        assert proxy.logins == 1
    assert "ncmc3, lw: the login was refused" in str(failed.message)


def test_pauses_between_tries_grow_and_vary(tmp_path: Path, server: Any) -> None:
    """Four retries of what can pass: each pause is somewhere below twice the one before's bound, and none are alike."""
    pauses: list[float] = []
    with Proxy(server.port) as proxy:
        proxy.cut_after = 0
        profile = live(tmp_path, f"{proxy.uri}?{QUICK}", settings={"retries": 4})
        found = by_task(ask(profile, MAY_1, connect=connecting(pause=pauses.append)))
        assert said(found[f"lw/wau/{DT}"]) == "unreachable"
    assert proxy.cuts == 5
    assert len(set(pauses)) == 4
    assert all(0 <= pause <= 0.5 * 2**number for number, pause in enumerate(pauses))


def test_an_unknown_database(tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A database that is not there is source_missing, with the nearest there is."""
    profile = live(tmp_path, server.uri, games=("lws",))
    failed = outcome(profile, caplog, capfd, reason="source_missing", task=f"lws/wau/{DT}")
    assert "ncmc3 has no database 'lws', or its account may not see it. Did you mean 'lw'?" in str(failed.message)


def test_a_query_that_the_server_refuses(
    tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """A query that the server does not take is query_refused, and is not asked again."""
    with Proxy(server.port) as proxy:
        # Python and MongoDB repeat as often; FerretDB's expressions end at a thousand.
        refused = {**SUM, "match": {"note": {"$regex": "^x{1,1001}"}}}
        profile = live(tmp_path, f"{proxy.uri}?{QUICK}", metrics={"wau": WAU, "sum": refused}, settings={"retries": 5})
        asked: list[dict[str, Any]] = []
        proxy.watch = noting(asked)
        failed = outcome(profile, caplog, capfd, reason="query_refused", task=f"lw/sum/{DT}")
    assert ["{1,1001}" in repr(command) for command in asked].count(True) == 1
    assert "the server refused the query" in str(failed.message)


def test_max_time_ms_is_exceeded(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any, server: Any) -> None:
    """A query that takes the server longer than max_time_ms is query_timeout, with the limit."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.slow.orders.insert_many(
            [{"at": datetime(2024, 5, 1, 3, tzinfo=UTC), "v": 1, "n": "x" * 3000} for _ in range(9000)]
        )
    profile = live(tmp_path, server.uri, metrics={"wau": WAU, "sum": SUM}, games=("slow",), settings={"max_time_ms": 1})
    failed = outcome(profile, caplog, capfd, reason="query_timeout", task=f"slow/sum/{DT}")
    assert "a query took longer than max_time_ms = 1" in str(failed.message)


def test_answers_slower_than_the_deadline(
    tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """A server that would answer after the deadline is failed: deadline, and the return does not wait for it."""
    with Proxy(server.port) as proxy:
        proxy.hold = threading.Event()
        profile = live(tmp_path, f"{proxy.uri}?{QUICK}", extract_deadline_s=1)
        failed = outcome(profile, caplog, capfd, reason="deadline")
    assert "not done within extract_deadline_s = 1 s" in str(failed.message)


def test_what_is_closed_does_not_connect_again(tmp_path: Path, server: Any) -> None:
    """A thread that was left behind at the deadline, and wakes up later, makes no connection that nobody closes."""
    profile = live(tmp_path, server.uri)
    source = open_source(
        profile, "ncmc3", comment="", check=lambda: None, stopped=threading.Event(), deadline=float("inf")
    )
    assert source.collections("lw") == ["orders", "stats"]
    source.close()
    with pytest.raises(SourceError, match=r"^ncmc3 is not asked any longer, as the time for it is over$") as raised:
        source.collections("lw")
    assert raised.value.reason == "deadline"


def test_a_connection_reset_within_an_answer(
    tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Half an answer counts for nothing: with a retry the figure is whole, without one it is unreachable."""
    with Proxy(server.port) as proxy:
        proxy.cut_after = 20_000
        profile = live(tmp_path, f"{proxy.uri}?{QUICK}", metrics={"wau": WAU, "sum": SUM})
        failed = outcome(profile, caplog, capfd, reason="unreachable", task=f"lw/sum/{DT}")
        assert proxy.cuts == 1
        assert "the connection broke off" in str(failed.message)
        heal = live(tmp_path, f"{proxy.uri}?{QUICK}", metrics={"wau": WAU, "sum": SUM}, settings={"retries": 3})
        healing = threading.Event()
        proxy.cuts = 0

        def mend(_: float) -> None:
            if proxy.cuts:
                proxy.cut_after = None
                healing.set()

        found = by_task(ask(heal, MAY_1, connect=connecting(pause=mend)))
        assert (healing.is_set(), said(found[f"lw/sum/{DT}"])) == (True, ORDERS)


def test_a_server_killed_in_the_middle_of_a_read(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A server that dies while it answers is unreachable; nothing of the half that came is used."""
    with ferretdb(tmp_path / "ferretdb") as dying:
        fill(dying)
        with Proxy(dying.port) as proxy:
            hold = proxy.hold = threading.Event()
            proxy.watch = lambda command: command.get("batchSize") == REPLY and "find" in command
            proxy.cut_after = 20_000

            def kill() -> None:
                proxy.asked.wait()
                dying.kill()
                hold.set()

            threading.Thread(target=kill, daemon=True).start()
            profile = live(tmp_path, f"{proxy.uri}?{QUICK}", metrics={"wau": WAU, "sum": SUM})
            outcome(profile, caplog, capfd, reason="unreachable", task=f"lw/sum/{DT}")


def test_a_server_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    """What can pass is asked again: a server that is restarted during the pause answers after it."""
    port = free_port()
    started: list[MongoServer] = []
    with ferretdb(tmp_path / "ferretdb", port=port) as first:
        fill(first)

    def restart(_: float) -> None:
        if not started:
            started.append(ferretdb(tmp_path / "ferretdb", port=port))

    profile = live(tmp_path, f"mongodb://127.0.0.1:{port}/?{QUICK}", settings={"retries": 2})
    found = by_task(ask(profile, MAY_1, connect=connecting(pause=restart)))
    started[0].stop()
    assert said(found[f"lw/wau/{DT}"]) == 5


@pytest.fixture(scope="module")
def secured(tmp_path_factory: Any) -> Iterator[tuple[MongoServer, Path]]:
    """A FerretDB that speaks TLS only, and its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = self_signed(folder, "server")
    with ferretdb(folder, certificate=certificate) as started:
        fill(started, tls=True, tlsCAFile=str(certificate[0]))
        yield started, certificate[0]


def test_tls_that_is_trusted(tmp_path: Path, secured: Any) -> None:
    """With the right authority the figure comes over TLS."""
    server, certificate = secured
    profile = live(tmp_path, f"{server.uri}?tls=true&tlsCAFile={certificate}&{QUICK}")
    assert said(by_task(ask(profile, MAY_1))[f"lw/wau/{DT}"]) == 5


def test_tls_is_required(tmp_path: Path, secured: Any, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A server that speaks TLS only, asked without: tls, and the message says what to add."""
    failed = outcome(live(tmp_path, f"{secured[0].uri}?{QUICK}"), caplog, capfd, reason="tls")
    assert "the server speaks TLS and the URI does not ask for it; add tls=true to it" in str(failed.message)


def test_a_wrong_certificate(tmp_path: Path, secured: Any, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A server whose certificate another authority signed is not trusted: tls."""
    other, _ = self_signed(tmp_path, "other")
    uri = f"{secured[0].uri}?tls=true&tlsCAFile={other}&{QUICK}"
    failed = outcome(live(tmp_path, uri), caplog, capfd, reason="tls")
    assert "certificate verify failed" in str(failed.message)


def test_tls_asked_of_a_plain_server(tmp_path: Path, server: Any, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """TLS asked of a server that does not speak it never falls back to plain."""
    failed = outcome(live(tmp_path, f"{server.uri}?tls=true&{QUICK}"), caplog, capfd, reason="tls")
    assert "no secure connection" in str(failed.message)


@pytest.fixture(scope="module")
def primary(tmp_path_factory: Any) -> Iterator[MongoServer]:
    """A replica set's primary that has no secondary."""
    with mongo_java_server(tmp_path_factory.mktemp("primary"), replica_set="rs0") as started:
        fill(started, orders=1, directConnection=True)
        yield started


def test_a_primary_with_no_secondary(
    tmp_path: Path, primary: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """secondaryPreferred reads from the primary where it is alone; secondary is unreachable, and says why."""
    uri = f"{primary.uri}?replicaSet=rs0&{QUICK}"
    preferred = live(tmp_path, uri, settings={"max_staleness_s": 90})
    assert said(by_task(ask(preferred, MAY_1))[f"lw/wau/{DT}"]) == 5
    only = live(tmp_path, uri, settings={"read_preference": "secondary"})
    failed = outcome(only, caplog, capfd, reason="unreachable")
    assert "No replica set members match selector" in str(failed.message)
    assert "Secondary" in str(failed.message)


MAY_2 = datetime(2024, 5, 2, tzinfo=UTC)


def test_check_says_what_answers(tmp_path: Path, primary: Any, server: Any) -> None:
    """`check` names the member that answers, whether the read preference is met, newest dates and indexes."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.lw.stats.create_index("dt")
    profile = live(tmp_path, server.uri, metrics={"wau": WAU, "sum": SUM}, games=("lw", "lws"))
    found = {one.name: (one.ok, one.message) for one in check_sources(profile, now=MAY_2)}
    assert found["cluster ncmc3"] == (
        True,
        f"127.0.0.1:{server.port} (standalone) answers; secondaryPreferred is met",
    )
    assert found["lw lw.stats"] == (True, 'by dt, the newest is "20240501"; the index dt_1 answers')
    ok, message = found["lw lw.orders"]
    assert ok
    assert "make one by db.orders.createIndex({'at': 1})" in message
    ok, message = found["lws lws.stats"]
    assert not ok
    assert message.startswith("source_missing: ncmc3 has no database 'lws'")
    assert found["ok ok.stats"] == (True, 'by dt, the newest is "20240501"')
    assert found["lw wau"] == (True, "5 (20240501 through 2024-05-01)")
    assert found["lw sum"] == (True, f"{ORDERS:,} (20240501 through 2024-05-01)")

    mistyped = live(
        tmp_path, server.uri, metrics={"wau": {**WAU, "match": {"tpye": "x"}}, "sum": {**SUM, "match": {"note": 5}}}
    )
    found = {one.name: (one.ok, one.message) for one in check_sources(mistyped)}
    ok, message = found["lw wau"]
    assert not ok
    assert message.startswith("path_unknown: stats.tpye is in no document; the nearest there are: ")
    ok, message = found["lw sum"]
    assert not ok
    assert message.startswith("type_unknown: the match compares orders.note with 5 (number), but it only holds string")

    alone = live(tmp_path, f"{primary.uri}?replicaSet=rs0&{QUICK}")
    found = {one.name: (one.ok, one.message) for one in check_sources(alone)}
    ok, message = found["cluster ncmc3"]
    assert ok
    assert f"127.0.0.1:{primary.port} (primary) answers; secondaryPreferred is not met by a secondary, so" in message
    down = live(tmp_path, f"mongodb://u:{QUOTED}@127.0.0.1:{free_port()}/?{QUICK}")
    found = {one.name: (one.ok, one.message) for one in check_sources(down)}
    assert not found["cluster ncmc3"][0]
    assert "unreachable: ncmc3" in found["cluster ncmc3"][1]
    assert "s3cr3t" not in repr(found)


def test_at_most_max_concurrency_queries_are_open(tmp_path: Path, server: Any) -> None:
    """Three hundred games, counted at the wire: never more than max_concurrency queries are open at once."""
    games = tuple(f"game{n}" for n in range(300))
    with MongoClient[dict[str, Any]](server.uri) as client:
        for game in games:
            client[game].stats.insert_one({"dt": DT, "v": 5})
    with Proxy(server.port) as proxy:
        profile = live(tmp_path, proxy.uri, games=games, settings={"max_concurrency": 3}, extract_deadline_s=300)
        extraction = ask(profile, MAY_1)
        assert [said(one) for one in extraction.outcomes] == [7, *[5] * 300]
        assert 1 < proxy.most_open <= 3
        load = {one.cluster: one for one in extraction.load}["ncmc3"]
        assert load.queries == sum(proxy.commands.values()) - proxy.commands["killCursors"]
        assert f"bigmama-nb 20240502T020304Z-1a2b3c-1 game7/wau/{DT}" in proxy.comments


def test_one_query_answers_all_metrics_and_only_their_fields_come(tmp_path: Path, server: Any) -> None:
    """Four metrics of one collection are one query for documents, which brings a part of their bytes."""
    metrics = {
        "sum": SUM,
        "max": {**SUM, "value": {"max": "v"}},
        "d7": {**SUM, "trailing_days": 7},
        "mau": {**SUM, "value": {"count_distinct": "v"}, "period": "month"},
        "wau": WAU,
    }
    with Proxy(server.port) as proxy:
        profile = live(tmp_path, proxy.uri, metrics=metrics)
        extraction = ask(profile, MAY_1)
        found = {task: said(one) for task, one in by_task(extraction).items() if "lw" in task}
        assert found == {
            f"lw/{m}/{DT}": v for m, v in [("sum", ORDERS), ("max", 1), ("d7", ORDERS), ("mau", 1), ("wau", 5)]
        }
        load = {one.cluster: one for one in extraction.load}["ncmc3"]
    assert ORDERS <= load.documents < ORDERS + 30
    assert load.bytes < ORDERS * 50


def test_the_server_counts_and_sends_no_documents(tmp_path: Path, server: Any) -> None:
    """A count is computed by the server: no order comes over the wire."""
    profile = live(tmp_path, server.uri, metrics={"wau": WAU, "n": {**SUM, "value": {"count": True}}})
    extraction = ask(profile, MAY_1)
    assert said(by_task(extraction)[f"lw/n/{DT}"]) == ORDERS
    assert {one.cluster: one for one in extraction.load}["ncmc3"].documents < 10


@pytest.mark.parametrize("reply", [500, 1000])
def test_with_an_index_an_answer_larger_than_a_reply_is_asked_for_in_shorter_spans(
    tmp_path: Path, server: Any, reply: Any
) -> None:
    """Documents that do not fit into one reply are read in shorter spans of time, each once, and no cursor stays."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.lw.orders.create_index("at")
    with Proxy(server.port) as proxy:
        profile = live(tmp_path, proxy.uri, metrics={"wau": WAU, "sum": SUM})
        found = by_task(ask(profile, MAY_1, connect=connecting(reply=reply)))
        assert said(found[f"lw/sum/{DT}"]) == ORDERS
        assert proxy.commands["find"] > ORDERS / reply
        assert proxy.commands["getMore"] == 0
        assert proxy.cursors == set()
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.lw.orders.drop_index("at_1")


@pytest.mark.parametrize(
    "index",
    [
        None,
        {"keys": [("v", 1), ("at", 1)]},
        {"keys": [("at", "hashed")]},
        {"keys": [("at", 1)], "hidden": True},
        {"keys": [("at", 1)], "partialFilterExpression": {"v": 1}},
    ],
    ids=str,
)
def test_without_an_index_the_collection_is_read_in_one_pass(tmp_path: Path, server: Any, index: Any) -> None:
    """Shorter spans would each read all of it: one query for the documents goes on to its end, and no cursor stays.

    An index that does not begin with the date, or is hashed, finds no range of dates.
    """

    class Indexed(Mongo):
        def listed(self, database: str, command: str, value: Any = 1, **options: Any) -> list[dict[str, Any]]:
            # FerretDB has neither kind of index to tell of.
            found = super().listed(database, command, value, **options)
            if command != "listIndexes" or index is None:
                return found
            return [*found, {"name": "other", **index, "key": dict(index["keys"])}]

    asked: list[dict[str, Any]] = []
    with Proxy(server.port) as proxy:
        proxy.watch = noting(asked)
        profile = live(tmp_path, proxy.uri, metrics={"wau": WAU, "sum": SUM})
        found = by_task(ask(profile, MAY_1, connect=connecting(Indexed, reply=500)))
        assert said(found[f"lw/sum/{DT}"]) == ORDERS
        # The first documents; is a date unreadable; the newest date; the documents.
        assert [command["find"] for command in asked if "find" in command].count("orders") == 4
        assert ORDERS / 500 - 1 <= proxy.commands["getMore"] <= ORDERS / 500
        assert proxy.cursors == set()


def test_without_an_index_the_newest_date_is_only_looked_for_where_it_is_told(tmp_path: Path, server: Any) -> None:
    """To see that a day is loaded one later document is enough; the newest, which takes all, is for messages only."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.gaps.orders.insert_many(
            [{"at": datetime(2024, month, 20, 3, tzinfo=UTC), "v": 1} for month in (4, 5, 7, 6)]
        )
    asked: list[dict[str, Any]] = []
    with Proxy(server.port) as proxy:
        proxy.watch = noting(asked)
        monthly = {**SUM, "period": "month"}
        profile = live(tmp_path, proxy.uri, metrics={"sum": SUM, "mau": monthly, "wau": WAU}, games=("gaps",))
        found = by_task(ask(profile, date(2024, 5, 20)))
        assert [said(found[f"gaps/{name}"]) for name in ("sum/20240520", "mau/20240501")] == [1, 1]
        assert [command for command in asked if "sort" in command] == []
        silent = by_task(ask(profile, date(2024, 5, 19)))["gaps/sum/20240519"]
        assert said(silent) == "not_ready"
        assert "the newest is 2024-07-20" in str(silent.message)
        assert [command["find"] for command in asked if "sort" in command] == ["orders"]


def test_a_view_is_read_though_it_has_no_indexes(tmp_path: Path, server: Any) -> None:
    """A server that does not list the indexes of a view answers the questions about it all the same."""

    class Refusing(Mongo):
        def listed(self, database: str, command: str, value: Any = 1, **options: Any) -> list[dict[str, Any]]:
            # As MongoDB answers for a view.
            asked = "listNoIndexes" if command == "listIndexes" else command
            return super().listed(database, asked, value, **options)

    profile = live(tmp_path, server.uri, metrics={"sum": SUM, "wau": WAU})
    found = by_task(ask(profile, MAY_1, connect=connecting(Refusing)))
    assert said(found[f"lw/sum/{DT}"]) == ORDERS


def test_a_day_that_cannot_be_split_is_read_reply_by_reply(tmp_path: Path, server: Any) -> None:
    """Where all documents share their day, the query goes on with a cursor, which is read to its end."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.many.stats.drop()
        client.many.stats.insert_many([{"dt": DT, "v": 2} for _ in range(1000)])
    with Proxy(server.port) as proxy:
        profile = live(tmp_path, proxy.uri, metrics={"wau": {**WAU, "value": {"sum": "v"}}}, games=("many",))
        found = by_task(ask(profile, MAY_1, connect=connecting(reply=100)))
        assert said(found[f"many/wau/{DT}"]) == 2000
        assert proxy.commands["getMore"] >= 9
        assert proxy.cursors == set()


def test_replies_that_stream_are_all_counted(tmp_path: Path, server: Any) -> None:
    """A server that sends a cursor's replies without being asked for each is asked once, and gives the same figure."""
    with Proxy(server.port) as proxy:
        proxy.streams = True
        profile = live(tmp_path, proxy.uri, metrics={"wau": WAU, "sum": SUM})
        found = by_task(ask(profile, MAY_1, connect=connecting(reply=500)))
        assert said(found[f"lw/sum/{DT}"]) == ORDERS
        # FerretDB tells with an empty reply that there are no more.
        assert (proxy.commands["getMore"], proxy.replies) == (1, ORDERS // 500)


def test_a_server_that_cannot_stream_is_asked_again_without(tmp_path: Path) -> None:
    """mongo-java-server hangs up on a request to stream: the next try goes without, and the figure is whole."""
    with mongo_java_server(tmp_path / "java", wire_version=17) as java:
        fill(java)
        profile = live(tmp_path, java.uri, metrics={"wau": WAU, "sum": SUM}, settings={"retries": 1})
        found = by_task(ask(profile, MAY_1, connect=connecting(reply=500, pause=lambda seconds: None)))
        assert said(found[f"lw/sum/{DT}"]) == ORDERS


def test_an_old_mongos_is_not_asked_to_stream(tmp_path: Path) -> None:
    """The driver refuses to ask a mongos before 7.1: the cursor goes on reply by reply there."""
    with mongo_java_server(tmp_path / "java", mongos=True, wire_version=13) as java:
        fill(java)
        profile = live(tmp_path, java.uri, metrics={"wau": WAU, "sum": SUM})
        found = by_task(ask(profile, MAY_1, connect=connecting(reply=500)))
        assert said(found[f"lw/sum/{DT}"]) == ORDERS


KILLED = """
import sys
from datetime import date
from bigmama_nb import profile
from tests.sources.asking import ask, connecting
ask(profile.read(sys.argv[1]), date(2024, 5, 1), connect=connecting(reply=int(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("reply", "last", "streams"),
    [(REPLY, "find", False), (100, "getMore", False), (100, "getMore", True)],
    ids=["within the one reply", "between two replies", "while replies stream"],
)
def test_a_killed_run_leaves_no_cursor_behind(tmp_path: Path, server: Any, reply: Any, last: Any, streams: Any) -> None:
    """SIGKILL while the orders are on their way: where they come in one reply there never was a cursor, and where
    they are more, the server has forgotten it with the connection, long before the query's limit of 30 s.
    """
    with Proxy(server.port) as proxy:
        proxy.hold = threading.Event()
        proxy.streams = streams
        proxy.watch = lambda command: last in command and command.get("batchSize") == reply
        profile = live(tmp_path, proxy.uri, metrics={"wau": WAU, "sum": SUM})
        run = subprocess.Popen(
            [sys.executable, "-c", KILLED, profile.path, str(reply)], env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert proxy.asked.wait(60)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        proxy.hold.set()
        cursors = set(proxy.cursors)
        assert len(cursors) == (0 if last == "find" else 1)
        with MongoClient[dict[str, Any]](server.uri) as client:
            for cursor in cursors:
                # One document at a time, so that it cannot have come to its end by our asking.
                with pytest.raises(OperationFailure, match=r"cursor id .* not found"):  # noqa: PT012 - asked until then
                    for _ in range(ORDERS // 2):
                        client.lw.command("getMore", cursor, collection="orders", batchSize=1)
    assert listens(server.port)


def test_no_password_is_in_any_error_text(server: Any) -> None:
    """Whatever text an error has, a password in it is replaced, plain and as URIs write it."""
    from pymongo.errors import AutoReconnect

    from bigmama_nb.sources.mongo_errors import trouble

    error = AutoReconnect(f"mongodb://u:{QUOTED}@h: {PASSWORD} {QUOTED} u:{PASSWORD}")
    found = trouble(error, secrets=[PASSWORD], max_time_ms=1).found
    assert re.search("s3cr3t", found) is None
    assert "•••" in found
