"""The examples of schedules are executed: by systemd itself, under cron's bare environment, in a real Airflow 3."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.runs.world import World

REPO = Path(__file__).parent.parent
EXAMPLES = REPO / "docs" / "examples"
PAGE = (REPO / "docs/operations/schedules.md").read_text("utf-8")


def here(name: str, folder: Path) -> str:
    """Return an example with a folder of the test's in place of the machine's, and this checkout's command in it."""
    text = (EXAMPLES / name).read_text("utf-8")
    for before, after in (
        ("/srv/bigmama/.venv/bin/python run_all.py", f"{sys.executable} {REPO / 'run_all.py'}"),
        (".venv/bin/python run_all.py", f"{sys.executable} {REPO / 'run_all.py'}"),
        ("/srv/bigmama", str(folder)),
        ("/etc/bigmama", str(folder)),
        ("/var/log/bigmama", str(folder)),
        ("parameters/production.yaml", "profile.yaml"),
    ):
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("bigmama*")))
def test_the_page_shows_the_file_as_it_is(name: str) -> None:
    """What is read on the page is what is tested here and what `init` writes."""
    assert f"```\n{(EXAMPLES / name).read_text('utf-8')}```" in re.sub(r"```\w+\n", "```\n", PAGE)


def verified(folder: Path, *units: str) -> str:
    """Return what systemd has to say of unit files, the unit that alerts beside them."""
    (folder / "bigmama-alert@.service").write_text("[Unit]\nDescription=Alert\n[Service]\nExecStart=/bin/true\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", *(folder / unit for unit in units)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ, reason="systemd is the machine's"
)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """Not a word from `systemd-analyze verify`; a key that is mistyped it does name."""
    units = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".service", ".timer"))
    assert len(units) == 4
    for name in units:
        (tmp_path / name).write_text(here(name, tmp_path), encoding="utf-8")
    assert verified(tmp_path, *units) == ""
    broken = tmp_path / "bigmama.service"
    broken.write_text(broken.read_text("utf-8").replace("RestartSec=", "RestartSek="), encoding="utf-8")
    assert "Unknown key 'RestartSek'" in verified(tmp_path, "bigmama.service")


def cron_commands(folder: Path) -> list[str]:
    """Return the commands of the crontab's jobs, `%` as cron reads it."""
    jobs = re.findall(r"^[\d*]+ [\d*]+ \* \* \*  bigmama  (.+)$", here("bigmama.cron", folder), flags=re.MULTILINE)
    assert not any("%" in job for job in jobs), "cron ends a command at %"
    return jobs


def under_cron(command: str, folder: Path) -> str:
    """Return what a job prints, which cron would mail, under the environment that cron gives it."""
    bare = {"SHELL": "/bin/bash", "HOME": str(folder), "LOGNAME": "bigmama", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["/bin/bash", "-c", command], cwd="/", env=bare, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_cron_lines_publish_and_speak_only_of_failures(tmp_path: Path) -> None:
    """The night's job mails its exit status when a dump is broken; the morning's repairs what is open, in silence."""
    world = World(tmp_path / "world")
    folder = world.folder
    (folder / "secrets.env").write_text("")
    world.break_("bb")
    night, morning = cron_commands(folder)
    assert re.fullmatch(r"bigmama: exit 3 on \S+, see \S+nightly.log\n", under_cron(night, folder))
    assert "bb" in (folder / "nightly.log").read_text("utf-8")
    world.heal("bb")
    assert under_cron(morning, folder) == ""
    assert {game for game, _, _ in world.rows()} == {"aa", "bb", "cc"}


def test_the_dag_asks_for_the_interval_that_is_over() -> None:
    """No cron string: in Airflow 3 its interval begins when it ends, so every night would ask for a day not over."""
    text = (EXAMPLES / "bigmama_dag.py").read_text("utf-8")
    assert 'schedule=CronDataIntervalTimetable("10 5 * * *", timezone=ZONE)' in text
    assert "data_interval_start" in text


@pytest.mark.long
def test_airflow_runs_the_dag_for_the_day_before(tmp_path: Path) -> None:
    """A real Airflow 3 executes the DAG at 05:10 of 2 May in Seoul, and the figures of 1 May are published."""
    world = World(tmp_path / "world")
    uv = Path(sys.executable).with_name("uv")
    venv = tmp_path / "airflow"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    packages = ["apache-airflow==3.3.2", "apache-airflow-providers-standard"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", venv / "bin/python", *packages], check=True)
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "bigmama_dag.py").write_text(here("bigmama_dag.py", world.folder), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BIGMAMA_PROFILE")} | {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    airflow = venv / "bin" / "airflow"
    subprocess.run([airflow, "db", "migrate"], env=env, capture_output=True, check=True)
    asked = subprocess.run(
        [airflow, "dags", "test", "bigmama", "2024-05-01T20:10:00+00:00"], env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "--date 2024-05-01" in asked.stdout + asked.stderr
    record = world.command("runs", "show", "latest")["data"]
    assert (record["from"], record["to"]) == ("2024-05-01", "2024-05-01")
    assert {task["dt"] for task in record["tasks"] if task["type"] == "wau"} == {f"{date(2024, 5, 1):%Y%m%d}"}
    assert record["status"] == "ok"
