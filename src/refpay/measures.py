"""Everything that the service counts, under domain terms; the only module that knows series names."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final, Protocol

from moneypath.telemetry import Catalogue, Recorder, TelemetryError, setup
from moneypath.telemetry.integrations.ledger import LedgerKind, LedgerOutcome, LedgerWrite
from moneypath.telemetry.tracing import NOOP_TRACER, Tracer
from refpay.costs import METHOD, CostModel
from refpay.errors import StartRefused
from refpay.settings import Settings

_SHARED: Final = (
    "moneypath_authorization_results_total",
    "moneypath_provider_attempts_total",
    "moneypath_provider_request_duration_seconds",
    "moneypath_ledger_writes_total",
    "moneypath_ledger_write_duration_seconds",
    "moneypath_cost_micro_units_total",
    "moneypath_captured_minor_units_total",
)
API_METRICS: Final = (
    "http_server_request_duration_seconds",
    "moneypath_payments_total",
    "moneypath_payment_duration_seconds",
    "moneypath_payments_in_flight",
    "moneypath_idempotency_results_total",
    "moneypath_provider_circuit_open",
    "moneypath_risk_decisions_total",
    "moneypath_risk_signals_total",
    "moneypath_requests_limited_total",
    "moneypath_card_data_refusals_total",
    "moneypath_webhooks_total",
    "moneypath_webhooks_unattributed_total",
    "moneypath_webhook_last_timestamp_seconds",
    *_SHARED,
)
# Gauges that are read from the database have this one exporter.
WORKER_METRICS: Final = (
    "moneypath_provider_routing_active",
    "moneypath_ledger_unbalanced_entries",
    "moneypath_ledger_imbalance_minor_units",
    "moneypath_merchant_debt_minor_units",
    "moneypath_captures_without_posting",
    "moneypath_postings_without_capture",
    "moneypath_indeterminate_payments",
    "moneypath_indeterminate_minor_units",
    "moneypath_indeterminate_oldest_timestamp_seconds",
    "moneypath_duplicate_charges",
    "moneypath_duplicate_charge_minor_units",
    "moneypath_money_at_risk_minor_units",
    "moneypath_check_last_success_timestamp_seconds",
    "moneypath_check_violations",
    "moneypath_ledger_probe_total",
    "moneypath_ledger_missing_writes",
    "moneypath_ledger_chain_breaks",
    "moneypath_audit_chain_breaks",
    "moneypath_durability_unsafe",
    "moneypath_reconciliation_watermark_timestamp_seconds",
    "moneypath_reconciliation_rows_total",
    "moneypath_reconciliation_breaks",
    "moneypath_reconciliation_break_minor_units",
    "moneypath_reconciliation_oldest_break_timestamp_seconds",
    "moneypath_settlement_due_timestamp_seconds",
    "moneypath_settlement_files_total",
    "moneypath_message_duration_seconds",
    "moneypath_queue_depth",
    "moneypath_queue_oldest_timestamp_seconds",
    "moneypath_dead_letters_total",
    "moneypath_dead_letter_depth",
    "moneypath_broker_writes_refused",
    "moneypath_disk_free_bytes",
    "moneypath_disk_fill_ratio",
    *_SHARED,
)
_MICRO_UNITS: Final = "moneypath_cost_micro_units_total"


class PaymentHandle(Protocol):
    """One payment operation being timed; finished exactly once."""

    def finish(self, outcome: str, provider: str = "none", fee_micro_units: float = 0) -> None:
        """Record how it ended, who gave the final answer, and the fee that was taken for it."""
        ...


def make_recorder(settings: Settings, *, service: str, metrics: tuple[str, ...]) -> Recorder:
    """Return the recorder of one process, whose tracer has to be closed.

    Raises StartRefused for an unusable catalogue file, or for tracing without OpenTelemetry.
    """
    tracer = _make_tracer(settings, service=service)
    try:
        catalogue = Catalogue.load(settings.catalogue_file)
        return setup(catalogue, service=service, metrics=metrics, tracer=tracer)
    except TelemetryError as problem:
        raise StartRefused(str(problem).replace("\n", " ")) from problem


def _make_tracer(settings: Settings, *, service: str) -> Tracer:
    if settings.otlp_url is None:
        return NOOP_TRACER
    endpoint = f"{settings.otlp_url}/v1/traces"
    try:
        # Only here: the service runs without OpenTelemetry as long as nobody asks for it.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from moneypath.telemetry.tracing.otel import OtelSpans
    except ImportError as problem:
        raise StartRefused(
            "REFPAY_OTLP_URL is set, but OpenTelemetry is not installed: "
            "install moneypath[otel], or unset it."
        ) from problem
    return Tracer(OtelSpans(lambda: OTLPSpanExporter(endpoint=endpoint), service=service))


class ServiceMetrics:
    """Counts for one process; what its recorder does not hold is not counted, and never an error.

    Without `costs` no fee is counted.
    """

    def __init__(self, recorder: Recorder, costs: CostModel | None = None) -> None:
        self.recorder = recorder
        self.tracer = recorder.tracer
        self._costs = costs
        self._held = frozenset(recorder.metrics)
        self._attempt_seconds = recorder.histogram("moneypath_provider_request_duration_seconds")
        circuits = "moneypath_provider_circuit_open"
        self._circuits = recorder.gauge(circuits) if circuits in self._held else None

    def now(self) -> float:
        """Return the instant of an arrival, for `since`."""
        return self.recorder.now()

    def payment(self, operation: str, traffic: str, *, since: float) -> AbstractContextManager[PaymentHandle]:
        """Time one payment operation from its arrival to its outcome."""
        return self.recorder.payment(operation, traffic=traffic, since=since)

    def count_payment(
        self, operation: str, traffic: str, outcome: str, provider: str = "none", *, since: float
    ) -> None:
        """Count and time an operation that ended before it began: refused, shed, or no database.

        Timed too, or an outage of the database would make the latency look better.
        """
        seconds = self.recorder.now() - since
        self.recorder.begin(operation, traffic).finish(seconds, outcome, provider)

    def count_key(self, operation: str, result: str) -> None:
        """Count what an idempotency key turned out to be."""
        self._count("moneypath_idempotency_results_total", operation=operation, result=result)

    def count_authorization(self, *, provider: str, scheme: str, currency: str, result: str) -> None:
        """Count a definitive authorization result."""
        name = "moneypath_authorization_results_total"
        self._count(name, provider=provider, method=METHOD, scheme=scheme, currency=currency, result=result)

    def count_risk(self, *, blocked: bool, rule: str | None) -> None:
        """Count what risk decided about an authorization, and the signal if a rule gave one."""
        self._count("moneypath_risk_decisions_total", decision="blocked" if blocked else "allowed")
        if rule is not None:
            self._count("moneypath_risk_signals_total", rule=rule)

    def count_limited(self, limit: str) -> None:
        """Count a request refused because a share of the rate was used up."""
        self._count("moneypath_requests_limited_total", limit=limit)

    def count_card_data(self, place: str) -> None:
        """Count a request that was refused because it contained a card number."""
        self._count("moneypath_card_data_refusals_total", place=place)

    def count_webhook(self, provider: str, result: str, *, at: datetime | None = None) -> None:
        """Count what became of a provider's notification; `at` is when it came, if it was the provider's."""
        self._count("moneypath_webhooks_total", provider=provider, result=result)
        last = "moneypath_webhook_last_timestamp_seconds"
        if at is not None and last in self._held:
            self.recorder.gauge(last).set(at.timestamp(), provider=provider)

    def count_unattributed(self, provider: str, reason: str) -> None:
        """Count a refused webhook of a stranger, sent in a provider's name."""
        self._count("moneypath_webhooks_unattributed_total", provider=provider, reason=reason)

    def observe_attempt(self, *, provider: str, operation: str, outcome: str, seconds: float) -> None:
        """Count and time one request to a provider."""
        name = "moneypath_provider_attempts_total"
        self._count(name, provider=provider, operation=operation, outcome=outcome)
        self._attempt_seconds.observe(seconds, provider=provider, operation=operation, outcome=outcome)

    def ledger_write(
        self, kind: LedgerKind | None, outcomes: Mapping[type[BaseException], LedgerOutcome]
    ) -> LedgerWrite:
        """Count and time one ledger transaction, COMMIT included. Without a kind, count nothing."""
        return LedgerWrite(self.recorder, kind=kind, outcomes=outcomes)

    def fee_micro_units(self, *, provider: str, currency: str, amount_minor: int) -> int:
        """Return what a provider takes for one captured payment, 0 without a cost model."""
        if self._costs is None:
            return 0
        fee = self._costs.fee_minor(provider, METHOD, currency, amount_minor)
        return self._costs.to_micro_units(currency, fee)

    def count_captured(self, *, provider: str, currency: str, amount_minor: int) -> None:
        """Count the money of one posted capture; once, after its COMMIT."""
        name = "moneypath_captured_minor_units_total"
        self._count(name, amount_minor, provider=provider, currency=currency)

    def count_unrecorded_fee(self, *, provider: str, currency: str, amount_minor: int) -> None:
        """Count the fee of a capture that no payment record of this process takes; once, after its COMMIT."""
        fee = self.fee_micro_units(provider=provider, currency=currency, amount_minor=amount_minor)
        if fee:
            self._count(_MICRO_UNITS, fee, component="provider_fee", provider=provider)

    def count_capacity(self, *, component: str, micro_units: int) -> None:
        """Count what provisioned capacity cost in the time that passed."""
        self._count(_MICRO_UNITS, micro_units, component=component, provider="none")

    def set_circuit(self, provider: str, *, opened: bool) -> None:
        """Export whether the circuit breaker of a provider is open, so that calls fail at once."""
        if self._circuits is not None:
            self._circuits.set(int(opened), provider=provider)

    def count_rows(self, provider: str, *, matched: int, broken: int) -> None:
        """Count rows on which ledger and settlement report agree, and those on which they differ."""
        rows = "moneypath_reconciliation_rows_total"
        self._count(rows, matched, provider=provider, result="matched")
        self._count(rows, broken, provider=provider, result="broken")

    def count_report(self, provider: str, state: str) -> None:
        """Count what became of a settlement report."""
        self._count("moneypath_settlement_files_total", provider=provider, result=state)

    def _count(self, name: str, amount: int = 1, **labels: str) -> None:
        if name in self._held:
            self.recorder.counter(name).inc(amount, **labels)


def show_check(recorder: Recorder, check: str, violations: int, at: datetime) -> None:
    """Show how an integrity check that succeeded at an instant ended, if the money path declares it."""
    found = recorder.gauge("moneypath_check_violations")
    if check in found.spec.labels["check"]:
        found.set(violations, check=check)
        succeeded = recorder.gauge("moneypath_check_last_success_timestamp_seconds")
        succeeded.set(at.timestamp(), check=check)
