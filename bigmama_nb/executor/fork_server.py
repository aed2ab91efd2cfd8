"""Kernels forked from a process that has imported what all of them need: `python -m bigmama_nb.executor.fork_server`.

It imports once, then runs nothing, and forks a process of its own for every kernel that it is asked for. Between it
and a kernel stands a keeper, the kernel's parent: it tells how the kernel ended, and kills it when the run is gone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from setproctitle import setproctitle

from bigmama_nb.executor import spared_imports
from bigmama_nb.executor.process import (
    SwiftEnd,
    collect_as_usual,
    die_first_of_all,
    die_with,
    forked_for,
    show_warnings,
)

NUMBER = struct.Struct("<i")
"""A message of a keeper: first the kernel's process id, then how it ended, as `subprocess` counts it."""
MESSAGE_LIMIT = 65_536
_KERNEL = (
    "bigmama_nb.executor.kernel_app",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
    "traitlets.config.argcomplete_config",
)
"""What every kernel imports while it comes up."""


@dataclass(frozen=True)
class Request:
    """A kernel that is asked for."""

    arguments: list[str]
    """Those of ipykernel."""
    folder: str
    variables: dict[str, str | None]
    """What is unlike the server's; None: not set."""


def serve(control: socket.socket, modules: Sequence[str]) -> None:
    """Serve until the run closes its end of `control`; also returns, as one, in every kernel."""
    forked_for(os.getppid())
    spared_imports.by_kernels()
    gc.disable()
    for name in (*_KERNEL, *modules):
        importlib.import_module(name)
    # Threads that libraries keep for themselves (OpenBLAS, jemalloc) know of forks and begin anew in each kernel.
    # Hardly any of it is garbage: no kernel shall look through it, and so copy its pages.
    gc.freeze()
    gc.enable()
    request = _serve(control)
    if request is not None:
        _become(request)
        from bigmama_nb.executor import kernel_app

        kernel_app.serve()


def serve_from_command(control: socket.socket, modules: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Serve in a process that was forked from the command, made what one that was started for it would be.

    Raises:
        SystemExit: always, in the server and in every kernel; the command's `main` ends with it.
    """
    try:
        _leave_command(control.fileno(), env)
        serve(control, modules)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit()


def _leave_command(kept: int, env: Mapping[str, str]) -> None:
    os.setsid()
    setproctitle(f"{sys.executable} -m {__spec__.name}")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    for one in map(int, os.listdir("/proc/self/fd")):
        if one not in (0, 1, 2, kept):
            with suppress(OSError):  # that of the list
                os.close(one)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        # A command that was started without one has none.
        stream = getattr(sys, f"__{name}__") or os.fdopen(number, "w" if number else "r", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    show_warnings()
    collect_as_usual()
    sys.dont_write_bytecode = False
    # First is the folder of the command's script; a kernel has what its environment says.
    told = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [path for path in told if path and path not in sys.path[1:]]
    os.environ.clear()
    os.environ.update(env)
    os.chdir("/")


def _serve(control: socket.socket) -> Request | None:
    while True:
        message, handed, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, 2)
        if not message:
            # Every keeper sees that the run is gone; what their kernels cost shall count as this process's.
            with suppress(ChildProcessError):
                while os.wait():
                    pass
            return None
        if os.fork() == 0:
            control.close()
            return _keep(Request(**json.loads(message)), *handed)
        for one in handed:
            os.close(one)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(request: Request, line: int, said: int) -> Request:
    """Fork the kernel and keep it to its end; returns in the kernel only."""
    keeper = os.getpid()
    with socket.socket(fileno=line) as run:
        kernel = os.fork()
        if kernel == 0:
            os.setsid()
            die_with(keeper)
            die_first_of_all()
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.close(said)
            run.send(NUMBER.pack(os.getpid()))
            return request
        ended = os.pidfd_open(kernel)
        if ended not in select.select([ended, run.fileno()], [], [])[0]:
            for kill in (os.killpg, os.kill):  # it may not lead its group yet
                with suppress(ProcessLookupError):
                    kill(kernel, signal.SIGKILL)
        _, status = os.waitpid(kernel, 0)
        with suppress(OSError):  # the run is gone
            run.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: Request) -> None:
    """Make this process what one that was started for the kernel would be."""
    spared_imports.give_back()
    for name, value in request.variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    os.chdir(request.folder)
    # As one that was started by itself: whoever looks for processes of the command finds the command alone.
    setproctitle(f"{sys.executable} -m {__package__} {' '.join(request.arguments)}")
    sys.argv = ["ipykernel_launcher", *request.arguments]
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        # Every kernel would draw the same numbers. The random module sees to it by itself.
        numpy.random.seed()


if __name__ == "__main__":
    swift = SwiftEnd()
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
    swift.well()
