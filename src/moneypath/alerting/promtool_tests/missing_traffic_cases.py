"""The promtool cases of missing traffic."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.promtool_tests.case import AlertsAt, Case
from moneypath.alerting.promtool_tests.traffic import Phase, payments, routing
from moneypath.alerting.recorded import TRAFFIC_SECONDS
from moneypath.alerting.slo_alerts import TRAFFIC_HOLD_SECONDS
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo


def traffic_missing_cases(path: MoneyPath, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield when too little traffic is an alert by itself."""
    everyone = tuple({"provider": provider} for provider in sorted(path.provider_ids()))
    provider, rest = path.provider_ids()[0], path.provider_ids()[1:]
    alone = ({"provider": provider},)
    patience = TRAFFIC_SECONDS + TRAFFIC_HOLD_SECONDS
    total = 300 + patience + 60
    others: dict[str, str] = {}
    for name in rest:
        others |= payments(slo, name, Phase(total))
    stopped = Phase(total - 300, rate=Fraction(0))
    yield Case(
        "fires when traffic stops, not before its hold is over, and for that provider alone",
        payments(slo, provider, Phase(300), stopped) | others | routing(provider, (1, total)),
        (AlertsAt(300), AlertsAt(300 + patience - 30), AlertsAt(300 + patience + 30, alone)),
    )
    per_second = Fraction(slo.traffic.min_events, TRAFFIC_SECONDS)
    for title, factor, firing in (
        ("fires just under the floor", Fraction(1, 2), alone),
        ("stays quiet over the floor", Fraction(4), ()),
    ):
        series = payments(slo, provider, Phase(total, rate=per_second * factor)) | others
        yield Case(title, series | routing(provider, (1, total)), (AlertsAt(total, firing),))
    yield Case(
        "stays quiet for a drained provider",
        payments(slo, provider, Phase(300), stopped) | others | routing(provider, (1, 300), (0, total - 300)),
        (AlertsAt(total),),
    )
    yield Case(
        "stays quiet for the time that a restored provider needs to get going",
        payments(slo, provider, Phase(300, rate=Fraction(0)), Phase(total - 300))
        | others
        | routing(provider, (0, 300), (1, total - 300)),
        (AlertsAt(300 + 30), AlertsAt(total)),
    )
    yield Case("fires for every provider when all series are missing", {}, (AlertsAt(total, everyone),))
    yield Case(
        "fires when the counters are gone but the provider is routed to",
        others | routing(provider, (1, total)),
        (AlertsAt(total, alone),),
    )
    restarts = tuple(Phase(60, reset=True) for _ in range(total // 60))
    yield Case(
        "stays quiet while the counting process keeps restarting",
        payments(slo, provider, *restarts) | others | routing(provider, (1, total)),
        (AlertsAt(total // 60 * 60),),
    )
