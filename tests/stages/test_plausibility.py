"""A figure against its own history: what is caught, and above all what is left in peace."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmama_nb.periods import Period
from bigmama_nb.profile.metric import MetricChecks
from bigmama_nb.stages.plausibility import implausible

WEDNESDAY = "20240501"


def daily(*values: int, weekday_only: bool = False, last: date = date(2024, 4, 30)) -> dict[str, int]:
    """Return a history that ends with `values` on the days up to `last`, or on the Wednesdays before 1 May."""
    step, last = (7, date(2024, 4, 24)) if weekday_only else (1, last)
    days = [last - timedelta(days=step * back) for back in range(len(values))]
    return {f"{day:%Y%m%d}": value for day, value in zip(days, reversed(values), strict=True)}


STEADY = daily(*[1000] * 60)


@pytest.mark.parametrize("value", [0, -1, 210, 249, 5001, 10_000, 2**62])
def test_emptied_or_multiplied_figure_is_implausible(value: int) -> None:
    """Zero, a fall by 79 %, more than five times: a source half loaded, emptied or in another unit."""
    assert implausible(value, WEDNESDAY, STEADY) is not None


@pytest.mark.parametrize("value", [251, 500, 1000, 2000, 4999])
def test_figure_within_a_factor_of_five_is_plausible(value: int) -> None:
    """A sale, a holiday, an update: figures double and halve."""
    assert implausible(value, WEDNESDAY, STEADY) is None


def test_message_says_found_like_and_expected() -> None:
    """A person can judge from the sentence alone."""
    found = implausible(12_345, WEDNESDAY, daily(1000, 1000, 1000, 1000, weekday_only=True))
    assert found == (
        "12,345 is implausible: the 4 Wednesdays before had 1,000 to 1,000, median 1,000; expected 250 to 5,000."
    )


def test_weekday_is_compared_with_its_like() -> None:
    """A game that is played at weekends has ten times the buyers on Sunday, every Sunday."""
    history = {
        f"{day:%Y%m%d}": 5000 if day.isoweekday() == 7 else 400
        for day in (date(2024, 3, 1) + timedelta(days=n) for n in range(60))
    }
    assert implausible(5100, "20240505", history) is None
    assert implausible(5100, "20240506", history) is not None
    assert implausible(410, "20240505", history) is not None


@pytest.mark.parametrize("known", range(4))
def test_without_four_of_its_like_everything_is_plausible(known: int) -> None:
    """There is no history yet: a new game grows as it likes."""
    history = daily(*[1000] * known, weekday_only=True)
    assert implausible(0, WEDNESDAY, history) is None
    assert implausible(10**9, WEDNESDAY, history) is None


def test_later_days_are_not_looked_at() -> None:
    """A rerun of an old day is judged as it would have been then."""
    later = {f"{date(2024, 5, 1) + timedelta(days=n):%Y%m%d}": 1000 for n in range(60)}
    assert implausible(0, WEDNESDAY, later) is None


@pytest.mark.parametrize(
    ("like", "value"), [((3, 0, 5, 2), 0), ((3, 1, 5, 2), 29), ((12, 20, 14, 9), 100), ((29,) * 4, 0)]
)
def test_small_counts_vary_by_chance(like: tuple[int, ...], value: int) -> None:
    """So few people double and halve from day to day, or stay away."""
    assert implausible(value, WEDNESDAY, daily(*like, weekday_only=True)) is None


def test_published_zero_does_not_make_the_next_one_plausible() -> None:
    """With on_suspect warn an implausible figure stands in the table: one in eight does not count."""
    history = daily(1000, 1000, 1000, 1000, 1000, 1000, 1000, 0, weekday_only=True)
    assert implausible(0, WEDNESDAY, history) is not None


def test_game_that_is_often_at_zero_may_be() -> None:
    """A shop that opens every other week sells nothing in between."""
    history = daily(1000, 0, 1000, 1000, 0, 1000, 0, 1000, weekday_only=True)
    assert implausible(0, WEDNESDAY, history) is None


def test_volatile_figure_has_a_wider_margin() -> None:
    """Where history itself jumps by factors, six deviations are more than a factor of five."""
    jumpy = daily(1000, 9000, 1500, 30_000, 800, 12_000, 2000, 600, weekday_only=True)
    assert implausible(30_000, WEDNESDAY, jumpy) is None
    assert implausible(200, WEDNESDAY, jumpy) is None


@pytest.mark.parametrize("period", ["week", "month"])
def test_unfinished_period_is_judged_upwards_only(period: Period) -> None:
    """On the 2nd a month's sum is small, and can already be too large."""
    if period == "month":
        dt_, history = "20240501", {f"2023{month:02d}01": 1000 for month in range(5, 13)}
    else:
        dt_ = "20240429"
        history = {f"{date(2024, 4, 22) - timedelta(weeks=n):%Y%m%d}": 1000 for n in range(8)}
    assert implausible(30, dt_, history, period, final=False) is None
    assert implausible(0, dt_, history, period, final=False) is None
    assert implausible(30, dt_, history, period) is not None
    assert implausible(5001, dt_, history, period, final=False) is not None


def test_message_of_an_unfinished_period_names_its_like() -> None:
    """Months are compared with the 12 before, across the year's end."""
    history = {f"2023{month:02d}01": 1000 for month in range(1, 13)}
    found = implausible(7000, "20240201", history, "month", final=False)
    assert (
        found == "7,000 is implausible: the 11 months before had 1,000 to 1,000, median 1,000; expected at most 5,000."
    )


@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=8, max_size=8),
    value=st.integers(-(2**63), 2**63 - 1),
    final=st.booleans(),
)
def test_rule_holds_for_any_figures(values: list[int], value: int, final: bool) -> None:
    """No int64 breaks it, and neither a quarter of its like nor what is near their median is ever caught."""
    found = implausible(value, WEDNESDAY, daily(*values, weekday_only=True), final=final)
    middle = sorted(values)[3:5]
    if middle[0] > 0 and max(middle[1] / 5 * 1.001, 1) <= value <= middle[0] * 4.999:
        assert found is None
    if found is not None:
        assert sum(one <= value for one in values) < 2 or sum(one >= value for one in values) < 2
        assert found.startswith(f"{value:,} is implausible: the 8 Wednesdays before had ")


@pytest.mark.parametrize(("usual", "caught"), [(29, False), (30, True), (100, True), (119, True)])
def test_zero_is_caught_from_a_median_of_thirty_on(usual: int, caught: bool) -> None:
    """A hundred buyers a day may be thirty by chance, and none only by a fault."""
    history = daily(*[usual] * 8, weekday_only=True)
    assert implausible(1, WEDNESDAY, history) is None
    assert (implausible(0, WEDNESDAY, history) is not None) == caught


def test_next_to_nothing_is_implausible_without_a_history() -> None:
    """413,737 yesterday and 5 today: nobody needs four weeks for that. It may grow, and it may be small."""
    found = implausible(5, WEDNESDAY, daily(413_737))
    assert found == ("5 is implausible: just before there were 413,737 to 413,737; expected at least 20,687.")
    assert implausible(21_000, WEDNESDAY, daily(413_737)) is None
    assert implausible(0, WEDNESDAY, daily(500)) is None
    assert implausible(10**9, WEDNESDAY, daily(413_737)) is None
    assert implausible(5, "20240501", {"20240401": 413_737}, "month") is not None
    assert implausible(5, "20240501", {"20240401": 413_737}, "month", final=False) is None


@pytest.mark.parametrize(
    ("checks", "value", "says"),
    [
        ({"min": 900}, 899, "899 is implausible: checks.min is 900."),
        ({"max": 1100}, 1101, "1,101 is implausible: checks.max is 1,100."),
        ({"min": 900, "max": 1100}, 900, None),
        (
            {"max_change_percent": 10},
            1101,
            "1,101 is implausible: it rose by 10.1 % from 1,000 of 20240424; checks.max_change_percent is 10.",
        ),
        ({"max_change_percent": 10}, 900, None),
        ({"max_change_percent": 1000}, 10_000, None),
        (
            {"max_change_percent": 10, "like": "previous"},
            899,
            "899 is implausible: it fell by 10.1 % from 1,000 of 20240430; checks.max_change_percent is 10.",
        ),
    ],
)
def test_a_metric_says_what_its_figures_are_like(checks: dict[str, Any], value: int, says: str | None) -> None:
    """Bounds, and the largest change against the last of its like, in place of the rule on the whole history."""
    assert implausible(value, WEDNESDAY, STEADY, checks=MetricChecks(**checks)) == says


def test_a_metric_may_be_like_the_days_before() -> None:
    """Without weekdays four days are a history."""
    history = daily(1000, 1000, 1000, 1000)
    assert implausible(210, WEDNESDAY, history) is None
    found = implausible(210, WEDNESDAY, history, checks=MetricChecks(like="previous"))
    assert found == "210 is implausible: the 4 days before had 1,000 to 1,000, median 1,000; expected 250 to 5,000."


def test_the_least_is_not_asked_of_a_period_that_is_not_over() -> None:
    """On the 2nd a month's sum is small; the most is."""
    checks = MetricChecks(min=900, max=1100)
    assert implausible(5, "20240501", {}, "month", final=False, checks=checks) is None
    assert implausible(1101, "20240501", {}, "month", final=False, checks=checks) is not None
