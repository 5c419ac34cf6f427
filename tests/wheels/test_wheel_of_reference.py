"""`pip install moneypath-reference`: the demo from the wheels, in an empty folder with an empty home."""

import json
from importlib import metadata

import pytest
from tests.wheels.conftest import Installed

pytestmark = [pytest.mark.proof, pytest.mark.wheels]


def test_the_demo_is_a_command_of_the_command_line(reference: Installed) -> None:
    """Under both names of it; the service and the acquirers are there beside the platform."""
    assert {"moneypath", "refpay", "acquirers", "refstack", "locust"} < reference.packages
    for name in ("moneypath", "moneypath-reference"):
        assert "break a provider" in reference.run(name, "demo", "--help").stdout
        assert metadata.version("moneypath") in reference.run(name, "--version").stdout
    assert "no moneypath.yaml here or above" in reference.run("moneypath", "secrets", code=1).stderr


@pytest.mark.timeout(600)
def test_the_whole_demo_runs_from_the_wheels(reference: Installed) -> None:
    """The drill passes, its project is a copy with the run, and the folder that one is in stays empty."""
    told = json.loads(reference.run("moneypath", "demo", "--json", within_seconds=500).stdout)
    assert told["passed"] is True
    assert list(reference.empty.iterdir()) == []
    (run,) = (reference.home / ".local" / "state" / "moneypath" / "runs").iterdir()
    reference.run("moneypath", "drill", "verify", str(run / "drill"))
    for command in (("path",), ("runbook", "lint"), ("generate", "--check")):
        reference.run("moneypath", *command, "--project", str(run / "project"))
    manifest = json.loads((run / "drill" / "manifest.json").read_text())
    assert manifest["software"]["commit"] is None
    assert manifest["software"]["moneypath"] == metadata.version("moneypath")
