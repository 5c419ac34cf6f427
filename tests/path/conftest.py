"""The declaration of the repository as text."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def declaration_file() -> Path:
    """Return the declaration of the repository."""
    return Path(__file__).parents[2] / "moneypath.yaml"


@pytest.fixture(scope="session")
def declaration(declaration_file: Path) -> str:
    """Return its text."""
    return declaration_file.read_text(encoding="utf-8")
