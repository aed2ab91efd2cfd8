"""A KDC of MIT Kerberos on loopback, and a metastore of Hive 4 behind its tickets. The KDC is up in 1 s.

It needs the Debian packages krb5-kdc, krb5-admin-server and krb5-user; a client needs the package `kerberos` too.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.services import Server, free_port, listens, require
from tests.services.hive4 import Metastore4

REALM = "TEST.LOCAL"
PUBLISHER = "publisher"
"""Who publishes; its principal has a keytab."""

METASTORE = "hive/localhost"
CLIENT = """[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 rdns = false
 dns_canonicalize_hostname = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = {realm}
"""
SERVER = """[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/kadm5.acl
  supported_enctypes = aes256-cts:normal aes128-cts:normal
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


def _program(name: str) -> str:
    # Debian puts a server's programs where only root's PATH looks.
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    require("Kerberos", found, f"no {name!r}: krb5-kdc, krb5-admin-server and krb5-user have it")
    assert found is not None
    return found


class Kdc:
    """A realm with a user and two services, each with a keytab."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-kdc-"))
        self._port = free_port()
        for name, text in [("krb5.conf", CLIENT), ("kdc.conf", SERVER)]:
            (self._folder / name).write_text(text.format(realm=REALM, port=self._port, folder=self._folder))
        self.environment = {"KRB5_CONFIG": f"{self._folder}/krb5.conf", "KRB5_KDC_PROFILE": f"{self._folder}/kdc.conf"}
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", secrets.token_hex(8))
        for principal in (PUBLISHER, METASTORE, "other/localhost"):
            self._run("kadmin.local", "-q", f"addprinc -randkey {principal}")
            self._run("kadmin.local", "-q", f"ktadd -k {self.keytab(principal)} {principal}")
        self._server = Server(
            [_program("krb5kdc"), "-n", "-r", REALM], log=self._folder / "output.log", env=self.environment
        ).until(lambda: listens(self._port))

    def keytab(self, principal: str) -> Path:
        """Return the keytab of one of its principals."""
        return self._folder / f"{principal.replace('/', '_')}.keytab"

    @property
    def java(self) -> tuple[str, ...]:
        """Options by which Java finds the realm."""
        return (f"-Djava.security.krb5.conf={self._folder}/krb5.conf",)

    def login(self, cache: Path, *options: str) -> None:
        """Get the publisher a ticket by its keytab into `cache`; `options` are those of kinit."""
        self._run(
            *("kinit", *options, "-c", f"FILE:{cache}", "-k", "-t", str(self.keytab(PUBLISHER)), PUBLISHER),
        )

    def stop(self) -> None:
        """End it and delete what it kept."""
        self._server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_program(program), *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"


@functools.cache
def kdc() -> Kdc:
    """Return the realm that the tests of this process share; it ends with them."""
    server = Kdc()
    atexit.register(server.stop)
    return server


@functools.cache
def secured_metastore() -> Metastore4:
    """Return a metastore that lets in who has a ticket of `kdc()`; it ends with the tests."""
    names = {
        f"{prefix}metastore.{name}": value
        for prefix in ("", "hive.")
        for name, value in {
            "sasl.enabled": "true",
            "kerberos.principal": f"{METASTORE}@{REALM}",
            "kerberos.keytab.file": str(kdc().keytab(METASTORE)),
        }.items()
    }
    hadoop = {"hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true"}
    server = Metastore4(names, hadoop=hadoop, java=kdc().java)
    atexit.register(server.stop)
    return server


def require_client() -> None:
    """End the test as `require` does where Python cannot speak Kerberos."""
    found = importlib.util.find_spec("kerberos")
    require("Kerberos", found, "the package 'kerberos' is not installed; it is built with the headers of libkrb5-dev")


@contextlib.contextmanager
def environment(cache: Path, others: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let this process find the realm, and its tickets in `cache`, for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**kdc().environment, "KRB5CCNAME": f"FILE:{cache}", **(others or {})}.items():
            patch.setenv(name, value)
        yield
