"""Input series of payments: traffic in phases, each with a rate and a share of bad answers."""

from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.availability_sli import PAYMENTS, RESULTS
from moneypath.alerting.conventions import ROUTING
from moneypath.alerting.promtool_tests import series_traffic
from moneypath.alerting.promtool_tests.case import STEP_SECONDS, Segment, counter, gauge, series
from moneypath.path.objectives import AvailabilitySlo
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import AuthorizationResult, Cohort, Outcome, Traffic

# Events a second, many enough that no floor of events matters unless a case is about it.
BUSY = Fraction(1000)


@dataclass(frozen=True, slots=True)
class Phase:
    """Traffic for so many seconds at `rate` events a second, of which the share `bad` is bad."""

    seconds: int
    rate: Fraction = BUSY
    bad: Fraction = Fraction(0)
    reset: bool = False


def payments_name(
    job: str, slo: AvailabilitySlo, provider: str, outcome: str, traffic: Traffic = Traffic.LIVE
) -> str:
    """Return the series of payments of one outcome that `job` counts."""
    return series(
        PAYMENTS,
        operation=slo.operation,
        outcome=outcome,
        provider=provider,
        traffic=traffic.value,
        cohort=Cohort.CONTROL.value,
        job=job,
        instance=job,
    )


def results_name(job: str, catalogue: Catalogue, provider: str, result: str) -> str:
    """Return the series of authorizations of one result that `job` counts."""
    first = {label: known[0] for label, known in catalogue[RESULTS].labels.items()}
    return series(RESULTS, **{**first, "provider": provider, "result": result}, job=job)


def values(phases: tuple[Phase, ...], *, bad: bool) -> str:
    """Return the counter of the bad, or of the good, events of `phases`."""
    return counter(
        *(
            Segment(
                phase.rate * STEP_SECONDS * (phase.bad if bad else 1 - phase.bad), phase.seconds, phase.reset
            )
            for phase in phases
        )
    )


def payments(
    job: str,
    slo: AvailabilitySlo,
    provider: str,
    *phases: Phase,
    bad_outcome: str | None = None,
    kind: Traffic = Traffic.LIVE,
) -> dict[str, str]:
    """Return the series of good and bad payments at `provider`, or of the events that are counted instead."""
    if slo.counted:
        return series_traffic.events(
            job, slo.counted, provider, values(phases, bad=False), values(phases, bad=True)
        )
    return {
        payments_name(job, slo, provider, Outcome.SUCCEEDED, kind): values(phases, bad=False),
        payments_name(job, slo, provider, bad_outcome or slo.bad_outcomes[0], kind): values(phases, bad=True),
    }


def technical(
    job: str,
    slo: AvailabilitySlo,
    catalogue: Catalogue,
    provider: str,
    *phases: Phase,
    declined: bool = True,
) -> dict[str, str]:
    """Return technical declines as the bad events; without `declined` only canaries had them."""

    def name(outcome: str, kind: Traffic = Traffic.LIVE) -> str:
        return payments_name(job, slo, provider, outcome, kind)

    results = results_name(job, catalogue, provider, AuthorizationResult.TECHNICAL_DECLINE)
    own = {name(Outcome.SUCCEEDED): values(phases, bad=False)}
    if declined:
        own[name(Outcome.DECLINED)] = values(phases, bad=True)
    else:
        own[name(Outcome.DECLINED)] = values(tuple(_healthy(phases)), bad=True)
        own[name(Outcome.DECLINED, Traffic.CANARY)] = values(phases, bad=True)
    return {**own, results: values(phases, bad=True)}


def routing(job: str, provider: str, *spans: tuple[int | str, int]) -> dict[str, str]:
    """Return whether `provider` is routed to, as `job` says: 1 or 0 for so many seconds each."""
    name = series(ROUTING, provider=provider, job=job, instance=job)
    return {name: gauge(*spans)}


def _healthy(phases: tuple[Phase, ...]) -> list[Phase]:
    return [Phase(phase.seconds, phase.rate, Fraction(0), phase.reset) for phase in phases]
