"""The committed rules and tests, run by the real promtool, and the mutants that it has to catch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.alerting import analysis, render, rule_groups
from moneypath.alerting.conventions import TARGET_EXPECTED
from moneypath.alerting.generate import RULES_FILE, TESTS_FOLDER
from moneypath.alerting.promtool_tests.suite import file_name, files
from moneypath.alerting.rules import AlertRule, LiteralKind, RecordingRule, Rule, RuleGroup, RuleLiteral
from moneypath.alerting.timing import Scale
from moneypath.path.loader import load
from moneypath.path.model import MoneyPath

from .conftest import ROOT, RunTool

PATH = load(ROOT / "moneypath.yaml")
GROUPS = rule_groups.build(PATH)
ALERTS = tuple(rule_groups.alerts(GROUPS))
FILES = files(PATH)
COMMITTED = yaml.safe_load((ROOT / "alerts" / RULES_FILE).read_text(encoding="utf-8"))
# States, not thresholds: 0 and 1 say what a gauge means.
STATES = {"zero", "one", "drained"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One alert without its rule (no literal), or with one of its thresholds multiplied.

    `read` is a recorded rule that the alert reads, which is mutated in its place.
    """

    alert: AlertRule
    literal: str = ""
    factor: Fraction = Fraction(1)
    read: RecordingRule | None = None

    def __str__(self) -> str:
        what = f"{self.literal} x {self.factor}" if self.literal else "deleted"
        at = "" if self.read is None else f"{self.read.record}, "
        return f"{file_name(self.alert, ALERTS).removesuffix('.test.yml')}: {at}{what}"

    def rule(self) -> tuple[Rule, ...]:
        """Return the mutated rule, or nothing."""
        if not self.literal:
            return ()
        if self.read is not None:
            return (replace(self.read, expr=self.read.expr.swapped(self._swap)),)
        hold = self._swap(self.alert.hold) if self.alert.hold else None
        return (replace(self.alert, expr=self.alert.expr.swapped(self._swap), hold=hold),)

    def _swap(self, literal: RuleLiteral) -> RuleLiteral:
        if literal.name != self.literal:
            return literal
        return replace(literal, value=literal.value * self.factor if literal.value else self.factor)


def mutants() -> Iterator[Mutant]:
    """Yield each alert deleted, and each of its thresholds ten times looser and tighter.

    What is recorded of failures at every provider is a threshold of the alerts that read it.
    """
    everywhere = [
        rule
        for group in GROUPS
        for rule in group.rules
        if isinstance(rule, RecordingRule) and ":everywhere" in rule.record
    ]
    assert len(everywhere) == 2
    for alert in ALERTS:
        yield Mutant(alert)
        yield from _thresholds(alert, [*alert.expr.literals(), *([alert.hold] if alert.hold else [])])
        read = {series for series, _ in analysis.selectors(analysis.unscaled_text(alert.expr))}
        for rule in everywhere:
            if rule.record in read:
                yield Mutant(alert, read=rule)
                yield from _thresholds(alert, rule.expr.literals(), rule)


def _thresholds(
    alert: AlertRule, literals: Iterable[RuleLiteral], read: RecordingRule | None = None
) -> Iterator[Mutant]:
    for name, value in {
        literal.name: literal.value for literal in literals if literal.name not in STATES
    }.items():
        yield Mutant(alert, name, Fraction(10), read)
        if value:
            yield Mutant(alert, name, Fraction(1, 10), read)


@cache
def needed(file: str) -> frozenset[str]:
    """Return what a test file, and the rules of its alert's name, read, directly or not."""
    document = yaml.safe_load(FILES[file])
    todo = [sample["expr"] for test in document["tests"] for sample in test["promql_expr_test"]]
    todo += [analysis.unscaled_text(other.expr) for other in ALERTS if other.name == file.split(".")[0]]
    recordings = [rule for group in GROUPS for rule in group.rules if isinstance(rule, RecordingRule)]
    names: set[str] = set()
    while todo:
        read = {series for series, _ in analysis.selectors(todo.pop())}
        todo += [analysis.unscaled_text(rule.expr) for rule in recordings if rule.record in read - names]
        names |= read
    return frozenset(names)


def only(document: Any, alert: AlertRule) -> Any:
    """Return the rule file with what `alert` needs, and every rule that raises an alert of its name.

    promtool evaluates every rule of a file in every test: all of them take ten times as long.
    """
    names = needed(file_name(alert, ALERTS))
    groups = [
        {
            **group,
            "rules": [
                rule
                for rule in group["rules"]
                if rule.get("alert") == alert.name or rule.get("record") in names
            ],
        }
        for group in document["groups"]
    ]
    return {"groups": [group for group in groups if group["rules"]]}


def mutated(replaced: Rule, instead: tuple[Rule, ...]) -> Any:
    """Return the rule file as it is generated with `instead` in the place of a rule."""
    groups: list[RuleGroup] = []
    for group in GROUPS:
        at = next((place for place, rule in enumerate(group.rules) if rule is replaced), None)
        if at is not None:
            group = replace(group, rules=(*group.rules[:at], *instead, *group.rules[at + 1 :]))
        groups.append(group)
    return render.document(tuple(groups), Scale(1))


def write(folder: Path, alert: AlertRule, document: Any, test: str) -> Path:
    """Write what `alert` needs of a rule file, and its test file; return that."""
    rule_file = folder / "rules" / Path(RULES_FILE).name
    test_file = folder / "tests" / file_name(alert, ALERTS)
    for file, text in ((rule_file, render.dump(only(document, alert))), (test_file, test)):
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
    return test_file


def test_the_committed_rules_are_valid(root: Path, promtool: RunTool) -> None:
    """promtool accepts the committed rule file, duplicates included."""
    result = promtool("check", "rules", "--lint-fatal", RULES_FILE, cwd=root / "alerts")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: file_name(alert, ALERTS))
def test_the_committed_rules_pass_the_committed_tests(
    alert: AlertRule, root: Path, tmp_path: Path, promtool: RunTool
) -> None:
    """Each alert fires, stays quiet and ends as its committed test file says."""
    committed = (root / "alerts" / TESTS_FOLDER / file_name(alert, ALERTS)).read_text(encoding="utf-8")
    test_file = write(tmp_path, alert, COMMITTED, committed)
    result = promtool("test", "rules", test_file.name, cwd=test_file.parent)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_committed_test_runs_where_it_lies(root: Path, promtool: RunTool) -> None:
    """A test file finds the whole rule file from its own folder, as for whoever runs it by hand."""
    name = "MoneyPathWatchdog.test.yml"
    result = promtool("test", "rules", name, cwd=root / "alerts" / TESTS_FOLDER)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("mutant", list(mutants()), ids=str)
def test_a_mutated_alert_fails_its_test(mutant: Mutant, tmp_path: Path, promtool: RunTool) -> None:
    """Deleting an alert, or moving one of its thresholds tenfold, breaks the alert's own test file."""
    alert = mutant.alert
    document = mutated(mutant.read or alert, mutant.rule())
    test_file = write(tmp_path, alert, document, FILES[file_name(alert, ALERTS)])
    result = promtool("test", "rules", test_file.name, cwd=test_file.parent)
    assert result.returncode != 0
    assert "FAILED" in result.stdout + result.stderr
    assert "got:" in result.stdout + result.stderr, "it has to fail by what it gives, not by its form"


def test_the_unmutated_alert_passes_in_the_same_harness(tmp_path: Path, promtool: RunTool) -> None:
    """The mutants fail because of the mutation: the harness passes with the alert as it is."""
    alert = next(alert for alert in ALERTS if alert.hold and alert.hold.kind is LiteralKind.HOLD)
    document = mutated(alert, (alert,))
    test_file = write(tmp_path, alert, document, FILES[file_name(alert, ALERTS)])
    result = promtool("test", "rules", test_file.name, cwd=test_file.parent)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["MoneyPathAuthorizationHardDown", "MoneyPathAuthorizationBudgetBurn"])
def test_a_whole_path_that_counts_payments_twice_fails_its_test(
    name: str, tmp_path: Path, promtool: RunTool
) -> None:
    """The series without a provider holds every payment: added to the providers' it halves the bad share."""
    alert = next(alert for alert in ALERTS if alert.name == name)
    document = mutated(alert, (alert,))
    for group in document["groups"]:
        for rule in group["rules"]:
            if str(rule.get("record")).startswith("path:authorization_bad:ratio_rate"):
                assert '{provider="none"} > 0)' in rule["expr"]
                rule["expr"] = rule["expr"].replace('{provider="none"}', "")
    test_file = write(tmp_path, alert, document, FILES[file_name(alert, ALERTS)])
    result = promtool("test", "rules", test_file.name, cwd=test_file.parent)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert "path:authorization_bad:ratio_rate" in said
    assert "exp: {} 1E-01" in said, "a tenth of the traffic was down"


def test_every_test_asserts_a_series_that_only_the_rules_make(money_path: MoneyPath) -> None:
    """No test passes vacuously, as promtool lets one do when no rule file matches."""
    for name, text in FILES.items():
        document = yaml.safe_load(text)
        assert document["rule_files"] == ["../rules/moneypath.rules.yml"]
        for test in document["tests"]:
            sanity = test["promql_expr_test"][0]
            assert sanity["expr"] == f"count({TARGET_EXPECTED})", (name, test["name"])
            assert sanity["exp_samples"] == [{"labels": "{}", "value": float(len(money_path.targets))}]


def test_a_test_without_its_rules_fails(tmp_path: Path, root: Path, promtool: RunTool) -> None:
    """The sanity series does its work: with rule files that match nothing the test fails."""
    (tmp_path / "tests").mkdir()
    for name in ("MoneyPathLedgerImbalance.test.yml", "MoneyPathTrafficMissing.test.yml"):
        text = (root / "alerts" / TESTS_FOLDER / name).read_text(encoding="utf-8")
        (tmp_path / "tests" / name).write_text(text, encoding="utf-8")
        assert promtool("test", "rules", name, cwd=tmp_path / "tests").returncode != 0


def test_every_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    """Each alert but the watchdog, which always fires, is expected to fire and to stay quiet somewhere."""
    for alert in ALERTS:
        document = yaml.safe_load(FILES[file_name(alert, ALERTS)])
        expected = [check for test in document["tests"] for check in test["alert_rule_test"]]
        assert {check["alertname"] for check in expected} == {alert.name}
        assert any(check["exp_alerts"] for check in expected)
        assert any(not check["exp_alerts"] for check in expected) or alert.name == "MoneyPathWatchdog"
