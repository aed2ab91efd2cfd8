"""The kernel process of one stage: how it is started, killed, and what it died of."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

import bigmama_nb
from bigmama_nb.executor.forked import Provisioner, fork_from_here

OOM_COUNTER = Path("/proc/vmstat")
"""Counts, as `oom_kill`, how often the system has killed a process because memory ran out, containers' limits too."""

_LAST_WORDS = 4_000
_GUARD = 'trap "" HUP INT QUIT TERM; read -r _; kill -9 -"$1"; rm -rf -- "$2"'
# A socket's path may have 107 bytes; ours add "/kernel-ipc-5".
_SOCKET_FOLDER_LIMIT = 80


@dataclass
class Kernel:
    """One kernel process, with a private folder for its sockets, settings and stderr."""

    env: Mapping[str, str]
    """Variables beyond this process's own."""
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="stage-")))
    process: subprocess.Popen[bytes] | None = None
    guard: subprocess.Popen[bytes] | None = None
    launched: bool = False
    oom_counter: Path = OOM_COUNTER
    last_words: str = ""
    """The end of what the process wrote to its own stdout and stderr: what the interpreter says when it crashes."""

    def __post_init__(self) -> None:
        self._oom_kills = oom_kills(self.oom_counter)

    def manager(self) -> AsyncKernelManager:
        """Return what nbclient starts and talks to this kernel by."""
        # Sockets in a folder that only this user can enter: no port for two kernels to collide on, or to listen in.
        transport = "ipc" if len(os.fsencode(self.folder)) <= _SOCKET_FOLDER_LIMIT else "tcp"
        manager = _Manager(
            kernel_name="python3",
            kernel_spec_manager=_OwnPython(),
            transport=transport,
            connection_file=str(self.folder / "kernel.json"),
        )
        manager.kernel = self
        return manager

    def kill(self) -> None:
        """Kill the kernel and the processes it started."""
        if self.process is not None:
            # A kernel leads a session of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, patience_s: float) -> None:
        """Leave nothing behind: no process, no pipe, no file.

        Args:
            patience_s: how long a kernel that is going down may take before it is killed.
        """
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
            self.kill()
            self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()
            with contextlib.suppress(OSError):
                self.last_words = (self.folder / "stderr").read_bytes()[-_LAST_WORDS:].decode("utf-8", "replace")
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait()
            if self.guard.stdin is not None:
                self.guard.stdin.close()

    def watch(self) -> None:
        """Have a small process of its own clean up after the kernel where this one is killed before it can.

        It reads from a pipe that only this process holds open, and so learns how ever this one ends.
        """
        if self.process is None:
            return
        words = ["/bin/sh", "-c", _GUARD, "guard", str(self.process.pid), str(self.folder)]
        with contextlib.suppress(OSError):
            self.guard = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def signal(self) -> str | None:
        """The name of the signal that the process died by, such as SIGKILL."""
        status = self.process.returncode if self.process is not None else None
        if status is None or status >= 0:
            return None
        try:
            return signal.Signals(-status).name
        except ValueError:  # a real-time signal
            return f"signal {-status}"

    @property
    def death(self) -> str:
        """What the process died of, in words."""
        if self.signal is None:
            status = self.process.returncode if self.process is not None else None
            return f"the kernel ended by itself with status {status}"
        now = oom_kills(self.oom_counter)
        if self.signal == "SIGKILL" and now is not None and self._oom_kills is not None and now > self._oom_kills:
            return "out of memory: the system killed the kernel (SIGKILL)"
        return f"the kernel was killed by {self.signal}"


def oom_kills(counter: Path) -> int | None:
    """Return how often, as `counter` says, memory ran out and a process was killed; None where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in counter.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


class _OwnPython(KernelSpecManager):
    """Whatever kernelspecs there are under the name: a stage runs this Python and this package."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "bigmama_nb.executor", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", resource_dir="")


class _Manager(AsyncKernelManager):
    kernel: Kernel

    async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
        with open(self.kernel.folder / "stderr", "wb") as said:
            # Not our own: what C code prints would land among the run's lines, or in its --json.
            kwargs |= {"env": _environment(self.kernel), "stdout": said, "stderr": said}
            self.kernel.launched = True
            self.provisioner = Provisioner(kernel_id="", kernel_spec=self.kernel_spec, parent=self)
            # What the interpreter itself reads as it starts cannot be set in a kernel that was forked.
            self.provisioner.own = {"IPYTHONDIR", *(n for n in self.kernel.env if not n.startswith("PYTHON"))}
            await super().start_kernel(**kwargs)
        assert self.provisioner is not None
        self.kernel.process = self.provisioner.process
        self.kernel.watch()


def prepare() -> None:
    """Fork now what kernels will be forked from, where that costs less: see `fork_from_here`."""
    fork_from_here(_common(os.environ))


def _environment(kernel: Kernel) -> dict[str, str]:
    # Start-up files and settings of whoever runs this, and a home that cannot be written to, change nothing.
    return _common({**os.environ, **kernel.env}) | {"IPYTHONDIR": str(kernel.folder / "ipython")}


def _common(env: Mapping[str, str]) -> dict[str, str]:
    env = dict(env)
    # Some images set it; then every kernel would compile every module again.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # ipykernel collects no output of C code when it sees it.
    env.pop("PYTEST_CURRENT_TEST", None)
    env["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    root = str(Path(bigmama_nb.__file__).resolve().parent.parent)
    if root not in site.getsitepackages():
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (root, env.get("PYTHONPATH"))))
    return env
