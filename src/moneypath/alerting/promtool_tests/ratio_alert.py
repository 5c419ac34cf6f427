"""An objective's alert on its bad share, as its test cases see it."""

from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.promtool_tests import events_traffic, latency_traffic, traffic
from moneypath.alerting.promtool_tests.case import AlertsAt
from moneypath.alerting.promtool_tests.traffic import Phase
from moneypath.alerting.recorded import RecordedWindow, kept_apart_by
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, Slo
from moneypath.telemetry.catalogue import Catalogue

PERCENT = Fraction(1, 100)
# Constant traffic needs no longer before a case looks: a ratio does not wait for its window to fill.
FILLING_SECONDS = 120


@dataclass(frozen=True, slots=True)
class RatioAlert:
    """An alert on a share of bad events: fires above `limit`, ends on `floor` events in the short window.

    `providers` are those of the money path, or `none`; where they are kept apart, the first is at fault.
    `job` counts the events, `worker` says which provider is routed to.
    """

    slo: Slo
    job: str
    worker: str
    catalogue: Catalogue
    providers: tuple[str, ...]
    limit: Fraction
    onset_ratio: Fraction
    long_seconds: int
    short: RecordedWindow
    floor: int

    @property
    def short_seconds(self) -> int:
        """Return the short window."""
        return int(self.short.span.value)

    @property
    def strong(self) -> Fraction:
        """Return a share of bad events that is clearly too high."""
        return min(self.limit * 10, (1 + self.limit) / 2)

    @property
    def provider(self) -> str:
        """Return the provider at fault."""
        return self.providers[0]

    @property
    def is_kept_apart(self) -> bool:
        """Tell whether each provider has an alert of its own."""
        return bool(kept_apart_by(self.slo))

    @property
    def firing(self) -> dict[str, str]:
        """Return the labels of the instance that fires."""
        return {kept_apart_by(self.slo): self.provider} if self.is_kept_apart else {}

    def events(self, *phases: Phase) -> dict[str, str]:
        """Return the series of good and bad events, at the provider at fault."""
        if isinstance(self.slo, AvailabilitySlo):
            return traffic.payments(self.job, self.slo, self.provider, *phases)
        if isinstance(self.slo, LatencySlo):
            return latency_traffic.histogram(self.job, self.slo, self.catalogue, phases)
        return events_traffic.counters(self.job, self.slo, self.catalogue, phases)

    def healthy_neighbour(self, seconds: int) -> dict[str, str]:
        """Return healthy events of another provider, if there is one and providers are kept apart."""
        if not isinstance(self.slo, AvailabilitySlo) or not self.is_kept_apart or len(self.providers) < 2:
            return {}
        return traffic.payments(self.job, self.slo, self.providers[1], Phase(seconds))

    def routed(self, *spans: tuple[int | str, int]) -> dict[str, str]:
        """Return the routing state of the provider at fault, if the alert reads it."""
        return traffic.routing(self.worker, self.provider, *spans) if self.is_kept_apart else {}

    def quiet_at(self, seconds: int) -> AlertsAt:
        """Return that nothing fires."""
        return AlertsAt(seconds)

    def fires_at(self, seconds: int) -> AlertsAt:
        """Return that the alert fires, for the provider at fault alone."""
        return AlertsAt(seconds, (self.firing,))
