"""A dozen games' collections as mongodump folders. The figures are invented."""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

import bson
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from bigmama_nb.sample.folder import made_once

VERSION = 1
"""Raised with every change of the bytes, so that older folders are made anew."""

LAST = date(2024, 5, 1)
"""The 90 days that the profiles ask for. Documents begin earlier, so that windows and months are whole."""

_HISTORY = date(2024, 1, 1)
_ORDERS = date(2024, 1, 25)
_MONTHS = ("202310", "202311", "202312", "202401", "202402", "202403", "202404")
_ZONE = ZoneInfo("Asia/Seoul")
_DAY = timedelta(days=1)
_LUNAR_NEW_YEAR = (date(2024, 2, 9), date(2024, 2, 12))
_PRICES = (1_100, 3_300, 5_500, 11_000, 33_000, 55_000, 99_000, 119_000)

Number = Literal["int32", "int64", "double", "decimal"]

_NUMBERS: dict[Number, Callable[[int], Any]] = {
    "int32": int,
    "int64": Int64,
    "double": float,
    "decimal": lambda value: Decimal128(str(value)),
}


@dataclass(frozen=True)
class _Game:
    """What sets a game's numbers and the habits of the team that writes its collections."""

    game_cd: str
    cluster: str
    wau: int
    growth: float
    orders_a_day: int
    update: date
    number: Number = "int64"
    zipped: bool = False
    index: str = "mobile_index_daily"
    index_date: Literal["yyyymmdd", "yyyymmdd_int", "iso_date"] = "yyyymmdd"
    order_date: Literal["date", "epoch_ms", "iso_date"] = "date"
    customer: Literal["int", "double", "string"] = "int"
    batch_log: bool = False


_GAMES = (
    _Game("lw", "ncmc2", 412_000, -0.05, 52, date(2024, 3, 20)),
    _Game("lm", "ncmc2", 365_000, -0.08, 60, date(2024, 2, 21), number="int32"),
    _Game("l2m", "ncmc2", 238_000, -0.10, 40, date(2024, 4, 3), index="l2m_index", index_date="iso_date"),
    _Game("l1", "ncmc2", 71_500, 0.02, 24, date(2024, 3, 6), number="double", customer="double"),
    _Game("l2", "ncmc2", 48_300, -0.03, 20, date(2024, 2, 28)),
    _Game("aion", "ncmc2", 96_200, 0.06, 30, date(2024, 4, 17), zipped=True, order_date="epoch_ms"),
    _Game("bns", "ncmc3", 83_900, 0.01, 26, date(2024, 3, 13), zipped=True),
    _Game("bns2", "ncmc3", 57_400, -0.12, 18, date(2024, 2, 14), number="decimal", zipped=True),
    _Game("tl", "ncmc3", 301_000, 0.18, 48, date(2024, 3, 27), batch_log=True),
    _Game("gw2", "ncmc3", 188_000, 0.04, 34, date(2024, 4, 10), index_date="yyyymmdd_int", customer="string"),
    _Game("h3", "ncmc3", 126_000, 0.35, 0, date(2024, 3, 23)),
    _Game("tsm", "ncmc3", 22_800, -0.06, 14, date(2024, 4, 24), order_date="iso_date"),
)

_TROUBLE_CLUSTER = {"h3": "ncmc4", "tsm": "ncmc4"}
_TRUNCATED = "l2"
_TEXT_FOR_NUMBER = "bns"
_NOTHING_YET = "tl"


def generate(folder: str | Path, *, trouble: bool = False) -> Path:
    """Write the sample's dumps, `<folder>/<cluster>/<database>/<collection>.bson` or `.bson.gz`.

    The same bytes each time. Nothing is written where they stand already; an older generator's are replaced as a
    whole, by a rename. Safe to call from several processes at once.

    Args:
        folder: where the clusters' folders come to stand.
        trouble: one game's dump ends in the middle of a document, one holds a string where a number belongs, one has
            no document for the last day, and the folder of cluster ncmc4 is missing.

    Returns:
        The folder, absolute.

    Raises:
        UsageError: the folder holds something that this generator did not make; it is left as it is.
    """

    def write(made: Path) -> None:
        for game in _GAMES:
            _write_game(made, game, trouble=trouble)

    stamp = {"generator": "bigmama_nb.sample.games", "version": VERSION, "trouble": trouble}
    return made_once(Path(folder), stamp, write)


def _write_game(folder: Path, game: _Game, *, trouble: bool) -> None:
    if trouble and game.game_cd in _TROUBLE_CLUSTER:
        return
    database = folder / game.cluster / game.game_cd
    database.mkdir(parents=True)
    collections: dict[str, Iterator[dict[str, Any]]] = {
        game.index: _daily(game, trouble=trouble),
        "mobile_index_monthly": _monthly(game),
    }
    if game.orders_a_day:
        collections["orders"] = _orders(game, trouble=trouble)
    if game.batch_log:
        collections["batch_log"] = _batch_log(game, trouble=trouble)
    for collection, documents in collections.items():
        dump = b"".join(bson.encode(document) for document in documents)
        if trouble and game.game_cd == _TRUNCATED and collection != "mobile_index_monthly":
            dump = _cut(dump)
        metadata = json.dumps({"indexes": [{"v": 2, "key": {"_id": 1}, "name": "_id_"}], "collectionName": collection})
        if game.zipped:
            # Without mtime the same documents would not give the same bytes.
            (database / f"{collection}.bson.gz").write_bytes(gzip.compress(dump, 6, mtime=0))
            (database / f"{collection}.metadata.json.gz").write_bytes(gzip.compress(metadata.encode(), 6, mtime=0))
        else:
            (database / f"{collection}.bson").write_bytes(dump)
            (database / f"{collection}.metadata.json").write_text(metadata)


def _cut(dump: bytes) -> bytes:
    """Return the dump up to the middle of a document, some two thirds in."""
    at = 0
    while at < len(dump) * 2 // 3:
        at += struct.unpack_from("<i", dump, at)[0]
    return dump[: at + 40]


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += _DAY


def _level(game: _Game, day: date) -> float:
    """Return how busy a game is on a day: 1 in the middle, with its trend, season, holidays and last update."""
    t = (day - _HISTORY).days / 121
    level = 1 + game.growth * (t - 0.5)
    level *= 1 + 0.05 * math.sin(2 * math.pi * (t * 1.6 + len(game.game_cd) / 5 + game.wau % 7 / 7))
    if _LUNAR_NEW_YEAR[0] <= day <= _LUNAR_NEW_YEAR[1] + 3 * _DAY:
        level *= 1.07
    since_update = (day - game.update).days
    if since_update >= 0:
        level *= 1 + 0.16 * math.exp(-since_update / 12) * min(1, (since_update + 1) / 4)
    return level


def _weekday(day: date, *, weekend: float) -> float:
    return (
        1 - weekend / 3,
        1 - weekend / 2,
        1 - weekend / 2,
        1 - weekend / 4,
        1 + weekend / 4,
        1 + weekend,
        1 + weekend,
    )[day.weekday()]


def _id(game: _Game, collection: str, number: int, day: date) -> ObjectId:
    seconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    origin = Random(f"{game.game_cd}.{collection}").getrandbits(40)
    return ObjectId(struct.pack(">I", seconds) + origin.to_bytes(5, "big") + number.to_bytes(3, "big"))


def _noise(random: Random, share: float) -> float:
    # Only random() is promised to give the same numbers in every version of Python.
    return 1 + share * (random.random() + random.random() + random.random() - 1.5)


def _daily(game: _Game, *, trouble: bool) -> Iterator[dict[str, Any]]:
    random = Random(f"{game.game_cd}.daily")
    number = _NUMBERS[game.number]
    last = LAST - _DAY if trouble and game.game_cd == _NOTHING_YET else LAST
    for count, day in enumerate(_days(_HISTORY, last)):
        wau = round(game.wau * _level(game, day) * _weekday(day, weekend=0.02) * _noise(random, 0.012))
        dau = round(wau * 0.41 * _weekday(day, weekend=0.09) * _noise(random, 0.02))
        value: Any = number(wau)
        if trouble and game.game_cd == _TEXT_FOR_NUMBER and day == LAST:
            value = f"{wau:,}"
        dated: dict[str, dict[str, Any]] = {
            "yyyymmdd": {"dt": f"{day:%Y%m%d}"},
            "yyyymmdd_int": {"dt": int(f"{day:%Y%m%d}")},
            "iso_date": {"measured": f"{day:%Y-%m-%d}T23:59:59+09:00"},
        }
        when = dated[game.index_date]
        yield {"_id": _id(game, game.index, 2 * count, day), "type": "wau", **when, "value": value}
        yield {"_id": _id(game, game.index, 2 * count + 1, day), "type": "dau", **when, "value": number(dau)}


def _monthly(game: _Game) -> Iterator[dict[str, Any]]:
    random = Random(f"{game.game_cd}.monthly")
    for count, month in enumerate(_MONTHS):
        middle = date(int(month[:4]), int(month[4:]), 15)
        mau = round(game.wau * 2.15 * _level(game, middle) * _noise(random, 0.03))
        yield {
            "_id": _id(game, "mobile_index_monthly", count, middle),
            "dt": month,
            "value": _NUMBERS[game.number](mau),
        }


def _orders(game: _Game, *, trouble: bool) -> Iterator[dict[str, Any]]:
    random = Random(f"{game.game_cd}.orders")
    customers = game.orders_a_day * 9
    # The dump was made on the morning after the last day.
    last = LAST - _DAY if trouble and game.game_cd == _NOTHING_YET else LAST + _DAY
    number = 0
    for day in _days(_ORDERS, last):
        level = _level(game, day) * _weekday(day, weekend=0.18) * _noise(random, 0.08)
        hours = 4.0 if day > LAST else 24.0
        times = sorted(
            int(random.random() * hours * 3_600_000) for _ in range(round(game.orders_a_day * level * hours / 24))
        )
        midnight = datetime(day.year, day.month, day.day, tzinfo=_ZONE)
        for milliseconds in times:
            number += 1
            at = midnight + timedelta(milliseconds=milliseconds)
            # Few buy often: the square makes low numbers frequent.
            customer = 100_000 + int(customers * random.random() ** 2)
            order: dict[str, Any] = {"_id": _id(game, "orders", number, day)}
            order["orderDate"] = {
                "date": at,
                "epoch_ms": Int64(int(at.timestamp() * 1000)),
                "iso_date": at.isoformat(timespec="milliseconds"),
            }[game.order_date]
            if random.random() < 0.97:
                order["customer"] = {
                    "id": {"int": customer, "double": float(customer), "string": f"A-{customer}"}[game.customer],
                    "country": "KR" if random.random() < 0.8 else "TW",
                }
            order["item"] = f"PKG-{int(random.random() * 40):03d}"
            order["amount"] = _NUMBERS[game.number](_PRICES[int(len(_PRICES) * random.random() ** 2)])
            order["status"] = "paid" if random.random() < 0.96 else "refunded"
            yield order


def _batch_log(game: _Game, *, trouble: bool) -> Iterator[dict[str, Any]]:
    last = LAST - _DAY if trouble and game.game_cd == _NOTHING_YET else LAST
    for number, day in enumerate(_days(_ORDERS, last)):
        yield {"_id": _id(game, "batch_log", number, day), "job": "orders", "dt": f"{day:%Y%m%d}", "status": "done"}
