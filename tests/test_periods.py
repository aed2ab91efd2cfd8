"""What a day asks for: every sentence of that section of the design, and an oracle that counts days one by one."""

from __future__ import annotations

import calendar
import datetime as dt
import itertools
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmama_nb import periods, profile
from bigmama_nb.errors import UsageError
from bigmama_nb.periods import FigureRequest
from bigmama_nb.profile import (
    Archive,
    Cluster,
    Game,
    Metric,
    Profile,
    WarehouseSettings,
)

NOW = dt.datetime(2024, 5, 2, 3, 0, tzinfo=dt.UTC)
"""Noon of 2 May in Seoul."""


def metric(
    *,
    value: str = "sum",
    period: str = "day",
    due: str | None = None,
    trailing_days: int | None = None,
    as_: str = "date",
) -> Metric:
    return Metric.model_validate(
        {
            "collection": "orders",
            "date": {"field": "at", "as": as_},
            "value": {value: True if value == "count" else "amount"},
            "period": period,
            "due": due,
            "trailing_days": trailing_days,
        }
    )


def profile_of(
    metrics: Mapping[str, Metric],
    games: Mapping[str, list[str] | None] | None = None,
    *,
    timezone: str = "Asia/Seoul",
    dates: tuple[date, date] | None = None,
) -> Profile:
    """Return a profile of these metrics; `games` says which metrics each has (None: all)."""
    games = {"lw": None} if games is None else games
    made = Profile(
        timezone=timezone,
        dates=None if dates is None else profile.Dates.model_validate({"from": dates[0], "to": dates[1]}),
        warehouse=WarehouseSettings(uri="w"),
        archive=Archive(uri="a"),
        clusters={"ncmc2": Cluster(dump="d")},
        games={code: Game(cluster="ncmc2", database=code, metrics=names) for code, names in games.items()},
        metrics=dict(metrics),
    )
    made._pairs = {
        (code, name): one
        for code, names in games.items()
        for name, one in metrics.items()
        if names is None or name in names
    }
    return made


def asked(
    metrics: Mapping[str, Metric], first: date, last: date, **more: object
) -> list[tuple[str, str, str, date, bool]]:
    found = periods.asks(profile_of(metrics), first, last, **more)  # type: ignore[arg-type]
    return [(ask.game_cd, ask.type, ask.dt, ask.through, ask.final) for ask in found]


# Days, weeks and months


@pytest.mark.parametrize(
    ("day", "period", "first", "last"),
    [
        (date(2024, 5, 1), "day", date(2024, 5, 1), date(2024, 5, 1)),
        (date(2024, 5, 1), "week", date(2024, 4, 29), date(2024, 5, 5)),
        (date(2024, 4, 29), "week", date(2024, 4, 29), date(2024, 5, 5)),
        (date(2024, 5, 5), "week", date(2024, 4, 29), date(2024, 5, 5)),
        (date(2024, 12, 31), "week", date(2024, 12, 30), date(2025, 1, 5)),
        (date(2024, 2, 29), "month", date(2024, 2, 1), date(2024, 2, 29)),
        (date(2023, 2, 1), "month", date(2023, 2, 1), date(2023, 2, 28)),
        (date(2024, 12, 31), "month", date(2024, 12, 1), date(2024, 12, 31)),
    ],
)
def test_week_begins_on_monday_and_month_on_its_first(
    day: date, period: periods.Period, first: date, last: date
) -> None:
    """The dt that a figure is filed under is the day, the week's Monday or the month's first."""
    assert (first, last) == (periods.first_day(day, period), periods.last_day(day, period))


@given(day=st.dates(date(1900, 1, 1), date(2200, 12, 31)), period=st.sampled_from(["day", "week", "month"]))
def test_period_holds_its_day(day: date, period: periods.Period) -> None:
    """First and last day are of the calendar's own month and ISO week, and hold the day between them."""
    first, last = periods.first_day(day, period), periods.last_day(day, period)
    assert first <= day <= last
    if period == "week":
        assert (1, 7, day.isocalendar()[:2]) == (first.isoweekday(), last.isoweekday(), first.isocalendar()[:2])
    if period == "month":
        assert (1, calendar.monthrange(day.year, day.month)[1], day.month) == (first.day, last.day, last.month)


@pytest.mark.parametrize("text", ["2024-05-01", "20240501"])
def test_day_is_written_in_two_ways(text: str) -> None:
    """YYYY-MM-DD and YYYYMMDD name the same day."""
    assert date(2024, 5, 1) == periods.day_of(text)


@given(day=st.dates())
def test_dt_reads_back_as_its_day(day: date) -> None:
    """A dt has eight digits, whatever the year, and names one day."""
    assert (8, day) == (len(periods.dt_of(day)), periods.day_of(periods.dt_of(day)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-5-1",
        "2024-0501",
        "202405",
        "2024-02-30",
        "20241301",
        "2024-05-01T00:00",
        "１２３４０５０１",
        "yesterday",
    ],
)
def test_what_is_no_day_is_refused(text: str) -> None:
    """The refusal shows what was given and both forms."""
    with pytest.raises(UsageError) as caught:
        periods.day_of(text)
    assert f"{text!r} is no day; expected YYYY-MM-DD or YYYYMMDD. Nothing was run." == str(caught.value)


# Which days


def test_days_default_to_yesterday_in_the_profiles_zone() -> None:
    """At 01:00 of 2 May in Seoul it is still 1 May in UTC; yesterday is Seoul's."""
    one_o_clock = dt.datetime(2024, 5, 1, 16, 0, tzinfo=dt.UTC)
    yesterday = date(2024, 5, 1)
    assert (yesterday, yesterday) == periods.days_asked(profile_of({}), None, None, now=one_o_clock)


def test_days_default_to_the_profiles_dates() -> None:
    """The samples name their days, so that they ask for the same ones for ever."""
    dates = (date(2024, 2, 2), date(2024, 5, 1))
    assert dates == periods.days_asked(profile_of({}, dates=dates), None, None, now=NOW)


def test_given_days_go_before_the_profiles_dates() -> None:
    """--date and --from/--to are what counts."""
    made = profile_of({}, dates=(date(2024, 2, 2), date(2024, 5, 1)))
    expected = (date(2024, 3, 1), date(2024, 3, 4))
    assert expected == periods.days_asked(made, "2024-03-01", "20240304", now=NOW)


def test_a_day_before_anything_can_be_reckoned_is_refused() -> None:
    """The year 1, from which no window can be subtracted, is a usage error; 1970 is a day like others."""
    with pytest.raises(UsageError) as caught:
        periods.days_asked(profile_of({}), "0001-01-01", "2024-01-01", now=NOW)
    expected = "0001-01-01 is too early; the first day that can be asked for is 1970-01-01. Nothing was run."
    assert str(caught.value) == expected
    assert periods.days_asked(profile_of({}), "1970-01-01", "1970-01-01", now=NOW)


def test_day_that_is_over_may_be_asked_for_from_midnight_on() -> None:
    """1 May is over in Seoul at 15:00 UTC, and not a second earlier."""
    midnight = dt.datetime(2024, 5, 1, 15, 0, tzinfo=dt.UTC)
    day = (date(2024, 5, 1), date(2024, 5, 1))
    assert day == periods.days_asked(profile_of({}), "20240501", "20240501", now=midnight)
    with pytest.raises(UsageError) as caught:
        periods.days_asked(profile_of({}), "20240501", "20240501", now=midnight - dt.timedelta(seconds=1))
    expected = (
        "2024-05-01 is not yet over in Asia/Seoul, where it is 2024-05-01; the last day that can be asked for is "
        "2024-04-30. Nothing was run."
    )
    assert expected == str(caught.value)


@pytest.mark.parametrize(("date_from", "date_to"), [("20240501", None), (None, "20240501"), ("", "20240501")])
def test_range_needs_both_ends(date_from: str | None, date_to: str | None) -> None:
    """Half a range is a mistake, never an open end."""
    with pytest.raises(UsageError) as caught:
        periods.days_asked(profile_of({}), date_from, date_to, now=NOW)
    assert str(caught.value) == "A range needs both --from and --to; one day is --date. Nothing was run."


def test_range_backwards_is_refused() -> None:
    """A range that ends before it begins is not an empty one."""
    with pytest.raises(UsageError) as caught:
        periods.days_asked(profile_of({}), "20240501", "20240430", now=NOW)
    expected = "The range runs from 2024-05-01 to 2024-04-30; expected from <= to. Nothing was run."
    assert expected == str(caught.value)


# Names


def test_names_come_in_the_profiles_order() -> None:
    """However they are given, and once each."""
    assert periods.chosen("games", ["bns", "lw", "bns"], ["lw", "l2m", "bns"]) == ["lw", "bns"]
    assert periods.chosen("games", [], ["lw", "bns"]) == ["lw", "bns"]


def test_name_that_nothing_matches_is_refused() -> None:
    """A mistyped game is never a run without it."""
    with pytest.raises(UsageError) as caught:
        periods.asks(profile_of({"wau": metric()}), NOW.date(), NOW.date(), games=["lw2"])
    assert str(caught.value) == "--games names 'lw2'; games are lw. Did you mean 'lw'? Nothing was run."
    with pytest.raises(UsageError) as caught:
        periods.asks(profile_of({"wau": metric()}), NOW.date(), NOW.date(), metrics=["xyz"])
    assert str(caught.value) == "--metrics names 'xyz'; metrics are wau. Nothing was run."


# What a day asks for


def test_day_asks_each_pair_for_the_period_that_holds_it() -> None:
    """Wednesday 1 May: the day, the week of Monday 29 April, the month of 1 May, each through that day."""
    day = date(2024, 5, 1)
    assert [
        ("lw", "a", "20240501", day, True),
        ("lw", "b", "20240429", day, False),
        ("lw", "c", "20240501", day, False),
    ] == asked({"a": metric(), "b": metric(period="week"), "c": metric(period="month")}, day, day)


def test_range_asks_once_for_each_dt() -> None:
    """Each week once, through its last day in the range: 27 April is a Saturday."""
    assert [
        ("lw", "b", "20240422", date(2024, 4, 28), True),
        ("lw", "b", "20240429", date(2024, 5, 1), False),
    ] == asked({"b": metric(period="week")}, date(2024, 4, 27), date(2024, 5, 1))


def test_range_within_a_month_asks_from_the_months_first() -> None:
    """A computed month counts from its first day, wherever the range begins."""
    assert [("lw", "c", "20240401", date(2024, 4, 20), False)] == asked(
        {"c": metric(period="month")}, date(2024, 4, 10), date(2024, 4, 20)
    )


@pytest.mark.parametrize("value", ["field", "sum"])
def test_period_end_is_asked_on_the_last_day_only(value: str) -> None:
    """A monthly figure is no nightly failure; this holds for both kinds of value."""
    monthly = {"mau": metric(value=value, period="month", due="period_end")}
    assert asked(monthly, date(2024, 4, 29), date(2024, 4, 29)) == []
    assert [("lw", "mau", "20240401", date(2024, 4, 30), True)] == asked(monthly, date(2024, 4, 30), date(2024, 4, 30))
    assert asked(monthly, date(2024, 5, 1), date(2024, 5, 1)) == []


def test_read_month_is_due_at_its_end_by_default() -> None:
    """{field} by week or month: Sunday 28 April ends a week, 30 April a month."""
    both = {"w": metric(value="field", period="week"), "m": metric(value="field", period="month")}
    assert [
        ("lw", "w", "20240422", date(2024, 4, 28), True),
        ("lw", "m", "20240401", date(2024, 4, 30), True),
    ] == asked(both, date(2024, 4, 28), date(2024, 4, 30))


def test_read_month_that_is_due_daily_is_filed_under_its_first() -> None:
    """Of {field} the through is the day asked for."""
    assert [("lw", "m", "20240401", date(2024, 4, 10), False)] == asked(
        {"m": metric(value="field", period="month", due="daily")}, date(2024, 4, 10), date(2024, 4, 10)
    )


def test_older_day_is_computed_through_the_published_one() -> None:
    """Nothing goes backwards: a run for 10 April leaves April through the 20th, or what its end brought."""
    stands = {("lw", "c", "20240401"): date(2024, 4, 20)}
    monthly = {"c": metric(period="month")}
    day = date(2024, 4, 10)
    assert [("lw", "c", "20240401", date(2024, 4, 20), False)] == asked(monthly, day, day, published=stands)
    stands = {("lw", "c", "20240401"): date(2024, 4, 30)}
    assert [("lw", "c", "20240401", date(2024, 4, 30), True)] == asked(monthly, day, day, published=stands)


def test_newer_day_goes_on_from_the_published_one() -> None:
    """A later day is asked through itself; another game's row changes nothing."""
    stands = {("lw", "c", "20240401"): date(2024, 4, 9), ("bns", "c", "20240401"): date(2024, 4, 30)}
    day = date(2024, 4, 10)
    assert [("lw", "c", "20240401", day, False)] == asked({"c": metric(period="month")}, day, day, published=stands)


def test_pairs_that_are_not_configured_are_not_asked() -> None:
    """The grid is games × metrics less what the profile leaves out, in the profile's order."""
    made = profile_of({"a": metric(), "b": metric()}, {"lw": None, "bns": ["b"]})
    day = date(2024, 5, 1)
    assert [(ask.game_cd, ask.type) for ask in periods.asks(made, day, day)] == [("lw", "a"), ("lw", "b"), ("bns", "b")]
    chosen = periods.asks(made, day, day, games=["bns"], metrics=["a"])
    assert chosen == []


# What counts


@pytest.mark.parametrize(
    ("one", "day", "expected"),
    [
        (metric(), date(2024, 5, 1), (date(2024, 5, 1), date(2024, 5, 1))),
        (metric(trailing_days=7), date(2024, 5, 1), (date(2024, 4, 25), date(2024, 5, 1))),
        (metric(trailing_days=1), date(2024, 5, 1), (date(2024, 5, 1), date(2024, 5, 1))),
        (metric(period="week"), date(2024, 5, 1), (date(2024, 4, 29), date(2024, 5, 1))),
        (metric(period="month"), date(2024, 4, 10), (date(2024, 4, 1), date(2024, 4, 10))),
        (metric(period="month", as_="yyyymm"), date(2024, 4, 10), (date(2024, 4, 1), date(2024, 4, 10))),
        (metric(value="field", as_="yyyymmdd"), date(2024, 5, 1), (date(2024, 5, 1), date(2024, 5, 1))),
        (
            metric(value="field", period="week", due="daily"),
            date(2024, 5, 1),
            (date(2024, 4, 29), date(2024, 4, 29)),
        ),
        (
            metric(value="field", period="month", due="daily"),
            date(2024, 4, 10),
            (date(2024, 4, 1), date(2024, 4, 1)),
        ),
        (
            metric(value="field", period="month", as_="yyyymm", due="daily"),
            date(2024, 4, 10),
            (date(2024, 4, 1), date(2024, 4, 30)),
        ),
    ],
)
def test_window_holds_the_days_that_count(one: Metric, day: date, expected: tuple[date, date]) -> None:
    """Computed: from the period's start to the through, or the trailing days. Read: the one document dated dt."""
    (ask,) = periods.asks(profile_of({"m": one}), day, day)
    assert expected == periods.window(one, ask)


def test_missing_is_what_has_no_row_or_an_earlier_through() -> None:
    """--missing asks neither for what stands nor for what stands through a later day."""
    wanted = [
        FigureRequest("lw", "c", dt_, date(2024, 4, 10), False)
        for dt_ in ("20240401", "20240402", "20240403", "20240404")
    ]
    published = {
        ("lw", "c", "20240402"): date(2024, 4, 9),
        ("lw", "c", "20240403"): date(2024, 4, 10),
        ("lw", "c", "20240404"): date(2024, 4, 11),
    }
    assert [ask.dt for ask in periods.lacking(wanted, published)] == ["20240401", "20240402"]


# An oracle that goes day by day


def of_every_day(
    metrics: Mapping[str, tuple[str, str]], first: date, last: date, published: Mapping[tuple[str, str, str], date]
) -> dict[tuple[str, str, str], tuple[date, bool]]:
    """Ask every day of the range on its own, as a nightly run would, and keep what stands at the end."""
    stands = dict(published)
    touched: dict[tuple[str, str, str], tuple[date, bool]] = {}
    for number in range((last - first).days + 1):
        day = date.fromordinal(first.toordinal() + number)
        for name, (period, due) in metrics.items():
            if period == "day":
                begin, ends = day, True
            elif period == "week":
                begin, ends = date.fromisocalendar(*day.isocalendar()[:2], 1), day.isoweekday() == 7
            else:
                begin = day.replace(day=1)
                ends = date.fromordinal(day.toordinal() + 1).day == 1
            if due == "period_end" and not ends:
                continue
            key = ("lw", name, begin.strftime("%Y%m%d"))
            through = max(day, stands.get(key, day))
            stands[key] = through
            following = date.fromordinal(through.toordinal() + 1)
            over = {"day": True, "week": following.isoweekday() == 1, "month": following.day == 1}[period]
            touched[key] = (through, over)
    return touched


@given(
    first=st.dates(date(2023, 11, 1), date(2024, 4, 1)),
    length=st.integers(0, 70),
    shapes=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.tuples(st.sampled_from(["day", "week", "month"]), st.sampled_from(["daily", "period_end"])),
        min_size=1,
    ),
    data=st.data(),
)
def test_range_asks_for_what_its_days_ask_for_one_by_one(
    first: date, length: int, shapes: dict[str, tuple[str, str]], data: st.DataObject
) -> None:
    """A range brings the same rows, through the same days, as its days run night after night."""
    last = first + dt.timedelta(days=length)
    made = profile_of({name: metric(period=period, due=due) for name, (period, due) in shapes.items()})
    published: dict[tuple[str, str, str], date] = {}
    for ask in periods.asks(made, first, last):
        if data.draw(st.booleans()):
            period = shapes[ask.type][0]
            begin = periods.day_of(ask.dt)
            end = begin if period == "day" else begin + dt.timedelta(days=6)
            if period == "month":
                end = begin.replace(day=calendar.monthrange(begin.year, begin.month)[1])
            published[ask.key] = data.draw(st.dates(begin, end))
    found = periods.asks(made, first, last, published=published)
    assert len(found) == len({ask.key for ask in found})
    expected = of_every_day(shapes, first, last, published)
    assert expected == {ask.key: (ask.through, ask.final) for ask in found}
    assert all(ask.through >= published.get(ask.key, ask.through) for ask in found)
    lacking = {key for key, (through, _) in expected.items() if key not in published or published[key] < through}
    assert lacking == {ask.key for ask in periods.lacking(found, published)}


@given(first=st.dates(date(2024, 1, 1), date(2024, 6, 30)), length=st.integers(0, 40))
def test_asks_keep_the_pairs_order_and_go_forward_in_time(first: date, length: int) -> None:
    """Pair by pair in the profile's order, each dt later than the one before."""
    made = profile_of({"w": metric(period="week"), "d": metric()}, {"lw": None, "bns": None})
    found = periods.asks(made, first, first + dt.timedelta(days=length))
    pairs = [key for key, _ in itertools.groupby(found, key=lambda ask: (ask.game_cd, ask.type))]
    assert pairs == [("lw", "w"), ("lw", "d"), ("bns", "w"), ("bns", "d")]
    assert all(
        one.dt < two.dt for one, two in itertools.pairwise(found) if (one.game_cd, one.type) == (two.game_cd, two.type)
    )


def test_sample_asks_for_its_grid() -> None:
    """12 games × 90 days: wau of all, buyers of 11, three months' mau, four months' revenue of 10."""
    sample = profile.read(Path(__file__).parent.parent / "parameters" / "sample.yaml")
    first, last = periods.days_asked(sample, None, None, now=NOW)
    found = periods.asks(sample, first, last)
    counts = {name: sum(ask.type == name for ask in found) for name in ("wau", "mau", "buyers_7d", "revenue")}
    assert counts == {"wau": 12 * 90, "mau": 12 * 3, "buyers_7d": 11 * 90, "revenue": 10 * 4}
