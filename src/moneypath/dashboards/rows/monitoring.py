"""Monitoring itself: firing alerts, fresh checks, targets that answer."""

from collections.abc import Iterator

from moneypath.alerting.conventions import (
    LAST_SUCCESS,
    SILENCE_END,
    SILENCES,
    TARGET_EXPECTED,
    silence_check,
    target_down_name,
    watchdog_name,
)
from moneypath.dashboards.model import (
    Colour,
    FieldOverride,
    Panel,
    PanelKind,
    Query,
    Row,
    ThresholdStep,
    ValueMapping,
)
from moneypath.dashboards.thresholds import Thresholds, at_most, zero
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check


def firing(path: MoneyPath) -> str:
    """Return the series of every alert that fires, the watchdog left out."""
    return f'ALERTS{{alertstate="firing", alertname!="{watchdog_name(path)}"}}'


def monitoring(thresholds: Thresholds) -> Row:
    """Return the row on alerting itself."""
    asked = silence_check(thresholds.path)
    silences = () if asked is None else (_silenced(asked), _silence_ends(asked))
    return Row(
        "Alerts, checks, targets", (_firing(thresholds), *_fresh(thresholds), _targets(thresholds), *silences)
    )


def _firing(thresholds: Thresholds) -> Panel:
    columns = {
        "alertname": "Alert",
        "severity": "Severity",
        "stage": "Stage",
        "provider": "Provider",
        "currency": "Currency",
        "job": "Process",
        "roles": "Paged",
    }
    return Panel(
        "Alerts firing",
        PanelKind.TABLE,
        "Every alert that fires now, where it fires and who is paged. Begin with integrity, then "
        "availability: a double charge during an outage is not the outage.",
        (
            Query(
                f"max by ({', '.join(columns)}) ({firing(thresholds.path)})",
                instant=True,
                empty_when="no alert fires",
            ),
        ),
        width=12,
        columns=columns,
        no_value="No alert is firing.",
    )


def _fresh(thresholds: Thresholds) -> Iterator[Panel]:
    ages = thresholds.stale_after()
    if not ages:
        return
    yield Panel(
        "Age of the last good check",
        PanelKind.STAT,
        "How long ago each integrity check last ran to its end. A check past its limit proves nothing, "
        "whatever its numbers say; its red begins where the page is sent.",
        (Query(f"time() - max by (check) ({LAST_SUCCESS})", "{{check}}", instant=True),),
        width=6,
        unit="s",
        decimals=0,
        steps=at_most(min(ages.values())),
        overrides={check: FieldOverride(steps=at_most(limit)) for check, limit in ages.items()},
        alerts=tuple(check.alerts.stale for check in thresholds.path.checks),
        no_value="no check has run",
    )


def _targets(thresholds: Thresholds) -> Panel:
    answering = f"min by (job) (up and on (job) {TARGET_EXPECTED})"
    return Panel(
        "Targets",
        PanelKind.STAT,
        "Whether every instance answers the scrape, services that Prometheus has never heard of included. "
        "Down: what it guards cannot be seen, so nothing on this board clears it.",
        (Query(f"{answering} or max by (job) ({TARGET_EXPECTED}) * 0", "{{job}}", instant=True),),
        width=6,
        steps=(ThresholdStep(None, Colour.BAD), ThresholdStep(1, Colour.GOOD)),
        value_mappings=(ValueMapping(1, "up", Colour.GOOD), ValueMapping(0, "down", Colour.BAD)),
        alerts=(target_down_name(thresholds.path),),
        no_value="no rules are evaluated",
    )


def _silenced(asked: Check) -> Panel:
    return Panel(
        "Integrity alerts silenced",
        PanelKind.STAT,
        "How many integrity alerts somebody has silenced in Alertmanager, in whole or for one instance. Has "
        "to be 0: while it is not, nobody is paged for what they guard. Without a number nobody could ask "
        "Alertmanager.",
        (Query(f"sum(max by (alert) ({SILENCES}) > bool 0)", "silenced", instant=True),),
        width=6,
        steps=zero(),
        alerts=(asked.alerts.violated, asked.alerts.stale),
        no_value="not known",
    )


def _silence_ends(asked: Check) -> Panel:
    return Panel(
        "Silenced for how much longer",
        PanelKind.TABLE,
        "Each silenced integrity alert, and the time until the last of its silences ends. Who made them: "
        "`moneypath silences list`, or Alertmanager's page of silences.",
        (
            Query(
                f"max by (alert) ({SILENCE_END}) - time()",
                instant=True,
                empty_when="no integrity alert is silenced",
            ),
        ),
        width=18,
        unit="s",
        decimals=0,
        alerts=(asked.alerts.violated,),
        columns={"alert": "Alert"},
        no_value="None, or not known: the number beside tells.",
    )
