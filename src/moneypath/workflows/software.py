"""Which software runs: versions, and the commit of the project."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Final

from moneypath.incidents.manifest import Software

GIT_SECONDS: Final = 10.0


def describe_software(project: Path) -> Software:
    """Return the versions of moneypath and Python, and the commit of `project` if git holds its folder.

    A project may lie in a work tree that says nothing of it, such as a home folder whose settings are kept.
    """
    held = _git(project, "rev-parse", "HEAD:./")
    commit = None if held is None else _git(project, "rev-parse", "HEAD")
    changes = None if commit is None else _git(project, "status", "--porcelain", "--untracked-files=no")
    return Software(
        moneypath=_own_version(),
        python=platform.python_version(),
        commit=commit,
        modified=None if changes is None else bool(changes),
    )


def list_packages() -> str:
    """Return the installed packages with their versions, one a line."""
    found = {f"{each.metadata['Name']}=={each.version}" for each in distributions()}
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower))


def _own_version() -> str:
    try:
        return version("moneypath")
    except PackageNotFoundError:
        return "unknown"


def _git(project: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None or not any((folder / ".git").exists() for folder in (project, *project.parents)):
        return None
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program and fixed arguments
            [program, "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
