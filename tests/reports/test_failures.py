"""What failed and why, grouped by cause."""

from __future__ import annotations

import pandas as pd

from bigmama_nb.reports import failures, failures_html, headline, outcome_grid

COLUMNS = ["task", "game_cd", "type", "dt", "outcome", "reason", "message", "published"]


def outcomes(*rows: tuple[str, str, str, str, str | None, str | None]) -> pd.DataFrame:
    """Return outcomes of (game_cd, type, dt, outcome, reason, message)."""
    return pd.DataFrame(
        [
            (f"{game_cd}/{type_}/{dt}", game_cd, type_, dt, *rest, "yes" if rest[0] in ("ok", "suspect") else "no")
            for game_cd, type_, dt, *rest in rows
        ],
        columns=COLUMNS,
    )


def missing(game_cd: str, dt: str = "20240501", cluster: str = "ncmc4") -> tuple[str, str, str, str, str, str]:
    message = f"{game_cd} wau {dt}: the folder {cluster}/{game_cd} is missing."
    return game_cd, "wau", dt, "failed", "source_missing", message


OK = ("lw", "wau", "20240501", "ok", None, None)
TEXT = ("bns", "wau", "20240501", "failed", "wrong_type", "bns wau 20240501: value is a string, expected a number.")


def test_seven_games_and_two_causes() -> None:
    """One missing folder fails six games and is one line; the seventh is another."""
    found = failures(outcomes(OK, TEXT, *[missing(f"g{n}") for n in range(6)]))
    assert found.to_dict("records") == [
        {
            "outcome": "failed",
            "reason": "source_missing",
            "games": "g0, g1, g2, g3, g4, g5",
            "tasks": 6,
            "days": "20240501",
            "what": "wau",
            "message": "g5 wau 20240501: the folder ncmc4/g5 is missing.",
        },
        {
            "outcome": "failed",
            "reason": "wrong_type",
            "games": "bns",
            "tasks": 1,
            "days": "20240501",
            "what": "wau",
            "message": "bns wau 20240501: value is a string, expected a number.",
        },
    ]
    said = headline(outcomes(OK, TEXT, *[missing(f"g{n}") for n in range(6)]))
    assert said == "1 of 8 figures published; 7 games failed, 2 causes"


def test_two_clusters_are_two_causes() -> None:
    """Digits within a name tell causes apart; days, document ids and counts do not."""
    found = failures(outcomes(missing("a"), missing("b", "20240502"), missing("c", cluster="ncmc2")))
    assert found["games"].tolist() == ["a, b", "c"]
    assert found["days"].tolist() == ["20240501 … 20240502", "20240501"]


def test_documents_and_numbers_do_not_make_causes() -> None:
    """The same mistake in two documents is one mistake."""
    rows = [
        (game, "wau", "20240501", "failed", "wrong_type", f"{game}: _id {id_} holds {number:,} strings")
        for game, id_, number in (("a", "65920080d5cd008eb6000000", 1), ("b", "65b1a480842b88f6d9000001", 12_345))
    ]
    assert failures(outcomes(*rows))["games"].tolist() == ["a, b"]


def test_other_outcomes_come_after_the_failed() -> None:
    """Failed, suspect, not ready, skipped: in the order in which a person looks at them."""
    found = outcomes(
        ("a", "wau", "20240501", "skipped", None, "20_normalize did not get there"),
        ("b", "wau", "20240501", "not_ready", None, "the newest is 20240430"),
        ("c", "wau", "20240501", "suspect", None, "0 is implausible"),
        TEXT,
        OK,
    )
    assert failures(found)["outcome"].tolist() == ["failed", "suspect", "not_ready", "skipped"]
    assert headline(found) == (
        "2 of 5 figures published; 1 game failed, 1 cause; 1 game not ready; 1 game suspect; 1 game skipped"
    )


def test_nothing_failed_and_nothing_asked() -> None:
    """Both are said in words, with the columns of any other table."""
    assert headline(outcomes(OK)) == "1 of 1 figure published"
    assert headline(outcomes()) == "Nothing was asked for"
    assert failures(outcomes(OK)).columns.tolist() == failures(outcomes(TEXT)).columns.tolist()
    assert len(failures(outcomes(OK))) == 0
    assert failures_html(outcomes(OK))._repr_html_() == "<p><b>1 of 1 figure published.</b></p>"


def test_what_came_out_of_a_database_is_escaped() -> None:
    """A field's content is text on the page, whatever it looks like."""
    evil = "<script>alert('x')</script> & more"
    shown = failures_html(
        outcomes((f"{evil}", "<b>", "20240501", "failed", "wrong_type", evil)), repair="run_all.py repair <run>"
    )
    assert "<script" not in shown.html
    assert "<b>" not in shown.html.replace("<p><b>", "").replace("<td><b>", "")
    assert shown.html.count("&lt;script&gt;") == 2
    assert "<code>run_all.py repair &lt;run&gt;</code>" in shown.html


def test_text_for_who_sees_no_html() -> None:
    """A terminal and a diff get the same facts."""
    shown = failures_html(outcomes(OK, TEXT), repair="run_all.py repair latest")
    assert repr(shown) == (
        "1 of 2 figures published; 1 game failed, 1 cause.\n"
        "failed  wrong_type  1: bns  wau  20240501  1  bns wau 20240501: value is a string, expected a number.\n"
        "To do these again: run_all.py repair latest"
    )


def test_many_games_are_counted_and_the_first_named() -> None:
    """A cluster that is down with 300 games does not fill the page."""
    shown = failures_html(outcomes(*[missing(f"g{n:03d}") for n in range(300)]))
    assert "300: g000, g001, g002, g003, g004, g005, g006, g007, g008, g009, g010, g011 and 288 more" in shown.html
    assert "g012" not in shown.html


def test_unknown_publish_counts_as_not_published() -> None:
    """Where the answer was lost nobody may rely on the row."""
    found = outcomes(OK, OK)
    found.loc[0, "published"] = "unknown"
    assert headline(found) == "1 of 2 figures published"


def test_a_task_without_an_outcome_yet_is_asked_for_and_no_failure() -> None:
    """It counts among the figures that are to be published, and has no cause."""
    found = outcomes(OK, OK)
    found.loc[1, ["outcome", "published"]] = [None, "no"]
    assert headline(found) == "1 of 2 figures published"
    assert len(failures(found)) == 0


def test_tables_of_live_viewing_stand_beside_the_games() -> None:
    """A task that has a table and a date instead of a game and a dt is counted, named and grouped like any other."""
    found = pd.concat(
        [
            outcomes(OK, TEXT).assign(table=None, part_date=None),
            pd.DataFrame(
                [
                    {
                        "table": table,
                        "part_date": day,
                        "outcome": "failed",
                        "reason": "rejected_share",
                        "message": f"{table} {day}: 2.1 % of the log was rejected",
                        "published": "no",
                    }
                    for table, day in (("wv_live_play", "2024-05-01"), ("wv_live_play", "2024-05-02"))
                ]
            ),
        ],
        ignore_index=True,
    )
    assert headline(found) == "1 of 4 figures and partitions published; 2 games and tables failed, 2 causes"
    live = failures(found).to_dict("records")[1]
    assert (live["games"], live["what"], live["days"], live["tasks"]) == (
        "wv_live_play",
        "live_play",
        "20240501 … 20240502",
        2,
    )
    shown = outcome_grid(found).svg()
    assert ">wv_live_play</text>" in shown
    assert ">bns</text>" in shown
