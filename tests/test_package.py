"""The built wheel is all that a user needs: notebooks, profiles and the sample are in it; hints name its command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import bson
import pytest

from bigmama_nb.project import as_called

REPO = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is built of what git knows here and what is not ignored."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", out, REPO], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bigmama-nb` of the wheel in an environment of its own, which sees this one's other packages and no checkout."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install: list[str | Path] = [UV, "pip", "install", "--quiet", "--no-deps", "--python", venv / "bin/python", wheel]
    subprocess.run(install, check=True)
    return venv / "bin" / "bigmama-nb"


def called(command: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type the words in a folder, as somebody without any of our variables."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BIGMAMA_PROFILE")}
    return subprocess.run([command, *words], cwd=folder, env=own, capture_output=True, text=True, check=False)


def test_the_wheel_holds_what_a_run_needs(wheel: Path) -> None:
    """Every module, notebook, profile and example of a schedule that git keeps, and nothing that a run made."""
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = subprocess.run(["git", "ls-files", "bigmama_nb"], cwd=REPO, capture_output=True, text=True, check=True)
    assert set(kept.stdout.split()) <= names
    for folder in ("notebooks", "parameters", "docs/examples"):
        kept = subprocess.run(["git", "ls-files", folder], cwd=REPO, capture_output=True, text=True, check=True)
        assert {f"bigmama_nb/_project/{name}" for name in kept.stdout.split()} <= names
    assert [name for name in names if "/out/" in name or "checkpoints" in name] == []
    for file in ("jupyter_server_config.d", "labconfig/default_setting_overrides.d"):
        (enabled,) = [name for name in names if name.endswith(f"/etc/jupyter/{file}/bigmama_nb.json")]
        assert ".data/data/" in enabled, "installed for every Jupyter server of the environment"


def test_the_installed_command_runs_the_sample_into_the_current_folder(command: Path, tmp_path: Path) -> None:
    """`bigmama-nb run` publishes the sample into out, by its own notebooks; the next hint can be typed as it stands."""
    done = called(command, tmp_path, "run", "--pipelines", "game_metric", "--date", "2024-05-01", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["data"]
    assert record["status"] == "ok"
    assert record["profile"]["path"] == str(tmp_path / "out" / "sample.yaml")
    assert record["environment"]["git"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert {"archive", "sample", "warehouse"} <= {path.name for path in (tmp_path / "out").iterdir()}
    asked = called(command, tmp_path, "sql", "select count(*) as n from game_metric where dt = '20240501'", "--json")
    assert json.loads(asked.stdout)["data"]["rows"][0][0] >= 12


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--help"),
        ("run", "--games", "nobody"),
        ("runs", "show", "latest"),
        ("sql", "select * from game_metric"),
        ("who-wrote", "game_metric", "dt=20240501"),
    ],
    ids=" ".join,
)
def test_hints_name_the_command_as_it_was_called(command: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Nobody who has the installed command has a run_all.py."""
    done = called(command, tmp_path, *words)
    said = done.stdout + done.stderr
    assert "run_all.py" not in said
    assert "Traceback" not in said


def test_a_hint_changes_and_paths_do_not() -> None:
    """The command's name is replaced where it is a command; a folder or file of that name stays."""
    text = "'run_all.py repair latest' or python run_all.py run; see /srv/run_all.py and run_all.pyc"
    assert as_called(text, command="bigmama-nb") == (
        "'bigmama-nb repair latest' or bigmama-nb run; see /srv/run_all.py and run_all.pyc"
    )
    assert as_called(text, command="run_all.py") == text


def test_init_makes_a_project_that_runs_its_own_notebooks(command: Path, tmp_path: Path) -> None:
    """The project's profile is valid, its runs execute its notebooks, and its schedules name its folder."""
    made = called(command, tmp_path, "init", "mine")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "mine"
    own = "parameters/project.yaml"
    dumps = project / "dumps" / "mygame"
    dumps.mkdir(parents=True)
    (dumps / "daily.bson").write_bytes(bson.encode({"_id": 1, "dt": "20240501", "value": 7}))
    stage = project / "notebooks" / "50_report.ipynb"
    changed = json.loads(stage.read_text("utf-8"))
    changed["cells"].append(
        {"cell_type": "code", "id": "mine", "metadata": {}, "outputs": [], "execution_count": None, "source": "6 * 7"}
    )
    stage.write_text(json.dumps(changed), encoding="utf-8")
    done = called(command, project, "run", "--profile", own, "--date", "2024-05-01", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["data"]
    assert [task["value"] for task in record["tasks"]] == [7]
    report = project / "out" / "archive" / "runs" / record["run_id"] / "1" / "50_report.ipynb"
    assert [cell["source"] for cell in json.loads(report.read_text("utf-8"))["cells"]][-1] == ["6 * 7"]
    for schedule in (project / "schedules").iterdir():
        text = schedule.read_text("utf-8")
        assert "run_all.py" not in text
        assert "/srv/bigmama" not in text
    ((program, profile),) = set(
        re.findall(
            r"(\S+) (?:run|repair --open) --profile (\S+)", (project / "schedules/bigmama.cron").read_text("utf-8")
        )
    )
    assert Path(program) == command
    assert (project / profile).is_file()


def test_init_leaves_a_folder_that_holds_something_alone(command: Path, tmp_path: Path) -> None:
    """Exit status 2, and not a file more or less."""
    (tmp_path / "mine.txt").write_text("here")
    done = called(command, tmp_path, "init", str(tmp_path))
    assert done.returncode == 2
    assert "is there and not empty. Nothing was written; name a new folder." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.long
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """`pip install` of the wheel alone brings all that it imports: the sample runs, and a project that `init` made."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    install = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True)
    command = venv / "bin/bigmama-nb"
    done = called(command, tmp_path, "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["status"] == "ok"

    assert called(command, tmp_path, "init", "mine").returncode == 0
    dumps = tmp_path / "mine" / "dumps" / "mygame"
    dumps.mkdir(parents=True)
    (dumps / "daily.bson").write_bytes(bson.encode({"_id": 1, "dt": "20240501", "value": 7}))
    own = ("--profile", "parameters/project.yaml", "--json")
    tried = called(command, tmp_path / "mine", "try", "wau", "--date", "2024-05-01", *own)
    assert [one["value"] for one in json.loads(tried.stdout)["data"]] == [7], tried.stderr
    done = called(command, tmp_path / "mine", "run", "--date", "2024-05-01", *own)
    assert [task["value"] for task in json.loads(done.stdout)["data"]["tasks"]] == [7], done.stderr
