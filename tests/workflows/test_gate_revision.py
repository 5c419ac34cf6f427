"""A baseline is a revision that can be found again; everything else is refused before anything starts."""

import subprocess
from pathlib import Path

import pytest

from moneypath.capacity.errors import GateRefused
from moneypath.stack.starters import Build
from moneypath.workflows.revision import find_revision

BUILD = Build(api="shop.app", worker="shop.worker")
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A work tree with a service in two revisions; the tag `empty` is before it had one."""
    project = tmp_path / "project"
    app = project / "src" / "shop" / "app"
    app.mkdir(parents=True)
    _git(project, "init", "-q")
    (project / "src" / "notes").write_text("nothing yet\n")
    _git(project, "add", ".")
    _git(project, "commit", "-qm", "none")
    _git(project, "tag", "empty")
    for number in (1, 2):
        (app / "__main__.py").write_text(f"BUILD = {number}\n")
        _git(project, "add", ".")
        _git(project, "commit", "-qm", f"build {number}")
    return project


def test_a_revision_is_exported_to_a_folder_of_its_own(project: Path, tmp_path: Path) -> None:
    """The earlier sources, whatever the work tree holds."""
    revision = find_revision(project, "HEAD~1", BUILD)
    assert revision.title.startswith("HEAD~1 (")
    build = revision.export(tmp_path / "earlier")
    assert (build.api, build.worker) == (BUILD.api, BUILD.worker)
    assert build.environment == {"PYTHONPATH": str(tmp_path / "earlier" / "src")}
    assert (tmp_path / "earlier" / "src" / "shop" / "app" / "__main__.py").read_text() == "BUILD = 1\n"


@pytest.mark.parametrize("name", ["no-such-revision", "--all", "HEAD~99", "HEAD:src", ""])
def test_an_unknown_revision_is_refused_by_its_name(project: Path, name: str) -> None:
    """With the exit code of bad input."""
    with pytest.raises(GateRefused, match="there is no revision") as refused:
        find_revision(project, name, BUILD)
    assert name in refused.value.what
    assert refused.value.exit_code == 2


def test_changed_files_are_refused(project: Path) -> None:
    """Nobody could find the build again; files that git does not know do not matter."""
    (project / "new").write_text("x")
    find_revision(project, "HEAD", BUILD)
    (project / "src" / "notes").write_text("changed\n")
    with pytest.raises(GateRefused, match="files of the work tree are changed"):
        find_revision(project, "HEAD", BUILD)


def test_a_revision_without_the_service_is_refused(project: Path) -> None:
    """There would be nothing to start."""
    with pytest.raises(GateRefused, match=r"revision empty has no shop\.app"):
        find_revision(project, "empty", BUILD)


def test_a_folder_without_history_is_refused(tmp_path: Path) -> None:
    """It has no revisions."""
    with pytest.raises(GateRefused, match="is no git work tree"):
        find_revision(tmp_path, "HEAD", BUILD)
