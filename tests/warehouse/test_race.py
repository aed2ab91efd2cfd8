"""Sixteen writers, some of them killed, and eight readers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FIGURES
from tests.places import place
from tests.racing import run

PLACES = ("local+sqlite", "local+hive", "hdfs+hive")


@pytest.mark.parametrize("name", PLACES)
def test_no_reader_sees_a_mix_while_writers_are_killed(name: str, tmp_path: Path, record_property) -> None:  # type: ignore[no-untyped-def]
    """Of 2,000 reads and 30 killed writers none sees a mix, a short or an empty partition, or an older row again."""
    tally = run(place(name, tmp_path), reads=2_000, kills=30)
    record_property(FIGURES, f"race {name}: {tally}")
    assert tally.wrong == []
    assert tally.reads >= 2_000
    assert tally.kills == 30
    assert tally.publishes > 0


@pytest.mark.long
@pytest.mark.parametrize("name", PLACES)
def test_no_reader_sees_a_mix_in_ten_times_as_many_reads(name: str, tmp_path: Path, record_property) -> None:  # type: ignore[no-untyped-def]
    """The same for 20,000 reads and 300 killed writers."""
    tally = run(place(name, tmp_path), reads=20_000, kills=300)
    record_property(FIGURES, f"race {name}: {tally}")
    assert tally.wrong == []
    assert (tally.reads >= 20_000, tally.kills) == (True, 300)
