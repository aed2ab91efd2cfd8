"""Live viewing from the command to the table: what a run publishes, keeps and says of its dates."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bigmama_nb import stages
from bigmama_nb.engines.duckdb import DuckDBEngine
from bigmama_nb.profile import load
from bigmama_nb.runs import plan
from bigmama_nb.stages.context import StageContext
from bigmama_nb.tables import wv_live_play
from bigmama_nb.tables.contract import Check
from bigmama_nb.warehouse import Warehouse
from tests.live_play.warehouse import write_file
from tests.runs.live_world import (
    DAILY,
    DAY,
    DAYS,
    JOINT,
    LATER,
    LiveWorld,
    counted,
    only,
    outcomes,
    post,
    requests,
    tasks,
)
from tests.runs.world import CLUSTERS, expected, in_process, lose_the_disk

AT = "2024-05-02T01:02:03Z"
THE_DAY = f"wv_live_play/{DAY}"
TABLES = sorted(DAILY | {"stats_we_t_kpi", "stats_wv_m_video_copyright"})


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    """One engine for all: most of a small build's time is the compiling of its expressions."""
    with DuckDBEngine("1GB") as made:
        yield made


@contextlib.contextmanager
def at_hand(world: LiveWorld, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveWorld]:
    """The command in this process, on the engine that is there."""
    world.use(engine)
    with in_process(monkeypatch, world):
        yield world


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, engine: DuckDBEngine) -> tuple[LiveWorld, dict[str, Any]]:
    """A world in which 1 May was run on the morning after: the log ends at midnight, the live half an hour later."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = LiveWorld(tmp_path_factory.mktemp("first") / "world")
        with at_hand(made, engine, monkeypatch):
            return made, made.live("--run-timestamp", AT)


@pytest.fixture(scope="module")
def next_run(
    tmp_path_factory: pytest.TempPathFactory, engine: DuckDBEngine, first_run: tuple[LiveWorld, dict[str, Any]]
) -> tuple[LiveWorld, dict[str, Any]]:
    """The world a day later: the log of 2 May has come, and 2 May was run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = copied(first_run[0], tmp_path_factory.mktemp("next") / "world")
        made.log(DAYS[2])
        with at_hand(made, engine, monkeypatch):
            return made, made.live("--date", "2024-05-02")


def copied(world: LiveWorld, folder: Path) -> LiveWorld:
    """Return a copy of a world; its sources are as old as they were."""
    shutil.copytree(world.folder, folder)
    made = LiveWorld(folder)
    shutil.copytree(world.folder / "weverse", folder / "weverse", dirs_exist_ok=True)
    return made


@pytest.fixture
def world(
    tmp_path: Path,
    engine: DuckDBEngine,
    monkeypatch: pytest.MonkeyPatch,
    first_run: tuple[LiveWorld, dict[str, Any]],
) -> Iterator[LiveWorld]:
    """A copy of the world after its first run."""
    with at_hand(copied(first_run[0], tmp_path / "world"), engine, monkeypatch) as made:
        yield made


@pytest.fixture
def later(
    tmp_path: Path,
    engine: DuckDBEngine,
    monkeypatch: pytest.MonkeyPatch,
    next_run: tuple[LiveWorld, dict[str, Any]],
) -> Iterator[LiveWorld]:
    """A copy of the world after its second run."""
    with at_hand(copied(next_run[0], tmp_path / "world"), engine, monkeypatch) as made:
        yield made


def books(answer: dict[str, Any]) -> dict[str, str]:
    """Return by stage what became of the last attempt's notebooks."""
    return {book["stage"]: book["outcome"] for book in answer["data"]["attempts"][-1]["notebooks"]}


def everything(outcome: str, published: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(tasks(DAY), (outcome, published))


# What a run says


def test_every_task_of_a_date_ends_in_an_outcome_with_its_counts(first_run: tuple[LiveWorld, dict[str, Any]]) -> None:
    """Seven tasks: five tables of the date, its KPIs and its month; through the log's end, so not final."""
    _, answer = first_run

    assert answer["exit_status"] == 0
    assert outcomes(answer) == everything("ok", "yes")
    assert books(answer) == {"30_live_play": "ok", "40_write_parquet": "ok", "50_report": "ok"}
    rows = {task["table"]: task["rows"] for task in answer["data"]["tasks"]}
    # A row a viewer and participant, since each joins in one minute; 23:30 to 00:30 touches hours 0 and 1, 61 minutes.
    assert rows == {
        "wv_live_play": 200,
        "wv_live_play_rejects": 0,
        "stats_wv_d_live_play": 2,
        "stats_wv_h_live_play": 4,
        "stats_wv_d_live_play_min": 122,
        "stats_we_t_kpi": 2,
        "stats_wv_m_video_copyright": 4,
    }
    task = only(answer)
    assert re.fullmatch(
        r"2024-04-30: 1 files, \d+ bytes, newest \S+Z; 2024-05-01: 1 files, \d+ bytes, newest \S+Z", task.pop("inputs")
    )
    assert task == {
        "id": THE_DAY,
        "pipeline": "live_play",
        "table": "wv_live_play",
        "part_date": DAY,
        "through": DAY,
        "final": False,
        "value": None,
        "rows": 200,
        "outcome": "ok",
        "reason": None,
        "message": None,
        "place": None,
        "attempt": 1,
        "published": "yes",
        # Of each of two dates of the log one join of no live, and the leaves of 29 April's, which is none of ours.
        "counts": {"rejected": 0, "rejected_share": 0.0, "unmatched_joins": 2, "unmatched_leaves": 100},
    }


def test_the_tables_of_a_date_are_published_together_before_what_is_made_of_them(
    first_run: tuple[LiveWorld, dict[str, Any]],
) -> None:
    """`published[]` has a version of each table, named after the attempt, with files that stand there."""
    world, answer = first_run
    published = answer["data"]["published"]

    tables = [one["table"].removeprefix("we_mart.") for one in published]
    assert set(tables[:5]) == DAILY
    assert tables[5:] == ["stats_we_t_kpi", "stats_wv_m_video_copyright"]
    assert {one["partition"] for one in published} == {f"part_date={DAY}", "part_month=2024-05"}
    assert {one["version"] for one in published} == {f"{answer['data']['run_id']}-1"}
    for one in published:
        for file in one["files"]:
            assert (world.folder / "warehouse" / file["path"]).stat().st_size == file["bytes"]


def test_readers_see_what_can_be_counted_by_hand(world: LiveWorld) -> None:
    """Both participants' rows of the day, the artists' KPIs, and the month by country."""
    whole = counted(JOINT, whole_log=False)
    assert world.by_day() == {(DAY, 0): whole, (DAY, 1): whole}

    kpi = "select we_art_id, lives, joint_lives, viewers, members, fc_viewers, comm_viewers from we_mart.stats_we_t_kpi"
    assert world.command("sql", f"{kpi} order by 1")["data"]["rows"] == [
        [1, 1, 1, 100, 96, 5, 10],
        [2, 1, 1, 100, 96, 0, 0],
    ]
    month = "select ctry_code, views, play_seconds from we_mart.stats_wv_m_video_copyright where guest_joint_seq = 0"
    by_country = {"JP": range(0, 100, 3), "KR": [k for k in range(100) if k % 3]}
    assert world.command("sql", f"{month} order by 1")["data"]["rows"] == [
        [country, len(viewers), sum(3000 - k for k in viewers)] for country, viewers in by_country.items()
    ]
    at = world.command("sql", "select distinct run_timestamp, start_dt from we_mart.wv_live_play")["data"]["rows"]
    assert at == [["2024-05-02 01:02:03+00:00", "2024-05-01 14:30:00+00:00"]]


def test_who_wrote_names_run_and_attempt_and_whether_it_is_final(first_run: tuple[LiveWorld, dict[str, Any]]) -> None:
    """A date is one key; its lineage says how far the log was read and by which notebook."""
    world, answer = first_run
    run_id = answer["data"]["run_id"]

    assert world.command("who-wrote", "wv_live_play", f"part_date={DAY}")["data"] == [
        {
            "key": DAY,
            "run": run_id,
            "attempt": 1,
            "through": DAY,
            "final": False,
            "source": str(world.folder / "weverse"),
            "notebook": f"runs/{run_id}/1/40_write_parquet.wv_live_play.ipynb",
        }
    ]


def test_the_ddl_keeps_the_comments_of_the_original(first_run: tuple[LiveWorld, dict[str, Any]]) -> None:
    """Column by column, in Korean where the original is; the partition column stands apart."""
    text = first_run[0].command("ddl", "wv_live_play")["data"]["text"]

    assert "CREATE EXTERNAL TABLE" in text
    for name, comment in {
        "platform": "접속 플랫폼",
        "start_dt": "LIVE시작일시",
        "u_sum_play_time": "유저별 LIVE 시청시간 합(join/leave별)",
        "guest_joint_seq": "합동라이브 게스트 조인 순서",
    }.items():
        assert re.search(rf"`{name}` \w+ COMMENT '{re.escape(comment)}'", text), name
    assert re.search(r"PARTITIONED BY \(\s*`part_date` string COMMENT 'LIVE시작일'", text)


def test_the_plan_names_the_tasks_and_asks_nothing(first_run: tuple[LiveWorld, dict[str, Any]]) -> None:
    """A run of 2 May would build 1 May again, which is not final; 30 April was never built and is not due."""
    plan = first_run[0].command("run", "--pipelines", "live_play", "--date", "2024-05-02", "--plan")["data"]
    assert {one["task"] for one in plan} == tasks(DAY, "2024-05-02")


# What comes later


def test_a_date_becomes_final_with_the_next_days_run(next_run: tuple[LiveWorld, dict[str, Any]]) -> None:
    """1 May is built again with its leaves, the month with both dates; 2 May waits for its own."""
    world, answer = next_run

    assert answer["exit_status"] == 0
    assert set(outcomes(answer)) == tasks(DAY, "2024-05-02")
    final = {task["id"]: (task["final"], task["through"]) for task in answer["data"]["tasks"]}
    assert final[THE_DAY] == (True, "2024-05-02")
    assert final["wv_live_play/2024-05-02"] == (False, "2024-05-02")
    whole, half = counted(DAYS[1], whole_log=True), counted(DAYS[2], whole_log=False)
    assert world.by_day() == {(DAY, 0): whole, (DAY, 1): whole, ("2024-05-02", 0): half}
    month = "select sum(play_seconds) from we_mart.stats_wv_m_video_copyright where guest_joint_seq = 0"
    assert world.command("sql", month)["data"]["rows"] == [[whole["play_seconds"] + half["play_seconds"]]]
    (wrote,) = world.command("who-wrote", "wv_live_play", f"part_date={DAY}")["data"]
    assert (wrote["final"], wrote["through"], wrote["run"]) == (True, "2024-05-02", answer["data"]["run_id"])


def test_a_final_date_that_is_run_again_stays_final(later: LiveWorld) -> None:
    """A run of 1 May alone reads its whole log again, not only to its own midnight; only its month follows."""
    answer = later.live("--date", DAY)

    assert set(outcomes(answer)) == tasks(DAY)
    assert (only(answer)["final"], only(answer)["through"]) == (True, "2024-05-02")
    assert later.by_day()[DAY, 0] == counted(DAYS[1], whole_log=True)


def test_missing_asks_only_for_dates_that_lack_something(later: LiveWorld) -> None:
    """With the log that was there nothing is missing; of three days those are due that are not there or not final."""
    nothing = later.live("--missing", "--date", "2024-05-02")
    assert (nothing["exit_status"], nothing["data"]["tasks"]) == (0, [])

    plan = later.live("--missing", "--from", DAY, "--to", "2024-05-03", "--plan")["data"]
    assert {one["task"] for one in plan} == tasks("2024-05-02", "2024-05-03")


def late(world: LiveWorld, day: date) -> None:
    """Bring a further file of a date of the log, in which two viewers more leave."""
    rows = [
        {**row, "user_id_fill": f"late-{nth}", "device_id": f"late-{nth}"}
        for nth, row in zip(range(2), requests("join", day, datetime.combine(day, time(23, 50))), strict=False)
    ]
    write_file(world.log_folder(day) / "hour=23", "wv_server_log_base", rows, "late")


def test_a_final_date_whose_log_has_changed_is_due_again(later: LiveWorld) -> None:
    """A file that came after the night is read by the next one, which says so, and again nothing is due then."""
    late(later, DAYS[1])
    told = "wv_live_play 2024-05-01: the log has changed since it was read (2024-05-01 was 1 files, "
    later.log(LATER)
    answer = later.live("--date", "2024-05-03")
    assert answer["exit_status"] == 0
    assert set(outcomes(answer)) == tasks(DAY, "2024-05-02", "2024-05-03")
    (one,) = [task for task in answer["data"]["tasks"] if task["id"] == THE_DAY]
    assert str(one["message"]).startswith(told)
    assert (one["final"], one["through"]) == (True, "2024-05-02")
    assert "2024-05-01: 2 files, " in one["inputs"]
    assert later.by_day()[DAY, 0]["viewers"] == counted(DAYS[1], whole_log=True)["viewers"] + 2
    again = later.live("--date", "2024-05-03", "--plan")["data"]
    assert {task["task"] for task in again} == tasks("2024-05-03")


def test_missing_asks_for_a_date_whose_log_has_changed(later: LiveWorld) -> None:
    """Every table of the date is there and counted through its last date; what it was made of is another now."""
    late(later, DAYS[1])
    due = later.live("--missing", "--from", DAY, "--to", "2024-05-02", "--plan")["data"]
    assert {one["task"] for one in due} >= tasks(DAY)


def test_a_log_that_is_gone_makes_no_final_date_due(later: LiveWorld) -> None:
    """What was built of a log that nobody keeps stays as it is."""
    late(later, DAYS[2])
    later.drop_log(DAYS[1])
    later.log(LATER)
    due = later.live("--date", "2024-05-03", "--plan")["data"]
    assert {one["task"] for one in due} == tasks("2024-05-02", "2024-05-03")


def test_sources_that_do_not_answer_make_nothing_due(later: LiveWorld) -> None:
    """A plan that cannot look is a plan all the same, and says what it could not look up."""
    shutil.rmtree(later.log_folder(DAYS[1]))
    later.log_folder(DAYS[1]).mkdir()
    (later.log_folder(DAYS[1]) / "gone").symlink_to("nowhere")
    found = plan.plan(load(later.profile), plan.Request("2024-05-03", "2024-05-03", pipelines=("live_play",)))
    assert {task.id for task in found.tasks} == tasks("2024-05-02", "2024-05-03")
    assert "Whether a final date's log has changed could not be looked up; none is due for it." in str(found.warning)


def test_missing_looks_at_every_table_of_a_date(later: LiveWorld) -> None:
    """One roll-up of one date that is counted through an earlier day makes that date due again, and no other."""
    assert later.command("rollback", "stats_wv_h_live_play", f"part_date={DAY}")["exit_status"] == 0
    plan = later.live("--missing", "--from", DAY, "--to", "2024-05-02", "--plan")["data"]
    assert {one["task"] for one in plan} == tasks(DAY)


def test_a_rollback_moves_the_pointer_to_the_version_before(later: LiveWorld) -> None:
    """The rows of the first run stand again, those of the other date as they were."""
    count = "select part_date, count(*) from we_mart.wv_live_play group by 1 order by 1"
    assert later.command("sql", count)["data"]["rows"] == [[DAY, 400], ["2024-05-02", 100]]

    assert later.command("rollback", "wv_live_play", f"part_date={DAY}")["exit_status"] == 0
    assert later.command("sql", count)["data"]["rows"] == [[DAY, 200], ["2024-05-02", 100]]
    (wrote,) = later.command("who-wrote", "wv_live_play", f"part_date={DAY}")["data"]
    assert (wrote["final"], wrote["through"]) == (False, DAY)


def test_instants_are_written_as_the_profile_says(world: LiveWorld) -> None:
    """With a Hive of 2 among the readers files are Snappy and instants INT96; the rows are the same."""
    before = world.by_day()
    instants = {"run_timestamp", "start_dt", "end_dt", "tmp_end_dt"}
    world.write_profile(("lock_wait_s: 0}", "lock_wait_s: 0, readers: [hive2, spark]}"))
    answer = world.live()
    assert answer["exit_status"] == 0, [one.get("message") for one in answer["data"]["tasks"]]
    assert world.by_day() == before
    found = {}
    for name, content in world.published().items():
        file = pq.ParquetFile(io.BytesIO(content))
        schema = file.schema
        assert {file.metadata.row_group(n).column(0).compression for n in range(file.num_row_groups)} <= {"SNAPPY"}
        found[name.partition("/")[0]] = {
            schema.column(n).name for n in range(len(schema)) if schema.column(n).physical_type == "INT96"
        }
    assert found["wv_live_play"] == instants
    assert found["stats_wv_d_live_play"] == instants - {"run_timestamp"}
    assert not any(found[name] for name in found if name not in ("wv_live_play", "stats_wv_d_live_play"))


def test_the_same_run_timestamp_gives_the_same_bytes(world: LiveWorld) -> None:
    """Every file of every table, exported and compared; another timestamp changes only the table that bears it."""
    before = world.exported()
    assert {name.partition("/")[0] for name in before} == set(TABLES)
    assert world.live("--run-timestamp", AT)["exit_status"] == 0
    assert world.exported() == before

    assert world.live("--run-timestamp", "2024-05-02T01:02:04Z")["exit_status"] == 0
    changed = {name.partition("/")[0] for name, content in world.exported().items() if before[name] != content}
    assert changed == {"wv_live_play"}


def test_an_archived_40_that_is_opened_again_publishes_to_scratch(world: LiveWorld) -> None:
    """Its files were published and are gone: they are built again, and the profile's warehouse is left alone."""
    before = world.published()
    (run_json,) = (world.folder / "archive" / "runs").glob("*/run.json")
    here = stages.begin("40_write_parquet", profile=str(world.profile), run_dir=str(run_json.parent / "1"))
    partitions = stages.publish(here, "wv_live_play")

    assert dict(zip(partitions["table"].str.removeprefix("we_mart."), partitions["moved"], strict=True)) == (
        dict.fromkeys(TABLES, True)
    )
    assert set(stages.outcomes(here)["outcome"]) == {"ok"}
    assert world.published() == before


# What is not there, or not right


def test_a_log_date_that_is_not_there_makes_the_date_not_ready(world: LiveWorld) -> None:
    """Nothing is read or published, the partition stays, exit is 1; when the date is there, the repair publishes it."""
    before = world.published()
    world.drop_log(DAYS[1])
    answer = world.live()

    assert answer["exit_status"] == 1
    daily = {f"{table}/{DAY}": ("not_ready", "no") for table in DAILY}
    assert outcomes(answer) == everything("skipped", "no") | daily
    task = only(answer)
    assert task["message"] == (
        f"wv_live_play {DAY}: wv_server_log_base has no partition date_id={DAY}; the newest is 2024-04-30. Nothing was "
        "read and the published partition stays; run again once it is there."
    )
    assert (task["reason"], task["place"]) == (None, str(world.folder_of("wv_server_log_base")))
    assert (task["rows"], task["counts"]["rejected"], task["final"]) == (None, 0, False)
    assert only(answer, "stats_we_t_kpi")["message"] == (
        f"stats_we_t_kpi {DAY}: no partition of {DAY} changed in this attempt, since wv_live_play did not get there."
    )
    assert answer["data"]["published"] == []
    assert world.published() == before

    world.log(DAYS[1])
    repaired = world.command("repair", "latest")
    assert repaired["exit_status"] == 0
    assert outcomes(repaired) == everything("ok", "yes")
    (wrote,) = world.command("who-wrote", "wv_live_play", f"part_date={DAY}")["data"]
    assert (wrote["run"], wrote["attempt"]) == (answer["data"]["run_id"], 2)


def renamed(world: LiveWorld) -> None:
    lives = pq.read_table(world.file("wv_live"))
    world.change(
        "wv_live", lives.rename_columns([name.replace("start_dt", "started_dt") for name in lives.column_names])
    )


def retyped(world: LiveWorld) -> None:
    users = pq.read_table(world.file("user_user"))
    member = users.schema.get_field_index("we_member_id")
    world.change("user_user", users.set_column(member, "we_member_id", users["we_member_id"].cast(pa.string())))


def doubled(world: LiveWorld) -> None:
    lives = pq.read_table(world.file("wv_live"))
    world.change("wv_live", pa.concat_tables([lives, lives.filter(pc.equal(lives["post_id"], post(JOINT)))]))


def malformed(world: LiveWorld) -> None:
    world.log(JOINT, malformed=1)


def torn(world: LiveWorld) -> None:
    whole = world.file("ws_fc_user_history").read_bytes()
    world.file("ws_fc_user_history").write_bytes(whole[:-3])


def heal(world: LiveWorld) -> None:
    for name in ("wv_live", "user_user", "ws_fc_user_history"):
        world.heal_source(name)
    world.log(JOINT)


WRONG: dict[Callable[[LiveWorld], None], tuple[str, str, str]] = {
    renamed: (
        "contract",
        (
            "we_mart.wv_live: column 'start_dt' is missing. Did you mean 'started_dt'? Nothing was read and the "
            "published partition stays; put the column right, or change the contract in tables/live_sources.py."
        ),
        "weverse/wv_live/part-0.parquet",
    ),
    retyped: (
        "contract",
        (
            "weverse2.user_user: column 'we_member_id' is string, expected int64. Nothing was read and the published "
            "partition stays; put the column right, or change the contract in tables/live_sources.py."
        ),
        "weverse/user_user/part-0.parquet",
    ),
    doubled: (
        "duplicate_key",
        (
            f"wv_live_play {DAY}: wv_live holds 1 post_id more than once ('live-0501' first), on 2 rows; expected one "
            "row each. Nothing was published and the published partition stays; remove the copies and run again."
        ),
        "we_mart.wv_live.post_id",
    ),
    malformed: (
        "rejected_share",
        (
            f"wv_live_play {DAY}: wv_server_log_base: 1 of 100 rows cannot be used (1.0000%); "
            "live_play.max_rejected_share is 0.1000%. Nothing was published and the published partition stays; put the "
            "source right and run again, or raise the share."
        ),
        "wv_server_log_base",
    ),
    torn: ("source_corrupt", "", "weverse/ws_fc_user_history/part-0.parquet"),
}


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault.__name__)
def test_a_source_that_is_wrong_fails_the_date_and_leaves_the_partition(
    fault: Callable[[LiveWorld], None], world: LiveWorld
) -> None:
    """`failed` with its reason, the words that name source and column, and the place; the repair heals it."""
    reason, words, place = WRONG[fault]
    before = world.published()
    fault(world)
    answer = world.live("--run-timestamp", AT)

    assert answer["exit_status"] == 1
    daily = {f"{table}/{DAY}": ("failed", "no") for table in DAILY}
    assert outcomes(answer) == everything("skipped", "no") | daily
    for name in DAILY:
        task = only(answer, name)
        assert task["reason"] == reason
        assert words in task["message"].replace("?.", "?")
        assert task["place"] in (place, str(world.folder / place))
        assert "stays" in task["message"]
    assert world.published() == before
    assert not list((world.folder / "archive").rglob("part-*.parquet"))

    heal(world)
    repaired = world.command("repair", "latest")
    assert (repaired["exit_status"], outcomes(repaired)) == (0, everything("ok", "yes"))
    # The run's timestamp is the same as that of what stood there, and so are the bytes.
    assert world.published() == before


def test_rejects_below_the_share_are_published_and_counted(world: LiveWorld) -> None:
    """With room for them, the rejected row stands in the rejects with its reason, and in the record's counts."""
    world.write_profile(("sources: {uri: weverse}", "sources: {uri: weverse}\n  max_rejected_share: 0.01"))
    malformed(world)
    answer = world.live()

    assert answer["exit_status"] == 0
    counts = only(answer)["counts"]
    assert (counts["rejected"], counts["rejected_share"]) == (1, 0.01)
    found = world.command("sql", 'select source, reason, "row" from we_mart.wv_live_play_rejects')["data"]["rows"]
    ((source, reason, row),) = found
    assert (source, reason) == ("wv_server_log_base", "datetime does not parse")
    assert json.loads(row)["datetime"] == f"{DAY} 25:00:00"
    assert world.by_day()[DAY, 0]["viewers"] == 99


def nobody(world: LiveWorld) -> None:
    lives = pq.read_table(world.file("wv_live"))
    status = lives.schema.get_field_index("status")
    world.change("wv_live", lives.set_column(status, "status", pa.array(["CANCELED"] * lives.num_rows)))


def test_an_empty_result_is_held_until_its_release(world: LiveWorld) -> None:
    """Rows are not replaced by none: suspect, exit 1, partition untouched; the release publishes date and month."""
    before = world.published()
    nobody(world)
    answer = world.live()

    assert answer["exit_status"] == 1
    assert only(answer)["message"] == (
        f"wv_live_play part_date={DAY}: the result is empty and rows stand there. Held; the partition is as it was. "
        f"'run_all.py release {answer['data']['run_id']} {THE_DAY} --profile {world.profile}' or '--allow-empty' "
        "replaces it."
    )
    daily = {f"{table}/{DAY}": ("suspect", "no") for table in DAILY}
    assert outcomes(answer) == everything("skipped", "no") | daily
    assert world.published() == before

    released = world.command("release", "latest", THE_DAY)
    assert released["exit_status"] == 0, released
    daily = {f"{table}/{DAY}": ("suspect", "yes") for table in DAILY}
    assert outcomes(released) == everything("ok", "yes") | daily
    assert only(released)["message"].endswith("Released by attempt 2.")
    rows = {name: pq.read_table(pa.BufferReader(file)).num_rows for name, file in world.published().items()}
    assert rows == dict.fromkeys(before, 0)


def test_an_empty_result_replaces_rows_where_it_is_allowed(world: LiveWorld) -> None:
    """With `--allow-empty` it is a result like any other."""
    nobody(world)
    answer = world.live("--allow-empty")

    assert (answer["exit_status"], outcomes(answer)) == (0, everything("ok", "yes"))
    assert world.by_day() == {}


@pytest.fixture
def suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a check graded `warn` that every row breaks."""
    check = Check("guests", "warn", "a live has no guests", lambda table: table.filter(table.is_joint_live == 1))
    monkeypatch.setattr(
        wv_live_play, "CONTRACT", replace(wv_live_play.CONTRACT, checks=(*wv_live_play.CONTRACT.checks, check))
    )


SAID = f"wv_live_play {DAY}: check guests of we_mart.wv_live_play: a live has no guests; 200 rows break it"


def test_a_suspect_date_is_published_with_a_warning(world: LiveWorld, suspicious: None) -> None:
    """By default `suspect` counts as a success, and month and KPIs follow."""
    answer = world.live()

    assert answer["exit_status"] == 0
    daily = {f"{table}/{DAY}": ("suspect", "yes") for table in DAILY}
    assert outcomes(answer) == everything("ok", "yes") | daily
    assert only(answer)["message"] == SAID


def test_a_suspect_date_that_is_held_is_published_by_its_release(world: LiveWorld, suspicious: None) -> None:
    """With `on_suspect: hold` nothing moves until the release, which asks no source again."""
    before = world.published()
    world.write_profile(("timezone: Asia/Seoul", "timezone: Asia/Seoul\nchecks: {on_suspect: hold}"))
    answer = world.live()
    run_id = answer["data"]["run_id"]

    assert answer["exit_status"] == 1
    assert only(answer)["message"] == (
        f"{SAID} Held; 'run_all.py release {run_id} {THE_DAY} --profile {world.profile}' publishes it."
    )
    assert world.published() == before

    shutil.rmtree(world.folder / "weverse")
    released = world.command("release", "latest", f"stats_wv_h_live_play/{DAY}")
    assert released["exit_status"] == 0, released
    assert {task["id"]: task["published"] for task in released["data"]["tasks"]} == dict.fromkeys(tasks(DAY), "yes")
    # The pointer moved to what the first attempt staged.
    (wrote,) = world.command("who-wrote", "wv_live_play", f"part_date={DAY}")["data"]
    assert (wrote["run"], wrote["attempt"]) == (run_id, 1)


# Several dates, several pipelines


def test_repair_redoes_only_the_failed_date_and_the_month_that_lacked_it(world: LiveWorld) -> None:
    """1 May keeps its attempt; 2 May and the month, which was built without it, are built by the second."""
    world.log(DAYS[2])
    lives = pq.read_table(world.file("wv_live"))
    ends = lives["end_dt"].to_pylist()
    ends[2] = datetime(2024, 6, 30, tzinfo=UTC)
    world.change("wv_live", lives.set_column(lives.schema.get_field_index("end_dt"), "end_dt", pa.array(ends)))
    answer = world.live("--from", DAY, "--to", "2024-05-02")

    assert answer["exit_status"] == 3
    failed = only({"data": {"tasks": [t for t in answer["data"]["tasks"] if t["part_date"] == "2024-05-02"]}})
    assert (failed["outcome"], failed["reason"]) == ("failed", "live_too_long")
    assert outcomes(answer)["stats_wv_m_video_copyright/2024-05"] == ("ok", "yes")
    assert outcomes(answer)["stats_we_t_kpi/2024-05-02"] == ("skipped", "no")

    world.heal_source("wv_live")
    plan = world.command("repair", "latest", "--plan")["data"]
    redone = tasks("2024-05-02")
    assert {one["task"] for one in plan if one["action"] == "redo"} == redone
    repaired = world.command("repair", "latest")
    assert repaired["exit_status"] == 0
    attempts = {task["id"]: task["attempt"] for task in repaired["data"]["tasks"]}
    assert attempts == dict.fromkeys(tasks(DAY), 1) | dict.fromkeys(redone, 2)
    lives_of_month = "select sum(lives) from we_mart.stats_wv_m_video_copyright where guest_joint_seq = 0"
    # By country: two of each live.
    assert world.command("sql", lives_of_month)["data"]["rows"] == [[4]]


def test_a_locked_table_keeps_every_table_of_the_date_as_it_was(world: LiveWorld) -> None:
    """One lock that another run holds: none of the five is moved, exit is 75, and the repair moves them all."""
    before = world.published()
    world.log(DAYS[2])
    with (
        Warehouse.open(load(world.profile).warehouse) as warehouse,
        warehouse.catalog.lock("we_mart.stats_wv_h_live_play", "bigmama-nb another", 0),
    ):
        answer = world.live("--date", "2024-05-02")
    assert answer["exit_status"] == 75
    assert {task["reason"] for task in answer["data"]["tasks"] if task["table"] in DAILY} == {"locked"}
    assert world.published() == before

    assert world.command("repair", "latest")["exit_status"] == 0
    assert world.by_day()[DAY, 0] == counted(DAYS[1], whole_log=True)


def test_games_are_published_where_live_viewing_fails(world: LiveWorld) -> None:
    """A live source that is not there costs the games nothing: exit 3, and the report is made."""
    shutil.rmtree(world.folder_of("user_user"))
    answer = world.command("run", "--jobs", "1")

    assert answer["exit_status"] == 3
    assert world.rows() == expected(*CLUSTERS)
    assert only(answer)["reason"] == "source_missing"
    assert {task["outcome"] for task in answer["data"]["tasks"] if task["pipeline"] == "game_metric"} == {"ok"}
    assert books(answer)["50_report"] == "ok"


# Stages that die


class Dying:
    """An engine that is killed as soon as something is asked of it."""

    executors = None

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("killed here")


def test_a_40_that_dies_after_the_dates_move_is_found_in_the_catalog(world: LiveWorld, engine: DuckDBEngine) -> None:
    """The date's tables are `ok`, `published: yes`; KPI and month failed, and the repair makes just them."""
    dying: Any = Dying()

    def prepare(here: StageContext) -> None:
        here.engine = lambda profile: contextlib.nullcontext(dying if here.name == "40_write_parquet" else engine)

    world.prepare = prepare
    answer = world.live()

    assert answer["exit_status"] == 3
    assert outcomes(answer) == everything("failed", "no") | {f"{table}/{DAY}": ("ok", "yes") for table in DAILY}
    assert only(answer, "stats_we_t_kpi")["reason"] == "stage_died"
    assert books(answer)["40_write_parquet"] == "failed"
    assert {one["table"].removeprefix("we_mart.") for one in answer["data"]["published"]} == DAILY

    world.use(engine)
    repaired = world.command("repair", "latest")
    assert (repaired["exit_status"], outcomes(repaired)) == (0, everything("ok", "yes"))
    attempts = {task["id"]: task["attempt"] for task in repaired["data"]["tasks"]}
    assert attempts == {task: 1 if task.partition("/")[0] in DAILY else 2 for task in tasks(DAY)}


def test_a_40_that_never_tells_is_found_in_the_catalog(world: LiveWorld, engine: DuckDBEngine) -> None:
    """All seven tasks are `ok`, `published: yes`, though the notebook never handed anything over."""

    def prepare(here: StageContext) -> None:
        here.engine = lambda profile: contextlib.nullcontext(engine)
        lose_the_disk(here)

    world.prepare = prepare
    answer = world.live()

    assert (answer["exit_status"], outcomes(answer)) == (0, everything("ok", "yes"))
    assert books(answer)["40_write_parquet"] == "failed"
    assert {one["table"].removeprefix("we_mart.") for one in answer["data"]["published"]} == set(TABLES)


def test_a_30_that_dies_fails_its_tasks_and_publishes_nothing(world: LiveWorld) -> None:
    """A dead 30_live_play: every task is `failed: stage_died`, and 40 is not started."""
    before = world.published()
    world.outcomes["30_live_play"] = "never ran"
    answer = world.live()

    assert (answer["exit_status"], outcomes(answer)) == (1, everything("failed", "no"))
    assert {task["reason"] for task in answer["data"]["tasks"]} == {"stage_died"}
    assert books(answer) == {"30_live_play": "killed", "40_write_parquet": "not started", "50_report": "ok"}
    assert world.published() == before


# Waiting


def test_a_date_is_published_when_its_log_has_come(world: LiveWorld) -> None:
    """Polls look at folders only; the log of 2 May arrives before the third, and one attempt publishes two dates."""
    looks: list[int] = []

    def resting(seconds: float, stop: Any) -> None:
        looks.append(len(list(world.folder_of("wv_server_log_base").iterdir())))
        if len(looks) == 3:
            world.log(DAYS[2])

    world.services = replace(
        world.services,
        rest=resting,
        clock=lambda: datetime(2024, 5, 5, tzinfo=UTC),
        extract=lambda *asked, **named: pytest.fail("no figure is waited for"),
    )
    answer = world.live("--date", "2024-05-02", "--wait-until", "23:59")

    assert answer["exit_status"] == 0
    assert len(looks) == 3
    assert outcomes(answer) == dict.fromkeys(tasks(DAY, "2024-05-02"), ("ok", "yes"))
    assert {task["attempt"] for task in answer["data"]["tasks"]} == {2}
    assert world.by_day()[DAY, 0] == counted(DAYS[1], whole_log=True)


def test_a_date_whose_log_never_comes_stays_not_ready(world: LiveWorld) -> None:
    """Of two dates one comes: it is published with its month, the other is still not_ready when the time is over."""
    world.drop_log(DAYS[1])
    polls: list[int] = []

    def resting(seconds: float, stop: Any) -> None:
        polls.append(len(polls))
        if len(polls) == 2:
            world.log(DAYS[1])
            world.log(LATER)

    world.services = replace(
        world.services,
        rest=resting,
        clock=lambda: datetime(2099 if len(polls) == 3 else 2024, 5, 5, tzinfo=UTC),
    )
    answer = world.live("--from", "2024-04-30", "--to", "2024-05-02", "--wait-until", "23:59")

    # 30 April's log is whole at the second poll, the others' never.
    assert len(polls) == 3
    assert answer["exit_status"] == 3
    by_day = {task["part_date"]: task["outcome"] for task in answer["data"]["tasks"] if task["table"] in DAILY}
    assert by_day == {"2024-04-30": "ok", DAY: "not_ready", "2024-05-02": "not_ready"}
