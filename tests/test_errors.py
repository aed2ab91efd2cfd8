"""How a refusal is worded: one order for all, so that whoever reads it at night knows where to look."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bigmama_nb import errors
from bigmama_nb.errors import NOTHING_DONE, NOTHING_READ, UsageError, explain, how_many

PACKAGE = Path(__file__).parent.parent / "bigmama_nb"
STATES = {
    name: value for name, value in vars(errors).items() if name.isupper() and str(value).startswith(("Nothing", "Read"))
}


def texts(path: Path) -> list[str]:
    """Return what a module says: its string literals, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
    return [node.value for node in found if isinstance(node.value, str)]


def test_a_message_says_where_found_expected_what_is_left_and_what_to_do() -> None:
    """What was expected may go without saying; the state and the next step never."""
    assert explain("wv_live", "2 post_ids stand twice", expected="one row each", step="remove the copies") == (
        "wv_live: 2 post_ids stand twice; expected one row each. Nothing was published and the published partition "
        "stays; remove the copies."
    )
    assert explain("wv_live", "it is missing", state=NOTHING_READ, step="run again") == (
        "wv_live: it is missing. Nothing was read and the published partition stays; run again."
    )
    asked = explain("wv_live", "no column 'post'. Did you mean 'post_id'?", step="put it right")
    assert asked.startswith("wv_live: no column 'post'. Did you mean 'post_id'? Nothing was published")


@pytest.mark.parametrize("state", STATES)
def test_the_sentence_of_what_is_left_stands_once(state: str) -> None:
    """Two wordings of one state would make two states of it: raises name the sentence, and none writes it out."""
    assert STATES[state].startswith(("Nothing was ", "Readers see "))
    where = [path.name for path in sorted(PACKAGE.rglob("*.py")) if any(STATES[state] in text for text in texts(path))]
    assert where == ["errors.py"] * len(where)


def test_a_refusal_of_a_command_says_what_state_is_left_line_by_line() -> None:
    """Whoever raises it cannot leave that out, and each line stands alone in a log."""
    both = UsageError("a.yaml: x is 1; expected 2", "a.yaml: no 'y'. Did you mean 'z'?")
    assert str(both) == (
        "a.yaml: x is 1; expected 2. Nothing was run.\na.yaml: no 'y'. Did you mean 'z'? Nothing was run."
    )
    assert both.found == ("a.yaml: x is 1; expected 2", "a.yaml: no 'y'. Did you mean 'z'?")
    asked = UsageError("no run is recorded", state=NOTHING_DONE, step="'run' makes one")
    assert str(asked) == "no run is recorded. Nothing was done; 'run' makes one."


def test_one_is_counted_in_the_singular() -> None:
    """One file, no files, and a plural of its own."""
    assert [how_many(n, "file") for n in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
    assert [how_many(n, "query", "queries") for n in (1, 2)] == ["1 query", "2 queries"]
