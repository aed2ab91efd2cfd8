"""What the command and its kernels go without is there as soon as somebody asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.runs import world

ROOT = Path(__file__).resolve().parents[2]


def printed(program: str) -> list[str]:
    """Return the lines that a process of its own printed."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.splitlines()


def test_papermill_is_whole_but_for_what_no_run_asks_of_it() -> None:
    """It comes without a client of HTTP, and gets one when it is asked for a notebook of the web."""
    program = """
import sys
from bigmama_nb.executor import spared_imports
spared_imports.by_command()
import papermill
from papermill import iorw
print("urllib3" in sys.modules)
print(iorw.requests.get.__module__, "urllib3" in sys.modules, sys.modules["requests"] is iorw.requests)
import requests
from requests.adapters import HTTPAdapter
print(requests.get is iorw.requests.get, HTTPAdapter.__name__)
"""
    assert printed(program) == ["False", "requests.api True False", "True HTTPAdapter"]


def test_arrow_has_no_pandas_until_it_is_asked_for_a_frame() -> None:
    """Tables are made of lists without it, and turn into frames as ever."""
    program = """
import sys
from bigmama_nb.executor import spared_imports
spared_imports.by_command()
spared_imports.arrow_without_pandas()
import pyarrow as pa
table = pa.table({"x": [1, None]})
print("pandas" in sys.modules)
print(type(table.to_pandas()).__name__)
import pandas as pd
print(pa.Table.from_pandas(pd.DataFrame({"x": [1.5]})).to_pylist(), pa.array(pd.Series([1, 2])).type)
"""
    assert printed(program) == ["False", "DataFrame", "[{'x': 1.5}] int64"]


def test_a_process_that_is_not_the_commands_alone_has_all() -> None:
    """Who calls a verb from a process of their own finds its libraries as they were."""
    program = """
import contextlib, io, sys
from bigmama_nb.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
from bigmama_nb.executor import spared_imports
spared_imports.arrow_without_pandas()
print([name for name in ("boto3", "debugpy", "entrypoints", "fqdn", "requests") if name in sys.modules])
import pyarrow as pa
pa.array([1])
print("pandas" in sys.modules)
"""
    assert printed(program) == ["[]", "True"]


def test_a_run_that_is_well_imports_no_pandas(tmp_path: Path) -> None:
    """The command's own process makes tables of records, words and pages, and no frame."""
    profile = world(tmp_path / "one", 1)
    program = f"""
import sys
from bigmama_nb import cli
from bigmama_nb.executor import process
heavy = {{"debugpy", "ibis", "matplotlib", "pandas", "urllib3"}}
process.SwiftEnd._end = lambda self: print(sorted(heavy & {{*sys.modules}}))
sys.argv = ["run_all.py", "run", "--profile", {str(profile)!r}]
cli.main()
"""
    assert printed(program)[-1] == "[]"
