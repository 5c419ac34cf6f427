"""The facts of each alert: roles, links, and the worst case from the fault to the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from moneypath.alerting import rule_groups
from moneypath.alerting.burn import TIERS, threshold, window_seconds
from moneypath.alerting.check_alerts import STALE_HOLD_SECONDS, TARGET_HOLD_SECONDS, TARGET_UP
from moneypath.alerting.conventions import target_down_name
from moneypath.alerting.errors import AlertImpossible
from moneypath.alerting.recorded import HARD_DOWN_SECONDS, TRAFFIC_SECONDS
from moneypath.alerting.rules import AlertRule, decimal_text, hold, window
from moneypath.alerting.slo_alerts import (
    TRAFFIC_HOLD_SECONDS,
    burn_name,
    detected_ratio,
    hard_down_name,
    traffic_missing_name,
)
from moneypath.alerting.timing import Scale
from moneypath.path.guards import AgeGuard, AnyGuard, DeadlineGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, Slo

_Key: TypeAlias = tuple[str, str, str | None]
"""Name, SLO or check, and tier of an alert rule."""


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert rule. `subject` is the id of its objective, check or guard.

    `detect_within_seconds` is the worst case from the fault to the page, for steady traffic that was healthy
    before: the window's part, a scrape, two evaluations, `for` and the group wait. For an alert on a ratio it
    holds for `error_ratio`. It is None for the watchdog, which detects by silence.
    """

    name: str
    severity: str
    roles: tuple[str, ...]
    runbook: str
    dashboard: str
    subject: str
    stage: str
    tier: str | None
    detect_within_seconds: Fraction | None
    error_ratio: Fraction | None = None


@dataclass(frozen=True, slots=True)
class _Detection:
    seconds: Fraction
    ratio: Fraction | None = None
    budget_seconds: int | None = None


def describe(path: MoneyPath, scale: Scale) -> list[AlertFacts]:
    """Return the facts of every alert rule at `scale`, in the order of the rule file.

    Raises AlertImpossible when a threshold can never be reached.
    """
    detections = dict(_detections(path, scale))
    return [_facts(alert, detections) for alert in rule_groups.alerts(rule_groups.build(path))]


def check_budgets(path: MoneyPath) -> None:
    """Raise AlertImpossible for an alert that takes longer in production than its `detect_within_seconds`."""
    for (name, _, tier), detection in _detections(path, Scale(1)):
        budget = detection.budget_seconds
        if budget is not None and detection.seconds > budget:
            raise AlertImpossible(
                f"{name}{f' ({tier})' if tier else ''}: detect_within_seconds is {budget}, "
                f"but the worst case is {decimal_text(detection.seconds)} s",
                hint="Raise detect_within_seconds, or ask for the detection of a higher error ratio.",
            )


def _facts(alert: AlertRule, detections: dict[_Key, _Detection]) -> AlertFacts:
    tier = alert.labels.get("tier")
    source = alert.source
    detection = detections.get((alert.name, source.subject, tier))
    return AlertFacts(
        name=alert.name,
        severity=alert.labels["severity"],
        roles=source.roles,
        runbook=source.runbook,
        dashboard=source.dashboard,
        subject=source.subject,
        stage=source.stage,
        tier=tier,
        detect_within_seconds=detection.seconds if detection else None,
        error_ratio=detection.ratio if detection else None,
    )


def _detections(path: MoneyPath, scale: Scale) -> Iterator[tuple[_Key, _Detection]]:
    delay = scale.timing.delay_seconds
    for slo in path.slos:
        yield from _burn_detections(path, slo, scale)
        if isinstance(slo, AvailabilitySlo):
            yield from _availability_detections(path, slo, scale)
    for check in path.checks:
        yield (check.alerts.violated, check.id, None), _Detection(delay)
        stale = _span(scale, check.stale_after_seconds) + scale.apply(hold(STALE_HOLD_SECONDS, "hold"))
        yield (check.alerts.stale, check.id, None), _Detection(delay + stale)
    for guard in path.guards:
        seconds = max(_span(scale, each) for each in _patience(guard))
        detection = _Detection(delay + seconds, budget_seconds=guard.detect_within_seconds)
        yield (guard.alert, guard.id, None), detection
    # A process that hangs is found down later than one that is gone: only when its scrape times out.
    down = scale.timing.hanging_scrape_seconds + scale.apply(hold(TARGET_HOLD_SECONDS, "hold"))
    yield (target_down_name(path), TARGET_UP, None), _Detection(delay + down)


def _patience(guard: AnyGuard) -> tuple[int, ...]:
    """Return how long each cause of the alert takes, in seconds: over the limit, and without evidence."""
    if isinstance(guard, IncreaseGuard | RatioGuard):
        # The fault may be just strong enough, so that it has to fill the window.
        return (guard.window_seconds,)
    missing = (guard.evidence.missing_after_seconds,) if guard.evidence else ()
    if isinstance(guard, AgeGuard):
        return (guard.older_than_seconds, *missing)
    return (guard.grace_seconds if isinstance(guard, DeadlineGuard) else 0, *missing)


def _availability_detections(
    path: MoneyPath, slo: AvailabilitySlo, scale: Scale
) -> Iterator[tuple[_Key, _Detection]]:
    delay = scale.timing.delay_seconds
    if slo.hard_down:
        share, total = Fraction(slo.hard_down.bad_share), Fraction(1)
        seconds = window_seconds(share, _span(scale, HARD_DOWN_SECONDS), total)
        budget = slo.hard_down.detect_within_seconds
        yield (hard_down_name(path, slo), slo.id, None), _Detection(delay + seconds, total, budget)
    if slo.traffic:
        silence = _span(scale, TRAFFIC_SECONDS) + scale.apply(hold(TRAFFIC_HOLD_SECONDS, "hold"))
        yield (traffic_missing_name(path, slo), slo.id, None), _Detection(delay + silence)


def _burn_detections(path: MoneyPath, slo: Slo, scale: Scale) -> Iterator[tuple[_Key, _Detection]]:
    burn = slo.burn
    if burn is None:
        return
    ratio = detected_ratio(burn)
    for tier_id in burn.tiers:
        tier = TIERS[tier_id]
        limit = threshold(slo, tier)
        seconds = max(
            window_seconds(limit, _span(scale, span), ratio)
            for span in (tier.long_seconds, tier.short_seconds)
        )
        # The promise is that of the fastest tier; the slower ones are there for smaller ratios.
        promise = burn.detect_within_seconds if tier_id is burn.tiers[0] else None
        detection = _Detection(scale.timing.delay_seconds + seconds, ratio, promise)
        yield (burn_name(path, slo), slo.id, tier_id.value), detection


def _span(scale: Scale, seconds: int) -> Fraction:
    return scale.apply(window(seconds, "span"))
