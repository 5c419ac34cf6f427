"""Print the table of outages: `pytest -p tests.outage_table`, as `make outages` does."""

from typing import Final

import pytest
from proofs.outages.table import render
from rich.console import Console

PROPERTY: Final = "outage"
WIDTH: Final = 200


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a row for each outage that has a result, and what was skipped with its reason."""
    rows = [
        tuple(dict(report.user_properties)[PROPERTY])
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and PROPERTY in dict(report.user_properties)
    ]
    skipped = {
        report.nodeid.partition("[")[2].rstrip("]"): str(report.longrepr[2])
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    }
    Console(width=WIDTH, file=terminalreporter._tw._file).print(render(rows, skipped), markup=False)
