"""What every alert carries: severity, roles, links, and the money at risk."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from moneypath.alerting.rules import AlertRule, AlertSource, Expr, RuleLiteral, expr
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check
from moneypath.path.sql_checks import VIOLATIONS_MONEY
from moneypath.telemetry.catalogue import Catalogue


class Severity(StrEnum):
    """The urgency of an alert; `none` is for the heartbeat."""

    CRITICAL = "critical"
    WARNING = "warning"
    NONE = "none"


TARGET_EXPECTED = "moneypath_target_expected"
ROUTING = "moneypath_provider_routing_active"
LAST_SUCCESS = "moneypath_check_last_success_timestamp_seconds"
# The target that asks Alertmanager for silences.
SILENCES_JOB = "alert-silences"
SILENCES = "moneypath_integrity_alert_silences"
SILENCE_END = "moneypath_integrity_alert_silence_end_timestamp_seconds"
MONEY_AT_RISK = "moneypath_money_at_risk_minor_units"
NO_MONEY_FOUND = "no amount known; "

_RISK = f"max by (reason, currency) ({MONEY_AT_RISK})"
MONEY_SENTENCE = (
    f'Money at risk: {{{{ range query "sum by (currency) ({_RISK}) > 0" | sortByLabel "currency" }}}}'
    '{{ printf "%.0f" .Value }} minor units of {{ .Labels.currency }}; '
    f'{{{{ else }}}}{{{{ if query "{_RISK}" }}}}none counted;'
    " {{ else }}not known; {{ end }}{{ end }}see the runbook."
)


def target_down_name(path: MoneyPath) -> str:
    """Return the name of the alert of a process that does not answer."""
    return f"{path.alerts.prefix}TargetDown"


def watchdog_name(path: MoneyPath) -> str:
    """Return the name of the alert that always fires."""
    return f"{path.alerts.prefix}Watchdog"


def violations_money(check: str) -> str:
    """Return the money in the violations of an SQL check by currency, as a template."""
    money = f"max by (currency) ({VIOLATIONS_MONEY}{{check='{check}'}}) > 0"
    return (
        f'{{{{ range query "{money}" | sortByLabel "currency" }}}}'
        '{{ printf "%.0f" .Value }} minor units of {{ .Labels.currency }}; '
        f"{{{{ else }}}}{NO_MONEY_FOUND}{{{{ end }}}}"
    )


def check_labels(check: Check, series: str, catalogue: Catalogue) -> Mapping[str, tuple[str, ...]]:
    """Return the labels of a gauge of a check, with their values; of the label `check` only its own id."""
    labels = dict(catalogue[series].labels)
    return {**labels, "check": (check.id,)} if "check" in labels else labels


def silence_check(path: MoneyPath) -> Check | None:
    """Return the check that no integrity alert is silenced, if the money path declares it."""
    return next((check for check in path.checks if SILENCES in check.series), None)


def roles_label(roles: Iterable[str]) -> str:
    """Return the roles as the label that the routes match: `|eng|ops|`."""
    return f"|{'|'.join(roles)}|"


def alert_rule(
    path: MoneyPath,
    source: AlertSource,
    *,
    name: str,
    expr: Expr,
    summary: str,
    detail: str,
    labels: Mapping[str, str] = MappingProxyType({}),
    hold: RuleLiteral | None = None,
) -> AlertRule:
    """Return a critical alert with the labels and annotations that every alert carries.

    Args:
        path: The declaration, for the addresses of runbooks and dashboards.
        source: The subject of the alert, its roles and its links.
        name: The name of the alert.
        expr: The condition.
        summary: One static sentence.
        detail: One sentence that may hold label templates; the money at risk follows it.
        labels: Labels that tell alerts of one name apart.
        hold: How long the condition must last.
    """
    return AlertRule(
        name=name,
        source=source,
        expr=expr,
        labels={**source_labels(source, Severity.CRITICAL), **labels},
        annotations={
            "summary": summary,
            "description": f"{detail} {MONEY_SENTENCE}",
            **links(path, source),
        },
        hold=hold,
    )


def source_labels(source: AlertSource, severity: Severity) -> dict[str, str]:
    """Return the labels for urgency, subject, stage and roles."""
    return {
        "severity": severity.value,
        source.kind.value: source.subject,
        "stage": source.stage,
        "roles": roles_label(source.roles),
    }


def links(path: MoneyPath, source: AlertSource) -> dict[str, str]:
    """Return the annotations that link the runbook, if there is one, and the dashboard."""
    runbook = {"runbook_url": f"{path.links.runbooks}{source.runbook}.md"} if source.runbook else {}
    return {**runbook, "dashboard_url": f"{path.links.dashboards}{source.dashboard}"}


def instance_text(by: str) -> str:
    """Return the end of a sentence that names the labels `by` of an instance, as a template."""
    return "".join(f", {label} {{{{ $labels.{label} }}}}" for label in by.split(", ") if label)


def while_firing(alert: str, by: str, **labels: str) -> str:
    """Return an expression that exists while `alert` is firing, one series for each value of `by`.

    `labels` tell apart the rules that raise alerts of one name.
    """
    matchers = f'alertname="{alert}", alertstate="firing"'
    for label, value in labels.items():
        matchers += f', {label}="{value}"'
    return f"max by ({by}) (ALERTS{{{matchers}}})"


def fires_until_recovered(condition: Expr, firing: str, by: str, recovery: Expr) -> Expr:
    """Return an expression that begins with `condition` and, while `firing`, ends only with `recovery`."""
    return expr(
        "(\n  ",
        condition,
        "\n)\nor\n(\n  ",
        firing,
        f"\n  unless on ({by}) (\n    ",
        recovery,
        "\n  )\n)",
    )


def expected_series(label: str) -> str:
    """Return the recorded series that exists for every member of `label`, since absence has no labels."""
    return f"moneypath_{label}_expected"
