"""Servers that speak MongoDB's protocol: FerretDB and mongo-java-server, each good at what the other lacks.

FerretDB keeps its documents in SQLite files and honours `maxTimeMS`; mongo-java-server holds every kind of BSON value,
in memory, and finds a range of dates by an index, which its library does not and our `Serve.java` adds. Both listen on
127.0.0.1 only.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services import Server, built_once, cache_folder, free_port, listens, require_program

HERE = Path(__file__).parent


class MongoServer(Server):
    """A running server; `port` is where it listens."""

    port: int

    @property
    def uri(self) -> str:
        """Its address, without user or options."""
        return f"mongodb://127.0.0.1:{self.port}/"


def ferretdb(folder: Path, *, port: int | None = None, certificate: tuple[Path, Path] | None = None) -> MongoServer:
    """Start FerretDB on files in `folder`; with a certificate and its key it speaks TLS only."""
    program = _built_ferretdb()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    server = MongoServer([program, data, f"127.0.0.1:{port}", *(certificate or ())], log=folder / "ferretdb.log")
    server.port = port
    server.until(lambda: listens(port))
    return server


def mongo_java_server(
    folder: Path,
    *,
    port: int | None = None,
    replica_set: str | None = None,
    mongos: bool = False,
    eager: bool = False,
    wire_version: int = 9,
    heap: str = "512m",
) -> MongoServer:
    """Start mongo-java-server; with a replica set's name as its primary and only member, or as a mongos.

    The wire version is what it says it speaks; it does not speak all of the later ones. An eager one sends as many
    documents at once as it likes, whatever it is asked for.
    """
    java = require_program("java")
    jars = _fetched_jars()
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    source = HERE / "mongo_java_server" / "Serve.java"
    more = [replica_set] if replica_set else []
    says = [f"-Dwire={wire_version}", f"-Dmongos={str(mongos).lower()}", f"-Deager={str(eager).lower()}"]
    server = MongoServer(
        [java, f"-Xmx{heap}", "-XX:+UseSerialGC", *says, "-cp", f"{jars}/*", source, str(port), *more],
        log=folder / "mongo_java_server.log",
    )
    server.port = port
    server.until(lambda: listens(port))
    return server


def _built_ferretdb() -> Path:
    go = require_program("go")
    folder = cache_folder("ferretdb-1.24.2")
    with built_once(folder) as todo:
        if todo:
            for name in ("main.go", "go.mod", "go.sum"):
                shutil.copy(HERE / "ferretdb" / name, folder)
            subprocess.run([go, "build", "-o", "server", "."], cwd=folder, check=True)
    return folder / "server"


def _fetched_jars() -> Path:
    maven = require_program("mvn")
    folder = cache_folder("mongo-java-server-1.47.0")
    with built_once(folder) as todo:
        if todo:
            shutil.copy(HERE / "mongo_java_server" / "pom.xml", folder)
            fetch = [maven, "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
            subprocess.run(fetch, cwd=folder, check=True)
    return folder / "jars"
