"""What every alert carries: severity, roles, links, and what it costs."""

from collections.abc import Iterable
from enum import StrEnum

from moneypath.path.model import MoneyPath


class Severity(StrEnum):
    """How urgent an alert is; `none` is the heartbeat's."""

    CRITICAL = "critical"
    WARNING = "warning"
    NONE = "none"


TARGET_DOWN = "MoneyPathTargetDown"
WATCHDOG = "MoneyPathWatchdog"
TARGET_EXPECTED = "moneypath_target_expected"
PROVIDER_EXPECTED = "moneypath_provider_expected"
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


def latch(alert: str, by: str, tier: str | None = None) -> str:
    """Return the expression that is there while `alert` is firing, one series each value of `by`."""
    matchers = f'alertname="{alert}", alertstate="firing"'
    if tier:
        matchers += f', tier="{tier}"'
    return f"max by ({by}) (ALERTS{{{matchers}}})"
