"""A metastore behind TLS or a login: reached with the right settings, refused in words with the wrong ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.errors import CatalogError, UsageError
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.thrift import Connection
from bigmama_nb.warehouse.publish import publish_keyed
from tests.places import Place, place
from tests.publishing import author, brought
from tests.services.certificates import self_signed
from tests.services.hive import metastore
from tests.services.secured import Gate, Login, Tls

PASSWORD = "p4ss-of-the-metastore"
DAY = "dt=20240501"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """The server's certificate with its key, and somebody else's."""
    folder = tmp_path_factory.mktemp("certificates")
    return self_signed(folder, "server"), self_signed(folder, "other")


@pytest.fixture
def secured(certificates: tuple[tuple[Path, Path], tuple[Path, Path]]) -> Iterator[Gate]:
    with Tls(metastore().port, certificates[0]) as gate:
        yield gate


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    monkeypatch.setenv("METASTORE_PASSWORD", PASSWORD)
    with Login(metastore().port, "publisher", PASSWORD) as gate:
        yield gate


def publish_through(gate: Gate, tmp_path: Path, options: dict[str, Any]) -> Place:
    """Publish a row by way of the gate; the place returned reads past it."""
    there = place("local+hive", tmp_path)
    settings = replace(there.settings, metastore=f"thrift://127.0.0.1:{gate.port}", metastore_options=options)
    with Warehouse.open(settings) as warehouse:
        publish_keyed(warehouse, there.metric(), {DAY: brought({"lw/wau": 5})}, author(1))
    return there


def asked_through(gate: Gate, **options: Any) -> list[str]:
    connection = Connection(f"thrift://127.0.0.1:{gate.port}", options)
    try:
        return list(connection.ask(lambda client: client.get_all_databases()))
    finally:
        connection.close()


def test_a_metastore_behind_tls_is_published_to(
    secured: Gate, certificates: tuple[tuple[Path, Path], tuple[Path, Path]], tmp_path: Path
) -> None:
    """With the authority of its certificate, locks and heartbeats included; read back without TLS."""
    options = {"tls": True, "tls_ca": str(certificates[0][0]), "heartbeat_s": 0.05}
    assert publish_through(secured, tmp_path, options).rows(DAY) == {"lw/wau": 5}


def test_a_wrong_certificate_is_refused_in_words(
    secured: Gate, certificates: tuple[tuple[Path, Path], tuple[Path, Path]]
) -> None:
    """Signed by nobody known, it is not talked to: the error says so, what stands, and what to do then."""
    with pytest.raises(
        CatalogError, match=r"cannot be reached: .*Readers see what stood before.*repair latest"
    ) as told:
        asked_through(secured, tls=True, tls_ca=str(certificates[1][0]))
    assert "certificate verify failed" in str(told.value)


def test_a_name_that_the_certificate_lacks_is_refused(
    secured: Gate, certificates: tuple[tuple[Path, Path], tuple[Path, Path]]
) -> None:
    """The certificate is for 127.0.0.1: another name of the machine is refused, unless `tls_verify_host` is off."""
    options = {"tls": True, "tls_ca": str(certificates[0][0])}
    uri = f"thrift://localhost:{secured.port}"
    with pytest.raises(CatalogError, match="cannot be reached"):
        Connection(uri, options).ask(lambda client: client.get_all_databases())
    unchecked = Connection(uri, options | {"tls_verify_host": False})
    assert unchecked.ask(lambda client: client.get_all_databases())
    unchecked.close()


def test_a_metastore_behind_a_login_is_published_to(guarded: Gate, tmp_path: Path) -> None:
    """The password comes from the variable that the profile names."""
    options = {"auth": "plain", "user": "publisher", "password_env": "METASTORE_PASSWORD"}
    assert publish_through(guarded, tmp_path, options).rows(DAY) == {"lw/wau": 5}


def test_a_wrong_password_is_refused_and_not_shown(guarded: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that the login was refused, and neither password."""
    monkeypatch.setenv("METASTORE_PASSWORD", "stale-password")
    with pytest.raises(CatalogError, match=r"cannot be reached: .*wrong login") as told:
        asked_through(guarded, auth="plain", user="publisher", password_env="METASTORE_PASSWORD")
    assert "stale-password" not in str(told.value)
    assert PASSWORD not in str(told.value)


def test_a_password_that_is_not_set_is_a_usage_error(guarded: Gate) -> None:
    """The variable is named; nothing was run."""
    with pytest.raises(UsageError, match=r"password_env names NOT_SET, which is not set\. Nothing was run"):
        asked_through(guarded, auth="plain", user="publisher", password_env="NOT_SET")


WITHOUT_KERBEROS = """
import sys
sys.modules["kerberos"] = None
from bigmama_nb.errors import UsageError
from bigmama_nb.warehouse.catalog.thrift import Connection
try:
    Connection("thrift://127.0.0.1:9083", {"auth": "kerberos"}).ask(lambda client: client.getStatus())
except UsageError as error:
    print(error)
"""


def test_kerberos_without_its_package_is_a_usage_error() -> None:
    """The package is an extra that needs MIT Kerberos's headers: the error names the command, and asks nobody."""
    asked = subprocess.run([sys.executable, "-c", WITHOUT_KERBEROS], capture_output=True, text=True, check=True)
    assert "the package 'kerberos' is not installed. Nothing was run" in asked.stdout
    assert "run 'pip install bigmama-nb[kerberos]' (it needs a C compiler and the headers" in asked.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auht": "plain"}, "metastore_options.auht: unknown; options are auth, .* Did you mean 'auth'"),
        ({"auth": "kerberso"}, "auth is 'kerberso'; expected none, kerberos, plain. Did you mean 'kerberos'"),
    ],
)
def test_an_unknown_setting_is_a_usage_error(options: dict[str, str], words: str) -> None:
    """It is named, with the nearest that there is."""
    with pytest.raises(UsageError, match=words):
        Connection("thrift://127.0.0.1:9083", options)
