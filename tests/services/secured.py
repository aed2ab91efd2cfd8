"""What stands before a server in many a data centre: TLS, or a login by SASL PLAIN, on a free loopback port.

Both end the protection here and pass the plain bytes on to `port`. The login follows thrift's SASL framing: a status
byte and a length before each step, then a length before each piece of the conversation.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

START, OK, BAD, COMPLETE = 1, 2, 3, 5

Read = Callable[[], bytes]
Write = Callable[[bytes], None]


class Gate(ABC):
    """Accepts on `port`, lets in whom it knows, and passes everything on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @abstractmethod
    def _let_in(self, client: socket.socket) -> tuple[socket.socket, Read, Write]:
        """Return the client's socket, and how its plain bytes are read (none: the end) and written.

        Raises:
            OSError: it is not let in.
        """

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to)) as server:
            inside, read, write = self._let_in(client)
            with inside:
                answers = threading.Thread(target=_pumped, args=(lambda: server.recv(65_536), write), daemon=True)
                answers.start()
                _pumped(read, server.sendall)
                server.shutdown(socket.SHUT_RDWR)
                answers.join()


class Tls(Gate):
    """Speaks TLS with this certificate."""

    def __init__(self, port: int, certificate: tuple[Path, Path]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        super().__init__(port)

    def _let_in(self, client: socket.socket) -> tuple[socket.socket, Read, Write]:
        inside = self._context.wrap_socket(client, server_side=True)
        return inside, lambda: inside.recv(65_536), inside.sendall


class Login(Gate):
    """Lets one user in, by SASL PLAIN."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._known = f"\0{user}\0{password}".encode()
        super().__init__(port)

    def _let_in(self, client: socket.socket) -> tuple[socket.socket, Read, Write]:
        mechanism, response = _step(client), _step(client)
        if (mechanism, response) != ((START, b"PLAIN"), (OK, self._known)):
            client.sendall(struct.pack(">BI", BAD, 12) + b"wrong login.")
            raise PermissionError("wrong login")
        client.sendall(struct.pack(">BI", COMPLETE, 0))

        def read() -> bytes:
            head = _exactly(client, 4)
            return _exactly(client, *struct.unpack(">I", head)) if head else b""

        return client, read, lambda piece: client.sendall(struct.pack(">I", len(piece)) + piece)


def _step(client: socket.socket) -> tuple[int, bytes]:
    status, length = struct.unpack(">BI", _exactly(client, 5))
    return status, _exactly(client, length)


def _exactly(client: socket.socket, length: int) -> bytes:
    """Return so many bytes, fewer where the client is gone."""
    found = b""
    while len(found) < length:
        piece = client.recv(length - len(found))
        if not piece:
            return b""
        found += piece
    return found


def _pumped(read: Read, write: Write) -> None:
    with contextlib.suppress(OSError):
        while piece := read():
            write(piece)
