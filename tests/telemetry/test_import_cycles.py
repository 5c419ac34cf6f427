"""No two modules of the library import each other, not even for the type checker alone."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import moneypath.telemetry

ROOT = Path(moneypath.telemetry.__file__).parent
PACKAGE = "moneypath.telemetry"


def module_name(file: Path) -> str:
    """Return the dotted name of a module's file."""
    parts = (PACKAGE, *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(file): file for file in ROOT.rglob("*.py")}


def imported_modules(source: str) -> set[str]:
    """Return the modules of the library that a source imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def refuse_cycles(graph: dict[str, set[str]]) -> None:
    """Raise CycleError if modules import each other."""
    TopologicalSorter(graph).prepare()


def test_no_modules_import_each_other() -> None:
    """An import under TYPE_CHECKING counts like any other."""
    refuse_cycles({name: imported_modules(file.read_text()) - {name} for name, file in MODULES.items()})


def test_a_cycle_for_types_alone_is_found() -> None:
    """Two modules, one of which imports the other for annotations only."""
    lazy = f"if TYPE_CHECKING:\n    from {PACKAGE}.tracing.tracer import Tracer\n"
    with pytest.raises(CycleError):
        refuse_cycles(
            {
                f"{PACKAGE}.tracing.span": imported_modules(lazy),
                f"{PACKAGE}.tracing.tracer": {f"{PACKAGE}.tracing.span"},
            }
        )
