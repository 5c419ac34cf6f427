"""Build the wheels of both distributions, and make environments of them: `python tools/wheels.py --help`.

    python tools/wheels.py build                               # both wheels, into dist/
    python tools/wheels.py install FOLDER --extra platform     # an empty environment with moneypath[platform]
    python tools/wheels.py install FOLDER --reference          # the reference service and the demo too

Nothing of the environment comes from the working tree: neither a path to it nor a package of .venv. Versions
are those of constraints.txt. The wheels are built by the pinned hatchling of .venv, so call it with that
Python. Each call of pip has a time limit. pip's own cache is used where there is one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DIST: Final = ROOT / "dist"
CONSTRAINTS: Final = ROOT / "constraints.txt"
BUILD_SECONDS: Final = 120
INSTALL_SECONDS: Final = 900
_PIP: Final = (sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")
_SHOWN_LINES: Final = 15


class CommandFailed(Exception):
    """A command of Python or pip failed or took too long; the text says which, and what it said."""


@dataclass(frozen=True, slots=True)
class Wheels:
    """The wheel of each distribution."""

    platform: Path
    reference: Path

    def requirements(self, extras: Sequence[str] = (), *, reference: bool = False) -> list[str]:
        """Return what pip is asked for: moneypath with these extras, and the reference beside it."""
        named = f"{self.platform}[{','.join(extras)}]" if extras else str(self.platform)
        return [named, str(self.reference)] if reference else [named]


def build(folder: Path) -> Wheels:
    """Build both wheels into `folder`, in place of older ones of ours; raises CommandFailed."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever installs from the folder meanwhile finds whole wheels.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as work:
        offline = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", work)
        _run([*_PIP, *offline, str(ROOT), str(ROOT / "reference")], BUILD_SECONDS)
        files = tuple(Path(work).iterdir())
        built = {file.name.partition("-")[0]: file.replace(folder / file.name) for file in files}
    wheels = Wheels(built["moneypath"], built["moneypath_reference"])
    for old in set(folder.glob("moneypath*.whl")) - set(built.values()):
        old.unlink(missing_ok=True)
    return wheels


def build_other(project: Path, folder: Path) -> Path:
    """Build the wheel of another project of this repository into `folder`; raises CommandFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*.whl"))
    offline = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    _run([*_PIP, *offline, str(project)], BUILD_SECONDS)
    built = set(folder.glob("*.whl")) - before
    if len(built) != 1:
        raise CommandFailed(f"{folder} has a wheel of {project} already: name an empty folder.")
    return built.pop()


def make_environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Make an empty virtual environment in `folder`, install `requirements`, and return its bin folder.

    A requirement is what pip takes: a wheel's path, with extras in brackets, or a package's name. An older
    environment in the folder is removed. Raises CommandFailed, also for a folder that holds anything else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise CommandFailed(f"{folder} holds something else than an environment: name an empty folder.")
    # What Debian leaves out, ensurepip, is not needed: this Python's pip installs into the other environment.
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], BUILD_SECONDS)
    binaries = folder.resolve() / "bin"
    pip = (*_PIP, "--python", str(binaries / "python"))
    _run([*pip, "install", "--constraint", str(CONSTRAINTS), *requirements], INSTALL_SECONDS)
    return binaries


def outside(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment from which no process finds this working tree or .venv."""
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    kept = {name: value for name, value in environ.items() if name not in own}
    ours = str(ROOT) + os.sep
    places = [place for place in kept.get("PATH", "").split(os.pathsep) if not f"{place}/".startswith(ours)]
    return kept | {"PATH": os.pathsep.join(places)}


def _run(command: Sequence[str], within_seconds: int) -> None:
    what = " ".join(Path(part).name for part in command[:5])
    try:
        done = subprocess.run(
            command,
            env=outside(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=within_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{what} ... took longer than {within_seconds} s and was stopped.") from None
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-_SHOWN_LINES:])
        raise CommandFailed(f"{what} ... ended with {done.returncode}:\n{said}")


def main() -> int:
    """Build, or build and install; print where the result is."""
    parser = argparse.ArgumentParser(description="Build the wheels, and make environments of them.")
    parser.add_argument("--dist", type=Path, default=DIST, help="folder of the wheels (default: dist/)")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("build", help="build both wheels")
    install = actions.add_parser("install", help="build them, and install into an empty environment")
    install.add_argument("folder", type=Path, help="folder of the environment; what is in it is removed")
    install.add_argument("--extra", action="append", default=[], help="extra of moneypath (repeatable)")
    install.add_argument("--reference", action="store_true", help="the reference distribution too")
    install.add_argument("--also", action="append", default=[], help="another package (repeatable)")
    given = parser.parse_args()
    try:
        wheels = build(given.dist)
        if given.action == "build":
            sys.stdout.write(f"{wheels.platform}\n{wheels.reference}\n")
            return 0
        wanted = wheels.requirements(given.extra, reference=given.reference)
        sys.stdout.write(f"{make_environment(given.folder, [*wanted, *given.also])}\n")
    except (CommandFailed, OSError) as error:
        sys.stderr.write(f"No wheels: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
