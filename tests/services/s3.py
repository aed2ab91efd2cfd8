"""An S3 server on loopback (moto), and a proxy before it that can answer 503."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import http.server
import importlib.util
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.services import Server, built_once, cache_folder, free_port, listens, require, require_program

BUCKET = "warehouse"
# Not the SDK's bundle, which hadoop-aws asks for: 16 MB instead of 600.
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>services</groupId><artifactId>s3a</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-aws</artifactId><version>3.5.0</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
    <dependency><groupId>software.amazon.awssdk</groupId><artifactId>s3</artifactId><version>2.35.4</version></dependency>
    <dependency><groupId>software.amazon.awssdk</groupId><artifactId>s3-transfer-manager</artifactId>
      <version>2.35.4</version></dependency>
    <dependency><groupId>software.amazon.awssdk</groupId><artifactId>sts</artifactId><version>2.35.4</version></dependency>
    <dependency><groupId>software.amazon.s3.analyticsaccelerator</groupId>
      <artifactId>analyticsaccelerator-s3</artifactId><version>1.3.1</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
  </dependencies>
</project>
"""


def credentials() -> dict[str, str]:
    """Return the variables by which a client signs; the server takes any."""
    return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@functools.cache
def port() -> int:
    """Return the port that the shared server has, or will have: a metastore is told it before."""
    return free_port()


def hadoop_jars() -> list[Path]:
    """Return the jars by which Hadoop's programs reach S3, fetched once."""
    folder = cache_folder("s3a-3.5.0-2")
    with built_once(folder) as todo:
        if todo:
            (folder / "pom.xml").write_text(POM)
            fetched = subprocess.run(
                [require_program("mvn"), "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            require("S3 for Hadoop", fetched.returncode == 0, f"jars could not be fetched: {fetched.stdout[-300:]}")
    jars = sorted((folder / "jars").iterdir())
    # Spark brings its own logging, and a later netty: two kinds of it in one process do not start.
    return [jar for jar in jars if jar.name.startswith("netty-nio") or not jar.name.startswith(("slf4j", "netty"))]


def hadoop_configuration() -> dict[str, str]:
    """Return the settings by which Hadoop's programs reach the shared server."""
    signed = credentials()
    return {
        "fs.s3a.endpoint": f"http://127.0.0.1:{port()}",
        "fs.s3a.endpoint.region": "us-east-1",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.access.key": signed["AWS_ACCESS_KEY_ID"],
        "fs.s3a.secret.key": signed["AWS_SECRET_ACCESS_KEY"],
        "fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }


class S3:
    """A server with one bucket, `warehouse`, and any credentials."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("moto") and importlib.util.find_spec("flask")
        require("S3", found, "moto[server] is not installed")
        self.port = port()
        log = Path(tempfile.mkdtemp(prefix="bigmama-s3-")) / "s3.log"
        self.server = Server(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            log=log,
            env={"PYTHONWARNINGS": "ignore"},
        ).until(lambda: listens(self.port))
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        signed = "AWS4-HMAC-SHA256 Credential=test/20240501/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
        connection.request("PUT", f"/{BUCKET}", headers={"Authorization": signed})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        self.server.kill()


class Proxy:
    """A server before the S3 server that answers 503 while `fails`, and to the next `spell` requests."""

    def __init__(self, target: int) -> None:
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.asked += 1
                if proxy.fails or proxy.spell:
                    proxy.spell = max(0, proxy.spell - 1)
                    proxy.refused += 1
                    self.send_response(503, "Slow Down")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", target)) as connection:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    answer = connection.getresponse()
                    content = answer.read()
                    self.send_response(answer.status, answer.reason)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                            self.send_header(name, value)
                    length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
                    self.send_header("Content-Length", length or "0")
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.fails = False
        self.spell = 0
        self.asked = 0
        self.refused = 0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@functools.cache
def s3() -> S3:
    """Return the S3 server that the tests of this process share; it ends with them."""
    server = S3()
    atexit.register(server.stop)
    return server


@contextlib.contextmanager
def proxied() -> Iterator[Proxy]:
    """Yield a proxy before the shared S3 server."""
    proxy = Proxy(s3().port)
    try:
        yield proxy
    finally:
        proxy.close()
