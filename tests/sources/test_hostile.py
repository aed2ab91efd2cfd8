"""Whatever one game is like, in profile, names, files and documents, the others stay; and nothing comes of nothing."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import PyMongoError

from bigmama_nb.errors import ProfileError
from bigmama_nb.profile import Profile
from bigmama_nb.sources.outcome import Outcome
from tests.publishing import rows_in
from tests.runs.world import World, in_process
from tests.sources.asking import a_profile, ask, by_task, write_dump
from tests.sources.holders import SERVERS, ServerHolder

MAY_1 = date(2024, 5, 1)
GOOD = [{"_id": n, "dt": "20240501", "v": n, "k": "x"} for n in range(5)]
DAILY: dict[str, Any] = {"collection": "stats", "date": {"field": "dt", "as": "yyyymmdd"}, "period": "day"}
METRICS: dict[str, Any] = {
    "total": {**DAILY, "value": {"sum": "v"}},
    "heads": {**DAILY, "value": {"count": True}, "match": {"k": "x"}, "empty": 0},
}
MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# What no document matches

NUMBERS = st.integers(0, 9) | st.integers(0, 9).map(Int64) | st.integers(0, 9).map(float)
STRINGS = st.sampled_from(["x", "y", "paid", "20240501", "1"])


@st.composite
def unmatched(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return documents of 1 May, and a `match` that none of them can meet, by how it is made."""
    rows = draw(st.lists(st.fixed_dictionaries({"n": NUMBERS, "s": STRINGS}, optional={"t": NUMBERS}), min_size=1))
    documents = [{"_id": number, "dt": "20240501", "v": 1, **row} for number, row in enumerate(rows)]

    def held(name: str) -> Any:
        value = rows[0][name]
        return int(value) if isinstance(value, Int64) else value

    def never(depth: int = 0) -> dict[str, Any]:
        name = draw(st.sampled_from(["n", "s"]))
        other = {"n": "s", "s": "n"}[name]
        there = [row[name] for row in rows]
        # A profile's numbers are plain ones.
        plain = st.integers(0, 9) | st.integers(0, 9).map(float)
        missing = draw((plain if name == "n" else STRINGS).filter(lambda one: one not in there))
        simple = [
            {name: missing},
            {name: {"$in": [missing]}},
            {name: str(rows[0]["n"]) if name == "n" else 1},  # another type than the field ever holds
            {f"{name}{name}": held(name)},  # misspelled
            {f"{name}.below": held(name)},
            {f"{name}{name}": {"$exists": True}},
            {name: {"$exists": False}},
            {"n": {"$gt": 9}},
            {"s": {"$lt": "0"}},
            {"n": {"$gte": datetime(2024, 5, 1, tzinfo=UTC)}},
        ]
        if depth < 2 and draw(st.booleans()):
            always: dict[str, Any] = {other: held(other)}
            return draw(
                st.sampled_from([{"$and": [always, never(depth + 1)]}, {"$or": [never(depth + 1), never(depth + 1)]}])
            )
        return dict(draw(st.sampled_from(simple)))

    return documents, never()


@MANY
@given(made=unmatched(), kind=st.sampled_from(["field", "sum", "max", "count", "count_distinct"]), empty=st.booleans())
def test_what_no_document_matches_never_publishes(
    tmp_path: Path, made: tuple[list[dict[str, Any]], dict[str, Any]], kind: str, empty: bool
) -> None:
    """A misspelled path, a constant of another type or one that is nowhere: no figure comes of it, least of all a 0."""
    documents, match = made
    metric = {
        **METRICS["total"],
        "value": {kind: True if kind == "count" else "v"},
        "match": match,
        **({"empty": 0} if empty and kind != "field" else {}),
    }
    write_dump(tmp_path / "dump", "lw", {"stats": documents})
    sections = {"clusters": {"c": {"dump": "dump"}}, "games": {"lw": {"cluster": "c", "database": "lw"}}}
    try:
        read = a_profile(tmp_path, **sections, metrics={"m": metric})
    except ProfileError:
        return  # refused before anything is asked, such as an instant that is not Extended JSON
    (outcome,) = ask(read, MAY_1).outcomes
    assert (outcome.outcome in ("failed", "not_ready"), outcome.value) == (True, None), (match, outcome)
    assert outcome.message


# One game's trouble

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1).map(Int64), st.floats(), st.text(max_size=8),
    st.binary(max_size=8), st.datetimes().map(lambda at: at.replace(microsecond=0)),
    st.sampled_from([Decimal128("NaN"), Decimal128("1E+6000"), MinKey(), MaxKey(), ObjectId(b"a" * 12),
                     Timestamp(1, 1), Regex("(a+)+$"), bson.Code("x", {}), bson.DatetimeMS(2**63 - 1)]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4).filter(
    lambda key: "\0" not in key), inner, max_size=3), max_leaves=6)  # fmt: skip
DOCUMENTS = st.lists(
    st.fixed_dictionaries({}, optional={"_id": VALUES.filter(lambda one: not isinstance(one, list | Regex)),
                                        "dt": VALUES, "v": VALUES, "k": VALUES}), max_size=6,
)  # fmt: skip

BOMB = gzip.compress(b"\0" * 30_000_000)
WHOLE = b"".join(map(bson.encode, GOOD))
CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "no BSON": b"\x89PNG\r\n\x1a\n" * 20,
    "a length beyond the file": struct.pack("<i", 2**31 - 1) + b"\x01" * 40,
    "a negative length": struct.pack("<i", -5) + b"\0" * 40,
    "a document of zeros": b"\0" * 4096,
    "cut": WHOLE[:-7],
    "twice": WHOLE + WHOLE,
    "garbage behind": WHOLE + b"\xff" * 9,
    "no terminator": WHOLE[:-1] + b"\x07",
    "gzip without its name": gzip.compress(WHOLE),
    "a bomb": BOMB,
    "half a gzip": gzip.compress(WHOLE)[:-9],
    "zlib": zlib.compress(WHOLE),
    "deeply nested": bson.encode({"a": {"b": 1}}).replace(b"b", b"b"),
    "bad UTF-8": bson.encode({"_id": 1, "dt": "20240501", "v": "aa"}).replace(b"aa", b"\xc3\x28"),
    "a field twice": bson.encode({"_id": 1, "dt": "20240501", "v": 1, "w": 2}).replace(b"w\0", b"v\0"),
    "an archive": b"\x6d\xe2\x99\x81" + WHOLE,
    "Parquet": b"PAR1" + b"\0" * 60 + b"PAR1",
}


def nested(depth: int) -> bytes:
    inner = bson.encode({"v": 1})
    for _ in range(depth):
        inner = struct.pack("<i", len(inner) + 4 + 3 + 1) + b"\x03a\0" + inner + b"\0"
    return inner


CONTENTS["deeply nested"] = nested(300)


def in_place(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(database: Path) -> None:
        (database / "stats.bson").unlink(missing_ok=True)
        make(database / "stats.bson")

    return do


FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": in_place(os.mkfifo),
    "a folder": in_place(Path.mkdir),
    "a link to itself": in_place(lambda path: path.symlink_to(path)),
    "a link to nowhere": in_place(lambda path: path.symlink_to("/nowhere/stats.bson")),
    "a device": in_place(lambda path: path.symlink_to("/dev/zero")),
    "no file": in_place(lambda path: None),
    "both forms": lambda folder: (folder / "stats.bson.gz").write_bytes(gzip.compress(WHOLE)),
    "names in EUC-KR": lambda folder: Path(os.fsdecode(bytes(folder) + b"/\xb0\xcb\xbb\xf6.bson")).write_bytes(WHOLE),
    "a name with controls": lambda folder: (folder / "x\x1b[2J\r\n9 of 9.bson").write_bytes(WHOLE),
    "metadata that is none": lambda folder: (folder / "stats.metadata.json").write_bytes(b"{\xff"),
    "metadata of a view": lambda folder: (folder / "stats.metadata.json").write_text('{"options": {"viewOn": "x"}}'),
    "metadata in the deep": lambda folder: (folder / "stats.metadata.json").write_text("[" * 100_000),
    "a long name": lambda folder: (folder / f"{'x' * 240}.bson").write_bytes(WHOLE),
}
NAMES = st.one_of(
    st.sampled_from(["..", ".", "a/b", "/", "~", "lw ", " lw", "$x", "system.users", "😀", "검색", "a\tb", "x" * 300,
                     "\x1b[2J", "a.b", "aa", "aa/stats", "\\", "\u202e", "%2e%2e", "C:\\x", "a\nb"]),
    st.text(min_size=1, max_size=12),
)  # fmt: skip
OVERRIDES = st.one_of(
    st.fixed_dictionaries({"match": st.dictionaries(st.text(max_size=5) | st.sampled_from(["k", "v", "$or", "$x"]),
                                                    st.recursive(st.none() | st.integers() | st.floats() | st.text(
                                                        max_size=5), lambda one: st.lists(one, max_size=3) |
                                                        st.dictionaries(st.sampled_from(["$gt", "$in", "$regex", "$ne",
                                                                                         "$date", "$type", "a"]), one,
                                                                        max_size=2), max_leaves=5), max_size=3)}),
    st.fixed_dictionaries({"date": st.fixed_dictionaries({"field": st.text(max_size=5), "as": st.sampled_from(
        ["yyyymmdd", "yyyymm", "date", "iso_date", "epoch_s", "epoch_ms", "x"])})}),
    st.fixed_dictionaries({"value": st.dictionaries(st.sampled_from(["sum", "field", "max", "count", "x"]),
                                                    st.text(max_size=5) | st.booleans() | st.integers(), max_size=2)}),
    st.fixed_dictionaries({"collection": NAMES}),
    st.fixed_dictionaries({"trailing_days": st.integers() | st.floats(), "empty": st.integers() | st.text(max_size=3)}),
    st.fixed_dictionaries({"scale": st.integers(), "may_be_absent": st.lists(st.text(max_size=5), max_size=2)}),
)  # fmt: skip


@st.composite
def hostility(draw: st.DrawFn) -> dict[str, Any]:
    """Return what is wrong with the game: one thing, or several at once."""
    return {
        "content": draw(st.none() | st.sampled_from(sorted(CONTENTS)) | st.binary(max_size=80)),
        "documents": draw(st.none() | DOCUMENTS),
        "file": draw(st.none() | st.sampled_from(sorted(FILES))),
        "database": draw(st.just("hh") | NAMES),
        "override": draw(st.none() | OVERRIDES),
        "at": draw(st.none() | st.integers(0, 200)),
    }


def made(folder: Path, wrong: dict[str, Any]) -> None:
    """Write the good games' dumps, and the hostile one's."""
    for game in ("aa", "zz"):
        write_dump(folder / "dump", game, {"stats": GOOD})
    (folder / "dump" / "hh").mkdir(parents=True)
    content = WHOLE
    if wrong["documents"] is not None:
        try:
            content = b"".join(map(bson.encode, wrong["documents"]))
        except (ValueError, OverflowError, bson.errors.InvalidDocument):
            content = WHOLE
    if wrong["content"] is not None:
        content = wrong["content"] if isinstance(wrong["content"], bytes) else CONTENTS[wrong["content"]]
    if wrong["at"] is not None:
        content = content[: wrong["at"]] + b"\xff" + content[wrong["at"] + 1 :]
    (folder / "dump" / "hh" / "stats.bson").write_bytes(content)
    if wrong["file"] is not None:
        FILES[wrong["file"]](folder / "dump" / "hh")


def no_others_figure_changes(folder: Path, wrong: dict[str, Any]) -> None:
    made(folder, wrong)
    read = profile_beside(folder, wrong, {"dump": "dump"}, {"aa": "aa", "zz": "zz"})
    if read is not None:
        others_are_as_ever(by_task(ask(read, MAY_1)))


def profile_beside(
    folder: Path, wrong: dict[str, Any], cluster: dict[str, Any], good: dict[str, str]
) -> Profile | None:
    """Return the profile of the hostile game and of good ones by their databases; None where it is refused."""
    hostile = {"cluster": "c", "database": wrong["database"]}
    if wrong["override"] is not None:
        hostile["override"] = {"total": wrong["override"]}
    games = {game: {"cluster": "c", "database": database} for game, database in good.items()} | {"hh": hostile}
    try:
        return a_profile(folder, clusters={"c": cluster}, games=games, metrics=METRICS, extract_deadline_s=20)
    except (ProfileError, ValueError, UnicodeError):
        return None  # refused before anything is asked, or nothing that YAML can write


def others_are_as_ever(found: dict[str, Outcome]) -> None:
    assert len(found) == 6
    for game in ("aa", "zz"):
        assert (found[f"{game}/total/20240501"].value, found[f"{game}/heads/20240501"].value) == (10, 5)
    for outcome in found.values():
        assert outcome.outcome in ("ok", "failed", "not_ready")
        assert (outcome.outcome == "ok") == (outcome.value is not None)
        assert outcome.reason != "stage_died"
        assert (outcome.message or "").isprintable()


@pytest.mark.parametrize("kind", [*CONTENTS, *FILES])
def test_each_kind_of_trouble_is_one_games_own(tmp_path: Path, kind: str) -> None:
    """Every file that is none, one by one."""
    wrong: dict[str, Any] = dict.fromkeys(("content", "documents", "file", "override", "at")) | {"database": "hh"}
    no_others_figure_changes(tmp_path, wrong | {"content" if kind in CONTENTS else "file": kind})


@MANY
@given(wrong=hostility())
def test_no_trouble_of_one_game_changes_anothers_figure(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[str, Any]
) -> None:
    """Any profile entry, name, file and document at once: the others' figures are those of a quiet night."""
    no_others_figure_changes(tmp_path_factory.mktemp("world"), wrong)


@pytest.mark.long
@settings(MANY, max_examples=3000)
@given(wrong=hostility())
def test_no_trouble_of_one_game_changes_anothers_figure_however_long_one_looks(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[str, Any]
) -> None:
    """The same, many times over."""
    no_others_figure_changes(tmp_path_factory.mktemp("world"), wrong)


# The same on a server, and through the table


@pytest.mark.parametrize("source", [pytest.param(name, marks=pytest.mark.service(name)) for name in SERVERS])
@settings(MANY, max_examples=60)
@given(wrong=hostility())
def test_no_trouble_of_one_game_on_a_server_changes_anothers_figure(
    tmp_path_factory: pytest.TempPathFactory, source: str, holder: ServerHolder, wrong: dict[str, Any]
) -> None:
    """Of live clusters too: whatever documents a database holds and whatever it is called."""
    good = holder.hold({"stats": GOOD})
    stats = holder.client["hh"]["stats"]
    stats.drop()
    for document in GOOD if wrong["documents"] is None else wrong["documents"]:
        # What the driver or the server does not take, nobody's database holds.
        with contextlib.suppress(PyMongoError, bson.errors.BSONError, OverflowError, ValueError):
            stats.insert_one(dict(document))
    folder = tmp_path_factory.mktemp("world")
    read = profile_beside(folder, wrong, {**holder.settings, "max_time_ms": 5000}, {"aa": good, "zz": good})
    if read is not None:
        others_are_as_ever(by_task(ask(read, MAY_1)))


KEYS = ("content", "documents", "file", "override", "at")


def published(folder: Path, wrong: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Run the command, first as all is well and then with what is wrong; return who reads what, and what it said."""
    made(folder, dict.fromkeys(KEYS) | {"database": "hh"})
    (folder / "dump" / "hh" / "stats.bson").write_bytes(WHOLE)
    with in_process(pytest.MonkeyPatch(), World(folder)) as world:
        assert profile_beside(
            folder, dict.fromkeys(KEYS) | {"database": "hh"}, {"dump": "dump"}, {"aa": "aa", "zz": "zz"}
        )
        assert world.command("run", "--date", "2024-05-01")["exit_status"] == 0
        shutil.rmtree(folder / "dump")
        made(folder, wrong)
        if profile_beside(folder, wrong, {"dump": "dump"}, {"aa": "aa", "zz": "zz"}) is None:
            return None, None
        done = world.command("run", "--date", "2024-05-01")
        return rows_in(folder / "warehouse", "dt=20240501"), done


def no_others_row_changes(folder: Path, wrong: dict[str, Any]) -> None:
    rows, done = published(folder, wrong)
    if done is None:
        return
    assert done["exit_status"] in (0, 3), done["error"]
    others = {key: value for key, value in rows.items() if not key.startswith("hh/")}
    assert others == {"aa/total": 10, "aa/heads": 5, "zz/total": 10, "zz/heads": 5}
    new = {task["type"]: task["value"] for task in done["data"]["tasks"] if task["game_cd"] == "hh"}
    before = {"total": 10, "heads": 5}
    kept = {f"hh/{type_}": before[type_] if value is None else value for type_, value in new.items()}
    assert {key: value for key, value in rows.items() if key.startswith("hh/")} == kept


@settings(MANY, max_examples=10)
@given(wrong=hostility())
def test_no_trouble_of_one_game_changes_anothers_row(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[str, Any]
) -> None:
    """Through the whole run, into the table: others' rows are a quiet night's, its own are new or those of before."""
    no_others_row_changes(tmp_path_factory.mktemp("world"), wrong)


@pytest.mark.parametrize("kind", ["cut", "a bomb", "a pipe", "names in EUC-KR", "a name with controls", "a long name"])
def test_each_kind_of_trouble_costs_no_row(tmp_path: Path, kind: str) -> None:
    """The kinds that reach furthest, one by one."""
    wrong: dict[str, Any] = dict.fromkeys(KEYS) | {"database": "hh"}
    no_others_row_changes(tmp_path, wrong | {"content" if kind in CONTENTS else "file": kind})
