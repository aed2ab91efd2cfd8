"""Real kernel, really killed: what `execute` says is what became of them."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import NotebookExecutionManager

from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.executor.client import MARGIN, Client
from bigmama_nb.executor.execute import execute
from bigmama_nb.executor.kernel import Kernel
from bigmama_nb.executor.redact import Redactor
from bigmama_nb.executor.seal import STREAM_LIMIT, word
from bigmama_nb.runs.signals import Stop
from tests.runs.stages import ABOUT, FOREVER, Bell, cell, notebook, outcomes, printed, read, run, wait_until_gone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()


def runner(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runs.runner", str(folder)]
    # A run that is killed leaves its kernel's folder behind: here, not in the machine's.
    env = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_notebook_that_runs_through_is_ok(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every cell ran, with the parameters; the sha256 is the file's; nothing is printed."""
    notebook(tmp_path / "in.ipynb", shown="print(games, date_from)")

    executed = run(tmp_path, {"games": ["lw"], "date_from": "2024-05-01"})

    found = read(tmp_path / "out.ipynb")
    assert (executed.outcome, executed.cell, executed.error, executed.signal) == ("ok", None, None, None)
    assert executed.sha256 == subprocess.check_output(["sha256sum", executed.path], text=True).split()[0]
    assert printed(found, "shown") == "['lw'] 2024-05-01\n"
    assert set(outcomes(found).values()) == {"ok"}
    assert found.metadata.papermill.parameters == {"games": ["lw"], "date_from": "2024-05-01"}
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_cell_that_raises_fails_the_stage_there(tmp_path: Path) -> None:
    """The cell is named, the error is one line, and the cells after it never ran."""
    notebook(tmp_path / "in.ipynb", works="1", breaks="raise ValueError('wrong\\nin two lines')", after="2")

    executed = run(tmp_path)

    found = read(tmp_path / "out.ipynb")
    assert (executed.outcome, executed.cell) == ("failed", "breaks")
    assert executed.error == "ValueError: wrong in two lines"
    assert outcomes(found) == {"parameters": "ok", "works": "ok", "breaks": "failed", "after": "never ran"}
    assert "papermill-error-cell-tag" not in json.dumps(found)


def test_a_cell_that_is_meant_to_raise_does_not_fail_the_stage(tmp_path: Path) -> None:
    """The tag `raises-exception` is honoured, as everywhere in Jupyter."""
    path = notebook(tmp_path / "in.ipynb", raises="1 / 0", after="print('here')")
    meant = nbformat.read(path, as_version=4)
    cell(meant, "raises").metadata["tags"] = ["raises-exception"]
    nbformat.write(meant, path)

    assert run(tmp_path).outcome == "ok"
    assert printed(read(tmp_path / "out.ipynb"), "after") == "here\n"


@pytest.mark.parametrize("status", ["0", "3"])
def test_leaving_in_the_middle_is_no_success(tmp_path: Path, status: str) -> None:
    """`sys.exit`, also with 0, leaves cells that never ran, so the stage failed."""
    notebook(tmp_path / "in.ipynb", leaves=f"import sys; sys.exit({status})", after="2")

    executed = run(tmp_path)

    assert (executed.outcome, executed.cell, executed.error) == (
        "failed",
        "leaves",
        f"SystemExit: {status.strip(chr(39))}",
    )
    assert outcomes(read(tmp_path / "out.ipynb"))["after"] == "never ran"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_kernel_that_dies_by_a_signal_is_killed(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The signal is named; no cell that did not run claims that it did; the crash report is in the notebook only."""
    dies = f"import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.{name})"
    notebook(tmp_path / "in.ipynb", works="1", dies=dies, after="2")

    executed = run(tmp_path)

    found = read(tmp_path / "out.ipynb")
    assert (executed.outcome, executed.cell, executed.signal) == ("killed", "dies", name)
    assert executed.error == f"the kernel was killed by {name}"
    assert outcomes(found) == {"parameters": "ok", "works": "ok", "dies": "killed", "after": "never ran"}
    assert [cell(found, at).metadata.papermill.status for at in ("works", "dies", "after")] == [
        "completed",
        "failed",
        "pending",
    ]
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize(
    ("after", "death"),
    [
        ("oom_kill 8\n", "out of memory: the system killed the kernel (SIGKILL)"),
        ("oom_kill 7\n", "the kernel was killed by SIGKILL"),
    ],
)
def test_the_systems_out_of_memory_killer_is_named(tmp_path: Path, after: str, death: str) -> None:
    """Where the system's count of such kills went up while the kernel died by SIGKILL, and only there."""
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 5\noom_kill 7\n")
    kernel = Kernel({}, oom_counter=counter)
    kernel.process = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    kernel.process.wait()
    counter.write_text(after)
    try:
        assert kernel.death == death
    finally:
        kernel.end(0)


def test_a_stage_is_the_first_to_go_where_memory_runs_out(tmp_path: Path) -> None:
    """The system prefers the kernel to the run, which then says what happened."""
    notebook(tmp_path / "in.ipynb", score="print(open('/proc/self/oom_score_adj').read())")

    assert run(tmp_path).outcome == "ok"
    mine = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(printed(read(tmp_path / "out.ipynb"), "score")) > mine


def test_memory_that_is_limited_fails_the_cell(tmp_path: Path) -> None:
    """An allocation beyond the limit is a MemoryError with its place, not a dead kernel."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))"
    notebook(tmp_path / "in.ipynb", limit=limit, allocates="x = bytearray(1 << 32)")

    executed = run(tmp_path)

    assert (executed.outcome, executed.cell, executed.error) == ("failed", "allocates", "MemoryError")


def test_a_kernel_that_ends_by_itself_fails_the_stage(tmp_path: Path) -> None:
    """A process that leaves without a signal, even with status 0, did not finish its cells."""
    notebook(tmp_path / "in.ipynb", leaves="import os; os._exit(0)", after="2")

    executed = run(tmp_path)

    assert (executed.outcome, executed.cell, executed.signal) == ("failed", "leaves", None)
    assert executed.error == "the kernel ended by itself with status 0"


def test_a_stage_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path, bell: Bell) -> None:
    """The whole stage has one time limit; after it neither the kernel nor its child processes are left."""
    child = "import subprocess; child = subprocess.Popen(['sleep', 'infinity'])"
    tell = f"open({str(bell.path)!r}, 'w').write(f'{{child.pid}} ')"
    notebook(tmp_path / "in.ipynb", starts=child, tells=tell, hangs=FOREVER, after="2")

    executed = run(tmp_path, timeout_s=3)

    found = read(tmp_path / "out.ipynb")
    assert (executed.outcome, executed.cell) == ("timeout", "hangs")
    assert executed.error == "the stage ran longer than 3 s and was killed"
    assert outcomes(found)["hangs"] == "timeout"
    assert outcomes(found)["after"] == "never ran"
    wait_until_gone(bell.heard())


@pytest.mark.parametrize("hangs", [FOREVER, "import ctypes; ctypes.PyDLL(None).sleep(10**6)"], ids=["python", "in C"])
def test_a_stop_kills_a_running_kernel(tmp_path: Path, bell: Bell, hangs: str) -> None:
    """A stop ends the stage at once, also where the cell holds the interpreter's lock for ever."""
    notebook(tmp_path / "in.ipynb", rings=bell.ring, hangs=hangs, after="2")
    stop = Stop()
    pids: list[int] = []

    def ask() -> None:
        pids.append(bell.heard())
        stop.set(signal.SIGTERM)

    asks = threading.Thread(target=ask)
    asks.start()

    executed = run(tmp_path, stop=stop)
    asks.join()

    assert (executed.outcome, executed.signal) == ("killed", "SIGTERM")
    assert executed.error == "the run was stopped by SIGTERM"
    assert outcomes(read(tmp_path / "out.ipynb"))["after"] == "never ran"
    wait_until_gone(pids[0])


def test_a_stage_of_a_stopped_run_does_not_start(tmp_path: Path) -> None:
    """Its notebook is there all the same and says that no cell ran."""
    notebook(tmp_path / "in.ipynb", first="1")
    stop = Stop()
    stop.set()

    executed = run(tmp_path, stop=stop)

    assert (executed.outcome, executed.cell, executed.error) == ("not started", None, "the run was stopped")
    assert set(outcomes(read(tmp_path / "out.ipynb")).values()) == {"never ran"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda signum: signum.name)
def test_a_signal_to_the_run_ends_it_with_the_truth(tmp_path: Path, bell: Bell, signum: signal.Signals) -> None:
    """The run ends by itself, its kernel is gone, and the notebook names the signal."""
    notebook(tmp_path / "in.ipynb", rings=bell.ring, hangs=FOREVER)
    process = runner(tmp_path)
    kernel = bell.heard(process)

    process.send_signal(signum)
    said, complaints = process.communicate()

    assert (process.returncode, complaints) == (0, b"")
    assert json.loads(said)["outcome"] == "killed"
    assert word(read(tmp_path / "out.ipynb"))["signal"] == signum.name
    wait_until_gone(kernel)


@pytest.mark.parametrize("hangs", [FOREVER, "import ctypes; ctypes.PyDLL(None).sleep(10**6)"], ids=["python", "in C"])
def test_a_kernel_dies_with_a_run_that_is_killed(tmp_path: Path, bell: Bell, hangs: str) -> None:
    """After SIGKILL to the run its kernel is gone, even inside a C call, and the notebook says how far it came."""
    notebook(tmp_path / "in.ipynb", rings=bell.ring, hangs=f"{hangs}  # {bell.path}", after="2")
    process = runner(tmp_path)
    kernel = bell.heard(process)

    process.kill()
    process.communicate()

    wait_until_gone(kernel)
    found = read(tmp_path / "out.ipynb")
    assert word(found)["outcome"] == "running"
    assert outcomes(found)["parameters"] == "ok"
    assert outcomes(found)["after"] == "never ran"


def test_a_run_that_is_killed_leaves_no_folder_and_no_process_of_its_kernel(tmp_path: Path, bell: Bell) -> None:
    """After SIGKILL to the run a process that a cell started is ended, and the kernel's private folder is gone."""
    child = tmp_path / "child"
    starts = f"import subprocess as s; open({str(child)!r}, 'w').write(str(s.Popen(['sleep', 'infinity']).pid))"
    notebook(tmp_path / "in.ipynb", starts=starts, rings=bell.ring, hangs=f"{FOREVER}  # {bell.path}")
    process = runner(tmp_path)
    bell.heard(process)
    (guard,) = [pid for pid, words in children(process.pid).items() if "guard" in words]
    folder = Path(children(process.pid)[guard][-1])
    assert folder.is_dir()

    process.kill()
    process.communicate()
    wait_until_gone(int(child.read_text()))
    wait_until_gone(guard)
    assert not folder.exists()


def children(pid: int) -> dict[int, list[str]]:
    """Return the words of each process that a process started."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().split("\0")[:-1]
    return found


def test_notebooks_side_by_side_keep_to_their_own_folders(tmp_path: Path) -> None:
    """Three at once: each kernel works in its notebook's folder, and the process's own folder never moves."""
    folders = [tmp_path / str(n) for n in range(3)]
    for folder in folders:
        folder.mkdir()
        notebook(folder / "in.ipynb", where="import os; print(os.getcwd())")
    before = os.getcwd()

    with ThreadPoolExecutor(3) as pool:
        executed = list(pool.map(run, folders))

    assert [one.outcome for one in executed] == ["ok"] * 3
    assert [printed(read(one.path), "where").strip() for one in executed] == [str(folder) for folder in folders]
    assert os.getcwd() == before


def test_the_kernel_is_this_python_whatever_kernelspecs_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own kernelspec `python3`, and start-up files, change nothing."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("games = 'mine'\nraise SystemExit")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook(
        tmp_path / "in.ipynb", which="import sys, bigmama_nb; print(sys.executable, bigmama_nb.__file__, sep='\\n')"
    )

    executed = run(tmp_path)

    assert (executed.outcome, executed.error) == ("ok", None)
    assert printed(read(executed.path), "which").splitlines() == [sys.executable, str(ROOT / "bigmama_nb/__init__.py")]


def test_kernels_start_from_compiled_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a kernel imports is compiled once, also where the environment forbids bytecode."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "beside.py").write_text("x = 1")
    notebook(tmp_path / "in.ipynb", imports="import beside")

    assert run(tmp_path).outcome == "ok"
    assert [file.name.split(".")[0] for file in (tmp_path / "__pycache__").iterdir()] == ["beside"]


def test_a_notebook_knows_the_variables_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's variables are inherited (a URI is read from one), and those of this stage are added."""
    monkeypatch.setenv("BIGMAMA_NCMC3_URI", "mongodb://h")
    notebook(tmp_path / "in.ipynb", shows="import os; print(os.environ['BIGMAMA_NCMC3_URI'], os.environ['ATTEMPT'])")

    run(tmp_path, env={"ATTEMPT": "x-1"})

    assert printed(read(tmp_path / "out.ipynb"), "shows") == "mongodb://h x-1\n"


def test_a_kernel_that_cannot_come_up_is_tried_again_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No cell ran; the error says what the interpreter said, which is printed nowhere else."""
    notebook(tmp_path / "in.ipynb", first="1")

    executed = run(tmp_path, env={"PYTHONHOME": str(tmp_path / "nowhere")})

    assert (executed.outcome, executed.cell) == ("not started", None)
    assert executed.error is not None
    assert "did not come up in 3 attempts" in executed.error
    assert "it said: " in executed.error
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_kernel_works_where_the_folder_for_its_sockets_has_a_long_name(tmp_path: Path) -> None:
    """A socket's path is limited to 107 bytes; beyond, the kernel is talked to over TCP. Nothing is left there."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    notebook(tmp_path / "in.ipynb", shows="print('here')")
    code = f"from pathlib import Path; from tests.runs.stages import run; print(run(Path({str(tmp_path)!r})).outcome)"
    env = {**os.environ, "TMPDIR": str(long)}

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=env, text=True) == "ok\n"
    assert list(long.iterdir()) == []


def test_braces_in_a_path_are_a_name(tmp_path: Path) -> None:
    """papermill would take `{x}` in a path for a parameter to fill in."""
    folder = tmp_path / "{games} of {x"
    folder.mkdir()
    notebook(folder / "in.ipynb", shows="1")

    assert run(folder).outcome == "ok"


def test_twenty_megabytes_printed_are_cut(tmp_path: Path) -> None:
    """The notebook stays small, keeps the beginning, says how much is missing, and the cells after it run."""
    notebook(tmp_path / "in.ipynb", prints="print('x' * 20_000_000)", after="print('still here')")

    executed = run(tmp_path)

    found = read(executed.path)
    assert executed.outcome == "ok"
    assert executed.path.stat().st_size < 1_200_000
    assert printed(found, "prints").startswith("x" * 1_000_000)
    assert printed(found, "prints").endswith(
        "… 19,000,001 more characters were printed and are not kept (limit: 1,000,000 a cell)."
    )
    assert printed(found, "after") == "still here\n"


def test_what_a_cell_prints_without_end_is_not_even_collected() -> None:
    """The process of the run holds a bounded text of each cell, however much arrives, and counts the rest."""
    book = new_notebook(cells=[new_code_cell("x", id="one"), new_code_cell("y", id="two")])
    stage: Any = SimpleNamespace(dropped={})
    client = Client(NotebookExecutionManager(book, progress_bar=False), stage)
    client.reset_execution_trackers()
    client.clear_before_next_output = False

    for index in range(2):
        outs: list[Any] = []
        for _ in range(10):
            content = {"name": "stdout", "text": "x" * 400_000}
            said = {"msg_type": "stream", "header": {"msg_type": "stream"}, "parent_header": {}, "content": content}
            client.output(outs, said, None, index)
        assert sum(len(out.text) for out in outs) == STREAM_LIMIT + MARGIN

    assert stage.dropped == dict.fromkeys(("one", "two"), 4_000_000 - STREAM_LIMIT - MARGIN)


def test_displays_and_errors_without_end_are_cut_and_scraps_are_not(tmp_path: Path) -> None:
    """Ten megabytes of a table or an exception do not stand in the notebook; what is glued after them does."""
    shows = "from IPython.display import HTML, display\nfor n in range(12): display(HTML('y' * 1_000_000))"
    glues = "from bigmama_nb.executor.scraps import glue; glue('said', {'rows': 3})"
    notebook(tmp_path / "in.ipynb", shows=f"{shows}\n{glues}", breaks="raise ValueError('z' * 10_000_000)")

    executed = run(tmp_path)

    assert executed.path.stat().st_size < 9_000_000
    assert (executed.outcome, executed.scraps) == ("failed", {"said": {"rows": 3}})
    assert len(executed.error or "") == 500


def test_no_secret_stands_in_what_is_written_or_returned(tmp_path: Path) -> None:
    """A secret in an output, a traceback, a scrap and the error is hidden, and counted."""
    glues = "from bigmama_nb.executor.scraps import glue; secret = 'correct horse '; glue('said', secret + 'battery')"
    notebook(tmp_path / "in.ipynb", glues=glues, breaks="raise ValueError('x' + secret + 'battery')")

    executed = run(tmp_path, redactor=Redactor(["correct horse battery"]))

    assert executed.scraps == {"said": "•••"}
    assert executed.error == "ValueError: x•••"
    assert "horse battery" not in executed.path.read_text()
    assert executed.redactions == word(read(executed.path))["redactions"] > 2


def test_the_process_prints_of_c_code_stand_in_the_notebook(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a library writes to file descriptor 1 does not land in the run's own output, which may be JSON."""
    notebook(tmp_path / "in.ipynb", writes="import os; _ = os.write(1, b'from C\\n')")

    run(tmp_path)

    assert printed(read(tmp_path / "out.ipynb"), "writes") == "from C\n"
    assert tuple(capfd.readouterr()) == ("", "")


def test_unfit_parameters_are_refused_before_anything_runs(tmp_path: Path) -> None:
    """An unknown name is a usage error; no notebook is written."""
    notebook(tmp_path / "in.ipynb", first="1")

    with pytest.raises(UsageError, match="Did you mean 'games'"):
        run(tmp_path, {"gamse": ["lw"]})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_full_disk_is_told_with_what_became_of_the_stage(tmp_path: Path) -> None:
    """The stage ran; that its notebook could not be kept is an error that says both. Nothing half-written is left."""
    notebook(tmp_path / "in.ipynb", prints="print('x' * 100_000)")
    code = f"""
import resource, signal
from pathlib import Path
from bigmama_nb.errors import StorageError
from tests.runs.stages import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, {resource.RLIM_INFINITY}))
try:
    run(Path({str(tmp_path)!r}))
except StorageError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "out.ipynb: the executed notebook could not be written" in said
    assert "What stood there is as before." in said
    assert "The stage itself: ok." in said
    assert word(read(tmp_path / "out.ipynb"))["outcome"] == "running"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ipynb", "out.ipynb"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """Where the archive's folder is not there, the error names it."""
    notebook(tmp_path / "in.ipynb", first="1")
    stop = Stop()
    stop.set()

    with pytest.raises(StorageError, match=os.strerror(errno.ENOENT)):
        execute(
            tmp_path / "in.ipynb",
            tmp_path / "nowhere" / "out.ipynb",
            {},
            timeout_s=9,
            stop=stop,
            redactor=Redactor(),
            about=ABOUT,
        )
