"""What a run comes to: exit status and status, from what became of its tasks."""

from __future__ import annotations

import itertools
import signal

import pytest

from bigmama_nb.runs.record import exit_status, status
from bigmama_nb.runs.task import Task

# As docs/spec/runs_and_archive.md's table of outcomes says: what counts as a success, and what does not.
SUCCESSES = {
    "published": ("ok", "yes", None),
    "kept": ("ok", "no", None),
    "suspect": ("suspect", "yes", None),
}
FAILURES = {
    "held": ("suspect", "no", None),
    "not ready": ("not_ready", "no", None),
    "failed": ("failed", "no", "wrong_type"),
    "unknown": ("failed", "unknown", "publish_unknown"),
    "skipped": ("skipped", "no", None),
    "open": (None, "no", None),
}
LOCKED = {"locked": ("failed", "no", "locked")}
ALL = SUCCESSES | FAILURES | LOCKED


def tasks(*names: str) -> list[Task]:
    found = []
    for name in names:
        outcome, published, reason = ALL[name]
        found.append(Task(name, "game_metric", outcome=outcome, published=str(published), reason=reason))
    return found


@pytest.mark.parametrize("name", ALL)
def test_what_counts_as_a_success(name: str) -> None:
    """Published, a newer row kept in a race, a suspect that was published; nothing else, a lost answer neither."""
    assert tasks(name)[0].succeeded is (name in SUCCESSES)


def test_the_exit_status_of_every_combination() -> None:
    """0 every task a success, 3 some, 1 none, 75 none where the lock was held; the order of tasks says nothing."""
    expected = {
        frozenset({"good"}): 0,
        frozenset({"good", "bad"}): 3,
        frozenset({"good", "locked"}): 3,
        frozenset({"good", "bad", "locked"}): 3,
        frozenset({"bad"}): 1,
        frozenset({"locked"}): 75,
        frozenset({"bad", "locked"}): 75,
    }
    kind = {name: "good" if name in SUCCESSES else "locked" if name in LOCKED else "bad" for name in ALL}
    grids = [names for size in (1, 2, 3) for names in itertools.product(ALL, repeat=size)]
    wrong = [names for names in grids if exit_status(tasks(*names)) != expected[frozenset(map(kind.get, names))]]  # type: ignore[arg-type]
    assert wrong == []


def test_a_grid_without_tasks_is_a_success() -> None:
    """Nothing was due, or nothing is missing."""
    assert exit_status([]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("names", [(), ("published",), ("published", "failed"), ("failed",), ("locked",)])
def test_a_signal_comes_before_all_others(names: tuple[str, ...], number: int) -> None:
    """128 + n, whatever was published."""
    assert exit_status(tasks(*names), number) == 128 + number


@pytest.mark.parametrize(
    ("number", "word"), [(0, "ok"), (3, "partial"), (1, "failed"), (75, "failed"), (130, "failed"), (143, "failed")]
)
def test_the_status_is_a_word_for_the_exit_status(number: int, word: str) -> None:
    """ok (exit 0), partial (3) or failed."""
    assert status(number) == word
