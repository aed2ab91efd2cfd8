"""Which module may import which: rooms in layers without a circle, and each driver in its room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bigmama_nb"

ROOMS = {
    "pymongo": ("sources/mongo",),
    "pymongoarrow": ("sources/mongo",),
    "bson": ("sources/", "sample/"),
    "pyspark": ("engines/spark",),
    "thrift": ("warehouse/catalog/hive", "warehouse/catalog/thrift.py", "warehouse/catalog/login.py"),
    "puresasl": ("warehouse/catalog/login.py",),
    "kerberos": ("warehouse/catalog/login.py",),
    "hive_metastore": ("warehouse/catalog/hive", "warehouse/catalog/thrift.py"),
    "pyiceberg": ("warehouse/catalog/hive",),
    "sqlite3": ("warehouse/catalog/sqlite.py", "site/index.py"),
    "hdfs_native": ("warehouse/storage/hdfs",),
    "obstore": ("warehouse/storage/s3",),
    "papermill": ("executor/execute.py", "executor/client.py"),
    "nbclient": ("executor/execute.py", "executor/client.py"),
    "jupyter_client": ("executor/",),
    "tornado": ("lab.py",),
    "matplotlib": ("reports/",),
    "ruamel": ("profile/",),
    "click": ("cli/",),
    "rich": ("cli/",),
}

HEAVY = {
    "pandas",
    "numpy",
    "pyarrow",
    "duckdb",
    "ibis",
    "matplotlib",
    "pydantic",
    "pymongo",
    "bson",
    "papermill",
    "nbclient",
    "nbformat",
    "scrapbook",
    "pyspark",
    "thrift",
    "hdfs_native",
    "obstore",
}


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 30
    return found


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Return line and full name of everything that a module imports, also within functions and for typing alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_imports_flow_one_way() -> None:
    """Each room knows only the rooms below it, and there is no circle: the contracts in pyproject.toml."""
    command = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_errors_import_nothing_of_ours() -> None:
    """Everything may raise them."""
    assert [name for _, name in imported(PACKAGE / "errors.py") if name.startswith("bigmama_nb")] == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_driver_stays_in_its_room(path: Path) -> None:
    """Whoever replaces a driver has one place to look at."""
    inside = str(path.relative_to(PACKAGE))
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}; its room is {ROOMS[name.split('.')[0]]}"
        for line, name in imported(path)
        if not inside.startswith(ROOMS.get(name.split(".")[0], ("",)))
    ]
    assert wrong == []


def replaced(path: Path) -> Iterator[str]:
    """Return what of the package a test puts something else in the place of: `setattr` on, or `patch` of, its names."""
    ours = {name.split(".")[-1]: name for _, name in imported(path) if name.startswith("bigmama_nb")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if ast.unparse(node.func).rpartition(".")[2] not in {"setattr", "patch", "object", "delattr"}:
            continue
        root = ast.unparse(node.args[0]).strip("'\"").split(".")[0]
        if root == "bigmama_nb" or root in ours:
            yield f"{path.relative_to(ROOT)}:{ast.unparse(node.args[0])}"


def test_nothing_of_the_package_is_replaced_in_a_test() -> None:
    """What a test needs otherwise it gives as an argument, or makes for real; no table has a check graded `warn`."""
    found = {one for path in sorted((ROOT / "tests").rglob("*.py")) for one in replaced(path)}
    assert found == {"tests/runs/test_live_run.py:wv_live_play", "tests/runs/test_spark_run.py:wv_live_play"}


def test_pyplot_is_imported_nowhere() -> None:
    """Its global state is shared by all that runs in a kernel."""
    assert [str(path) for path in modules() for _, name in imported(path) if "pyplot" in name] == []


def test_nothing_in_tables_executes() -> None:
    """A table's expression is lazy: the engine that runs it is chosen elsewhere."""
    running = {"execute", "to_pandas", "to_pyarrow", "to_pyarrow_batches", "to_parquet", "to_polars", "compile"}
    wrong = [
        f"{path.name}:{node.lineno} calls {node.func.attr}"
        for path in (PACKAGE / "tables").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in running
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re")
    ]
    assert wrong == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    """What is a helper of everything is understood by nobody."""
    empty = {"util", "utils", "helper", "helpers", "manager", "managers", "base", "common", "misc"}
    inside = [path.relative_to(PACKAGE) for path in modules()]
    assert [path for path in inside if {part.removesuffix(".py") for part in path.parts} & empty] == []


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("bigmama_nb", set()),
        ("bigmama_nb.errors", set()),
        ("bigmama_nb.profile", {"pydantic"}),
        ("bigmama_nb.periods", {"pydantic"}),
        ("bigmama_nb.reports", {"pydantic", "matplotlib", "pandas", "numpy", "pyarrow"}),
    ],
)
def test_import_loads_only_what_it_needs(name: str, allowed: set[str]) -> None:
    """A program that wants the version waits for no engine, and a chart for no driver."""
    code = f"import {name}, sys; print(*sorted({{module.split('.')[0] for module in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set() == (HEAVY & set(ran.stdout.split())) - allowed


@pytest.mark.parametrize("modules", ["cli.runs, runs.run, site.build", "stages, reports"], ids=["command", "kernels"])
def test_a_run_without_live_viewing_loads_no_ibis(modules: str) -> None:
    """The contracts of all tables are there nevertheless, and an expression of theirs loads it."""
    names = ", ".join(f"bigmama_nb.{name}" for name in modules.split(", "))
    code = f"""
import sys, {names}
from bigmama_nb.tables import registry
from bigmama_nb.tables.deferred import ibis
print(len(registry.live_contracts("mart")), "ibis" in sys.modules)
ibis.literal(1)
print("ibis" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "7 False\nTrue\n"


def test_charts_load_no_pyplot() -> None:
    """Neither directly nor by way of pandas."""
    code = "import bigmama_nb.reports, sys; print('matplotlib.pyplot' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
