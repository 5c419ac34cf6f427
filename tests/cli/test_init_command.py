"""A stranger types `moneypath init` in an empty folder, and every command that it names works."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

FLAGS: Final = (
    "--service", "wallet", "--name", "The wallet: our \"first\"", "--provider", "bank_one", "--provider",
    "bank_two=Bank Two", "--operation", "top_up", "--operation", "refund", "--currency", "JPY",
    "--currency", "EUR=2", "--role", "on-call=Whoever is called", "--role", "support",
    "--prefix", "Acme", "--ledger", "postgresql",
)  # fmt: skip
BAD_INPUT: Final = 2


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `moneypath` in a folder."""
    command = [sys.executable, "-m", "moneypath", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def as_typed(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a printed command line."""
    program, *arguments = shlex.split(line)
    assert program == "moneypath"
    return run(*arguments, cwd=cwd)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which somebody typed it."""
    folder = tmp_path_factory.mktemp("stranger")
    done = run("init", *FLAGS, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / ".printed").write_text(done.stdout)
    return folder


def test_it_prints_what_it_wrote_and_three_commands(project: Path) -> None:
    """One file a line; a stranger goes on with the commands."""
    printed = (project / ".printed").read_text()
    written = [line.removeprefix("wrote ") for line in printed.splitlines() if line.startswith("wrote ")]
    found = {str(file.relative_to(project)) for file in project.rglob("*") if file.is_file()}
    assert set(written) == found - {".printed"}
    commands = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    assert [command.split()[1] for command in commands] == ["check", "target", "drill"]


@pytest.mark.parametrize("name", [".github/workflows/moneypath.yml", ".gitlab/moneypath.yml"])
def test_the_commands_of_the_ci_job_pass(name: str, project: Path, tmp_path: Path) -> None:
    """As they stand in the file."""
    folder = project
    if "gitlab" in name:
        folder = tmp_path
        assert run("init", *FLAGS, "--ci", "gitlab", cwd=folder).returncode == 0
    job: Any = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    steps = job["moneypath"]["script"] if "gitlab" in name else [
        step["run"] for step in job["jobs"]["check"]["steps"] if "run" in step
    ]  # fmt: skip
    commands = [step for step in steps if step.startswith("moneypath ")]
    assert commands == ["moneypath check", "moneypath generate --check", "moneypath runbook lint"]
    for command in commands:
        done = as_typed(command, folder)
        assert done.returncode == 0, done.stdout + done.stderr
    assert 'pip install "moneypath[platform]"' in steps


def test_the_commands_about_the_service_read_their_files(project: Path) -> None:
    """There is no service here: that is what they say, and not that a file is wrong."""
    commands = [
        line.strip()
        for line in (project / ".printed").read_text().splitlines()
        if line.startswith("  moneypath ")
    ]
    _, target, drill = commands
    nowhere = " ".join(
        f"--set {name}=http://127.0.0.1:1" for name in ("service", "prometheus", "alertmanager", "pager")
    )
    checked = as_typed(f"{target} {nowhere}", project)
    assert checked.returncode == 1
    assert "no value for" not in checked.stdout
    drilled = as_typed(f"{drill} {nowhere}", project)
    assert drilled.returncode == BAD_INPUT
    # Drill, runbook and target are read by then: an environment that nobody can tell is not broken.
    assert "127.0.0.1:1" in drilled.stderr
    for done in (checked, drilled):
        assert "Traceback" not in done.stderr


def test_other_commands_work_on_it(project: Path) -> None:
    """What the declaration says is what was asked for."""
    path = run("path", cwd=project)
    counts = 'The wallet: our "first"; 1 stages, 2 providers, 2 roles, 4 objectives'
    assert counts in " ".join(path.stdout.split())
    shown = run("runbook", "show", "top-up-failing", cwd=project)
    assert shown.returncode == 0, shown.stderr
    assert "TOP UPS FAIL OR ARE SLOW" in shown.stdout


def test_it_never_overwrites(project: Path) -> None:
    """A second time it names what is there, and changes nothing."""
    before = {file: file.read_bytes() for file in project.rglob("*") if file.is_file()}
    done = run("init", *FLAGS, cwd=project)
    assert done.returncode == BAD_INPUT
    assert "would be overwritten: .github/workflows/moneypath.yml, " in done.stderr
    assert "Traceback" not in done.stderr
    assert {file: file.read_bytes() for file in project.rglob("*") if file.is_file()} == before


def test_a_folder_is_named_and_told_as_json(tmp_path: Path) -> None:
    """It is made; a dry run tells the same and writes nothing."""
    dry = run("init", "sub/Wallet API", "--dry-run", "--json", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert list(tmp_path.iterdir()) == []
    done = run("init", "sub/Wallet API", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {**json.loads(dry.stdout), "dry_run": False} == document
    assert document["folder"] == str(tmp_path / "sub" / "Wallet API")
    assert "targets/wallet-api.yaml" in document["written"]
    assert all((tmp_path / "sub" / "Wallet API" / name).is_file() for name in document["written"])
    assert len(document["next"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--provider", "Bank One"),
            "--provider: 'Bank One' cannot be used; allowed: lower-case words joined by _",
        ),
        (("--ci", "jenkins"), "'jenkins' is not one of 'github', 'gitlab', 'none'"),
        (("--ledger", "oracle"), "'oracle' is not one of 'postgresql', 'none'"),
        (("--colour", "red"), "No such option"),
    ],
)
def test_a_bad_flag_is_a_sentence(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Exit code 2, and nothing is written."""
    done = run("init", *arguments, cwd=tmp_path)
    assert done.returncode == BAD_INPUT
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
