"""What Hive's servers share: settings, a metastore on Derby, and SQL over HiveServer2's protocol."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import Server, free_port, listens

PACKAGES = (
    *(f"java.base/java.{name}" for name in ("io", "lang", "lang.invoke", "lang.reflect", "math", "net", "nio")),
    *(f"java.base/java.{name}" for name in ("text", "time", "util", "util.concurrent", "util.concurrent.atomic")),
    *(f"java.base/{name}" for name in ("java.util.regex", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs")),
    *(f"java.base/sun.{name}" for name in ("security.action", "util.calendar")),
    "java.security.jgss/sun.security.krb5",
    "java.sql/java.sql",
)
OPENS = tuple(f"--add-opens={package}=ALL-UNNAMED" for package in PACKAGES)
"""What Hadoop and Hive reach into by reflection, and Java 17 keeps to itself."""

LOGGING = """
status = ERROR
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %5p [%t] %c{2}: %m%n
rootLogger.level = WARN
rootLogger.appenderRefs = root
rootLogger.appenderRef.root.ref = console
logger.dn.name = DataNucleus
logger.dn.level = ERROR
"""


def write_settings(folder: Path, name: str, settings: Mapping[str, str]) -> None:
    """Write Hadoop's settings into `folder`/`name`."""
    folder.mkdir(parents=True, exist_ok=True)
    properties = "".join(
        f"<property><name>{key}</name><value>{value}</value></property>" for key, value in settings.items()
    )
    (folder / name).write_text(f"<configuration>{properties}</configuration>")


class DerbyMetastore(ABC):
    """A metastore on a Derby of its own, which survives a kill and a start on the same port."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-metastore-"))
        self.port = free_port()
        self._prepare()
        (self._folder / "logging.properties").write_text(LOGGING)
        self.server = self._started()

    @abstractmethod
    def _prepare(self) -> None:
        """Write settings, and what else it starts with, into its folder."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return what starts it, from `java` on."""

    @property
    def uri(self) -> str:
        """`thrift://127.0.0.1:<port>`."""
        return f"thrift://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """Derby's folder."""
        return self._folder / "db"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.server.kill()

    def start(self) -> None:
        """Start again on the same port, with the tables of before."""
        # Derby leaves its lock behind when its process is killed.
        for lock in self.database.glob("*.lck"):
            lock.unlink()
        self.server = self._started()

    def stop(self) -> None:
        """End it and delete what it kept."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> Server:
        java, *rest = self._command()
        server = Server(
            [
                *(java, "-Xmx512m", f"-Dderby.stream.error.file={self._folder}/derby.log"),
                # Seconds. A metastore may wait for a row while whoever holds it waits for the metastore's own lock; it
                # tries again ten times, each as long as Derby waits, which is a minute.
                *("-Dderby.locks.deadlockTimeout=1", "-Dderby.locks.waitTimeout=1"),
                f"-Dlog4j.configurationFile={self._folder}/logging.properties",
                *(*rest, "-p", str(self.port)),
            ],
            log=self._folder / "metastore.log",
            cwd=self._folder,
        )
        return server.until(lambda: listens(self.port))


class SqlServer(ABC):
    """SQL over HiveServer2's protocol, in a folder of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-hs2-"))
        self.port = free_port()
        self.server = self._started().until(lambda: listens(self.port))

    @abstractmethod
    def _started(self) -> Server:
        """Start it on `port`, loopback only."""

    def run(self, *statements: str) -> None:
        """Run statements that answer nothing: the client breaks on an answer without columns."""
        self._asked(statements, fetch=False)

    def query(self, *statements: str) -> list[tuple[object, ...]]:
        """Return the rows of the last of `statements`, which run in one session."""
        return self._asked(statements, fetch=True)

    def _asked(self, statements: tuple[str, ...], *, fetch: bool) -> list[tuple[object, ...]]:
        from impala.dbapi import connect

        user = os.environ.get("USER", "me")
        connection = connect(host="127.0.0.1", port=self.port, auth_mechanism="PLAIN", user=user, password="none")
        try:
            # A cursor that is left to the garbage collector opens the connection again.
            with contextlib.closing(connection.cursor()) as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return [tuple(row) for row in cursor.fetchall()] if fetch else []
        finally:
            connection.close()

    def stop(self) -> None:
        """End it and delete what it kept."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
