"""The sample's dumps: the same bytes each time, whole, and with the trouble that they are meant to have."""

from __future__ import annotations

import gzip
import multiprocessing
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from bigmama_nb import profile, sample
from bigmama_nb.errors import UsageError
from bigmama_nb.profile import Profile
from bigmama_nb.sample import games
from bigmama_nb.sample.folder import STAMP
from bigmama_nb.stages.plausibility import implausible

PARAMETERS = Path(__file__).parent.parent.parent / "parameters"


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return games.generate(tmp_path_factory.mktemp("sample") / "mongodump")


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return games.generate(tmp_path_factory.mktemp("trouble") / "mongodump", trouble=True)


@pytest.fixture(scope="module")
def plain() -> Profile:
    return profile.read(PARAMETERS / "sample.yaml")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def raw(database: Path, collection: str) -> bytes:
    path = database / f"{collection}.bson"
    return path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())


def documents(database: Path, collection: str) -> list[dict[str, Any]]:
    return bson.decode_all(raw(database, collection))


def day_of(value: Any) -> date:
    """Return the day in Seoul, by the field's own kind."""
    if isinstance(value, datetime):
        return (value + timedelta(hours=9)).date()
    if isinstance(value, str):
        return date.fromisoformat(value[:10])
    return (datetime(1970, 1, 1) + timedelta(milliseconds=value, hours=9)).date()  # noqa: DTZ001 only its date is used


def test_same_bytes_each_time(dumps: Path, tmp_path: Path) -> None:
    """Notebooks are committed with the sample's outputs: no clock, no chance, no path stands in a file."""
    assert contents(dumps) == contents(games.generate(tmp_path / "elsewhere"))


def test_what_stands_already_is_left_alone(tmp_path: Path) -> None:
    """A second call writes nothing: not even a file that is gone comes back."""
    folder = games.generate(tmp_path / "mongodump")
    (folder / "ncmc2" / "lw" / "orders.bson").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert folder == games.generate(folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_older_generators_dumps_are_replaced_as_a_whole(tmp_path: Path, dumps: Path) -> None:
    """Another version's stamp means other bytes; nothing of them stays behind."""
    folder = games.generate(tmp_path / "mongodump", trouble=True)
    (folder / "ncmc2" / "left-over.bson").touch()
    assert contents(dumps) == contents(games.generate(folder))
    assert {"mongodump", ".mongodump.lock"} == {path.name for path in tmp_path.iterdir()}


def test_foreign_folder_is_refused_and_left(tmp_path: Path) -> None:
    """A real dump that stands where the sample belongs is never replaced."""
    folder = tmp_path / "mongodump"
    folder.mkdir()
    (folder / "precious.bson").write_bytes(b"x")
    with pytest.raises(UsageError) as caught:
        games.generate(folder)
    expected = (
        f"{folder}: holds files that are not the sample's. Nothing was written; "
        "name another folder in the profile, or move these files."
    )
    assert expected == str(caught.value)
    assert contents(folder) == {"precious.bson": b"x"}


def test_several_processes_at_once_make_one_sample(tmp_path: Path, dumps: Path) -> None:
    """Two stages that start side by side both find it whole."""
    folder = tmp_path / "mongodump"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert [folder] * 3 == pool.map(games.generate, [folder] * 3)
    assert contents(dumps) == contents(folder)


def test_dozen_games_on_two_clusters_as_the_profile_says(dumps: Path, plain: Profile) -> None:
    """Every collection that the profile names is there, and no game that it does not name."""
    assert (12, {"ncmc2", "ncmc3"}) == (len(plain.games), {game.cluster for game in plain.games.values()})
    assert {(game.cluster, game.database) for game in plain.games.values()} == {
        (path.parent.name, path.name) for path in dumps.glob("*/*")
    }
    for (game_cd, _), metric in plain.pairs.items():
        game = plain.games[game_cd]
        assert documents(dumps / game.cluster / game.database, metric.collection)
        if metric.ready is not None:
            assert documents(dumps / game.cluster / game.database, metric.ready.collection)


def test_some_dumps_are_zipped(dumps: Path) -> None:
    """Both forms of a mongodump folder are read by every run of the sample."""
    kinds = Counter(path.name.split(".", 1)[1] for path in dumps.glob("*/*/*"))
    assert kinds["bson"] > 10
    assert kinds["bson.gz"] > 5


def test_every_figure_of_the_ninety_days_is_there(dumps: Path, plain: Profile) -> None:
    """One wau document a day, one mau a month, orders every day and six days before the first."""
    assert plain.dates is not None
    days = [plain.dates.from_ + timedelta(days=n) for n in range((plain.dates.to - plain.dates.from_).days + 1)]
    for game_cd, game in plain.games.items():
        database = dumps / game.cluster / game.database
        wau = plain.pairs[game_cd, "wau"]
        dated = Counter(
            str(document[wau.date.field])[:10].replace("-", "")
            for document in documents(database, wau.collection)
            if document["type"] == "wau"
        )
        assert {1} == {dated[f"{day:%Y%m%d}"] for day in days}
        months = Counter(document["dt"] for document in documents(database, "mobile_index_monthly"))
        assert {1} == {months[month] for month in ("202402", "202403", "202404")}
        if (game_cd, "buyers_7d") in plain.pairs:
            ordered = {day_of(document["orderDate"]) for document in documents(database, "orders")}
            assert {days[0] - timedelta(days=n) for n in range(7)} | set(days) <= ordered


def test_figures_are_plausible_by_the_packages_own_rule(dumps: Path, plain: Profile) -> None:
    """The sample gives no suspects: wau by day, revenue and buyers counted here by hand."""
    judged = 0
    for game_cd, game in plain.games.items():
        database = dumps / game.cluster / game.database
        metric = plain.pairs[game_cd, "wau"]
        wau = {
            str(document[metric.date.field])[:10].replace("-", ""): int(str(document["value"]).split(".")[0])
            for document in documents(database, metric.collection)
            if document["type"] == "wau"
        }
        buyers: dict[str, int] = {}
        if (game_cd, "buyers_7d") in plain.pairs:
            customers: dict[date, set[Any]] = {}
            for document in documents(database, "orders"):
                if "customer" in document:
                    customers.setdefault(day_of(document["orderDate"]), set()).add(document["customer"]["id"])
            for day in sorted(customers)[6:]:
                window = [customers[day - timedelta(days=n)] for n in range(7)]
                buyers[f"{day:%Y%m%d}"] = len(set().union(*window))
        for series in (wau, buyers):
            for dt, value in series.items():
                assert implausible(value, dt, series) is None
                judged += 1
    assert judged > 2000


def test_figures_move_with_week_and_season(dumps: Path) -> None:
    """Weekends are busier, and the Lunar New Year is."""
    orders = Counter(day_of(document["orderDate"]) for document in documents(dumps / "ncmc2" / "lm", "orders"))
    by_weekday = Counter(dict.fromkeys(range(7), 0))
    for day, count in orders.items():
        if date(2024, 2, 5) <= day <= date(2024, 4, 28):
            by_weekday[day.weekday()] += count
    assert min(by_weekday[5], by_weekday[6]) > max(by_weekday[day] for day in range(4))
    wau = {
        document["dt"]: document["value"]
        for document in documents(dumps / "ncmc2" / "lw", "mobile_index_daily")
        if document["type"] == "wau"
    }
    assert wau["20240210"] > 1.03 * wau["20240203"]


def test_trouble_is_where_it_is_meant_to_be(dumps: Path, troubled: Path) -> None:
    """A cut dump, a string for a number, no document for the last day, a missing cluster; the rest byte for byte."""
    assert not (troubled / "ncmc4").exists()
    assert {"h3", "tsm"} == {path.name for path in dumps.glob("*/*")} - {path.name for path in troubled.glob("*/*")}
    for collection in ("mobile_index_daily", "orders"):
        whole, cut = raw(dumps / "ncmc2" / "l2", collection), raw(troubled / "ncmc2" / "l2", collection)
        assert whole.startswith(cut)
        assert len(whole) // 2 < len(cut) < len(whole)
        with pytest.raises(bson.errors.InvalidBSON):
            bson.decode_all(cut)
    texts = [
        document
        for document in documents(troubled / "ncmc3" / "bns", "mobile_index_daily")
        if isinstance(document["value"], str)
    ]
    assert [(document["type"], document["dt"]) for document in texts] == [("wau", "20240501")]
    assert max(document["dt"] for document in documents(troubled / "ncmc3" / "tl", "mobile_index_daily")) == "20240430"
    assert date(2024, 4, 30) == max(
        day_of(document["orderDate"]) for document in documents(troubled / "ncmc3" / "tl", "orders")
    )
    assert max(document["dt"] for document in documents(troubled / "ncmc3" / "tl", "batch_log")) == "20240430"
    ill = ("ncmc2/l2/", "ncmc3/bns/", "ncmc3/tl/", "ncmc3/h3/", "ncmc3/tsm/", STAMP)
    well = {name: content for name, content in contents(dumps).items() if not name.startswith(ill)}
    assert well == {name: content for name, content in contents(troubled).items() if not name.startswith(ill)}
    assert len(well) > 30


@pytest.mark.parametrize(("name", "trouble"), [("sample.yaml", False), ("sample-trouble.yaml", True)])
def test_sample_is_made_where_its_profile_looks(tmp_path: Path, name: str, trouble: bool) -> None:
    """A copy of the project has its own sample, beside its own warehouse."""
    (tmp_path / "parameters").mkdir()
    copied = tmp_path / "parameters" / name
    copied.write_bytes((PARAMETERS / name).read_bytes())
    found = profile.read(copied)
    sample.prepare(found)
    expected = tmp_path.resolve() / "out" / ("sample-trouble" if trouble else "sample") / "mongodump"
    assert expected.is_dir()
    assert trouble == (not (expected / "ncmc4").exists() and "ncmc4" in found.clusters)


def test_other_profiles_get_no_sample(tmp_path: Path) -> None:
    """Nobody's dump folder is touched because it is named in a profile."""
    (tmp_path / "mine.yaml").write_text("warehouse: {uri: w}\narchive: {uri: a}\nclusters: {a: {dump: d/a}}\n")
    sample.prepare(profile.read(tmp_path / "mine.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
