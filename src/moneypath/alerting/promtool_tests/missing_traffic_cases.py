"""The promtool cases of missing traffic."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.baseline import api_job, worker_job
from moneypath.alerting.promtool_tests.case import AlertsAt, Case
from moneypath.alerting.promtool_tests.traffic import Phase, payments, routing
from moneypath.alerting.recorded import TRAFFIC_SECONDS, kept_apart_by
from moneypath.alerting.slo_alerts import TRAFFIC_HOLD_SECONDS
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, Traffic
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

PATIENCE_SECONDS = TRAFFIC_SECONDS + TRAFFIC_HOLD_SECONDS


def traffic_missing_cases(path: MoneyPath, slo: AvailabilitySlo, floor: Traffic) -> Iterator[Case]:
    """Yield when too little traffic is an alert by itself."""
    tested = _Tested(path, slo, floor)
    yield from _stopped(tested)
    if tested.by:
        yield from _drained(tested)
    yield Case(
        "fires for every provider when all series are missing",
        {},
        (AlertsAt(tested.total, tested.everyone),),
    )
    yield Case(
        "fires when the counters are gone but the provider is routed to",
        tested.others | tested.routed((1, tested.total)),
        (AlertsAt(tested.total, tested.alone),),
    )
    restarts = tuple(Phase(60, reset=True) for _ in range(tested.total // 60))
    yield Case(
        "stays quiet while the counting process keeps restarting",
        tested.events(*restarts) | tested.others | tested.routed((1, tested.total)),
        (AlertsAt(tested.total // 60 * 60),),
    )


@dataclass(frozen=True, slots=True)
class _Tested:
    """The alert of an objective; where providers are kept apart, the first one loses its traffic."""

    path: MoneyPath
    slo: AvailabilitySlo
    floor: Traffic

    @property
    def by(self) -> str:
        """Return the label that providers are kept apart by, if they are."""
        return kept_apart_by(self.slo)

    @property
    def providers(self) -> tuple[str, ...]:
        """Return the providers that have traffic."""
        known = self.path.provider_ids() or (NO_PROVIDER,)
        return known if self.by else known[:1]

    @property
    def everyone(self) -> tuple[dict[str, str], ...]:
        """Return the instances that fire when nobody has traffic."""
        return tuple({self.by: provider} for provider in sorted(self.providers)) if self.by else ({},)

    @property
    def alone(self) -> tuple[dict[str, str], ...]:
        """Return the instance of the first provider."""
        return ({self.by: self.providers[0]},) if self.by else ({},)

    @property
    def total(self) -> int:
        """Return how many seconds a case takes."""
        return 300 + PATIENCE_SECONDS + 60

    @property
    def others(self) -> dict[str, str]:
        """Return the traffic of the other providers."""
        found: dict[str, str] = {}
        for name in self.providers[1:]:
            found |= payments(api_job(self.path), self.slo, name, Phase(self.total))
        return found

    def events(self, *phases: Phase) -> dict[str, str]:
        """Return the traffic of the first provider."""
        return payments(api_job(self.path), self.slo, self.providers[0], *phases)

    def routed(self, *spans: tuple[int | str, int]) -> dict[str, str]:
        """Return whether the first provider is routed to, if the alert reads it."""
        return routing(worker_job(self.path), self.providers[0], *spans) if self.by else {}


def _stopped(tested: _Tested) -> Iterator[Case]:
    total, others = tested.total, tested.others
    yield Case(
        "fires when traffic stops, not before its hold is over, and for that provider alone",
        tested.events(Phase(300), Phase(total - 300, rate=Fraction(0))) | others | tested.routed((1, total)),
        (
            AlertsAt(300),
            AlertsAt(300 + PATIENCE_SECONDS - 30),
            AlertsAt(300 + PATIENCE_SECONDS + 30, tested.alone),
        ),
    )
    per_second = Fraction(tested.floor.min_events, TRAFFIC_SECONDS)
    for title, factor, firing in (
        ("fires just under the floor", Fraction(1, 2), tested.alone),
        ("stays quiet over the floor", Fraction(4), ()),
    ):
        series = tested.events(Phase(total, rate=per_second * factor)) | others
        yield Case(title, series | tested.routed((1, total)), (AlertsAt(total, firing),))


def _drained(tested: _Tested) -> Iterator[Case]:
    total, others = tested.total, tested.others
    yield Case(
        "stays quiet for a drained provider",
        tested.events(Phase(300), Phase(total - 300, rate=Fraction(0)))
        | others
        | tested.routed((1, 300), (0, total - 300)),
        (AlertsAt(total),),
    )
    yield Case(
        "stays quiet for the time that a restored provider needs to get going",
        tested.events(Phase(300, rate=Fraction(0)), Phase(total - 300))
        | others
        | tested.routed((0, 300), (1, total - 300)),
        (AlertsAt(300 + 30), AlertsAt(total)),
    )
