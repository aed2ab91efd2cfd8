"""A Hive Metastore and HiveServer2's protocol (Spark's Thrift Server), both from the jars that pip's pyspark brings."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.services import Server, built_once, cache_folder, free_port, listens, require, require_program, s3

# Without prepDb the lock tables are missing and lock() fails.
LAUNCHER = """
public class Metastore {
  public static void main(String[] arguments) throws Throwable {
    if (Boolean.getBoolean("prepare"))
      org.apache.hadoop.hive.metastore.txn.TxnDbUtil.prepDb(new org.apache.hadoop.hive.conf.HiveConf());
    org.apache.hadoop.hive.metastore.HiveMetaStore.main(arguments);
  }
}
"""
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
CONFIGURATION = {
    "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
    "datanucleus.schema.autoCreateAll": "true",
    "datanucleus.connectionPoolingType": "NONE",
    "hive.metastore.schema.verification": "false",
    "hive.async.log.enabled": "false",
    "hive.metastore.server.min.threads": "4",
}


def spark_home() -> Path:
    """Return pyspark's folder, or end the test where it is not installed."""
    found = importlib.util.find_spec("pyspark")
    require("Hive", found is not None and found.origin, "pyspark is not installed; its jars hold the metastore")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _launcher() -> Path:
    """Return the folder of the compiled launcher."""
    folder = cache_folder("metastore-2")
    with built_once(folder) as todo:
        if todo:
            (folder / "Metastore.java").write_text(LAUNCHER)
            compiler = require_program("javac")
            subprocess.run(
                [compiler, "-cp", f"{spark_home()}/jars/*", "-d", str(folder), str(folder / "Metastore.java")],
                check=True,
            )
    return folder


class Metastore:
    """A metastore on a database of its own, which survives a kill and a start on the same port."""

    def __init__(self, configuration: Mapping[str, str] | None = None) -> None:
        self._java = require_program("java")
        self._launcher = _launcher()
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-metastore-"))
        self.port = free_port()
        settings = {
            **CONFIGURATION,
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:{self._folder}/db;create=true",
            "hive.metastore.warehouse.dir": f"file:{self._folder}/warehouse",
            **s3.hadoop_configuration(),
            **(configuration or {}),
        }
        properties = "".join(
            f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()
        )
        (self._folder / "hive-site.xml").write_text(f"<configuration>{properties}</configuration>")
        (self._folder / "hive-log4j2.properties").write_text(LOGGING)
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
        # Derby leaves its lock behind when its process is killed.
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
                self._java,
                "-Xmx512m",
                f"-Dprepare={'false' if (self._folder / 'db').exists() else 'true'}",
                f"-Dderby.stream.error.file={self._folder}/derby.log",
                f"-Dlog4j.configurationFile={self._folder}/hive-log4j2.properties",
                "-cp",
                ":".join(
                    [str(self._folder), str(self._launcher), f"{spark_home()}/jars/*", *map(str, s3.hadoop_jars())]
                ),
                "Metastore",
                "-p",
                str(self.port),
            ],
            log=self._folder / "metastore.log",
            cwd=self._folder,
        )
        return server.until(lambda: listens(self.port))


class ThriftServer:
    """Spark's Thrift Server: SQL over HiveServer2's protocol, on a metastore's tables."""

    def __init__(self, metastore: str, configuration: Mapping[str, str] | None = None) -> None:
        require_program("java")
        self._folder = Path(tempfile.mkdtemp(prefix="bigmama-hs2-"))
        self.port = free_port()
        settings = {
            "spark.hadoop.hive.metastore.uris": metastore,
            "spark.sql.warehouse.dir": f"file:{self._folder}/warehouse",
            "spark.sql.session.timeZone": "UTC",
            "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "1",
            "spark.driver.extraClassPath": ":".join(map(str, s3.hadoop_jars())),
            **{f"spark.hadoop.{name}": value for name, value in s3.hadoop_configuration().items()},
            **(configuration or {}),
        }
        self.server = Server(
            [
                spark_home() / "bin" / "spark-submit",
                "--master",
                "local[2]",
                "--driver-memory",
                "1g",
                "--class",
                "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
                *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
                "spark-internal",
                "--hiveconf",
                f"hive.server2.thrift.port={self.port}",
                "--hiveconf",
                "hive.server2.thrift.bind.host=127.0.0.1",
            ],
            log=self._folder / "hs2.log",
            cwd=self._folder,
            env={"SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1"},
        ).until(lambda: listens(self.port))

    def run(self, sql: str) -> None:
        """Run a statement that answers nothing: the client breaks on an answer without columns."""
        self._asked(sql, fetch=False)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of `sql`."""
        return self._asked(sql, fetch=True)

    def _asked(self, sql: str, *, fetch: bool) -> list[tuple[object, ...]]:
        from impala.dbapi import connect

        connection = connect(
            host="127.0.0.1", port=self.port, auth_mechanism="PLAIN", user=os.environ.get("USER", "me")
        )
        try:
            # A cursor that is left to the garbage collector opens the connection again.
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if fetch else []
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@functools.cache
def metastore() -> Metastore:
    """Return the metastore that the tests of this process share; it ends with them."""
    server = Metastore()
    atexit.register(server.stop)
    return server


@functools.cache
def thrift_server() -> ThriftServer:
    """Return the Thrift Server over `metastore()` that the tests of this process share; it ends with them."""
    server = ThriftServer(metastore().uri)
    atexit.register(server.stop)
    return server
