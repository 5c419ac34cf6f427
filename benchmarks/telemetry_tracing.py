"""The cost of a payment with ids and spans, compared with prometheus_client and OpenTelemetry's own spans.

Run `python benchmarks/telemetry_tracing.py`. "x observe" is a multiple of one bound `Histogram.observe` of
prometheus_client with the same buckets, measured alternately with the rest. Trust the ratios, not the
times.

Two clocks: the thread that serves the request, and the whole process, which includes the thread that redacts
and exports what was sampled. A queue is emptied before the second clock is read.
"""

import argparse
import gc
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import process_time, thread_time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Histogram

from measuring import Row, Work, medians, parser, tell
from moneypath.telemetry import Catalogue, Recorder, correlation, setup
from moneypath.telemetry.correlation import trace
from moneypath.telemetry.tracing import SpanKind, Tracer
from moneypath.telemetry.tracing.redacted_span import RedactedSpan

# What is measured, and what ends it.
Making = tuple[Work, Callable[[], object]]

OBSERVE = "x observe"
VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD", "JPY", "KWD"),
    "checks": ("ledger_balance",),
    "schemes": ("visa", "mastercard"),
}
SECONDS = 0.0425
FEE = 1250
CORRELATION_ID = "0192f0c1-7d3e-7bbb-8a4f-3c5e7d9b1f20"
# One caller in ten samples.
HEADERS = tuple(
    f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b{digit:x}-0{digit == 0:d}" for digit in range(10)
)
SERVER = SpanKind.SERVER


class Nowhere:
    """A sink that drops spans; only the cost before the export is measured."""

    def open(self) -> None:
        """Do nothing."""

    def export(self, spans: Sequence[RedactedSpan]) -> bool:  # noqa: ARG002 - the port's signature
        """Report success."""
        return True

    def close(self) -> None:
        """Do nothing."""


class NowhereExporter(SpanExporter):
    """An exporter for OpenTelemetry that drops spans."""

    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
        """Report success."""
        return SpanExportResult.SUCCESS


def ours(recorder: Recorder) -> dict[str, Work]:  # noqa: C901 - one loop after another
    """Return the calls of our tracer to measure."""
    tracer = recorder.tracer

    def record(rounds: int) -> None:
        for _ in range(rounds):
            recorder.begin("authorize").finish(SECONDS, "succeeded", "north", FEE)

    def traced(rounds: int) -> None:
        begin = tracer.begin
        for _ in range(rounds // len(HEADERS)):
            for header in HEADERS:
                span = begin("payment authorize", SERVER, CORRELATION_ID, header, None, 1.0)
                recorder.begin("authorize").finish(SECONDS, "succeeded", "north", FEE)
                span.end(None, 1.0 + SECONDS)

    def traced_and_asked(rounds: int) -> None:
        begin = tracer.begin
        for _ in range(rounds // len(HEADERS)):
            for header in HEADERS:
                span = begin("payment authorize", SERVER, CORRELATION_ID, header, None, 1.0)
                correlation.inject({})
                recorder.begin("authorize").finish(SECONDS, "succeeded", "north", FEE)
                span.end(None, 1.0 + SECONDS)

    def clocked(rounds: int) -> None:
        for _ in range(rounds // len(HEADERS)):
            for header in HEADERS:
                context = correlation.extract({"x-correlation-id": CORRELATION_ID, "traceparent": header})
                with tracer.span("request", SERVER, None, context), recorder.payment("authorize") as payment:
                    payment.finish("succeeded", "north", FEE)

    def unsampled(rounds: int) -> None:
        for _ in range(rounds):
            with tracer.span("step"):
                pass

    def parse(rounds: int) -> None:
        for _ in range(rounds // len(HEADERS)):
            for header in HEADERS:
                trace.parse(header)

    return {
        "record": record,
        "traced": traced,
        "asked": traced_and_asked,
        "clocked": clocked,
        "span": unsampled,
        "parse": parse,
    }


def yardstick(buckets: tuple[float, ...]) -> Work:
    """Return bound observations of prometheus_client."""
    duration = Histogram(
        "duration_seconds",
        "-",
        ["provider", "operation", "outcome"],
        registry=CollectorRegistry(),
        buckets=buckets,
    )
    observe = duration.labels("north", "authorize", "succeeded").observe

    def work(rounds: int) -> None:
        for _ in range(rounds):
            observe(SECONDS)

    return work


def their_span() -> Making:
    """Return an OpenTelemetry span under a caller's context, one in ten sampled, and what ends it."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.1)), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(NowhereExporter()))
    tracer, propagator = provider.get_tracer("benchmark"), TraceContextTextMapPropagator()

    def work(rounds: int) -> None:
        for _ in range(rounds // len(HEADERS)):
            for header in HEADERS:
                with tracer.start_as_current_span("request", propagator.extract({"traceparent": header})):
                    pass

    return work, provider.shutdown


@contextmanager
def running(tracer: Tracer) -> Iterator[Recorder]:
    """Yield a recorder with the tracer, and stop the tracer afterwards."""
    yield setup(Catalogue.build(VOCABULARY), service="benchmark", tracer=tracer)
    tracer.close()


def whole_process(buckets: tuple[float, ...], *, repeats: int, rounds: int) -> dict[str, float]:
    """Return the median processor seconds of one round, in all threads, until all is exported."""
    observes = yardstick(buckets)

    def traced() -> Making:
        tracer = Tracer(Nowhere(), queue_limit=rounds)
        recorder = setup(Catalogue.build(VOCABULARY), service="benchmark", tracer=tracer)
        return ours(recorder)["traced"], tracer.close

    candidates: dict[str, Callable[[], Making]] = {
        "yardstick": lambda: (observes, int),
        "traced": traced,
        "their span": their_span,
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, make in candidates.items():
            work, finish = make()
            # As in `interleave`: the collector would run in whichever candidate comes next.
            gc.collect()
            gc.disable()
            started_at = process_time()
            work(rounds)
            finish()
            times[name].append((process_time() - started_at) / rounds)
            gc.enable()
    return {name: statistics.median(taken) for name, taken in times.items()}


def rows(*, repeats: int, rounds: int) -> Iterable[Row]:
    """Yield the cost of a payment with a span: to the caller's thread, and to the whole process."""
    # Room for all that one repetition hands over, or a full queue would make it look cheap.
    with running(Tracer(Nowhere(), queue_limit=100 * rounds)) as recorder:
        buckets = Catalogue.build(VOCABULARY)["moneypath_provider_request_duration_seconds"].buckets
        span, stop = their_span()
        candidates = {
            "yardstick": yardstick(buckets),
            "their span": span,
            **ours(recorder),
        }
        taken = medians(candidates, repeats=repeats, rounds=rounds, clock=thread_time)
        stop()
    one = taken["yardstick"]

    def row(name: str, measured: str, goal: float | None = None, detail: str = "") -> Row:
        return Row(name, taken[measured] / one, OBSERVE, goal, detail)

    whole = whole_process(buckets, repeats=repeats, rounds=rounds)
    observe = whole["yardstick"]

    detail = f"the caller's thread; ids, traceparent when asked; 1 observe is {one * 1e9:.0f} ns here"
    yield row("full payment record, traced", "traced", 1.5, detail)
    detail = "and the thread that redacts and exports 10 % of the spans, to nowhere"
    yield Row("full payment record, traced: whole process", whole["traced"] / observe, OBSERVE, None, detail)
    yield row("the same, asked for its ids once", "asked", None, "header read, ids drawn and put into a call")
    yield row("full payment record alone", "record")
    yield row("request and payment spans by context managers", "clocked", None, "headers read, all clocks")
    yield row("one unsampled span of ours", "span", None, "context manager, a root, both clocks")
    yield row("one traceparent read", "parse")
    yield row("OpenTelemetry: one span", "their span", None, "traceparent read, one in ten sampled")
    yield Row("OpenTelemetry: one span: whole process", whole["their span"] / observe, OBSERVE)


def main() -> None:
    """Measure and print."""
    arguments: argparse.ArgumentParser = parser("What spans cost.", repeats=1, rounds=100)
    arguments.add_argument("--repeats", type=int, default=25, help="interleaved repetitions (default 25)")
    arguments.add_argument("--rounds", type=int, default=10_000, help="a repetition (default 10000)")
    chosen = arguments.parse_args()
    tell(rows(repeats=chosen.repeats, rounds=chosen.rounds), chosen.json)


if __name__ == "__main__":
    main()
