"""parameters/live-trouble.yaml against real servers: a night when all is well, one with every trouble, and the repair.

Each fault is made for real. What is asserted of each: its task in run.json, the exit status, the message, the rows that
a reader finds (this game's as they were, the others' new), and that no output tells a password.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from bigmama_nb.sources import mongo_client
from tests.runs.world import World, in_process
from tests.services import free_port
from tests.services.certificates import self_signed
from tests.services.mongo import ferretdb, mongo_java_server
from tests.services.proxy import Proxy, Swallowing

TEXT = (Path(__file__).parents[1] / "parameters" / "live-trouble.yaml").read_text(encoding="utf-8")
QUICK = "serverSelectionTimeoutMS=1000&connectTimeoutMS=1000"
ORDERS = 1000
"""Orders of a day; so many that an answer with them is longer than CUT_AFTER."""
CUT_AFTER = 20_000
DOCUMENTS = ("orders", mongo_client.REPLY)
"""What the query for the documents of the orders is known by."""
DAYS = (1, 2)
CURED = [("max_time_ms: 1}", "max_time_ms: 30000}"), ("read_preference: secondary\n", "read_preference: nearest\n")]
"""What in the profile itself is the trouble, and what it should be."""
PASSWORD = "s3cr3t"

TROUBLE: dict[str, tuple[str | None, ...]] = {
    # game: of wau and of revenue the reason class, None where it is published; and what the message says of it.
    "unset": ("unreachable", "unreachable", r"the variable BIGMAMA_UNSET_URI that should hold the URI .* is not set"),
    "unknown": ("unreachable", "unreachable", r"nowhere\.invalid:27017"),
    "down": ("unreachable", "unreachable", r"Connection refused"),
    "silent": ("unreachable", "unreachable", r"timed out"),
    "reset": (None, "unreachable", r"the connection broke off"),
    "killed": ("unreachable", "unreachable", r"killed, killed: .*127\.0\.0\.1:\d+"),
    "alone": ("unreachable", "unreachable", r"No replica set members match selector .*Secondary"),
    "slow": ("deadline", "deadline", r"not done within extract_deadline_s = 15 s"),
    "hurried": ("", "query_timeout", r"a query took longer than max_time_ms = 1"),
    "login": ("auth", "auth", r"the login was refused"),
    "plain": ("tls", "tls", r"add tls=true to it"),
    "stranger": ("tls", "tls", r"certificate verify failed"),
    "late": ("not_ready", "not_ready", r"the newest is"),
    "text": ("wrong_type", None, r"stats\.value is string in the document with _id = .*; expected an integer"),
    "gone": ("source_missing", "source_missing", r"well has no database 'gone'"),
    "half": (None, "source_missing", r"well has no collection 'orders' in database 'half'; it has stats"),
}
"""`hurried` has no wau."""
GAMES = ("well", *TROUBLE)


def wau(game: str, day: int) -> int:
    return 100 * (1 + GAMES.index(game)) + day


def fill(client: MongoClient[dict[str, Any]], game: str, day: int) -> None:
    """Load a day of a game, as its team does."""
    noon = datetime(2024, 5, day, 3, tzinfo=UTC)
    # A heavy order takes the server longer to read than a millisecond.
    note = "x" * (3000 if game == "hurried" else 10)
    client[game].stats.insert_one({"dt": f"202405{day:02}", "value": wau(game, day)})
    client[game].orders.insert_many(
        [{"orderDate": noon + timedelta(seconds=n), "amount": 1, "note": note} for n in range(ORDERS)]
    )


def expected(*days: int, but: dict[str, tuple[str | None, ...]] | None = None) -> dict[tuple[str, str, str], int]:
    """The rows after these days: of the last one none that stands in `but` with a reason."""
    rows: dict[tuple[str, str, str], int] = {}
    for day in days:
        for game in GAMES:
            of_wau, of_revenue, *_ = (but or {}).get(game, (None, None)) if day == days[-1] else (None, None)
            if of_wau is None and game != "hurried":
                rows[game, "wau", f"202405{day:02}"] = wau(game, day)
            if of_revenue is None:
                rows[game, "revenue", "20240501"] = ORDERS * day
    return rows


@dataclass
class Night:
    """What came of the runs."""

    exits: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[tuple[str, str, str], int]] = field(default_factory=list)
    checks: list[dict[str, tuple[bool, str]]] = field(default_factory=list)
    output: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    def note(self, world: World, answer: dict[str, Any]) -> None:
        """Keep what a run told, and what a reader finds after it."""
        self.exits.append(answer["exit_status"])
        self.records.append(answer["data"])
        self.rows.append(world.rows())
        self.output += json.dumps(answer) + world.said

    def tasks(self, number: int) -> dict[str, dict[str, Any]]:
        return {task["id"]: task for task in self.records[number]["tasks"]}


class Servers:
    """The servers of all clusters; `uris` when all is well, `troubled` when nothing is."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.certificate = self_signed(folder, "server")
        other, _ = self_signed(folder, "other")
        well = stack.enter_context(ferretdb(folder / "well"))
        secured = stack.enter_context(ferretdb(folder / "secured", certificate=self.certificate))
        java = stack.enter_context(mongo_java_server(folder, replica_set="rs0"))
        self.dying = ferretdb(folder / "dying")
        stack.callback(lambda: self.dying.stop())
        self.reset = stack.enter_context(Proxy(well.port))
        self.killed = stack.enter_context(Proxy(self.dying.port))
        self.slow = stack.enter_context(Proxy(well.port))
        silent = stack.enter_context(Swallowing())
        trusted = f"tls=true&tlsCAFile={self.certificate[0]}"
        self.filled: dict[str, MongoClient[dict[str, Any]]] = {
            "": MongoClient(well.uri),
            "alone": MongoClient(java.uri, directConnection=True),
            "killed": MongoClient(self.dying.uri),
            "plain": MongoClient(f"{secured.uri}?{trusted}"),
        }
        self.filled["stranger"] = self.filled["plain"]
        for client in self.filled.values():
            stack.callback(client.close)
        login = f"reader:{PASSWORD}%2Fp%40ss@"
        self.uris = dict.fromkeys(
            ("well", "unset", "unknown", "down", "silent", "slow", "hurried", "login"), f"{well.uri}?{QUICK}"
        )
        self.uris |= {
            "reset": f"{self.reset.uri}?{QUICK}",
            "killed": f"{self.killed.uri}?{QUICK}",
            "alone": f"{java.uri}?replicaSet=rs0&{QUICK}",
            "plain": f"{secured.uri}?{trusted}&{QUICK}",
            "stranger": f"{secured.uri}?{trusted}&{QUICK}",
        }
        self.troubled = self.uris | {
            "unset": "",
            "unknown": f"mongodb://{login}nowhere.invalid:27017/?{QUICK}",
            "down": f"mongodb://{login}127.0.0.1:{free_port()}/?{QUICK}",
            "silent": f"mongodb://{login}127.0.0.1:{silent.port}/?{QUICK}",
            "slow": f"{self.slow.uri}?{QUICK}",
            "login": f"mongodb://{login}127.0.0.1:{well.port}/?{QUICK}",
            "plain": f"{secured.uri}?{QUICK}",
            "stranger": f"{secured.uri}?tls=true&tlsCAFile={other}&{QUICK}",
        }

    def client(self, game: str) -> MongoClient[dict[str, Any]]:
        return self.filled.get(game, self.filled[""])

    def break_(self) -> None:
        """Have the proxies and the documents be in trouble."""
        self.reset.cut_after = CUT_AFTER
        self.slow.hold = threading.Event()
        self.killed.hold = threading.Event()
        self.killed.watch = lambda command: (
            command.get("find") == "orders" and command.get("batchSize") == mongo_client.REPLY
        )
        self.killed.cut_after = CUT_AFTER
        threading.Thread(target=self._kill, daemon=True).start()
        client = self.filled[""]
        client.text.stats.update_one({"dt": "20240502"}, {"$set": {"value": "5"}})
        client.late.stats.delete_one({"dt": "20240502"})
        client.late.orders.delete_many({"orderDate": {"$gte": datetime(2024, 5, 1, 15, tzinfo=UTC)}})
        client.drop_database("gone")
        client.half.drop_collection("orders")

    def _kill(self) -> None:
        assert self.killed.hold is not None
        self.killed.asked.wait()
        self.dying.kill()
        self.killed.hold.set()

    def mend(self) -> None:
        """Have everything as it should be."""
        self.reset.cut_after = self.killed.cut_after = None
        assert self.slow.hold is not None
        self.slow.hold.set()
        self.dying = ferretdb(self.folder / "dying", port=self.dying.port)
        client = self.filled[""]
        client.text.stats.update_one({"dt": "20240502"}, {"$set": {"value": wau("text", 2)}})
        fill(client, "late", 2)
        client.half.stats.drop()
        for day in DAYS:
            fill(client, "gone", day)
            fill(client, "half", day)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """All is well on May 1; nothing is on May 2, by real kernels; then everything is mended, and repaired."""
    folder = tmp_path_factory.mktemp("night")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        servers = Servers(folder / "servers", stack)
        for game in GAMES:
            fill(servers.client(game), game, 1)
        servers.client("well").well.stats.create_index("dt")

        def use(uris: dict[str, str]) -> None:
            for name, uri in uris.items():
                patch.setenv(f"BIGMAMA_{name.upper()}_URI", uri)

        # In a folder of its own, as the file's `../out` expects.
        world = stack.enter_context(in_process(patch, World(folder / "parameters", TEXT)))
        found = Night()

        def check() -> None:
            answer = world.command("check")
            found.checks.append({one["name"]: (one["ok"], one["message"]) for one in answer["data"]})
            found.exits.append(answer["exit_status"])
            found.output += json.dumps(answer)

        use(servers.uris)
        world.write_profile(*CURED)
        check()
        found.note(world, world.command("run", "--date", "2024-05-01"))

        for game in GAMES:
            fill(servers.client(game), game, 2)
        use(servers.troubled)
        servers.break_()
        world.text = TEXT
        world.write_profile()
        found.note(world, world.real("run", "--date", "2024-05-02"))
        found.output += "\n".join(
            path.read_text(encoding="utf-8")
            for path in (folder / "out" / "archive-live-trouble").rglob("*")
            if path.suffix in (".ipynb", ".json", ".jsonl", ".html", ".log")
        )
        (report,) = (folder / "out").rglob(f"{found.records[1]['run_id']}/1/50_report.ipynb")
        found.report = json.loads(report.read_text(encoding="utf-8"))
        world.write_profile(("extract_deadline_s: 15", "extract_deadline_s: 8"))
        check()

        servers.mend()
        use(servers.uris)
        world.text = TEXT
        world.write_profile(*CURED)
        found.note(world, world.command("repair", "latest"))
        yield found


def test_the_night_before_everything_is_published(night: Night) -> None:
    """When all is well, all 33 figures of May 1 are there."""
    assert night.exits[1] == 0
    assert night.rows[0] == expected(1)
    assert len(night.rows[0]) == 33


def test_exit_status_and_record_say_partial(night: Night) -> None:
    """Of 33 tasks those of the games that are well are ok, and the run's status is partial, exit 3."""
    assert night.exits[2] == 3
    assert night.records[1]["status"] == "partial"
    tasks = night.tasks(1)
    ok = {name for name, task in tasks.items() if task["outcome"] == "ok"}
    assert len(tasks) == 33
    assert ok == {
        "well/wau/20240502",
        "well/revenue/20240501",
        "text/revenue/20240501",
        "reset/wau/20240502",
        "half/wau/20240502",
    }, [task["message"] for task in tasks.values() if task["message"]]
    assert all(tasks[name]["published"] == "yes" for name in ok)


@pytest.mark.parametrize("game", TROUBLE)
def test_each_trouble_costs_its_own_figures_only(night: Night, game: str) -> None:
    """The task says what happened and where, its message what was found and what to do; its row is as it was."""
    of_wau, of_revenue, words = TROUBLE[game]
    tasks = night.tasks(1)
    for type_, dt, reason in [("wau", "20240502", of_wau), ("revenue", "20240501", of_revenue)]:
        if not reason:
            continue
        task = tasks[f"{game}/{type_}/{dt}"]
        late = reason == "not_ready"
        assert (task["outcome"], task["reason"]) == (reason, None) if late else ("failed", reason), task["message"]
        assert (task["value"], task["published"], task["rows"]) == (None, "no", None)
        assert task["message"].startswith(f"{game} {type_} {dt}: ")
        assert re.search(str(words), task["message"]), task["message"]
        assert re.search(r"run 'run_all.py repair latest --profile \S+' once it is there\.$", task["message"]) or (
            "Other games are not affected; run 'run_all.py repair latest --profile /" in task["message"]
        )
        # The cluster, or where in it.
        assert re.fullmatch(rf"{game}|{game}\.(stats|orders)( _id=.*)?", task["place"]), task["place"]
    before, after = night.rows[0], night.rows[1]
    assert (game, "wau", "20240502") not in after or of_wau is None
    if of_revenue is not None:
        assert after[game, "revenue", "20240501"] == before[game, "revenue", "20240501"] == ORDERS


def test_a_reader_finds_the_new_rows_of_the_others(night: Night) -> None:
    """After the night of trouble the table is the one before, and with it exactly what is ok."""
    assert night.rows[1] == expected(1) | expected(2, but=TROUBLE)
    assert night.rows[1]["well", "revenue", "20240501"] == 2 * ORDERS


def test_the_load_says_what_each_cluster_was_asked(night: Night) -> None:
    """run.json counts queries, documents and bytes by cluster; of one that never was reached it counts none."""
    load = {one["cluster"]: one for one in night.records[1]["load"]}
    assert load["well"]["queries"] > 10
    # The orders of two days, of the two games that have them all.
    assert load["well"]["documents"] >= 2 * 2 * ORDERS
    assert load["well"]["bytes"] > load["well"]["documents"] * 20
    for name in ("unset", "unknown", "down", "silent", "alone", "plain", "stranger"):
        assert (load[name]["queries"], load[name]["documents"]) == (0, 0), name


def test_the_report_says_the_load(night: Night) -> None:
    """The executed 50_report shows a line for each cluster, with the numbers of the record."""
    (cell,) = (one for one in night.report["cells"] if one["id"] == "load")
    (shown,) = (output["data"]["text/plain"] for output in cell["outputs"])
    lines = {words[1]: [int(word) for word in words[2:]] for words in map(str.split, "".join(shown).splitlines()[1:])}
    assert lines == {
        one["cluster"]: [one["queries"], one["documents"], one["bytes"]] for one in night.records[1]["load"]
    }


def test_no_password_is_told(night: Night) -> None:
    """Not in the answers, the log, the record, the executed notebooks, nor in what `check` says."""
    assert "live-trouble" in night.output
    assert "reader:" not in night.output
    assert PASSWORD not in night.output


def test_check_when_all_is_well(night: Night) -> None:
    """`check` says which member of each cluster answers, and of each collection the newest date and the index."""
    assert night.exits[0] == 0
    found = night.checks[0]
    ok, message = found["cluster well"]
    assert ok
    assert re.fullmatch(r"127\.0\.0\.1:\d+ \(standalone\) answers; secondaryPreferred is met", message)
    assert found["well well.stats"] == (True, 'by dt, the newest is "20240501"; the index dt_1 answers')
    ok, message = found["late late.orders"]
    assert ok
    assert "make one by db.orders.createIndex({'orderDate': 1})" in message


def test_check_says_each_trouble_beforehand(night: Night) -> None:
    """Without a run `check` tells what of each cluster or collection is wrong, and exits 1."""
    assert night.exits[3] == 1
    found = night.checks[1]
    bad = {name: message for name, (ok, message) in found.items() if not ok}
    for cluster, reason in [
        ("unset", "unreachable"),
        ("unknown", "unreachable"),
        ("down", "unreachable"),
        ("silent", "unreachable"),
        ("killed", "unreachable"),
        ("alone", "unreachable"),
        ("login", "auth"),
        ("plain", "tls"),
        ("stranger", "tls"),
    ]:
        assert bad[f"cluster {cluster}"].startswith(f"{reason}: "), bad
    assert "was not done within extract_deadline_s = 8 s" in bad["cluster slow"]
    assert bad["gone gone.stats"].startswith("source_missing: well has no database 'gone'")
    assert bad["half half.orders"].startswith("source_missing: well has no collection 'orders'")
    assert found["well well.stats"][0]


def test_repair_publishes_the_rest_once_all_is_mended(night: Night) -> None:
    """The cure of every trouble is to mend it and to repair the run: exit 0, and the whole table is there."""
    assert night.exits[4] == 0
    assert night.records[2]["run_id"] == night.records[1]["run_id"]
    assert {task["attempt"] for name, task in night.tasks(2).items() if name.startswith("well/")} == {1}
    assert {task["attempt"] for name, task in night.tasks(2).items() if name.startswith("slow/")} == {2}
    assert night.rows[2] == expected(1) | expected(2)
