"""refpay and the examples use only public modules of the library, because users copy them."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import moneypath.telemetry

ROOT = Path(__file__).parents[2]
LIBRARY = "moneypath.telemetry"


def public_modules() -> set[str]:
    """Return the modules that the library's docstring calls public."""
    text = moneypath.telemetry.__doc__ or ""
    paragraph = next(part for part in text.split("\n\n") if part.startswith("Public"))
    return {LIBRARY, *(f"{LIBRARY}.{name}" for name in re.findall(r"`([a-z_.]+)`", paragraph))}


def is_public(module: str) -> bool:
    """Return whether a module is public: by name, or as one of the integrations."""
    package, _, name = module.rpartition(".")
    return module in public_modules() or (package == f"{LIBRARY}.integrations" and not name.startswith("_"))


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Yield each of our modules that a file imports from, with the imported name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("moneypath"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moneypath"):
            yield from ((str(node.module), alias.name) for alias in node.names)


def problem_of(module: str, name: str) -> str | None:
    """Return what is wrong with an import, None if nothing is."""
    if name and (is_public(f"{module}.{name}") or f"{module}.{name}" == f"{LIBRARY}.integrations"):
        return None
    if not is_public(module):
        return f"{module} is not public" if module != f"{LIBRARY}.integrations" else None
    if name.startswith("_"):
        return f"{module}.{name} is private"
    declared = getattr(importlib.import_module(module), "__all__", None)
    if name and declared is not None and name not in declared:
        return f"{module} does not offer {name}"
    return None


def users() -> list[Path]:
    """Return every file of refpay and every example."""
    return sorted([*(ROOT / "src" / "refpay").rglob("*.py"), *(ROOT / "examples").glob("*.py")])


def test_users_import_what_is_public() -> None:
    """Each imported name is public."""
    found = [(path, *one) for path in users() for one in imports(path.read_text(encoding="utf-8"))]
    assert len(found) > 10
    problems = {f"{path.relative_to(ROOT)}: {problem_of(module, name)}" for path, module, name in found}
    assert sorted(problem for problem in problems if not problem.endswith(": None")) == []


def test_what_is_called_public_is_there() -> None:
    """Every module that the docstring names can be imported."""
    assert len(public_modules()) > 3
    for module in public_modules():
        importlib.import_module(module)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("from moneypath.telemetry import setup", None),
        ("from moneypath.telemetry import correlation", None),
        ("from moneypath.telemetry.integrations import ledger", None),
        ("from moneypath.telemetry.integrations.ledger import LedgerWrite", None),
        ("from moneypath.telemetry.integrations.ledger import WRITES", "does not offer"),
        ("from moneypath.telemetry.integrations.ledger import _answers", "private"),
        ("from moneypath.telemetry.recording.recorder import Recorder", "not public"),
        ("from moneypath.telemetry import recording", "does not offer"),
        ("import moneypath.telemetry.recording.handles", "not public"),
        ("from moneypath.path import loader", "not public"),
        ("import moneypath", "not public"),
    ],
)
def test_judgement(source: str, problem: str | None) -> None:
    """Public and private twins."""
    ((module, name),) = imports(source)
    told = problem_of(module, name)
    assert (told is None) if problem is None else (told is not None and problem in told)
