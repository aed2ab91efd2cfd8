"""Groups of games, and a metric's exceptions, written once: which game has which metric, and each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profile.test_profile import PLACES, read, refused

GAMES = ("lw", "lm", "l2", "bns")
TEXT = (
    PLACES
    + "clusters: {ncmc2: {dump: d}}\n"
    + "games:\n"
    + "".join(f"  {game}: {{cluster: ncmc2, database: {game}}}\n" for game in GAMES)
    + "groups: {lineage: [lw, lm, l2], old: [l2, bns]}\n"
    + "metrics:\n"
    + "  wau: {collection: daily, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day MORE}\n"
    + "  mau: {collection: monthly, date: {field: dt, as: yyyymm}, value: {field: value}, period: month}\n"
)


def with_old(group: str) -> str:
    """Return the profile with this in the place of the group `old`."""
    return TEXT.replace("old: [l2, bns]", group).replace(" MORE", "")


def with_wau(keys: str, text: str = TEXT) -> str:
    """Return the profile whose metric wau has these keys more."""
    return text.replace(" MORE", f", {keys}" if keys else "")


@pytest.mark.parametrize(
    ("keys", "having"),
    [
        ("", GAMES),
        ("games: [lineage]", ("lw", "lm", "l2")),
        ("games: [lw, old]", ("lw", "l2", "bns")),
        ("except: [old]", ("lw", "lm")),
        ("games: [lineage], except: [lm]", ("lw", "l2")),
    ],
)
def test_a_metric_names_its_games_once(tmp_path: Path, keys: str, having: tuple[str, ...]) -> None:
    """All games have it, or those that `games` names by code or by group, without those of `except`."""
    found = read(tmp_path, with_wau(keys))
    assert [game for game, type_ in found.pairs if type_ == "wau"] == list(having)
    assert [game for game, type_ in found.pairs if type_ == "mau"] == list(GAMES)


def test_exceptions_for_a_group_are_written_once(tmp_path: Path) -> None:
    """A group's keys replace the metric's, a game's replace both, in either of its places; other keys stay."""
    text = with_wau(
        "override: {lineage: {collection: of_group, match: {os: all}}, lw: {collection: own}, l2: {match: {}}}"
    ).replace("database: bns}", "database: bns, override: {wau: {collection: bns_daily}}}")
    found = read(tmp_path, text)
    assert {game: (pair.collection, pair.match) for (game, type_), pair in found.pairs.items() if type_ == "wau"} == {
        "lw": ("own", {"os": "all"}),
        "lm": ("of_group", {"os": "all"}),
        "l2": ("of_group", {}),
        "bns": ("bns_daily", {}),
    }
    assert found.pairs["lm", "mau"].collection == "monthly"


def test_of_two_groups_a_game_decides(tmp_path: Path) -> None:
    """Two groups that say the same, or whose game says it itself, are no conflict."""
    same = "override: {lineage: {collection: x}, old: {collection: x, match: {a: 1}}}"
    assert read(tmp_path, with_wau(same)).pairs["l2", "wau"].match == {"a": 1}
    own = "override: {lineage: {collection: x}, old: {collection: y}, l2: {collection: z}}"
    assert read(tmp_path, with_wau(own)).pairs["l2", "wau"].collection == "z"


KNOWN = "games are lw, lm, l2, bns"
REFUSALS = {
    "a group of a game that is not there": (
        with_old("old: [l2, bsn]"),
        f"groups.old names 'bsn'; {KNOWN}. Did you mean 'bns'?",
    ),
    "a group within a group": (
        with_old("old: [lineage]"),
        f"groups.old names 'lineage'; {KNOWN}.",
    ),
    "a group without games": (
        with_old("old: []"),
        "groups.old is empty; expected at least one name.",
    ),
    "a group that is no list": (
        with_old("old: bns"),
        "groups.old is 'bns'; expected a list.",
    ),
    "a game twice": (
        with_old("old: [l2, bns, l2]"),
        "groups.old names 'l2' twice.",
    ),
    "a group with a game's name": (
        with_old("bns: [l2, bns]"),
        "groups.bns has the name of a game; expected a name of its own, since games and groups are named alike.",
    ),
    "a group with no name": (
        with_old('"o d": [l2, bns]'),
        "groups has the key 'o d'; expected letters, digits, '_', '-' or '.', beginning with a letter or digit.",
    ),
    "games of a group that is not there": (
        with_wau("games: [linage]"),
        f"metrics.wau.games names 'linage'; {KNOWN}; groups are lineage, old. Did you mean 'lineage'?",
    ),
    "no games": (with_wau("games: []"), "metrics.wau.games is empty; expected at least one name."),
    "games as text": (with_wau("games: lineage"), "metrics.wau.games is 'lineage'; expected a list."),
    "except of a game that is not there": (
        with_wau("except: [lww]"),
        f"metrics.wau.except names 'lww'; {KNOWN}; groups are lineage, old. Did you mean 'lw'?",
    ),
    "except of what is out already": (
        with_wau("games: [lineage], except: [bns]"),
        (
            "metrics.wau.except names 'bns', which metrics.wau.games leaves out already; expected a game that would "
            "have the metric."
        ),
    ),
    "nothing left": (
        with_wau("games: [old], except: [old]"),
        "metrics.wau has no game: its games, without its except, are none that may have it.",
    ),
    "a game that names what leaves it out": (
        with_wau("except: [bns]").replace("database: bns}", "database: bns, metrics: [wau]}"),
        "games.bns.metrics names 'wau', and metrics.wau.except leaves bns out; expected one of them.",
    ),
    "a game that names what is not for it": (
        with_wau("games: [lineage]").replace("database: bns}", "database: bns, metrics: [wau, mau]}"),
        "games.bns.metrics names 'wau', and metrics.wau.games leaves bns out; expected one of them.",
    ),
    "an override for a game that is not there": (
        with_wau("override: {lww: {collection: x}}"),
        f"metrics.wau.override names 'lww'; {KNOWN}; groups are lineage, old. Did you mean 'lw'?",
    ),
    "an override for a game without the metric": (
        with_wau("except: [bns], override: {bns: {collection: x}}"),
        "metrics.wau.override names 'bns', which does not have the metric; expected a game that has it.",
    ),
    "an override as text": (
        with_wau("override: {lw: other}"),
        "metrics.wau.override.lw is 'other'; expected a mapping.",
    ),
    "an unknown key in a group's override": (
        with_wau("override: {lineage: {colection: x}}"),
        (
            "metrics.wau.override.lineage has the unknown key 'colection'; keys are collection, match, date, value, "
            "period, due, trailing_days, empty, ready, scale, may_be_absent, checks, title, unit, description, "
            "additive, games, except, override. Did you mean 'collection'?"
        ),
    ),
    "an override of an override": (
        with_wau("override: {lineage: {except: [lw]}}"),
        "metrics.wau.override.lineage has except, which is the same for every game; it stands in metrics.wau.",
    ),
    "a game's override of the games": (
        with_wau("").replace("database: bns}", "database: bns, override: {wau: {games: [bns]}}}"),
        "games.bns.override.wau has games, which is the same for every game; it stands in metrics.wau.",
    ),
    "one game's override in two places": (
        with_wau("override: {bns: {collection: x}}").replace(
            "database: bns}", "database: bns, override: {wau: {collection: y}}}"
        ),
        "games.bns.override.wau stands in metrics.wau.override.bns as well; expected one of them.",
    ),
    "two groups that differ": (
        with_wau("override: {lineage: {collection: x}, old: {collection: y}}"),
        (
            "metrics.wau.override has collection for l2 in lineage and in old; expected one, or a collection in "
            "metrics.wau.override.l2, which decides."
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_mistake_is_one_line(tmp_path: Path, case: str) -> None:
    """Where, what was found, what was expected; once, however many games it concerns."""
    text, message = REFUSALS[case]
    assert refused(tmp_path, text) == [message]


def test_a_thousand_games_in_many_groups_are_read_at_once(tmp_path: Path) -> None:
    """Every group says the same of every game: the pairs are as many as the games, and none is said twice."""
    games = [f"g{n}" for n in range(1000)]
    text = (
        PLACES
        + "clusters: {ncmc2: {dump: d}}\ngames:\n"
        + "".join(f"  {game}: {{cluster: ncmc2, database: {game}}}\n" for game in games)
        + "groups:\n"
        + "".join(f"  k{n}: [{', '.join(games[n * 100 : n * 100 + 100])}]\n" for n in range(10))
        + "metrics:\n  wau: {collection: c, date: {field: dt, as: date}, value: {count: true}, period: day, override: {"
        + ", ".join(f"k{n}: {{collection: c{n}}}" for n in range(10))
        + "}}\n"
    )
    found = read(tmp_path, text)
    assert len(found.pairs) == 1000
    assert found.pairs["g957", "wau"].collection == "c9"
