"""The metrics of payments, providers, the ledger, integrity checks and HTTP requests."""

from collections.abc import Iterator

from moneypath.telemetry.catalogue.business_metrics import business_metrics
from moneypath.telemetry.catalogue.declaring import Vocabulary, counter, gauge, histogram, values
from moneypath.telemetry.catalogue.metric import Merge, MetricSpec, Unit
from moneypath.telemetry.catalogue.operational_metrics import operational_metrics
from moneypath.telemetry.catalogue.vocabulary import (
    HTTP_METHODS,
    HTTP_STATUS_CODES,
    NO_PROVIDER,
    AuthorizationResult,
    DropReason,
    IdempotencyResult,
    LedgerKind,
    LedgerOutcome,
    Outcome,
    RateLimit,
    RequestPart,
)


def base_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    """Yield every metric with its label values filled in. `vocabulary` comes from `complete_vocabulary`."""
    yield from _payment_metrics(vocabulary)
    yield from _provider_metrics(vocabulary)
    yield from _ledger_metrics(vocabulary)
    yield from _integrity_metrics(vocabulary)
    yield from business_metrics(vocabulary)
    yield from operational_metrics(vocabulary)
    yield from _service_metrics(vocabulary)


def _payment_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    operation, outcome = vocabulary["operations"], values(Outcome)
    yield counter(
        name="moneypath_payments_total",
        help="Payment operations by their final outcome and the provider that gave the final answer.",
        labels={
            "operation": operation,
            "outcome": outcome,
            "provider": (*vocabulary["providers"], NO_PROVIDER),
            "traffic": vocabulary["traffic"],
            "cohort": vocabulary["cohorts"],
        },
    )
    yield histogram(
        name="moneypath_payment_duration_seconds",
        help="Time from accepting a payment operation to its final outcome, time-outs included.",
        labels={"operation": operation, "outcome": outcome},
        precreate=True,
    )
    yield gauge(
        name="moneypath_payments_in_flight",
        help="Payment operations that have begun and have no outcome yet.",
        labels={"operation": operation},
    )
    yield counter(
        name="moneypath_authorization_results_total",
        help="Final answers to authorizations as the issuer or the network classed them.",
        labels={
            "provider": vocabulary["providers"],
            "method": vocabulary["methods"],
            "scheme": vocabulary["schemes"],
            "currency": vocabulary["currencies"],
            "result": values(AuthorizationResult),
        },
    )
    yield counter(
        name="moneypath_idempotency_results_total",
        help="What the idempotency key of a state change turned out to be.",
        labels={"operation": operation, "result": values(IdempotencyResult)},
    )


def _provider_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    provider = {"provider": vocabulary["providers"]}
    attempt = {**provider, "operation": vocabulary["operations"], "outcome": values(Outcome)}
    yield counter(
        name="moneypath_provider_attempts_total",
        help="Requests sent to a provider, every retry counted.",
        labels=attempt,
    )
    yield histogram(
        name="moneypath_provider_request_duration_seconds",
        help="Time from sending a request to a provider to its answer or the time-out.",
        labels=attempt,
    )
    yield gauge(
        name="moneypath_provider_circuit_open",
        help="1 while calls to the provider fail fast, else 0.",
        labels=provider,
        # Each worker has a breaker of its own; one open breaker must show.
        merge=Merge.MAX,
    )
    yield gauge(
        name="moneypath_provider_routing_active",
        help="1 while new payments are routed to the provider, 0 while it is drained.",
        labels=provider,
    )


def _ledger_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    write = {"kind": values(LedgerKind), "outcome": values(LedgerOutcome)}
    currency = {"currency": vocabulary["currencies"]}
    provider = {"provider": vocabulary["providers"]}
    yield counter(
        name="moneypath_ledger_writes_total",
        help="Ledger transactions by what they wrote and how they ended.",
        labels=write,
    )
    yield histogram(
        name="moneypath_ledger_write_duration_seconds",
        help="Time of one ledger transaction, commit included.",
        labels=write,
    )
    yield gauge(
        name="moneypath_ledger_unbalanced_entries",
        help="Ledger entries whose lines do not sum to zero in the currency; has to be 0.",
        labels=currency,
    )
    yield gauge(
        name="moneypath_ledger_imbalance_minor_units",
        help="Sum of the absolute imbalances of all entries in the currency; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels=currency,
    )
    yield gauge(
        name="moneypath_captures_without_posting",
        help="Moved money older than the outcome deadline that no ledger entry accounts for; has to be 0.",
        labels=provider,
    )
    yield gauge(
        name="moneypath_postings_without_capture",
        help="Ledger entries older than the outcome deadline that no capture explains; has to be 0.",
        labels=provider,
    )


def _integrity_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    provider = {"provider": vocabulary["providers"]}
    currency = {"currency": vocabulary["currencies"]}
    check = {"check": vocabulary["checks"]}
    yield gauge(
        name="moneypath_indeterminate_payments",
        help="Operations sent to the provider whose outcome is not known yet.",
        labels=provider,
    )
    yield gauge(
        name="moneypath_indeterminate_minor_units",
        help="Money in operations whose outcome is not known yet.",
        unit=Unit.MINOR_UNITS,
        labels={**provider, **currency},
    )
    yield gauge(
        name="moneypath_indeterminate_oldest_timestamp_seconds",
        help="When the oldest operation of unknown outcome began, Unix time; absent while there is none.",
        unit=Unit.SECONDS,
        labels=provider,
    )
    yield gauge(
        name="moneypath_duplicate_charges",
        help="Charges beyond the first for one merchant reference; has to be 0.",
    )
    yield gauge(
        name="moneypath_duplicate_charge_minor_units",
        help="Money in charges beyond the first for one merchant reference; has to be 0.",
        unit=Unit.MINOR_UNITS,
        labels=currency,
    )
    yield gauge(
        name="moneypath_money_at_risk_minor_units",
        help="Money that is not accounted for, each amount under the first reason that fits.",
        unit=Unit.MINOR_UNITS,
        labels={"reason": vocabulary["reasons"], **currency},
    )
    yield gauge(
        name="moneypath_check_last_success_timestamp_seconds",
        help="When the integrity check last ran to its end, Unix time.",
        unit=Unit.SECONDS,
        labels=check,
    )
    yield gauge(
        name="moneypath_check_violations",
        help="Violations that the integrity check found in its last run; has to be 0.",
        labels=check,
    )


def _service_metrics(vocabulary: Vocabulary) -> Iterator[MetricSpec]:
    yield histogram(
        name="http_server_request_duration_seconds",
        help="Time from receiving an HTTP request to the end of its response.",
        labels={
            "http_request_method": HTTP_METHODS,
            "http_route": vocabulary["routes"],
            "http_response_status_code": HTTP_STATUS_CODES,
        },
        series_budget=4000,
    )
    yield counter(
        name="moneypath_requests_limited_total",
        help="Requests refused with 429, by whose share of the rate was used up.",
        labels={"limit": values(RateLimit)},
    )
    yield counter(
        name="moneypath_card_data_refusals_total",
        help="Requests refused because a card number stood in them, by where it stood.",
        labels={"place": values(RequestPart)},
    )
    yield counter(
        name="moneypath_telemetry_records_total",
        help="Records taken by the instrumentation.",
    )
    yield counter(
        name="moneypath_telemetry_drops_total",
        help="Records refused and spans or exports lost, by reason; each is a defect or an outage of ours.",
        labels={"reason": values(DropReason)},
    )
    yield counter(
        name="moneypath_telemetry_render_seconds_total",
        help="Time spent on rendering expositions.",
        unit=Unit.SECONDS,
    )
    yield counter(
        name="moneypath_telemetry_render_bytes_total",
        help="Size of the expositions rendered.",
        unit=Unit.BYTES,
    )
