"""Make the project's own environment, once: `python3 tools/bootstrap.py`.

Needs nothing but a Python 3.11 or newer. Installs exactly the versions of constraints.txt into .venv
and stamps it, so that a second call does nothing. Two calls at a time wait for each other.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "moneypath-stamp"
PYTHON = VENV / "bin" / "python"
NEWEST_FIRST = ("python3.13", "python3.12", "python3.11")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is the file that has to say it
        return _again_with_newer_python()
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _fingerprint()
        if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
            return 0
        _say("Setting up .venv (once, about a minute) ...")
        try:
            _make_environment()
            _install()
        except subprocess.CalledProcessError as error:
            _say(f"Set-up failed: {' '.join(map(str, error.cmd[:6]))} ... ended with {error.returncode}.")
            _say("Its own words stand above. Are Python packages reachable? Then run the same command again.")
            return 1
        STAMP.write_text(wanted, encoding="utf-8")
        _say("Set-up done.")
    return 0


def _again_with_newer_python() -> int:
    for name in NEWEST_FIRST:
        found = shutil.which(name)
        if found:
            os.execv(found, [found, str(Path(__file__).resolve())])  # noqa: S606 - a fixed argument list
    found_version = ".".join(map(str, sys.version_info[:3]))
    _say(f"moneypath needs Python 3.11 or newer; this is {found_version}.")
    _say("Install one, or name it: make PYTHON=...")
    return 1


def _fingerprint() -> str:
    """Hash what decides the environment's content: the pins, the metadata, the interpreter, the place."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {ROOT}".encode())
    for name in ("constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _make_environment() -> None:
    """Make .venv, or keep one that works: another command may be running from it."""
    if (
        PYTHON.exists()
        and subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0
    ):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        # Debian splits ensurepip into python3-venv; its pip wheel is a package that anyone may unpack.
        _say("This Python has no ensurepip; taking pip from the distribution's package python3-pip-whl.")
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
        _install_pip_from_package()


def _install_pip_from_package() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "download", "-qq", "python3-pip-whl"], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        (wheel,) = Path(folder).glob("usr/share/python-wheels/pip-*.whl")
        subprocess.run([str(PYTHON), f"{wheel}/pip", "install", "-q", "--no-index", str(wheel)], check=True)


def _install() -> None:
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", "constraints.txt", "--editable", ".[dev]"], cwd=ROOT, check=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - runs before anything is installed


if __name__ == "__main__":
    sys.exit(main())
