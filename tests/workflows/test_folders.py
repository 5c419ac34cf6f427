"""Runs have folders of their own, and only finished ones are ever removed."""

import os
import stat
from pathlib import Path

import pytest

from moneypath.stack.errors import FolderUnwritable
from moneypath.workflows.folders import (
    FINISHED_RUNS_KEPT,
    ProjectNotFound,
    new_run_folder,
    project_folder,
    runs_folder,
)

OLD = 1_000_000_000.0


def _finished(runs: Path, number: int) -> Path:
    folder = runs / f"20200101T0000{number:02d}Z-demo-aaaaaa"
    folder.mkdir(parents=True)
    os.utime(folder, (OLD, OLD))
    return folder


def test_the_oldest_finished_runs_are_removed(tmp_path: Path) -> None:
    """The newest stay; what lies elsewhere is left alone."""
    runs = tmp_path / "moneypath" / "runs"
    folders = [_finished(runs, number) for number in range(FINISHED_RUNS_KEPT + 3)]
    (runs / "notes").mkdir()
    new_run_folder("demo", {"XDG_STATE_HOME": str(tmp_path)})
    assert [folder.exists() for folder in folders] == [False] * 3 + [True] * FINISHED_RUNS_KEPT
    assert (runs / "notes").exists()


def test_a_run_that_still_runs_is_never_removed(tmp_path: Path) -> None:
    """An endpoints file means that somebody is at work there."""
    runs = tmp_path / "moneypath" / "runs"
    folders = [_finished(runs, number) for number in range(FINISHED_RUNS_KEPT + 1)]
    (folders[0] / "endpoints.json").touch()
    os.utime(folders[0], (OLD, OLD))
    new_run_folder("demo", {"XDG_STATE_HOME": str(tmp_path)})
    assert all(folder.exists() for folder in folders)


def test_two_runs_in_one_second_do_not_meet(tmp_path: Path) -> None:
    """Two demos side by side have folders of their own."""
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert new_run_folder("demo", environ) != new_run_folder("demo", environ)


def test_the_project_is_found_from_below_and_missed_elsewhere(tmp_path: Path) -> None:
    """The nearest folder upwards with a declaration is the project."""
    (tmp_path / "moneypath.yaml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_folder(below) == tmp_path
    with pytest.raises(ProjectNotFound, match=r"no moneypath\.yaml"):
        project_folder(Path("/"))


@pytest.mark.parametrize("environ", [{"XDG_STATE_HOME": "relative", "HOME": "/h"}, {"HOME": "/h"}])
def test_a_relative_state_folder_is_ignored(environ: dict[str, str]) -> None:
    """Servers run in folders of their own, where a relative path would mean something else."""
    assert runs_folder(environ) == Path("/h/.local/state/moneypath/runs")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "somewhere"}])
def test_an_odd_home_still_gives_an_absolute_folder(environ: dict[str, str]) -> None:
    """HOME may be unset, empty or relative."""
    assert runs_folder(environ).is_absolute()


def test_a_state_folder_that_cannot_be_used_is_named_with_the_way_out(tmp_path: Path) -> None:
    """A file in the way, or a folder of somebody else, is one sentence that names the variable to set."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(FolderUnwritable, match="folder not writable") as caught:
        new_run_folder("demo", {"XDG_STATE_HOME": str(in_the_way)})
    assert "XDG_STATE_HOME" in caught.value.hint


def test_a_run_that_vanishes_meanwhile_is_nobody_s_error(tmp_path: Path) -> None:
    """Two commands may prune at once: what the other removed first, here a dangling link, is passed over."""
    runs = tmp_path / "moneypath" / "runs"
    runs.mkdir(parents=True)
    (runs / "20200101T000000Z-demo-aaaaaa").symlink_to(tmp_path / "gone")
    assert new_run_folder("demo", {"XDG_STATE_HOME": str(tmp_path)}).parent == runs


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_runs_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, and also where an earlier version left the folder open."""
    (tmp_path / "moneypath").mkdir()
    (tmp_path / "moneypath").chmod(0o755)
    before, state = os.umask(umask), tmp_path.stat().st_mode
    try:
        runs = new_run_folder("demo", {"XDG_STATE_HOME": str(tmp_path)}).parent
    finally:
        os.umask(before)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (runs.parent, runs)] == [0o700, 0o700]
    assert tmp_path.stat().st_mode == state
