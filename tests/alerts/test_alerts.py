"""A failure reaches a person once, so does its end; nothing that cannot be sent changes what a run comes to."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bigmama_nb.alerts import history
from bigmama_nb.executor.execute import Executed
from bigmama_nb.profile import read
from tests.runs.world import World

ALERTING = "archive: {uri: archive, url: 'https://reports.example/bigmama'}\nnotify: [NOTIFY_HERE]"


class Receiver:
    """A real HTTP server on loopback that keeps what it is sent; it refuses the first `refusals` posts."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.refusals = 0
        self.posts = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.posts += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.posts <= receiver.refusals:
                    self.send_response(503)
                else:
                    receiver.received.append(json.loads(body))
                    self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/hook-s3cr3t-token"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver()
    monkeypatch.setenv("NOTIFY_HERE", made.address)
    yield made
    made.close()


@pytest.fixture
def alerting(world: World) -> World:
    world.services = replace(world.services, pause=lambda seconds: None)
    world.write_profile(("archive: {uri: archive}", ALERTING))
    return world


@pytest.mark.parametrize("what", ["latest", "--open"])
def test_a_failure_is_told_once_its_end_once_and_a_good_night_never(
    alerting: World, receiver: Receiver, what: str
) -> None:
    """What is broken is told with cause, since when, last good day, repair and page; then that it is well."""
    alerting.command("run", "--date", "2024-04-30")
    assert receiver.received == []

    alerting.break_("bb")
    answer = alerting.command("run", "--date", "2024-05-01")
    assert answer["exit_status"] == 3
    (told,) = receiver.received
    assert told["title"] == "bigmama-nb partial: profile, 2024-05-01"
    run_id = answer["data"]["run_id"]
    for part in (
        "source_corrupt",
        "Open since 20240501, last good day 20240430: bb/wau",
        f"run_all.py repair {run_id}",
        f"https://reports.example/bigmama/runs/{run_id}/index.html",
    ):
        assert part in told["message"]

    alerting.heal("bb")
    assert alerting.command("repair", what)["exit_status"] == 0
    assert len(receiver.received) == 2
    assert receiver.received[1]["title"] == "bigmama-nb recovered: profile, 2024-05-01"
    assert re.match(r"Well again: bb/orders/20240501, bb/wau/20240501\.", receiver.received[1]["message"])

    alerting.command("run", "--date", "2024-05-02")
    assert len(receiver.received) == 2


@pytest.mark.parametrize("archive", ["whole", "gone"])
def test_a_run_that_breaks_off_is_told_too(alerting: World, receiver: Receiver, archive: str) -> None:
    """An error that nobody foresaw, or an archive that is lost midway, ends a run as badly as a game's trouble does."""
    whole = alerting.services.execute

    def execute(*given: Any, **named: Any) -> Executed:
        if archive == "gone":
            (alerting.folder / "archive").rename(alerting.folder / "elsewhere")
            (alerting.folder / "archive").touch()
            return whole(*given, **named)
        raise ValueError("nobody foresaw this")

    alerting.services = replace(alerting.services, execute=execute)
    answer = alerting.command("run", "--date", "2024-05-01")
    assert answer["exit_status"] == 1
    (told,) = receiver.received
    assert told["title"] == "bigmama-nb failed: profile, 2024-05-01"
    says = "ValueError: nobody foresaw this" if archive == "whole" else "a run is not continued without its record"
    assert says in told["message"]
    assert "run_all.py repair" in told["message"]


def test_a_receiver_that_refuses_is_asked_again(alerting: World, receiver: Receiver) -> None:
    """A server that is restarting loses no alert."""
    receiver.refusals = 2
    alerting.break_("bb")
    alerting.command("run", "--date", "2024-05-01")
    assert (receiver.posts, len(receiver.received)) == (3, 1)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("json://127.0.0.1:9/hook-s3cr3t-token", r"The address in NOTIFY_HERE did not take the alert in 3 tries\."),
        ("no-such-service://hook-s3cr3t-token", r"NOTIFY_HERE holds no address that Apprise knows \(not shown\)\."),
        (None, r"The variable NOTIFY_HERE, which should hold an address to notify, is not set\."),
    ],
)
def test_an_alert_that_cannot_be_sent_is_a_warning(
    alerting: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, address: str | None, says: str
) -> None:
    """The run ends as it would, and the address, which may be a secret, is not shown."""
    monkeypatch.delenv("NOTIFY_HERE") if address is None else monkeypatch.setenv("NOTIFY_HERE", address)
    alerting.break_("bb")
    answer = alerting.command("run", "--date", "2024-05-01")
    assert (answer["exit_status"], answer["error"]) == (3, None)
    assert re.search(says, alerting.said)
    assert "s3cr3t" not in alerting.said


def test_only_what_is_asked_for_is_told(alerting: World, receiver: Receiver) -> None:
    """Who wants to be woken for a night of which nothing came is not woken for one game."""
    alerting.write_profile(("notify: [NOTIFY_HERE]", "notify: [NOTIFY_HERE]\nnotify_on: [failed]"))
    alerting.break_("bb")
    alerting.command("run", "--date", "2024-05-01")
    assert receiver.received == []
    alerting.break_("aa")
    alerting.break_("cc")
    alerting.command("run", "--date", "2024-05-01")
    assert [told["title"] for told in receiver.received] == ["bigmama-nb failed: profile, 2024-05-01"]


def test_an_alert_names_the_days_of_a_range(alerting: World, receiver: Receiver) -> None:
    """Who reads only the title knows which days are meant."""
    alerting.break_("bb")
    alerting.command("run", "--from", "2024-04-30", "--to", "2024-05-01")
    assert [told["title"] for told in receiver.received] == ["bigmama-nb partial: profile, 2024-04-30 … 2024-05-01"]


def test_a_scratch_run_tells_nobody(alerting: World, receiver: Receiver) -> None:
    """An analyst's trial is nobody's alarm."""
    alerting.break_("bb")
    alerting.command("run", "--date", "2024-05-01", "--scratch")
    assert receiver.received == []


def test_a_history_that_is_no_history_begins_anew(alerting: World, receiver: Receiver) -> None:
    """The file is derived: whatever stands in it costs no alert."""
    path = Path(read(alerting.profile).archive.uri) / history.NAME
    path.parent.mkdir(parents=True)
    path.write_text("[", encoding="utf-8")
    alerting.break_("bb")
    alerting.command("run", "--date", "2024-05-01")
    assert "Open since 20240501, last good day unknown: bb/orders, bb/wau" in receiver.received[0]["message"]


def test_what_breaks_in_an_alert_changes_no_outcome(alerting: World, receiver: Receiver) -> None:
    """Whatever an alert dies of, the run that ended stays as it ended, and its exit status too."""

    def broken(seconds: float) -> None:
        raise ZeroDivisionError("of a library")

    alerting.services = replace(alerting.services, pause=broken)
    receiver.refusals = 1
    alerting.break_("bb")
    answer = alerting.command("run", "--date", "2024-05-01")
    assert (answer["exit_status"], answer["error"]) == (3, None)
    assert "Alerts or metrics broke off (ZeroDivisionError: of a library). The run is as it is." in alerting.said


def test_the_textfile_holds_the_last_run(world: World) -> None:
    """Prometheus' own parser reads it: status, tasks by outcome, rows by table and the age of each newest row."""
    world.write_profile(("archive: {uri: archive}", "archive: {uri: archive}\nmetrics_textfile: bigmama.prom"))
    world.break_("bb")
    world.command("run", "--date", "2024-05-01")
    text = (world.folder / "bigmama.prom").read_text(encoding="utf-8")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["bigmama_run_status", "partial"] == 1
    assert samples["bigmama_run_status", "ok"] == 0
    assert samples["bigmama_run_tasks", "ok"] == 4
    assert samples["bigmama_run_tasks", "failed"] == 2
    assert samples["bigmama_table_rows", "bigmama.game_metric"] == 4
    assert samples["bigmama_newest_dt_age_seconds", "aa", "wau"] > 86_400
    assert ("bigmama_newest_dt_age_seconds", "bb", "wau") not in samples
    assert samples["bigmama_run_end_timestamp_seconds",] > 1.7e9


def test_a_textfile_that_cannot_be_written_is_a_warning(world: World) -> None:
    """A missing folder of the monitoring changes no outcome."""
    world.write_profile(("archive: {uri: archive}", "archive: {uri: archive}\nmetrics_textfile: no/bigmama.prom"))
    answer = world.command("run", "--date", "2024-05-01")
    assert answer["exit_status"] == 0
    assert "metrics_textfile cannot be written (No such file or directory)" in world.said


def test_no_host_is_asked_for_by_a_part_of_an_addresss_password(
    alerting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An @ in it that nobody escaped: refused with what to write, no name server is asked, the run is as it is."""
    asked: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
            asked.append(str(arguments))

    sys.addaudithook(watch)
    alerting.break_("bb")
    for password in ("hunter@22secret", "12345/22secret", "hunter:22@secret"):
        monkeypatch.setenv("NOTIFY_HERE", f"json://etl:{password}@127.0.0.1:9/")
        assert alerting.command("run", "--date", "2024-05-01")["exit_status"] == 3
        assert "Nobody was told, and no host was asked for." in alerting.said
        assert "secret" not in alerting.said.replace("holds a secret", "")
    watching = False
    assert asked == []


def test_what_is_told_and_measured_holds_no_secret_and_no_control_character(
    alerting: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that quotes a document goes to people, and a command in it names the profile."""
    password = "Tr0ub4dor&3-correct-horse"
    monkeypatch.setenv("SOME_URI", f"mongodb://etl:{password}@127.0.0.1:9/")
    alerting.write_profile(("timezone:", "metrics_textfile: bigmama.prom\ntimezone:"))
    documents = [{**one, "_id": f"\x1b[2J {password[:12]} {one['dt']}", "value": "x"} for one in alerting.daily("bb")]
    alerting.write("bb", "daily", documents)
    alerting.dump("bb", "orders").unlink()
    alerting.command("run", "--date", "2024-05-01")
    (told,) = receiver.received
    measured = (alerting.folder / "bigmama.prom").read_text(encoding="utf-8")
    assert "bigmama_run_tasks" in measured
    assert "wrong_type" in told["message"]
    assert f"'run_all.py repair latest --profile {alerting.profile}'" in told["message"]
    for text in (told["message"], measured):
        assert password[:8] not in text
        assert all(one.isprintable() for one in text.replace("\n", ""))
