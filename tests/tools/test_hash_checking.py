"""A real pip, offline: a file with other content than was pinned is refused, and a sentence says why."""

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# Projects that need no builder but themselves: the builder writes the wheel that pip installs.
_PROJECT = """
[build-system]
requires = []
build-backend = "builder"
backend-path = ["."]
[project]
name = "{name}"
version = "1"
"""
_BUILDER = """
import zipfile
from pathlib import Path

{write_wheel}
def build_editable(folder, config_settings=None, metadata_directory=None):
    return write_wheel(Path(folder), "{name}").name
"""
pytestmark = pytest.mark.heavy


def write_wheel(folder: Path, name: str, content: str = "") -> Path:
    """Write the smallest wheel that pip installs."""
    wheel = folder / f"{name}-1-py3-none-any.whl"
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(file, text)
    return wheel


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that pins one package, which lies in `index`, by its hash."""
    for folder in ("tools", "requirements", "index"):
        (tmp_path / folder).mkdir()
    shutil.copy(PROJECT / "tools" / "bootstrap.py", tmp_path / "tools")
    for folder, name in (("", "project"), ("reference", "second")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "pyproject.toml").write_text(_PROJECT.format(name=name))
        builder = _BUILDER.format(write_wheel=inspect.getsource(write_wheel), name=name)
        (tmp_path / folder / "builder.py").write_text(builder)
    digest = hashlib.sha256(write_wheel(tmp_path / "index", "ledgerlib").read_bytes()).hexdigest()
    (tmp_path / "requirements" / "development.txt").write_text(f"ledgerlib==1 --hash=sha256:{digest}\n")
    return tmp_path


def _set_up(checkout: Path) -> subprocess.CompletedProcess[str]:
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "index"), "HOME": str(checkout)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | own
    command = [sys.executable, "-I", str(checkout / "tools" / "bootstrap.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def _installed(checkout: Path) -> set[str]:
    return {file.name for file in (checkout / ".venv").glob("lib/python*/site-packages/*-1.dist-info")}


def test_the_pinned_file_is_installed(checkout: Path) -> None:
    """With the hash it was pinned with, and the project's two distributions beside it, which have none."""
    ended = _set_up(checkout)
    assert ended.returncode == 0, ended.stderr
    assert _installed(checkout) == {f"{name}-1.dist-info" for name in ("ledgerlib", "project", "second")}


def test_a_changed_file_is_refused(checkout: Path) -> None:
    """One byte more under the same name and version: nothing is installed, and it is said what to do."""
    write_wheel(checkout / "index", "ledgerlib", "#")
    ended = _set_up(checkout)
    assert ended.returncode == 1
    assert "ledgerlib" in ended.stderr
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(
        "Set-up failed: a package's file is not the one that requirements/development.txt pins"
    )
    assert "pip cache purge" in said
    assert _installed(checkout) == set()
    assert not (checkout / ".venv" / "moneypath-stamp").exists()


def test_a_package_without_a_hash_is_refused(checkout: Path) -> None:
    """Even when no line has one, which alone would not make pip ask for any."""
    (checkout / "requirements" / "development.txt").write_text("ledgerlib==1\n")
    ended = _set_up(checkout)
    assert (ended.returncode, _installed(checkout)) == (1, set())
    assert "Hashes are required" in ended.stderr
