"""Who watches the watchers: alerts that fire, checks that run, targets that answer."""

from moneypath.alerting.conventions import LAST_SUCCESS, TARGET_DOWN, TARGET_EXPECTED, WATCHDOG
from moneypath.dashboards.limits import Limits, at_most
from moneypath.dashboards.model import Colour, Kind, Look, Panel, Query, Row, State, Step

FIRING = f'ALERTS{{alertstate="firing", alertname!="{WATCHDOG}"}}'


def watch(limits: Limits) -> Row:
    """Return the row on alerting itself."""
    return Row("Alerts, checks, targets", (_firing(), _fresh(limits), _targets()))


def _firing() -> Panel:
    return Panel(
        "Alerts firing",
        Kind.TABLE,
        "Every alert that fires now, where it fires and who is paged. Begin with integrity, then "
        "availability: a double charge during an outage is not the outage.",
        (
            Query(
                f"max by (alertname, severity, stage, provider, currency, job, roles) ({FIRING})",
                instant=True,
                quiet="no alert fires",
            ),
        ),
        width=12,
        columns={
            "alertname": "Alert",
            "severity": "Severity",
            "stage": "Stage",
            "provider": "Provider",
            "currency": "Currency",
            "job": "Process",
            "roles": "Paged",
        },
        no_value="No alert is firing.",
    )


def _fresh(limits: Limits) -> Panel:
    ages = limits.stale_after()
    return Panel(
        "Age of the last good check",
        Kind.STAT,
        "How long ago each integrity check last ran to its end. A check past its limit proves nothing, "
        "whatever its numbers say; its red begins where the page is sent.",
        (Query(f"time() - max by (check) ({LAST_SUCCESS})", "{{check}}", instant=True),),
        width=6,
        unit="s",
        decimals=0,
        steps=at_most(min(ages.values())),
        looks={check: Look(steps=at_most(limit)) for check, limit in ages.items()},
        watches=tuple(check.alerts.stale for check in limits.path.checks),
        no_value="no check has run",
    )


def _targets() -> Panel:
    answering = f"max by (job) (up and on (job) {TARGET_EXPECTED})"
    return Panel(
        "Targets",
        Kind.STAT,
        "Whether each process answers the scrape, those that Prometheus has never heard of included. Down: "
        "what it guards cannot be seen, so nothing on this board clears it.",
        (Query(f"{answering} or max by (job) ({TARGET_EXPECTED}) * 0", "{{job}}", instant=True),),
        width=6,
        steps=(Step(None, Colour.BAD), Step(1, Colour.GOOD)),
        states=(State(1, "up", Colour.GOOD), State(0, "down", Colour.BAD)),
        watches=(TARGET_DOWN,),
        no_value="no rules are evaluated",
    )
