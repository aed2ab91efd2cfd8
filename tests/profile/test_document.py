"""Whatever lies where a profile is looked for: it is read, or refused in a line; nothing hangs, nothing breaks off."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigmama_nb import profile
from bigmama_nb.errors import ProfileError
from bigmama_nb.profile.document import BYTES

PLACES = "warehouse: {uri: wh}\narchive: {uri: ar}\n"
METRIC = (
    "clusters: {k: {dump: dump}, l: {uri_env: URI}}\ngames: {a: {cluster: k, database: db}}\n"
    "metrics: {m: {collection: c, date: {field: dt, as: yyyymmdd}, value: {sum: v}, period: day}}\n"
)
LIVE = "live_play: {sources: {uri: src}}\n"


def refusal(path: Path) -> str:
    with pytest.raises(ProfileError) as refused:
        profile.read(path)
    return str(refused.value)


def of(folder: Path, text: str) -> str:
    (folder / "p.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return refusal(folder / "p.yaml")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Nobody writes to it, so that reading it would never end."""
    os.mkfifo(tmp_path / "p.yaml")
    said = refusal(tmp_path / "p.yaml")
    assert said == f"{tmp_path}/p.yaml: the profile is a pipe; expected a file. Nothing was run."


def test_a_folder_a_device_and_a_socket_are_refused(tmp_path: Path) -> None:
    """Each by its kind."""
    assert f"{tmp_path}: the profile is a folder; expected a file" in refusal(tmp_path)
    assert "/dev/zero: the profile is a device; expected a file" in refusal(Path("/dev/zero"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert "s: the profile is a socket; expected a file" in refusal(tmp_path / "s")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    """A dump named by mistake: refused by its size, with no memory for what it holds."""
    with (tmp_path / "p.yaml").open("wb") as file:
        file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(tmp_path / "p.yaml") == (
        f"{tmp_path}/p.yaml: the profile has more than {BYTES:,} bytes; is it another file? Nothing was run."
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_home_of_nobody_is_no_place(tmp_path: Path) -> None:
    """As the profile's path and as a path in it."""
    assert refusal(Path("~nobodyx/p.yaml")) == (
        "~nobodyx/p.yaml: the profile cannot be read (this machine knows no user '~nobodyx'). Nothing was run."
    )
    assert of(tmp_path, 'warehouse: {uri: "~nobodyx/wh"}\narchive: {uri: "~nobodyx/ar"}\n') == (
        "p.yaml: warehouse.uri is '~nobodyx/wh'; this machine knows no such user. Nothing was run.\n"
        "p.yaml: archive.uri is '~nobodyx/ar'; this machine knows no such user. Nothing was run."
    )


def test_links_without_end_are_no_place(tmp_path: Path) -> None:
    """A dump's folder that is a link to itself."""
    (tmp_path / "loop").symlink_to("loop")
    assert of(tmp_path, PLACES + METRIC.replace("dump: dump", "dump: loop")) == (
        "p.yaml: clusters.k.dump is 'loop'; its symbolic links have no end. Nothing was run."
    )
    (tmp_path / "q.yaml").symlink_to("q.yaml")
    assert "q.yaml: the profile cannot be read (Too many levels of symbolic links)" in refusal(tmp_path / "q.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            PLACES + METRIC.replace("collection: c,", "collection: c, match: &m {$or: [*m]},"),
            "metrics.m.match.$or.0 is an alias of what it stands in, and so has no end",
        ),
        (PLACES + "games: &g {a: *g}", "games.a is an alias of what it stands in, and so has no end"),
        ("a: " + "[" * 3000, "nested deeper than 50 levels"),
        (PLACES + "x: " + "[" * 60 + "]" * 60, "x.0.0.0.0 is nested deeper than 50 levels"),
        (
            PLACES + "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)),
            "holds more than 200,000 values once its aliases are followed",
        ),
        (PLACES + "stage_timeout_s: 0x" + "f" * 5000, "stage_timeout_s is a whole number beyond 64 bits"),
        (PLACES + "stage_timeout_s: " + "9" * 5000, "a whole number is too long"),
        (PLACES + METRIC.replace("collection: c,", "collection: c, match: {a: 9223372036854775808},"),
         "metrics.m.match.a is a whole number beyond 64 bits"),
        (PLACES + METRIC.replace("database: db", 'database: "d\\0b"'),
         "games.a.database holds the character NUL, which no name has"),
        ('warehouse: {uri: "w\\0h"}\narchive: {uri: ar}\n', "warehouse.uri holds the character NUL, which no name has"),
        (PLACES + 'games: {"a\\uD83D": 1}', "games holds half a surrogate pair, which is no character"),
        (PLACES + 'x: !!int ""', "not valid YAML (IndexError)"),
    ],
    ids=lambda text: text[-40:],
)  # fmt: skip
def test_what_a_run_would_stumble_over_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Aliases of themselves, depth, numbers beyond 64 bits, halves of characters."""
    assert of(tmp_path, text) == f"p.yaml: {said}. Nothing was run."


def test_what_is_shared_by_an_alias_is_read(tmp_path: Path) -> None:
    """An alias that ends is the plain thing again; a character in two halves, as JSON writes it, is the character."""
    (tmp_path / "p.yaml").write_text(
        PLACES
        + 'clusters: {k: {dump: d}}\ngames:\n  a: &g {cluster: k, database: db, name: "\\uD83C\\uDFAE"}\n  b: *g\n'
    )
    read = profile.read(tmp_path / "p.yaml")
    assert read.games["a"] == read.games["b"]
    assert read.games["a"].name == "\N{VIDEO GAME}"


BOUNDS = {
    "grace_hours": ("warehouse: {uri: wh, grace_hours: X}\narchive: {uri: ar}\n", 0, 87_600),
    "lock_wait_s": ("warehouse: {uri: wh, lock_wait_s: X}\narchive: {uri: ar}\n", 0, 86_400),
    "keep_days": ("warehouse: {uri: wh}\narchive: {uri: ar, keep_days: X}\n", 0, 36_500),
    "max_staleness_s": (PLACES + METRIC.replace("uri_env: URI", "uri_env: URI, max_staleness_s: X"), 90, 86_400),
    "max_time_ms": (PLACES + METRIC.replace("uri_env: URI", "uri_env: URI, max_time_ms: X"), 1, 86_400_000),
    "max_concurrency": (PLACES + METRIC.replace("uri_env: URI", "uri_env: URI, max_concurrency: X"), 1, 1_000),
    "retries": (PLACES + METRIC.replace("uri_env: URI", "uri_env: URI, retries: X"), 0, 100),
    "trailing_days": (PLACES + METRIC.replace("period: day", "period: day, trailing_days: X"), 1, 3_660),
    "scale": (PLACES + METRIC.replace("period: day", "period: day, scale: X").replace("count: true", "sum: v"), 1, 9),
    "stage_timeout_s": (PLACES + "stage_timeout_s: X", 1, 604_800),
    "extract_deadline_s": (PLACES + "extract_deadline_s: X", 1, 604_800),
    "log_days_before": (PLACES + LIVE.replace("uri: src}", "uri: src}, log_days_before: X"), 0, 366),
    "log_days_after": (PLACES + LIVE.replace("uri: src}", "uri: src}, log_days_after: X"), 0, 366),
    "max_live_days": (PLACES + LIVE.replace("uri: src}", "uri: src}, max_live_days: X"), 1, 366),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_every_number_has_bounds(tmp_path: Path, name: str) -> None:
    """At both bounds it is read; beyond them it is refused in words, by the profile and not by a run."""
    text, low, high = BOUNDS[name]
    for within in (low, high):
        (tmp_path / "p.yaml").write_text(text.replace("X", str(within)))
        profile.read(tmp_path / "p.yaml")
    for beyond, words in (
        (low - 1, f"greater than or equal to {low}"),
        (high + 1, f"less than or equal to {high}"),
        (10**12, f"less than or equal to {high}"),
    ):
        said = of(tmp_path, text.replace("X", str(beyond)))
        assert f"{name} is {beyond}; it should be {words}. Nothing was run." in said


ANY_WHOLE_NUMBER = {"empty", "min", "max"}
"""What is compared with a figure, and so may be whatever a figure is: 64 bits, which every number is held to."""


def test_every_number_of_a_profile_is_among_them() -> None:
    """No key of the kind is forgotten, whatever is added."""

    def numbers(schema: dict[str, object]) -> set[str]:
        found: set[str] = set()
        for name, one in schema.get("properties", {}).items():  # type: ignore[attr-defined]
            kinds = [one, *one.get("anyOf", ())]
            if any(kind.get("type") in ("integer", "number") for kind in kinds):
                assert any("maximum" in kind for kind in kinds) or name in ANY_WHOLE_NUMBER, name
                found.add(name)
        return found

    schema = profile.Profile.model_json_schema()
    every = set().union(numbers(schema), *map(numbers, schema["$defs"].values()))
    assert every == {*BOUNDS, *ANY_WHOLE_NUMBER, "max_rejected_share", "max_change_percent", "scale"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLACES + "dates: {from: 0001-01-01, to: 2024-01-01}",
         "dates.from is 0001-01-01; expected a day from 1970-01-01 to 2199-12-31"),
        (PLACES + "dates: {from: 2024-01-01, to: 9999-12-31}",
         "dates.to is 9999-12-31; expected a day from 1970-01-01 to 2199-12-31"),
        (PLACES + METRIC.replace("collection: c", f"collection: {'x' * 300}"),
         "games.a: its database and the collection of m make a name of 303 bytes; MongoDB has none beyond 255"),
        (PLACES + METRIC.replace("database: db", "database: db, override: {m: {collection: " + "x" * 300 + "}}"),
         "games.a: its database and the collection of m make a name of 303 bytes; MongoDB has none beyond 255"),
        (PLACES + "engine: {memory_limit: 0.0GB}", "engine.memory_limit is '0.0GB'; expected a size such as '4GB'"),
        (PLACES + "engine: {memory_limit: 9999999999TB}",
         "engine.memory_limit is '9999999999TB'; expected a size such as '4GB'"),
        ("warehouse: {uri: wh, metastore: 'thrift://m:99999'}\narchive: {uri: ar}\n",
         "warehouse has the metastore 'thrift://m:99999'; expected thrift://host:9083"),
    ],
    ids=lambda text: text[-40:],
)  # fmt: skip
def test_days_sizes_ports_and_names_have_bounds(tmp_path: Path, text: str, said: str) -> None:
    """What would break off within a run that `check` passed."""
    assert of(tmp_path, text) == f"p.yaml: {said}. Nothing was run."


FRAGMENTS = st.lists(
    st.sampled_from(
        [*"{}[]:,-&*!|>'\"#%@?\n\t \\", "a", "&a ", "*a", "<<: ", "!!int ", "!!binary ", "!!set ", "!!omap ",
         "!!float ", "!!timestamp ", "1", "0x1", "1e9", ".nan", "2024-02-30", "---", "%YAML 1.1\n",
         "warehouse: {uri: w}\n",
         "archive: {uri: a}\n", "games: ", "\\ud83d", "~", "null", "\ufeff", "\x00", "한"]
    )
).map("".join)  # fmt: skip


@given(content=st.one_of(FRAGMENTS.map(str.encode), st.binary(max_size=200)))
@example(content=b"? [a]\n: b")
@example(content=b"{[1]: 2}")
@example(content=b"warehouse: {uri: '~'}\narchive: {uri: '~nobodyx'}")
@settings(max_examples=400, deadline=None)
def test_any_file_is_a_profile_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever bytes it holds: a profile, or an error of ours that ends in the state that is left."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    said = "Nothing was run."
    try:
        profile.read(path)
    except ProfileError as refused:
        said = str(refused)
    assert said.endswith("Nothing was run.")


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A folder named in EUC-KR: no record could name the profile, so no run begins."""
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xb0\xcb\xbb\xf6"))
    folder.mkdir()
    (folder / "p.yaml").write_text(PLACES, encoding="utf-8")
    said = refusal(folder / "p.yaml")
    assert said.isprintable()
    assert "\\udcb0" in said
    assert "its path holds bytes that are no text in UTF-8" in said
