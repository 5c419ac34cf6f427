"""The files of the proofs import each other one way, also those that only types need."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def _imports(file: Path) -> set[str]:
    """Return the modules below proofs/ that a file imports anywhere, `if TYPE_CHECKING` included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.startswith("proofs.")}


def test_no_files_of_the_proofs_import_each_other_in_a_circle() -> None:
    """A circle that only types tie is one all the same: neither file can be read without the other."""
    files = {
        ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (PROJECT / "proofs").rglob("*.py")
    }
    assert len(files) > 20
    graph = {name: _imports(file) & files.keys() - {name} for name, file in files.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))
