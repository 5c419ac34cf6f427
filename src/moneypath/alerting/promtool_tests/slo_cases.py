"""The test cases of an objective's alerts."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.baseline import api_job, worker_job
from moneypath.alerting.burn import TIERS, Tier, threshold
from moneypath.alerting.promtool_tests import availability_cases, events_cases, latency_cases
from moneypath.alerting.promtool_tests.case import Case
from moneypath.alerting.promtool_tests.missing_traffic_cases import traffic_missing_cases
from moneypath.alerting.promtool_tests.ratio_alert import RatioAlert
from moneypath.alerting.promtool_tests.ratio_alert_cases import (
    broken_input_cases,
    onset_cases,
    recovery_cases,
)
from moneypath.alerting.recorded import HARD_DOWN_SECONDS, recorded
from moneypath.alerting.rules import AlertRule
from moneypath.alerting.slo_alerts import detected_ratio, evidence_events, hard_down_name
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, HardDown, LatencySlo, Slo
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER


def slo_cases(path: MoneyPath, slo: Slo, alert: AlertRule, catalogue: Catalogue) -> Iterator[Case]:
    """Yield the cases of `alert`, one of the alerts of `slo`."""
    if "tier" in alert.labels:
        tier = next(tier for tier in TIERS.values() if tier.id == alert.labels["tier"])
        yield from _ratio_cases(_burn_alert(path, slo, tier, catalogue))
    elif isinstance(slo, AvailabilitySlo) and slo.hard_down and alert.name == hard_down_name(path, slo):
        tested = _hard_down_alert(path, slo, slo.hard_down, catalogue)
        yield from _ratio_cases(tested)
        yield from availability_cases.few_events_cases(tested)
        yield availability_cases.money_at_risk_case(path, tested)
    elif isinstance(slo, AvailabilitySlo) and slo.traffic:
        yield from traffic_missing_cases(path, slo, slo.traffic)


def _ratio_cases(tested: RatioAlert) -> Iterator[Case]:
    yield from onset_cases(tested)
    yield from _counting_cases(tested)
    yield from broken_input_cases(tested)
    if tested.is_kept_apart:
        yield from availability_cases.drained_cases(tested)
    yield from recovery_cases(tested)


def _counting_cases(tested: RatioAlert) -> Iterator[Case]:
    slo = tested.slo
    if isinstance(slo, AvailabilitySlo):
        yield from availability_cases.counting_cases(tested, slo)
    elif isinstance(slo, LatencySlo):
        yield from latency_cases.counting_cases(tested, slo)
        yield from latency_cases.quantile_cases(tested, slo)
    else:
        yield from events_cases.counting_cases(tested, slo)


def _burn_alert(path: MoneyPath, slo: Slo, tier: Tier, catalogue: Catalogue) -> RatioAlert:
    return RatioAlert(
        slo=slo,
        job=api_job(path),
        worker=worker_job(path),
        catalogue=catalogue,
        providers=_providers(path, slo),
        limit=threshold(slo, tier),
        onset_ratio=detected_ratio(slo.burn) if slo.burn else Fraction(1),
        long_seconds=tier.long_seconds,
        short=recorded(slo, tier.short_seconds),
        floor=evidence_events(slo),
    )


def _hard_down_alert(
    path: MoneyPath, slo: AvailabilitySlo, declared: HardDown, catalogue: Catalogue
) -> RatioAlert:
    return RatioAlert(
        slo=slo,
        job=api_job(path),
        worker=worker_job(path),
        catalogue=catalogue,
        providers=_providers(path, slo),
        limit=Fraction(declared.bad_share),
        onset_ratio=Fraction(1),
        long_seconds=HARD_DOWN_SECONDS,
        short=recorded(slo, HARD_DOWN_SECONDS),
        floor=declared.min_events,
    )


def _providers(path: MoneyPath, slo: Slo) -> tuple[str, ...]:
    """Return the providers whose events an objective counts, or `none`."""
    if isinstance(slo, AvailabilitySlo) and slo.counted and slo.counted.providers:
        return tuple(provider for provider, _ in slo.counted.providers)
    return path.provider_ids() or (NO_PROVIDER,)
