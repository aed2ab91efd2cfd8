"""The contract: the schema, the DDL and the refusals that come from one place."""

from __future__ import annotations

import pyarrow as pa
import pytest

from bigmama_nb.errors import ContractError
from bigmama_nb.tables import game_metric
from bigmama_nb.tables.contract import ARROW_TYPES, Column, Table

TABLE = Table(
    database="bigmama",
    name="orders_daily",
    columns=(
        Column("game_cd", "string", "code of the game", nullable=False),
        Column("orders", "bigint", "the day's orders, the customer's too"),
        Column("at", "timestamp", "when \\ it was counted"),
        Column("rank", "int", "place"),
        Column("share", "double", "of all"),
        Column("dt", "string", "day YYYYMMDD", nullable=False),
    ),
    partition="dt",
    key=("game_cd",),
    comment="Orders of a game's day",
)


def refusal(schema: pa.Schema, *, with_partition: bool = False) -> str:
    with pytest.raises(ContractError) as caught:
        TABLE.require(schema, place="dt=20240501", with_partition=with_partition)
    assert (caught.value.reason, caught.value.place) == ("contract", "dt=20240501")
    return str(caught.value)


def test_schema_has_the_contracts_order_and_types() -> None:
    """Exactly these Arrow types; timestamps are microseconds, UTC; the partition is not in the file."""
    expected = pa.schema(
        [
            pa.field("game_cd", pa.string(), nullable=False),
            pa.field("orders", pa.int64()),
            pa.field("at", pa.timestamp("us", tz="UTC")),
            pa.field("rank", pa.int32()),
            pa.field("share", pa.float64()),
        ]
    )
    assert expected.equals(TABLE.arrow_schema())
    whole = expected.append(pa.field("dt", pa.string(), nullable=False))
    assert whole.equals(TABLE.arrow_schema(with_partition=True))


def test_own_schema_is_what_is_required() -> None:
    """A table passes with the schema that the contract makes."""
    TABLE.require(TABLE.arrow_schema(), place="dt=20240501")
    TABLE.require(TABLE.arrow_schema(with_partition=True), place="dt=20240501", with_partition=True)


def test_missing_column_is_named() -> None:
    """The message says table, place, column, and that nothing was published."""
    expected = "bigmama.orders_daily: dt=20240501: column 'rank' is missing. Nothing was published."
    assert expected == refusal(pa.schema([field for field in TABLE.arrow_schema() if field.name != "rank"]))


def test_unknown_column_is_named() -> None:
    """The partition within the file is a column too many."""
    expected = "bigmama.orders_daily: dt=20240501: column 'dt' is not in the contract. Nothing was published."
    assert expected == refusal(TABLE.arrow_schema(with_partition=True))


@pytest.mark.parametrize(
    ("name", "found", "said"),
    [
        ("orders", pa.float64(), "column 'orders' is double, expected int64"),
        ("orders", pa.int32(), "column 'orders' is int32, expected int64"),
        ("at", pa.timestamp("ns", tz="UTC"), "column 'at' is timestamp[ns, tz=UTC], expected timestamp[us, tz=UTC]"),
        ("at", pa.timestamp("us"), "column 'at' is timestamp[us], expected timestamp[us, tz=UTC]"),
        ("game_cd", pa.large_string(), "column 'game_cd' is large_string, expected string"),
    ],
)
def test_other_type_is_named(name: str, found: pa.DataType, said: str) -> None:
    """Nothing is converted: a wider, narrower or nearly equal type is another type."""
    schema = TABLE.arrow_schema()
    schema = schema.set(schema.get_field_index(name), pa.field(name, found))
    assert f"bigmama.orders_daily: dt=20240501: {said}. Nothing was published." == refusal(schema)


def test_order_of_columns_is_part_of_the_contract() -> None:
    """Hive reads by position where it is told to."""
    schema = pa.schema(list(reversed(list(TABLE.arrow_schema()))))
    assert refusal(schema) == (
        "bigmama.orders_daily: dt=20240501: columns stand in the order share, rank, at, orders, game_cd, expected "
        "game_cd, orders, at, rank, share. Nothing was published."
    )


def test_column_that_is_there_twice_is_refused() -> None:
    """Which of the two would be read is nobody's guess."""
    schema = TABLE.arrow_schema().append(pa.field("rank", pa.int32()))
    assert "columns stand in the order game_cd, orders, at, rank, share, rank, expected" in refusal(schema)


def test_every_deviation_is_said_at_once() -> None:
    """Who repairs a table learns of all that is wrong in one go."""
    schema = pa.schema(
        [("orders", pa.string()), ("at", ARROW_TYPES["timestamp"]), ("rank", pa.int32()), ("x", pa.int8())]
    )
    assert refusal(schema) == (
        "bigmama.orders_daily: dt=20240501: column 'game_cd' is missing; column 'share' is missing; "
        "column 'x' is not in the contract; column 'orders' is string, expected int64. Nothing was published."
    )


def test_ddl_is_whole() -> None:
    """Comments are escaped, the partition stands last, DROP TABLE deletes no file."""
    expected = """\
CREATE EXTERNAL TABLE `bigmama`.`orders_daily` (
  `game_cd` string COMMENT 'code of the game',
  `orders` bigint COMMENT 'the day\\'s orders, the customer\\'s too',
  `at` timestamp COMMENT 'when \\\\ it was counted',
  `rank` int COMMENT 'place',
  `share` double COMMENT 'of all'
)
COMMENT 'Orders of a game\\'s day'
PARTITIONED BY (`dt` string COMMENT 'day YYYYMMDD')
STORED AS PARQUET
LOCATION 'hdfs://nn:8020/w/bigmama.db/orders_daily'
TBLPROPERTIES ('external.table.purge'='false');
"""
    assert expected == TABLE.ddl("hdfs://nn:8020/w/bigmama.db/orders_daily")


def test_column_is_found_by_name() -> None:
    """And what is not there is a KeyError."""
    assert TABLE.column("rank").comment == "place"
    with pytest.raises(KeyError, match="ranks"):
        TABLE.column("ranks")


@pytest.mark.parametrize("value", ["20240501", "2024-05-01", "202405", "a_b", "1.5"])
def test_partition_is_named_as_folders_and_records_do(value: str) -> None:
    """dt=20240501."""
    assert f"dt={value}" == TABLE.partition_name(value)


@pytest.mark.parametrize("value", ["", "a/b", "..", ".", "a.", "a b", "a=b", "%", "일", "a\n"])
def test_value_that_cannot_name_a_partition_is_refused(value: str) -> None:
    """Nothing leaves its folder, and no reader decodes what another has not encoded."""
    with pytest.raises(ContractError) as caught:
        TABLE.partition_name(value)
    expected = (
        f"bigmama.orders_daily: dt = {value!r} cannot name a partition: letters, digits, '-', '_' and inner dots can. "
        "Nothing was published."
    )
    assert expected == str(caught.value)


def test_game_metric_is_the_table_of_the_design() -> None:
    """game_cd, type, value, and dt as the partition; (game_cd, type) is the key within it."""
    contract = game_metric.CONTRACT
    assert [(column.name, column.type) for column in contract.columns] == [
        ("game_cd", "string"),
        ("type", "string"),
        ("value", "bigint"),
        ("dt", "string"),
    ]
    assert (contract.partition, contract.key, contract.full_name) == ("dt", ("game_cd", "type"), "bigmama.game_metric")
    assert all(not column.nullable for column in contract.columns)


def test_database_is_the_profiles() -> None:
    """warehouse.database renames the database and nothing else."""
    found = game_metric.CONTRACT.in_database("reporting")
    assert ("reporting.game_metric", game_metric.CONTRACT.columns) == (found.full_name, found.columns)
