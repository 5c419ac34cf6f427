"""The matrix runs the Pythons that are at hand and says which are not."""

import sys
from pathlib import Path

import pytest

from test_matrix import NOT_FOUND, VERSIONS, Outcome, exit_code, find_interpreter, run_matrix, table

HERE = "{}.{}".format(*sys.version_info)


def interpreter(folder: Path, version: str, says: str) -> None:
    """Put a program on a path that says that it is a version, or ends with an error."""
    file = folder / f"python{version}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{says}\n", encoding="utf-8")
    file.chmod(0o755)


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all of PATH, on a machine without pyenv."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_an_interpreter_on_path_is_found(bare_machine: Path) -> None:
    """It is asked for its version."""
    interpreter(bare_machine / "bin", "3.12", "echo 3.12")
    assert find_interpreter("3.12") == bare_machine / "bin" / "python3.12"


@pytest.mark.parametrize("says", ["exit 127", "echo 3.11"])
def test_one_that_does_not_start_or_is_another_is_passed_over(bare_machine: Path, says: str) -> None:
    """A shim of pyenv ends with 127 where its version was not chosen."""
    interpreter(bare_machine / "bin", "3.12", says)
    assert find_interpreter("3.12") is None
    installed = bare_machine / "pyenv" / "versions" / "3.12.9" / "bin"
    interpreter(installed, "3.12", "echo 3.12")
    assert find_interpreter("3.12") == installed / "python3.12"


def test_what_is_not_at_hand_is_said_and_the_rest_runs() -> None:
    """The table names every version."""
    outcomes = run_matrix(
        VERSIONS,
        lambda version: Path("/bin/it") if version == "3.12" else None,
        lambda _version, _interpreter: "passed",
    )
    assert [each.result for each in outcomes] == [NOT_FOUND, "passed", NOT_FOUND, NOT_FOUND]
    assert exit_code(outcomes) == 0
    assert table(outcomes).splitlines()[0] == "Python 3.11  not at hand"
    assert table(outcomes).splitlines()[1].split() == ["Python", "3.12", "passed", "/bin/it"]


@pytest.mark.parametrize("results", [[], [NOT_FOUND], ["passed", "failed: set-up"]])
def test_it_fails_if_one_failed_or_none_ran(results: list[str]) -> None:
    """A machine without Python would pass otherwise."""
    assert exit_code([Outcome(HERE, None, result) for result in results]) == 1
