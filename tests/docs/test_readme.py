"""Every command that the README shows is run, here or by `.ci/run`, and every place that it names exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
# What takes minutes: the target of `.ci/run`, or the live test, that runs it.
ELSEWHERE = {
    "make demo": "tests/live/test_keep.py",
    "make test": ".ci/run",
    "make check": ".ci/run",
    "make demo KEEP=1": "tests/live/test_keep.py",
    "moneypath drill verify <folder>": "tests/live/test_keep.py",
    "make drill DRILL=drills/drill-031-hard-down.yaml": ".ci/run",
    "make drill DRILL=drills/drill-006-double-charge.yaml": ".ci/run",
    "make drill DRILL=drills/drill-012-settlement-mismatch.yaml": ".ci/run",
    "make drill DRILL=drills/drill-017-card-testing.yaml": ".ci/run",
    "make simulate SEEDS=200": ".ci/run",
    "make gate": "tests/live/test_gate_live.py",
    "make crash-test": "tests/live/test_crash_test_live.py",
}
# What `.ci/run` runs in two halves side by side.
HALVES = {"make test": {"make test-parallel", "make test-live"}}


def _commands() -> list[str]:
    fenced = [
        line.split("#")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", README, re.S)
        for line in block.splitlines()
    ]
    spans = re.findall(r"`((?:make|moneypath|\.venv/bin/python) [^`]+)`", README)
    return sorted({*filter(None, fenced), *spans})


def test_the_readme_shows_commands() -> None:
    """The search finds what it should: a README without commands would pass the other tests."""
    assert {"make demo", "make test"} <= set(_commands())
    assert len(_commands()) >= 8


@pytest.mark.parametrize("command", [command for command in _commands() if command not in ELSEWHERE])
def test_a_command_of_the_readme_works(command: str) -> None:
    """Each quick command ends with 0."""
    words = shlex.split(command)
    assert words[0] == ".venv/bin/python", f"{command}: add it here or to ELSEWHERE"
    result = subprocess.run(
        [sys.executable, *words[1:]], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def _dry_run(*targets: str) -> str:
    """Return what make would run, without doing it."""
    command = ["make", "--no-print-directory", "-n", *targets]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ci_commands() -> set[str]:
    """Return each line of `.ci/run` without its comment."""
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    return {line.split("#")[0].strip() for line in script.splitlines()}


def test_the_two_halves_run_every_test() -> None:
    """`make test` is what `make test-parallel` and `make test-live` are together."""
    whole, parallel, live = (
        _dry_run(target).splitlines() for target in ("test", "test-parallel", "test-live")
    )
    assert [line for line in whole if "pytest" in line] == [
        line for half in (parallel, live) for line in half if "pytest" in line
    ]


@pytest.mark.parametrize("command", sorted(set(_commands()) & set(ELSEWHERE)))
def test_a_slow_command_of_the_readme_is_run_elsewhere(command: str) -> None:
    """The place that is named really runs it."""
    if ELSEWHERE[command] == ".ci/run":
        assert HALVES.get(command, {command}) <= _ci_commands()
    else:
        text = (PROJECT / ELSEWHERE[command]).read_text(encoding="utf-8")
        assert {
            "make demo": '"-n", "demo"',
            "make demo KEEP=1": '"-n", "demo", "KEEP=1"',
            "moneypath drill verify <folder>": "verify(run_folder",
            "make gate": "run_gate(",
            "make crash-test": "run_crash_test(plan",
        }[command] in text


@pytest.mark.parametrize("command", [command for command in _commands() if command.startswith("make ")])
def test_make_knows_every_target_of_the_readme(command: str) -> None:
    """A target that is shown, and even listed to be run, may still not be there."""
    assert _dry_run(*shlex.split(command)[1:])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(target: str) -> None:
    """Files, folders and pictures are there."""
    assert (PROJECT / target).exists(), target


def test_make_passes_keep_on() -> None:
    """`KEEP=1` adds `--keep` and changes nothing else."""
    assert _dry_run("demo", "KEEP=1").split() == [*_dry_run("demo").split(), "--keep"]
