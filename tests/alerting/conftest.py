"""The declaration of the repository, and the real promtool and amtool."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.path.loader import load
from moneypath.path.model import MoneyPath
from moneypath.stack.binaries import find

ROOT = Path(__file__).parents[2]

RunTool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def money_path() -> MoneyPath:
    """Return the declaration of the repository."""
    return load(ROOT / "moneypath.yaml")


@pytest.fixture(scope="session")
def promtool() -> RunTool:
    """Return a function that runs the real promtool with arguments, in a folder."""
    return _runner("promtool")


@pytest.fixture(scope="session")
def amtool() -> RunTool:
    """Return a function that runs the real amtool with arguments, in a folder."""
    return _runner("amtool")


def _runner(name: str) -> RunTool:
    program = find(name).path

    def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [str(program), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)

    return run
