"""The till has no line of ours."""

import ast
import sys
from pathlib import Path

TILL = Path(__file__).with_name("till")


def test_no_line_of_the_service_knows_us() -> None:
    """It imports Flask, prometheus_client and a driver; so do the programs beside it, or less."""
    found = set()
    for file in TILL.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    assert found - sys.stdlib_module_names == {"flask", "prometheus_client", "psycopg"}
