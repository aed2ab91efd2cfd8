"""Apache Hive's metastore 3.1.3, from Maven. It has no server of its own here: Java 17 runs no job of Hive 3."""

from __future__ import annotations

import atexit
import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services import built_once, cache_folder, require, require_program
from tests.services.hadoop import OPENS, DerbyMetastore, write_settings
from tests.services.maven import Jar, fetch

VERSION, HADOOP = "3.1.3", "3.1.4"
JARS = (
    Jar("org.apache.hive", "hive-standalone-metastore", VERSION),
    Jar("org.apache.hadoop", "hadoop-common", HADOOP),
    # Named, or one of Hadoop 2 comes by way of others.
    Jar("org.apache.hadoop", "hadoop-hdfs", HADOOP),
    Jar("org.apache.hadoop", "hadoop-hdfs-client", HADOOP),
    Jar("org.apache.hadoop", "hadoop-mapreduce-client-core", HADOOP),
    # Hive asks for an older one, which this Hadoop cannot work with.
    Jar("com.google.guava", "guava", "27.0-jre"),
)
TWICE = ("log4j-1.2", "slf4j-log4j12", "slf4j-reload4j", "reload4j")
# Its Maven archive has no schematool: the tables of locks are made by hand, all others by DataNucleus.
LAUNCHER = """
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.metastore.conf.MetastoreConf;

public class Metastore {
  public static void main(String[] arguments) throws Throwable {
    if (Boolean.getBoolean("prepare"))
      org.apache.hadoop.hive.metastore.txn.TxnDbUtil.prepDb(MetastoreConf.newMetastoreConf());
    org.apache.hadoop.hive.metastore.HiveMetaStore.main(arguments);
  }
}
"""


def _built() -> Path:
    """Return the folder of the jars and of the compiled launcher, made once."""
    folder = cache_folder(f"hive-{VERSION}")
    with built_once(folder) as todo:
        if todo:
            jars = fetch(folder, "Hive 3", JARS)
            for jar in jars.iterdir():
                if jar.name.startswith(TWICE):
                    jar.unlink()
            (folder / "Metastore.java").write_text(LAUNCHER)
            compiler = require_program("javac")
            command = [compiler, "-cp", f"{jars}/*", "-d", str(folder), str(folder / "Metastore.java")]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            require("Hive 3", made.returncode == 0, f"its launcher could not be compiled: {made.stderr[-500:]}")
    return folder


class Metastore3(DerbyMetastore):
    """A metastore of Hive 3."""

    def __init__(self) -> None:
        self._java = require_program("java")
        self._built = _built()
        super().__init__()

    def _prepare(self) -> None:
        settings = {
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:{self.database};create=true",
            "javax.jdo.option.ConnectionDriverName": "org.apache.derby.jdbc.EmbeddedDriver",
            "datanucleus.schema.autoCreateAll": "true",
            "metastore.schema.verification": "false",
            # The usual ones are in Hive itself.
            "metastore.expression.proxy": "org.apache.hadoop.hive.metastore.DefaultPartitionExpressionProxy",
            "metastore.task.threads.always": "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
            "metastore.warehouse.dir": f"file:{self._folder}/warehouse",
            "metastore.thrift.uris": self.uri,
            "metastore.server.min.threads": "4",
        }
        write_settings(self._folder, "metastore-site.xml", settings)

    def _command(self) -> Sequence[str]:
        prepare = "false" if self.database.exists() else "true"
        jars = f"{self._folder}:{self._built}:{self._built}/jars/*"
        return self._java, *OPENS, f"-Dprepare={prepare}", "-cp", jars, "Metastore"


@functools.cache
def metastore3() -> Metastore3:
    """Return the metastore of Hive 3 that the tests of this process share; it ends with them."""
    server = Metastore3()
    atexit.register(server.stop)
    return server
