"""Parameters are an interface: what does not fit the notebook is refused before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from bigmama_nb.errors import UsageError
from bigmama_nb.executor.parameters import check_parameters, parameters_of, with_values

CELL = """
# Which games; None: all
games: list[str] | None = None
profile: str = "a=b"          # a second = on the line
date_from = ""                # YYYY-MM-DD
jobs: "int" = 2
share = 0.5
scratch = True
metrics = [
    "wau",
]
table: Literal["game_metric", "wv_live_play"] = "game_metric"
limits: dict[str, int] = {}
anything = None
either: Optional[str] = None
first = second = 1
"""


def notebook(folder: Path, source: str = CELL, tag: str = "parameters") -> Path:
    path = folder / "10_extract.ipynb"
    cell = new_code_cell(source, id="parameters", metadata={"tags": [tag]})
    nbformat.write(new_notebook(cells=[cell]), path)
    return path


def test_every_parameter_is_found(tmp_path: Path) -> None:
    """Also those that papermill's own inspection misses: `str | None`, and a second `=` on the line."""
    assert list(parameters_of(notebook(tmp_path))) == [
        *("games", "profile", "date_from", "jobs", "share", "scratch", "metrics", "table", "limits"),
        *("anything", "either", "first", "second"),
    ]


FIT: list[dict[str, Any]] = [
    {},
    {"games": None},
    {"games": ["lw", "bns"]},
    {"profile": "x", "date_from": "2024-05-01", "jobs": 3, "share": 1, "scratch": False, "metrics": []},
    {"table": "wv_live_play", "limits": {"a": 1}, "either": "x", "first": 2},
    {"anything": {"a": [1.5, None, "x"]}},
]


@pytest.mark.parametrize("parameters", FIT, ids=str)
def test_what_fits_passes(tmp_path: Path, parameters: dict[str, Any]) -> None:
    """A value of the annotated type, or of its default's, is taken; an int is a float."""
    check_parameters(notebook(tmp_path), parameters)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"gmaes": []}, "parameter 'gmaes' is unknown; the notebook's are games, profile, … Did you mean 'games'?"),
        ({"games": "lw"}, "parameter 'games' is 'lw' (str); expected list[str] | None."),
        ({"games": ["lw", 3]}, "parameter 'games' is ['lw', 3] (list); expected list[str] | None."),
        ({"profile": None}, "parameter 'profile' is None (NoneType); expected str."),
        ({"date_from": 20240501}, "parameter 'date_from' is 20240501 (int); expected str."),
        ({"jobs": True}, "parameter 'jobs' is True (bool); expected int."),
        ({"jobs": "3"}, "parameter 'jobs' is '3' (str); expected int."),
        ({"share": "1"}, "parameter 'share' is '1' (str); expected float."),
        ({"scratch": 1}, "parameter 'scratch' is 1 (int); expected bool."),
        ({"metrics": ("wau",)}, "parameter 'metrics' holds a tuple; expected what JSON holds."),
        ({"table": "other"}, "parameter 'table' is 'other' (str); expected Literal['game_metric', 'wv_live_play']."),
        ({"limits": {"a": "b"}}, "parameter 'limits' is {'a': 'b'} (dict); expected dict[str, int]."),
        ({"limits": {1: 2}}, "parameter 'limits' holds the key 1 (int); expected what JSON holds."),
        ({"anything": [Path("x")]}, "parameter 'anything' holds a PosixPath; expected what JSON holds."),
        ({"share": float("nan")}, "parameter 'share' holds the number nan; expected what JSON holds."),
        ({"either": 1}, "parameter 'either' is 1 (int); expected Optional[str]."),
        ({"profile": ["mongodb://u:pw@h"]}, "parameter 'profile' is ['mongodb://•••@h'] (list); expected str."),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, parameters: dict[str, Any], said: str) -> None:
    """The error names the notebook, the parameter, what was found and what was expected, and shows no password."""
    with pytest.raises(UsageError) as error:
        check_parameters(notebook(tmp_path), parameters)

    head, _, tail = said.partition(" … ")
    assert str(error.value).startswith(f"10_extract.ipynb: {head}")
    assert str(error.value).endswith(f"{tail or head} Nothing was run.")


def test_every_refusal_is_said_at_once(tmp_path: Path) -> None:
    """Two mistakes are two lines."""
    with pytest.raises(UsageError) as error:
        check_parameters(notebook(tmp_path), {"games": 1, "nothing": 2})
    assert len(str(error.value).splitlines()) == 2


def test_a_file_that_is_no_notebook_is_named(tmp_path: Path) -> None:
    """Missing, not JSON, without the cell, or with a cell that is not Python: each is said."""
    missing = tmp_path / "none.ipynb"
    with pytest.raises(UsageError, match=r"none.ipynb: cannot be read \(No such file"):
        check_parameters(missing, {})
    missing.write_text("{")
    with pytest.raises(UsageError, match=r"none.ipynb: not a notebook"):
        check_parameters(missing, {})
    missing.write_text("{}")
    with pytest.raises(UsageError, match=r"none.ipynb: not a notebook"):
        check_parameters(missing, {})
    with pytest.raises(UsageError, match=r"10_extract.ipynb: has no cell tagged 'parameters'"):
        check_parameters(notebook(tmp_path, tag="other"), {})
    with pytest.raises(UsageError, match=r"'parameters' is not Python \(line 1: "):
        check_parameters(notebook(tmp_path, "x = = 1"), {})


def test_values_take_the_place_of_defaults() -> None:
    """Types and comments stay, and what has no value keeps its default; a default may go over lines."""
    source = 'profile: str = ""  # 경로\ngames: list = [\n    "a",\n]  # codes\nn = 1'
    assert with_values(source, {"profile": "p'q", "games": ["lw"], "other": 3}) == (
        "profile: str = \"p'q\"  # 경로\ngames: list = ['lw']  # codes\nn = 1"
    )
