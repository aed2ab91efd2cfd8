"""Kernels that a fork server makes are what kernels of their own would be, and no worse off where it is gone."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runs import world
from bigmama_nb.executor import forked
from bigmama_nb.executor.kernel import Kernel
from tests.executor.test_execute import children
from tests.runs.stages import FOREVER, Bell, notebook, outcomes, printed, read, run, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

SERVER = "bigmama_nb.executor.fork_server"
ROOT = Path(__file__).resolve().parents[2]


def server() -> int:
    """Return the process id of this process's fork server."""
    (pid,) = [pid for pid, words in children(os.getpid()).items() if SERVER in words]
    return pid


def lines(folder: Path, **options: Any) -> list[str]:
    """Execute a notebook and return what its cell `shows` printed."""
    executed = run(folder, **options)
    assert (executed.outcome, executed.error) == ("ok", None)
    return printed(read(executed.path), "shows").splitlines()


def test_kernels_share_a_server_and_nothing_else(tmp_path: Path) -> None:
    """Two kernels of one server are two processes: random numbers, variables and attributes are each one's own."""
    shows = """
import builtins, os, random, numpy, uuid
print(os.getpid(), random.random(), numpy.random.rand(), uuid.uuid4(), sep="\\n")
print(getattr(builtins, "left", "nothing"), os.environ.get("LEFT"), os.environ.get("OWN"))
builtins.left = os.environ["LEFT"] = "something"
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    first = lines(tmp_path, env={"OWN": "1"})
    served_by = server()
    second = lines(tmp_path, env={"OWN": "2"})

    assert server() == served_by
    assert not {*first[:4]} & {*second[:4]}
    assert (first[4], second[4]) == ("nothing None 1", "nothing None 2")


def test_a_kernel_is_as_if_it_had_been_started(tmp_path: Path) -> None:
    """It leads a session of its own, reads from nowhere, works in its notebook's folder and has what is imported."""
    shows = """
import os, sys
leads = os.getsid(0) == os.getpgid(0) == os.getpid()
print(leads, os.readlink("/proc/self/fd/0"), os.getcwd(), "pandas" in sys.modules)
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    assert lines(tmp_path) == [f"True /dev/null {tmp_path} True"]


def test_a_kernel_does_without_grammars_of_uris_until_it_asks_for_them(tmp_path: Path) -> None:
    """nbformat is there already, and what jsonschema would have built for it, for a second, is not; a cell may."""
    shows = """
import sys
print("nbformat" in sys.modules, "rfc3987_syntax" in sys.modules)
import fqdn, isoduration, rfc3986_validator, rfc3987_syntax, uri_template, webcolors
print(rfc3987_syntax.is_valid_syntax("iri", "https://example.org/한"))
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    assert lines(tmp_path) == ["True False", "True"]


def test_a_kernel_has_no_sql_dialect_that_nobody_asks_for(tmp_path: Path) -> None:
    """Ibis would bring twenty databases' compilers along; a cell that asks for one has it as anywhere."""
    shows = """
import sys
from bigmama_nb.engines.duckdb import DuckDBEngine
print("ibis.backends.sql.compilers.trino" in sys.modules)
import ibis
print(ibis.to_sql(ibis.table({"a": "int64"}, name="t"), dialect="trino").split())
from ibis.backends.sql import compilers
print(sorted(set(compilers.__all__) - set(vars(compilers))), hasattr(compilers, "nothing"))
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    assert lines(tmp_path) == ["False", "['SELECT', '*', 'FROM', '\"t\"']", "[] False"]


def test_a_kernel_looks_for_garbage_as_any_python_does(tmp_path: Path) -> None:
    """Only what it was forked with is left out, and that is never looked through."""
    shows = """
import gc
print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 100_000)
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    assert lines(tmp_path) == [f"True {gc.get_threshold()} True"]


def test_a_kernel_knows_the_run_and_what_it_starts_does_not(tmp_path: Path) -> None:
    """What asked for a forked kernel is the run; of a process that a cell starts it is the kernel."""
    asks = "from bigmama_nb.executor.process import started_by; print(started_by())"
    shows = f"""
import os, subprocess, sys
{asks}
print(int(subprocess.check_output([sys.executable, "-c", {asks!r}])) == os.getpid())
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    assert lines(tmp_path) == [str(os.getpid()), "True"]


def test_another_environment_is_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the interpreter reads as it starts is as in a new process: here where modules are looked for."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "beyond.py").write_text("x = 'found'")
    notebook(tmp_path / "in.ipynb", shows="import importlib.util as u; print(u.find_spec('beyond') is not None)")
    assert lines(tmp_path) == ["False"]
    before = server()

    path = os.pathsep.join([str(tmp_path / "more"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)

    assert lines(tmp_path) == ["True"]
    assert server() != before
    wait_until_gone(before)


def test_a_server_that_was_killed_is_replaced(tmp_path: Path) -> None:
    """The next kernel comes up, from another server."""
    notebook(tmp_path / "in.ipynb", shows="print(1)")
    lines(tmp_path)
    before = server()

    os.kill(before, signal.SIGKILL)
    wait_until_gone(before)

    assert lines(tmp_path) == ["1"]
    assert server() != before


def test_a_kernel_outlives_its_server(tmp_path: Path) -> None:
    """Where the server dies under a running kernel, the stage ends well."""
    notebook(tmp_path / "in.ipynb", shows=f"import os, signal\nos.kill({_parent('os.getppid()')}, 9)\nprint(1)")

    assert lines(tmp_path) == ["1"]


def _parent(pid: str) -> str:
    """Return source of the parent of a process."""
    return f"int(open(f'/proc/{{{pid}}}/stat').read().rsplit(')', 1)[1].split()[1])"


def test_a_kernel_dies_with_its_keeper(tmp_path: Path) -> None:
    """Nobody could say how it ended: the stage is killed, in the cell, and no kernel is left behind."""
    notebook(tmp_path / "in.ipynb", hangs="import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(10**6)")

    executed = run(tmp_path)

    assert (executed.outcome, executed.cell, executed.signal) == ("killed", "hangs", "SIGKILL")
    assert outcomes(read(executed.path))["hangs"] == "killed"


def test_a_kernel_that_the_server_cannot_fork_starts_by_itself(tmp_path: Path) -> None:
    """Settings too long for one message: the kernel comes up nevertheless, and knows them."""
    notebook(tmp_path / "in.ipynb", shows="import os, sys; print(len(os.environ['LONG']), 'pandas' in sys.modules)")

    assert lines(tmp_path, env={"LONG": "x" * 100_000}) == ["100000 False"]


def test_a_server_that_cannot_come_up_is_an_error_at_once() -> None:
    """Who asks it for a kernel is told, and waits for nothing."""
    env = {**os.environ, "PYTHONPATH": "", "PYTHONHOME": "/nowhere"}
    server = forked.ForkServer(env)
    with pytest.raises(OSError):
        server.fork([], "/", env, 1)
    server.close()


def test_a_process_leaves_no_server_behind(tmp_path: Path) -> None:
    """A run that ends ends its server too, and has waited for it."""
    notebook(tmp_path / "in.ipynb", shows="print(1)")
    program = """
import sys, pathlib
from tests.executor.test_forked import lines, server
lines(pathlib.Path(sys.argv[1]))
print(server())
"""
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True, cwd=Path.cwd()
    )

    assert said.stderr == ""
    assert not Path(f"/proc/{int(said.stdout)}").exists()


COMMAND = """
import sys
from pathlib import Path
from bigmama_nb.executor import process, spared_imports
swift = process.SwiftEnd()
spared_imports.by_command()
process.collect_seldom()
process.mute_warnings()
from bigmama_nb.cli.streams import guarded
from bigmama_nb.executor import forked, kernel
from bigmama_nb.runs import run
from tests.executor.test_forked import lines

folder, early, held = Path(sys.argv[1]), sys.argv[2] == "early", open(sys.argv[1] + "/held", "w")
try:
    with guarded():
        if early:
            kernel.prepare()
        if "alone" in sys.argv:
            forked.ForkServer._started = None  # there is no other
        print(*lines(folder))
except SystemExit as end:
    swift.well(end.code or 0)
    raise
"""
"""What the command does to its own process, and kernels that come of it or of a server of their own."""


def command(folder: Path, *words: str, script: str = COMMAND, told: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a command of its own process with these words, by an interpreter that is told something."""
    (folder / "command.py").write_text(script)
    root = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, *told, str(folder / "command.py"), *([str(folder)] if script is COMMAND else []), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # One that is killed leaves its kernel's folder behind: here, not in the machine's.
        env={**os.environ, "PYTHONPATH": root, "TMPDIR": str(folder)},
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return what a command that ended well printed."""
    out, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    return out


def test_a_kernel_that_comes_of_the_command_is_as_any(tmp_path: Path) -> None:
    """Nothing that the command did to its own process is left in it, and no file that it has open."""
    shows = """
import builtins, gc, json, logging, os, resource, signal, sys, warnings
from papermill import iorw
import boto3, entrypoints, requests
own = ("JPY_PARENT_PID", "IPYTHONDIR", "SHLVL", "_")
print(json.dumps({
    "title": open("/proc/self/cmdline").read().replace("\\0", " ").rpartition("/")[0].rpartition(" ")[0],
    "path": [one for one in sys.path if one != "/"],
    "environment": {name: value for name, value in os.environ.items() if name not in own},
    "folder": os.getcwd(),
    "mask": os.umask(0o022),
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "open": [os.readlink(f"/proc/self/fd/{one}").partition(":")[0] for one in (0, 1, 2)],
    "held": [one for one in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{one}") and os.readlink(f"/proc/self/fd/{one}").endswith("held")],
    "signals": [str(signal.getsignal(one)).partition(" at ")[0] for one in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "limits": [resource.getrlimit(one) for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    "garbage": gc.get_threshold(),
    "compiled": sys.dont_write_bytecode,
    "warnings": warnings.showwarning.__module__,
    "errors": [sys.excepthook.__module__, type(sys.__stderr__).__name__, sys.__stdout__.encoding],
    "libraries": [boto3.__name__, requests.get.__module__, entrypoints.__file__, "boto3" in vars(iorw)],
    "printing": builtins.print.__module__,
    "log": logging.getLogger().level,
}))
"""
    notebook(tmp_path / "in.ipynb", shows=shows)

    facts = json.loads(said(command(tmp_path, "early", "alone")))

    assert facts == json.loads(said(command(tmp_path, "late")))
    assert facts["held"] == []
    assert facts["title"] == f"{sys.executable} -m bigmama_nb.executor -f"


@pytest.mark.parametrize("told", ["-O", "-Wignore"])
def test_an_interpreter_that_was_told_more_than_a_kernels_forks_none(tmp_path: Path, told: str) -> None:
    """A server of its own is started, whose interpreter is told nothing."""
    notebook(tmp_path / "in.ipynb", shows="import sys; print(sys.flags.optimize, sys.warnoptions)")

    assert said(command(tmp_path, "early", told=[told])) == "0 []\n"


def test_a_run_has_its_kernels_of_the_command(tmp_path: Path) -> None:
    """All of them: no other server is started, and no kernel by itself."""
    script = """
from bigmama_nb import cli
from bigmama_nb.executor import forked
forked.ForkServer._started = forked.LocalProvisioner.launch_kernel = None
cli.main()
"""
    profile = world(tmp_path / "one", 1)
    process = command(tmp_path, "run", "--profile", str(profile), script=script)

    assert (process.communicate()[1].count(" ok, "), process.returncode) == (4, 0)


def test_what_comes_of_a_command_goes_with_it(tmp_path: Path) -> None:
    """After SIGKILL to the command neither its server is left, nor the kernel, nor who stands between."""
    bell = Bell(tmp_path / "bell")
    notebook(tmp_path / "in.ipynb", rings=bell.ring, hangs=FOREVER)
    with command(tmp_path, "early", "alone") as process:
        kernel = bell.heard(process)
        keeper = parent_of(kernel)
        served_by = parent_of(keeper)
        assert SERVER in Path(f"/proc/{served_by}/cmdline").read_text()
        assert parent_of(served_by) == process.pid
        process.kill()

    for one in (kernel, keeper, served_by):
        wait_until_gone(one)
    bell.close()


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_ends_at_once_with_its_status_and_all_that_it_said(status: int) -> None:
    """What others do at a process's end is done before, and what waits to be written is written."""
    program = f"""
from bigmama_nb.executor.process import SwiftEnd
swift = SwiftEnd()
import atexit, sys
atexit.register(lambda: print("others", "x" * 100_000))
print("said")
swift.well({status})
sys.exit({status})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd())

    assert (ended.returncode, ended.stderr) == (status, "")
    assert ended.stdout == f"said\nothers {'x' * 100_000}\n"


async def status_of_one_that_is_asked_to_end() -> int | None:
    kernel = Kernel({})
    manager = kernel.manager()
    await manager.start_kernel(cwd="/")
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready()
    await client.execute("print(1)", reply=True)
    await manager.shutdown_kernel()
    client.stop_channels()
    kernel.end(0)
    assert kernel.process is not None
    return kernel.process.poll()


def test_a_kernel_that_is_asked_to_end_does() -> None:
    """It need not be killed: of its threads that end none waits for one that has ended, which one of 15 did."""
    assert [asyncio.run(status_of_one_that_is_asked_to_end()) for _ in range(5)] == [0] * 5
