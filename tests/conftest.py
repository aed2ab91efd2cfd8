"""What a run of the tests prints at its end beside passed and failed: the figures that tests recorded."""

from __future__ import annotations

import pytest

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
