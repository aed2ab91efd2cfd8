"""A Hive Metastore 2.3 and HiveServer2's protocol (Spark's Thrift Server), from the jars that pip's pyspark brings."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import Server, built_once, cache_folder, require, require_program, s3
from tests.services.hadoop import DerbyMetastore, SqlServer, write_settings

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


class Metastore(DerbyMetastore):
    """A metastore of 2.3; `configuration` holds further settings."""

    def __init__(self, configuration: Mapping[str, str] | None = None) -> None:
        self._java = require_program("java")
        self._launcher = _launcher()
        self._configuration = configuration or {}
        super().__init__()

    def _prepare(self) -> None:
        settings = {
            **CONFIGURATION,
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:{self.database};create=true",
            "hive.metastore.warehouse.dir": f"file:{self._folder}/warehouse",
            **s3.hadoop_configuration(),
            **self._configuration,
        }
        write_settings(self._folder, "hive-site.xml", settings)

    def _command(self) -> Sequence[str]:
        jars = [str(self._folder), str(self._launcher), f"{spark_home()}/jars/*", *map(str, s3.hadoop_jars())]
        prepare = "false" if self.database.exists() else "true"
        return self._java, f"-Dprepare={prepare}", "-cp", ":".join(jars), "Metastore"


class ThriftServer(SqlServer):
    """Spark's Thrift Server: SQL over HiveServer2's protocol, on a metastore's tables."""

    def __init__(self, metastore: str, configuration: Mapping[str, str] | None = None) -> None:
        require_program("java")
        self._metastore = metastore
        self._configuration = configuration or {}
        super().__init__()

    def _started(self) -> Server:
        settings = {
            "spark.hadoop.hive.metastore.uris": self._metastore,
            "spark.sql.warehouse.dir": f"file:{self._folder}/warehouse",
            "spark.sql.session.timeZone": "UTC",
            "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "1",
            "spark.driver.extraClassPath": ":".join(map(str, s3.hadoop_jars())),
            **{f"spark.hadoop.{name}": value for name, value in s3.hadoop_configuration().items()},
            **self._configuration,
        }
        return Server(
            [
                *(spark_home() / "bin" / "spark-submit", "--master", "local[2]", "--driver-memory", "1g"),
                *("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"),
                *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
                "spark-internal",
                *("--hiveconf", f"hive.server2.thrift.port={self.port}"),
                *("--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1"),
            ],
            log=self._folder / "hs2.log",
            cwd=self._folder,
            env={"SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1"},
        )


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
