"""The comparison with the oracle sees every rule of the tables broken once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bigmama_nb.engines.duckdb import DuckDBEngine
from tests.live_play.adversary import World, together
from tests.live_play.mutants import MUTANTS, Mutant, alive

GROUPS = 6
"""Groups of data sets that a mutant may live through until one kills it."""

A_FEW = 8


@cache
def group(nth: int) -> World:
    return together(list(range(nth * 20, nth * 20 + 20)))


def lives(mutant: Mutant, duck: DuckDBEngine, folder: Path) -> bool:
    """Return whether the tests let a mutant pass: nothing fails on any data."""
    with alive(mutant) as module:
        if mutant.test:
            try:
                getattr(module, mutant.test)(duck, folder)
            except Exception:
                return False
            return True
        with module.Cramped("1GB", threads=2) as engine:
            for nth in range(GROUPS):
                try:
                    module.assert_equal_to_oracle(engine, group(nth), folder / str(nth), buckets=mutant.buckets)
                except Exception:
                    # Some rules cannot be broken without a stumble further on, which is seen as well.
                    return False
    return True


def test_more_than_two_dozen_rules_are_broken() -> None:
    """There are mutants enough, and each names its rule."""
    assert len(MUTANTS) > 90
    assert len({mutant.rule for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS[::A_FEW], ids=lambda mutant: mutant.rule)
def test_a_broken_rule_is_seen(mutant: Mutant, duck: DuckDBEngine, tmp_path: Path) -> None:
    """Where a rule is broken, tables differ from the oracle's or the build fails: every eighth rule."""
    assert not lives(mutant, duck, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_every_broken_rule_is_seen(mutant: Mutant, duck: DuckDBEngine, tmp_path: Path) -> None:
    """The same, for every rule."""
    assert not lives(mutant, duck, tmp_path)


def test_what_is_not_broken_lives(duck: DuckDBEngine, tmp_path: Path) -> None:
    """A mutant that changes nothing lives: it is the broken rule that kills, not the way it is put in."""
    nothing = Mutant("none", "bigmama_nb.tables.live.events", "SLICES = 256", "SLICES = 128 + 128")
    with alive(nothing) as module, module.Cramped("1GB", threads=2) as engine:
        assert module.assert_equal_to_oracle(engine, group(0), tmp_path) == "ok"
