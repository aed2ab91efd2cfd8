"""How a refusal is worded: one order for all, so that whoever reads it at night knows where to look."""

from __future__ import annotations

from pathlib import Path

from bigmama_nb.errors import NOTHING_READ, explain, how_many

PACKAGE = Path(__file__).parent.parent / "bigmama_nb"


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


def test_the_sentence_of_what_stays_stands_once() -> None:
    """Two wordings of one state would make two states of it."""
    where = [
        path.name for path in PACKAGE.rglob("*.py") if "published partition stays" in path.read_text(encoding="utf-8")
    ]
    assert where == ["errors.py"]


def test_one_is_counted_in_the_singular() -> None:
    """One file, no files, and a plural of its own."""
    assert [how_many(n, "file") for n in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
    assert [how_many(n, "query", "queries") for n in (1, 2)] == ["1 query", "2 queries"]
