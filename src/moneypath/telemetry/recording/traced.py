"""A recorder that also makes a span for each payment. It is used only with a tracer."""

from types import TracebackType
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER
from moneypath.telemetry.recording.handles import ANY_ERROR
from moneypath.telemetry.recording.payment_records import PaymentRecord
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.span_data import PROVIDER


class TracedRecorder(Recorder):
    """Records a service's metrics, and a span for each payment."""

    def payment(
        self,
        operation: str,
        traffic: str = "live",
        cohort: str = "control",
        since: float | None = None,
        provider: str = NO_PROVIDER,
    ) -> PaymentRecord:
        """Return a context manager that times one payment operation; see `Recorder.payment`."""
        record = super().payment(operation, traffic, cohort, since, provider)
        return TracedPayment(record, self.tracer.span(f"payment {operation}"))


class TracedPayment(PaymentRecord):
    """Finishes a payment record and its span together."""

    __slots__ = ("_record", "_span")

    def __init__(self, record: PaymentRecord, span: Span) -> None:
        self._record = record
        self._span = span

    def __enter__(self) -> Self:
        self._span.__enter__()
        self._record.__enter__()
        return self

    def finish(self, outcome: str, provider: str | None = None, fee_micro_units: float = 0) -> None:
        """Record how the operation ended."""
        record, span = self._record, self._span
        if record.started_at is None:
            record.finish(outcome, provider, fee_micro_units)
            return
        if provider is None:
            provider = record.handle.declared_provider(record.provider_of(outcome))
        record.finish(outcome, provider, fee_micro_units)
        try:
            span.end_with(outcome)
            if provider != NO_PROVIDER:
                span.set(PROVIDER, provider)
        except ANY_ERROR:
            # The payment record has already counted the invalid value.
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        record = self._record
        if error is not None and record.started_at is not None:
            outcome, provider = record.ending_by(error)
            self.finish(outcome, record.handle.declared_provider(provider))
        record.__exit__(kind, error, trace)
        self._span.end(error)
