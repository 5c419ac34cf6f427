"""The demo runs in any folder: on the checkout, or on a copy of what the installed package brought."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from moneypath.stack.errors import FolderUnwritable
from refstack.reference_project import CHECKOUT, PACKAGED, ReferenceProjectMissing, provide

ROOT = Path(__file__).parents[2]


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """The project as an installed package has it."""
    folder = tmp_path / "site-packages" / "project"
    for name in ("moneypath.yaml", "loadtests/checkout.py", "loadtests/__pycache__/checkout.cpython-311.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_checkout_is_the_project_itself(tmp_path: Path) -> None:
    """Whoever changes its declaration sees the change in the demo, and nothing is copied."""
    assert not PACKAGED.exists()
    assert provide(tmp_path / "copy") == CHECKOUT == ROOT
    assert not (tmp_path / "copy").exists()


def test_an_installed_package_is_copied_for_its_owner_alone(packaged: Path, tmp_path: Path) -> None:
    """Every file but what Python compiled; a checkout does not matter then."""
    copy = provide(tmp_path / "run" / "project", packaged=packaged, checkout=ROOT)
    assert copy == tmp_path / "run" / "project"
    assert {file.relative_to(copy).as_posix() for file in copy.rglob("*") if file.is_file()} == {
        "moneypath.yaml",
        "loadtests/checkout.py",
    }
    assert (copy / "loadtests/checkout.py").read_text() == "loadtests/checkout.py"
    for each in (copy, *copy.rglob("*")):
        assert not stat.S_IMODE(each.stat().st_mode) & 0o077, each


def test_no_project_at_all_is_one_sentence(tmp_path: Path) -> None:
    """A damaged installation says what to install."""
    with pytest.raises(ReferenceProjectMissing) as refused:
        provide(tmp_path / "run", packaged=tmp_path / "none", checkout=tmp_path)
    assert str(tmp_path / "none") in refused.value.what
    assert "moneypath-reference" in refused.value.hint


def test_a_place_that_cannot_be_written_is_named(packaged: Path, tmp_path: Path) -> None:
    """A file where a folder should go stands for every reason."""
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(FolderUnwritable, match=f"file not writable: {tmp_path / 'run'}"):
        provide(tmp_path / "run", packaged=packaged)


def test_a_folder_that_is_no_project_is_refused_by_the_demo(tmp_path: Path) -> None:
    """The option is for a changed copy; without it the folder that one is in does not matter."""
    done = subprocess.run(
        [sys.executable, "-m", "moneypath", "demo", "--project", str(tmp_path)],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert f"no moneypath.yaml here or above: {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr
