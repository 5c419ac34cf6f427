"""What is refused in rules before anything runs them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moneypath.alerting import analysis, rule_groups
from moneypath.alerting.errors import RuleInvalid
from moneypath.alerting.rules import AlertRule, Expr, RecordingRule, RuleGroup, expr
from moneypath.path.model import MoneyPath

Change = Callable[[AlertRule], AlertRule]


def changed(groups: tuple[RuleGroup, ...], change: Change) -> tuple[RuleGroup, ...]:
    """Return `groups` with the first ordinary alert exchanged."""
    target = next(alert for alert in rule_groups.alerts(groups) if "HardDown" in alert.name)
    return tuple(
        replace(group, rules=tuple(change(target) if rule is target else rule for rule in group.rules))
        for group in groups
    )


def relabelled(**labels: str | None) -> Change:
    """Return a change that sets labels, or removes those that are None."""

    def change(alert: AlertRule) -> AlertRule:
        merged = {**alert.labels, **labels}
        return replace(alert, labels={key: value for key, value in merged.items() if value is not None})

    return change


def annotated(**annotations: str) -> Change:
    """Return a change that sets annotations."""
    return lambda alert: replace(alert, annotations={**alert.annotations, **annotations})


def reading(text: str) -> Change:
    """Return a change of the expression."""
    return lambda alert: replace(alert, expr=Expr((text,)))


def test_the_generated_rules_are_clean(money_path: MoneyPath) -> None:
    """Every rule of the repository passes, or the refusals below would prove nothing."""
    analysis.check(money_path, rule_groups.build(money_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (relabelled(severity="page"), "severity page; allowed: critical, warning, none"),
        (relabelled(severity="none"), "only the watchdog"),
        (relabelled(slo=None), "either the label slo or the label check"),
        (relabelled(check="both"), "either the label slo or the label check"),
        (relabelled(stage="nowhere"), "stage nowhere is not declared"),
        (relabelled(roles="|boss|"), "roles |boss|; allowed"),
        (relabelled(roles="eng"), "roles eng; allowed"),
        (relabelled(roles="||"), "roles ||; allowed"),
        (annotated(summary=""), "annotation summary is missing"),
        (annotated(description=""), "annotation description is missing"),
        (annotated(dashboard_url=""), "annotation dashboard_url is missing"),
        (annotated(runbook_url="https://elsewhere.example/x.md"), "runbook_url does not lead"),
        (annotated(runbook_url="https://moneypath.example/runbooks/x"), "runbook_url does not lead"),
        (annotated(summary="{{ $value }}"), "summary has to be static"),
        (reading("moneypath_payment_total > bool on()"), "not PromQL"),
        (
            reading("sum(rate(moneypath_payment_total[5m]))"),
            "reads moneypath_payment_total, which is neither",
        ),
        (reading('moneypath_payments_total{provder="north"}'), "by provder, which it does not have"),
        (reading("sum by (provder) (moneypath_payments_total)"), "groups by provder"),
        (reading("provider:authorization_bad:ratio_rate2h"), "reads provider:authorization_bad:ratio_rate2h"),
        (reading('moneypath_payments_total{outcome="fialed"}'), 'outcome="fialed", which never occurs'),
        (reading('moneypath_payments_total{outcome=~"failed|lost"}'), 'outcome="lost", which never occurs'),
    ],
)
def test_a_defective_rule_is_refused(money_path: MoneyPath, change: Change, message: str) -> None:
    """Each defect is refused with the name of the alert and what is wrong."""
    groups = changed(rule_groups.build(money_path), change)
    with pytest.raises(RuleInvalid) as caught:
        analysis.check(money_path, groups)
    assert message in str(caught.value)


def test_all_defects_are_reported_at_once(money_path: MoneyPath) -> None:
    """Two defects of one alert are two lines."""
    groups = changed(
        rule_groups.build(money_path), lambda alert: relabelled(stage="x")(annotated(summary="")(alert))
    )
    with pytest.raises(RuleInvalid, match=r"stage x(?s:.*)summary is missing"):
        analysis.check(money_path, groups)


def test_two_rules_of_one_name_and_labels_are_refused(money_path: MoneyPath) -> None:
    """Prometheus would let both write the same series."""
    twin = RuleGroup(
        "twin", (RecordingRule("moneypath_target_expected", expr("vector(1)"), {"job": "refpay-api"}),)
    )
    with pytest.raises(RuleInvalid, match="two rules of this name"):
        analysis.check(money_path, (*rule_groups.build(money_path), twin))


def test_every_series_in_an_annotation_exists(money_path: MoneyPath) -> None:
    """Queries inside templates are read like expressions."""
    bad = annotated(description='{{ query "sum(moneypath_money_at_rsik)" }}')
    with pytest.raises(RuleInvalid, match="moneypath_money_at_rsik"):
        analysis.check(money_path, changed(rule_groups.build(money_path), bad))


def test_every_runbook_that_an_alert_names_is_there(money_path: MoneyPath, root: Path) -> None:
    """Each alert leads to exactly one page under runbooks/."""
    for alert in rule_groups.alerts(rule_groups.build(money_path)):
        name = alert.annotations["runbook_url"].rsplit("/", 1)[1]
        assert (root / "runbooks" / name).is_file(), f"{alert.name} leads to runbooks/{name}"
