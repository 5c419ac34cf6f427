"""The handling of a message is a span below its producer's, with its outcome."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from moneypath.telemetry import Catalogue, Recorder, correlation, setup
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Consumer
from moneypath.telemetry.tracing import SpanKind, Tracer
from moneypath.telemetry.tracing.redacted_span import RedactedSpan

Counts = Callable[[], tuple[float | None, float | None, float | None]]


class Keeping:
    """A sink that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[RedactedSpan] = []

    def open(self) -> None:
        """Do nothing."""

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Keep the spans."""
        self.spans += spans
        return True

    def close(self) -> None:
        """Do nothing."""


class Bench:
    """A traced consumer and producer of one process."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.sink = Keeping()
        self.recorder = setup(catalogue, service="worker", tracer=Tracer(self.sink, ratio=0.0))
        self.consumer = Consumer(self.recorder, "notifications", system="nats")

    def spans(self) -> list[RedactedSpan]:
        """Return what was exported."""
        assert self.recorder.tracer.close()
        return self.sink.spans


@pytest.fixture
def bench(catalogue: Catalogue) -> Iterator[Bench]:
    """Trace, and stop afterwards."""
    made = Bench(catalogue)
    yield made
    made.recorder.tracer.close()


def sent(producer: Context) -> dict[str, str]:
    """Return the headers that a producer sends."""
    with correlation.entered(producer):
        return messages.context_headers()


def test_a_consumer_span_continues_the_producers_trace(bench: Bench, producer: Context) -> None:
    """It has the producer's sampling and correlation id; calls of the handler are below it."""
    assert producer.trace is not None
    with bench.consumer.handling(sent(producer)):
        inside = correlation.active()
        onward = messages.context_headers()
    (span,) = bench.spans()
    assert (span.name, span.kind) == ("process notifications", SpanKind.CONSUMER)
    assert span.trace.trace_id == producer.trace.trace_id
    assert span.parent == producer.trace
    assert span.attributes["messaging.system"] == "nats"
    assert span.attributes["messaging.destination.name"] == "notifications"
    assert inside is not None
    assert inside.trace is not None
    assert inside.correlation_id == producer.correlation_id
    assert inside.trace == span.trace
    assert span.trace.span_id in onward["traceparent"]


def test_an_ill_end_is_kept_though_nobody_sampled_it(bench: Bench) -> None:
    """Failed and dead-lettered deliveries are exported with their reason; handled ones are not."""
    with bench.consumer.handling({}):
        pass
    with bench.consumer.handling({}) as handling:
        handling.fail()
    with pytest.raises(KeyError), bench.consumer.handling({}):
        raise KeyError
    with bench.consumer.handling({}):
        messages.set_aside("malformed")
    failed, raised, dead = bench.spans()
    assert {span.attributes["moneypath.outcome"] for span in (failed, raised, dead)} == {"failed"}
    assert messages.REASON not in failed.attributes
    assert dead.attributes[messages.REASON] == "malformed"


def test_messages_handled_together_have_a_span_each(
    bench: Bench, producer: Context, catalogue: Catalogue
) -> None:
    """Each is below its producer's and lasts as long as the batch. A failed batch has no spans."""
    others = [producer._replace(correlation_id=f"order-{number}0000000") for number in range(2)]
    own = Context("worker-own-id")
    with correlation.entered(own):
        with bench.consumer.handling_together([*(sent(other) for other in others), None]):
            assert correlation.active() is own
        with pytest.raises(KeyError), bench.consumer.handling_together([sent(producer)]):
            raise KeyError
        assert correlation.active() is own
    spans = bench.spans()
    assert [span.name for span in spans] == ["process notifications"] * 2
    assert producer.trace is not None
    assert {span.parent for span in spans} == {producer.trace}
    assert len({(span.start_time_ns, span.end_time_ns) for span in spans}) == 1
    handled = 'moneypath_message_duration_seconds_count{queue="notifications",outcome="handled"} 3'
    assert handled in bench.recorder.render().decode().replace(".0\n", "\n")


def test_without_a_tracer_the_producers_trace_is_passed_on(recorder: Recorder, producer: Context) -> None:
    """The next service still sees the producer's trace."""
    with Consumer(recorder, "notifications").handling(sent(producer)):
        assert messages.context_headers() == sent(producer)
        correlation.name_payment("pay-7")
        active = correlation.active()
    assert active is not None
    assert active.payment_id == "pay-7"
    assert "pay-7" not in str(sent(active))
