"""A metastore that wants a ticket of Kerberos: published to with one, and without it refused in words that help."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.errors import CatalogError
from bigmama_nb.executor.execute import Executed
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.thrift import Connection
from bigmama_nb.warehouse.publish import publish_keyed
from bigmama_nb.warehouse.query import sql
from tests.publishing import METRIC, Settings, author, brought
from tests.runs.world import World, expected
from tests.services.kerberos import METASTORE, PUBLISHER, environment, kdc, require_client, secured_metastore

pytestmark = pytest.mark.service("Hive")

DAY, NEXT = "dt=20240501", "dt=20240502"


@pytest.fixture
def tickets(tmp_path: Path) -> Iterator[Path]:
    """Where this process keeps its tickets; it has none yet."""
    require_client()
    cache = tmp_path / "tickets"
    with environment(cache):
        yield cache


def uri(host: str = "localhost") -> str:
    return secured_metastore().uri.replace("127.0.0.1", host)


def asked(host: str = "localhost", **options: Any) -> list[str]:
    connection = Connection(uri(host), {"auth": "kerberos", **options})
    try:
        return list(connection.ask(lambda client: client.get_all_databases()))
    finally:
        connection.close()


def expired(cache: Path) -> None:
    """Keep a ticket there that is over."""
    kdc().login(cache, "-l", "1s")
    while (
        subprocess.run(["kvno", "-q", METASTORE], env=dict(os.environ), capture_output=True, check=False).returncode
        == 0
    ):
        pass


NO_TICKET = "cannot be reached: Kerberos: No Kerberos credentials available"
ADVICE = (
    r"'klist' shows this user's ticket.*'kinit PRINCIPAL', or 'kinit -k -t KEYTAB PRINCIPAL' with a keytab.*"
    r"principal {}, of .*kerberos_service_name and kerberos_host.*Readers see what stood before.*repair latest"
)


def test_a_ticket_lets_in(tickets: Path) -> None:
    """And the principal that is asked for may be another host's than the URI's."""
    kdc().login(tickets)
    assert "default" in asked()
    assert "default" in asked("127.0.0.1", kerberos_host="localhost")


def test_without_a_ticket_the_error_says_how_to_get_one(tickets: Path) -> None:
    """It has the words klist, kinit, keytab and principal; so it is for one that is over."""
    advice = ADVICE.format("hive/localhost")
    with pytest.raises(CatalogError, match=f"{NO_TICKET}.*{advice}"):
        asked()
    expired(tickets)
    with pytest.raises(CatalogError, match=rf"cannot be reached: Kerberos: .*expired.*{advice}"):
        asked()


@pytest.mark.parametrize(
    ("host", "options", "said", "principal"),
    [
        (
            "localhost",
            {"kerberos_service_name": "hvie"},
            "Kerberos: Server hvie/localhost@.* not found",
            "hvie/localhost",
        ),
        ("localhost", {"kerberos_service_name": "other"}, "GSS initiate failed", "other/localhost"),
        ("localhost", {"kerberos_host": "nowhere"}, "Kerberos: Server hive/nowhere@.* not found", "hive/nowhere"),
        ("127.0.0.1", {}, "Kerberos: Server hive/127.0.0.1@.* not found", "hive/127.0.0.1"),
    ],
)
def test_another_principal_than_the_metastores_is_named(
    host: str, options: dict[str, str], said: str, principal: str, tickets: Path
) -> None:
    """A wrong service, another's, a wrong host, an address for a name: each as it was asked for."""
    kdc().login(tickets)
    with pytest.raises(CatalogError, match=rf"cannot be reached: .*{said}.*{ADVICE.format(principal)}"):
        asked(host, **options)


def test_a_login_that_it_does_not_take_hints_at_auth(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login, and one by password, before a metastore with tickets; tickets before one without."""
    monkeypatch.setenv("METASTORE_PASSWORD", "p4ss-of-nobody")
    kdc().login(tickets)
    with pytest.raises(CatalogError, match=r"hung up at the first question: .*set warehouse.metastore_options.auth to"):
        asked(auth="none")
    with pytest.raises(
        CatalogError, match=r"Unsupported mechanism type PLAIN.*or at auth: it may want kerberos"
    ) as told:
        asked(auth="plain", user="me", password_env="METASTORE_PASSWORD")
    assert "p4ss" not in str(told.value)

    from tests.services.hive4 import metastore4

    connection = Connection(metastore4().uri.replace("127.0.0.1", "localhost"), {"auth": "kerberos"})
    with pytest.raises(CatalogError, match=r"hung up during the login: does it want one\? .*auth is kerberos"):
        connection.ask(lambda client: client.get_all_databases())


def test_a_ticket_that_is_over_in_the_middle_changes_nothing(tickets: Path, tmp_path: Path) -> None:
    """What is connected outlives its ticket; a new connection is refused, and readers see the old rows."""
    kdc().login(tickets)
    settings = Settings(str(tmp_path / "warehouse"), uri(), metastore_options={"auth": "kerberos"})
    rows = "SELECT game_cd, value, dt FROM game_metric ORDER BY ALL"
    with Warehouse.open(settings) as warehouse:
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 5})}, author(1))
        tickets.unlink()
        # The lock's heartbeat has a connection of its own, which is refused: the holder still asks by its own.
        publish_keyed(
            replace(warehouse, settings=replace(settings, metastore_options={"auth": "kerberos", "heartbeat_s": 0.01})),
            METRIC,
            {DAY: brought({"lw/wau": 6})},
            author(2),
        )
        assert sql(warehouse, rows)[1] == [["lw", 6, "20240501"]]
        secured_metastore().kill()
        secured_metastore().start()
        with pytest.raises(CatalogError, match=NO_TICKET):
            publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 7}), NEXT: brought({"lw/wau": 8})}, author(3))
        kdc().login(tickets)
        assert sql(warehouse, rows)[1] == [["lw", 6, "20240501"]]
        publish_keyed(warehouse, METRIC, {DAY: brought({"lw/wau": 7}), NEXT: brought({"lw/wau": 8})}, author(3))
        assert sql(warehouse, rows)[1] == [["lw", 7, "20240501"], ["lw", 8, "20240502"]]


def test_a_night_without_a_ticket_and_one_whose_ticket_ends(tickets: Path, world: World) -> None:
    """Every figure of it is `failed: catalog` with what to do; `repair` publishes them once there is a ticket."""
    where = f"{{uri: warehouse, metastore: '{uri()}', metastore_options: {{auth: kerberos}}, database: night,"
    world.write_profile(("{uri: warehouse,", where))
    answer = world.command("run")
    assert answer["exit_status"] == 1
    assert {task["reason"] for task in answer["data"]["tasks"]} == {"catalog"}
    assert all(re.search(f"{NO_TICKET}.*kinit.*keytab.*principal", task["message"]) for task in answer["data"]["tasks"])
    assert "Traceback" not in world.said

    kdc().login(tickets)
    execute = world.services.execute

    def executed(notebook: Path, *rest: Any, **more: Any) -> Executed:
        if notebook.stem.startswith("40_write_parquet"):
            tickets.unlink()
        return execute(notebook, *rest, **more)

    world.services = replace(world.services, execute=executed)
    answer = world.command("repair", "latest")
    assert answer["exit_status"] == 1
    assert {task["reason"] for task in answer["data"]["tasks"]} == {"catalog"}

    world.services = replace(world.services, execute=execute)
    kdc().login(tickets)
    assert world.command("repair", "latest")["exit_status"] == 0
    found = world.command("sql", "select game_cd, type, dt, value from night.game_metric")["data"]["rows"]
    assert {tuple(row[:3]): row[3] for row in found} == expected("aa", "bb", "cc")


def test_a_keytab_in_the_environment_needs_no_kinit(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KRB5_CLIENT_KTNAME gets tickets by itself, also where one was over: a night may last longer than a ticket."""
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{kdc().keytab(PUBLISHER)}")
    assert "default" in asked()
    expired(tickets)
    assert "default" in asked()
