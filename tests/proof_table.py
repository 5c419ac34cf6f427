"""Print what each sabotage was caught by: `pytest -p tests.proof_table`, as `make prove` does.

A test of a sabotage calls `caught_by` with the sentences of whatever caught it. The table at the end has a
row for each such test.
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Final

import pytest
from rich.console import Console
from rich.table import Table

PROPERTY: Final = "caught_by"
WIDTH: Final = 160
_running: list[pytest.Item] = []


def caught_by(sentences: Iterable[str]) -> None:
    """Record what caught the sabotage of the running test: nothing unless the table is asked for.

    No sentence records nothing. The last call with a sentence counts.
    """
    said = [str(sentence) for sentence in sentences]
    for item in _running:
        if said:
            item.user_properties.append((PROPERTY, said))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Know which test runs."""
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    rows = sorted(
        (*_name(report.nodeid), list(dict(report.user_properties)[PROPERTY]))
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and PROPERTY in dict(report.user_properties)
    )
    table = Table("of", "sabotage", "what said so", title=f"Sabotages caught: {len(rows)}")
    for of, sabotage, said in rows:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        table.add_row(of, sabotage, f"{said[0]}{more}")
    Console(width=WIDTH, file=terminalreporter._tw._file).print(table, highlight=False, markup=False)


def _name(node: str) -> tuple[str, str]:
    """Return the folder below tests and the sabotage's name in words."""
    file, _, test = node.partition("::")
    words = test.removeprefix("test_").replace("[", ": ").replace("]", "").replace("_", " ")
    return PurePosixPath(file).parts[1], words
