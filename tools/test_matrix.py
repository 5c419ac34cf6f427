"""Run the tests on each supported Python that is at hand: `python tools/test_matrix.py [-- pytest options]`.

Looks on PATH and among pyenv's versions. Each Python has an environment of its own in .matrix/, with the pins
of requirements/development.txt. Ends with a table: passed, failed, or not at hand. The exit code is 0 if at
least one ran and none failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap import install_steps

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ENVIRONMENTS = ROOT / ".matrix"
TESTS = ("-m", "not live and not proof", "-n", "auto", "--maxprocesses", "4", "-q")
NOT_FOUND = "not at hand"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one Python version."""

    version: str
    interpreter: Path | None
    result: str


def find_interpreter(version: str) -> Path | None:
    """Return an interpreter of this version that starts, or nothing."""
    return next((path for path in _candidates(version) if _version_of(path) == version), None)


def _candidates(version: str) -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder, f"python{version}")
        if folder and path.is_file():
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # A shim of pyenv fails for a version that is installed and not chosen, so ask the versions themselves.
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))


def _version_of(path: Path) -> str | None:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [str(path), "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def run_version(version: str, interpreter: Path, tests: Sequence[str]) -> str:
    """Make the environment of a version, or bring it up to date, and run the tests in it."""
    environment = ENVIRONMENTS / version
    python = environment / "bin" / "python"
    if _version_of(python) != version:
        shutil.rmtree(environment, ignore_errors=True)
        if subprocess.run([str(interpreter), "-m", "venv", str(environment)], check=False).returncode:
            return "failed: no environment"
    for step in install_steps(sys.platform):
        if subprocess.run([str(python), *step], cwd=ROOT, check=False).returncode:
            return "failed: set-up"
    code = subprocess.run([str(python), "-m", "pytest", *tests], cwd=ROOT, check=False).returncode
    return "passed" if code == 0 else f"failed: pytest ended with {code}"


def run_matrix(
    versions: Sequence[str],
    find: Callable[[str], Path | None],
    run: Callable[[str, Path], str],
) -> list[Outcome]:
    """Run each version that is found, one after the other, and say which is not at hand."""
    outcomes = []
    for version in versions:
        interpreter = find(version)
        result = NOT_FOUND if interpreter is None else run(version, interpreter)
        outcomes.append(Outcome(version, interpreter, result))
    return outcomes


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return 0 if at least one version ran and none failed."""
    ran = [outcome for outcome in outcomes if outcome.result != NOT_FOUND]
    return 0 if ran and not any(outcome.result.startswith("failed") for outcome in ran) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line a version."""
    rows = (f"Python {each.version}  {each.result:30} {each.interpreter or ''}" for each in outcomes)
    return "\n".join(row.rstrip() for row in rows) + "\n"


def main() -> int:
    """Run the matrix and print what ran and what did not."""
    parser = argparse.ArgumentParser(description="Run the tests on each supported Python that is at hand.")
    parser.add_argument("--list", action="store_true", help="run nothing, say which versions are at hand")
    parser.add_argument("--python", action="append", choices=VERSIONS, help="only this version (repeatable)")
    parser.add_argument("tests", nargs="*", help="pytest options (default: all tests but whole stacks)")
    arguments = parser.parse_args()
    tests = arguments.tests or TESTS

    def run(version: str, interpreter: Path) -> str:
        return "at hand" if arguments.list else run_version(version, interpreter, tests)

    outcomes = run_matrix(arguments.python or VERSIONS, find_interpreter, run)
    sys.stdout.write(table(outcomes))
    return exit_code(outcomes)


if __name__ == "__main__":
    sys.exit(main())
