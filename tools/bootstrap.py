"""Make the project's own environment, once: `python3 tools/bootstrap.py`.

Needs Python 3.11 or newer and nothing else. Installs exactly what requirements/development.txt names into
.venv, each file with a hash that stands there, and leaves a stamp, so that the next call does nothing. A
second call at the same time waits for the first.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "moneypath-stamp"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = "requirements/development.txt"
# A folder of each distribution.
PROJECTS = (".", "./reference")
# The head of pip's report about a file that has none of the hashes that it is held to.
CHANGED = "DO NOT MATCH THE HASHES"
NEWEST_FIRST = ("python3.14", "python3.13", "python3.12", "python3.11")


class ChangedFile(Exception):
    """A downloaded file has another content than the one that was pinned."""


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is the file that has to say it
        return _again_with_newer_python()
    try:
        _set_up()
    except ChangedFile:
        _say(
            f"Set-up failed: a package's file is not the one that {REQUIREMENTS} pins (pip names it above), "
            "and was not installed: remove a damaged copy with `python3 -m pip cache purge` and run the same "
            "command again, and if it is refused again, ask whoever runs your package index or proxy before "
            "you install anything from there."
        )
        return 1
    except subprocess.CalledProcessError as error:
        program = " ".join(map(str, error.cmd[:6]))
        _say(
            f"Set-up failed: {program} ... ended with {error.returncode}: see its output above, check that "
            "Python packages can be downloaded, and run the same command again."
        )
        return 1
    except OSError as error:
        hint = "make it writable" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "try again"
        _say(f"Set-up failed: {error.filename or ROOT}: {error.strerror}: {hint}.")
        return 1
    except KeyboardInterrupt:
        _say("Set-up interrupted: run `make setup` again to finish it.")
        return 128 + signal.SIGINT
    return 0


def _set_up() -> None:
    wanted = _fingerprint()
    if _is_set_up(wanted):
        return
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_set_up(wanted):  # by another call meanwhile
            return
        _say("Setting up .venv (once, about a minute) ...")
        _make_environment()
        _install()
        STAMP.write_text(wanted, encoding="utf-8")
        _say("Set-up done.")


def _is_set_up(wanted: str) -> bool:
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted


def _again_with_newer_python() -> int:
    for name in NEWEST_FIRST:
        found = shutil.which(name)
        if found:
            os.execv(found, [found, str(Path(__file__).resolve())])  # noqa: S606 - a fixed argument list
    found_version = ".".join(map(str, sys.version_info[:3]))
    _say(f"Set-up failed: this is Python {found_version}, 3.11 or newer is needed: make PYTHON=...")
    return 1


def _fingerprint() -> str:
    """Hash what decides the environment's content: the pins, the metadata, the interpreter and the folder."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {ROOT}".encode())
    for name in (REQUIREMENTS, *(f"{project}/pyproject.toml" for project in PROJECTS)):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _make_environment() -> None:
    """Create .venv, or keep one that works, because another command may be using it."""
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
        package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        wheel = next(Path(folder).glob("usr/share/python-wheels/pip-*.whl"))
        subprocess.run([str(PYTHON), f"{wheel}/pip", "install", "-q", "--no-index", str(wheel)], check=True)


def _install() -> None:
    for arguments in install_steps(sys.platform):
        _run_pip(arguments)


def install_steps(platform: str) -> list[list[str]]:
    """Return the arguments of each call of pip: what we need, its hashes checked; then our own two.

    A folder has no hash, so it is no part of the first call. It is built by what the first call installed:
    pip would fetch a builder of its own without asking for a hash. On Linux every package has a wheel, and no
    package's code runs while it is installed; where a Mac has none, pip builds from a source whose hash it
    checked.
    """
    pip = ["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    wheels = ["--only-binary", ":all:"] if platform == "linux" else []
    return [
        [*pip, "--require-hashes", *wheels, "--requirement", REQUIREMENTS],
        [*pip, "--no-deps", "--no-build-isolation", *(f"--editable={project}" for project in PROJECTS)],
    ]


def _run_pip(arguments: list[str]) -> None:
    command = [str(PYTHON), *arguments]
    changed = False
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace") as running:
        for line in running.stderr or ():
            sys.stderr.write(line)
            changed = changed or CHANGED in line
    if running.returncode:
        raise ChangedFile if changed else subprocess.CalledProcessError(running.returncode, command)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - runs before anything is installed


if __name__ == "__main__":
    sys.exit(main())
