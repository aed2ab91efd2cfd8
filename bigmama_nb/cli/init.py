"""The verb init: a project of one's own, with a profile, the notebooks and a schedule."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from bigmama_nb.cli import VerbResult, verb
from bigmama_nb.errors import StorageError, UsageError
from bigmama_nb.project import NOTEBOOKS, ROOT

PROFILE = """\
# What this project's runs do. Relative paths start at this file's folder.
# Every key there is, with a comment: production.example.yaml. No secret stands here: name its variable.
# Look at it without running anything:  {command} check --profile {profile}
# One metric, and why it is what it is: {command} try wau --profile {profile}

timezone: Asia/Seoul                 # days, weeks and months are cut in this zone
warehouse:
  uri: ../out/warehouse              # a folder | hdfs://namenode:8020/path | s3://bucket/prefix
archive:
  uri: ../out/archive                # executed notebooks and records; a folder

clusters:
  main:
    dump: ../dumps                   # a mongodump folder: <database>/<collection>.bson or .bson.gz
    # uri_env: BIGMAMA_MAIN_URI      # or a live cluster: the variable that holds its URI

games:
  mygame: {{name: My game, cluster: main, database: mygame}}

metrics:
  wau:                               # a number that stands in one document a day
    collection: daily
    date: {{field: dt, as: yyyymmdd}}  # also yyyymm | iso_date | date | epoch_s | epoch_ms
    value: {{field: value}}            # also {{sum: path}} | {{max: path}} | {{count: true}} | {{count_distinct: path}}
    period: day                      # day | week | month
"""
"""The profile of a new project."""


@verb("init", example="init metrics")
@click.argument("folder")
def init(profile: str | None, folder: str) -> VerbResult:
    """Make a project of your own in FOLDER: a profile with comments, the notebooks, a schedule."""
    target = Path(folder).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: is there and not empty", state="Nothing was written", step="name a new folder")
    own = target / "parameters" / "project.yaml"
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(PROFILE.format(command=_command(), profile=own), encoding="utf-8")
        shutil.copy2(ROOT / "parameters" / "production.example.yaml", own.parent)
        shutil.copytree(NOTEBOOKS, target / "notebooks", ignore=shutil.ignore_patterns(".*"))
        _copy_schedules(target)
    except OSError as error:
        raise StorageError(
            f"{error.filename or target}: cannot be written ({error.strerror}). What was written before stays; delete "
            "the folder, make room or mend its rights, then run it again.",
            place=str(target),
        ) from None
    text = (
        f"{target}: parameters/project.yaml to edit, notebooks/ to change (its runs execute these), schedules/ to "
        f"install. Next: put a dump into {target / 'dumps'}, or name your cluster; then "
        f"{_command()} check --profile {own}"
    )
    return VerbResult({"path": str(target)}, text)


def _command() -> str:
    """Return the installed command, by its place: a schedule knows no search path."""
    return str(Path(sys.executable).with_name("bigmama-nb"))


def _copy_schedules(target: Path) -> None:
    """Copy the examples of schedules, with the project's folder, profile and command in them."""
    (target / "schedules").mkdir()
    for example in sorted((ROOT / "docs" / "examples").glob("bigmama*")):
        text = example.read_text(encoding="utf-8")
        for before, after in (
            ("/srv/bigmama/.venv/bin/python run_all.py", _command()),
            (".venv/bin/python run_all.py", _command()),
            ("/srv/bigmama", str(target)),
            ("parameters/production.yaml", "parameters/project.yaml"),
        ):
            text = text.replace(before, after)
        (target / "schedules" / example.name).write_text(text, encoding="utf-8")
