"""The build of an earlier revision, in a folder of its own."""

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from moneypath.capacity.errors import GateRefused
from moneypath.stack.starters import Build

GIT_SECONDS: Final = 30.0
MAX_BYTES: Final = 256 * 1024 * 1024
SOURCES: Final = "src"


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of the project, as it was named; `build` is what of it runs."""

    project: Path
    name: str
    commit: str
    build: Build

    @property
    def title(self) -> str:
        """Return the name and the commit."""
        return f"{self.name} ({self.commit[:12]})"

    def export(self, folder: Path) -> Build:
        """Write the sources of the revision to a new folder, and return the build in it."""
        archive = _git(self.project, "archive", "--format=tar", self.commit, "--", SOURCES)
        if archive is None or len(archive) > MAX_BYTES:
            raise _refused(self.name, f"has no folder {SOURCES} that could be exported")
        folder.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as content:
            content.extractall(folder, filter="data")
        return replace(self.build, folder=folder / SOURCES)


def find_revision(project: Path, name: str, build: Build) -> Revision:
    """Return the commit that `name` stands for, with `build` to run of it.

    Raises GateRefused for an unknown one, for one without the service, and while files that git knows are
    changed: the verdict would name a build that nobody can find again.
    """
    if shutil.which("git") is None or _git(project, "rev-parse", "--git-dir") is None:
        raise GateRefused(
            f"no baseline: {project} is no git work tree", hint="Run it in a clone, or name a recorded file."
        )
    found = _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found is None:
        raise GateRefused(
            f"no baseline: there is no revision {name}",
            hint="Name a commit, a tag or a branch that `git rev-parse` knows, or a recorded file.",
        )
    if _git(project, "status", "--porcelain", "--untracked-files=no"):
        raise GateRefused(
            "no comparison: files of the work tree are changed, so no commit is what would be measured",
            hint="Commit or stash the changes.",
        )
    commit = found.decode().strip()
    service = build.api
    if _git(project, "cat-file", "-e", f"{commit}:{SOURCES}/{service.replace('.', '/')}/__main__.py") is None:
        raise _refused(name, f"has no {service} to compare with")
    return Revision(project, name, commit, build)


def _refused(name: str, what: str) -> GateRefused:
    return GateRefused(f"no baseline: revision {name} {what}", hint="Name a revision with the service in it.")


def _git(project: Path, *arguments: str) -> bytes | None:
    """Return what git printed; None if it failed."""
    try:
        done = subprocess.run(  # noqa: S603 - arguments are a list, and a name cannot be an option
            [shutil.which("git") or "git", "-C", str(project), *arguments],
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
