"""The generated alerts of SQL checks, run by the real promtool, and mutations that it has to catch."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.alerting.conventions import TARGET_EXPECTED
from moneypath.alerting.generate import RULES_FILE, TESTS_FOLDER, generate
from moneypath.alerting.silences.integrity_alerts import INTEGRITY_ALERTS_FILE
from moneypath.path.loader import load
from moneypath.stack.binaries import find

from .declared import declare
from .foreign import NEGATIVE, ZERO_SUM

CHECKS: Mapping[str, Mapping[str, Any]] = {
    "wallet_entries": {"ready": ZERO_SUM, "amount": "minor"},
    "wallet_debts": {"ready": NEGATIVE, "amount": "none"},
}
ALERTS = ("MoneyPathWalletOne", "MoneyPathWalletOneStale", "MoneyPathWalletTwo", "MoneyPathWalletTwoStale")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what is generated of a declaration with two SQL checks; it takes seconds."""
    path = load(declare(tmp_path_factory.mktemp("declared"), CHECKS))
    wanted = {RULES_FILE, INTEGRITY_ALERTS_FILE, *(f"{TESTS_FOLDER}/{alert}.test.yml" for alert in ALERTS)}
    inside = {name.removeprefix(f"{path.outputs.alerts}/"): text for name, text in generate(path).items()}
    found = {name: text for name, text in inside.items() if name in wanted}
    return {**found, RULES_FILE: needed_rules(found[RULES_FILE])}


def needed_rules(text: str) -> str:
    """Return the rules of the two checks, and those that every case asserts; all take minutes."""
    document = yaml.safe_load(text)
    for group in document["groups"]:
        group["rules"] = [
            rule
            for rule in group["rules"]
            if rule.get("alert") in ALERTS or rule.get("record") == TARGET_EXPECTED
        ]
    document["groups"] = [group for group in document["groups"] if group["rules"]]
    return yaml.safe_dump(document, width=10_000)


@pytest.fixture
def generated(tmp_path: Path, files: dict[str, str]) -> Path:
    """Write the rules and the cases of the two checks; return their folder."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def proven(folder: Path, alert: str) -> bool:
    """Tell whether the rules pass the cases of an alert."""
    promtool = find("promtool").path
    done = subprocess.run(
        [str(promtool), "test", "rules", f"{alert}.test.yml"],
        cwd=folder / TESTS_FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "rules_files" not in done.stderr
    return done.returncode == 0


def test_the_alerts_of_an_sql_check_fire_and_end(generated: Path) -> None:
    """On its own violations and its own silence, with its money, and not on those of another check."""
    assert {alert: proven(generated, alert) for alert in ALERTS} == dict.fromkeys(ALERTS, True)
    cases = (generated / TESTS_FOLDER / "MoneyPathWalletOne.test.yml").read_text(encoding="utf-8")
    assert "1250 minor units of EUR; 70 minor units of JPY;" in cases
    assert "stays quiet when another check is violated" in cases


@pytest.mark.parametrize(
    ("before", "after", "alert"),
    [
        ('moneypath_check_violations{check="wallet_entries"}', "moneypath_check_violations", ALERTS[0]),
        ('moneypath_check_violations{check="wallet_entries"}) > 0', 'up{job="x"}) > 1', ALERTS[0]),
        (
            "max by (currency) (moneypath_check_violation",
            "sum by (currency) (moneypath_check_violation",
            ALERTS[0],
        ),
        ("minor_units{check='wallet_entries'}", "minor_units{check='x'}", ALERTS[0]),
        ('seconds{check="wallet_debts"}', 'seconds{check="wallet_entries"}', ALERTS[3]),
    ],
)
def test_a_mutated_rule_fails_its_cases(generated: Path, before: str, after: str, alert: str) -> None:
    """The check's own id, the limit, the money: each is held by a case."""
    document = yaml.safe_load((generated / RULES_FILE).read_text(encoding="utf-8"))
    mutated = 0
    for rule in (rule for group in document["groups"] for rule in group["rules"] if "alert" in rule):
        description = rule["annotations"]["description"]
        mutated += before in rule["expr"] or before in description
        rule["expr"] = rule["expr"].replace(before, after)
        rule["annotations"]["description"] = description.replace(before, after)
    assert mutated == 1
    (generated / RULES_FILE).write_text(yaml.safe_dump(document), encoding="utf-8")
    assert not proven(generated, alert)


def test_a_row_without_money_claims_none(generated: Path) -> None:
    """Where a row stands for no money, nothing is said of an amount that nobody measures."""
    text = (generated / RULES_FILE).read_text(encoding="utf-8")
    assert "check=''wallet_entries''" in text
    assert "check=''wallet_debts''" not in text


def test_a_silence_on_such_an_alert_is_looked_for(generated: Path) -> None:
    """Both alerts of each check are integrity alerts, with the one value that their label has."""
    alerts = json.loads((generated / INTEGRITY_ALERTS_FILE).read_text(encoding="utf-8"))["alerts"]
    assert set(ALERTS) <= set(alerts)
    assert alerts[ALERTS[0]]["check"] == ["wallet_entries"]
