"""A project as `moneypath init` writes it, for tests."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from moneypath.workflows.scaffold.answers import Answers, read_answers
from moneypath.workflows.scaffold.writing import FreshProject, init_project

TODAY: Final = date(2026, 11, 25)


def answers_of(flags: Mapping[str, Any], folder: str = "shop") -> Answers:
    """Return the answers of some flags."""
    return read_answers(folder_name=folder, **flags)


def init(folder: Path, **flags: Any) -> FreshProject:
    """Write a project."""
    return init_project(folder, answers_of(flags, folder.name), today=TODAY)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
