"""A recorder that also makes a span for each payment. It is used only with a tracer."""

from types import TracebackType
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER
from moneypath.telemetry.recording.error_outcomes import outcome_of
from moneypath.telemetry.recording.handles import ANY_ERROR
from moneypath.telemetry.recording.payment_handles import PaymentRecord
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.span_data import PROVIDER


class TracedRecorder(Recorder):
    """Records a service's metrics, and a span for each payment."""

    def payment(
        self, operation: str, traffic: str = "live", cohort: str = "control", since: float | None = None
    ) -> PaymentRecord:
        """Return a context manager that times one payment operation; see `Recorder.payment`."""
        record = super().payment(operation, traffic, cohort, since)
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

    def finish(self, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0) -> None:
        """Record how the operation ended."""
        self._record.finish(outcome, provider, fee_micro_units)
        span = self._span
        try:
            span.end_with(outcome)
            if provider is not NO_PROVIDER:
                span.set(PROVIDER, provider)
        except ANY_ERROR:
            # The payment record has already counted the invalid value.
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._record.__exit__(kind, error, trace)
        if error is not None and self._span.outcome is None:
            self._span.end_with(outcome_of(error))
        self._span.end(error)
