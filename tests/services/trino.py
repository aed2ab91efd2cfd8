"""Trino 476 with its Hive connector over a metastore: 821 MB from Maven. It wants Java 24 or later."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.services import Server, built_once, cache_folder, free_port, require
from tests.services.maven import fetch_one

VERSION = "476"
JAVA = 24


def java() -> str:
    """Return the path of a Java that is new enough, or end the test as `require` does."""
    places = [*Path("/usr/lib/jvm").glob("*/bin/java")]
    found = [str(path) for path in places if (version := _version(path)) and version >= JAVA]
    require("Trino", found, f"no Java {JAVA} or later below /usr/lib/jvm")
    return found[0]


def _version(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
        if found := re.search(r'version "(\d+)', said):
            return int(found.group(1))
    return None


def home() -> Path:
    """Return the folder of Trino's own jars and of its Hive connector, fetched once."""
    folder = cache_folder(f"trino-{VERSION}")
    with built_once(folder) as todo:
        if todo:
            archive = fetch_one(folder, "Trino", f"io.trino:trino-server:{VERSION}:tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            unpacked = folder / f"trino-server-{VERSION}"
            for plugin in (unpacked / "plugin").iterdir():
                if plugin.name != "hive":
                    shutil.rmtree(plugin)
            unpacked.rename(folder / "home")
            archive.unlink()
    return folder / "home"


class Trino:
    """One node; `settings` are further ones of the catalog `hive`."""

    def __init__(self, metastore: str, settings: Mapping[str, str]) -> None:
        machine = java()
        built = home()
        self._folder = folder = Path(tempfile.mkdtemp(prefix="bigmama-trino-"))
        self.port = free_port()
        catalog = {
            "connector.name": "hive",
            "hive.metastore.uri": metastore,
            "fs.hadoop.enabled": "true",
            **settings,
        }
        node = {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": str(self.port),
            "discovery.uri": f"http://127.0.0.1:{self.port}",
            "query.max-memory": "512MB",
            "query.max-memory-per-node": "512MB",
            "memory.heap-headroom-per-node": "256MB",
            "catalog.management": "static",
            "node.environment": "test",
            "node.internal-address": "127.0.0.1",
        }
        (folder / "catalog").mkdir()
        for path, lines in [("catalog/hive.properties", catalog), ("config.properties", node)]:
            (folder / path).write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        (folder / "log.properties").write_text("io.trino=WARN\n")
        self.server = Server(
            [
                *(machine, "-Xmx1536M", "-XX:+UseG1GC", "-Djdk.attach.allowAttachSelf=true"),
                *("--enable-native-access=ALL-UNNAMED", "-Duser.timezone=UTC"),
                *("-Dnode.environment=test", "-Dnode.id=one", f"-Dnode.data-dir={folder}/data"),
                *(f"-Dplugin.dir={built}/plugin", f"-Dcatalog.config-dir={folder}/catalog"),
                *(f"-Dconfig={folder}/config.properties", f"-Dlog.levels-file={folder}/log.properties"),
                *("-cp", f"{built}/lib/*", "io.trino.server.TrinoServer"),
            ],
            log=folder / "trino.log",
            cwd=folder,
        ).until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            return self.query("SELECT 1") == [[1]]
        return False

    def query(self, sql: str, *, zone: str = "UTC", **session: str) -> list[list[Any]]:
        """Return the rows of `sql`; `session` are properties of the catalog."""
        from trino.dbapi import connect

        properties = {f"hive.{name}": value for name, value in session.items()}
        with contextlib.closing(
            connect(
                host="127.0.0.1",
                port=self.port,
                user=os.environ.get("USER", "me"),
                catalog="hive",
                timezone=zone,
                session_properties=properties,
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [list(row) for row in cursor.fetchall()]

    def stop(self) -> None:
        """End it and delete what it kept."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
