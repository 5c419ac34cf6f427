"""The integrity alerts and every label that they may carry, as a generated file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moneypath.alerting import rule_groups
from moneypath.alerting.conventions import SILENCES, silence_check, watchdog_name
from moneypath.alerting.errors import IntegrityAlertsUnreadable
from moneypath.alerting.rules import AlertRule
from moneypath.alerting.silences.matchers import LabelValues
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check

# In the folder of alerts, which is `alerts` unless the declaration names another.
INTEGRITY_ALERTS_FILE: Final = "integrity-alerts.json"
ALERT_NAME: Final = "alertname"
FILE_BYTES_MAX: Final = 1 << 20


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    check: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    watchdog: dict[str, str]
    alerts: dict[str, dict[str, list[str]]] = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True)
class IntegrityAlerts:
    """What to look for: `check` is the id under which a reading counts as a success.

    `watchdog` are the labels that the rule gives the watchdog. What it carries besides, every alert carries.
    """

    check: str
    watchdog: Mapping[str, str]
    alerts: Mapping[str, LabelValues]

    @property
    def watchdog_name(self) -> str:
        """Return the name of the watchdog."""
        return self.watchdog.get(ALERT_NAME, "")

    def to_json(self) -> str:
        """Return the text of the file."""
        document = {"check": self.check, "watchdog": self.watchdog, "alerts": self.alerts}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def describe(path: MoneyPath) -> IntegrityAlerts | None:
    """Return the alerts of all checks; None if no check asks for silences."""
    asking = silence_check(path)
    if asking is None:
        return None
    rules = {rule.name: rule for rule in rule_groups.alerts(rule_groups.build(path))}
    found: dict[str, LabelValues] = {}
    for check in path.checks:
        found[check.alerts.violated] = _labels(rules[check.alerts.violated], _instances(path, check))
        found[check.alerts.stale] = _labels(rules[check.alerts.stale], {})
    return IntegrityAlerts(asking.id, _with_name(rules[watchdog_name(path)]), found)


def load(file: Path) -> IntegrityAlerts:
    """Read the file that `moneypath generate` wrote; raises IntegrityAlertsUnreadable."""
    hint = (
        f"Declare a check whose series is {SILENCES} in moneypath.yaml and run `moneypath generate`; "
        f"it writes {INTEGRITY_ALERTS_FILE} into the folder of alerts."
    )
    try:
        with file.open("rb") as reader:
            content = reader.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise IntegrityAlertsUnreadable(
            f"The integrity alerts cannot be read: {file} ({error.strerror}).", hint=hint
        ) from error
    if len(content) > FILE_BYTES_MAX:
        raise IntegrityAlertsUnreadable(f"{file} has more than {FILE_BYTES_MAX} bytes.", hint=hint)
    try:
        document = _Document.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise IntegrityAlertsUnreadable(
            f"{file} does not hold integrity alerts: {place}: {first['msg']}.", hint=hint
        ) from error
    alerts = {
        name: {label: tuple(values) for label, values in labels.items()}
        for name, labels in document.alerts.items()
    }
    return IntegrityAlerts(document.check, document.watchdog, alerts)


def _instances(path: MoneyPath, check: Check) -> Mapping[str, tuple[str, ...]]:
    # The gauges of a check have the same labels; an instance of its alert carries them.
    return path.known_metrics()[check.series[0]].labels


def _labels(rule: AlertRule, instances: Mapping[str, tuple[str, ...]]) -> LabelValues:
    return {**instances, **{label: (value,) for label, value in _with_name(rule).items()}}


def _with_name(rule: AlertRule) -> dict[str, str]:
    return {ALERT_NAME: rule.name, **rule.labels}
