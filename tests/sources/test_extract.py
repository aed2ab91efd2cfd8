"""All games at once: one outcome for each figure, whatever happens to the others."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bigmama_nb import periods
from bigmama_nb.sources import filters
from bigmama_nb.sources.dump import Dump
from bigmama_nb.sources.extract import extract
from bigmama_nb.sources.scan import Scan
from tests.sources.asking import a_profile, ask, by_task, connecting, said, write_dump
from tests.sources.holders import SOURCES

MAY_1 = date(2024, 5, 1)
DT = "20240501"
WAU = {"collection": "stats", "date": {"field": "dt", "as": "yyyymmdd"}, "value": {"field": "v"}, "period": "day"}
SUM = {**WAU, "value": {"sum": "v"}}


def games_of(
    tmp_path: Path,
    games: Mapping[str, Sequence[Mapping[str, Any]]],
    metrics: dict[str, Any] | None = None,
    **sections: Any,
) -> Any:
    """A profile of one dump with these games' `stats`."""
    for game, documents in games.items():
        write_dump(tmp_path / "dump", game, {"stats": documents})
    return a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump"}},
        games={game: {"cluster": "c", "database": game} for game in games},
        metrics=metrics or {"wau": WAU},
        **sections,
    )


FATES: dict[str, tuple[list[dict[str, Any]] | None, int | str]] = {
    "ok": ([{"dt": DT, "v": 5}], 5),
    "wrong": ([{"dt": DT, "v": "5"}], "wrong_type"),
    "late": ([{"dt": "20240430", "v": 5}], "not_ready"),
    "twice": ([{"dt": DT, "v": 5}] * 2, "duplicate_documents"),
    "truncated": (None, "source_corrupt"),
    "missing": (None, "source_missing"),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=st.lists(st.sampled_from(sorted(FATES)), min_size=1, max_size=8))
def test_a_game_that_fails_stops_no_other(tmp_path_factory: Any, fates: Any) -> None:
    """Whichever games fail and how: each figure has exactly one outcome, its own."""
    tmp_path = tmp_path_factory.mktemp("games")
    profile = games_of(tmp_path, {f"g{n}": FATES[fate][0] or [{"dt": DT, "v": 5}] for n, fate in enumerate(fates)})
    for number, fate in enumerate(fates):
        path = tmp_path / "dump" / f"g{number}" / "stats.bson"
        if fate == "truncated":
            path.write_bytes(path.read_bytes()[:-1])
        if fate == "missing":
            path.unlink()
    extraction = ask(profile, MAY_1)
    assert [outcome.ask.game_cd for outcome in extraction.outcomes] == [f"g{n}" for n in range(len(fates))]
    assert [FATES[fate][1] for fate in fates] == [said(outcome) for outcome in extraction.outcomes]


def of_one_collection(tmp_path: Path, settings: dict[str, Any], database: str, **more: Any) -> Any:
    """A profile of two games in one collection, told apart by a field; `more` is of the second's metric."""
    metric = {**SUM, "match": {"game": "a"}}
    return a_profile(
        tmp_path,
        clusters={"c": settings},
        games={game: {"cluster": "c", "database": database} for game in ("ga", "gb")},
        metrics={"sum": {**metric, "override": {"gb": {"match": {"game": "b"}, **more}}}, "n": {**SUM, "value": COUNT}},
    )


COUNT = {"count": True}
OF_TWO = [{"_id": n, "dt": DT, "game": "ab"[n % 2], "v": n, "w": 1} for n in range(100)]


@pytest.mark.parametrize("source", SOURCES)
def test_games_of_one_collection_are_read_in_one_pass(source: str, holder: Any, tmp_path: Path) -> None:
    """Each has its own figures, and every document comes once."""
    database = holder.hold({"stats": OF_TWO})

    extraction = ask(of_one_collection(tmp_path, holder.settings, database), MAY_1)

    found = {task: said(one) for task, one in by_task(extraction).items()}
    sums = {"ga": sum(range(0, 100, 2)), "gb": sum(range(1, 100, 2))}
    assert found == {f"{game}/{m}/{DT}": v for game in sums for m, v in (("sum", sums[game]), ("n", 100))}
    (load,) = extraction.load
    assert 100 <= load.documents < 110
    assert source not in ("dump", "dump.gz") or load.queries == 1


def test_a_field_that_stands_twice_costs_the_game_that_reads_it(tmp_path: Path) -> None:
    """Of two games of one collection one reads the field; the other, asked for by itself, has its figures."""
    twice = bson.encode({"_id": 100, "dt": DT, "game": "b", "v": 1, "w": 1})[4:-1] + bson.encode({"w": 2})[4:-1]
    content = b"".join(map(bson.encode, OF_TWO)) + (len(twice) + 5).to_bytes(4, "little") + twice + b"\0"
    write_dump(tmp_path / "dump", "d", {"stats": []})
    (tmp_path / "dump" / "d" / "stats.bson").write_bytes(content)

    extraction = ask(of_one_collection(tmp_path, {"dump": "dump"}, "d", value={"sum": "w"}), MAY_1)

    found = {task: said(one) for task, one in by_task(extraction).items()}
    assert (found[f"ga/sum/{DT}"], found[f"ga/n/{DT}"]) == (sum(range(0, 100, 2)), 101)
    assert (found[f"gb/sum/{DT}"], found[f"gb/n/{DT}"]) == ("source_corrupt", "source_corrupt")


def test_the_message_for_a_day_that_is_not_there(tmp_path: Path) -> None:
    """The message says where, what was found and expected, and the next step."""
    profile = games_of(tmp_path, {"bns": [{"dt": "20240430", "v": 5}]}, {"wau": {**WAU, "collection": "stats"}})
    (outcome,) = ask(profile, MAY_1).outcomes
    assert outcome.message == (
        'bns wau 20240501: stats has no document with dt = "20240501"; the newest is "20240430". '
        "Other games are not affected; run 'run_all.py repair latest' once it is there."
    )
    assert (outcome.place, outcome.source, outcome.task) == ("bns.stats", "c/bns.stats", "bns/wau/20240501")


def test_the_message_for_a_value_of_another_type(tmp_path: Path) -> None:
    """The message names the field, the type, the document and what was expected."""
    profile = games_of(tmp_path, {"bns": [{"_id": 7, "dt": DT, "v": "5"}]})
    (outcome,) = ask(profile, MAY_1).outcomes
    assert outcome.message == (
        "bns wau 20240501: stats.v is string in the document with _id = 7; expected an integer. "
        "Nothing is published for it. Other games are not affected; run 'run_all.py repair latest' once this is "
        "corrected."
    )
    assert outcome.place == "bns.stats _id=7"


def test_every_game_of_a_cluster_that_is_not_there_fails_and_the_other_cluster_answers(tmp_path: Path) -> None:
    """A cluster's missing folder costs its own games only."""
    write_dump(tmp_path / "dump", "lw", {"stats": [{"dt": DT, "v": 5}]})
    profile = a_profile(
        tmp_path,
        clusters={"ncmc2": {"dump": "dump"}, "ncmc3": {"dump": "nowhere"}},
        games={
            "bns": {"cluster": "ncmc3", "database": "bns"},
            "lw": {"cluster": "ncmc2", "database": "lw"},
            "l2m": {"cluster": "ncmc3", "database": "l2m"},
        },
        metrics={"wau": WAU},
    )
    found = by_task(ask(profile, MAY_1))
    assert {task.split("/")[0]: said(outcome) for task, outcome in found.items()} == {
        "bns": "source_missing",
        "lw": 5,
        "l2m": "source_missing",
    }


class ThroughFifo(Dump):
    """A dump that takes a FIFO of game `a` for a file, as it takes a file on a disk that hangs."""

    def path(self, database: str, collection: str) -> Path:
        return self.folder / database / "stats.bson" if database == "a" else super().path(database, collection)


def test_a_game_that_hangs_is_failed_at_the_deadline_and_the_others_are_not(tmp_path: Path) -> None:
    """A source that never answers is failed: deadline, the return does not wait for it, the others have values.

    A FIFO that nobody writes to hangs its reader for ever, as a dead network disk does.
    """
    profile = games_of(tmp_path, {"a": [], "b": [{"dt": DT, "v": 5}]}, extract_deadline_s=1)
    hanging = tmp_path / "dump" / "a" / "stats.bson"
    hanging.unlink()
    os.mkfifo(hanging)
    found = by_task(ask(profile, MAY_1, connect=connecting(dump=ThroughFifo)))
    assert {f"a/wau/{DT}": "deadline", f"b/wau/{DT}": 5} == {task: said(one) for task, one in found.items()}
    assert "was not done within extract_deadline_s = 1 s" in str(found[f"a/wau/{DT}"].message)
    with hanging.open("wb"):
        pass  # lets the reader go


def test_a_mistake_of_ours_costs_one_collection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody foresaw fails its game, with its name, and no other."""
    profile = games_of(tmp_path, {"a": [{"dt": DT, "v": 5}], "b": [{"dt": DT, "v": 5}]})

    class Mistaken(Dump):
        def scan(self, database: str, collection: str, questions: Any) -> list[Scan]:
            if database == "a":
                raise ZeroDivisionError("a mistake")
            return super().scan(database, collection, questions)

    found = by_task(ask(profile, MAY_1, connect=connecting(dump=Mistaken)))
    assert said(found[f"a/wau/{DT}"]) == "stage_died"
    assert "unexpected ZeroDivisionError: a mistake" in str(found[f"a/wau/{DT}"].message)
    assert said(found[f"b/wau/{DT}"]) == 5
    assert "c/a.stats" in caplog.text


def test_at_most_max_concurrency_are_asked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many games there are, a cluster is asked by no more than max_concurrency threads."""
    games = {f"g{n}": [{"dt": DT, "v": n}] for n in range(40)}
    for game, documents in games.items():
        write_dump(tmp_path / "dump", game, {"stats": documents})
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump", "max_concurrency": 2}},
        games={game: {"cluster": "c", "database": game} for game in games},
        metrics={"wau": WAU},
    )
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    lock, inside, most = threading.Lock(), set(), []

    class Counted(Dump):
        def scan(self, *asked: Any) -> list[Scan]:
            with lock:
                inside.add(threading.get_ident())
                most.append(len(inside))
            try:
                return super().scan(*asked)
            finally:
                with lock:
                    inside.discard(threading.get_ident())

    found = ask(profile, MAY_1, connect=connecting(dump=Counted))
    assert [outcome.value for outcome in found.outcomes] == list(range(40))
    assert max(most) <= 2


def test_one_pass_over_a_collection_answers_all_its_metrics(tmp_path: Path) -> None:
    """Three metrics of a range of days read the file once."""
    documents = [{"dt": f"202405{day:02}", "v": day} for day in range(1, 32)]
    metrics = {"wau": WAU, "sum": SUM, "month": {**SUM, "period": "month"}}
    profile = games_of(tmp_path, {"lw": documents}, metrics)
    extraction = ask(profile, MAY_1, date(2024, 5, 31))
    assert len(extraction.outcomes) == 31 + 31 + 1
    assert extraction.outcomes[-1].value == sum(range(1, 32))
    (load,) = extraction.load
    assert (load.queries, load.documents) == (1, 31)


def test_what_is_not_ready_is_asked_again_cheaply(tmp_path: Path) -> None:
    """While the `ready` document is not there, an attempt reads only the collection that holds it."""
    metrics = {"sum": {**SUM, "ready": {"collection": "log", "match": {"dt": "$dt"}}}}
    profile = games_of(tmp_path, {"lw": [{"dt": DT, "v": 5}] * 3}, metrics)
    write_dump(tmp_path / "dump", "lw", {"log": [{"dt": "20240430"}]})
    first = ask(profile, MAY_1)
    assert [said(outcome) for outcome in first.outcomes] == ["not_ready"]
    assert [load.documents for load in first.load] == [1]
    write_dump(tmp_path / "dump", "lw", {"log": [{"dt": "20240430"}, {"dt": DT}]})
    waiting = [outcome.ask for outcome in first.outcomes if outcome.outcome == "not_ready"]
    second = extract(profile, waiting, run_id="20240502T020304Z-1a2b3c", attempt=2)
    assert [said(outcome) for outcome in second.outcomes] == [15]


def test_progress_is_told_of_every_outcome(tmp_path: Path) -> None:
    """Each outcome is reported once, in the caller's thread."""
    profile = games_of(tmp_path, {f"g{n}": [{"dt": DT, "v": n}] for n in range(5)})
    told = []
    extraction = ask(profile, MAY_1, progress=lambda outcome: told.append((outcome, threading.current_thread())))
    assert {outcome for outcome, _ in told} == set(extraction.outcomes)
    assert len(told) == 5
    assert {thread for _, thread in told} == {threading.current_thread()}


def test_nothing_asked_is_nothing_answered(tmp_path: Path) -> None:
    """Without asks no source is opened."""
    profile = games_of(tmp_path, {"lw": []})
    extraction = extract(profile, [], run_id="r")
    assert (extraction.outcomes, extraction.load, extraction.inputs) == ([], [], [])


def test_an_ask_given_twice_is_answered_twice_and_asked_once(tmp_path: Path) -> None:
    """The outcomes are in the asks' order, one for each."""
    profile = games_of(tmp_path, {"lw": [{"dt": DT, "v": 5}], "bns": [{"dt": DT, "v": 6}]})
    asks = periods.asks(profile, MAY_1, MAY_1)
    again = [*reversed(asks), *asks]
    assert [outcome.ask for outcome in extract(profile, again, run_id="r").outcomes] == again


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"k": {"$gt": [1]}}, "$gt: …} with a array"),
        ({"k": {"$lte": {"a": 1}}}, "$lte: …} with a object"),
    ],
)
def test_a_filter_that_cannot_be_compared_is_refused(tmp_path: Path, match: Any, words: Any) -> None:
    """Such a filter fails its own metric as query_refused, before anything is read for it."""
    profile = games_of(tmp_path, {"lw": [{"dt": DT, "v": 5}]}, {"good": WAU, "bad": {**WAU, "match": match}})
    found = by_task(ask(profile, MAY_1))
    assert {f"lw/good/{DT}": 5, f"lw/bad/{DT}": "query_refused"} == {task: said(one) for task, one in found.items()}
    assert words in str(found[f"lw/bad/{DT}"].message)


GOOD = [{"dt": DT, "v": 1}, {"dt": DT, "v": 2.0}]


@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(
    "bad",
    [
        ["x"],
        [True, None],
        [float("nan"), float("inf")],
        [[7, 8]],
        [[]],
        [{"a": 1}, "x", None],
        [Decimal128("Infinity"), Decimal128("NaN")],
    ],
    ids=str,
)
def test_the_match_that_a_message_offers_leaves_out_just_the_bad_values(tmp_path: Path, kind: Any, bad: Any) -> None:
    """Pasted into the profile, the filter of the message gives the figure of the good documents."""
    documents = [*GOOD, *({"dt": DT, "v": value} for value in bad), {"dt": DT, "w": 1}]
    metric = {**WAU, "value": {kind: "v"}}
    (refused,) = ask(games_of(tmp_path, {"lw": documents}, {"m": metric}), MAY_1).outcomes
    offered = re.search(r"this match leaves them out: (\{.*\})\. Nothing is published", str(refused.message))
    assert offered is not None
    assert f"{len(bad) + 1} of {len(documents)} documents" in str(refused.message)
    match = YAML(typ="safe").load(offered.group(1))
    (outcome,) = ask(games_of(tmp_path, {"lw": documents}, {"m": {**metric, "match": match}}), MAY_1).outcomes
    assert said(outcome) == {"sum": 3, "max": 2}[kind]


@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1.5], "name a field that holds whole units, or publish a smaller unit by 'scale: 2'"),
        ([n + 0.5 for n in range(9)], "name a field that holds whole units"),
        ([Decimal128("1.5"), None], "name a field that holds whole units"),
        ([1e300], "have the source write a smaller number"),
    ],
    ids=str,
)
def test_no_match_is_offered_that_would_leave_out_numbers(tmp_path: Path, kind: Any, bad: Any, words: Any) -> None:
    """What is a number is data: no filter is offered that makes a wrong figure of a refused one."""
    documents = [*GOOD, *({"dt": DT, "v": value} for value in bad)]
    (outcome,) = ask(games_of(tmp_path, {"lw": documents}, {"m": {**WAU, "value": {kind: "v"}}}), MAY_1).outcomes
    assert outcome.outcome == "failed"
    assert f"no match leaves just these out; {words}" in str(outcome.message)
    assert "$" not in str(outcome.message)


SCALED = [
    (12, 1200),
    (Decimal128("12.34"), 1234),
    (12.34, 1234),
    (1.1, 110),
    (Decimal128("-0.01"), -1),
    (Decimal128("12.3400"), 1234),
    (Decimal128("92233720368547758.07"), 2**63 - 1),
    (Decimal128("92233720368547758.08"), "overflow"),
    (2**62, "overflow"),
    (Decimal128("12.345"), "not_integral"),
    (0.1 + 0.2, "not_integral"),
    (float("nan"), "not_integral"),
    (1e14 + 0.25, "overflow"),
]


@pytest.mark.parametrize("kind", ["field", "sum", "max"])
@pytest.mark.parametrize(("value", "expected"), SCALED, ids=str)
def test_a_scale_publishes_whole_numbers_of_the_smaller_unit(
    tmp_path: Path, kind: Any, value: Any, expected: Any
) -> None:
    """With scale: 2 a decimal of two places is exactly its hundredfold, and every other is refused."""
    metric = {**WAU, "value": {kind: "v"}, "scale": 2}
    (outcome,) = ask(games_of(tmp_path, {"lw": [{"_id": 7, "dt": DT, "v": value}]}, {"m": metric}), MAY_1).outcomes
    assert said(outcome) == expected
    if expected == "not_integral":
        assert "at most 2 decimals" in str(outcome.message)


def test_a_scaled_sum_of_many_decimals_is_exact(tmp_path: Path) -> None:
    """A hundred times 0.1 are 10.00, as doubles and as decimals."""
    documents = [{"dt": DT, "v": Decimal128("0.1") if n % 2 else 0.1} for n in range(100)]
    (outcome,) = ask(games_of(tmp_path, {"lw": documents}, {"m": {**SUM, "scale": 2}}), MAY_1).outcomes
    assert said(outcome) == 1000


def test_what_count_distinct_leaves_out_is_counted_and_said(tmp_path: Path) -> None:
    """Null and absent are no customers; the outcome says how many documents held none."""
    documents: list[dict[str, Any]] = [{"dt": DT, "v": "a"}, {"dt": DT, "v": None}]
    documents += [{"dt": DT}, {"dt": DT}, {"dt": "20240502", "v": None}]
    metric = {**WAU, "value": {"count_distinct": "v"}}
    (outcome,) = ask(games_of(tmp_path, {"lw": documents}, {"m": metric}), MAY_1).outcomes
    assert (said(outcome), outcome.left_out) == (1, 3)
    assert outcome.message == (
        "lw m 20240501: counted without 3 of 4 documents, in which stats.v holds no value (2 absent, 1 null)."
    )


NAMES = st.sampled_from(["a", "b", "c.d", "dt", "v"])
CONSTANTS = st.one_of(
    st.integers(-3, 3), st.sampled_from(["", "x", "1"]), st.booleans(), st.just({"$date": "2024-05-01T00:00:00Z"})
)
CONDITIONS = st.one_of(
    CONSTANTS,
    st.builds(lambda operator, one: {operator: one}, st.sampled_from(["$gt", "$lte"]), CONSTANTS),
    st.builds(lambda some: {"$in": some}, st.lists(CONSTANTS, min_size=1, max_size=3)),
    st.builds(lambda one: {"$not": {"$ne": one}}, CONSTANTS),
    st.builds(lambda letter: {"$regex": f"^{letter}"}, st.sampled_from("xyz1")),
)
ANYTHING = st.dictionaries(
    st.sampled_from(["a", "b", "v"]), st.one_of(st.integers(-3, 3), st.sampled_from(["x", "1", None, True, [1], 1.0]))
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    match=st.dictionaries(NAMES, CONDITIONS, min_size=1, max_size=3),
    documents=st.lists(ANYTHING, max_size=5),
    kind=st.sampled_from(["count", "sum", "max", "count_distinct"]),
    with_ready=st.booleans(),
)
def test_an_input_that_no_document_matches_never_publishes(
    tmp_path: Path, match: Any, documents: Any, kind: Any, with_ready: Any
) -> None:
    """Whatever the filter, the documents and the kind: where none passes, there is no figure, 'empty: 0' or not."""
    documents = [{"dt": DT, **document} for document in documents]
    metric = {
        **WAU,
        "match": match,
        "value": {kind: True if kind == "count" else "v"},
        "empty": 0,
        **({"ready": {"collection": "log", "match": {"dt": "$dt"}}} if with_ready else {}),
    }
    write_dump(tmp_path / "dump", "lw", {"log": [{"dt": DT}]})
    profile = games_of(tmp_path, {"lw": documents}, {"m": metric})
    matches = filters.compiled(profile.pairs["lw", "m"].match)
    assume(not any(map(matches, documents)))
    (outcome,) = ask(profile, MAY_1).outcomes
    assert outcome.outcome in ("failed", "not_ready"), outcome


def test_a_constant_that_is_no_number_equals_none_but_itself(tmp_path: Path) -> None:
    """NaN in a match equals NaN, of every kind, and no number; of ranges only one that ends with it holds it."""
    values = [float("nan"), Decimal128("NaN"), 0, 1.5, 2, "nan"]
    documents = [{"dt": DT, "v": value} for value in values]
    nan = float("nan")
    conditions = [(nan, 2), ({"$ne": nan}, 4), ({"$gt": -1}, 3), ({"$gte": -1}, 3), ({"$gte": nan}, 2)]
    for condition, expected in conditions:
        metric = {**WAU, "value": {"count": True}, "match": {"v": condition}}
        (outcome,) = ask(games_of(tmp_path, {"lw": documents}, {"m": metric}), MAY_1).outcomes
        assert said(outcome) == expected, condition


@pytest.mark.parametrize("dates", [["20240430", 20240430], [20240430, "20240430"]])
def test_of_two_equal_newest_dates_the_text_is_shown(tmp_path: Path, dates: Any) -> None:
    """A message does not depend on which of them comes first."""
    profile = games_of(tmp_path, {"lw": [{"dt": one, "v": 1} for one in dates]})
    (outcome,) = ask(profile, MAY_1).outcomes
    assert 'with dt = "20240501"; the newest is "20240430"' in str(outcome.message)
