"""Real mongodumps, made by others: every figure equals a count made by hand from the file."""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from tests.sources.asking import a_profile, ask, by_task, said

DUMP = Path(__file__).resolve().parents[3] / "shared" / "data" / "mongodump"
KST = timedelta(hours=9)
ORDERS = {"collection": "orders", "date": {"field": "orderDate", "as": "date"}}
CUSTOMERS = {**ORDERS, "value": {"count_distinct": "customerId"}}


@pytest.fixture(scope="module", autouse=True)
def _there() -> None:
    if not DUMP.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the real mongodumps are not there", pytrace=False)
        pytest.skip("the real mongodumps are not there: ../shared/data/mongodump beside the checkout")


def documents(database: str, collection: str) -> list[dict[str, Any]]:
    """All documents of a dump, cut by their lengths one by one."""
    content = (DUMP / database / f"{collection}.bson").read_bytes()
    found, begin = [], 0
    while begin < len(content):
        (length,) = struct.unpack("<i", content[begin : begin + 4])
        found.append(bson.decode(content[begin : begin + length]))
        begin += length
    return found


def local_day(instant: datetime) -> date:
    return (instant + KST).date()


def figures(tmp_path: Path, database: str, first: date, last: date, **metrics: Any) -> dict[str, int | str]:
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": str(DUMP)}},
        games={"g": {"cluster": "c", "database": database}},
        metrics=metrics,
    )
    return {task.removeprefix("g/"): said(found) for task, found in by_task(ask(profile, first, last)).items()}


def test_orders_count_as_by_hand(tmp_path: Path) -> None:
    """Active customers by day, 7 trailing days, week and month, and orders by day: for every period in the data."""
    customers: dict[date, set[float]] = defaultdict(set)
    orders: dict[date, int] = defaultdict(int)
    for order in documents("sample_OrderExample", "orders"):
        day = local_day(order["orderDate"])
        customers[day].add(order["customerId"])
        orders[day] += 1
    first, last = min(orders), max(orders)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    expected: dict[str, int | str] = {}
    for number, day in enumerate(days):
        week, month = [], []
        for one in days[: number + 1]:
            if one.isocalendar()[:2] == day.isocalendar()[:2]:
                week.append(one)
            if (one.year, one.month) == (day.year, day.month):
                month.append(one)
        dt = f"{day:%Y%m%d}"
        expected[f"dau/{dt}"] = len(customers[day]) or "not_ready"
        expected[f"orders/{dt}"] = orders[day] or "not_ready"
        expected[f"d7/{dt}"] = len(set().union(*(customers[one] for one in days[max(0, number - 6) : number + 1])))
        monday = day - timedelta(days=day.weekday())
        # The last day of the period in the range overwrites the earlier ones.
        expected[f"wau/{monday:%Y%m%d}"] = len(set().union(*(customers[one] for one in week)))
        expected[f"mau/{day:%Y%m}01"] = len(set().union(*(customers[one] for one in month)))
    found = figures(
        tmp_path,
        "sample_OrderExample",
        first,
        last,
        dau={**CUSTOMERS, "period": "day"},
        d7={**CUSTOMERS, "period": "day", "trailing_days": 7},
        wau={**CUSTOMERS, "period": "week"},
        mau={**CUSTOMERS, "period": "month"},
        orders={**ORDERS, "value": {"count": True}, "period": "day"},
    )
    assert expected == found
    assert sum(int(value) for task, value in found.items() if task.startswith("orders/")) == 51_393


def test_customers_by_month_count_as_by_hand(tmp_path: Path) -> None:
    """Northwind's distinct customers, a string in a nested document, for every month in the data."""
    by_month: dict[str, set[str]] = defaultdict(set)
    days = []
    for order in documents("sample_Northwind", "Orders"):
        day = local_day(order["OrderDate"])
        days.append(day)
        by_month[f"customers/{day:%Y%m}01"].add(order["Customer"]["Id"])
    metric = {
        "collection": "Orders",
        "date": {"field": "OrderDate", "as": "date"},
        "value": {"count_distinct": "Customer.Id"},
        "period": "month",
    }
    found = figures(tmp_path, "sample_Northwind", min(days), max(days), customers=metric)
    assert {task: len(customers) for task, customers in by_month.items()} == found
    assert len(found) == 23


def test_a_sum_of_freight_is_refused(tmp_path: Path) -> None:
    """Freight is money with cents, as a double: its sum is refused as not integral, not rounded."""
    metric = {
        "collection": "Orders",
        "date": {"field": "OrderDate", "as": "date"},
        "value": {"sum": "Freight"},
        "period": "month",
    }
    days = [local_day(order["OrderDate"]) for order in documents("sample_Northwind", "Orders")]
    found = figures(tmp_path, "sample_Northwind", min(days), max(days), freight=metric)
    assert set(found.values()) == {"not_integral"}


def test_a_date_through_an_array_is_refused_by_name(tmp_path: Path) -> None:
    """Sakila's rentals are arrays: `Rentals.Rental Date` is refused as array_path, naming Rentals."""
    profile = a_profile(
        tmp_path,
        clusters={"c": {"dump": str(DUMP)}},
        games={"g": {"cluster": "c", "database": "sample_Sakila"}},
        metrics={
            "m": {
                "collection": "Sakila_customers",
                "date": {"field": "Rentals.Rental Date", "as": "iso_date"},
                "value": {"count": True},
                "period": "day",
            }
        },
    )
    (found,) = ask(profile, date(2005, 6, 15)).outcomes
    assert said(found) == "array_path"
    assert "Sakila_customers.Rentals.Rental Date leads through an array: Rentals is one" in str(found.message)
