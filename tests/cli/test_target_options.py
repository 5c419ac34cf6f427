"""Options that name a target go with one, and whatever cannot be used is a sentence and exit code 2."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.drills.story import OUTAGE, PROJECT
from tests.target.drilled import NOWHERE, drilled_target
from tests.target.stranger import write_witnesses

from moneypath.cli.main import moneypath

DRILL = str(PROJECT / "drills" / f"{OUTAGE}.yaml")
GIVEN = [f"--set={name}={NOWHERE}" for name in ("wallet", "prometheus", "alertmanager")]
PLAN = "title: Wallet\nload: {per_second: 10, users: 5}\nwarm_up: 10s\nduration: 1m\n"


def ask(*words: str) -> Result:
    """Run the command in the project of the reference."""
    return CliRunner().invoke(moneypath, [*words, f"--project={PROJECT}"])


def said(result: Result) -> str:
    """Return what a refused command says: its own error, or the usage error of click; the exit code is 2."""
    code = getattr(result.exception, "exit_code", result.exit_code)
    assert code == 2 or result.exit_code == 2, result
    assert "Traceback" not in result.output
    return f"{result.output}{result.exception}"


@pytest.fixture
def wallet(tmp_path: Path) -> str:
    """Return the file of a wallet that can be drilled and gated, with a plan beside it."""
    write_witnesses(tmp_path)
    (tmp_path / "gate.yaml").write_text(PLAN)
    return str(drilled_target(tmp_path).file)


@pytest.mark.parametrize("option", ["--set=a=b", "--variables=x.json", "--environment=staging"])
@pytest.mark.parametrize("command", [("drill", "run", DRILL), ("gate",)])
def test_what_is_of_a_target_goes_with_one(command: tuple[str, ...], option: str) -> None:
    """Else somebody would believe that an environment is respected which nobody read."""
    assert "--set, --variables and --environment go with --target" in said(ask(*command, option))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("drill", "run", DRILL, "--stack=."), "--target goes without --stack and --starter"),
        (("drill", "run", DRILL, "--starter=reference"), "--target goes without --stack and --starter"),
        (("gate", "--build=a"), "--target goes without --build, --worker-build, baselines and --starter"),
        (("gate", "--worker-build=a"), "--target goes without --build"),
        (("gate", "--baseline=HEAD"), "--target goes without --build"),
        (("gate", "--record-baseline=a"), "--target goes without --build"),
        (("gate", "--starter=reference"), "--target goes without --build"),
    ],
)
def test_a_deployed_service_is_no_build_of_ours(wallet: str, command: tuple[str, ...], words: str) -> None:
    """What starts or builds a stack has nothing to do with it."""
    assert words in said(ask(*command, f"--target={wallet}"))


@pytest.mark.parametrize("command", [("drill", "run", DRILL), ("gate",)])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, wallet: str, command: tuple[str, ...]) -> None:
    """One that is missing, one that is wrong, a variable without a value, and a value that is none."""
    assert "none.yaml" in said(ask(*command, f"--target={tmp_path / 'none.yaml'}"))
    assert "without a value: wallet, prometheus, alertmanager" in said(ask(*command, f"--target={wallet}"))
    assert "there is no variable bank" in said(ask(*command, f"--target={wallet}", *GIVEN, "--set=bank=one"))
    assert "allowed: NAME=VALUE" in said(ask(*command, f"--target={wallet}", "--set=wallet"))
    variables = f"--variables={tmp_path / 'none.json'}"
    assert "none.json: cannot be read" in said(ask(*command, f"--target={wallet}", variables))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("target: Wallet\n")
    assert f"{wrong}:" in said(ask(*command, f"--target={wrong}"))


def test_a_drill_is_refused_without_the_environment_that_it_breaks(wallet: str) -> None:
    """Or in another one than the target's."""
    command = ("drill", "run", DRILL, f"--target={wallet}", *GIVEN)
    assert "nobody named the environment that may be broken" in said(ask(*command))
    assert "wallet runs in staging, not in production" in said(ask(*command, "--environment=production"))


def test_a_gate_is_refused_without_the_environment_that_it_drives(tmp_path: Path, wallet: str) -> None:
    """And with a plan or a place for its report that cannot be used."""
    command = ("gate", f"--target={wallet}", f"--file={tmp_path / 'gate.yaml'}", *GIVEN)
    assert "nobody named the environment that may be broken" in said(ask(*command))
    assert "wallet runs in staging, not in production" in said(ask(*command, "--environment=production"))
    report = f"--junit={tmp_path / 'none' / 'gate.xml'}"
    assert "the JUnit file cannot be written: no folder" in said(ask(*command, report))
    (tmp_path / "gate.yaml").write_text(f"{PLAN}objectives: [nothing]\n")
    assert 'moneypath.yaml has no such objective: "nothing"' in said(ask(*command))
