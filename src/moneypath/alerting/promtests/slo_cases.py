"""The promtool cases of an objective's alerts."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.burn import Tier, threshold
from moneypath.alerting.conventions import MONEY_AT_RISK
from moneypath.alerting.leaf import Alert
from moneypath.alerting.promtests import ratio_cases
from moneypath.alerting.promtests.case import Case, Moment, flat, series
from moneypath.alerting.promtests.ratio_cases import FILLING_SECONDS, RatioAlert
from moneypath.alerting.promtests.traffic import Phase, routing, traffic
from moneypath.alerting.sli import HARD_DOWN_SECONDS, TRAFFIC_SECONDS, recorded
from moneypath.alerting.slo_alerts import TRAFFIC_HOLD_SECONDS
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, HardDown


def burn_cases(path: MoneyPath, slo: AvailabilitySlo, alert: Alert, tier: Tier) -> tuple[Case, ...]:
    """Return the cases of a burn alert."""
    provider, other = _providers(path)
    tested = RatioAlert(
        alert=alert,
        slo=slo,
        provider=provider,
        other=other,
        limit=threshold(slo, tier),
        onset_ratio=Fraction(slo.burn.detect_at_ratio),
        long_seconds=tier.long_seconds,
        short=recorded(slo, tier.short_seconds),
        floor=slo.traffic.min_events,
    )
    return ratio_cases.cases(tested)


def hard_down_cases(
    path: MoneyPath, slo: AvailabilitySlo, alert: Alert, declared: HardDown
) -> tuple[Case, ...]:
    """Return the cases of a hard-down alert."""
    provider, other = _providers(path)
    tested = RatioAlert(
        alert=alert,
        slo=slo,
        provider=provider,
        other=other,
        limit=Fraction(declared.bad_share),
        onset_ratio=Fraction(1),
        long_seconds=HARD_DOWN_SECONDS,
        short=recorded(slo, HARD_DOWN_SECONDS),
        floor=declared.min_events,
    )
    return (*ratio_cases.cases(tested), *_few_events(tested), _priced(path, tested))


def traffic_cases(path: MoneyPath, slo: AvailabilitySlo) -> tuple[Case, ...]:
    """Return the cases of the alert of missing traffic."""
    return tuple(_traffic(path, slo))


def _providers(path: MoneyPath) -> tuple[str, str | None]:
    ids = path.provider_ids()
    return ids[0], ids[1] if len(ids) > 1 else None


def _few_events(tested: RatioAlert) -> Iterator[Case]:
    for title, factor, firing in (
        ("stays quiet while there are too few events to tell", Fraction(4, 5), ()),
        ("fires as soon as there are enough events", Fraction(3, 2), ({"provider": tested.provider},)),
    ):
        rate = tested.floor * factor / HARD_DOWN_SECONDS
        phase = Phase(FILLING_SECONDS, rate=rate, bad=Fraction(1))
        yield Case(title, traffic(tested.slo, tested.provider, phase), (Moment(FILLING_SECONDS, firing),))


def _priced(path: MoneyPath, tested: RatioAlert) -> Case:
    currency = path.reporting_currency
    seconds = FILLING_SECONDS
    at_risk = {series(MONEY_AT_RISK, reason="indeterminate", currency=currency): flat((123456, seconds))}
    money = f"Money at risk: 123456 minor units of {currency}; see the runbook."
    return Case(
        "says what it costs",
        traffic(tested.slo, tested.provider, Phase(seconds, bad=Fraction(1))) | at_risk,
        (Moment(seconds, ({"provider": tested.provider},), money),),
    )


def _traffic(path: MoneyPath, slo: AvailabilitySlo) -> Iterator[Case]:
    everyone = tuple({"provider": provider} for provider in sorted(path.provider_ids()))
    provider, rest = path.provider_ids()[0], path.provider_ids()[1:]
    alone = ({"provider": provider},)
    patience = TRAFFIC_SECONDS + TRAFFIC_HOLD_SECONDS
    total = 300 + patience + 60
    others: dict[str, str] = {}
    for name in rest:
        others |= traffic(slo, name, Phase(total))
    stopped = Phase(total - 300, rate=Fraction(0))
    yield Case(
        "fires when traffic stops, not before its hold is over, and for that provider alone",
        traffic(slo, provider, Phase(300), stopped) | others | routing(provider, (1, total)),
        (Moment(300), Moment(300 + patience - 30), Moment(300 + patience + 30, alone)),
    )
    per_second = Fraction(slo.traffic.min_events, TRAFFIC_SECONDS)
    for title, factor, firing in (
        ("fires just under the floor", Fraction(1, 2), alone),
        ("stays quiet over the floor", Fraction(4), ()),
    ):
        series = traffic(slo, provider, Phase(total, rate=per_second * factor)) | others
        yield Case(title, series | routing(provider, (1, total)), (Moment(total, firing),))
    yield Case(
        "stays quiet for a drained provider",
        traffic(slo, provider, Phase(300), stopped) | others | routing(provider, (1, 300), (0, total - 300)),
        (Moment(total),),
    )
    yield Case(
        "stays quiet for the time that a restored provider needs to get going",
        traffic(slo, provider, Phase(300, rate=Fraction(0)), Phase(total - 300))
        | others
        | routing(provider, (0, 300), (1, total - 300)),
        (Moment(300 + 30), Moment(total)),
    )
    yield Case("fires for every provider when all series are missing", {}, (Moment(total, everyone),))
    yield Case(
        "fires when the counters are gone but the provider is routed to",
        others | routing(provider, (1, total)),
        (Moment(total, alone),),
    )
    restarts = tuple(Phase(60, reset=True) for _ in range(total // 60))
    yield Case(
        "stays quiet while the counting process keeps restarting",
        traffic(slo, provider, *restarts) | others | routing(provider, (1, total)),
        (Moment(total // 60 * 60),),
    )
