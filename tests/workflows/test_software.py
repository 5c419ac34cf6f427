"""A bundle says which software made it, and says "unknown" rather than guess."""

import subprocess
from pathlib import Path

from moneypath.workflows.software import describe_software, list_packages

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.com")


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return what it printed."""
    done = subprocess.run(
        ["git", "-C", str(folder), *IDENTITY, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    """An edited file is not what was committed."""
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    found = describe_software(tmp_path)
    assert (found.commit, found.modified) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("2")
    assert describe_software(tmp_path).modified is True


def test_folder_outside_of_git_has_no_commit(tmp_path: Path) -> None:
    """Unknown is None."""
    found = describe_software(tmp_path)
    assert (found.commit, found.modified) == (None, None)
    assert found.python


def test_folder_that_a_work_tree_around_it_does_not_hold_has_no_commit(tmp_path: Path) -> None:
    """A home folder in git says nothing of the runs in it; a folder that it holds has its commit."""
    git(tmp_path, "init", "-q")
    for name in ("kept", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
    git(tmp_path, "add", "kept")
    git(tmp_path, "commit", "-qm", "one")
    assert describe_software(tmp_path / "run").commit is None
    assert describe_software(tmp_path / "kept").commit == git(tmp_path, "rev-parse", "HEAD")


def test_packages_are_listed_with_their_versions() -> None:
    """One a line."""
    assert any(line.startswith("cryptography==") for line in list_packages().splitlines())
