"""The set-up says in one sentence why it could not go on, and never shows a traceback."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# Root ignores mode bits, so it becomes nobody; not before the modules are loaded, which nobody may not reach.
_AS_NOBODY = """
import os, runpy, sys
main = runpy.run_path(sys.argv[1])["main"]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main())
"""


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A checkout that every user may read; pytest's own temporary folders are private to one."""
    folder = Path(tempfile.mkdtemp(prefix="bootstrap-"))
    folder.chmod(0o755)
    (folder / "tools").mkdir()
    shutil.copy(PROJECT / "tools" / "bootstrap.py", folder / "tools")
    (folder / "requirements").mkdir()
    (folder / "reference").mkdir()
    for name in ("requirements/development.txt", "pyproject.toml", "reference/pyproject.toml"):
        shutil.copy(PROJECT / name, folder / name)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _command(checkout: Path) -> list[str]:
    return [sys.executable, "-I", str(checkout / "tools" / "bootstrap.py")]


def _pretend_environment(checkout: Path, script: str) -> None:
    """Put a shell script in the place of the environment's Python: its pip is there, and install runs it."""
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\ncase "$*" in *--version) exit 0;; esac\n{script}\n')
    program.chmod(0o755)


def _assert_one_sentence(stderr: str, *words: str) -> None:
    lines = [line for line in stderr.splitlines() if not line.startswith("Setting up")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("Set-up ")
    assert lines[0].endswith(".")
    for word in words:
        assert word in lines[0]


def test_a_read_only_checkout_is_one_sentence(checkout: Path) -> None:
    """The file that cannot be written is named, and what to do."""
    checkout.chmod(0o555)
    command = [sys.executable, "-I", "-c", _AS_NOBODY, str(checkout / "tools" / "bootstrap.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    _assert_one_sentence(ended.stderr, str(checkout / ".venv.lock"), "Permission denied")


def test_an_interrupted_set_up_is_one_sentence(checkout: Path) -> None:
    """Ctrl-C reaches the whole process group; the next call goes on, since nothing was stamped."""
    _pretend_environment(checkout, f"echo $$ > {checkout}/installing; exec sleep 60")
    running = subprocess.Popen(_command(checkout), stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (checkout / "installing").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)
        _, stderr = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 128 + signal.SIGINT
    _assert_one_sentence(stderr, "interrupted", "make setup")
    assert not (checkout / ".venv" / "moneypath-stamp").exists()


def test_a_failed_install_is_one_sentence(checkout: Path) -> None:
    """Pip's exit code is named; the next call tries again."""
    _pretend_environment(checkout, "exit 7")
    ended = subprocess.run(_command(checkout), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    _assert_one_sentence(ended.stderr, "ended with 7")
    assert not (checkout / ".venv" / "moneypath-stamp").exists()


def test_a_set_up_is_stamped_and_done_once(checkout: Path) -> None:
    """The second call neither installs nor says anything, and needs no right to write."""
    _pretend_environment(checkout, f'echo "$*" >> {checkout}/installs')
    first = subprocess.run(_command(checkout), capture_output=True, text=True, timeout=60, check=False)
    assert (first.returncode, first.stderr.splitlines()[-1]) == (0, "Set-up done.")
    (checkout / ".venv.lock").unlink()
    (checkout / ".venv.lock").mkdir()
    second = subprocess.run(_command(checkout), capture_output=True, text=True, timeout=60, check=False)
    assert (second.returncode, second.stderr) == (0, "")
    packages, project = (checkout / "installs").read_text().splitlines()
    assert "--require-hashes" in packages
    assert project.endswith("--no-deps --no-build-isolation --editable=. --editable=./reference")
    # The commands and the stack's starter are those that the second distribution's metadata name.
    with (checkout / "reference" / "pyproject.toml").open("a") as metadata:
        metadata.write("# changed\n")
    (checkout / ".venv.lock").rmdir()
    third = subprocess.run(_command(checkout), capture_output=True, text=True, timeout=60, check=False)
    assert third.returncode == 0
    assert len((checkout / "installs").read_text().splitlines()) == 4
