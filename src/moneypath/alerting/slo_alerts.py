"""The alerts of an objective: budget burn, and for availability also hard down and missing traffic.

Burn and hard down end on evidence only. Once firing, an alert holds itself through `ALERTS` until its
short window shows enough valid events with few enough bad ones. Silence does not end it.

Where providers are kept apart, the alert also reads whether the provider is routed to. A drained provider
gives no evidence, so its alert does not end. Nor does an alert begin for it: its last answers are the slow
ones, and those are the failures, so the bad share of an emptying window rises towards 1 although nobody
is harmed any more.
"""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting import everywhere
from moneypath.alerting.burn import TIERS, Tier, threshold
from moneypath.alerting.conventions import (
    alert_rule,
    expected_series,
    fires_until_recovered,
    while_firing,
)
from moneypath.alerting.recorded import (
    HARD_DOWN_SECONDS,
    TRAFFIC_SECONDS,
    kept_apart_by,
    live_words,
    recorded,
    series_stem,
)
from moneypath.alerting.rules import (
    AlertRule,
    AlertSource,
    RecordingRule,
    SubjectKind,
    count,
    expr,
    fixed,
    hold,
)
from moneypath.path.defaults import camel_case
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import DEFAULT_EVENTS, AvailabilitySlo, Burn, HardDown, Objective, Slo, Traffic
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Operation

TRAFFIC_HOLD_SECONDS = 300


def alerts(path: MoneyPath, slo: Slo) -> Iterator[AlertRule]:
    """Yield all alerts of `slo`; raises AlertImpossible for one that could never fire."""
    if isinstance(slo, AvailabilitySlo) and slo.hard_down:
        yield _hard_down(path, slo, slo.hard_down)
    for tier in slo.burn.tiers if slo.burn else ():
        yield _burn(path, slo, TIERS[tier])
    if isinstance(slo, AvailabilitySlo) and slo.traffic:
        yield _traffic_missing(path, slo, slo.traffic)


def recordings(slo: Slo) -> Iterator[RecordingRule]:
    """Yield the rules of what fails at every provider at once, for each window that an alert looks at."""
    if not isinstance(slo, AvailabilitySlo) or not kept_apart_by(slo):
        return
    if slo.hard_down:
        yield everywhere.recording(slo, recorded(slo, HARD_DOWN_SECONDS), Fraction(slo.hard_down.bad_share))
    for tier in (TIERS[each] for each in slo.burn.tiers) if slo.burn else ():
        yield everywhere.recording(slo, recorded(slo, tier.short_seconds), threshold(slo, tier))


def hard_down_name(path: MoneyPath, slo: AvailabilitySlo) -> str:
    """Return the name of the alert of a total outage: the prefix, and `AuthorizationHardDown`."""
    return f"{path.alerts.prefix}{camel_case(series_stem(slo))}HardDown"


def burn_name(path: MoneyPath, slo: Slo) -> str:
    """Return the name of the burn alert; raises ValueError if the objective has none."""
    if isinstance(slo, AvailabilitySlo):
        return f"{path.alerts.prefix}{camel_case(series_stem(slo))}BudgetBurn"
    if slo.burn is None:
        raise ValueError(f"no burn alert is declared: {slo.id}")
    return slo.burn.alert


def traffic_missing_name(path: MoneyPath, slo: AvailabilitySlo) -> str:
    """Return the name of the alert of missing traffic; authorization is where traffic arrives."""
    if slo.operation == Operation.AUTHORIZE:
        return f"{path.alerts.prefix}TrafficMissing"
    return f"{path.alerts.prefix}{camel_case(series_stem(slo))}TrafficMissing"


def detected_ratio(burn: Burn) -> Fraction:
    """Return the share of bad events at which a burn is to be detected: by default all of them."""
    return Fraction(1 if burn.detect_at_ratio is None else burn.detect_at_ratio)


def evidence_events(slo: Slo) -> int:
    """Return how many valid events in the short window are evidence that a burn has ended."""
    if isinstance(slo, AvailabilitySlo):
        return slo.traffic.min_events if slo.traffic else DEFAULT_EVENTS
    return slo.burn.min_events if slo.burn else 0


def _source(slo: Objective, *, roles: tuple[str, ...] = (), runbook: str = "") -> AlertSource:
    return AlertSource(
        kind=SubjectKind.SLO,
        subject=slo.id,
        stage=slo.stage,
        roles=roles or slo.roles,
        runbook=runbook or slo.runbook,
        dashboard=slo.dashboard,
    )


def _hard_down(path: MoneyPath, slo: AvailabilitySlo, declared: HardDown) -> AlertRule:
    by = kept_apart_by(slo)
    seen = recorded(slo, HARD_DOWN_SECONDS)
    share = fixed(declared.bad_share, "bad_share")
    enough = count(declared.min_events, "min_events")
    failing = everywhere.routed(
        slo, expr(f"{seen.ratio} > ", share, f"\n  and on ({by}) {seen.valid} >= ", enough), 2
    )
    well = expr(f"{seen.ratio} <= ", share, f"\n    and on ({by}) {seen.valid} >= ", enough)
    return alert_rule(
        path,
        _source(slo),
        name=hard_down_name(path, slo),
        expr=everywhere.as_ours(
            slo,
            seen,
            failing,
            fires_until_recovered(
                failing, while_firing(hard_down_name(path, slo), by), by, everywhere.routed(slo, well, 4)
            ),
        ),
        summary=f"{slo.title}: a provider is down" if by else f"{slo.title}: down",
        detail=_detail(slo, f"Most {live_words(slo)}", "fail"),
    )


def _burn(path: MoneyPath, slo: Slo, tier: Tier) -> AlertRule:
    by = kept_apart_by(slo)
    long, short = recorded(slo, tier.long_seconds), recorded(slo, tier.short_seconds)
    limit = fixed(threshold(slo, tier), "burn_threshold")
    enough = count(evidence_events(slo), "evidence_events")
    failing = everywhere.routed(
        slo, expr(f"{long.ratio} > ", limit, f"\n  and on ({by}) {short.ratio} > ", limit), 2
    )
    well = expr(f"{short.ratio} <= ", limit, f"\n    and on ({by}) {short.valid} >= ", enough)
    return alert_rule(
        path,
        _source(slo),
        name=burn_name(path, slo),
        expr=everywhere.as_ours(
            slo,
            short,
            failing,
            fires_until_recovered(
                failing,
                while_firing(burn_name(path, slo), by, tier=tier.id),
                by,
                everywhere.routed(slo, well, 4),
            ),
        ),
        labels={"tier": tier.id.value},
        summary=f"{slo.title}: the error budget burns",
        detail=_burn_detail(slo),
    )


def _burn_detail(slo: Slo) -> str:
    if isinstance(slo, AvailabilitySlo):
        return _detail(slo, sentence_case(live_words(slo)), "fail faster than the error budget allows")
    return f"{slo.title}: not kept, faster than the error budget allows."


def sentence_case(words: str) -> str:
    """Return `words` with a capital at the beginning."""
    return f"{words[:1].upper()}{words[1:]}"


def _detail(slo: AvailabilitySlo, what: str, how: str) -> str:
    """Return the sentence that names the provider, or says that it is none of them."""
    if not kept_apart_by(slo):
        return f"{what} {how}."
    ours = f"{what} {how}, on our own side or at every provider at once: drain nobody."
    theirs = f"{what} at {{{{ $labels.provider }}}} {how}."
    return f'{{{{ if eq $labels.provider "{NO_PROVIDER}" }}}}{ours}{{{{ else }}}}{theirs}{{{{ end }}}}'


def _traffic_missing(path: MoneyPath, slo: AvailabilitySlo, floor: Traffic) -> AlertRule:
    by = kept_apart_by(slo)
    seen = recorded(slo, TRAFFIC_SECONDS)
    detail = f"Hardly any {live_words(slo)} are seen."
    expected = expr("vector(", fixed(1, "one"), ")")
    if by:
        detail = f"{{{{ $labels.{by} }}}} is routed to, yet hardly any {live_words(slo)} are seen there."
        expected = expr(f"{expected_series(by)}\nunless on ({by}) ", everywhere.DRAINED)
    return alert_rule(
        path,
        _source(slo, roles=floor.roles, runbook=floor.runbook),
        name=traffic_missing_name(path, slo),
        expr=expr(
            expected,
            f"\nunless on ({by}) {seen.valid} >= ",
            count(floor.min_events, "traffic_floor"),
        ),
        summary=f"{slo.title}: traffic is missing",
        detail=detail,
        hold=hold(TRAFFIC_HOLD_SECONDS, "traffic_hold"),
    )
