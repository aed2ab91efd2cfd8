"""A proxy before a MongoDB server, on a free loopback port: it counts what passes, and can cut, hold or swallow it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bson

OP_MSG = 2013
EXHAUST_ALLOWED = 1 << 16
MORE_TO_COME = 1 << 1
# What the driver says for itself, to know who is there and whether it lives.
GREETINGS = {"hello", "ismaster", "isMaster", "ping", "endSessions", "saslStart", "saslContinue", "buildInfo"}


@dataclass
class _Link:
    """A client's connection and the one to the server, with what is known of the requests by their numbers."""

    client: socket.socket
    server: socket.socket
    names: dict[int, str] = field(default_factory=dict)
    going_on: dict[int, int] = field(default_factory=dict)
    streamed: dict[int, bytes] = field(default_factory=dict)
    watched: set[int] = field(default_factory=set)


class Proxy:
    """Passes everything on to `port`; `uri` is where it listens.

    Attributes:
        most_open: how many queries were open at once, at the most.
        commands: how often each command was sent.
        logins: how often a client began to log in.
        comments: what the commands said of themselves.
        cursors: the ids of the cursors that the server holds open.
        cut_after: bytes of an answer to `cut_command` after which the connection is reset; None: never.
        hold: answers to queries wait until this is set; None: they do not wait.
        watch: which commands `hold` and `asked` are about; by default all queries.
        streams: whether a client that allows it is sent all replies of a cursor for asking once, as MongoDB does.
        replies: how many replies to `getMore` were sent.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        self._open: set[tuple[int, int]] = set()
        self._sockets: list[socket.socket] = []
        self.most_open = 0
        self.commands: Counter[str] = Counter()
        self.logins = 0
        self.comments: set[str] = set()
        self.cursors: set[int] = set()
        self.cut_after: int | None = None
        self.cut_command = "find"
        self.cuts = 0
        self.hold: threading.Event | None = None
        self.watch: Callable[[dict[str, Any]], bool] = lambda command: True
        self.streams = False
        self.replies = 0
        self.asked = threading.Event()
        """Set once a query was sent."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self) -> str:
        """Its address, without user or options."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        if self.hold is not None:
            self.hold.set()
        for one in [self._listener, *self._sockets]:
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                _close(client)
                continue
            self._sockets.append(server)
            link = _Link(client, server)
            for target in (self._requests, self._answers):
                threading.Thread(target=target, args=(link,), daemon=True).start()

    def _requests(self, link: _Link) -> None:
        client, server = link.client, link.server
        for message, number, _ in _messages(client):
            command = _command(message)
            name = next(iter(command), "")
            link.names[number] = name
            self.logins += name == "saslStart"
            if name == "getMore":
                link.going_on[number] = command["getMore"]
                if self.streams and _flags(message) & EXHAUST_ALLOWED:
                    link.streamed[number] = message
            if name and name not in GREETINGS:
                with self._lock:
                    self._open.add((id(link), number))
                    self.most_open = max(self.most_open, len(self._open))
                    self.commands[name] += 1
                    self.comments.add(str(command.get("comment")))
                    self.cursors -= set(command.get("cursors", ()))
                if self.watch(command):
                    link.watched.add(number)
                    self.asked.set()
            with contextlib.suppress(OSError):
                server.sendall(message)
        _close(server)

    def _answers(self, link: _Link) -> None:
        client, server = link.client, link.server
        for message, _, number in _messages(server):
            name = link.names.get(number, "")
            with self._lock:
                self._open.discard((id(link), number))
                cursor = _command(message).get("cursor")
                if isinstance(cursor, dict) and cursor["id"]:
                    self.cursors.add(cursor["id"])
                elif isinstance(cursor, dict):
                    self.cursors.discard(link.going_on.get(number, 0))
            if self.hold is not None and number in link.watched:
                self.hold.wait()
            if self.cut_after is not None and name == self.cut_command and len(message) > self.cut_after:
                self.cuts += 1
                with contextlib.suppress(OSError):
                    client.sendall(message[: self.cut_after])
                    # A reset rather than an end.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            more = link.streamed.get(number) if isinstance(cursor, dict) and cursor["id"] else None
            with contextlib.suppress(OSError):
                self.replies += name == "getMore"
                client.sendall(message if more is None else _with_flags(message, MORE_TO_COME))
                if more is not None:
                    server.sendall(more)
        _close(client)
        with self._lock:
            self._open = {one for one in self._open if one[0] != id(link)}


class Swallowing:
    """Accepts every connection and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._sockets.append(self._listener.accept()[0])

    def __enter__(self) -> Swallowing:
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._listener, *self._sockets]:
            _close(one)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Wakes the thread that reads from it, without which a close waits for that; linger decides what is sent.
        one.shutdown(socket.SHUT_RD)
    one.close()


def _messages(one: socket.socket) -> Any:
    """Yield each message with its number and the number that it answers."""
    while True:
        try:
            head = _exactly(one, 16)
            length, number, answers, _ = struct.unpack("<iiii", head)
            yield head + _exactly(one, length - 16), number, answers
        except (OSError, EOFError):
            return


def _exactly(one: socket.socket, size: int) -> bytes:
    pieces = []
    while size:
        piece = one.recv(min(size, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _flags(message: bytes) -> int:
    return int(struct.unpack_from("<I", message, 16)[0])


def _with_flags(message: bytes, flags: int) -> bytes:
    return message[:16] + struct.pack("<I", _flags(message) | flags) + message[20:]


def _command(message: bytes) -> dict[str, Any]:
    if struct.unpack_from("<i", message, 12)[0] != OP_MSG or message[20] != 0:
        return {}
    (length,) = struct.unpack_from("<i", message, 21)
    return dict(bson.decode(message[21 : 21 + length]))
