"""What the command writes, to stdout, stderr and the file of a trace, leaves it through one gate.

Nobody's going away can break it: a log's disk that is full and a reader that has gone (`| head`) make a write fail;
what is lost then is a line. No secret gets out, no control character of somebody else's name reaches a terminal, and
what the stream's encoding does not have is written as an escape.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from bigmama_nb.errors import shown
from bigmama_nb.executor.redact import Redactor, ambient_secrets
from bigmama_nb.project import as_called

if TYPE_CHECKING:
    from bigmama_nb.profile import Profile


class Gate:
    """What may leave the command: knows the secrets of the profile, once one is read, and of the environment."""

    def __init__(self) -> None:
        self._redactor = Redactor(ambient_secrets(os.environ))
        self._profile: Path | None = None

    def knows(self, profile: Profile) -> None:
        """Hide this profile's secrets from now on, and name it in hints."""
        self._redactor = Redactor.of(profile)
        self._profile = profile.path

    def text(self, text: str) -> str:
        """Return a text without secrets, its hints with the command as it was called and the profile."""
        return as_called(self._redactor.text(text)[0], self._profile)

    def json(self, document: Any, *, encoding: str) -> str:
        """Return a document without secrets as JSON of one line, in characters that the encoding has."""
        clean, _ = self._redactor.document(self._hinted(document))
        text = json.dumps(clean, ensure_ascii=not _is_unicode(encoding))
        return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)

    def _hinted(self, data: Any) -> Any:
        # What a database holds is not for us to complete.
        if isinstance(data, dict):
            return {
                key: as_called(value, self._profile)
                if key in ("message", "text") and isinstance(value, str)
                else self._hinted(value)
                for key, value in data.items()
            }
        return [self._hinted(member) for member in data] if isinstance(data, list) else data


class GuardedStream:
    """A text stream behind the gate; a write never raises, and after one that failed (`error`) nothing is written."""

    def __init__(self, stream: TextIO, gate: Gate, *, is_display: bool = False) -> None:
        """Take the stream behind.

        Args:
            is_display: what moves the cursor of a terminal is written, too; its own texts are made printable before.
        """
        self.error: OSError | None = None
        self._stream = stream
        self._gate = gate
        self._is_display = is_display
        self._begun = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write a text, a line at a time since a secret may come in pieces, or lose it."""
        with self._lock:
            lines, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self._put(lines + end)
        return len(text)

    def write_json(self, document: Any) -> None:
        """Write a document as JSON, a line of its own, or lose it."""
        text = self._gate.json(document, encoding=self.encoding)
        self._tried(lambda: self._stream.write(f"{text}\n"))

    def flush(self) -> None:
        """Hand over what was written, or lose it."""
        with self._lock:
            if self._begun:
                begun, self._begun = self._begun, ""
                self._put(begun)
        self._tried(self._stream.flush)

    def display(self) -> GuardedStream:
        """Return the same stream for what is drawn on a terminal."""
        return GuardedStream(self._stream, self._gate, is_display=True)

    @property
    def encoding(self) -> str:
        """The encoding of the stream behind."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _put(self, text: str) -> None:
        text = self._gate.text(text)
        text = text if self._is_display else shown(text)
        there = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._tried(lambda: self._stream.write(there))

    def _tried(self, do: Callable[[], object]) -> None:
        try:
            do()
        except OSError as error:
            self.error = self.error or error
            # What waits in the buffer would fail once more at the interpreter's end, and change the exit status.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)  # there is no way round the gate
        return getattr(self._stream, name)


def fill_closed() -> None:
    """Let nothing stand where this process was started without a stdin, stdout or stderr (`2>&-`).

    A file or socket that is opened later would come to stand there, and get what C code prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "").startswith("utf")


@contextlib.contextmanager
def guarded() -> Iterator[Gate]:
    """Put this process's stdout and stderr behind a gate, for as long as a command lasts."""
    before = sys.stdout, sys.stderr
    gate = Gate()
    token = _current.set(gate)
    guards = [None if stream is None else GuardedStream(stream, gate) for stream in before]
    sys.stdout, sys.stderr = cast("list[TextIO]", guards)
    try:
        yield gate
    finally:
        for stream in guards:
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
        _current.reset(token)


_current: ContextVar[Gate] = ContextVar("gate")


def gate() -> Gate:
    """Return the gate of the command that is under way."""
    return _current.get()


def say(text: str) -> None:
    """Write a line to stderr for a person."""
    if sys.stderr is not None:
        sys.stderr.write(f"{shown(text)}\n")


def reply(text: str) -> None:
    """Write what a person asked for to stdout."""
    if sys.stdout is not None:
        sys.stdout.write(f"{text}\n")


def reply_json(document: Any) -> None:
    """Write what a script asked for to stdout, as JSON of one line."""
    if isinstance(sys.stdout, GuardedStream):
        sys.stdout.write_json(document)


def lost_answer() -> str | None:
    """Return why what a verb answered could not be written; None where it was, or where its reader had enough."""
    with contextlib.suppress(AttributeError):
        sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    return None if error is None or error.errno == errno.EPIPE else str(error.strerror)
