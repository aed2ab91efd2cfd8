"""A connection to a Hive Metastore: reached, lost and found again. The bindings are those that come with pyiceberg.

Nothing here knows what is asked.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hive_metastore import ThriftHiveMetastore, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
from thrift.Thrift import TApplicationException, TException
from thrift.transport import TSocket, TSSLSocket, TTransport

from bigmama_nb.errors import READERS_SEE_BEFORE, CatalogError, UsageError, did_you_mean, with_state
from bigmama_nb.warehouse.catalog import login

Answer = TypeVar("Answer")

OPTIONS = (
    "auth",
    "kerberos_service_name",
    "kerberos_host",
    "user",
    "password_env",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "tls_verify_host",
    "timeout_s",
    "heartbeat_s",
    "stale_lock_s",
    "s3_scheme",
)
# What a socket says when its other end is gone: the request may have been carried out.
LOST = (TTransport.TTransportException, OSError, EOFError)
# What a metastore says when it refuses: the request was not carried out.
REFUSED = (TApplicationException, TException)


class LostAnswerError(Exception):
    """The request was sent and no answer came."""


class Connection:
    """One client of a metastore, for one thread at a time.

    Options: `auth` (none, kerberos, plain), `kerberos_service_name` (hive), `kerberos_host` (the URI's), `user`,
    `password_env` (plain: the name of the variable), `tls`, `tls_ca`, `tls_cert`, `tls_key`, `tls_verify_host`,
    `timeout_s` (120: an embedded Derby retries its deadlocks for long).
    """

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in OPTIONS:
                raise UsageError(
                    f"warehouse.metastore_options.{name}: unknown; options are "
                    f"{', '.join(OPTIONS)}.{did_you_mean(name, OPTIONS)}"
                )
        auth = options.get("auth", "none")
        if auth not in login.AUTHS:
            raise UsageError(
                f"warehouse.metastore_options.auth is {auth!r}; expected "
                f"{', '.join(login.AUTHS)}.{did_you_mean(auth, login.AUTHS)}"
            )
        self.uri = uri
        self._ends = [urlsplit(one.strip()) for one in uri.split(",")]
        for end in self._ends:
            if end.scheme != "thrift" or not end.hostname or not end.port:
                raise UsageError(f"warehouse.metastore is {uri!r}; expected thrift://host:9083, several with commas")
        self._options = options
        self._client: Any = None
        self._transport: Any = None
        self._lock = threading.RLock()

    def ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Return what the metastore answers; a question that changes nothing is asked again on a fresh connection.

        Raises:
            CatalogError: it cannot be reached.
            TException: it refuses.
        """
        with self._lock:
            for again in (True, False):
                client = self._connected()
                try:
                    return question(client)
                except LOST as error:
                    self.close()
                    if not again:
                        raise self._unreachable(error) from error
        raise AssertionError("unreachable")

    def tell(self, order: Callable[[Any], Answer]) -> Answer:
        """Return what the metastore answers to an order that changes something; it is sent once.

        Raises:
            CatalogError: it cannot be reached; nothing was sent.
            LostAnswerError: it was sent, and the answer was lost.
            TException: it refuses.
        """
        with self._lock:
            # An idle connection that the metastore has closed looks open: find out by a question.
            self.ask(lambda client: client.getStatus())
            try:
                return order(self._connected())
            except LOST as error:
                self.close()
                raise LostAnswerError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        with self._lock:
            if self._transport is not None:
                with contextlib.suppress(Exception):
                    self._transport.close()
            self._client = self._transport = None

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        problem: Exception | None = None
        for end in self._ends:
            host = str(end.hostname)
            socket = self._socket_to(host, int(end.port or 9083))
            try:
                transport = login.transport(socket, host, self._options)
                transport.open()
                client = ThriftHiveMetastore.Client(TBinaryProtocolAcceleratedFactory().getProtocol(transport))
                if self._options.get("user") and self._options.get("auth", "none") == "none":
                    client.set_ugi(str(self._options["user"]), [])
            except (*LOST, *REFUSED, *login.refusals()) as error:
                with contextlib.suppress(Exception):
                    socket.close()
                problem = error
                continue
            self._client, self._transport = client, transport
            return client
        assert problem is not None
        raise self._unreachable(problem) from problem

    def _socket_to(self, host: str, port: int) -> Any:
        options = self._options
        if options.get("tls"):
            context = ssl.create_default_context(cafile=options.get("tls_ca"))
            context.check_hostname = bool(options.get("tls_verify_host", True))
            if options.get("tls_cert"):
                context.load_cert_chain(options["tls_cert"], options.get("tls_key"))
            # The context checks the name where it is asked to; thrift would check it once more, asked or not.
            socket = TSSLSocket.TSSLSocket(
                host, port, ssl_context=context, server_hostname=host, validate_callback=lambda certificate, name: None
            )
        else:
            socket = TSocket.TSocket(host, port)
        socket.setTimeout(float(options.get("timeout_s", 120)) * 1000)
        return socket

    def _unreachable(self, error: Exception) -> CatalogError:
        advice = login.advice(error, str(self._ends[-1].hostname), self._options)
        return CatalogError(
            with_state(
                f"the metastore {self.uri} cannot be reached: {login.said(error) or first_line(error)}.{advice}",
                READERS_SEE_BEFORE,
                "run 'run_all.py repair latest' once it is back",
            ),
            place=self.uri,
        )


def first_line(error: BaseException) -> str:
    """Return the first line of what a metastore or its socket says, without Java's stack, and of why."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    inner = getattr(error, "inner", None)
    why = f" ({first_line(inner)})" if isinstance(inner, BaseException) else ""
    return f"{type(error).__name__}: {str(text).splitlines()[0]}{why}"


__all__ = ["LOST", "Connection", "LostAnswerError", "first_line", "ttypes"]
