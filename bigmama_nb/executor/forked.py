"""Asks the fork server for kernels: one server for all kernels of a run that have the same environment.

Where there is none to be had, a kernel is started as a process of its own: slower, and nothing else is different.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from signal import SIGKILL, SIGTERM
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from bigmama_nb.executor import spared_imports
from bigmama_nb.executor.fork_server import MESSAGE_LIMIT, NUMBER, Request, serve_from_command

PRELOADED = (
    *("bigmama_nb.stages", "bigmama_nb.reports", "bigmama_nb.reports.cause_table"),
    *("bigmama_nb.warehouse.catalog.sqlite", "bigmama_nb.warehouse.storage.local"),
    *("pandas.io.formats.html", "pandas.io.formats.string", "pyarrow.acero", "pyarrow.pandas_compat"),
)
"""What notebooks import, or bring their libraries to: by name, as the package's own rooms are above this one."""
START_TIMEOUT_S = 60


class ForkedKernel:
    """A kernel that the server forked, with what jupyter_client and a stage use of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket) -> None:
        """Take a kernel at the end of its keeper's line.

        Raises:
            OSError: no kernel has come up there.
        """
        self._line = line
        self.returncode: int | None = None
        line.settimeout(START_TIMEOUT_S)
        said = line.recv(NUMBER.size)
        if not said:
            raise OSError("the fork server ended before it had forked a kernel")
        self.pid: int = NUMBER.unpack(said)[0]

    def poll(self) -> int | None:
        """Return how the kernel ended; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return how the kernel ended, once it has.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            said = self._line.recv(NUMBER.size)
            # A keeper that was killed takes its kernel along.
            self.returncode = NUMBER.unpack(said)[0] if said else -SIGKILL
            self._line.close()
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Signal the kernel, if it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """Kill the kernel."""
        self.send_signal(SIGKILL)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(SIGTERM)


class ForkServer:
    """A fork server, from the first kernel of its environment to the end of this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Start a server; raises OSError where the system will not."""
        self.env = dict(env)
        self._was_asked = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = self._started(theirs)

    def _started(self, control: socket.socket) -> subprocess.Popen[bytes] | _Child:
        return subprocess.Popen(
            [sys.executable, "-m", "bigmama_nb.executor.fork_server", str(control.fileno()), *PRELOADED],
            env=self.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[control.fileno()],
            start_new_session=True,
        )

    def serves(self, env: Mapping[str, str], own: Collection[str]) -> bool:
        """Return whether a kernel of this environment may come from here; its `own` variables are set in itself."""
        common = {name: value for name, value in self.env.items() if name not in own}
        return self._process.poll() is None and common == {n: value for n, value in env.items() if n not in own}

    def fork(self, arguments: list[str], folder: str, env: Mapping[str, str], said: int) -> ForkedKernel:
        """Return a new kernel.

        Args:
            said: a file descriptor that its stdout and stderr go to.

        Raises:
            OSError: there is none.
        """
        names = {*env, *self.env}
        unlike = {name: env.get(name) for name in names if env.get(name) != self.env.get(name)}
        request = json.dumps(asdict(Request(arguments, folder, unlike))).encode()
        if len(request) > MESSAGE_LIMIT:
            raise OSError(f"a kernel's settings of {len(request)} bytes")
        self._was_asked = True
        ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with keepers:
            socket.send_fds(self._control, [request], [keepers.fileno(), said])
        try:
            return ForkedKernel(ours)
        except OSError:
            ours.close()
            raise

    def close(self) -> None:
        """Let the server end, and wait for it."""
        self._control.close()
        if not self._was_asked:  # it may still import what nobody needs any more
            self._process.kill()
        self._process.wait()


class _Child:
    """A process that was forked from this one, with what a server uses of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._waited(os.WNOHANG)

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self.poll() is None:
            os.kill(self._pid, SIGKILL)

    def wait(self) -> None:
        """Wait for its end."""
        self._waited(0)

    def _waited(self, options: int) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self._pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode


class _FromHere(ForkServer):
    """One that has all that this process has imported."""

    def _started(self, control: socket.socket) -> _Child:
        pid = os.fork()
        if pid == 0:
            self._control.close()
            serve_from_command(control, PRELOADED, self.env)
        return _Child(pid)


_servers: list[ForkServer] = []
_serving = threading.Lock()


def _server(env: Mapping[str, str], own: Collection[str]) -> ForkServer:
    with _serving:
        for server in _servers:
            if server.serves(env, own):
                return server
        _end()
        _servers.append(ForkServer({name: value for name, value in env.items() if name not in own}))
        return _servers[0]


def fork_from_here(env: Mapping[str, str]) -> None:
    """Fork the server of an environment from this process, so that it need not import the same again.

    Only where the process is the command's alone, and its interpreter was told nothing that a kernel's is not. To be
    called while the process has no thread, lock, open file or handler of a signal that a kernel would inherit.
    """
    told = sys.orig_argv[1:2]
    as_a_kernel = bool(told) and not told[0].startswith("-") and not sys.flags.safe_path
    if sys.platform == "linux" and spared_imports.own_process() and as_a_kernel:
        with suppress(OSError):
            _servers.append(_FromHere(env))


@atexit.register
def _end() -> None:
    while _servers:
        _servers.pop().close()


class Provisioner(LocalProvisioner):
    """Starts a kernel by the fork server where it can, and by itself where it cannot."""

    own: Collection[str] = ()
    """The variables that a kernel has for itself alone."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel, and return how to talk to it."""
        if sys.platform != "linux":
            return await super().launch_kernel(cmd, **kwargs)
        try:
            server = _server(kwargs["env"], self.own)
            kernel: Any = server.fork(cmd[3:], kwargs["cwd"], kwargs["env"], kwargs["stderr"].fileno())
        except OSError:
            return await super().launch_kernel(cmd, **kwargs)
        self.process, self.pid, self.pgid, self.cwd = kernel, kernel.pid, kernel.pid, kwargs["cwd"]
        return self.connection_info
