"""The wallet's files: generated ones are up to date, runbooks are sound, and names that join them exist."""

import subprocess
from pathlib import Path

import pytest
import yaml

from moneypath.path.source import load_yaml
from moneypath.stack import binaries
from moneypath.target.document import TargetFile
from moneypath.witnesses import load_witnesses
from moneypath.workflows import generate, runbook_files
from moneypath.workflows.declaration import load_declaration

WALLET = Path(__file__).parents[2] / "examples" / "wallet"


def test_what_is_generated_is_up_to_date() -> None:
    """Rules, routes, board and catalogue follow from the declaration."""
    assert generate.check(WALLET) > 20


def test_runbooks_are_sound() -> None:
    """Each alert leads to one page that pages the same roles, and each action exists."""
    report = runbook_files.lint_runbooks(WALLET)
    assert [str(issue) for issue in report.errors] == []
    assert {book.front.id for book in report.runbooks} == {"bank-silent", "movement-lost", "wallet-blind"}


def test_the_target_fits_the_declaration() -> None:
    """Places are providers, the canary's series is counted apart, and the alerts' prefix is the wallet's."""
    path, target = load_declaration(WALLET), load_yaml(WALLET / "targets" / "wallet.yaml", TargetFile)
    assert tuple(target.places) == path.provider_ids()
    assert target.canary is not None
    assert 'traffic="canary"' in str(target.canary.marked_by)
    assert "canary" in path.telemetry.traffic
    assert path.alerts.prefix == "Wallet"
    assert {check.id for check in path.checks if check.sql} == {
        "purse_balances",
        "orders_booked",
        "orders_answered",
    }


def test_the_witnesses_are_those_of_the_providers() -> None:
    """Each bank's statement is a book, and two other records are compared with them."""
    declared = load_witnesses(WALLET / "witnesses" / "witnesses.yaml")
    (one,) = declared.reconcile
    banks = load_declaration(WALLET).provider_ids()
    assert one.books == tuple(f"{bank}_statement" for bank in banks)
    assert (one.ledger, one.answers) == ("movements", "answers")


@pytest.mark.parametrize("file", sorted((WALLET / "drills").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_drill_names_what_there_is(file: Path) -> None:
    """Its faults, alerts, roles and runbook exist."""
    drill = yaml.safe_load(file.read_text("utf-8"))
    path, target = load_declaration(WALLET), load_yaml(WALLET / "targets" / "wallet.yaml", TargetFile)
    known = {f"{family}.{kind}" for family, faults in target.faults.items() for kind in faults.kinds}
    begun = [entry for entry in drill["timeline"] if "fault" in entry]
    assert {entry["fault"] for entry in begun} <= known
    assert {entry["where"] for entry in begun if "where" in entry} <= set(target.places)
    alerts = {rule.alert for rule in runbook_files.alert_roles(path)}
    expect = drill["expect"]
    named = [one["name"] for one in (*expect["alerts"], *expect.get("allowed_alerts", ()))]
    assert {*named, *expect["no_alerts"]} <= alerts
    assert set(drill["responders"]) <= set(path.roles)
    assert (WALLET / "runbooks" / f"{drill['runbook']}.md").is_file()


def test_the_cases_of_a_check_that_is_stale_soon_hold() -> None:
    """promtool agrees with them, though it may be silent for two minutes only: less than a lookback."""
    promtool, (check, *_) = binaries.find("promtool").path, load_declaration(WALLET).checks
    assert check.stale_after_seconds < 290
    file = WALLET / "alerts" / "tests" / f"{check.alerts.stale}.test.yml"
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
