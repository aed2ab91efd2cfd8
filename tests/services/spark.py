"""Spark of the tests: two threads of this machine, and few partitions, since small data make small tasks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bigmama_nb.engines.spark import SparkEngine
from tests.services import Server, free_port, listens, require_program
from tests.services.hive import spark_home

SMALL = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    # Most of a small build's time is the compiling of its plans: the second compiler never pays here. Without it a JVM
    # has 48 MB for what it compiled, and stops for good when they are full.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC",
}


def connect_server(folder: Path) -> tuple[Server, str]:
    """Start Spark Connect with two threads on a free port; return the server and its address."""
    java = require_program("java")
    port = free_port()
    settings = SMALL | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    server = Server(
        [
            spark_home() / "bin" / "spark-submit",
            "--master",
            "local[2]",
            "--driver-memory",
            "1g",
            "--class",
            "org.apache.spark.sql.connect.service.SparkConnectServer",
            *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
            "spark-internal",
        ],
        log=folder / "connect.log",
        cwd=folder,
        env={"SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1", "JAVA_HOME": _java_home(java)},
    )
    return server.until(lambda: listens(port)), f"sc://127.0.0.1:{port}"


@contextmanager
def connected(folder: Path) -> Iterator[SparkEngine]:
    """Start Spark Connect for as long as the context lasts, and be its client."""
    server, address = connect_server(folder)
    try:
        with SparkEngine(remote=address, scratch=str(folder / "scratch"), remove=removed) as engine:
            yield engine
    finally:
        server.stop()


def _java_home(java: str) -> str:
    return str(Path(java).resolve().parents[1])


def removed(folder: str) -> None:
    """Delete a local folder."""
    shutil.rmtree(folder, ignore_errors=True)


def small_spark(folder: Path, **conf: str) -> SparkEngine:
    """Return Spark with two threads, its own files below `folder`."""
    require_program("java")
    own = {"spark.local.dir": str(folder / "local"), "spark.sql.warehouse.dir": str(folder / "warehouse")}
    return SparkEngine(
        master="local[2]",
        conf=SMALL | own | conf,
        scratch=str(folder / "scratch"),
        remove=removed,
        driver_memory=1 << 30,
    )
