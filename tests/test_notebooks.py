"""The notebooks as they are committed: thin, readable in a diff, with the sample's outputs, and of no one's machine.

That the outputs are those of a fresh execution is nbval's to say (`make test`).
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAMES = [
    "10_extract",
    "20_normalize",
    "30_live_play",
    "40_write_parquet",
    "50_report",
    "60_explore",
]
STAGES = NAMES[:-1]
PARAMETERS = [
    *("profile", "games", "metrics", "date_from", "date_to", "run_dir", "run_id", "attempt", "run_timestamp"),
    *("scratch", "allow_empty", "release"),
]
LINES = 12
MACHINE = re.compile(r"(?<![\w.:<*])(?:/(?:home|root|tmp|work|Users|usr|mnt|opt|private|var)/|[A-Z]:\\\\)")


def notebook(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[Any]:
    return [cell for cell in notebook(name).cells if cell.cell_type == "code"]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def parameters(name: str) -> Any:
    (cell,) = [cell for cell in code(name) if "parameters" in tags(cell)]
    return cell


def test_there_are_these_notebooks() -> None:
    """One a stage, named as the pipeline reads, and one for the analyst."""
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_calls_and_no_code_of_its_own(name: str) -> None:
    """No def, class, loop, try, with or print, and at most a dozen lines a cell: what works is in the package."""
    refused = (
        *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
        *(ast.For, ast.AsyncFor, ast.While, ast.comprehension, ast.Try, ast.With),
    )
    for cell in code(name):
        tree = ast.parse(cell.source)
        found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, refused)]
        found += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"]
        assert (cell.id, found) == (cell.id, [])
        if "parameters" not in tags(cell):
            assert len([line for line in cell.source.splitlines() if line.strip()]) <= LINES, cell.id


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_begins_with_its_question(name: str) -> None:
    """The first cell asks it, and says what is read, what is written and that it is safe to rerun."""
    first = notebook(name).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {name[:2]} .+: .+", first.source)
    for words in ("**Reads**", "**Writes**", "Safe to rerun"):
        assert words in first.source


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_literals_with_a_comment_each(name: str) -> None:
    """One cell; every line a typed literal and what it means, so papermill and a person can set it."""
    lines = parameters(name).source.splitlines()
    for line in lines:
        assert re.fullmatch(r"[a-z_]+: (str|list|bool|int) = (\"\w*\"|\[\]|True|False|0)  # \S.*", line), line
    names = [line.partition(":")[0] for line in lines]
    assert set(names) <= {*PARAMETERS, "table"}
    assert "scratch: bool = True" in parameters(name).source


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_parameters_are_the_interface(name: str) -> None:
    """Every stage takes these, in this order, and 40_write_parquet its `table`: `papermill -y` relies on the names."""
    names = [line.partition(":")[0] for line in parameters(name).source.splitlines()]
    assert [each for each in names if each != "table"] == PARAMETERS
    assert ("table" in names) == (name == "40_write_parquet")


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_is_called_as_its_file(name: str) -> None:
    """What it says of itself in the record is the name that its file has."""
    (begin,) = [cell for cell in code(name) if cell.id == "begin"]
    assert f'stages.begin("{name}"' in re.sub(r"\(\s+", "(", begin.source)


@pytest.mark.parametrize("name", NAMES)
def test_cells_have_names_given_by_hand(name: str) -> None:
    """Words, each once: a record's link to a cell says which, and a diff stays small."""
    ids = [cell.id for cell in notebook(name).cells]
    assert len(set(ids)) == len(ids)
    for cell_id in ids:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell_id), cell_id


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_any_jupyter(name: str) -> None:
    """The kernel is called `python3`, as ipykernel names it everywhere."""
    assert notebook(name).metadata.kernelspec == {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_and_whole(name: str) -> None:
    """Every cell was run once, from top to bottom, without an error or a word on stderr; the last one shows something.

    A cell without a count is one that nbval passes without comparing.
    """
    cells = code(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.output_type for cell in cells for output in cell.outputs} <= {"execute_result", "display_data"}
    assert cells[-1].outputs


@pytest.mark.parametrize("name", NAMES)
def test_only_pictures_are_not_compared(name: str) -> None:
    """`nbval-ignore-output` stands exactly where a cell shows a PNG: two machines draw it with other bytes.

    Of a chart the data are compared, and nbval.cfg leaves out its SVG.
    """
    for cell in code(name):
        pictured = any("image/png" in output.get("data", {}) for output in cell.outputs)
        assert (cell.id, "nbval-ignore-output" in tags(cell)) == (cell.id, pictured)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_tell_nothing_of_the_machine(name: str) -> None:
    """No absolute path, user or host; folders are named from the project's."""
    for cell in notebook(name).cells:
        for output in cell.get("outputs", []):
            shown = {kind: data for kind, data in output.get("data", {}).items() if not kind.startswith("image/")}
            text = json.dumps(shown, ensure_ascii=False)
            assert (cell.id, MACHINE.findall(text)) == (cell.id, [])
            assert str(NOTEBOOKS.parent) not in text


def test_no_notebook_is_heavy() -> None:
    """All together stay below a megabyte: who clones or reviews them loads every picture."""
    assert sum(path.stat().st_size for path in NOTEBOOKS.glob("*.ipynb")) < 1_000_000
