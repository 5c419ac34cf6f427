"""The metrics of the money path, each declared once."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import partial

from moneypath.telemetry.metric import MetricKind, MetricSpec, Unit
from moneypath.telemetry.vocabulary import (
    HTTP_METHODS,
    HTTP_STATUS_CODES,
    NO_PROVIDER,
    AuthorizationResult,
    Cohort,
    DropReason,
    IdempotencyResult,
    LedgerKind,
    LedgerOutcome,
    Operation,
    Outcome,
    Traffic,
)

# 1 ms to 10 s in steps of about two: a local write at one end, a provider's time-out at the other.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

Slots = Mapping[str, tuple[str, ...]]

_counter = partial(MetricSpec, kind=MetricKind.COUNTER, precreate=True)
_gauge = partial(MetricSpec, kind=MetricKind.GAUGE)
_histogram = partial(MetricSpec, kind=MetricKind.HISTOGRAM, unit=Unit.SECONDS, buckets=LATENCY_BUCKETS)


def _values(members: type[StrEnum]) -> tuple[str, ...]:
    return tuple(member.value for member in members)


def base_metrics(slots: Slots) -> Iterator[MetricSpec]:
    """Yield every metric with the vocabulary's values filled in; `slots` comes from `fill_slots`."""
    yield from _payment_metrics(slots)
    yield from _provider_metrics(slots)
    yield from _ledger_metrics(slots)
    yield from _integrity_metrics(slots)
    yield from _service_metrics(slots)


def _payment_metrics(slots: Slots) -> Iterator[MetricSpec]:
    operation, outcome = _values(Operation), _values(Outcome)
    yield _counter(
        name="moneypath_payments_total",
        help="Payment operations by their final outcome and the provider that gave the final answer.",
        labels={
            "operation": operation,
            "outcome": outcome,
            "provider": (*slots["providers"], NO_PROVIDER),
            "traffic": _values(Traffic),
            "cohort": _values(Cohort),
        },
        series_budget=4000,
    )
    yield _histogram(
        name="moneypath_payment_duration_seconds",
        help="Time from accepting a payment operation to its final outcome, time-outs included.",
        labels={"operation": operation, "outcome": outcome},
        series_budget=1200,
        precreate=True,
    )
    yield _gauge(
        name="moneypath_payments_in_flight",
        help="Payment operations that have begun and have no outcome yet.",
        labels={"operation": operation},
        series_budget=6,
    )
    yield _counter(
        name="moneypath_authorization_results_total",
        help="Final answers to authorizations as the issuer or the network classed them.",
        labels={
            "provider": slots["providers"],
            "method": slots["methods"],
            "scheme": slots["schemes"],
            "currency": slots["currencies"],
            "result": _values(AuthorizationResult),
        },
        series_budget=2000,
    )
    yield _counter(
        name="moneypath_idempotency_results_total",
        help="What the idempotency key of a state change turned out to be.",
        labels={"operation": operation, "result": _values(IdempotencyResult)},
        series_budget=30,
    )


def _provider_metrics(slots: Slots) -> Iterator[MetricSpec]:
    provider = {"provider": slots["providers"]}
    attempt = {**provider, "operation": _values(Operation), "outcome": _values(Outcome)}
    yield _counter(
        name="moneypath_provider_attempts_total",
        help="Requests sent to a provider, every retry counted.",
        labels=attempt,
        series_budget=840,
    )
    yield _histogram(
        name="moneypath_provider_request_duration_seconds",
        help="Time from sending a request to a provider to its answer or the time-out.",
        labels=attempt,
        series_budget=4000,
    )
    yield _gauge(
        name="moneypath_provider_circuit_open",
        help="1 while calls to the provider fail fast, else 0.",
        labels=provider,
        series_budget=20,
    )
    yield _gauge(
        name="moneypath_provider_routing_active",
        help="1 while new payments are routed to the provider, 0 while it is drained.",
        labels=provider,
        series_budget=20,
    )


def _ledger_metrics(slots: Slots) -> Iterator[MetricSpec]:
    write = {"kind": _values(LedgerKind), "outcome": _values(LedgerOutcome)}
    currency = {"currency": slots["currencies"]}
    provider = {"provider": slots["providers"]}
    yield _counter(
        name="moneypath_ledger_writes_total",
        help="Ledger transactions by what they wrote and how they ended.",
        labels=write,
        series_budget=20,
    )
    yield _histogram(
        name="moneypath_ledger_write_duration_seconds",
        help="Time of one ledger transaction, commit included.",
        labels=write,
        series_budget=600,
    )
    yield _gauge(
        name="moneypath_ledger_unbalanced_entries",
        help="Ledger entries whose lines do not sum to zero in the currency; has to be 0.",
        labels=currency,
        series_budget=200,
    )
    yield _gauge(
        name="moneypath_ledger_imbalance_minor_units",
        help="Sum of the absolute imbalances of all entries in the currency; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels=currency,
        series_budget=200,
    )
    yield _gauge(
        name="moneypath_captures_without_posting",
        help="Captures older than the settle deadline that no ledger entry accounts for; has to be 0.",
        labels=provider,
        series_budget=20,
    )
    yield _gauge(
        name="moneypath_postings_without_capture",
        help="Ledger entries older than the settle deadline that no capture explains; has to be 0.",
        labels=provider,
        series_budget=20,
    )


def _integrity_metrics(slots: Slots) -> Iterator[MetricSpec]:
    provider = {"provider": slots["providers"]}
    currency = {"currency": slots["currencies"]}
    check = {"check": slots["checks"]}
    yield _gauge(
        name="moneypath_indeterminate_payments",
        help="Operations sent to the provider whose outcome is not known yet.",
        labels=provider,
        series_budget=20,
    )
    yield _gauge(
        name="moneypath_indeterminate_minor_units",
        help="Money in operations whose outcome is not known yet.",
        unit=Unit.MINOR_UNITS,
        labels={**provider, **currency},
        series_budget=1000,
    )
    yield _gauge(
        name="moneypath_indeterminate_oldest_timestamp_seconds",
        help="When the oldest operation of unknown outcome began, Unix time; absent while there is none.",
        unit=Unit.SECONDS,
        labels=provider,
        series_budget=20,
    )
    yield _gauge(
        name="moneypath_duplicate_charges",
        help="Charges beyond the first for one merchant reference; has to be 0.",
    )
    yield _gauge(
        name="moneypath_duplicate_charge_minor_units",
        help="Money in charges beyond the first for one merchant reference; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels=currency,
        series_budget=200,
    )
    yield _gauge(
        name="moneypath_money_at_risk_minor_units",
        help="Money that is not accounted for, each amount under the first reason that fits.",
        unit=Unit.MINOR_UNITS,
        labels={"reason": slots["reasons"], **currency},
        series_budget=1000,
    )
    yield _gauge(
        name="moneypath_check_last_success_timestamp_seconds",
        help="When the integrity check last ran to its end, Unix time.",
        unit=Unit.SECONDS,
        labels=check,
        series_budget=50,
    )
    yield _gauge(
        name="moneypath_check_violations",
        help="Violations that the integrity check found in its last run; has to be 0.",
        labels=check,
        series_budget=50,
    )


def _service_metrics(slots: Slots) -> Iterator[MetricSpec]:
    yield _histogram(
        name="http_server_request_duration_seconds",
        help="Time from receiving an HTTP request to the end of its response.",
        labels={
            "http_request_method": HTTP_METHODS,
            "http_route": slots["routes"],
            "http_response_status_code": HTTP_STATUS_CODES,
        },
        series_budget=4000,
    )
    yield _counter(
        name="moneypath_telemetry_records_total",
        help="Records taken by the instrumentation.",
    )
    yield _counter(
        name="moneypath_telemetry_drops_total",
        help="Records the instrumentation refused; any of them is a defect in the calling code.",
        labels={"reason": _values(DropReason)},
        series_budget=20,
    )
    yield _counter(
        name="moneypath_telemetry_render_seconds_total",
        help="Time spent on rendering expositions.",
        unit=Unit.SECONDS,
    )
