"""Apache Hive 4.0.1: its metastore, on the schema that schematool makes, and its HiveServer2, from Maven.

In a fresh cache 45 s for 370 MB of jars, 290 MB of which are kept, and 8 s for the schema, once. A metastore is up in
4 to 10 s and takes 0.27 GB, a HiveServer2 in 3 to 10 s and takes 0.4 GB when it is up, 1.3 GB when it works. The test
modules of a process share them.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import Server, built_once, cache_folder, require, require_program
from tests.services.hadoop import LOGGING, OPENS, DerbyMetastore, SqlServer, write_settings
from tests.services.maven import Jar, fetch, fetch_one

VERSION, HADOOP, TEZ = "4.0.1", "3.3.6", "0.10.4"
UNUSED = ("org.pac4j", "net.shibboleth.tool", "org.apache.solr", "org.apache.hbase")
JARS = (
    Jar("org.apache.hive", "hive-service", VERSION, UNUSED),
    Jar("org.apache.hive", "hive-standalone-metastore-server", VERSION),
    Jar("org.apache.hadoop", "hadoop-common", HADOOP),
    Jar("org.apache.hadoop", "hadoop-hdfs", HADOOP),
    Jar("org.apache.hadoop", "hadoop-hdfs-client", HADOOP),
    Jar("org.apache.hadoop", "hadoop-mapreduce-client-core", HADOOP),
    Jar("org.apache.hadoop", "hadoop-mapreduce-client-common", HADOOP),
    Jar("org.apache.hadoop", "hadoop-mapreduce-client-jobclient", HADOOP),
    Jar("org.apache.hadoop", "hadoop-yarn-client", HADOOP),
    # Planning asks for its classes, whatever the engine.
    Jar("org.apache.tez", "tez-dag", TEZ),
    Jar("org.apache.tez", "tez-mapreduce", TEZ),
)
# A second Hadoop without its libraries, and other loggings, which catch what Hive writes to its own.
TWICE = ("hadoop-client-api-", "log4j-1.2.17", "slf4j-log4j12", "slf4j-reload4j", "reload4j")


def jars() -> Path:
    """Return the folder of Hive's jars, fetched once."""
    folder = cache_folder(f"hive-{VERSION}")
    with built_once(folder) as todo:
        if todo:
            for jar in fetch(folder, "Hive 4", JARS).iterdir():
                if jar.name.startswith(TWICE):
                    jar.unlink()
            scripts = f"org.apache.hive:hive-standalone-metastore-server:{VERSION}:tar.gz:bin"
            archive = fetch_one(folder, "Hive 4", scripts)
            with tarfile.open(archive) as packed:
                for member in packed:
                    _, _, name = member.name.partition("/")
                    if name.startswith("scripts/metastore/upgrade/"):
                        member.name = name
                        packed.extract(member, folder / "home", filter="data")
            archive.unlink()
            connection = {
                "javax.jdo.option.ConnectionURL": f"jdbc:derby:{folder}/derby;create=true",
                "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
            }
            make_schema(folder, "derby", connection)
    return folder / "jars"


def make_schema(folder: Path, kind: str, connection: Mapping[str, str], *drivers: Path) -> None:
    """Make an empty metastore's tables in a database, as an administrator does; `folder` takes the settings."""
    java = require_program("java")
    hive = cache_folder(f"hive-{VERSION}")
    write_settings(folder / "schema", "metastore-site.xml", connection)
    made = subprocess.run(
        [
            *(java, "-Xmx512m", *OPENS, f"-Dderby.stream.error.file={folder}/derby.log"),
            *("-cp", os.pathsep.join([f"{folder}/schema", f"{hive}/jars/*", *map(str, drivers)])),
            "org.apache.hadoop.hive.metastore.tools.schematool.MetastoreSchemaTool",
            *("-dbType", kind, "-initSchema"),
        ],
        env={**os.environ, "METASTORE_HOME": str(hive / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    require("Hive 4", made.returncode == 0, f"schematool failed: {made.stdout[-500:]}{made.stderr[-500:]}")


class Metastore4(DerbyMetastore):
    """A metastore of Hive 4 on the schema that schematool makes.

    `configuration` holds further settings of the metastore, `hadoop` those of core-site.xml, `java` options of Java.
    With `driver`, the jar of a JDBC driver, it stands on the database that `configuration` names, else on a Derby.
    """

    def __init__(
        self,
        configuration: Mapping[str, str] | None = None,
        *,
        hadoop: Mapping[str, str] | None = None,
        java: tuple[str, ...] = (),
        driver: Path | None = None,
    ) -> None:
        self._java = [require_program("java"), *OPENS, *java]
        self._jars = jars()
        self._configuration = configuration or {}
        self._hadoop = hadoop or {}
        self._driver = driver
        super().__init__()

    def _prepare(self) -> None:
        if self._driver is None:
            shutil.copytree(self._jars.parent / "derby", self.database)
        settings = {
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:{self.database}",
            "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
            "datanucleus.schema.autoCreateAll": "false",
            "metastore.warehouse.dir": f"file:{self._folder}/warehouse",
            "metastore.warehouse.external.dir": f"file:{self._folder}/external",
            "metastore.thrift.uris": self.uri,
            "metastore.server.min.threads": "4",
            "metastore.hmshandler.retry.interval": "100ms",
            **self._configuration,
        }
        for name in ("metastore-site.xml", "hive-site.xml"):
            write_settings(self._folder, name, settings)
        write_settings(self._folder, "core-site.xml", self._hadoop)

    def _command(self) -> Sequence[str]:
        path = f"{self._folder}:{self._jars}/*" + (f":{self._driver}" if self._driver else "")
        return *self._java, "-cp", path, "org.apache.hadoop.hive.metastore.HiveMetaStore"


class HiveServer2(SqlServer):
    """HiveServer2 of Hive 4 over a metastore of Hive 4; its queries run in its own process, in the zone `zone`."""

    def __init__(self, metastore: str, *, zone: str = "UTC") -> None:
        self._java = require_program("java")
        self._jars = jars()
        self._metastore = metastore
        self._zone = zone
        super().__init__()

    def _started(self) -> Server:
        folder = self._folder
        settings = {
            "hive.metastore.uris": self._metastore,
            "hive.server2.thrift.port": str(self.port),
            "hive.server2.thrift.bind.host": "127.0.0.1",
            "hive.server2.authentication": "NONE",
            "hive.server2.enable.doAs": "false",
            "hive.server2.webui.port": "-1",
            "hive.server2.logging.operation.enabled": "false",
            "hive.server2.tez.initialize.default.sessions": "false",
            "hive.server2.materializedviews.registry.impl": "DUMMY",
            # Of the engines only MapReduce runs without a cluster, and only its maps and reduces of this process.
            "hive.execution.engine": "mr",
            "mapreduce.framework.name": "local",
            "mapreduce.jobtracker.address": "local",
            "hive.exec.submitviachild": "false",
            "hive.auto.convert.join": "false",
            "hive.query.results.cache.enabled": "false",
            "hive.scheduled.queries.executor.enabled": "false",
            "hive.privilege.synchronizer": "false",
            "hive.notification.event.poll.interval": "-1",
            "hive.metastore.event.db.notification.api.auth": "false",
            "hive.stats.autogather": "false",
            "fs.defaultFS": "file:///",
            "hadoop.tmp.dir": f"{folder}/tmp",
            "hive.exec.scratchdir": f"file:{folder}/scratch",
            "hive.exec.local.scratchdir": f"{folder}/local",
            "hive.downloaded.resources.dir": f"{folder}/resources",
            "hive.querylog.location": f"{folder}/queries",
            "hive.metastore.warehouse.dir": f"file:{folder}/warehouse",
            "hive.metastore.warehouse.external.dir": f"file:{folder}/external",
        }
        write_settings(folder, "hive-site.xml", settings)
        (folder / "logging.properties").write_text(LOGGING)
        return Server(
            [
                *(self._java, "-Xmx1g", "-XX:TieredStopAtLevel=1", *OPENS, f"-Duser.timezone={self._zone}"),
                f"-Dlog4j.configurationFile={folder}/logging.properties",
                *(f"-Dhive.log.dir={folder}", f"-Djava.io.tmpdir={folder}"),
                *("-Dproc_hiveserver2", "-cp", f"{folder}:{self._jars}/*"),
                "org.apache.hive.service.server.HiveServer2",
            ],
            log=folder / "hs2.log",
            cwd=folder,
        )


@functools.cache
def metastore4() -> Metastore4:
    """Return the metastore of Hive 4 that the tests of this process share; it ends with them."""
    server = Metastore4()
    atexit.register(server.stop)
    return server


@functools.cache
def hiveserver2(zone: str = "UTC") -> HiveServer2:
    """Return the HiveServer2 over `metastore4()` that the tests of this process share; it ends with them."""
    server = HiveServer2(metastore4().uri, zone=zone)
    atexit.register(server.stop)
    return server
