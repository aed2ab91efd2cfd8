"""A NameNode and a DataNode on loopback: Hadoop's own minicluster, from Maven."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

from tests.services import Server, built_once, cache_folder, require_program
from tests.services.maven import Jar, fetch

JARS = (
    Jar("org.apache.hadoop", "hadoop-client-minicluster", "3.5.0"),
    Jar("org.apache.hadoop", "hadoop-client-api", "3.5.0"),
    Jar("org.apache.hadoop", "hadoop-client-runtime", "3.5.0"),
    # The minicluster needs them and does not declare them.
    Jar("org.mockito", "mockito-core", "4.11.0"),
    Jar("org.junit.jupiter", "junit-jupiter-api", "5.10.2"),
)


def _jars() -> Path:
    """Return the folder of the minicluster's jars, fetched once."""
    folder = cache_folder("hdfs-3.5.0")
    with built_once(folder) as todo:
        if todo:
            fetch(folder, "HDFS", JARS)
    return folder / "jars"


class Hdfs:
    """One NameNode with one DataNode; what was written survives a kill and a start."""

    def __init__(self) -> None:
        self._java = require_program("java")
        self._jars = _jars()
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-hdfs-"))
        self._port = 0
        self._server = self._started("-format")

    @property
    def uri(self) -> str:
        """`hdfs://127.0.0.1:<port>`."""
        return f"hdfs://127.0.0.1:{self._port}"

    def kill(self) -> None:
        """End NameNode and DataNode at once, as a crash would."""
        self._server.kill()

    def start(self) -> None:
        """Start again on the same port, with what was written before."""
        self._server = self._started()

    def stop(self) -> None:
        """End it and delete what it kept."""
        self._server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self, *options: str) -> Server:
        details = self._folder / "details.json"
        details.unlink(missing_ok=True)
        state = self._folder / "state"
        server = Server(
            [
                self._java,
                "-Xmx512m",
                f"-Dhadoop.log.dir={state}",
                f"-Dtest.build.data={state}",
                "-cp",
                f"{self._jars}/*",
                "org.apache.hadoop.test.MiniDFSClusterManager",
                *options,
                "-nnport",
                str(self._port),
                "-datanodes",
                "1",
                "-D",
                "dfs.namenode.rpc-bind-host=127.0.0.1",
                # A crash must not leave the restarted NameNode in safe mode for half a minute.
                "-D",
                "dfs.namenode.safemode.extension=0",
                "-writeDetails",
                str(details),
            ],
            log=self._folder / "hdfs.log",
            cwd=self._folder,
        )
        server.until(lambda: details.exists() and details.read_text().strip().endswith("}"))
        self._port = json.loads(details.read_text())["namenode_port"]
        return server


@functools.cache
def hdfs() -> Hdfs:
    """Return the HDFS that the tests of this process share; it ends with them."""
    server = Hdfs()
    atexit.register(server.stop)
    return server
