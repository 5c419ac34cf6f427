"""The guide of integrations names what there is, in the words in which it is called."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "integrations.md"
TELEMETRY = ROOT / "src" / "moneypath" / "telemetry"
# What several modules share, and nobody switches on.
SHARED = {"__init__", "http_outcomes", "http_server", "nats_health", "routes"}


def switches() -> list[str]:
    """Return the code that stands in the second column of the tables."""
    rows = [line.split(" | ") for line in GUIDE.read_text().splitlines() if line.startswith("| ")]
    return [row[1].strip("`") for row in rows if row[1].startswith("`")]


def calls(code: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of ours in a line of code, with the dotted name of what is called."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.startswith(("integrations.", "otlp.")) and "(" not in name:
                yield name, node


def found(name: str) -> Any:
    """Return what a dotted name stands for."""
    module, _, attribute = f"moneypath.telemetry.{name}".rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("code", switches())
def test_what_switches_it_on_can_be_called_so(code: str) -> None:
    """Module, function and keywords are as the guide has them."""
    named = list(calls(code))
    assert named
    for name, call in named:
        keywords = {str(keyword.arg): None for keyword in call.keywords}
        inspect.signature(found(name)).bind(*call.args, **keywords)


def test_every_integration_stands_in_the_guide() -> None:
    """A module that the guide forgets is one that nobody finds."""
    modules = {file.stem for file in (TELEMETRY / "integrations").glob("*.py")} - SHARED
    named = {name.split(".")[1] for code in switches() for name, _ in calls(code) if name[0] == "i"}
    assert named == modules


def test_every_link_leads_somewhere() -> None:
    """Examples and other guides are where the guide says."""
    links = re.findall(r"\]\(([^)]+)\)", GUIDE.read_text())
    assert links
    assert [link for link in links if not (GUIDE.parent / link).is_file()] == []


def test_every_metric_is_one_of_the_catalogue() -> None:
    """Each name that looks like a metric is declared."""
    text = "".join(file.read_text() for file in (TELEMETRY / "catalogue").glob("*.py"))
    names = set(re.findall(r"`((?:moneypath|http)_[a-z_]+)[`{]", GUIDE.read_text()))
    assert len(names) > 3
    assert [name for name in names if f'"{name}"' not in text] == []
