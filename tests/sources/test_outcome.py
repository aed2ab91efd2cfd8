"""What became of a task: one outcome each, as a value."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from bigmama_nb.errors import (
    REASONS,
    ContractError,
    Reason,
    SourceError,
    StorageError,
    TaskError,
)
from bigmama_nb.periods import FigureRequest
from bigmama_nb.sources import outcome
from bigmama_nb.sources.outcome import Outcome, State

ASK = FigureRequest("lw", "wau", "20240501", date(2024, 5, 1), True)


def test_task_is_named_as_everywhere() -> None:
    """lw/wau/20240501: records, messages and commands use the same name."""
    assert outcome.ok(ASK, 1, source="dump").task == "lw/wau/20240501"


def test_states_are_the_five_of_the_grid() -> None:
    """The list is closed: scripts outside rely on these words."""
    assert get_args(State) == ("ok", "suspect", "not_ready", "failed", "skipped")


def test_reasons_are_the_closed_list() -> None:
    """Scripts outside rely on these words."""
    assert list(REASONS) == [
        "wrong_type",
        "not_integral",
        "overflow",
        "null_value",
        "missing_field",
        "duplicate_documents",
        "date_type_mismatch",
        "bad_date",
        "array_path",
        "path_unknown",
        "type_unknown",
        "match_unknown",
        "source_missing",
        "source_corrupt",
        "unreachable",
        "auth",
        "tls",
        "query_timeout",
        "query_refused",
        "deadline",
        "contract",
        "rejected_share",
        "duplicate_key",
        "live_too_long",
        "locked",
        "storage",
        "catalog",
        "publish_unknown",
        "stage_died",
        "timeout",
    ]


def test_ok_carries_the_exact_figure() -> None:
    """An int beyond a double's 2^53 stays itself; zero is a figure."""
    big = 2**53 + 1
    assert Outcome(ASK, "ok", value=big, source="dump", undated=3) == outcome.ok(ASK, big, source="dump", undated=3)
    assert outcome.ok(ASK, 0, source="dump").value == 0


def test_not_ready_has_a_message_and_no_reason() -> None:
    """Nothing failed: the source has nothing yet."""
    found = outcome.not_ready(ASK, "the newest is 20240430", place="lw.mobile_index_daily", source="dump")
    assert (
        found.outcome,
        found.value,
        found.reason,
        found.message,
        found.place,
    ) == ("not_ready", None, None, "the newest is 20240430", "lw.mobile_index_daily")


@pytest.mark.parametrize(
    ("error", "reason", "place"),
    [
        (SourceError("wrong_type", "value is a string", place="lw.daily _id 1"), "wrong_type", "lw.daily _id 1"),
        (TaskError("deadline", "not done after 600 s"), "deadline", None),
        (ContractError("column 'value' is missing", place="lw"), "contract", "lw"),
        (ContractError("two rows", reason="duplicate_key"), "duplicate_key", None),
        (StorageError("no space left"), "storage", None),
    ],
)
def test_failed_carries_the_errors_reason_message_and_place(
    error: TaskError, reason: Reason, place: str | None
) -> None:
    """An error that was raised becomes a value that stops no other task."""
    found = outcome.failed(ASK, error, source="dump", undated=2)
    expected = Outcome(ASK, "failed", reason=reason, message=str(error), place=place, source="dump", undated=2)
    assert expected == found
