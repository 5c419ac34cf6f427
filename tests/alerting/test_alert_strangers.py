"""Refused webhooks: a provider whose key is wrong pages in time, and no stranger does, by promtool."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from moneypath.alerting.generate import RULES_FILE
from moneypath.path.loader import load

from .conftest import ROOT, RunTool

ALERT: Final = "MoneyPathWebhooksRefused"
PATH: Final = load(ROOT / "moneypath.yaml")
[GUARD] = [guard for guard in PATH.guards if guard.alert == ALERT]
EVENTS: Final = "provider:webhook_signatures_events:increase5m"
# Samples each five seconds: five minutes of honest webhooks, then the attack, then ten minutes more.
BEFORE, AFTER = 60, 120
# What one API process counts each five seconds of refusals that name a key (10 a second).
HELD: Final = 50


def _rules() -> dict[str, Any]:
    """Return what the committed rule file has on webhooks: promtool evaluates all rules in every test."""
    groups = yaml.safe_load((ROOT / "alerts" / RULES_FILE).read_text(encoding="utf-8"))["groups"]
    kept = [
        {**group, "rules": [rule for rule in group["rules"] if "webhook" in rule["expr"]]} for group in groups
    ]
    return {"groups": [group for group in kept if group["rules"]]}


RULES: Final = _rules()


def series(name: str, before: float, at_once: float, after: float) -> dict[str, str]:
    """Return a counter that grows steadily, by `at_once` in one interval, and steadily again."""
    then = before * BEFORE + at_once
    return {
        "series": f'{name}, provider="north", job="refpay-api", instance="refpay-api"}}',
        "values": f"0+{before:g}x{BEFORE} {then:g}+{after:g}x{AFTER}",
    }


def expect(tmp_path: Path, promtool: RunTool, *counters: dict[str, str], firing: Mapping[int, bool]) -> None:
    """Fail unless the alert of north fires, or does not, so many seconds into the attack."""
    alerting = f'count(ALERTS{{alertname="{ALERT}", alertstate="firing", provider="north"}})'
    one = [{"labels": "{}", "value": 1}]
    told = [
        sample
        for at, fires in firing.items()
        for sample in (
            {"expr": alerting, "eval_time": f"{BEFORE * 5 + at}s", "exp_samples": one if fires else []},
            # The series are there, so quiet is no silence.
            {"expr": f"count({EVENTS})", "eval_time": f"{BEFORE * 5 + at}s", "exp_samples": one},
        )
    ]
    test = {"interval": "5s", "input_series": list(counters), "promql_expr_test": told}
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "10s", "tests": [test]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    result = promtool("test", "rules", "test.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def accepted(before: float, after: float) -> dict[str, str]:
    """Return the webhooks that were applied, each five seconds."""
    return series('moneypath_webhooks_total{result="applied"', before, 0, after)


def refused(before: float = 0, at_once: float = 0, after: float = 0) -> dict[str, str]:
    """Return the refusals that count for the provider."""
    return series('moneypath_webhooks_total{result="bad_signature"', before, at_once, after)


def strangers(at_once: float, after: float = 0) -> dict[str, str]:
    """Return what strangers sent."""
    return series('moneypath_webhooks_unattributed_total{reason="unsigned"', 0, at_once, after)


@pytest.mark.parametrize("honest", [0, 1, 40], ids=["night", "few", "busy"])
def test_a_burst_of_strangers_pages_nobody(tmp_path: Path, promtool: RunTool, honest: float) -> None:
    """400 in less than a second, and then as many as the limit lets through, for ten minutes."""
    counters = (accepted(honest, honest), refused(), strangers(400, 500))
    expect(tmp_path, promtool, *counters, firing=dict.fromkeys((5, 60, 315, 590), False))


def test_the_same_burst_paged_when_it_was_counted_for_the_provider(tmp_path: Path, promtool: RunTool) -> None:
    """The rule is the same: which series counts them makes the difference."""
    expect(tmp_path, promtool, accepted(1, 1), refused(at_once=400), firing={60: True})


@pytest.mark.parametrize("honest", [1, 40, 400], ids=["few", "busy", "very-busy"])
def test_a_provider_with_a_wrong_key_pages_in_time(tmp_path: Path, promtool: RunTool, honest: float) -> None:
    """However busy it was, though only the limit is counted, and whatever strangers send meanwhile."""
    assert GUARD.detect_within_seconds is not None
    counters = (accepted(honest, 0), refused(after=min(honest, HELD)), strangers(400, 500))
    expect(tmp_path, promtool, *counters, firing={5: False, int(GUARD.detect_within_seconds): True})


def test_who_knows_the_key_id_pages_for_no_provider_that_sends_more(
    tmp_path: Path, promtool: RunTool
) -> None:
    """A forger is held to the limit."""
    forger = refused(at_once=HELD, after=HELD)
    never = dict.fromkeys((60, 315, 590), False)
    expect(tmp_path, promtool, accepted(HELD * 1.1, HELD * 1.1), forger, firing=never)


def test_who_knows_the_key_id_pages_once_for_a_provider_that_sends_less(
    tmp_path: Path, promtool: RunTool
) -> None:
    """Its refusals may be the provider's own, and the alert does not come and go."""
    steady = dict.fromkeys(range(310, 600, 20), True)
    expect(tmp_path, promtool, accepted(HELD / 2, HELD / 2), refused(after=HELD), firing=steady)
