"""Apache Hive 4.0.1: its metastore, on the schema that schematool makes, and its HiveServer2, from Maven.

In a fresh cache 45 s for 370 MB of jars, 290 MB of which are kept, and 8 s for the schema, once. A metastore is up in
4 to 10 s and takes 0.27 GB, a HiveServer2 in 3 to 10 s and takes 0.4 GB when it is up, 1.3 GB when it works. The test
modules of a process share them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.services import Server, built_once, cache_folder, free_port, listens, require, require_program
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
"""


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
            _make_schema(folder)
    return folder / "jars"


def settings_file(folder: Path, name: str, settings: Mapping[str, str]) -> None:
    """Write Hadoop's settings into `folder`/`name`."""
    folder.mkdir(parents=True, exist_ok=True)
    properties = "".join(
        f"<property><name>{key}</name><value>{value}</value></property>" for key, value in settings.items()
    )
    (folder / name).write_text(f"<configuration>{properties}</configuration>")


def _make_schema(folder: Path) -> None:
    """Make an empty metastore's tables in `folder`/derby, as an administrator does."""
    java = require_program("java")
    settings = {
        "javax.jdo.option.ConnectionURL": f"jdbc:derby:{folder}/derby;create=true",
        "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
    }
    settings_file(folder / "schema", "metastore-site.xml", settings)
    made = subprocess.run(
        [
            *(java, "-Xmx512m", *OPENS, f"-Dderby.stream.error.file={folder}/derby.log"),
            *("-cp", f"{folder}/schema:{folder}/jars/*"),
            "org.apache.hadoop.hive.metastore.tools.schematool.MetastoreSchemaTool",
            *("-dbType", "derby", "-initSchema"),
        ],
        env={**os.environ, "METASTORE_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    require("Hive 4", made.returncode == 0, f"schematool failed: {made.stdout[-500:]}{made.stderr[-500:]}")


class Metastore4:
    """A metastore of Hive 4 on a database of its own, which survives a kill and a start on the same port.

    `configuration` holds further settings of the metastore, `hadoop` those of core-site.xml, `java` options of Java.
    """

    def __init__(
        self,
        configuration: Mapping[str, str] | None = None,
        *,
        hadoop: Mapping[str, str] | None = None,
        java: tuple[str, ...] = (),
    ) -> None:
        self._java = [require_program("java"), "-Xmx512m", *OPENS, *java]
        self._jars = jars()
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-metastore4-"))
        self.port = free_port()
        shutil.copytree(self._jars.parent / "derby", self._folder / "db")
        settings = {
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:{self._folder}/db",
            "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
            "datanucleus.schema.autoCreateAll": "false",
            "metastore.warehouse.dir": f"file:{self._folder}/warehouse",
            "metastore.warehouse.external.dir": f"file:{self._folder}/external",
            "metastore.thrift.uris": self.uri,
            "metastore.server.min.threads": "4",
            **(configuration or {}),
        }
        conf = self._folder / "conf"
        for name in ("metastore-site.xml", "hive-site.xml"):
            settings_file(conf, name, settings)
        settings_file(conf, "core-site.xml", hadoop or {})
        (conf / "logging.properties").write_text(LOGGING)
        self.server = self._started()

    @property
    def uri(self) -> str:
        """`thrift://127.0.0.1:<port>`."""
        return f"thrift://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.server.kill()

    def start(self) -> None:
        """Start again on the same port, with the tables of before."""
        for lock in (self._folder / "db").glob("*.lck"):
            lock.unlink()
        self.server = self._started()

    def stop(self) -> None:
        """End it and delete what it kept."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> Server:
        server = Server(
            [
                *self._java,
                f"-Dderby.stream.error.file={self._folder}/derby.log",
                f"-Dlog4j.configurationFile={self._folder}/conf/logging.properties",
                *("-cp", f"{self._folder}/conf:{self._jars}/*"),
                *("org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", str(self.port)),
            ],
            log=self._folder / "metastore.log",
            cwd=self._folder,
        )
        return server.until(lambda: listens(self.port))


class HiveServer2:
    """HiveServer2 of Hive 4 over a metastore of Hive 4; its queries run in its own process, in the zone `zone`."""

    def __init__(self, metastore: str, *, zone: str = "UTC") -> None:
        java = require_program("java")
        self._folder = folder = Path(tempfile.mkdtemp(prefix="bigmama-hive4-"))
        self.port = free_port()
        settings = {
            "hive.metastore.uris": metastore,
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
        settings_file(folder / "conf", "hive-site.xml", settings)
        (folder / "conf" / "logging.properties").write_text(LOGGING)
        self.server = Server(
            [
                *(java, "-Xmx1g", "-XX:TieredStopAtLevel=1", *OPENS, f"-Duser.timezone={zone}"),
                f"-Dlog4j.configurationFile={folder}/conf/logging.properties",
                f"-Dhive.log.dir={folder}",
                f"-Djava.io.tmpdir={folder}",
                *("-Dproc_hiveserver2", "-cp", f"{folder}/conf:{jars()}/*"),
                "org.apache.hive.service.server.HiveServer2",
            ],
            log=folder / "hiveserver2.log",
            cwd=folder,
        ).until(lambda: listens(self.port))

    def run(self, *statements: str) -> None:
        """Run statements that answer nothing."""
        self._asked(statements, fetch=False)

    def query(self, *statements: str) -> list[tuple[object, ...]]:
        """Return the rows of the last of `statements`, which run in one session."""
        return self._asked(statements, fetch=True)

    def _asked(self, statements: tuple[str, ...], *, fetch: bool) -> list[tuple[object, ...]]:
        from impala.dbapi import connect

        connection = connect(host="127.0.0.1", port=self.port, auth_mechanism="PLAIN", user="me", password="none")
        try:
            with contextlib.closing(connection.cursor()) as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return [tuple(row) for row in cursor.fetchall()] if fetch else []
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


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
