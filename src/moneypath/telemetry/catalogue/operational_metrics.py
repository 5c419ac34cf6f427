"""The metrics of SQL checks, webhooks, disks, certificates, clocks and drills."""

from collections.abc import Iterator

from moneypath.telemetry.catalogue.declaring import Vocabulary, counter, gauge, values
from moneypath.telemetry.catalogue.metric import Merge, MetricSpec, Unit
from moneypath.telemetry.catalogue.vocabulary import (
    CheckRunOutcome,
    Disk,
    UnattributedReason,
    WebhookResult,
)


def operational_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    """Yield the metrics with the label values of `vocabulary`. The service fills in those that are empty."""
    yield from _sql_check_metrics(vocabulary)
    yield from _webhook_metrics(vocabulary)
    yield from _platform_metrics(vocabulary)
    yield from _silence_metrics(vocabulary)
    yield from _drill_metrics(vocabulary)


def _sql_check_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    # A service without any such check has no series of them.
    check = {"check": vocabulary["sql_checks"]}
    checks = max(1, len(vocabulary["sql_checks"]))
    yield gauge(
        name="moneypath_check_violation_minor_units",
        help="Money in the violations that an SQL check found in its last run; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels={**check, "currency": vocabulary["currencies"]},
        series_budget=checks * len(vocabulary["currencies"]),
    )
    yield gauge(
        name="moneypath_check_unreadable_violations",
        help="Violations of an SQL check whose amount or currency cannot be read; counted as violations too.",
        labels=check,
        series_budget=checks,
    )
    yield gauge(
        name="moneypath_check_oldest_violation_timestamp_seconds",
        help="Since when the oldest violation of an SQL check exists, Unix time; absent if no row says it.",
        unit=Unit.SECONDS,
        labels=check,
        series_budget=checks,
    )
    yield counter(
        name="moneypath_check_runs_total",
        help="Runs of an SQL check by how they ended.",
        labels={**check, "outcome": values(CheckRunOutcome)},
        series_budget=checks * len(CheckRunOutcome),
    )


def _webhook_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    provider = {"provider": vocabulary["providers"]}
    yield counter(
        name="moneypath_webhooks_total",
        help="Notifications that providers sent us, by what became of them.",
        labels={**provider, "result": values(WebhookResult)},
    )
    yield counter(
        name="moneypath_webhooks_unattributed_total",
        help="Refused webhooks of strangers, who name no known key and come from no address of the provider.",
        labels={**provider, "reason": values(UnattributedReason)},
    )
    yield gauge(
        name="moneypath_webhook_last_timestamp_seconds",
        help="When the provider's last notification arrived, Unix time; the silence is now less this.",
        unit=Unit.SECONDS,
        labels=provider,
        # Any worker may have received it.
        merge=Merge.MAX,
    )


def _platform_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    yield gauge(
        name="moneypath_disk_free_bytes",
        help="What may still be written to the disk of this folder.",
        unit=Unit.BYTES,
        labels={"disk": values(Disk)},
    )
    yield gauge(
        name="moneypath_disk_fill_ratio",
        help="How full the disk is, 1 is full. Over 50 GiB only the last 50 count: at 0.9, 5 GiB are free.",
        unit=Unit.RATIO,
        labels={"disk": values(Disk)},
    )
    yield gauge(
        name="moneypath_certificate_expiry_timestamp_seconds",
        help="When the certificate is no longer valid, Unix time.",
        unit=Unit.SECONDS,
        labels={"name": vocabulary["certificates"]},
        series_budget=50,
    )
    yield gauge(
        name="moneypath_clock_offset_seconds",
        help="How far the peer's clock is ahead of ours; behind is negative.",
        unit=Unit.SECONDS,
        labels={"peer": vocabulary["peers"]},
        series_budget=50,
    )


def _silence_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    alert = {"alert": vocabulary["alerts"]}
    yield gauge(
        name="moneypath_integrity_alert_silences",
        help="Active silences that mute the integrity alert, or one of its instances; has to be 0.",
        labels=alert,
        series_budget=max(1, len(vocabulary["alerts"])),
    )
    yield gauge(
        name="moneypath_integrity_alert_silence_end_timestamp_seconds",
        help="When the last silence of the integrity alert ends, Unix time; absent while there is none.",
        unit=Unit.SECONDS,
        labels=alert,
        series_budget=max(1, len(vocabulary["alerts"])),
    )


def _drill_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    drill = {"drill": vocabulary["drills"]}
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
    yield gauge(
        name="moneypath_drill_time_to_detect_seconds",
        help="From the fault until the first alert on it, in the drill's last run.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
    yield gauge(
        name="moneypath_drill_time_to_page_seconds",
        help="From the fault until the first page about it, in the drill's last run.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
    yield gauge(
        name="moneypath_drill_time_to_acknowledge_seconds",
        help="From the fault until somebody took it, in the drill's last run.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
    yield gauge(
        name="moneypath_drill_time_to_mitigate_seconds",
        help="From the fault until the damage stopped growing, in the drill's last run.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
    yield gauge(
        name="moneypath_drill_time_to_restore_seconds",
        help="From the fault until all was as before, in the drill's last run.",
        unit=Unit.SECONDS,
        labels=drill,
        series_budget=100,
    )
