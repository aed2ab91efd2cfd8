"""The pictures of live viewing: one clock, true figures, and words where there is nothing to draw."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from bigmama_nb.reports import Chart, audiences, concurrent_viewers, watch_time
from bigmama_nb.reports.style import ACCENT, PAST
from tests.reports.test_bars import texts
from tests.reports.test_charts import points


def minutes(lives: int, *, length: int = 90, known: int = 90, start: str = "2024-05-01 23:30:00") -> pd.DataFrame:
    """Each live's audience climbs to 10 more than its number by its twelfth minute."""
    begins = datetime.fromisoformat(start)
    rows = [
        ("2024-05-01", f"p{live:03}", f"{begins + timedelta(minutes=at)}", min(at, 11) + live - (at > 11), at < known)
        for live in range(lives)
        for at in range(length)
    ]
    return pd.DataFrame(rows, columns=["part_date", "post_id", "datetime", "peak_viewers", "known"])


def lines(chart: Chart, colour: str) -> int:
    return sum(
        points(line) for line in chart.axes[0].lines if line.get_color() == colour and line.get_marker() == "None"
    )


def test_each_live_says_its_peak_and_when_it_was() -> None:
    """The largest live comes first; times are the clock's, and the next day's bear its date."""
    found = texts(concurrent_viewers(minutes(2)))
    assert [text for text in found if text.startswith("p0")] == ["p001", "p000"]
    assert [text for text in found if text in ("12", "11")] == ["12", "11"]
    assert found.count("peak at 23:41") == 2
    assert found.count("23:30 to 00:59 on 2 May") == 2


def test_minutes_after_the_log_are_drawn_quietly() -> None:
    """Who left after the log's end is not known, so the level there is no figure; where all is known all is blue."""
    chart = concurrent_viewers(minutes(1, known=30))
    assert (lines(chart, ACCENT), lines(chart, PAST)) == (30, 61)
    assert any("In grey: after the end of the log so far." in text for text in texts(chart))
    whole = concurrent_viewers(minutes(1))
    assert not any("grey" in text for text in texts(whole))


def test_a_live_of_a_month_keeps_its_peak_in_few_points() -> None:
    """43,200 minutes are thinned by their highest, never by leaving some out."""
    rows = minutes(1, length=43_200, known=43_200)
    rows.loc[31_337, "peak_viewers"] = 999
    chart = concurrent_viewers(rows)
    (drawn,) = [line for line in chart.axes[0].lines if points(line) > 100]
    assert points(drawn) <= 1_200
    assert np.max(drawn.get_ydata(orig=False)) == 999
    assert "999" in texts(chart)


def test_only_the_best_attended_lives_are_drawn() -> None:
    """A hundred panels are read by nobody; the title says how many there are, and only the newest day is drawn."""
    older = minutes(5).assign(part_date="2024-04-30")
    chart = concurrent_viewers(pd.concat([minutes(100), older]))
    assert len(chart.axes) == 24
    assert any("the 24 best attended of 100 lives" in text for text in texts(chart))


def test_a_live_that_nobody_watched_has_a_panel() -> None:
    """It was on; an empty line says so."""
    assert "nobody watched" in texts(concurrent_viewers(minutes(1).assign(peak_viewers=0)))


def bins(*viewers: int) -> pd.DataFrame:
    edges = [0, 60, 3600, 7200]
    return pd.DataFrame(
        {
            "part_date": "2024-05-01",
            "from_seconds": edges,
            "to_seconds": pd.array([*edges[1:], pd.NA], "Int64"),
            "viewers": viewers,
        }
    )


def test_watch_time_says_each_bins_viewers_and_share() -> None:
    """Shares are of all viewers; one that rounds to nothing is not called nothing."""
    found = texts(watch_time(bins(1, 250, 749, 0)))
    assert [text for text in found if text.endswith("%")] == ["<1 %", "25 %", "75 %", "0 %"]
    assert [text for text in found if text.endswith((" min", " h"))] == [
        "0 to 1 min",
        "1 to 60 min",
        "1 to 2 h",
        "over 2 h",
    ]
    assert any("1,000 viewers" in text for text in found)


def lives(*rows: tuple[str, int, int, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["post_id", "viewers", "members", "guest_viewers"])
    return frame.assign(part_date="2024-05-01")


def test_the_parts_of_a_bar_add_up_to_the_live() -> None:
    """Members, users without an account and guests are all viewers: their lengths are in proportion to the largest."""
    chart = audiences(lives(("b", 50, 40, 10), ("a", 100, 60, 10)))
    bars = [patch for patch in chart.axes[0].patches if isinstance(patch, Rectangle)][3:]
    widths = [bar.get_width() for bar in bars]
    unit = sum(widths[:3]) / 100
    assert [round(width / unit) for width in widths] == [60, 30, 10, 40, 0, 10]
    found = texts(chart)
    assert found.index("a") < found.index("b")
    assert {"100", "50", "60 %", "30 %", "10 %"} <= set(found)


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (concurrent_viewers(minutes(0)), "Concurrent viewers: no live was built"),
        (watch_time(bins(0, 0, 0, 0)), "Watch time: nobody joined a live"),
        (audiences(lives()), "Members and guests: no live was built"),
    ],
)
def test_nothing_to_draw_is_said(chart: Chart, says: str) -> None:
    """No empty axes."""
    assert texts(chart) == [says]


@pytest.mark.parametrize("name", ["라이브", "$\\frac{1}$", "", "\x00", "x" * 500])
def test_any_post_id_is_drawn_without_a_warning(name: str) -> None:
    """What comes from a database may be any text. Warnings are errors here."""
    assert concurrent_viewers(minutes(1).assign(post_id=name)).png().startswith(b"\x89PNG")
    assert audiences(lives((name, 0, 0, 0))).png().startswith(b"\x89PNG")
