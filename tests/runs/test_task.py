"""Tasks stay what they are from one stage to the next, and change only where that is said."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmama_nb.runs import artifacts
from bigmama_nb.runs.task import TASKS, Task

OF_TYPE: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(allow_nan=False),
}
NAMED = ("id", "pipeline", "published")
ANY = st.builds(
    Task,
    **{one.name: OF_TYPE[one.type] if one.name in NAMED else st.none() | OF_TYPE[one.type] for one in TASKS},
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=st.lists(ANY, max_size=5))
def test_what_a_stage_hands_over_is_read_as_it_was(tmp_path: Path, tasks: list[Task]) -> None:
    """Every field of every task, with its type: a column that says nothing, and one of great numbers beside none."""
    artifacts.write_tasks(tmp_path, "some", tasks)
    found = artifacts.read_tasks(tmp_path, "some")
    assert found == tasks
    assert [[type(value) for value in vars(one).values()] for one in found] == [
        [type(value) for value in vars(one).values()] for one in tasks
    ]


def test_a_hand_over_of_another_version_is_read_too() -> None:
    """A column that it lacks has its default, and one that is unknown is passed over."""
    table = pa.table({"newer": [1.5], "pipeline": ["game_metric"], "id": ["lw/wau/20240501"]})
    assert Task.of_table(table) == [Task("lw/wau/20240501", "game_metric")]


def test_a_changed_task_is_what_dataclasses_would_make_of_it() -> None:
    """The others of its fields stay, and so does the task itself."""
    before = Task("lw/wau/20240501", "game_metric", "lw", "wau", "20240501", value=7)
    told: dict[str, Any] = {"outcome": "ok", "published": "yes", "value": None}
    assert before.changed(**told) == replace(before, **told)
    assert hash(before.changed()) == hash(before)
    assert before.value == 7
    assert {*vars(before.changed(**told))} == {one.name for one in fields(Task)}


def test_a_field_that_no_task_has_cannot_be_changed() -> None:
    """A slip of the pen is told."""
    with pytest.raises(TypeError, match=r"\['outcom'\] are no fields of a task"):
        Task("a", "game_metric").changed(outcom="ok")
