"""Real servers for the tests: built once into a cache, started on a free loopback port, stopped with the tests.

A server that cannot be had on a machine is reported by `require`: a skip that says why, and with `CI=true` a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

PR_SET_PDEATHSIG = 1


def cache_folder(name: str) -> Path:
    """Return the folder, made if missing, that keeps what was downloaded or built for the server `name`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "bigmama-nb" / "services" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def built_once(folder: Path) -> Iterator[bool]:
    """Hold `folder` for one builder at a time; yields True where it is still to be built.

    A build counts as done when the block ends without an exception, so one that was killed is done again.
    """
    done = folder / ".built"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        todo = not done.exists()
        yield todo
        if todo:
            done.touch()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Return whether something accepts connections on 127.0.0.1:`port`."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def require(name: str, available: object, reason: str) -> None:
    """Skip the test with `reason` where `available` is false; fail it where `CI` is `true`."""
    if available:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not available: {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def require_program(program: str) -> str:
    """Return the path of `program`, or end the test as `require` does."""
    path = shutil.which(program)
    require(program, path, f"no {program!r} on the PATH")
    assert path is not None
    return path


def _die_with_the_tests() -> None:
    """Have the kernel kill a server whose tests were killed, so that none is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A server process. `log` holds its output; `kill` and `stop` end it and every process that it started."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_die_with_the_tests,
            )

    def until(self, ready: Callable[[], object], *, seconds: float = 120) -> Self:
        """Return when `ready()` is true; raises RuntimeError with the end of the log where that does not come."""
        for _ in range(int(seconds / 0.1)):
            if ready():
                return self
            # Waiting for its end rather than sleeping: a server that dies is noticed at once.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                break
        self.kill()
        raise RuntimeError(f"the server that logs to {self.log.name} did not get ready; its log ends:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        """Send a signal to the server and to what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it politely, and after ten seconds at once."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
