"""What CONTRIBUTING tells works as it is written, and the project's own settings are whole."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from hypothesis import settings
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

REPO = Path(__file__).parent.parent
PAGE = (REPO / "CONTRIBUTING.md").read_text("utf-8")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
DECLARED = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_works(line: str) -> None:
    """Typed in a checkout it ends with 0."""
    program, *words = shlex.split(line)
    assert program == ".venv/bin/pytest"
    done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=REPO, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("text", DECLARED)
def test_every_dependency_has_a_floor(text: str) -> None:
    """A pin or a lowest version, so that the lowest allowed set is one that somebody can try."""
    assert {each.operator for each in Requirement(text).specifier} & {">=", "=="}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_can_be_installed_by_the_lowest_python(name: str) -> None:
    """`make run` with the oldest release of the oldest Python that is allowed finds every version that is pinned."""
    (floor,) = re.findall(r">=(\d+\.\d+)", PROJECT["requires-python"])
    pins = dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", (REPO / name).read_text("utf-8"), flags=re.MULTILINE))
    assert len(pins) > 50
    installed = {one.metadata["Name"].lower(): one for one in distributions()}
    wanted = {
        pin: SpecifierSet(str(one.metadata.json.get("requires_python", "")))
        for pin, version in pins.items()
        if (one := installed.get(pin.lower())) is not None and one.version == version
    }
    assert len(wanted) > len(pins) / 2
    assert {pin: str(asked) for pin, asked in wanted.items() if not asked.contains(f"{floor}.0")} == {}


def test_hooks_are_commands_of_the_environment() -> None:
    """Every hook is local and its program is one that the development environment has."""
    repos = YAML(typ="safe").load(REPO / ".pre-commit-config.yaml")["repos"]
    assert {repo["repo"] for repo in repos} == {"local"}
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for repo in repos for hook in repo["hooks"]}
    assert {name for name in programs if not Path(sys.executable).with_name(name).is_file()} == set()


def test_the_licence_is_the_one_that_is_declared() -> None:
    """The whole text of it, and its name in the package's metadata."""
    assert PROJECT["license"] == "Apache-2.0"
    text = (REPO / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_no_example_fails_for_how_long_it_took() -> None:
    """A machine that is busy is no fault of the code: Hypothesis judges what comes out, not when."""
    assert settings.default is not None
    assert settings.default.deadline is None


def test_every_decision_is_dated() -> None:
    """Who reads one knows whether it was made before or after what they know."""
    text = (REPO / "docs/decisions.md").read_text("utf-8")
    entries = re.findall(r"^- \*\*.*?(?=^- |^#|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert len(entries) > 40
    assert [entry.splitlines()[0] for entry in entries if not re.search(r"\(20\d\d-\d\d-\d\d\)\s*$", entry)] == []
