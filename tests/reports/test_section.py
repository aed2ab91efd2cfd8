"""A metric's section: every game has its line, whole periods stand apart from open ones, and what is amiss is said."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from bigmama_nb.periods import Period, last_day
from bigmama_nb.reports.overview import at_a_glance, completeness
from bigmama_nb.reports.section import Section, Topic, sections
from bigmama_nb.reports.section_shown import Sections, chart, head, table

DAYS = [date(2024, 4, 1) + timedelta(days=n) for n in range(31)]
WAU = Topic("wau", "Weekly active users", "day", "users", "Players of seven days.")
REVENUE = Topic("revenue", "Revenue", "month", "KRW", additive=True)


def dt(day: date) -> str:
    return f"{day:%Y%m%d}"


def figures(*rows: tuple[str, str, date, int, date, bool]) -> pd.DataFrame:
    columns = ["game_cd", "type", "dt", "value", "through", "final"]
    return pd.DataFrame([(g, t, dt(d), v, through.isoformat(), f) for g, t, d, v, through, f in rows], columns=columns)


def daily(game: str, *, days: list[date] = DAYS, times: int = 100) -> list[Any]:
    """Return a figure a day: the day's place from the first, beginning with 1, so many times."""
    return [(game, "wau", day, times * (DAYS.index(day) + 1), day, True) for day in days]


def outcomes(*rows: tuple[str, str, date, str]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [(g, t, dt(d), outcome) for g, t, d, outcome in rows], columns=["game_cd", "type", "dt", "outcome"]
    )
    return frame.astype("str")


def section(topic: Topic, rows: list[Any], ill: list[Any] | None = None, games: str = "ab") -> Section:
    (found,) = sections(
        figures(*rows), [topic], pairs=[(game, topic.name) for game in games], names={"a": "Game <A>"},
        outcomes=outcomes(*(ill or [])),
    )  # fmt: skip
    return found


def lines(shown: Section) -> dict[str, list[str]]:
    """Return the cells of the table as text by game: split where two blanks stand."""
    _, *rows = repr(table(shown)).splitlines()
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    return {row[0]: row[1:] for row in cells}


def test_value_and_its_changes_to_day_week_and_month_before() -> None:
    """1 May against 30 April, 24 and 1 April: 31 against 30, 24 and 1."""
    found = lines(section(WAU, daily("a"), games="a"))
    assert found == {"Game <A>": ["3,100", "+3.3 %", "+29.2 %", "+3,000.0 %"]}


def test_seventy_games_and_twenty_two_metrics_are_all_there() -> None:
    """Nothing is cut: each game has its line with its value and its course, in each metric."""
    games = [f"g{number:02}" for number in range(70)]
    topics = [Topic(f"m{number}", f"Metric {number}", "day") for number in range(22)]
    rows = [
        (game, topic.name, day, 1000 + place, day, True)
        for place, game in enumerate(games)
        for topic in topics
        for day in DAYS[-2:]
    ]
    pairs = [(game, topic.name) for topic in topics for game in games]
    found = sections(figures(*rows), topics, pairs=pairs, names={}, outcomes=outcomes())
    assert [one.topic.name for one in found] == [topic.name for topic in topics]
    for one in found:
        shown = table(one)
        assert shown.html.count("<svg") == shown.html.count("<tr>") - 1 == 70
        assert set(lines(one)) == set(games)


def test_month_to_date_and_whole_months_stand_apart() -> None:
    """May through the 1st has a column of its own, whose head says so; the change is that of whole months."""
    april, may, march = date(2024, 4, 1), date(2024, 5, 1), date(2024, 3, 1)
    rows = [
        ("a", "revenue", march, 50, date(2024, 3, 31), True),
        ("a", "revenue", april, 100, date(2024, 4, 30), True),
        ("a", "revenue", may, 7, may, False),
        ("b", "revenue", april, 40, date(2024, 4, 30), True),
        ("b", "revenue", may, 3, may, False),
    ]
    shown = section(REVENUE, rows)
    assert "May 2024, through 1 May" in repr(table(shown))
    assert lines(shown) == {"Game <A>": ["7", "100", "+100.0 %", "–"], "b": ["3", "40", "–", "–"]}
    assert "May 2024, through 1 May: 10 in total." in repr(head(shown))
    assert "April 2024: 140 in total." in repr(head(shown))
    drawn = chart(shown)
    assert drawn is not None
    assert [50, 100] in [row["value"] for row in drawn.spec["data"]["values"]]


def test_a_game_counted_through_an_earlier_day_says_so_and_spoils_the_total() -> None:
    """What is added up has to be counted through one day."""
    may = date(2024, 5, 1)
    rows = [("a", "revenue", may, 7, date(2024, 5, 3), False), ("b", "revenue", may, 3, date(2024, 5, 2), False)]
    shown = section(REVENUE, rows)
    assert "through 2 May only" in " ".join(lines(shown)["b"])
    assert "May 2024, through 3 May: no total, since not every game's value is there." in repr(head(shown))


def test_no_total_where_the_profile_calls_for_none_or_a_game_is_missing() -> None:
    """A sum over some games would be taken for that of all."""
    assert "No total: values of several games do not add up." in repr(head(section(WAU, daily("a"))))
    april = date(2024, 4, 1)
    alone = section(REVENUE, [("a", "revenue", april, 100, date(2024, 4, 30), True)])
    assert "April 2024: no total, since not every game's value is there." in repr(head(alone))


@pytest.mark.parametrize(("outcome", "says"), [("not_ready", "not ready"), ("failed", "failed")])
def test_a_late_or_missing_value_is_said_in_its_line(outcome: str, says: str) -> None:
    """In place of an old value a dash, and beside it what became of the new one, and the newest there is."""
    shown = section(WAU, daily("a") + daily("b", days=DAYS[:-1]), [("b", "wau", DAYS[-1], outcome)])
    assert lines(shown)["b"][:4] == ["–", "–", "–", "–"]
    assert f"{says}: 1 May 2024; newest value 3,000 of 30 April 2024" in lines(shown)["b"][4]


def test_a_suspect_value_is_marked_where_it_stands() -> None:
    """In its line, and on its course."""
    shown = section(WAU, daily("a"), [("a", "wau", DAYS[-1], "suspect")], games="a")
    assert lines(shown)["Game <A>"][0] == "3,100"
    assert "suspect: 1 May 2024" in lines(shown)["Game <A>"][4]
    assert "#d55e00" in table(shown).html
    drawn = chart(shown)
    assert drawn is not None
    (marked,) = [one["from"]["data"]["values"] for one in drawn.spec["transform"] if one.get("lookup") == "at"]
    assert [row["outcome"] for row in marked] == ["suspect"]


def test_a_game_without_any_value_has_its_line() -> None:
    """It does not vanish."""
    assert lines(section(WAU, daily("a")))["b"][-1] == "no value yet"


def test_what_comes_from_outside_is_escaped() -> None:
    """A game's name is text, in the table and in the chart's choice."""
    shown = section(Topic("wau", "<i>Users</i>", "day", "<u>"), daily("a"), games="a")
    assert "<A>" not in table(shown).html
    assert "<i>" not in head(shown).html
    assert "<u>" not in head(shown).html
    assert "Game &lt;A&gt;" in table(shown).html


def test_without_metrics_a_sentence_stands_there() -> None:
    """An empty page says why."""
    (only,) = Sections([], "No metric is configured.").outputs()
    assert repr(only) == "No metric is configured."


def tasks(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["name", "of", "day", "outcome", "published"])
    return frame.assign(final=True)


def test_the_head_says_of_which_day_and_whether_all_is_there() -> None:
    """Complete, or what is missing and why."""
    good = ("a", "wau", "2024-05-01", "ok", "yes")
    said = completeness(tasks(good, good), {}, what="Game metrics", noun="figure").text
    assert said == "✓ Game metrics of 1 May 2024 – complete: all 2 figures due are published."
    late = ("b", "wau", "2024-05-01", "not_ready", "no")
    early = ("c", "wau", "2024-04-30", "failed", "no")
    said = completeness(tasks(good, late, early), {"b": "<B>"}, what="Game metrics", noun="figure").html
    assert "not complete" in said
    assert "1 of 2 figures due is published. Late: &lt;B&gt; (wau). Of earlier days 1 is missing." in said


def test_a_suspect_figure_leaves_the_head_in_doubt() -> None:
    """It is there, and somebody has to look."""
    said = completeness(
        tasks(("a", "wau", "2024-05-01", "suspect", "yes")), {}, what="Game metrics", noun="figure"
    ).text
    assert said.startswith("? Game metrics of 1 May 2024 – complete: the one figure due is published. Suspect,")


def test_at_a_glance_each_metric_is_a_line() -> None:
    """Its total, else the largest value and whose it is; the change, the newest period, how many values there are."""
    april, march = date(2024, 4, 1), date(2024, 3, 1)
    months = [
        (game, "revenue", day, value, last, True)
        for game, value in (("a", 100), ("b", 40))
        for day, last in ((march, date(2024, 3, 31)), (april, date(2024, 4, 30)))
    ]
    said = repr(at_a_glance([section(WAU, daily("a")), section(REVENUE, months)]))
    assert [re.split(r"  +", line) for line in said.splitlines()[1:]] == [
        ["Weekly active users", "3,100 users, Game <A>", "+3.3 % on the day before", "1 May 2024", "1 of 2"],
        ["Revenue", "140 KRW", "0.0 % on the month before", "April 2024", "2 of 2"],
    ]


def test_no_game_stands_for_a_total_that_is_not_formed() -> None:
    """Where a value of a metric that adds up is missing, the line has a dash and says how many are there."""
    alone = section(REVENUE, [("a", "revenue", date(2024, 4, 1), 100, date(2024, 4, 30), True)])
    assert re.split(r"  +", repr(at_a_glance([alone])).splitlines()[1]) == ["Revenue", "–", "–", "April 2024", "1 of 2"]


@pytest.mark.parametrize(
    ("period", "days", "says"),
    [
        ("day", [date(2024, 2, 2) + timedelta(days=n) for n in range(90)], ["7 Feb", "14 Feb", "24 Apr", "1 May"]),
        ("day", [date(2024, 4, 29), date(2024, 4, 30)], ["29 Apr", "30 Apr"]),
        ("day", [date(2023, 12, 31), date(2024, 1, 1)], ["31 Dec 2023", "1 Jan 2024"]),
        ("week", [date(2024, 4, 22), date(2024, 4, 29)], ["22 Apr", "29 Apr"]),
        ("month", [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1)], ["Feb 2024", "Mar 2024", "Apr 2024"]),
    ],
)
def test_the_axis_names_periods_and_nothing_between_them(period: Period, days: list[date], says: list[str]) -> None:
    """No day stands below a chart of months and no hour below one of days; where it changes the year is named."""
    topic = Topic("m", "Metric", period)
    rows = [("a", "m", day, 5, last_day(day, period), True) for day in days]
    drawn = chart(section(topic, rows, games="a"))
    assert drawn is not None
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", drawn.svg())
    named = [text for text in texts if re.search("[A-Z]", text)]
    assert named[:2] + named[-2:] == says if len(says) > 3 else named == says
    assert 2 <= len(named) <= 13
