"""Count the silences of each integrity alert."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from moneypath.alerting.silences.alertmanager import Alertmanager, FiringAlert, Silence
from moneypath.alerting.silences.integrity_alerts import ALERT_NAME, IntegrityAlerts
from moneypath.alerting.silences.matchers import can_mute

# Every Prometheus that sends adds labels of its own; two are usual.
VARIANTS_MAX: Final = 16


@dataclass(slots=True)
class SilenceReader:
    """Asks one Alertmanager which silences mute which integrity alert.

    It remembers the labels that Prometheus adds to every alert (`external_labels`), for the time in which
    Alertmanager was started again and no alert has arrived yet.
    """

    alertmanager: Alertmanager
    wanted: IntegrityAlerts
    _added: tuple[Mapping[str, str], ...] = field(default=({},), init=False)

    async def read(self) -> Mapping[str, tuple[Silence, ...]]:
        """Return the active silences of every integrity alert; raises SilencesUnknown.

        A silence is found by its matchers, whether or not the alert fires, and by what Alertmanager itself
        says of those that fire.
        """
        # First: a silence that ends in between is then said of an alert and no longer listed.
        firing = await self.alertmanager.alerts((self.wanted.watchdog_name, *self.wanted.alerts))
        silences = await self.alertmanager.active_silences()
        self._added = added_labels(self.wanted, firing) or self._added
        return {name: self._of(name, silences, firing) for name in self.wanted.alerts}

    def _of(
        self, name: str, silences: Sequence[Silence], firing: Sequence[FiringAlert]
    ) -> tuple[Silence, ...]:
        said: set[str] = set()
        for alert in firing:
            if alert.labels.get(ALERT_NAME) == name:
                said |= alert.silenced_by
        labels = self.wanted.alerts[name]
        variants = [
            {**{label: (value,) for label, value in added.items()}, **labels} for added in self._added
        ]
        return tuple(
            silence
            for silence in silences
            if silence.id in said or any(can_mute(silence.matchers, variant) for variant in variants)
        )


def added_labels(wanted: IntegrityAlerts, firing: Sequence[FiringAlert]) -> tuple[Mapping[str, str], ...]:
    """Return what each Prometheus adds to its alerts: what the watchdog carries besides its rule's labels."""
    found: list[Mapping[str, str]] = []
    for alert in firing:
        if alert.labels.get(ALERT_NAME) == wanted.watchdog_name:
            added = {label: value for label, value in alert.labels.items() if label not in wanted.watchdog}
            if added not in found:
                found.append(added)
    return tuple(found[:VARIANTS_MAX])
