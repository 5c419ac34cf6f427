"""The metrics of what stands around the money path: webhooks, certificates, clocks, and drills of it."""

from collections.abc import Iterator

from moneypath.telemetry.catalogue.declaring import Slots, counter, gauge, values
from moneypath.telemetry.catalogue.metric import Merge, MetricSpec, Unit
from moneypath.telemetry.catalogue.vocabulary import WebhookResult

_MILESTONES = {
    "detect": "the first alert on it",
    "page": "the first page about it",
    "acknowledge": "somebody took it",
    "mitigate": "the damage stopped growing",
    "restore": "all was as before",
}


def standing_metrics(slots: Slots) -> Iterator[MetricSpec]:
    """Yield them with the labels closed over `slots`; an empty slot is closed by the service."""
    yield from _webhook_metrics(slots)
    yield from _platform_metrics(slots)
    yield from _drill_metrics(slots)


def _webhook_metrics(slots: Slots) -> Iterator[MetricSpec]:
    provider = {"provider": slots["providers"]}
    yield counter(
        name="moneypath_webhooks_total",
        help="Notifications that providers sent us, by what became of them.",
        labels={**provider, "result": values(WebhookResult)},
        series_budget=80,
    )
    yield gauge(
        name="moneypath_webhook_last_timestamp_seconds",
        help="When the provider's last notification arrived, Unix time; the silence is now less this.",
        unit=Unit.SECONDS,
        labels=provider,
        series_budget=20,
        # Any worker may have taken it.
        merge=Merge.MAX,
    )


def _platform_metrics(slots: Slots) -> Iterator[MetricSpec]:
    yield gauge(
        name="moneypath_certificate_expiry_timestamp_seconds",
        help="When the certificate is no longer valid, Unix time.",
        unit=Unit.SECONDS,
        labels={"name": slots["certificates"]},
        series_budget=50,
    )
    yield gauge(
        name="moneypath_clock_offset_seconds",
        help="How far the peer's clock is ahead of ours; behind is negative.",
        unit=Unit.SECONDS,
        labels={"peer": slots["peers"]},
        series_budget=50,
    )


def _drill_metrics(slots: Slots) -> Iterator[MetricSpec]:
    drill = {"drill": slots["drills"]}
    yield gauge(
        name="moneypath_drill_score_ratio",
        help="How much of its promises the drill's last run kept, 0 to 1.",
        unit=Unit.RATIO,
        labels=drill,
        series_budget=100,
    )
    yield gauge(
        name="moneypath_drill_last_passed_timestamp_seconds",
        help="When the drill last passed, Unix time; absent if it never did.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
    for milestone, reached in _MILESTONES.items():
        yield gauge(
            name=f"moneypath_drill_time_to_{milestone}_seconds",
            help=f"From the fault until {reached}, in the drill's last run.",
            unit=Unit.SECONDS,
            labels=drill,
            series_budget=100,
        )
