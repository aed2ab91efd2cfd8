"""MariaDB on loopback, and metastores of Hive 4 on it, on the schema that schematool makes: all of it latin1.

It needs the Debian package mariadb-server (or only mariadb-server-core and mariadb-client-core); the JDBC driver comes
from Maven.
"""

from __future__ import annotations

import atexit
import functools
import getpass
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.services import Server, built_once, cache_folder, free_port, require
from tests.services.hive4 import Metastore4, make_schema
from tests.services.maven import fetch_one

DRIVER = "2.7.12"
"""A version that takes `jdbc:mysql:` as it is."""

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "hive.md"
KEEP_KOREAN = re.findall(r"^(ALTER TABLE \w+ MODIFY .*);$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
"""What the documentation tells an administrator to run."""


def _program(name: str) -> str:
    # Debian puts a server's programs where only root's PATH looks.
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    require("MariaDB", found, f"no {name!r}: the Debian package mariadb-server has it")
    assert found is not None
    return found


def driver() -> Path:
    """Return the jar of the JDBC driver, fetched once."""
    folder = cache_folder(f"mariadb-java-client-{DRIVER}")
    with built_once(folder) as todo:
        if todo:
            fetch_one(folder, "MariaDB", f"org.mariadb.jdbc:mariadb-java-client:{DRIVER}:jar")
    return folder / f"mariadb-java-client-{DRIVER}.jar"


class MariaDb:
    """A server that nobody but this machine's user reaches, with a user `hive`."""

    def __init__(self) -> None:
        programs = [_program(name) for name in ("mariadbd", "mariadb-install-db", "mariadb")]
        server, install, self._client = programs
        self._folder = folder = Path(tempfile.mkdtemp(prefix="bigmama-mariadb-"))
        self._port = free_port()
        self.password = secrets.token_hex(8)
        user = f"--user={getpass.getuser()}"
        made = subprocess.run(
            [
                *(install, "--no-defaults", user, f"--datadir={folder}/data", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        self._server = Server(
            [
                *(server, "--no-defaults", user, f"--datadir={folder}/data", f"--socket={folder}/socket"),
                *("--bind-address=127.0.0.1", f"--port={self._port}", "--skip-name-resolve"),
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
            ],
            log=folder / "mariadb.log",
        ).until((folder / "socket").exists)
        self.run("mysql", f"GRANT ALL ON *.* TO hive@127.0.0.1 IDENTIFIED BY '{self.password}'")

    def run(self, database: str, *statements: str) -> str:
        """Return what the statements print, tabs between columns, without the columns' names."""
        done = subprocess.run(
            [
                *(self._client, "--no-defaults", "--user=root", f"--socket={self._folder}/socket"),
                *("--default-character-set=utf8mb4", "--batch", "--skip-column-names", database),
            ],
            input=";\n".join(statements),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def url(self, database: str) -> str:
        """Return the URL of JDBC of one of its databases."""
        return f"jdbc:mysql://127.0.0.1:{self._port}/{database}"

    def stop(self) -> None:
        """End it and delete what it kept."""
        self._server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@functools.cache
def mariadb() -> MariaDb:
    """Return the server that the tests of this process share; it ends with them."""
    server = MariaDb()
    atexit.register(server.stop)
    return server


def metastore_on_mariadb(database: str) -> Metastore4:
    """Return a metastore on a database of `mariadb()` that is made for it; it ends with the tests."""
    mariadb().run("mysql", f"CREATE DATABASE {database} CHARACTER SET latin1")
    connection = {
        "javax.jdo.option.ConnectionURL": mariadb().url(database),
        "javax.jdo.option.ConnectionDriverName": "org.mariadb.jdbc.Driver",
        "javax.jdo.option.ConnectionUserName": "hive",
        "javax.jdo.option.ConnectionPassword": mariadb().password,
    }
    with tempfile.TemporaryDirectory(prefix="bigmama-schema-") as folder:
        make_schema(Path(folder), "mysql", connection, driver())
    server = Metastore4(connection, driver=driver())
    atexit.register(server.stop)
    return server


@functools.cache
def shared_metastore() -> Metastore4:
    """Return a metastore on MariaDB that keeps Korean, which the tests of this process share."""
    server = metastore_on_mariadb("shared")
    mariadb().run("shared", *KEEP_KOREAN)
    return server
