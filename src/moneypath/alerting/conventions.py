"""What every alert carries: severity, roles, links, and what it costs."""

from collections.abc import Iterable
from enum import StrEnum

from moneypath.alerting.leaf import Expr, expr
from moneypath.path.model import MoneyPath


class Severity(StrEnum):
    """How urgent an alert is; `none` is the heartbeat's."""

    CRITICAL = "critical"
    WARNING = "warning"
    NONE = "none"


TARGET_DOWN = "MoneyPathTargetDown"
WATCHDOG = "MoneyPathWatchdog"
TARGET_EXPECTED = "moneypath_target_expected"
ROUTING = "moneypath_provider_routing_active"
LAST_SUCCESS = "moneypath_check_last_success_timestamp_seconds"
MONEY_AT_RISK = "moneypath_money_at_risk_minor_units"

_RISK = f"max by (reason, currency) ({MONEY_AT_RISK})"
MONEY_SENTENCE = (
    f'Money at risk: {{{{ range query "sum by (currency) ({_RISK}) > 0" | sortByLabel "currency" }}}}'
    '{{ printf "%.0f" .Value }} minor units of {{ .Labels.currency }}; '
    f'{{{{ else }}}}{{{{ if query "{_RISK}" }}}}none counted;'
    " {{ else }}not known; {{ end }}{{ end }}see the runbook."
)


def roles_label(roles: Iterable[str]) -> str:
    """Return the roles as the label that the routes match: `|eng|ops|`."""
    return f"|{'|'.join(roles)}|"


def annotations(path: MoneyPath, summary: str, lead: str, runbook: str, dashboard: str) -> dict[str, str]:
    """Return the annotations of an alert; `lead` may hold label templates, the money follows it."""
    return {
        "summary": summary,
        "description": f"{lead} {MONEY_SENTENCE}",
        **links(path, runbook, dashboard),
    }


def links(path: MoneyPath, runbook: str, dashboard: str) -> dict[str, str]:
    """Return the annotations that lead to the runbook and to the dashboard."""
    return {
        "runbook_url": f"{path.links.runbooks}{runbook}.md",
        "dashboard_url": f"{path.links.dashboards}{dashboard}",
    }


def latch(alert: str, by: str, **labels: str) -> str:
    """Return the expression that is there while `alert` is firing, one series each value of `by`.

    `labels` tell apart the rules that raise alerts of one name.
    """
    matchers = f'alertname="{alert}", alertstate="firing"'
    for label, value in labels.items():
        matchers += f', {label}="{value}"'
    return f"max by ({by}) (ALERTS{{{matchers}}})"


def until_proven(condition: Expr, held: str, by: str, proof: Expr) -> Expr:
    """Return the expression that begins with `condition` and, once firing, ends with `proof` only."""
    return expr(
        *("(\n  ", condition, "\n)\nor\n(\n  ", held),
        *(f"\n  unless on ({by}) (\n    ", proof, "\n  )\n)"),
    )


def expected_series(label: str) -> str:
    """Return the recorded series that is there for every member of `label`, since absence has no labels."""
    return f"moneypath_{label}_expected"
