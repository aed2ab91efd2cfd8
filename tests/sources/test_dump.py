"""mongodump folders: read to the end or refused, in memory that does not grow."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import struct
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import bson
import pytest
from bson import Code, DBRef, Int64, ObjectId, Regex

from bigmama_nb.errors import SourceError
from bigmama_nb.sources.dump import Dump
from tests.sources.asking import a_profile, ask, by_task, said, write_dump

MAY_1 = date(2024, 5, 1)
COUNT = {"collection": "stats", "date": {"field": "dt", "as": "yyyymmdd"}, "value": {"count": True}, "period": "day"}
DOCUMENTS = [{"_id": n, "dt": "20240501", "name": "x" * n} for n in range(3)]
ENDS = [0]
for _document in DOCUMENTS:
    ENDS.append(ENDS[-1] + len(bson.encode(_document)))


def profile_of(tmp_path: Path, **metric: Any) -> Any:
    return a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump"}},
        games={"lw": {"cluster": "c", "database": "lw"}},
        metrics={"m": {**COUNT, **metric}},
    )


def outcome(tmp_path: Path, **metric: Any) -> Any:
    return by_task(ask(profile_of(tmp_path, **metric), MAY_1))["lw/m/20240501"]


@pytest.mark.parametrize("cut", range(ENDS[-1]))
def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path, cut: Any) -> None:
    """A file that ends within a document is refused with that document's offset; nothing of it is used.

    (Cut between two documents it is a whole, shorter file: BSON files have no end mark.)
    """
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS})
    path = tmp_path / "dump" / "lw" / "stats.bson"
    path.write_bytes(path.read_bytes()[:cut])
    found = outcome(tmp_path)
    if cut in ENDS:
        assert said(found) == (ENDS.index(cut) or "not_ready")
        return
    assert said(found) == "source_corrupt"
    broken = max(end for end in ENDS if end < cut)
    assert f"lw/stats.bson: at byte {broken} a document begins of which {cut - broken} bytes are there" in str(
        found.message
    )
    assert "Nothing of the file was used; dump the collection again." in str(found.message)
    assert found.place == f"{path} byte {broken}"


def test_a_compressed_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """A .bson.gz that ends anywhere but at its end is refused, between two documents too."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS}, packed=True)
    path = tmp_path / "dump" / "lw" / "stats.bson.gz"
    content = path.read_bytes()
    assert said(outcome(tmp_path)) == 3
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        found = outcome(tmp_path)
        assert said(found) == "source_corrupt", cut
        assert "lw/stats.bson.gz: at byte" in str(found.message)


@pytest.mark.parametrize("packed", [False, True])
def test_a_flipped_bit_never_stops_the_others(tmp_path: Path, packed: Any) -> None:
    """Whatever byte is wrong, the game gets one outcome, and the other game its value; gzip notices every content."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS}, packed=packed)
    write_dump(tmp_path / "dump", "bns", {"stats": DOCUMENTS})
    path = tmp_path / "dump" / "lw" / ("stats.bson.gz" if packed else "stats.bson")
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump"}},
        games={game: {"cluster": "c", "database": game} for game in ("lw", "bns")},
        metrics={"m": COUNT},
    )
    content = path.read_bytes()
    reasons = set()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x81]) + content[at + 1 :])
        found = by_task(ask(profile, MAY_1))
        assert said(found["bns/m/20240501"]) == 3
        reasons.add(said(found["lw/m/20240501"]))
    assert "source_corrupt" in reasons
    assert "stage_died" not in reasons
    if packed:
        assert reasons <= {"source_corrupt", 3}  # 3: bytes of gzip's head that say nothing


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"\x04\x00\x00\x00\x00", "says that it has 4 bytes"),
        (b"\xff\xff\xff\x7f\x00", "says that it has 2147483647 bytes"),
        (b"\xff\xff\xff\xff\x00", "says that it has -1 bytes"),
        (b"\x06\x00\x00\x00\x01\x00", "a document is broken"),
        (b"\x05\x00\x00\x00\x01", "a document is broken"),
    ],
)
def test_a_broken_document_is_named_by_its_offset(tmp_path: Path, broken: Any, words: Any) -> None:
    """A document whose length or content cannot be is refused with the byte where it begins."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS})
    path = tmp_path / "dump" / "lw" / "stats.bson"
    content = path.read_bytes()
    path.write_bytes(content[: ENDS[2]] + broken + content[ENDS[2] :])
    found = outcome(tmp_path)
    assert said(found) == "source_corrupt"
    assert f"at byte {ENDS[2]} " in str(found.message)
    assert words in str(found.message)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("nothing", ["the folder", "of cluster c is not there"]),
        ("folder", ["has no database 'lw'; it has none."]),
        ("other database", ["has no database 'lw'; it has lw2.", "Did you mean 'lw2'? Nothing is"]),
        (
            "other collection",
            ["has no collection 'stats' in database 'lw'; it has stat.", "Did you mean 'stat'? Nothing is"],
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, make: Any, words: Any) -> None:
    """A missing folder, database or collection is source_missing, and the message says what is there instead."""
    if make != "nothing":
        (tmp_path / "dump").mkdir()
    if make == "other database":
        write_dump(tmp_path / "dump", "lw2", {"stats": []})
    if make == "other collection":
        write_dump(tmp_path / "dump", "lw", {"stat": []})
        (tmp_path / "dump" / "lw" / "stat.metadata.json").write_text("{}")
    found = outcome(tmp_path)
    assert said(found) == "source_missing"
    for word in [*words, "run 'run_all.py repair latest'"]:
        assert word in str(found.message)


def test_two_files_of_one_collection_are_refused(tmp_path: Path) -> None:
    """Where stats.bson and stats.bson.gz both lie there, none is taken in silence."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS})
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS}, packed=True)
    found = outcome(tmp_path)
    assert said(found) == "source_corrupt"
    assert "both stats.bson and stats.bson.gz" in str(found.message)


def test_a_file_that_cannot_be_read_is_unreachable(tmp_path: Path) -> None:
    """An error of the disk costs its game only, and says what the system said."""
    folder = tmp_path / "dump" / "lw"
    folder.mkdir(parents=True)
    # /proc/self/mem opens and fails to be read, as a disk does whose sectors are bad.
    (folder / "stats.bson").symlink_to("/proc/self/mem")
    found = outcome(tmp_path)
    assert said(found) == "unreachable"
    assert "cannot be read: Input/output error" in str(found.message)


def test_a_collections_name_may_need_escaping(tmp_path: Path) -> None:
    """mongodump writes `a/b` as a%2Fb.bson, and it is found there."""
    write_dump(tmp_path / "dump", "lw", {"a%2Fb": DOCUMENTS})
    assert said(outcome(tmp_path, collection="a/b")) == 3


@pytest.mark.parametrize("number", ["00", "01", "٠", "-1", "9" * 5000])
def test_only_a_number_as_mongodb_counts_is_an_elements(tmp_path: Path, number: str) -> None:
    """`a.00` is a field called 00 for MongoDB, and no element; before, a dump gave another figure than its cluster."""
    write_dump(tmp_path / "dump", "lw", {"stats": [{**document, "a": [1, 1]} for document in DOCUMENTS]})
    assert said(outcome(tmp_path, match={"a.0": 1})) == 3
    assert said(outcome(tmp_path, match={f"a.{number}": 1})) in ("path_unknown", "type_unknown")


@pytest.mark.parametrize(("collection", "file"), [("$c", "%24c"), ("a b:c", "a%20b%3Ac"), ("a/b", "a%2fb")])
def test_a_name_that_another_tool_escaped_is_found(tmp_path: Path, collection: str, file: str) -> None:
    """mongodump leaves `$` and `:` as they are; before, such a file was offered by its name and not found by it."""
    write_dump(tmp_path / "dump", "lw", {file: DOCUMENTS})
    assert said(outcome(tmp_path, collection=collection)) == 3


def test_a_collections_name_leads_nowhere_else(tmp_path: Path) -> None:
    """A name with `../` in it is a name, and no way to another game's file."""
    write_dump(tmp_path / "dump", "lw", {"other": DOCUMENTS})
    write_dump(tmp_path / "dump", "lm", {"stats": DOCUMENTS})
    found = outcome(tmp_path, collection="../lm/stats")
    assert said(found) == "source_missing"
    assert "has no collection '../lm/stats' in database 'lw'; it has other." in str(found.message)


def test_documents_larger_than_a_piece_are_read(tmp_path: Path) -> None:
    """Documents of up to 16 MB, across the pieces in which a file is read, are all counted."""
    documents = [{"dt": "20240501", "blob": b"x" * size} for size in (10, 3_000_000, 10, 15_900_000, 1_048_000, 600)]
    write_dump(tmp_path / "dump", "lw", {"stats": documents})
    assert said(outcome(tmp_path)) == 6


def test_inputs_and_load_say_what_was_read(tmp_path: Path) -> None:
    """Each file is named once with its size and checksum, and the load counts files, documents and bytes."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS, "other": DOCUMENTS[:1]}, packed=True)
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump"}},
        games={"lw": {"cluster": "c", "database": "lw"}},
        metrics={"m": COUNT, "n": {**COUNT, "period": "month"}, "o": {**COUNT, "collection": "other"}},
    )
    extraction = ask(profile, MAY_1)
    content = {
        str(path): path.read_bytes() for path in (tmp_path / "dump" / "lw" / f"{n}.bson.gz" for n in ("other", "stats"))
    }
    assert [(path, len(one), hashlib.sha256(one).hexdigest()) for path, one in content.items()] == [
        (found.path, found.size, found.sha256) for found in extraction.inputs
    ]
    (load,) = extraction.load
    assert ("c", 2, 4, sum(map(len, content.values()))) == (load.cluster, load.queries, load.documents, load.bytes)


PEAK = """
import resource, sys
from datetime import date
from pathlib import Path
from tests.sources.asking import ask
from bigmama_nb import profile
found = ask(profile.read(sys.argv[1]), date(2024, 5, 1)).outcomes
print(found[0].value, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("packed", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, packed: Any) -> None:
    """A file sixteen times as long costs no more memory than the short one (to 4 MB), and all of it is counted."""
    profile = profile_of(tmp_path)
    (tmp_path / "dump" / "lw").mkdir(parents=True)
    peaks = []
    for times in (1, 16):
        name = "stats.bson.gz" if packed else "stats.bson"
        with (gzip.open if packed else open)(tmp_path / "dump" / "lw" / name, "wb") as file:
            for part in range(times):
                first = part * 40_000
                documents = ({"_id": first + n, "dt": "20240501", "name": "x" * 50} for n in range(40_000))
                file.write(b"".join(map(bson.encode, documents)))
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, profile.path],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        counted, peak = map(int, ran.stdout.split())
        assert counted == 40_000 * times
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 4, peaks


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, 3, 1],
        [3, 2, 1, 2.0],
        [{"day": 1}, {"day": 2}, {"day": 1}],
        ["b", "a", "b"],
        [ObjectId("5f0000000000000000000001"), 5, ObjectId("5f0000000000000000000001")],
        [*range(100_000), 99],
    ],
    ids=lambda ids: str(ids)[:40],
)
def test_an_id_that_stands_in_a_file_twice_is_refused(tmp_path: Path, ids: Any) -> None:
    """Two dumps appended, or orphans of a moved chunk: nothing is counted twice, and the _id is named."""
    write_dump(tmp_path / "dump", "lw", {"stats": [{"_id": one, "dt": "20240501"} for one in ids]})
    found = outcome(tmp_path)
    assert said(found) == "source_corrupt"
    assert f"the _id {ids[-1]!r} stands in it twice" in str(found.message).replace('"', "'") or "_id" in str(
        found.place
    )
    assert "Nothing of the file was used" in str(found.message)


def test_ids_in_any_order_are_read(tmp_path: Path) -> None:
    """A dump by --forceTableScan has its documents in no order; ids of one text and number are two."""
    ids = [
        3,
        1,
        "1",
        2,
        "0",
        {"a": 1},
        {"a": 2},
        Int64(7),
        2.5,
        ObjectId("5f0000000000000000000001"),
        *range(9, 90_000),
    ]
    write_dump(tmp_path / "dump", "lw", {"stats": [{"_id": one, "dt": "20240501"} for one in ids]})
    assert said(outcome(tmp_path)) == len(ids)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text,
        lambda text: {"day": text},
        lambda text: {text: 1},
        lambda text: [[text], False],
        lambda text: Code("f()", {"x": text}),
        lambda text: DBRef("c", text),
        lambda text: {"code": Code(text), "like": Regex(text, "")},
    ],
    ids=["text", "value", "name", "array", "scope", "reference", "code"],
)
@pytest.mark.parametrize("twice", [False, True])
def test_ids_of_texts_that_are_not_utf_8_are_told_apart(tmp_path: Path, wrap: Any, twice: Any) -> None:
    """Wherever in an `_id` the text stands: two that differ are two, and one that comes again is refused."""
    other = b"\xfe\xff" if twice else b"\xfd\xff"
    ids = [(wrap("#1"), b"\xfe\xff"), (wrap("#0"), b"\xfa\xff"), (wrap("#1"), other)]
    folder = tmp_path / "dump" / "lw"
    folder.mkdir(parents=True)
    documents = [
        bson.encode({"_id": one, "dt": "20240501"}).replace(b"#1", bad).replace(b"#0", bad) for one, bad in ids
    ]
    (folder / "stats.bson").write_bytes(b"".join(documents))
    found = outcome(tmp_path)
    assert said(found) == ("source_corrupt" if twice else 3)


def test_ids_that_are_deeply_nested_are_told_apart(tmp_path: Path) -> None:
    """However deep a document is that can be decoded, as no server makes one."""

    def nested(leaf: int) -> bytes:
        content = bson.encode({"leaf": leaf})
        for _ in range(600):
            body = b"\x03a\0" + content + b"\0"
            content = struct.pack("<i", len(body) + 4) + body
        body = b"\x03_id\0" + content + bson.encode({"dt": "20240501"})[4:]
        return struct.pack("<i", len(body) + 4) + body

    folder = tmp_path / "dump" / "lw"
    folder.mkdir(parents=True)
    (folder / "stats.bson").write_bytes(nested(2) + nested(1) + nested(3))
    assert said(outcome(tmp_path)) == 3
    (folder / "stats.bson").write_bytes(nested(2) + nested(1) + nested(2))
    assert said(outcome(tmp_path)) == "source_corrupt"


def raw(*pairs: tuple[str, object]) -> bytes:
    """A document in which a name may stand twice."""
    body = b"".join(bson.encode({name: value})[4:-1] for name, value in pairs) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ([("dt", "20240430"), ("dt", "20240501")], "dt"),
        ([("dt", "20240501"), ("v", 5), ("x", b"\0v\0"), ("r", Regex("a", "i")), ("v", 7)], "v"),
    ],
)
def test_a_field_that_stands_twice_in_a_document_is_refused(tmp_path: Path, pairs: Any, name: Any) -> None:
    """Which of the two is right nobody can tell; MongoDB compares the first, drivers keep the last."""
    folder = tmp_path / "dump" / "lw"
    folder.mkdir(parents=True)
    whole = bson.encode({"_id": 1, "dt": "20240501", "v": 1})
    (folder / "stats.bson").write_bytes(whole + raw(("_id", 2), *pairs))
    found = outcome(tmp_path, value={"sum": "v"})
    assert said(found) == "source_corrupt"
    assert f"at byte {len(whole)} a document has the field '{name}' twice" in str(found.message)


def test_a_field_of_one_name_at_several_places_is_read(tmp_path: Path) -> None:
    """Within documents and arrays, as the end of another name, and in a text, a name may stand again."""
    one = {"dt": "20240501", "v": 1, "w": {"v": 2, "dt": [{"v": 1}, {"v": 2}]}, "dtv": "v\0dt\0", "vv": Code("v")}
    write_dump(tmp_path / "dump", "lw", {"stats": [{"_id": n, **one} for n in range(3)]})
    assert said(outcome(tmp_path, value={"sum": "v"})) == 3


def test_a_compressed_file_without_its_name_is_read(tmp_path: Path) -> None:
    """What begins as gzip does and is compressed is unpacked; a document that begins with the same bytes is none."""
    write_dump(tmp_path / "dump", "lw", {"stats": DOCUMENTS})
    path = tmp_path / "dump" / "lw" / "stats.bson"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert said(outcome(tmp_path)) == 3
    document = {"_id": 1, "dt": "20240501", "x": b""}
    document["x"] = b"x" * (0x00088B1F - len(bson.encode(document)))
    path.write_bytes(bson.encode(document))
    assert path.read_bytes()[:4] == b"\x1f\x8b\x08\x00"
    assert said(outcome(tmp_path)) == 1


def test_several_compressed_files_joined_to_one_are_read(tmp_path: Path) -> None:
    """As gzip itself reads them; mongodump writes one, and a cut between two of them nobody can see."""
    folder = tmp_path / "dump" / "lw"
    folder.mkdir(parents=True)
    (folder / "stats.bson.gz").write_bytes(b"".join(gzip.compress(bson.encode(one)) for one in DOCUMENTS))
    assert said(outcome(tmp_path)) == 3


@pytest.mark.parametrize("where", ["cluster", "collection"])
def test_an_archive_is_refused_in_words(tmp_path: Path, where: Any) -> None:
    """mongodump --archive writes one file of all collections: the message says what is expected."""
    content = b"\x6d\xe2\x99\x81" + bson.encode({"version": "0.1"})
    if where == "cluster":
        (tmp_path / "dump").write_bytes(content)
    else:
        (tmp_path / "dump" / "lw").mkdir(parents=True)
        (tmp_path / "dump" / "lw" / "stats.bson").write_bytes(content)
    found = outcome(tmp_path)
    assert said(found) == ("source_missing" if where == "cluster" else "source_corrupt")
    assert "archive" in str(found.message)
    assert "--out" in str(found.message)


@pytest.mark.parametrize("collection", ["stats", "system.buckets.stats"])
def test_buckets_are_no_measurements(tmp_path: Path, collection: Any) -> None:
    """Of a time-series collection a dump holds its buckets: refused by name, and never offered."""
    write_dump(tmp_path / "dump", "lw", {"system.buckets.stats": DOCUMENTS, "other": []})
    found = outcome(tmp_path, collection=collection)
    assert said(found) == "source_missing"
    assert "stats of 'lw' is a time-series collection" in str(found.message)
    assert "system.buckets" not in outcome(tmp_path, collection="stat").message


def test_a_long_collections_name_is_found_as_mongodump_shortens_it(tmp_path: Path) -> None:
    """Beyond 238 bytes escaped it is 208 of them, %24 and a checksum in base64."""
    name = "일간_활성_이용자_지표_모바일_전체_서버_합산_결과_이천이십사년도_본"
    digest = base64.urlsafe_b64encode(hashlib.sha1(name.encode()).digest()).decode().rstrip("=")
    write_dump(tmp_path / "dump", "lw", {f"{quote(name)[:208]}%24{digest}": DOCUMENTS})
    assert said(outcome(tmp_path, collection=name)) == 3


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("dump/ncmc2/lw", "dump/ncmc2"),
        ("dump/ncmc2/gone", "dump/ncmc2"),
        ("dump/ncmc2/lw/stats.bson", "dump/ncmc2"),
        ("dump/ncmc2/lw/old", "dump/ncmc2"),
        ("dump", "dump/ncmc2"),
        (".", "dump/ncmc2"),
    ],
)
def test_a_folder_that_is_levels_off_is_told_which_would_do(tmp_path: Path, named: Any, meant: Any) -> None:
    """One or two too deep and too high, a file of the dump: the message names the folder that has the database."""
    write_dump(tmp_path / "dump" / "ncmc2", "lw", {"stats": DOCUMENTS})
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": named}},
        games={"lw": {"cluster": "c", "database": "lw"}},
        metrics={"m": COUNT},
    )
    found = by_task(ask(profile, MAY_1))["lw/m/20240501"]
    assert said(found) == "source_missing"
    assert f"{tmp_path / meant} has it: name that folder as the cluster's dump." in str(found.message)


@pytest.mark.parametrize(
    "name", [b"\xb8\xde\xb8\xf0", b"x\x1b]0;PWNED\x07\x1b[2J\r\n9 of 9 figures published"], ids=["EUC-KR", "escapes"]
)
def test_a_files_odd_name_costs_its_own_game_and_is_shown_escaped(tmp_path: Path, name: Any) -> None:
    """Names that are no text, or that a terminal obeys: one line, printable, and the other game is read."""
    write_dump(tmp_path / "dump", "lw", {})
    write_dump(tmp_path / "dump", "bns", {"stats": DOCUMENTS})
    Path(os.fsdecode(os.fsencode(tmp_path / "dump" / "lw") + b"/" + name + b".bson")).write_bytes(b"")
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": "dump"}},
        games={game: {"cluster": "c", "database": game} for game in ("lw", "bns")},
        metrics={"m": COUNT},
    )
    found = by_task(ask(profile, MAY_1))
    assert said(found["bns/m/20240501"]) == 3
    assert said(found["lw/m/20240501"]) == "source_missing"
    message = str(found["lw/m/20240501"].message)
    assert message.isprintable()
    assert message.encode()


def test_several_folders_that_would_do_are_all_named(tmp_path: Path) -> None:
    """Which of them is meant only the profile's writer knows."""
    for cluster in ("ncmc3", "ncmc2"):
        write_dump(tmp_path / "dump" / cluster, "lw", {"stats": DOCUMENTS})
    with pytest.raises(SourceError) as caught:
        Dump("c", tmp_path / "dump", ZoneInfo("Asia/Seoul"), check=lambda: None).path("lw", "stats")
    folders = f"{tmp_path}/dump/ncmc2, {tmp_path}/dump/ncmc3"
    assert f" {folders} have it: name the right one as the cluster's dump." in caught.value.message


def test_a_folder_three_levels_off_is_only_said_not_to_have_it(tmp_path: Path) -> None:
    """Nothing is guessed from afar."""
    write_dump(tmp_path / "a" / "b" / "c", "lw", {"stats": DOCUMENTS})
    with pytest.raises(SourceError) as caught:
        Dump("c", tmp_path, ZoneInfo("Asia/Seoul"), check=lambda: None).path("lw", "stats")
    assert caught.value.message == f"the dump {tmp_path} has no database 'lw'; it has a."
