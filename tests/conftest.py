"""The small world of a run, and what a run of the tests prints at its end: the figures that tests recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.runs.world import World, in_process

# A machine that is busy is no fault of the code: no example fails for how long it took. `make test` says the same of
# the same code each time; `make test-long` looks at other examples each time.
settings.register_profile("alike", deadline=None, derandomize=True)
settings.register_profile("unlike", deadline=None, print_blob=True)
settings.load_profile("alike")

FIGURES = "figures"
"""The property of `record_property` under which a test leaves a line for the end of the run."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each recorded line; what workers print by themselves is not shown."""
    lines = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == FIGURES
    ]
    if lines:
        terminalreporter.section("figures")
    for line in sorted(lines):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def own_scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What notebooks that are run by hand make lies with all else that tests make, not in this person's cache."""
    folder = tmp_path_factory.mktemp("own-scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGMAMA_SCRATCH", str(folder))
        yield folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Three games, and the command in this process."""
    with in_process(monkeypatch, World(tmp_path / "world")) as made:
        yield made


@pytest.fixture
def real_world(tmp_path: Path) -> World:
    """Three games, and the command as its users run it."""
    return World(tmp_path / "world")
